"""A program that uses refimpl as a library, to be measured from start to end.

    python -m tests.benchmarks.library pull ROOT FILE
    python -m tests.benchmarks.library unpack ROOT REF

It pulls the images that a file names, one after the other, into one store; or it
unpacks an image that a store has.
"""

from __future__ import annotations

import sys
from pathlib import Path

import anyio

from refimpl import Client, Image, ResolverOptions, new_resolver


async def _pull(root: str, *refs: str) -> None:
    async with (
        new_resolver(ResolverOptions(plain_http=True)) as resolver,
        Client(Path(root), resolver=resolver) as client,
    ):
        for ref in refs:
            await client.pull(ref)


async def _unpack(root: str, ref: str) -> None:
    async with Client(Path(root)) as client:
        record = await client.image_service().get(ref)
        image = Image(client=client, metadata=record, platform=client.platform)
        await image.unpack()


def _main() -> None:
    command, root, argument = sys.argv[1:]
    if command == "pull":
        anyio.run(_pull, root, *Path(argument).read_text(encoding="utf-8").split())
    else:
        anyio.run(_unpack, root, argument)


if __name__ == "__main__":
    _main()
