"""How an image is named, and the options that go with it."""

from tests.differential.stage import CRI, FETCH, PULL, Stage, scenario


@scenario(FETCH, PULL, CRI)
def by_digest(stage: Stage) -> None:
    """A reference with a digest."""
    image = stage.publish(platforms=["linux/amd64", "linux/arm64"])
    stage.pull(stage.registry.ref(image, digest=True))


@scenario(FETCH)
def by_tag_and_digest(stage: Stage) -> None:
    """A reference with both."""
    image = stage.publish()
    stage.pull(f"{stage.registry.ref(image)}@{image.digest}")


@scenario(FETCH)
def by_tag_and_digest_of_another(stage: Stage) -> None:
    """The digest counts, not the tag."""
    old = stage.publish(seed="old", label="old")
    image = stage.publish(seed="new", label="new")
    stage.pull(f"{stage.registry.ref(image)}@{old.digest}")


@scenario(FETCH, CRI)
def digest_of_a_manifest_in_an_index(stage: Stage) -> None:
    """One manifest of an index, for another platform."""
    image = stage.publish(platforms=["linux/arm64", "linux/amd64"])
    digest = image.manifest("linux/arm64").descriptor.digest
    stage.pull(f"{stage.registry.host}/{stage.repository}@{digest}")


@scenario(FETCH)
def digest_of_a_layer(stage: Stage) -> None:
    """A digest that is no manifest's but a blob's."""
    image = stage.publish()
    digest = image.layers[0].digest
    stage.names.add_image(image)
    stage.pull(f"{stage.registry.host}/{stage.repository}@{digest}")


@scenario(FETCH, CRI)
def unknown_tag(stage: Stage) -> None:
    """There is no such tag."""
    stage.publish()
    stage.pull(f"{stage.registry.host}/{stage.repository}:missing", fails=True)


@scenario(FETCH)
def unknown_digest(stage: Stage) -> None:
    """There is no such digest."""
    stage.publish()
    digest = f"sha256:{'0' * 64}"
    stage.pull(f"{stage.registry.host}/{stage.repository}@{digest}", fails=True)


@scenario(FETCH)
def digest_that_is_none(stage: Stage) -> None:
    """A reference with something else in the place of a digest."""
    stage.publish()
    stage.pull(f"{stage.registry.host}/{stage.repository}@sha256:1", fails=True)


@scenario(FETCH, PULL)
def labels(stage: Stage) -> None:
    """The image record gets labels."""
    stage.pull(stage.publish(), labels={"one": "1", "two": "a,b=c"})


@scenario(PULL, ordered=True)
def one_at_a_time(stage: Stage) -> None:
    """With a limit of one, everything comes in a fixed order."""
    stage.pull(stage.publish(layers=4), limit=1)


@scenario(PULL, CRI, counted=True)
def three_at_a_time(stage: Stage) -> None:
    """With a limit of three, as CRI has it, three blobs are asked for at once."""
    image = stage.publish(layers=9)
    stage.fault(path="/blobs/*", delay=0.25)
    stage.pull(image, limit=3)


@scenario(PULL, counted=True)
def all_at_once(stage: Stage) -> None:
    """Without a limit, layers and configuration are asked for at once."""
    image = stage.publish(layers=9)
    stage.fault(path="/blobs/*", delay=1.0)
    stage.pull(image)


@scenario(PULL, ordered=True)
def one_schema1_layer_at_a_time(stage: Stage) -> None:
    """The base layer comes first."""
    stage.pull(stage.publish_schema1(layers=3, empty_layers=1), limit=1)


@scenario(CRI, ordered=True)
def order_of_a_pull(stage: Stage) -> None:
    """Name, manifest, configuration, layer: each is known from the one before."""
    stage.pull(stage.publish(layers=1))
