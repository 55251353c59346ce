"""Readers of the stores that builders and engines keep for themselves.

They give what conformance/layouts.py gives. containers/storage keeps layers
unpacked, so that no content of it can be shown: only its records are read.
"""

from pathlib import Path
from typing import Final

from conformance.contract import Json
from conformance.reading import (
    as_object,
    as_objects,
    as_text,
    blob,
    descriptor_of,
    image,
    is_hexadecimal,
    is_plain,
    json_file,
)
from conformance.stored import hash_file

__all__ = ["read_charliecloud", "read_containers_storage", "read_docker"]

#: How ch-image writes a reference as the name of a file.
_CHARLIECLOUD: Final = str.maketrans({"+": ":", "%": "/"})


def read_containers_storage(root: Path) -> Json:
    """Read the records of a containers/storage graph root, whatever its driver.

    A record has a digest, that of the document the name was resolved to, and that
    document among the image's big data, by the name of the digest.
    """
    images = []
    for file in sorted(root.glob("*-images/images.json")):
        records = json_file(file)
        for record in as_objects(records):
            digest = as_text(record.get("digest"))
            sizes = as_object(record.get("big-data-sizes"))
            target = {
                "digest": digest,
                "size": sizes.get(f"manifest-{digest}"),
                "mediaType": _media_type(file.parent, record),
            }
            images += [
                image(name, target)
                for name in record.get("names") or ()
                if isinstance(name, str)
            ]
    return {"images": images}


def read_docker(root: Path) -> Json:
    """Read the names that dockerd has in its data root.

    A target is the digest under which the image was pulled; the daemon keeps the
    document itself in a content store, if at all.
    """
    images = []
    for file in sorted(root.glob("image/*/repositories.json")):
        repositories = as_object(as_object(json_file(file)).get("Repositories"))
        for repository, references in repositories.items():
            known = as_object(references)
            digests = {
                config: reference.removeprefix(f"{repository}@")
                for reference, config in known.items()
                if "@" in reference
            }
            images += [
                image(reference, _document(root, digests.get(config, "")))
                for reference, config in known.items()
            ]
    return {"images": images}


def _document(root: Path, digest: str) -> Json:
    algorithm, _, encoded = digest.partition(":")
    content = root / "containerd/daemon/io.containerd.content.v1.content"
    file = content / "blobs" / algorithm / encoded
    return descriptor_of(file) if is_plain(file) else {"digest": digest}


def read_charliecloud(root: Path) -> Json:
    """Read the storage folder of ch-image (charliecloud's filesystem.py).

    An unpacked image makes a record; what was downloaded for it lies beside it:
    layers and configs by their digests, and documents by the reference, which are
    told by what they hash to now.
    """
    cache = root / "dlcache"
    images = []
    for folder in sorted(root.glob("img/*")):
        documents = [
            *cache.glob(f"{folder.name}.fat.json"),
            *cache.glob(f"{folder.name}%*.manifest.json"),
        ]
        # Without a list of manifests an empty one takes its place.
        found = [file for file in documents if as_object(json_file(file))]
        target = descriptor_of(found[0]) if found else {"digest": ""}
        images.append(image(_reference(folder.name), target))
    content = []
    for file in sorted(cache.glob("*")):
        if is_plain(file):
            encoded = file.name.partition(".")[0]
            known = is_hexadecimal(encoded)
            content.append(
                blob(file, f"sha256:{encoded}" if known else hash_file(file))
            )
    return {"images": images, "content": content}


def _media_type(images: Path, record: Json) -> str:
    document = images / as_text(record.get("id")) / "manifest"
    return as_text(descriptor_of(document)["mediaType"]) if is_plain(document) else ""


def _reference(name: str) -> str:
    return name.translate(_CHARLIECLOUD)
