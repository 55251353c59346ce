"""What the commands of ``refpull`` do, one function a command."""

from __future__ import annotations

import getpass
import json
import sys
from typing import TYPE_CHECKING, Any, TextIO

from refimpl import digest
from refimpl.client import Client, RemoteContext, any_platform
from refimpl.descriptor import Descriptor
from refimpl.errdefs import (
    ContainerdError,
    ErrInvalidArgument,
    ErrNotFound,
    message,
    wrapped,
)
from refimpl.progress import progress
from refimpl.pull import one_platform
from refimpl.remotes.docker import ResolverOptions, new_resolver
from refimpl.workers import run_blocking

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from pathlib import Path

    from refimpl import images
    from refimpl.snapshots import Info
    from refimpl.stores.content import ReaderAt
    from refimpl.trace import Trace

__all__ = [
    "collect_garbage",
    "get_content",
    "image_json",
    "list_active",
    "list_content",
    "list_images",
    "list_leases",
    "list_snapshots",
    "mount_path",
    "print_error",
    "pull",
    "remove_image",
    "remove_lease",
    "show_trace",
]

# Bytes of a blob that are in memory at once on the way to standard output.
PIECE = 1 << 20


def _client(args: argparse.Namespace) -> Client:
    return Client(args.root, namespace=args.namespace)


def _print_json(value: Any) -> None:  # noqa: ANN401 - the JSON edge
    print(json.dumps(value, indent=2))


def _print_rows(rows: Iterable[tuple[object, ...]]) -> None:
    for row in rows:
        print("\t".join(str(cell) for cell in row))


def print_error(err: ContainerdError, *, as_json: bool) -> None:
    """Say in one line, or one JSON object, what failed."""
    text = "".join(map(_shown, " ".join(message(err).split())))
    if as_json:
        _print_json({"error": {"class": type(err).__name__, "message": text}})
    print(f"refpull: {text}", file=sys.stderr)


def _shown(character: str) -> str:
    """Return a character as it may go to a terminal: registries write errors, too."""
    return character if character.isprintable() else ascii(character)[1:-1]


def image_json(image: images.Image) -> dict[str, Any]:
    """Return an image record as ``refpull --json`` prints it."""
    return {
        "name": image.name,
        "target": image.target.to_json(),
        "labels": dict(image.labels),
    }


async def pull(args: argparse.Namespace) -> None:
    """Pull an image: Client.Pull, or Client.Fetch for several platforms."""
    _check_reference(args.ref)
    if len(args.platform) > 1 and not args.all_platforms:
        raise ErrInvalidArgument(
            "--platform: name one, or add --all-platforms to keep several"
        )
    if args.snapshotter and not args.unpack:
        raise ErrInvalidArgument("--snapshotter: add --unpack, or nothing is unpacked")
    context = RemoteContext(
        platforms=args.platform,
        all_metadata=args.all_metadata,
        max_concurrent_downloads=args.max_concurrent_downloads,
        labels=_labels(args.label),
        convert_schema1=not args.no_schema1,
        unpack=args.unpack,
        snapshotter=args.snapshotter or "",
    )
    trace = None if args.trace is None else _begin_trace(args.trace, args.ref)
    async with (
        new_resolver(_resolver_options(args)) as resolver,
        Client(args.root, namespace=args.namespace, resolver=resolver) as client,
        progress(client, visible=_is_terminal(sys.stderr) and not args.json),
    ):
        if trace is None:
            record = await _pull(client, args, context)
        else:
            record = await _pull_traced(client, args, context, trace)
    if args.json:
        _print_json({"image": image_json(record)})
    else:
        _print_rows([(record.name, record.target.digest)])


async def _pull(
    client: Client, args: argparse.Namespace, context: RemoteContext
) -> images.Image:
    if args.all_platforms:
        return await client.fetch(args.ref, context)
    return (await client.pull(args.ref, context)).metadata


async def _pull_traced(
    client: Client, args: argparse.Namespace, context: RemoteContext, trace: Trace
) -> images.Image:
    """Pull, and write down what happens, also when it fails."""
    try:
        with trace.recording():
            if args.all_platforms:
                wanted = any_platform(context)
            else:
                wanted = one_platform(client, context)
            record = await _pull(client, args, trace.watching(context, wanted))
            trace.done(record)
            return record
    finally:
        text = json.dumps(trace.to_json(), indent=1)
        args.trace.write_text(f"{text}\n", encoding="utf-8")


def _begin_trace(file: Path, ref: str) -> Trace:
    if not file.absolute().parent.is_dir():
        raise ErrInvalidArgument(f"--trace {file}: there is no such folder")
    if file.is_dir():
        raise ErrInvalidArgument(f"--trace {file}: it is a folder")
    # A pull that is not traced starts without it.
    from refimpl.trace import Trace  # noqa: PLC0415 - see above

    return Trace(ref)


async def show_trace(args: argparse.Namespace) -> None:
    """Turn a trace into a page."""
    from refimpl.tracepage import page  # noqa: PLC0415 - no pull needs it

    try:
        trace = json.loads(args.file.read_bytes())
    except ValueError as err:
        raise ErrInvalidArgument(f"{args.file}: no JSON: {err}") from err
    with wrapped(str(args.file)):
        text = page(trace)
    args.html.write_text(text, encoding="utf-8")
    if args.json:
        _print_json({"html": str(args.html)})


def _is_terminal(stream: TextIO | None) -> bool:
    """Say whether a stream is a terminal; None is one that was closed at start."""
    return stream is not None and stream.isatty()


def _check_reference(ref: str) -> None:
    host, slash, _ = ref.partition("/")
    if slash and "@" in host:
        # Not shown: a password may be in front of it.
        raise ErrInvalidArgument(
            "a reference has no user in it: write HOST/NAME:TAG and use --user"
        )
    if not slash or not host:
        full = f"docker.io/library/{ref}" if ref and not slash else "HOST/NAME:TAG"
        raise ErrInvalidArgument(
            f'"{ref}" is not a full reference: write it with its registry, as in {full}'
        )


def _labels(pairs: Iterable[str]) -> Mapping[str, str]:
    labels = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise ErrInvalidArgument(f'--label "{pair}": write it as KEY=VALUE')
        labels[key] = value
    return labels


def _resolver_options(args: argparse.Namespace) -> ResolverOptions:
    user, secret = _credentials(args.user)
    if args.ca is not None and not args.ca.is_file():
        raise ErrInvalidArgument(f"--ca {args.ca}: no such file")
    if args.hosts_dir is not None and not args.hosts_dir.is_dir():
        raise ErrInvalidArgument(f"--hosts-dir {args.hosts_dir}: no such folder")
    return ResolverOptions(
        hosts_dir=args.hosts_dir,
        plain_http=args.plain_http,
        ca=args.ca,
        credentials=(lambda _host: (user, secret)) if user else None,
    )


def _credentials(user: str | None) -> tuple[str, str]:
    if user is None:
        return "", ""
    name, colon, secret = user.partition(":")
    if not name:
        raise ErrInvalidArgument("--user: the name is missing; write USER:PASSWORD")
    if not colon:
        if not _is_terminal(sys.stdin):
            raise ErrInvalidArgument(
                f"--user {name}: no password, and no terminal to ask for one; "
                "write USER:PASSWORD"
            )
        secret = getpass.getpass(f"Password of {name}: ")
    return name, secret


async def list_images(args: argparse.Namespace) -> None:
    """List the image records of the namespace."""
    async with _client(args) as client:
        images = await client.image_service().list()
    if args.json:
        _print_json([image_json(image) for image in images])
    else:
        _print_rows((image.name, image.target.digest) for image in images)


async def remove_image(args: argparse.Namespace) -> None:
    """Remove an image record; its content goes with the next collection."""
    async with _client(args) as client:
        await client.image_service().delete(args.name)
    if args.json:
        _print_json({"removed": args.name})


async def list_content(args: argparse.Namespace) -> None:
    """List the blobs of the namespace."""
    async with _client(args) as client:
        infos = await client.content_store().walk()
    if args.json:
        _print_json(
            [
                {"digest": info.digest, "size": info.size, "labels": dict(info.labels)}
                for info in infos
            ]
        )
    else:
        _print_rows((info.digest, info.size, dict(info.labels)) for info in infos)


async def get_content(args: argparse.Namespace) -> None:
    """Write the bytes of a blob to standard output."""
    desc = Descriptor(digest=digest.parse(args.digest))
    async with _client(args) as client:
        reader = await client.content_store().reader_at(desc)
        await run_blocking(_write_out, reader)


def _write_out(reader: ReaderAt) -> None:
    try:
        offset = 0
        while piece := reader.read_at(offset, PIECE):
            sys.stdout.buffer.write(piece)
            offset += len(piece)
        sys.stdout.buffer.flush()
    finally:
        reader.close()


async def list_active(args: argparse.Namespace) -> None:
    """List downloads that began and did not end."""
    async with _client(args) as client:
        statuses = await client.content_store().list_statuses()
    if args.json:
        _print_json(
            [
                {"ref": status.ref, "offset": status.offset, "total": status.total}
                for status in statuses
            ]
        )
    else:
        _print_rows((status.ref, status.offset, status.total) for status in statuses)


async def list_leases(args: argparse.Namespace) -> None:
    """List the leases of the namespace."""
    async with _client(args) as client:
        leases = await client.leases_service().list()
    if args.json:
        _print_json(
            [
                {
                    "id": lease.id,
                    "created": _time(lease.created_at),
                    "labels": dict(lease.labels),
                }
                for lease in leases
            ]
        )
    else:
        _print_rows((lease.id, _time(lease.created_at)) for lease in leases)


def _time(when: datetime | None) -> str:
    return when.isoformat() if when else ""


async def remove_lease(args: argparse.Namespace) -> None:
    """Remove a lease; what it protected goes with the next collection."""
    async with _client(args) as client:
        manager = client.leases_service()
        found = {lease.id: lease for lease in await manager.list()}.get(args.id)
        if found is None:
            raise ErrNotFound(f'lease "{args.id}"')
        await manager.delete(found)
    if args.json:
        _print_json({"removed": args.id})


async def list_snapshots(args: argparse.Namespace) -> None:
    """List the snapshots of the namespace."""
    async with _client(args) as client:
        snapshots = await client.snapshot_service().walk()
    if args.json:
        _print_json([snapshot_json(info) for info in snapshots])
    else:
        _print_rows((info.name, info.parent, info.kind) for info in snapshots)


def snapshot_json(info: Info) -> dict[str, Any]:
    """Return a snapshot as ``refpull --json`` prints it."""
    return {
        "key": info.name,
        "parent": info.parent,
        "kind": str(info.kind),
        "labels": dict(info.labels),
    }


async def mount_path(args: argparse.Namespace) -> None:
    """Print the folder that holds a snapshot's files.

    Of a committed snapshot, it is to be read only: others are made from it.
    """
    async with _client(args) as client:
        path = (await client.snapshot_service().root(args.key)).absolute()
    if args.json:
        _print_json({"key": args.key, "path": str(path)})
    else:
        _print_rows([(path,)])


async def collect_garbage(args: argparse.Namespace) -> None:
    """Remove whatever no image and no lease refers to."""
    async with _client(args) as client:
        stats = await client.db.garbage_collect()
    removed = [
        (node.type.name.lower(), node.namespace, node.key) for node in stats.removed
    ]
    if args.json:
        keys = ("type", "namespace", "key")
        _print_json({"removed": [dict(zip(keys, row, strict=True)) for row in removed]})
    else:
        _print_rows(removed)
