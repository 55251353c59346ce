"""Mirrors: containerd v1.5.18 remotes/docker/schema1/converter.go:430 on.

What a schema1 manifest holds, and what becomes of it. A schema1 image has no
configuration: each layer, the top one first, brings the image as it was then, as
JSON in a string. The topmost of them is what the configuration is made of. Nothing
here does I/O.

    manifest = parse_manifest(payload)
    states = known_states(manifest)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from refimpl.digest import Digest
from refimpl.errdefs import ContainerdError, wrapped
from refimpl.gojson import (
    BOOL,
    INT,
    RAW,
    STRING,
    Custom,
    Pointer,
    Slice,
    String,
    Struct,
    decode,
    marshal_indent,
)
from refimpl.gotime import parse_json_time
from refimpl.images.image import CONFIG
from refimpl.remotes.docker.blobstate import BlobState

__all__ = [
    "Schema1Manifest",
    "is_empty_layer",
    "known_states",
    "make_config",
    "parse_manifest",
]

_MANIFEST: Final = Struct(
    "schema1.manifest",
    {
        "fsLayers": Slice(
            Struct("schema1.fsLayer", {"blobSum": String("digest.Digest")})
        ),
        "history": Slice(Struct("schema1.history", {"v1Compatibility": STRING})),
        "layers": RAW,
        "manifests": RAW,
    },
)
_V1_HISTORY: Final = Struct(
    "schema1.v1History",
    {
        "author": STRING,
        "created": Custom("time.Time", parse_json_time),
        "comment": STRING,
        "throwaway": Pointer(BOOL),
        "Size": Pointer(INT),
        "container_config": Struct("", {"Cmd": Slice(STRING)}),
    },
)
# Go's time.Time{} as it is written.
_ZERO_TIME: Final = "0001-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema1Manifest:
    """A manifest; entry by entry, the top layer first.

    Attributes:
        blob_sums: the digests of the layers as they are stored, unchecked.
        history: the images that the layers made, each as JSON.
    """

    blob_sums: tuple[Digest, ...]
    history: tuple[str, ...]


def parse_manifest(payload: bytes) -> Schema1Manifest:
    """Return the manifest in a document without its signatures (converter.go:241).

    Raises:
        JSONError: the document is not JSON, or a field has another type.
        ContainerdError: it is also a manifest or an index of a later kind.
    """
    fields = decode(payload, _MANIFEST)
    if any(fields[name] is not RAW.ABSENT for name in ("layers", "manifests")):
        raise ContainerdError(
            "converter: expected schema1 document but found extra keys"
        )
    return Schema1Manifest(
        blob_sums=tuple(Digest(item["blobSum"]) for item in fields["fsLayers"] or ()),
        history=tuple(item["v1Compatibility"] for item in fields["history"] or ()),
    )


def known_states(manifest: Schema1Manifest) -> dict[Digest, BlobState]:
    """Return what the history says of every blob, the topmost first (converter.go:93).

    A blob that is listed again is what its topmost entry says, and asked for once.

    Raises:
        JSONError: an entry of the history is not JSON.
        ContainerdError: there are more layers than entries, or fewer.
    """
    if len(manifest.blob_sums) != len(manifest.history):
        raise ContainerdError("invalid schema 1 manifest, history and layer mismatch")
    states: dict[Digest, BlobState] = {}
    for blob_sum, entry in zip(manifest.blob_sums, manifest.history, strict=True):
        if blob_sum not in states:
            states[blob_sum] = BlobState(empty=is_empty_layer(entry))
    return states


def is_empty_layer(entry: str) -> bool:
    """Return whether an entry of the history says that its layer is empty (:498).

    False is no answer: only the layer itself can give it then.

    Raises:
        JSONError: the entry is not JSON.
    """
    v1 = decode(entry.encode(), _V1_HISTORY)
    if v1["throwaway"] is not None:
        return bool(v1["throwaway"])
    return bool(v1["Size"] == 0)


def make_config(
    manifest: Schema1Manifest, states: Mapping[Digest, BlobState]
) -> tuple[bytes, tuple[Digest, ...]]:
    """Write the configuration of an image whose layers are all known (:161, :430).

    Returns the configuration and the digests of the layers in it, base first.

    Raises:
        JSONError: an entry of the history is not JSON.
        ContainerdError: there is none.
    """
    with wrapped("schema 1 conversion failed"):
        if not manifest.history:
            raise ContainerdError("no history")
        layers = [states[blob_sum] for blob_sum in reversed(manifest.blob_sums)]
        entries = reversed(manifest.history)
        history = [
            _history(entry, state) for entry, state in zip(entries, layers, strict=True)
        ]
    diff_ids = tuple(state.diff_id for state in layers if not state.empty)
    with wrapped("failed to unmarshal image from schema 1 history"):
        image = decode(manifest.history[0].encode(), CONFIG)
    image["rootfs"] = {"type": "layers", "diff_ids": list(diff_ids)}
    image["history"] = history
    return marshal_indent(_written(image), "   "), diff_ids


def _history(entry: str, state: BlobState) -> dict[str, Any]:
    with wrapped("failed to unmarshal history"):
        v1 = decode(entry.encode(), _V1_HISTORY)
    fields = {
        "created": v1["created"] or _ZERO_TIME,
        "created_by": " ".join(v1["container_config"]["Cmd"] or ()),
        "author": v1["author"],
        "comment": v1["comment"],
        "empty_layer": state.empty,
    }
    return _without_nothing(fields)


def _written(image: Mapping[str, Any]) -> dict[str, Any]:
    """Return an image (specs-go/v1 config.go:82) without what Go leaves out."""
    config = _without_nothing(image["config"])
    for name in ("ExposedPorts", "Volumes", "Labels"):
        if name in config:
            config[name] = dict(sorted(config[name].items()))
    always = {"architecture", "os", "config", "rootfs"}
    return {
        name: config if name == "config" else value
        for name, value in image.items()
        if value or name in always
    }


def _without_nothing(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that Go's omitempty keeps."""
    return {name: value for name, value in fields.items() if value}
