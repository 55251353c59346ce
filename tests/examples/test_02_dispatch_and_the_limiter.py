"""Lesson 2: how a tree of descriptors is walked, some at a time.

`dispatch` runs a handler on a descriptor and then on its children, in parallel. A
permit is held while a handler runs and given back before its children are visited: so
one permit is enough for a tree of any depth, and none is ever waited for in vain.
"""

import anyio

from refimpl import Descriptor, Digest, images

TREE = {"index": ["amd64", "arm64"], "amd64": ["config", "layer"], "arm64": []}


def test_two_at_a_time():
    running, most, order = 0, 0, []

    async def handle(desc):
        nonlocal running, most
        running += 1
        most = max(most, running)
        order.append(desc.digest)
        await anyio.lowlevel.checkpoint()  # what a download would do here: wait
        running -= 1
        return [Descriptor(digest=Digest(name)) for name in TREE.get(desc.digest, [])]

    async def walk(limit):
        root = Descriptor(digest=Digest("index"))
        await images.dispatch(handle, anyio.Semaphore(limit), root)

    anyio.run(walk, 2)
    assert most == 2
    assert order[0] == "index"  # a parent comes before its children,
    assert set(order[1:3]) == {"amd64", "arm64"}  # which come side by side

    most, order = 0, []
    anyio.run(walk, 1)  # does not hang
    assert most == 1
    assert len(order) == 5
