"""Which image of an index is the right one for a platform.

The wrong one does not run, or runs slowly, or runs something else: the choice is
seen in what is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from conformance.case import Feature, Level, case
from conformance.cases._content import IMAGE, assert_not_crashed, must_refuse
from conformance.cases._wire import assert_none
from fakeregistry.content import Entry
from fakeregistry.image import Platform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conformance.bench import Bench
    from conformance.cases._content import Document

NEEDS: Final = {Feature.PLATFORM}
COMPARE: Final = "containerd v1.5.18 platforms/compare.go:29"
DATABASE: Final = "containerd v1.5.18 platforms/database.go:83"


def _must_choose(
    bench: Bench, wanted: str, entries: Sequence[str | Platform | Entry], number: int
) -> None:
    """Hold that one entry of an index is pulled for a platform, and no other."""
    image = bench.publish(platforms=entries)
    bench.must_pull(image, platform=wanted)
    for place, manifest in enumerate(image.manifests):
        found = bench.registry.journal.requests(
            method="GET", digest=manifest.descriptor.digest
        )
        if place == number:
            assert found, f"{manifest.platform} was not pulled for {wanted}"
        else:
            assert_none(found, f"{manifest.platform} was pulled for {wanted}")


@case(
    clause="OCI image-spec v1.1.1 image-index.md, platform",
    level=Level.SHOULD,
    needs=NEEDS,
    link=f"{IMAGE}/image-index.md",
)
def test_wanted_platform_is_pulled(bench: Bench) -> None:
    """Of three platforms the one is pulled that was asked for, and nothing else.

    The twin of the cases where there is nothing to choose from.
    """
    entries = ["linux/amd64", "linux/s390x", "linux/ppc64le"]
    _must_choose(bench, "linux/s390x", entries, 1)


@case(
    clause="OCI image-spec v1.1.1 image-index.md, platform: the minimum runtime "
    "requirements of the image; containerd v1.5.18 images/handlers.go:276",
    level=Level.SHOULD,
    needs=NEEDS,
    twin="platform.wanted-platform-is-pulled",
    link=f"{IMAGE}/image-index.md",
    catalogue=("platform-no-match",),
)
def test_no_image_for_the_platform_is_an_error(bench: Bench) -> None:
    """An index without the wanted platform is an error, not another image.

    An image of another platform ends in "exec format error" on the first start.
    """
    image = bench.publish(platforms=["linux/amd64", "windows/amd64"])
    must_refuse(bench, image, platform="linux/s390x")
    for blob in image.blobs[1:]:
        asked = bench.registry.journal.requests(digest=blob.digest)
        assert_none(asked, "a part of an image for another platform was asked for")


@case(
    clause="containerd v1.5.18 images/handlers.go:276: no match for platform",
    level=Level.SHOULD,
    needs=NEEDS,
    twin="platform.wanted-platform-is-pulled",
    catalogue=("platform-unknown-os",),
)
def test_unknown_is_not_a_platform(bench: Bench) -> None:
    """Entries for unknown/unknown are not for everybody: they are for nobody."""
    image = bench.publish(platforms=["unknown/unknown"])
    must_refuse(bench, image, platform="linux/amd64")


@case(
    clause=COMPARE,
    level=Level.REFERENCE,
    needs=NEEDS,
    catalogue=("platform-armv7-prefers-v7",),
)
def test_armv7_prefers_its_own_variant(bench: Bench) -> None:
    """For arm/v7 the v7 image is the best one, wherever it stands in the index.

    v6 and v5 would run too, without the instructions that make the difference.
    """
    entries = ["linux/arm/v5", "linux/arm/v6", "linux/arm/v7"]
    _must_choose(bench, "linux/arm/v7", entries, 2)


@case(
    clause="OCI image-spec v1.1.1 image-index.md, variant: implementations SHOULD "
    "understand variant values listed in the Platform Variants table",
    level=Level.SHOULD,
    needs=NEEDS,
    link=f"{IMAGE}/image-index.md#platform-variants",
    catalogue=("platform-armv6-not-v7",),
)
def test_armv6_gets_nothing_newer(bench: Bench) -> None:
    """A processor of arm/v6 is never given v7, even where v7 stands first.

    The program would end with "illegal instruction" on a Raspberry Pi Zero.
    """
    _must_choose(bench, "linux/arm/v6", ["linux/arm/v7", "linux/arm/v6"], 1)


@case(
    clause="OCI image-spec v1.1.1 image-index.md, Platform Variants: ARM 64-bit, v8",
    level=Level.SHOULD,
    needs=NEEDS,
    link=f"{IMAGE}/image-index.md#platform-variants",
    catalogue=("platform-arm64-variant-optional",),
)
def test_arm64_is_arm64_v8(bench: Bench) -> None:
    """An entry arm64/v8 is what somebody gets who asks for arm64.

    v8 is the first arm64 there is; tools write it or leave it out as they like.
    """
    _must_choose(bench, "linux/arm64", ["linux/amd64", "linux/arm64/v8"], 1)


@case(
    clause="OCI image-spec v1.1.1 image-index.md, Platform Variants: ARM 64-bit, v8",
    level=Level.SHOULD,
    needs=NEEDS,
    link=f"{IMAGE}/image-index.md#platform-variants",
    catalogue=("platform-arm64-variant-optional",),
)
def test_arm64_v8_is_arm64(bench: Bench) -> None:
    """An entry arm64 without variant is what somebody gets who asks for v8."""
    _must_choose(bench, "linux/arm64/v8", ["linux/amd64", "linux/arm64"], 1)


@case(
    clause="OCI image-spec v1.1.1 image-index.md, Platform Variants: ARM 64-bit, "
    "v8, v8.1, ...",
    level=Level.SHOULD,
    needs=NEEDS,
    link=f"{IMAGE}/image-index.md#platform-variants",
    catalogue=("platform-dotted-variant",),
)
def test_variant_with_a_dot_does_no_harm(bench: Bench) -> None:
    """An entry for arm64/v8.2 does not keep anybody from the one for arm64.

    Clients that take a variant for a whole number stumble over it.
    """
    image = bench.publish(platforms=["linux/arm64/v8.2", "linux/arm64"])
    bench.must_pull(image, platform="linux/arm64")


@case(
    clause=DATABASE,
    level=Level.REFERENCE,
    needs=NEEDS,
    catalogue=("platform-arm-without-variant",),
)
def test_arm_without_variant_is_v7(bench: Bench) -> None:
    """An entry that says only arm means v7: who wants v6 does not get it."""
    _must_choose(bench, "linux/arm/v6", ["linux/arm", "linux/arm/v5"], 1)


@case(
    clause=COMPARE,
    level=Level.REFERENCE,
    needs=NEEDS,
    catalogue=("platform-arm64-falls-to-arm",),
)
def test_arm64_runs_arm_where_there_is_no_better(bench: Bench) -> None:
    """Without arm64 in the index, arm64 takes the newest of arm."""
    entries = ["linux/amd64", "linux/arm/v6", "linux/arm/v7"]
    _must_choose(bench, "linux/arm64", entries, 2)


@case(
    clause=COMPARE,
    level=Level.REFERENCE,
    needs=NEEDS,
    catalogue=("platform-amd64-falls-to-386",),
)
def test_amd64_runs_386_where_there_is_no_better(bench: Bench) -> None:
    """Without amd64 in the index, amd64 takes 386."""
    _must_choose(bench, "linux/amd64", ["linux/arm64", "linux/386"], 1)


@case(
    clause=COMPARE,
    level=Level.REFERENCE,
    needs=NEEDS,
    twin="platform.wanted-platform-is-pulled",
    catalogue=("platform-amd64-variants",),
)
def test_amd64_gets_no_newer_variant(bench: Bench) -> None:
    """amd64/v3 is not for every amd64: who asks for plain amd64 does not get it."""
    image = bench.publish(platforms=["linux/amd64/v3"])
    must_refuse(bench, image, platform="linux/amd64")


@case(
    clause=DATABASE,
    level=Level.REFERENCE,
    needs=NEEDS,
    catalogue=("platform-normalisation",),
)
def test_other_names_of_a_processor_are_known(bench: Bench) -> None:
    """x86_64 is amd64 and aarch64 is arm64, whatever the case of Linux is."""
    entries = [Platform("linux", "x86_64"), Platform("Linux", "aarch64")]
    _must_choose(bench, "linux/arm64", entries, 1)


@case(
    clause="containerd v1.5.18 platforms/platforms.go:249, images/handlers.go:267",
    level=Level.REFERENCE,
    needs=NEEDS,
    catalogue=("platform-os-version-ignored-on-linux",),
)
def test_version_of_linux_is_not_looked_at(bench: Bench) -> None:
    """Of two entries that differ in ``os.version`` alone the first one counts."""
    entries = [
        Platform("linux", "arm64"),
        Platform("linux", "amd64", os_version="6.1", os_features=("x",)),
        Platform("linux", "amd64"),
    ]
    _must_choose(bench, "linux/amd64", entries, 1)


@case(
    clause="containerd v1.5.18 platforms/database.go:62, platforms/platforms.go:249",
    level=Level.REFERENCE,
    needs=NEEDS,
    catalogue=("platform-null-and-empty",),
)
def test_platform_without_an_architecture_matches_nothing(bench: Bench) -> None:
    """``"platform": {}`` is a platform, and none that anybody has."""

    def empty(entry: Document) -> None:
        entry["platform"] = {}

    nothing = Entry(platform="linux/arm64", edit_descriptor=empty)
    _must_choose(bench, "linux/amd64", [nothing, "linux/amd64"], 1)


@case(
    clause="OCI image-spec v1.1.1 image-index.md, platform: object",
    level=Level.MAY,
    needs=NEEDS,
    catalogue=("platform-null-and-empty",),
)
def test_platform_that_is_a_text(bench: Bench) -> None:
    """``"platform": "linux/arm64"`` beside an entry that is right: what happens?"""

    def spell(entry: Document) -> None:
        entry["platform"] = "linux/arm64"

    wrong = Entry(platform="linux/arm64", edit_descriptor=spell)
    image = bench.publish(platforms=[wrong, "linux/amd64"])
    pull = bench.pull(image, platform="linux/amd64")
    assert_not_crashed(pull)
    bench.observe("the other entry is taken" if pull.ok else "refused")


@case(
    clause="containerd v1.5.18 remotes/handlers.go:261, pull.go:160",
    level=Level.REFERENCE,
    needs={*NEEDS, Feature.ALL_METADATA},
    catalogue=("index-all-metadata",),
)
def test_all_metadata_brings_no_layers_of_other_platforms(bench: Bench) -> None:
    """Manifests and configs of other platforms are kept when asked for, no more.

    Here nothing is for the platform that is wanted. So not one layer is fetched, and
    that is no error: whoever asks for all metadata copies, and runs nothing.
    """
    image = bench.publish(platforms=["linux/arm64", "linux/s390x"], layers=2)
    bench.must_pull(image, platform="linux/amd64", all_metadata=True)
    asked = {e.reference for e in bench.registry.journal.requests(method="GET")}
    first = image.manifests[0]
    assert {first.descriptor.digest, first.config.digest} <= asked
    layers = {layer.digest for part in image.manifests for layer in part.layers}
    found = bench.registry.journal.requests(when=lambda e: e.reference in layers)
    assert_none(found, "a layer of another platform was asked for")


@case(
    clause="containerd v1.5.18 images/image.go:174: the root is not checked",
    level=Level.MAY,
    needs=NEEDS,
    catalogue=("platform-single-manifest-not-checked",),
)
def test_image_of_another_platform_without_an_index(bench: Bench) -> None:
    """One manifest for linux/amd64, and arm64 is wanted: refused, or pulled anyway?"""
    pull = bench.pull(bench.publish(), platform="linux/arm64")
    bench.observe("pulled without a look at its platform" if pull.ok else "refused")
