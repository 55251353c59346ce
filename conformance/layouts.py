"""Readers of the layouts that clients write, into the JSON that inspect gives.

Each takes a folder or file and returns ``images`` and ``content``; nothing there
means empty, for a client that failed writes nothing. :data:`READERS` has them by
the name that an adapter file uses.
"""

import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from conformance.contract import AdapterError, Json
from conformance.stored import hash_file

__all__ = ["READERS", "UNREADABLE"]

#: Layouts that an adapter file may name and that nobody reads yet.
UNREADABLE: Final = ("containers-storage",)
#: The annotation of an index.json entry that names an image (image-spec v1.1.1,
#: annotations.md).
_REF_NAME: Final = "org.opencontainers.image.ref.name"
_DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"


def read_oci_layout(root: Path) -> Json:
    """Read an OCI image layout (image-spec v1.1.1, image-layout.md)."""
    index = _object(_json_file(root / "index.json"))
    return {
        "images": [
            _image(_text(_object(entry.get("annotations")).get(_REF_NAME)), entry)
            for entry in _objects(index.get("manifests"))
            if isinstance(entry.get("digest"), str)
        ],
        "content": list(_blobs(root / "blobs")),
    }


def read_containerd(root: Path) -> Json:
    """Read the blobs of a containerd content store; records lie elsewhere."""
    return {"content": list(_blobs(root / "blobs"))}


def read_dir(root: Path) -> Json:
    """Read every directory that skopeo's ``dir:`` transport wrote below ``root``.

    An image's name is its directory, relative to ``root``: a client that is told
    to write to ``dir:{root}/images/{ref}`` names it by its reference.
    """
    images, content = [], []
    for version in sorted(root.rglob("version")):
        folder = version.parent
        for file in sorted(folder.iterdir()):
            content += _dir_blob(file)
        manifest = folder / "manifest.json"
        if manifest.is_file():
            name = folder.relative_to(root).as_posix()
            images.append(_image(name, _descriptor_of(manifest)))
    return {"images": images, "content": content}


def read_docker_archive(file: Path) -> Json:
    """Read a tar as ``docker save`` writes it.

    Its files have no digests for names but the config's: layers are uncompressed
    and so are told by what they hash to now.
    """
    if not file.is_file():
        return {"images": [], "content": []}
    folder = file.with_name(f"{file.name}.unpacked")
    try:
        with tarfile.open(file) as archive:
            archive.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError, OSError) as err:
        raise AdapterError(f"{file}: is no docker archive: {err}") from err
    entries = _objects(_json_file(folder / "manifest.json"))
    named = [_text(e.get("Config")) for e in entries]
    named += [_text(layer) for e in entries for layer in e.get("Layers") or ()]
    files = {name: folder / name for name in named if _inside(folder, name)}
    blobs = {name: _archived(path) for name, path in files.items()}
    return {
        "images": [
            _image(tag, {"mediaType": _DOCKER_CONFIG, **blobs[entry["Config"]]})
            for entry in entries
            for tag in entry.get("RepoTags") or ()
            if entry.get("Config") in blobs
        ],
        "content": list(blobs.values()),
    }


def read_files(root: Path) -> Json:
    """Read any files: each is content, told by what it hashes to now."""
    files = [root] if root.is_file() else sorted(root.rglob("*"))
    return {"content": [_file(f, hash_file(f)) for f in files if _plain(f)]}


def read_none(_root: Path) -> Json:
    """Read nothing: what this client keeps cannot be told."""
    return {}


READERS: Final[dict[str, Callable[[Path], Json]]] = {
    "containerd": read_containerd,
    "dir": read_dir,
    "docker-archive": read_docker_archive,
    "files": read_files,
    "none": read_none,
    "oci-layout": read_oci_layout,
}


def _plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _file(path: Path, digest: str | None) -> Json:
    return {"digest": digest, "size": path.stat().st_size, "path": str(path)}


def _image(name: str, descriptor: Json) -> Json:
    keys = ("mediaType", "digest", "size")
    return {"name": name, "target": {key: descriptor.get(key) for key in keys}}


def _blobs(folder: Path) -> Iterator[Json]:
    for path in sorted(folder.glob("*/*")):
        if _plain(path):
            yield _file(path, f"{path.parent.name}:{path.name}")


def _dir_blob(path: Path) -> list[Json]:
    # Blobs are named by the hex of a sha256; an index's children end in
    # .manifest.json; manifest.json itself is told by what it hashes to.
    if path.name == "manifest.json":
        return [_file(path, hash_file(path))]
    name = path.name.removesuffix(".manifest.json")
    return [_file(path, f"sha256:{name}")] if _hexadecimal(name) else []


def _descriptor_of(manifest: Path) -> Json:
    document = _object(_json_file(manifest))
    media_type = document.get("mediaType")
    if not isinstance(media_type, str):
        kind = "index" if "manifests" in document else "manifest"
        media_type = f"application/vnd.oci.image.{kind}.v1+json"
        if document.get("schemaVersion") == 1:
            media_type = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    return {"mediaType": media_type, **_file(manifest, hash_file(manifest))}


def _archived(path: Path) -> Json:
    name = path.name.partition(".")[0]
    return _file(path, f"sha256:{name}" if _hexadecimal(name) else hash_file(path))


def _inside(folder: Path, name: str) -> bool:
    path = (folder / name).resolve()
    return bool(name) and path.is_relative_to(folder.resolve()) and path.is_file()


def _hexadecimal(name: str) -> bool:
    return len(name) == 64 and not set(name) - set("0123456789abcdef")


def _text(value: Any) -> str:  # noqa: ANN401 - the JSON edge
    return value if isinstance(value, str) else ""


def _json_file(path: Path) -> Any:  # noqa: ANN401 - the JSON edge
    """Return what a file says; an empty object if it is absent or not JSON.

    A client that keeps a broken document must not break the suite: it is a blob
    whose digest tells.
    """
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}


def _object(value: Any) -> Json:  # noqa: ANN401 - the JSON edge
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[Json]:  # noqa: ANN401 - the JSON edge
    entries = value if isinstance(value, list) else []
    return [entry for entry in entries if isinstance(entry, dict)]
