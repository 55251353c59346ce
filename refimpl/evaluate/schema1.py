"""Vectors of the schema1 converter: one image each, from the manifest on."""

import base64
from collections import Counter
from collections.abc import Sequence
from typing import Final

import anyio

from refimpl import images
from refimpl.descriptor import Descriptor
from refimpl.digest import from_bytes
from refimpl.errdefs import ErrNotFound
from refimpl.evaluate.values import Json, Outcome
from refimpl.remotes.docker import schema1
from refimpl.stores.content import BytesReader, read_blob
from refimpl.stores.memory import MemoryStore

__all__ = ["converted"]

_SCHEMA1: Final = images.MEDIA_TYPE_DOCKER_SCHEMA1_MANIFEST
_OCI: Final = schema1.ConvertOptions()


class _Run:
    """One conversion, and what was seen of it."""

    def __init__(self, value: Json) -> None:
        self._value = value
        self.store = MemoryStore()
        self.fetched: Counter[str] = Counter()
        self.handled: list[str] = []
        self.children: Sequence[Descriptor] = ()
        for item in value.get("preexisting") or ():
            data = base64.b64decode(item["blob"])
            self.store.put(from_bytes(data), data, item["labels"])
        self.converter = schema1.Converter(self.store, self)

    async def fetch(self, desc: Descriptor, /) -> BytesReader:
        """Serve what the vector has."""
        self.fetched[desc.digest] += 1
        blob = self._value["blobs"].get(desc.digest)
        if blob is None:
            raise ErrNotFound(f"fake registry: blob {desc.digest}")
        return BytesReader(base64.b64decode(blob))

    async def handle(self, desc: Descriptor) -> Sequence[Descriptor]:
        """Handle a descriptor as Go's local store and fetcher do: deaf to errors."""
        with anyio.CancelScope(shield=True):
            children = await self.converter.handle(desc)
        self.handled.append(desc.digest)
        if desc.media_type == _SCHEMA1:
            self.children = children
        return children

    async def contents(self) -> list[Json]:
        """Return every blob of the store, with labels."""
        return [
            {"digest": info.digest, "size": info.size, "labels": dict(info.labels)}
            for info in await self.store.walk()
        ]

    async def documents(self, desc: Descriptor) -> dict[str, Json]:
        """Return what was written, word for word."""
        manifest = await read_blob(self.store, desc)
        config = Descriptor(digest=images.parse_manifest(manifest).config.digest)
        return {
            "config": (await read_blob(self.store, config)).decode(),
            "descriptor": desc.to_json(),
            "manifest": manifest.decode(),
        }


async def converted(_kind: str, value: Json) -> Outcome:
    """Convert an image, one descriptor at a time."""
    run = _Run(value)
    options = schema1.USE_DOCKER_SCHEMA2 if value["use_docker_schema2"] else _OCI
    out: dict[str, Json] = {}
    error = None
    try:
        root = Descriptor.from_json(value["descriptor"])
        await images.dispatch(run.handle, anyio.Semaphore(1), root)
        out["handled_in_order_limit_1"] = run.handled
        out["children_of_manifest"] = [d.to_json() for d in run.children] or None
        desc = await run.converter.convert(options)
        out |= await run.documents(desc)
    except Exception as err:  # noqa: BLE001 - it is the outcome
        error = err
    out |= {"content": await run.contents(), "fetch_counts": dict(run.fetched)}
    return Outcome(out, error)
