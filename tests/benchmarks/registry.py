"""fakeregistry against the registries that people put into their tests.

Every registry runs in a process of its own, holds the same images, pushed by
skopeo, and gets the same load, one at a time:

    start_stop.py  starting and stopping, and the first registry of a process
    gets.py        manifests and blobs, over TLS, too
    pushes.py      an image of many layers
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from fakeregistry.tls import authority
from tests.benchmarks import gets, pushes, start_stop
from tests.benchmarks.peers import Server, fake_registry, push
from tests.benchmarks.registries import FAULTY, FOLDER, OURS, PEERS, Peer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.benchmarks.context import Context

__all__ = ["run"]


def run(context: Context) -> None:
    """Measure everything about registries."""
    peers = {name: peer for name, peer in PEERS.items() if context.has(peer.program)}
    start_stop.measure(context, peers)
    if not context.has("skopeo"):
        peers = {}
    images = gets.images(quick=context.quick)
    with _plain(context, peers, images) as servers:
        for load in gets.loads(servers[OURS], quick=context.quick):
            gets.measure(context, load, servers)
        pushes.measure(context, servers)
    with _over_tls(context, peers, images[:1]) as servers:
        for load in gets.loads_over_tls(servers[OURS], quick=context.quick):
            gets.measure(context, load, servers)


@contextlib.contextmanager
def _plain(
    context: Context, peers: Mapping[str, Peer], images: Sequence[str]
) -> Iterator[dict[str, Server]]:
    """Start all registries, with the same images in them."""
    with contextlib.ExitStack() as stack:
        servers = {
            name: stack.enter_context(
                fake_registry(
                    context.place(),
                    images,
                    fault=name == FAULTY,
                    storage=name == FOLDER,
                )
            )
            for name in (OURS, FAULTY, FOLDER)
        }
        for name, peer in peers.items():
            servers[name] = stack.enter_context(peer.start(context.place()))
            _fill(context, servers[OURS], name, servers[name])
        yield servers


@contextlib.contextmanager
def _over_tls(
    context: Context, peers: Mapping[str, Peer], images: Sequence[str]
) -> Iterator[dict[str, Server]]:
    """Start those that speak TLS, with keys of the same kind."""
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(fake_registry(context.place(), images, tls=True))
        servers = {OURS: ours}
        for name, peer in peers.items():
            if peer.tls:
                start = peer.start(context.place(), tls=authority())
                servers[name] = stack.enter_context(start)
                _fill(context, ours, name, servers[name])
        yield servers


def _fill(context: Context, source: Server, name: str, target: Server) -> None:
    for image in source.images:
        context.tell(f"{image} goes to {name}")
        with context.fresh() as folder:
            push(source, target, image, folder)
