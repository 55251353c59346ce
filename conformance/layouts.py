"""Readers of the layouts that clients write, into the JSON that inspect gives.

Each takes a folder or file and returns ``images`` and ``content``; nothing there
means empty, for a client that failed writes nothing. :data:`READERS` has them by
the name that an adapter file uses.
"""

import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from conformance.contract import AdapterError, Json
from conformance.reading import (
    as_object,
    as_objects,
    as_text,
    blob,
    descriptor_of,
    image,
    is_hexadecimal,
    is_inside,
    is_plain,
    json_file,
)
from conformance.stored import hash_file
from conformance.stores import (
    read_charliecloud,
    read_containers_storage,
    read_docker,
)

__all__ = ["READERS"]

#: The annotation of an index.json entry that names an image (image-spec v1.1.1,
#: annotations.md).
_REF_NAME: Final = "org.opencontainers.image.ref.name"
#: The encoded part of a digest (image-spec v1.1.1, descriptor.md).
_ENCODED: Final = re.compile("[a-zA-Z0-9=_-]+")
_LONGEST: Final = {"sha256": 64, "sha512": 128}
_DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"


def read_oci_layout(root: Path) -> Json:
    """Read an OCI image layout (image-spec v1.1.1, image-layout.md), or several.

    Where ``root`` is no layout those below it are read, and an image's name is its
    layout's folder and its tag: a client that is told to write to the tag of
    ``{root}/images/{registry}/{repository}`` names it by its reference.
    """
    if any((root / name).exists() for name in ("oci-layout", "index.json", "blobs")):
        return {
            "images": [image(name, entry) for name, entry in _entries(root)],
            "content": list(_blobs(root / "blobs")),
        }
    images: list[Json] = []
    content: list[Json] = []
    for marker in sorted(root.rglob("oci-layout")):
        folder = marker.parent
        place = folder.relative_to(root).as_posix()
        for name, entry in _entries(folder):
            digest = as_text(entry.get("digest"))
            named = name and name.removeprefix("@") != digest
            ref = f"{place}:{name}" if named else f"{place}@{digest}"
            images.append(image(ref, entry))
        content += _blobs(folder / "blobs")
    return {"images": images, "content": content}


def read_containerd(root: Path) -> Json:
    """Read the blobs of a containerd content store; records lie elsewhere."""
    return {"content": list(_blobs(root / "blobs"))}


def read_dir(root: Path) -> Json:
    """Read every directory in the form of skopeo's ``dir:`` transport below ``root``.

    An image's name is its directory, relative to ``root``: a client that is told
    to write to ``dir:{root}/images/{ref}`` names it by its reference.
    """
    images, content = [], []
    # The version comes first, the manifest last: a failed copy lacks that one.
    markers = (*root.rglob("version"), *root.rglob("manifest.json"))
    for folder in sorted({marker.parent for marker in markers}):
        for file in sorted(folder.iterdir()):
            content += _dir_blob(file)
        manifest = folder / "manifest.json"
        if manifest.is_file():
            name = folder.relative_to(root).as_posix()
            images.append(image(name, descriptor_of(manifest)))
    return {"images": images, "content": content}


def read_docker_archive(file: Path) -> Json:
    """Read a tar as ``docker save`` writes it.

    Its files have no digests for names but the config's: layers are uncompressed
    and so are told by what they hash to now. One that holds an OCI layout, too, as
    newer ones do, is read as that.
    """
    if not file.is_file():
        return {"images": [], "content": []}
    folder = file.with_name(f"{file.name}.unpacked")
    try:
        with tarfile.open(file) as archive:
            archive.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError, OSError) as err:
        raise AdapterError(f"{file}: is no docker archive: {err}") from err
    if (folder / "oci-layout").exists():
        return read_oci_layout(folder)
    entries = as_objects(json_file(folder / "manifest.json"))
    named = [as_text(e.get("Config")) for e in entries]
    named += [as_text(layer) for e in entries for layer in e.get("Layers") or ()]
    files = {name: folder / name for name in named if is_inside(folder, name)}
    blobs = {name: _archived(path) for name, path in files.items()}
    return {
        "images": [
            image(tag, {"mediaType": _DOCKER_CONFIG, **blobs[entry["Config"]]})
            for entry in entries
            for tag in entry.get("RepoTags") or ()
            if entry.get("Config") in blobs
        ],
        "content": list(blobs.values()),
    }


def read_files(root: Path) -> Json:
    """Read any files: each is content, told by what it hashes to now."""
    files = [root] if root.is_file() else sorted(root.rglob("*"))
    return {"content": [blob(f, hash_file(f)) for f in files if is_plain(f)]}


def read_none(_root: Path) -> Json:
    """Read nothing: what this client keeps cannot be told."""
    return {}


READERS: Final[dict[str, Callable[[Path], Json]]] = {
    "charliecloud": read_charliecloud,
    "containerd": read_containerd,
    "containers-storage": read_containers_storage,
    "docker": read_docker,
    "dir": read_dir,
    "docker-archive": read_docker_archive,
    "files": read_files,
    "none": read_none,
    "oci-layout": read_oci_layout,
}


def _entries(layout: Path) -> Iterator[tuple[str, Json]]:
    index = as_object(json_file(layout / "index.json"))
    for entry in as_objects(index.get("manifests")):
        if isinstance(entry.get("digest"), str):
            yield as_text(as_object(entry.get("annotations")).get(_REF_NAME)), entry


def _blobs(folder: Path) -> Iterator[Json]:
    for path in sorted(folder.glob("*/*")):
        # What is no digest is no blob: a download that was not finished.
        longest = _LONGEST.get(path.parent.name, len(path.name))
        is_digest = _ENCODED.fullmatch(path.name) and len(path.name) <= longest
        if is_plain(path) and is_digest:
            yield blob(path, f"{path.parent.name}:{path.name}")


def _dir_blob(path: Path) -> list[Json]:
    # Blobs are named by the hex of a sha256; an index's children end in
    # .manifest.json; manifest.json itself is told by what it hashes to.
    if path.name == "manifest.json":
        return [blob(path, hash_file(path))]
    name = path.name.removesuffix(".manifest.json")
    return [blob(path, f"sha256:{name}")] if is_hexadecimal(name) else []


def _archived(path: Path) -> Json:
    name = path.name.partition(".")[0]
    return blob(path, f"sha256:{name}" if is_hexadecimal(name) else hash_file(path))
