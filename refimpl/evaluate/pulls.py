"""Vectors of whole pulls: Client.Pull and Client.Fetch against a script.

The registry is a resolver and a fetcher that serve what the vector says; the client
has a store of its own, which is looked at afterwards.
"""

import base64
import re
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio

from refimpl import images, platforms
from refimpl.client import Client, RemoteContext
from refimpl.descriptor import Descriptor
from refimpl.digest import Digest
from refimpl.errdefs import ContainerdError, ErrNotFound, ErrSkipDesc, ErrStopHandler
from refimpl.evaluate.stores import shown
from refimpl.evaluate.values import Json, Outcome, error_json
from refimpl.platforms import MatchComparer
from refimpl.snapshots import Info
from refimpl.stores.content import BytesReader, write_blob

if TYPE_CHECKING:
    from refimpl.image import Image

__all__ = ["Play", "pulled"]

_UNIQUE: Final = re.compile("^extract-[^ ]+")


async def pulled(_kind: str, value: Json) -> Outcome:
    """Pull, and return what is left, whether it worked or not."""
    error: Exception | None = None
    amd64 = platforms.only(platforms.parse("linux/amd64"))
    with tempfile.TemporaryDirectory(prefix="refimpl-") as root:
        async with Client(Path(root), platform=amd64) as client:
            play = Play(value, client)
            await play.prepare()
            try:
                await play.run()
            except ContainerdError as err:
                error = err
            outcome = await play.outcome()
    return Outcome(outcome, error)


class _Script:
    """The registry of a vector."""

    def __init__(self, value: Mapping[str, Any]) -> None:
        self._value = value
        self.fetched: Counter[str] = Counter()

    async def resolve(self, _ref: str, /) -> tuple[str, Descriptor]:
        if text := self._value.get("resolve_error"):
            raise _failure(text)
        return self._value["resolved_name"], Descriptor.from_json(self._value["root"])

    async def fetcher(self, _ref: str, /) -> "_Script":
        if text := self._value.get("fetcher_error"):
            raise _failure(text)
        return self

    async def fetch(self, desc: Descriptor, /) -> BytesReader:
        self.fetched[desc.digest] += 1
        blob = self._value["blobs"].get(desc.digest)
        if blob is None:
            raise ErrNotFound(f"fake registry: blob {desc.digest}")
        return BytesReader(base64.b64decode(blob))


def _failure(text: str) -> ContainerdError:
    """Return an error of the class that its text ends with."""
    detail = text.removesuffix(": not found")
    return ContainerdError(text) if detail == text else ErrNotFound(detail)


class Play:
    """One vector and a client with a store of its own.

    Attributes:
        image: what was pulled.
    """

    def __init__(self, value: Mapping[str, Any], client: Client) -> None:
        self._value = value
        self._client = client
        self._script = _Script(value)
        self._returned: images.Image | None = None
        self.image: Image | None = None

    async def prepare(self) -> None:
        """Put into the store what is there before the pull."""
        store = self._client.content_store()
        for blob in self._value.get("preexisting_content", ()):
            data = base64.b64decode(blob["blob"])
            desc = Descriptor(digest=Digest(blob["digest"]), size=len(data))
            await write_blob(store, "before", data, desc, labels=blob["labels"])
        if image := self._value.get("preexisting_image"):
            record = images.Image(
                name=image["name"],
                target=Descriptor.from_json(image["target"]),
                labels=image["labels"],
            )
            await self._client.image_service().create(record)

    async def run(self, **changes: Any) -> None:  # noqa: ANN401 - fields of RemoteContext
        """Pull as often as the vector says; ``changes`` are made to its context."""
        options = self._value["options"]
        context = replace(_remote_context(options, self._script), **changes)
        for _ in range(self._value.get("pull_times", 1)):
            if options.get("use_client_fetch"):
                self._returned = await self._client.fetch(self._value["ref"], context)
            else:
                self.image = await self._client.pull(self._value["ref"], context)
                self._returned = self.image.metadata

    async def outcome(self) -> dict[str, Json]:
        """Return what a vector's output has, for pulls that worked or not."""
        store = self._client.content_store()
        content = await store.walk()
        out: dict[str, Json] = {
            "content": [
                {"digest": info.digest, "size": info.size, "labels": dict(info.labels)}
                for info in content
            ],
            "fetch_counts": dict(self._script.fetched),
            "images": [shown(i) for i in await self._client.image_service().list()],
            "ingests": [
                {"offset": status.offset, "ref": status.ref, "total": status.total}
                for status in await store.list_statuses()
            ],
            "leases_left": len(await self._client.leases_service().list()),
            **await self._image(),
        }
        if self._value["options"].get("unpack"):
            found = await self._client.snapshot_service().walk()
            out["snapshots"] = [_snapshot(info) for info in found]
        if self._returned is not None:
            out["returned"] = shown(self._returned)
        if new := {info.digest for info in content} - self._known():
            out["new_blobs"] = {
                digest: self._client.db.blob_path(digest).read_text("utf-8")
                for digest in sorted(new)
            }
        await self._client.db.garbage_collect()
        out["content_after_gc"] = [info.digest for info in await store.walk()]
        return out

    def _known(self) -> set[Digest]:
        before = self._value.get("preexisting_content", ())
        return {
            *map(Digest, self._value["blobs"]),
            *(Digest(blob["digest"]) for blob in before),
        }

    async def _image(self) -> dict[str, Json]:
        """Return what a pulled image tells of its configuration and size."""
        out: dict[str, Json] = {}
        if self.image is None:
            return out
        try:
            out["image_config"] = (await self.image.config()).to_json()
        except ContainerdError as err:
            out["image_config_error"] = error_json(err)
        try:
            out["image_size"] = await self.image.size()
        except ContainerdError as err:
            out["image_size_error"] = error_json(err)
        return out


def _remote_context(options: Mapping[str, Any], script: _Script) -> RemoteContext:
    label_maps = {None: None, "filter_layers": images.child_gc_labels_filter_layers}
    return RemoteContext(
        resolver=script,
        platform_matcher=_matcher(options.get("platform_matcher")),
        platforms=options.get("platforms") or (),
        labels=options.get("labels") or {},
        base_handlers=_base_handlers(options.get("base_handler")),
        handler_wrapper=_deaf,
        unpack=options.get("unpack", False),
        convert_schema1=options.get("convert_schema1", False),
        max_concurrent_downloads=options.get("max_concurrent_downloads", 0),
        all_metadata=options.get("all_metadata", False),
        child_label_map=label_maps[options.get("child_label_map")],
    )


def _matcher(name: str | None) -> MatchComparer | None:
    """Return the matcher that a vector names: ``all``, ``any:P,P`` and so on."""
    if name in {None, "all"}:
        return platforms.ALL if name else None
    kind, _, names = str(name).partition(":")
    wanted = [platforms.parse(part) for part in names.split(",")]
    if kind == "onlystrict":
        return platforms.only_strict(*wanted)
    make = {"any": platforms.any_, "ordered": platforms.ordered}[kind]
    return make(*wanted)


def _base_handlers(text: str | None) -> Sequence[images.Handler]:
    """Return the base handler that a vector names: ``stop:MEDIATYPE`` and so on."""
    if text is None:
        return ()
    kind, _, media_type = text.partition(":")
    raised: dict[str, Exception] = {
        "fail": ContainerdError("base handler failed"),
        "skip": ErrSkipDesc(),
        "stop": ErrStopHandler(),
    }

    async def handler(desc: Descriptor) -> Sequence[Descriptor]:
        if desc.media_type == media_type:
            raise raised[kind]
        return ()

    return (handler,)


def _deaf(handler: images.Handler) -> images.Handler:
    """Return a handler that an error of a sibling does not stop.

    Neither the recorder's fetcher nor containerd's local store look at their
    context, so siblings that start after an error finish all the same
    (images/handlers.go:126). Here, whatever waits is cancelled.
    """

    async def handle(desc: Descriptor) -> Sequence[Descriptor]:
        found: list[Descriptor] = []
        with anyio.CancelScope(shield=True):
            found += await handler(desc)
        return found

    return handle


def _snapshot(info: Info) -> Json:
    return {
        "kind": str(info.kind),
        "labels": dict(info.labels),
        "name": _UNIQUE.sub("extract-<unique>", info.name),
        "parent": info.parent,
    }
