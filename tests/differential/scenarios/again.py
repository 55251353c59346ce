"""What is there already, in whole or in part."""

from tests.differential.stage import CRI, FETCH, PULL, Stage, scenario

TWO = ("linux/amd64", "linux/arm64")


@scenario(FETCH, PULL, CRI)
def pulled_again(stage: Stage) -> None:
    """Nothing is fetched a second time."""
    image = stage.publish(layers=2, platforms=TWO)
    stage.pull(image)
    stage.pull(image)


@scenario(FETCH, PULL, CRI)
def tag_moved(stage: Stage) -> None:
    """The tag names another image now; what they share is not fetched again."""
    stage.pull(stage.publish(layers=1, seed="old", label="old"))
    stage.pull(stage.publish(layers=1, seed="new", label="new"))


@scenario(FETCH)
def labels_replaced(stage: Stage) -> None:
    """A second pull replaces all labels of the record."""
    image = stage.publish()
    stage.pull(image, labels={"one": "1", "two": "2"})
    stage.pull(image, labels={"two": "3"})
    stage.pull(image)


@scenario(FETCH, PULL)
def second_repository(stage: Stage) -> None:
    """Content that was pulled from one repository is noted for another one, too."""
    stage.pull(stage.publish(layers=2, platforms=TWO))
    name = f"{stage.repository}/a-copy"
    stage.pull(stage.publish(layers=2, platforms=TWO, repository=name))


@scenario(FETCH, PULL)
def tag_and_then_digest(stage: Stage) -> None:
    """Two records of one image."""
    image = stage.publish()
    stage.pull(image)
    stage.pull(stage.registry.ref(image, digest=True))


@scenario(FETCH, PULL)
def another_platform(stage: Stage) -> None:
    """One platform, and then another one."""
    image = stage.publish(platforms=TWO)
    stage.pull(image)
    stage.pull(image, platforms=["linux/arm64"])


@scenario(FETCH)
def metadata_and_then_everything(stage: Stage) -> None:
    """What was known of a platform, and then all of it."""
    image = stage.publish(platforms=TWO)
    stage.pull(image, all_metadata=True)
    stage.pull(image, all_platforms=True)


@scenario(FETCH, CRI)
def legacy_config_again(stage: Stage) -> None:
    """A manifest that is converted is converted again."""
    image = stage.publish(layers=1, legacy_config=True)
    stage.pull(image, fails=stage.way == CRI)
    stage.pull(image, fails=stage.way == CRI)


@scenario(FETCH, PULL, CRI)
def schema1_again(stage: Stage) -> None:
    """A schema1 manifest is fetched again; its layers are not."""
    image = stage.publish_schema1(layers=2, empty_layers=1)
    stage.pull(image)
    stage.pull(image)


@scenario(PULL, CRI)
def layers_below_are_unpacked(stage: Stage) -> None:
    """A second image on the layers of a first one."""
    base = stage.publish("base", layers=2, label="base")
    stage.pull(base)
    parts = [base.data[layer.digest] for layer in base.layers]
    more = stage.publish("more", layers=[*parts, b"\0" * 1024], compression="none")
    stage.pull(more)


@scenario(FETCH)
def fetched_after_a_failure(stage: Stage) -> None:
    """What a failed pull left is used by the next one."""
    image = stage.publish(layers=1)
    stage.fault(path=f"/blobs/{image.layers[0].digest}", status=404)
    stage.pull(image, fails=True, unsure=[image.config])
    stage.mend()
    stage.pull(image)


@scenario(FETCH)
def fetched_after_wrong_bytes(stage: Stage) -> None:
    """What was kept of a wrong layer does not spoil the next pull."""
    image = stage.publish(layers=1)
    stage.fault(path=f"/blobs/{image.layers[0].digest}", flip=40)
    stage.pull(image, fails=True, unsure=[image.config])
    stage.mend()
    stage.pull(image, fails=True, unsure=[image.config])


@scenario(FETCH)
def fetched_after_a_short_layer(stage: Stage) -> None:
    """What was kept of a layer that was too short is continued."""
    image = stage.publish(layers=1)
    stage.fault(path=f"/blobs/{image.layers[0].digest}", shorten=500)
    stage.pull(image, fails=True, unsure=[image.config])
    stage.mend()
    stage.pull(image)
