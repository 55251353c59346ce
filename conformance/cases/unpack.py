"""Layers become a root file system: the one that the image's author has made.

What a config says of its layers must hold before anything is made of them, and
however they are packed, it is the same archive. What is in the archives is told in
changeset.py and confinement.py. Nothing there needs root: entries belong to whoever
runs the suite.
"""

from __future__ import annotations

import gzip
import hashlib
from typing import TYPE_CHECKING, Any, Final

from conformance.case import Feature, Level, case
from conformance.cases._content import IMAGE, assert_no_record
from conformance.cases._rootfs import (
    LAYER,
    UNPACKS,
    folder,
    image_of,
    layer,
    must_not_unpack,
    must_unpack,
    symlink,
    text,
    tree,
    try_unpack,
)
from fakeregistry.image import digest_of
from fakeregistry.layers import Layer, files_layer, make_tar

if TYPE_CHECKING:
    from conformance.bench import Bench

DIFF_ID: Final = (
    "OCI image-spec v1.1.1 config.md, Layer DiffID: the digest over the layer's "
    "uncompressed tar archive; rootfs: diff_ids, in order from first to last"
)


@case(
    clause="OCI image-spec v1.1.1 layer.md, Applying Changesets",
    level=Level.MUST,
    needs=UNPACKS,
    link=f"{LAYER}#applying-changesets",
)
def test_image_is_unpacked(bench: Bench) -> None:
    """The layers of an image are applied one upon the other, the base first.

    What the upper ones do not mention stays. The twin of all that goes wrong here.
    """
    base = layer(folder("etc"), text("etc/name", "base"), text("etc/kept", "base"))
    top = layer(text("etc/name", "top"), symlink("link", "etc/name"))
    root = must_unpack(bench, image_of(bench, base, top))
    assert tree(root) == {
        "etc": "/",
        "etc/kept": "base",
        "etc/name": "top",
        "link": "-> etc/name",
    }


# -- before anything is made of the layers ------------------------------------------


def _says(*diff_ids: str, **rootfs: object) -> dict[str, Any]:
    return {"rootfs": {"type": "layers", "diff_ids": list(diff_ids), **rootfs}}


@case(
    clause=DIFF_ID,
    level=Level.MUST,
    critical=True,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link=f"{IMAGE}/config.md#layer-diffid",
    catalogue=("unpack-diffid-mismatch",),
)
def test_layer_that_is_not_the_configs_is_rejected(bench: Bench) -> None:
    """What is inside a layer must be what the config's diff_ids say.

    The config is what an image id names: who pins that, pins the files only if a
    client compares them.
    """
    base, top = files_layer({"a": b"base"}), files_layer({"a": b"top"})
    said = _says(base.content_digest(), digest_of(b"another archive"))
    must_not_unpack(bench, image_of(bench, base, top, config=said))


@case(
    clause=DIFF_ID,
    level=Level.SHOULD,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link=f"{IMAGE}/config.md#properties",
    catalogue=("unpack-diffid-count",),
)
def test_diff_id_without_a_layer_is_rejected(bench: Bench) -> None:
    """A config that promises two layers to a manifest with one is refused.

    What is missing may be what would have mended the rest.
    """
    base, top = files_layer({"a": b"base"}), files_layer({"a": b"top"})
    said = _says(base.content_digest(), top.content_digest())
    must_not_unpack(bench, image_of(bench, base, config=said))


@case(
    clause=DIFF_ID,
    level=Level.SHOULD,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link=f"{IMAGE}/config.md#properties",
    catalogue=("unpack-diffid-count",),
)
def test_layer_without_a_diff_id_is_rejected(bench: Bench) -> None:
    """A layer that the config knows nothing of is not unpacked on top."""
    base, top = files_layer({"a": b"base"}), files_layer({"a": b"top"})
    said = _says(base.content_digest())
    must_not_unpack(bench, image_of(bench, base, top, config=said))


@case(
    clause="OCI image-spec v1.1.1 config.md, rootfs, type: MUST be set to layers. "
    "Implementations MUST generate an error if they encounter a unknown value while "
    "verifying or unpacking an image.",
    level=Level.MUST,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link=f"{IMAGE}/config.md#properties",
    catalogue=("unpack-rootfs-type",),
)
def test_root_file_system_of_an_unknown_type_is_rejected(bench: Bench) -> None:
    """``"type": "layers2"`` says that the layers mean something else.

    A client that unpacks them as it always did gets a file system that nobody made.
    """
    base = files_layer({"a": b"base"})
    said = _says(base.content_digest(), type="layers2")
    must_not_unpack(bench, image_of(bench, base, config=said))


@case(
    clause="OCI image-spec v1.1.1 config.md: an application/vnd.oci.image.config.v1+"
    "json document; safety",
    level=Level.MUST,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link=f"{IMAGE}/config.md",
    catalogue=("unpack-config-not-json",),
)
def test_config_that_is_no_json_is_rejected(bench: Bench) -> None:
    """Without a config that can be read nobody knows what the layers are."""
    must_not_unpack(bench, bench.publish(config=b'{"rootfs": {"type": '))


@case(
    clause="OCI image-spec v1.1.1 descriptor.md, Verification: Heavy processing "
    "before calculating a hash SHOULD be avoided.",
    level=Level.SHOULD,
    critical=True,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link=f"{IMAGE}/descriptor.md#verification",
    catalogue=("verify-before-unpack",),
)
def test_nothing_of_a_wrong_layer_is_unpacked(bench: Bench) -> None:
    """A layer whose last byte is wrong leaves no file behind.

    It begins as it should, so a client that unpacks while it downloads has made its
    files before it knows.
    """
    image = image_of(bench, files_layer({"wrong": b"x"}))
    blob = image.layers[0]
    fault = bench.registry.fault(method="GET", digest=blob.digest, flip=blob.size - 1)
    must_not_unpack(bench, image, fault)
    for snapshot in bench.stored({"snapshots"}).snapshots or ():
        if snapshot.path is not None and snapshot.path.is_dir():
            assert "wrong" not in tree(snapshot.path), "files of a wrong layer"


@case(
    clause=DIFF_ID,
    level=Level.SHOULD,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link=f"{IMAGE}/config.md#layer-diffid",
    catalogue=("verify-trailing-bytes-after-tar",),
)
def test_bytes_after_the_archive_count(bench: Bench) -> None:
    """The diff id is the digest of all that was packed, not of the archive in it.

    A reader that stops at the end of the archive does not see what follows, and
    accepts two layers where there should be one.
    """
    archive = make_tar([text("a", "base")])
    packed = gzip.compress(archive + b"after the end" * 99, mtime=0)
    wrong = Layer(data=packed, diff_id=digest_of(archive))
    must_not_unpack(bench, image_of(bench, wrong))


@case(
    clause="containerd v1.5.18 pull.go:98",
    level=Level.REFERENCE,
    needs=UNPACKS | {Feature.IMAGE_RECORD},
    twin="unpack.image-is-unpacked",
    catalogue=("unpack-diffid-mismatch",),
)
def test_image_that_cannot_be_unpacked_is_not_recorded(bench: Bench) -> None:
    """A pull that unpacks records the image last, when all of it has worked.

    Who finds the record may start the image.
    """
    said = _says(digest_of(b"another archive"))
    image = image_of(bench, files_layer({"a": b"base"}), config=said)
    must_not_unpack(bench, image)
    assert_no_record(bench, image)


@case(
    clause="containerd v1.5.18 unpacker.go:338, remotes/docker/converter.go:44",
    level=Level.REFERENCE,
    needs=UNPACKS | {Feature.IMAGE_RECORD},
    catalogue=("legacy-config-unpack-path",),
)
def test_image_with_an_octet_stream_config_is_unpacked(bench: Bench) -> None:
    """An image of 2016 whose config has no proper media type has files, too.

    containerd 1.5.18 never asks for its layers, records it all the same and fails.
    """
    image = bench.publish(legacy_config=True, layers=[files_layer({"a": b"old"})])
    assert tree(must_unpack(bench, image)) == {"a": "old"}
    assert bench.stored({"images"}).image(bench.registry.ref(image)) is not None


# -- how layers are packed -----------------------------------------------------------


@case(
    clause="RFC 1952 section 2.2: A gzip file consists of a series of members",
    level=Level.MUST,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link="https://www.rfc-editor.org/rfc/rfc1952#section-2.2",
    catalogue=("layers-gzip-multimember",),
)
def test_gzip_of_several_members_is_unpacked(bench: Bench) -> None:
    """A layer may be several gzip files in a row, as pigz and estargz write it."""
    archive = make_tar([text("a", "x" * 2000), text("b", "y")])
    parts = (archive[:700], archive[700:])
    packed = b"".join(gzip.compress(part, mtime=0) for part in parts)
    image = image_of(bench, Layer(data=packed, diff_id=digest_of(archive)))
    assert tree(must_unpack(bench, image)) == {"a": "x" * 2000, "b": "y"}


@case(
    clause="OCI image-spec v1.1.1 manifest.md, layers: Implementations SHOULD also "
    "support application/vnd.oci.image.layer.v1.tar+zstd",
    level=Level.SHOULD,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link=f"{IMAGE}/manifest.md#image-manifest-property-descriptions",
    catalogue=("layers-zstd",),
)
def test_zstd_layer_is_unpacked(bench: Bench) -> None:
    """A layer may be packed with zstd."""
    packed = files_layer({"a": b"x"}, compression="zstd")
    image = image_of(bench, packed, compression="zstd")
    assert tree(must_unpack(bench, image)) == {"a": "x"}


@case(
    clause="practice: no specification has application/vnd.docker.image.rootfs.diff."
    "tar.zstd",
    level=Level.MAY,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    catalogue=("layers-zstd-docker-type",),
)
def test_zstd_layer_of_a_docker_image(bench: Bench) -> None:
    """A zstd layer under a media type that Docker never defined: what happens?

    To unpack it and to refuse it are both right; an empty root file system is not.
    """
    packed = files_layer({"a": b"x"}, compression="zstd")
    media_type = "application/vnd.docker.image.rootfs.diff.tar.zstd"
    image = image_of(bench, packed, format="docker", layer_media_type=media_type)
    pull = bench.pull(image, unpack=True)
    bench.observe("unpacked" if pull.ok else "refused")
    if pull.ok:
        root = bench.stored({"snapshots"}).root_file_system()
        assert root is not None, "success, but no root file system"
        assert root.path is None or tree(root.path) == {"a": "x"}


@case(
    clause="OCI image-spec v1.1.1 layer.md: +gzip, a tar archive compressed with gzip",
    level=Level.SHOULD,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link=f"{LAYER}#gzip-media-types",
    catalogue=("layers-type-says-tar-bytes-gzip",),
)
def test_packed_layer_called_unpacked_makes_nothing_else(bench: Bench) -> None:
    """A gzip blob under the type of a plain archive is refused, or found out.

    A root file system that lacks what is inside is neither.
    """
    image = image_of(
        bench,
        files_layer({"a": b"x"}),
        layer_media_type="application/vnd.oci.image.layer.v1.tar",
    )
    pull, root = try_unpack(bench, image)
    if pull.ok:
        assert root is not None, "success, but no root file system"
        assert tree(root) == {"a": "x"}


@case(
    clause="containerd v1.5.18 archive/compression/compression.go:129",
    level=Level.REFERENCE,
    needs=UNPACKS,
    catalogue=("layers-type-says-gzip-bytes-zstd",),
)
def test_first_bytes_say_how_a_layer_is_packed(bench: Bench) -> None:
    """A layer that is called gzip and is zstd, or not packed, is unpacked as it is."""
    kind = "application/vnd.oci.image.layer.v1.tar+gzip"
    zstd = files_layer({"a": b"x"}, compression="zstd")
    plain = files_layer({"b": b"y"}, compression="none")
    image = image_of(bench, zstd, plain, layer_media_type=kind)
    assert tree(must_unpack(bench, image)) == {"a": "x", "b": "y"}


@case(
    clause="containerd v1.5.18 diff/stream.go:90, images/mediatypes.go:78",
    level=Level.REFERENCE,
    needs=UNPACKS | {Feature.CONTENT},
    twin="unpack.image-is-unpacked",
    catalogue=("layers-encrypted",),
)
def test_encrypted_layer_is_fetched_and_not_unpacked(bench: Bench) -> None:
    """Without a key, an encrypted layer is kept, and unpacking fails."""
    kind = "application/vnd.oci.image.layer.v1.tar+gzip+encrypted"
    sealed = Layer(data=hashlib.shake_256(b"a key").digest(4096))
    image = image_of(bench, sealed, layer_media_type=kind)
    must_not_unpack(bench, image)
    assert bench.stored({"content"}).intact(image.layers[0].digest)


@case(
    clause="distribution v2.8.3 docs/spec/manifest-v2-1.md: an empty layer",
    level=Level.MUST,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    catalogue=("layers-empty-tar",),
)
def test_layer_without_entries_changes_nothing(bench: Bench) -> None:
    """The empty archive of every ``ENV`` in a Dockerfile is a layer like any other."""
    image = image_of(bench, files_layer({"a": b"x"}), layer(), seed=1)
    assert tree(must_unpack(bench, image)) == {"a": "x"}


@case(
    clause="RFC 1952 section 2.3.1: CRC32 and ISIZE end a member",
    level=Level.MUST,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link="https://www.rfc-editor.org/rfc/rfc1952#section-2.3.1",
    catalogue=("unpack-truncated-gzip",),
)
def test_gzip_that_ends_early_is_rejected(bench: Bench) -> None:
    """A layer whose digest is right and whose gzip stream is cut is refused.

    Whoever made it ran out of space: half of the files are not there.
    """
    archive = make_tar([text("a", "x" * 100_000)])
    packed = gzip.compress(archive, mtime=0)[:-8]
    wrong = Layer(data=packed, diff_id=digest_of(archive))
    must_not_unpack(bench, image_of(bench, wrong))


@case(
    clause="CVE-2021-20291; no specification has xz layers",
    level=Level.MUST,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    link="https://nvd.nist.gov/vuln/detail/CVE-2021-20291",
    catalogue=("unpack-xz-broken",),
)
def test_broken_xz_is_rejected(bench: Bench) -> None:
    """Bytes that begin as xz does and go on otherwise are an error, not a wait."""
    wrong = Layer(data=b"\xfd7zXZ\0\0\x04" + b"broken" * 200)
    must_not_unpack(bench, image_of(bench, wrong))


@case(
    clause="practice: images have up to 127 layers",
    level=Level.MAY,
    needs=UNPACKS,
    twin="unpack.image-is-unpacked",
    catalogue=("layers-130",),
)
def test_many_layers(bench: Bench) -> None:
    """An image of 130 layers: Docker's limit is 127, the kernel's is another one."""
    layers = [files_layer({"a": str(number).encode()}) for number in range(130)]
    pull = bench.pull(image_of(bench, *layers), unpack=True)
    bench.observe("unpacked" if pull.ok else "refused")
    if not pull.ok:
        return
    root = bench.stored({"snapshots"}).root_file_system()
    assert root is not None, "success, but no root file system"
    assert root.path is None or tree(root.path) == {"a": "129"}


@case(
    clause="containerd v1.5.18 unpacker.go:139, pull.go:90",
    level=Level.REFERENCE,
    needs=UNPACKS | {Feature.LABELS, Feature.CONTENT},
)
def test_what_was_unpacked_is_labelled(bench: Bench) -> None:
    """The config keeps the root file system, and a layer tells what is inside.

    So the collector knows, and so nobody computes a diff id twice.
    """
    image = image_of(bench, files_layer({"a": b"x"}), files_layer({"b": b"y"}))
    must_unpack(bench, image)
    stored = bench.stored({"content", "snapshots"})
    top, blobs = stored.root_file_system(), stored.content or {}
    assert top is not None
    config = blobs[image.config.digest].labels
    assert [v for k, v in config.items() if "gc.ref.snapshot." in k] == [top.key]
    for blob in image.layers:
        archive = gzip.decompress(image.data[blob.digest])
        labels = blobs[blob.digest].labels
        assert labels.get("containerd.io/uncompressed") == digest_of(archive)
