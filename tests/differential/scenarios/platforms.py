"""Which manifests of an index are taken."""

from fakeregistry.content import Entry
from fakeregistry.image import Platform
from tests.differential.stage import CRI, FETCH, PULL, Stage, scenario

ARMS = ("linux/arm/v5", "linux/arm/v6", "linux/arm/v7", "linux/arm64/v8", "linux/amd64")


@scenario(FETCH, PULL)
def arm_v7(stage: Stage) -> None:
    """linux/arm/v7 of many."""
    stage.pull(stage.publish(platforms=ARMS), platforms=["linux/arm/v7"])


@scenario(FETCH)
def arm_without_variant(stage: Stage) -> None:
    """linux/arm means version 7."""
    stage.pull(stage.publish(platforms=ARMS), platforms=["linux/arm"])


@scenario(FETCH, PULL)
def two_platforms(stage: Stage) -> None:
    """Two platforms are asked for."""
    wanted = ["linux/arm64", "linux/amd64"]
    stage.pull(stage.publish(platforms=ARMS), platforms=wanted)


@scenario(FETCH)
def every_platform(stage: Stage) -> None:
    """All of them."""
    stage.pull(stage.publish(platforms=ARMS), all_platforms=True)


@scenario(FETCH, PULL)
def all_metadata(stage: Stage) -> None:
    """One platform, with manifests and configurations of the others."""
    stage.pull(stage.publish(platforms=ARMS), all_metadata=True)


@scenario(FETCH, PULL, CRI)
def no_match(stage: Stage) -> None:
    """No manifest is for the platform."""
    image = stage.publish(platforms=["linux/s390x", "linux/ppc64le"])
    stage.pull(image, fails=stage.unpacks)


@scenario(FETCH)
def no_match_but_all_metadata(stage: Stage) -> None:
    """No manifest is for the platform, but their metadata is wanted."""
    image = stage.publish(platforms=["linux/s390x", "linux/ppc64le"])
    stage.pull(image, all_metadata=True)


@scenario(FETCH, CRI)
def entries_without_platform(stage: Stage) -> None:
    """Entries that do not say what they are for."""
    stage.pull(stage.publish(platforms=[None, None, "linux/amd64"]))


@scenario(FETCH)
def only_entries_without_platform(stage: Stage) -> None:
    """Nothing says what it is for."""
    stage.pull(stage.publish(platforms=[None, None]))


@scenario(FETCH, CRI)
def several_of_one_platform(stage: Stage) -> None:
    """Two entries for the same platform: which one is taken?"""
    entries = [
        Entry(platform="linux/amd64", annotations={"number": "one"}),
        Entry(platform="linux/amd64", annotations={"number": "two"}),
    ]
    stage.pull(stage.publish(platforms=entries))


@scenario(FETCH, CRI)
def fallback_to_386(stage: Stage) -> None:
    """An amd64 machine can run what is for 386."""
    image = stage.publish(platforms=["linux/386", "linux/arm64"])
    stage.pull(image)


@scenario(FETCH, CRI)
def variants_of_amd64(stage: Stage) -> None:
    """Entries for levels of amd64."""
    image = stage.publish(
        platforms=["linux/amd64/v3", "linux/amd64/v2", "linux/amd64", "linux/386"]
    )
    stage.pull(image)


@scenario(FETCH)
def wanted_variant_of_amd64(stage: Stage) -> None:
    """A level of amd64 is asked for."""
    image = stage.publish(platforms=["linux/amd64/v2", "linux/amd64"])
    stage.pull(image, platforms=["linux/amd64/v2"])


@scenario(FETCH, CRI)
def windows_beside_linux(stage: Stage) -> None:
    """Entries with versions and features of an operating system."""
    windows = Platform(
        "windows", "amd64", os_version="10.0.20348.1", os_features=("a",)
    )
    stage.pull(stage.publish(platforms=[windows, "linux/amd64"]))


@scenario(FETCH)
def spellings_of_an_architecture(stage: Stage) -> None:
    """Entries that are not written as they ought to be."""
    image = stage.publish(platforms=["linux/x86_64", "linux/aarch64", "Linux/AMD64"])
    stage.pull(image)


@scenario(FETCH, CRI)
def empty_index(stage: Stage) -> None:
    """An index of nothing."""
    stage.pull(stage.publish(platforms=[]), fails=stage.unpacks)


@scenario(FETCH, PULL, CRI)
def manifest_for_another_machine(stage: Stage) -> None:
    """A manifest without an index is taken, whatever its configuration says."""
    config = {"architecture": "s390x"}
    stage.pull(stage.publish(config=config))
