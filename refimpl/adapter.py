"""What a conformance suite drives: the reference behind plain JSON values.

Found through the entry point group ``pull_conformance.adapters``. The methods take
and return what the JSON contract of a client under test says (conformance/ADAPTER.md);
nothing of the suite is imported here.
"""

from __future__ import annotations

from concurrent.futures import CancelledError
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anyio.from_thread import start_blocking_portal

from refimpl import whitebox
from refimpl.client import Client, RemoteContext
from refimpl.commands import image_json, snapshot_json
from refimpl.errdefs import message
from refimpl.evaluate import evaluate
from refimpl.remotes.docker import ResolverOptions, new_resolver

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

    from anyio.from_thread import BlockingPortal

    _Readers = Mapping[str, Callable[[Client], Awaitable[list[dict[str, Any]]]]]

__all__ = ["Adapter"]

Json = dict[str, Any]

FEATURES = (
    "all-metadata",
    "all-platforms",
    "basic-auth",
    "cancel",
    "content",
    "content-store",
    "digest-ref",
    "gc",
    "handlers",
    "image-record",
    "ingests",
    "labels",
    "leases",
    "limit",
    "mirrors",
    "plain-http",
    "platform",
    "reference",
    "resume",
    "schema1",
    "snapshots",
    "tls",
    "token-auth",
    "unpack",
)


class Adapter:
    """The reference as a client under test.

    One event loop in a thread of its own serves every call from ``setup`` to
    ``teardown``, so that a case does not pay for starting one.
    """

    def __init__(self) -> None:
        self._resources = ExitStack()
        self._portal: BlockingPortal | None = None

    def setup(self) -> None:
        """Start the event loop."""
        if self._portal is None:
            self._portal = self._resources.enter_context(start_blocking_portal())

    def teardown(self) -> None:
        """Stop the event loop; running pulls are cancelled first."""
        if self._portal is not None:
            self._portal.call(self._portal.stop, True)  # noqa: FBT003 - anyio's parameter
            self._portal = None
        self._resources.close()

    def capabilities(self) -> Json:
        """Return name, version and features."""
        return {
            "name": "refimpl",
            "version": "1.5.18",
            "features": list(FEATURES),
        }

    def pull(
        self, request: Json, on_cancel: Callable[[Callable[[], object]], object]
    ) -> Json:
        """Pull an image as the request says.

        Args:
            request: the request of the contract.
            on_cancel: is given a function that ends this pull from any thread.

        Returns the result of the contract; a failed pull is a result, not an error.
        """
        run, portal = partial(_pull, request), self._running()
        try:
            return whitebox.run_cancellable(portal, run, on_cancel)
        except CancelledError as err:
            return _failure("cancelled", str(err) or "cancelled")

    def inspect(self, request: Json) -> Json:
        """Return what the store under ``root`` holds, in normal form.

        ``want`` names the parts to read; all of them where it is missing.
        """
        want = request.get("want", tuple(_PARTS))
        result: Json = self._running().call(_inspect, Path(request["root"]), want)
        return result

    def collect(self, request: Json) -> Json:
        """Run the garbage collector on the store under ``root``."""
        result: Json = self._running().call(_collect, Path(request["root"]))
        return result

    def evaluate(self, function: str, kind: str, value: Any) -> Any:  # noqa: ANN401 - the JSON edge
        """Compute the output of a vector.

        Raises:
            NotImplementedError: the function is not wired up.
        """
        return self._running().call(evaluate, function, kind, value)

    def dispatch(
        self,
        handlers: Sequence[whitebox.Handler],
        descs: Sequence[Json],
        limit: int | None,
        on_cancel: Callable[[Callable[[], object]], object],
    ) -> None:
        """Run ``images.dispatch`` with handlers that block, and wait for its end."""
        run = partial(whitebox.dispatch, handlers, descs, limit)
        whitebox.run_cancellable(self._running(), run, on_cancel)

    def walk(self, handlers: Sequence[whitebox.Handler], descs: Sequence[Json]) -> None:
        """Run ``images.walk`` with handlers that block, and wait for its end."""
        self._running().call(whitebox.walk, handlers, descs)

    def open_content_store(self, root: str) -> whitebox.ContentStore:
        """Return the content store under a root, open until it is closed."""
        return whitebox.ContentStore(self._running(), root)

    def _running(self) -> BlockingPortal:
        self.setup()
        assert self._portal is not None  # noqa: S101 - setup sets it, for mypy
        return self._portal


def _failure(kind: str, text: str) -> Json:
    return {
        "ok": False,
        "exit": 1,
        "error": {"class": kind, "message": text},
        "stdout": "",
        "stderr": f"{kind}: {text}\n",
    }


async def _pull(request: Json) -> Json:
    try:
        async with (
            new_resolver(_resolver_options(request)) as resolver,
            Client(Path(request["root"]), resolver=resolver) as client,
        ):
            context = _remote_context(request)
            if request.get("all_platforms"):
                record = await client.fetch(request["ref"], context)
            else:
                record = (await client.pull(request["ref"], context)).metadata
    except Exception as err:  # noqa: BLE001 - whatever fails is the result
        return _failure(type(err).__name__, message(err))
    return {
        "ok": True,
        "exit": 0,
        "error": None,
        "image": image_json(record),
        "stdout": f"{record.name} {record.target.digest}\n",
        "stderr": "",
    }


def _resolver_options(request: Mapping[str, Any]) -> ResolverOptions:
    username = request.get("username") or ""
    password = request.get("password") or ""
    hosts_dir = request.get("hosts_dir")
    return ResolverOptions(
        hosts_dir=Path(hosts_dir) if hosts_dir else None,
        plain_http=bool(request.get("plain_http")),
        ca=Path(request["ca"]) if request.get("ca") else None,
        credentials=(lambda _: (username, password)) if username or password else None,
    )


def _remote_context(request: Mapping[str, Any]) -> RemoteContext:
    return RemoteContext(
        platforms=(request["platform"],) if request.get("platform") else (),
        all_metadata=bool(request.get("all_metadata")),
        convert_schema1=True,
        max_concurrent_downloads=request.get("max_concurrent_downloads") or 0,
        labels=request.get("labels") or {},
        unpack=bool(request.get("unpack")),
    )


async def _inspect(root: Path, want: Collection[str]) -> Json:
    async with Client(root) as client:
        return {
            part: await read(client) for part, read in _PARTS.items() if part in want
        }


async def _images(client: Client) -> list[Json]:
    return [image_json(image) for image in await client.image_service().list()]


async def _content(client: Client) -> list[Json]:
    return [
        {
            "digest": info.digest,
            "size": info.size,
            "labels": dict(info.labels),
            "path": str(client.db.blob_path(info.digest)),
        }
        for info in await client.content_store().walk()
    ]


async def _ingests(client: Client) -> list[Json]:
    return [
        {"ref": status.ref, "offset": status.offset, "total": status.total}
        for status in await client.content_store().list_statuses()
    ]


async def _leases(client: Client) -> list[Json]:
    return [
        {
            "id": lease.id,
            "created": lease.created_at and lease.created_at.isoformat(),
            "labels": dict(lease.labels),
        }
        for lease in await client.leases_service().list()
    ]


async def _snapshots(client: Client) -> list[Json]:
    snapshotter = client.snapshot_service()
    return [
        {**snapshot_json(info), "path": str(await snapshotter.root(info.name))}
        for info in await snapshotter.walk()
    ]


_PARTS: Final[_Readers] = {
    "images": _images,
    "content": _content,
    "ingests": _ingests,
    "leases": _leases,
    "snapshots": _snapshots,
}


async def _collect(root: Path) -> Json:
    async with Client(root) as client:
        stats = await client.db.garbage_collect()
    return {"removed": [node.key for node in stats.removed]}
