"""refimpl, called as containerd's callers call theirs."""

import contextlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import anyio

from refimpl import Client, RemoteContext, errdefs
from refimpl.__main__ import main
from refimpl.descriptor import Descriptor
from refimpl.errdefs import ErrAlreadyExists, message
from refimpl.image import Image
from refimpl.images import MEDIA_TYPE_DOCKER_SCHEMA1_MANIFEST
from refimpl.images import Image as ImageRecord
from refimpl.platforms import only, parse
from refimpl.remotes.docker import ResolverOptions, new_resolver
from tests.differential.stage import CRI, FETCH, Outcome, Pull
from tests.differential.trees import read_tree

__all__ = ["ReferenceClient"]

#: Seconds for one pull.
DEADLINE: Final = 60.0
SNAPSHOTTER: Final = "native"
# What CRI asks of every pull (pkg/cri/server/image_pull.go:117, and its defaults in
# pkg/cri/config/config_unix.go).
_CRI_LABELS: Final = {"io.cri-containerd.image": "managed"}
_CRI_LIMIT: Final = 3
#: Errors that containerd's errdefs has no name for.
_UNNAMED: Final = ("ContainerdError", "ErrUnexpectedStatus")


class ReferenceClient:
    """The reference, with a store of its own.

    FETCH goes through the command line, whose ``--all-platforms`` with ``--platform``
    is Client.Fetch for these platforms; the other ways go through the library, with
    hosts that are configured as ctr and CRI do it, also where there is no file.
    """

    def __init__(self, root: Path, way: str, machine: str) -> None:
        self._root = root
        self._way = way
        self._machine = machine

    def pull(self, pull: Pull) -> Outcome:
        """Pull an image."""
        if self._way == FETCH:
            return self._run_command(pull)
        run = self._pull_for_cri if self._way == CRI else self._fetch_and_unpack
        return anyio.run(self._outcome, run, pull)

    def _run_command(self, pull: Pull) -> Outcome:
        output = io.StringIO()
        with (
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            status = main([*self._arguments(pull), "--json", pull.ref])
        answer = json.loads(output.getvalue())
        if status == 0:
            return Outcome()
        error = answer["error"]
        return _failure(error["class"], error["message"])

    def _arguments(self, pull: Pull) -> Sequence[str]:
        arguments = ["--root", str(self._root), "pull", "--all-platforms"]
        for platform in self._platforms(pull):
            arguments += ["--platform", platform]
        if pull.all_metadata:
            arguments.append("--all-metadata")
        for key, value in pull.labels.items():
            arguments += ["--label", f"{key}={value}"]
        if pull.user is not None:
            arguments += ["--user", ":".join(pull.user)]
        if pull.hosts_dir is not None:
            arguments += ["--hosts-dir", str(pull.hosts_dir)]
        return arguments

    def _platforms(self, pull: Pull) -> Sequence[str]:
        # As ctr does it (cmd/ctr/commands/content/fetch.go:118).
        return () if pull.all_platforms else pull.platforms or (self._machine,)

    async def _outcome(self, run: Callable[[Client, Pull], Any], pull: Pull) -> Outcome:
        user, password = pull.user or ("", "")
        no_hosts = self._root.parent / "no-hosts"
        no_hosts.mkdir(exist_ok=True)
        options = ResolverOptions(
            hosts_dir=pull.hosts_dir or no_hosts,
            credentials=(lambda _: (user, password)) if user else None,
        )
        try:
            with anyio.fail_after(DEADLINE):
                async with (
                    new_resolver(options) as resolver,
                    Client(self._root, resolver=resolver) as client,
                ):
                    return Outcome(image_id=await run(client, pull))
        except Exception as err:  # noqa: BLE001 - whatever fails is the outcome
            return _failure(type(err).__name__, message(err))

    async def _fetch_and_unpack(self, client: Client, pull: Pull) -> str:
        """Do what ``ctr images pull`` does (cmd/ctr/commands/images/pull.go:90)."""
        context = RemoteContext(
            platforms=self._platforms(pull),
            all_metadata=pull.all_metadata,
            labels=pull.labels,
            max_concurrent_downloads=pull.limit,
            convert_schema1=True,
        )
        async with client.with_lease():
            record = await client.fetch(pull.ref, context)
            for platform in self._platforms(pull):
                matcher = only(parse(platform))
                image = Image(client=client, metadata=record, platform=matcher)
                await image.unpack(SNAPSHOTTER)
        return ""

    async def _pull_for_cri(self, client: Client, pull: Pull) -> str:
        """Do what CRI does (pkg/cri/server/image_pull.go:99)."""
        seen: set[str] = set()

        async def image_handler(desc: Descriptor) -> tuple[Descriptor, ...]:
            seen.add(desc.media_type)
            return ()

        context = RemoteContext(
            base_handlers=(image_handler,),
            labels=_CRI_LABELS,
            max_concurrent_downloads=_CRI_LIMIT,
            convert_schema1=True,
            unpack=True,
            snapshotter=SNAPSHOTTER,
        )
        image = await client.pull(pull.ref, context)
        image_id = (await image.config()).digest
        names = [image_id, pull.ref]
        # The digest is not that of what the registry has (helpers.go:158).
        if "@" not in pull.ref and MEDIA_TYPE_DOCKER_SCHEMA1_MANIFEST not in seen:
            names.append(f"{pull.ref.rpartition(':')[0]}@{image.target.digest}")
        for name in names:
            await _refer(client, name, image.target)
        return image_id

    def inspect(self) -> Mapping[str, Any]:
        """Read the store."""
        return anyio.run(self._inspect)

    async def _inspect(self) -> Mapping[str, Any]:
        async with Client(self._root) as client:
            store = client.content_store()
            return {
                "images": [
                    {
                        "name": image.name,
                        "target": image.target.to_json(),
                        "labels": image.labels,
                    }
                    for image in await client.image_service().list()
                ],
                "content": [
                    {"digest": i.digest, "size": i.size, "labels": i.labels}
                    for i in await store.walk()
                ],
                "ingests": [
                    {"ref": s.ref, "offset": s.offset, "total": s.total}
                    for s in await store.list_statuses()
                ],
                "leases": [x.id for x in await client.leases_service().list()],
                "snapshots": await _snapshots(client),
            }

    def collect(self) -> None:
        """Collect garbage."""
        anyio.run(self._collect)

    async def _collect(self) -> None:
        async with Client(self._root) as client:
            await client.db.garbage_collect()

    def close(self) -> None:
        """Nothing: whoever made the root removes it."""


def _failure(kind: str, text: str) -> Outcome:
    """Return an outcome; classes that are the reference's own count as their text."""
    outcome = Outcome.failed(text)
    known = kind in errdefs.__all__ and kind not in _UNNAMED
    return replace(outcome, error_class=kind) if known else outcome


async def _refer(client: Client, name: str, target: Descriptor) -> None:
    """Record an image under one more name, as createImageReference does (:155)."""
    service = client.image_service()
    record = ImageRecord(name=name, target=target, labels=_CRI_LABELS)
    try:
        await service.create(record)
    except ErrAlreadyExists:
        await service.update(record, "target", "labels.io.cri-containerd.image")


async def _snapshots(client: Client) -> Sequence[Mapping[str, Any]]:
    service = client.snapshot_service(SNAPSHOTTER)
    infos = await service.walk()
    parents = {info.parent for info in infos}
    found = []
    for info in infos:
        top = str(info.kind) == "Committed" and info.name not in parents
        files = read_tree(await service.root(info.name)) if top else {}
        found.append(
            {
                "name": info.name,
                "parent": info.parent,
                "kind": str(info.kind),
                "labels": info.labels,
                "files": files,
            }
        )
    return found
