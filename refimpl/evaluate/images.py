"""Vectors of containerd's images package, Dispatch apart."""

from collections.abc import Callable, Sequence
from typing import Final

from refimpl import images
from refimpl.descriptor import Descriptor
from refimpl.digest import Digest
from refimpl.errdefs import ErrNotImplemented
from refimpl.evaluate.values import (
    Json,
    Outcome,
    descriptors,
    error_json,
    fail,
    matcher,
    named,
    names,
)
from refimpl.images import Handler, LabelMap
from refimpl.platforms import ALL
from refimpl.remotes import filter_manifest_by_platform_handler
from refimpl.stores.memory import MemoryStore

__all__ = [
    "chain",
    "children",
    "filter_manifest_by_platform",
    "filter_platforms",
    "limit_manifests",
    "media_types",
    "set_children_labels",
    "walk",
]

_PARENT: Final = Digest(f"sha256:{'0' * 64}")


def _returning(found: Sequence[Descriptor]) -> Handler:
    async def handle(_desc: Descriptor) -> Sequence[Descriptor]:
        return found

    return handle


def _json(found: Sequence[Descriptor]) -> list[Json]:
    return [desc.to_json() for desc in found]


async def children(_kind: str, value: Json) -> Json:
    """Find the children of a document."""
    desc = Descriptor.from_json(value["descriptor"])
    store = MemoryStore()
    if not value["missing"]:
        store.put(desc.digest, value["document"].encode(errors="replace"))
    found = await images.children(store, desc)
    return {"children": _json(found), "children_nil": not found}


async def filter_platforms(_kind: str, value: Json) -> Json:
    """Filter children by platform."""
    found = descriptors(value["children"])
    handler = images.filter_platforms(_returning(found), matcher(value["matcher"]))
    return _json(await handler(Descriptor()))


async def filter_manifest_by_platform(_kind: str, value: Json) -> Json:
    """Filter the children of a manifest by the platform of the manifest."""
    handler = filter_manifest_by_platform_handler(
        _returning(descriptors(value["children"])), matcher(value["matcher"])
    )
    return _json(await handler(Descriptor.from_json(value["descriptor"])))


async def limit_manifests(_kind: str, value: Json) -> Json:
    """Sort and limit the children of an index."""
    wanted = matcher(value["matcher"])
    handler = _returning(descriptors(value["children"]))
    if value["filter_platforms_first"]:
        handler = images.filter_platforms(handler, wanted)
    handler = images.limit_manifests(handler, wanted or ALL, value["n"])
    return _json(await handler(Descriptor.from_json(value["descriptor"])))


async def set_children_labels(_kind: str, value: Json) -> Json:
    """Label a parent with its children."""
    parent = Digest(value.get("parent_digest", _PARENT))
    store = MemoryStore()
    if not value.get("parent_missing"):
        store.put(parent, b"", value["initial_labels"])
    handler = images.set_children_mapped_labels(
        store,
        _returning(descriptors(value["children"])),
        _label_map(value["label_map"]),
    )
    found = await handler(Descriptor(digest=parent))
    info = await store.info(parent)
    # A Go map without entries was never made, and shows as null.
    return {"children": _json(found), "labels": dict(info.labels) or None}


def _label_map(name: str) -> LabelMap | None:
    if name.startswith("const:"):
        keys = name.removeprefix("const:").split(",")
        return lambda _desc: keys
    maps: dict[str, LabelMap | None] = {
        "nil": None,
        "none": lambda _desc: (),
        "ChildGCLabels": images.child_gc_labels,
        "ChildGCLabelsFilterLayers": images.child_gc_labels_filter_layers,
    }
    return maps[name]


_PREDICATES: Final[dict[str, Callable[[str], bool]]] = {
    "is_config": images.is_config_type,
    "is_docker": images.is_docker_type,
    "is_index": images.is_index_type,
    "is_known_config": images.is_known_config,
    "is_layer": images.is_layer_type,
    "is_manifest": images.is_manifest_type,
    "is_non_distributable": images.is_non_distributable,
}


async def media_types(_kind: str, media_type: Json) -> Json:
    """Ask everything that a media type can be asked."""
    desc = Descriptor(media_type=media_type)
    out: dict[str, Json] = {
        name: predicate(media_type) for name, predicate in _PREDICATES.items()
    }
    out["child_gc_labels"] = list(images.child_gc_labels(desc))
    filtered = images.child_gc_labels_filter_layers(desc)
    out["child_gc_labels_filter_layers"] = list(filtered) or None
    try:
        out["diff_compression"] = images.diff_compression(media_type)
    except ErrNotImplemented as err:
        out["diff_compression_error"] = error_json(err)
    return out


async def chain(_kind: str, value: Json) -> Outcome:
    """Run a chain of handlers."""
    called: list[int] = []

    def step(number: int, returns: Json) -> Handler:
        async def handle(_desc: Descriptor) -> Sequence[Descriptor]:
            called.append(number)
            fail(returns.get("error"))
            return [named(name) for name in returns.get("children") or ()]

        return handle

    handler = images.handlers(*(step(*item) for item in enumerate(value or ())))
    found, error = await _caught(handler)
    output = {"called": called, "children": names(found), "children_nil": not found}
    return Outcome(output, error)


async def _caught(handler: Handler) -> tuple[Sequence[Descriptor], Exception | None]:
    try:
        return await handler(Descriptor()), None
    except Exception as err:  # noqa: BLE001 - it is the outcome
        return (), err


async def walk(_kind: str, value: Json) -> Outcome:
    """Visit a tree, one node after another."""
    visited: list[str] = []
    tree = value["tree"]

    async def handle(desc: Descriptor) -> Sequence[Descriptor]:
        visited.append(desc.digest)
        node = tree.get(desc.digest, {})
        fail(node.get("error"))
        return [named(name) for name in node.get("children") or ()]

    try:
        await images.walk(handle, *map(named, value["roots"] or ()))
    except Exception as err:  # noqa: BLE001 - it is the outcome
        return Outcome({"visited": visited}, err)
    return Outcome({"visited": visited}, None)
