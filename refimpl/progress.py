"""Progress of a pull on a terminal: a bar for every blob on its way.

It asks the content store for its unfinished ingests, as ``ctr`` does, so the pull
itself knows nothing of it.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rich.progress import Progress, TaskID

    from refimpl.client import Client

__all__ = ["progress"]

# Seconds between two looks at the store.
INTERVAL: Final = 0.1


@asynccontextmanager
async def progress(client: Client, *, visible: bool) -> AsyncIterator[None]:
    """Show the ingests of the client's namespace while the body runs."""
    if not visible:
        yield
        return
    # Imported here: a pull that shows nothing does not pay for it.
    from rich.console import Console  # noqa: PLC0415 - see above
    from rich.progress import (  # noqa: PLC0415 - see above
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    error: Exception | None = None
    with Progress(*columns, console=Console(stderr=True)) as bars:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_watch, client, bars)
            try:
                yield
            except Exception as err:  # noqa: BLE001 - raised below, without its group
                error = err
            tasks.cancel_scope.cancel()
    if error is not None:
        raise error


async def _watch(client: Client, bars: Progress) -> None:
    shown: dict[str, TaskID] = {}
    while True:
        active = {s.ref: s for s in await client.content_store().list_statuses()}
        for ref, status in active.items():
            if ref not in shown:
                shown[ref] = bars.add_task(_short(ref), total=status.total or None)
            bars.update(shown[ref], completed=status.offset)
        for ref in shown.keys() - active.keys():
            total = bars.tasks[shown[ref]].total
            bars.update(shown[ref], completed=total)
        await anyio.sleep(INTERVAL)


def _short(ref: str) -> str:
    kind, _, digest = ref.partition("-sha256:")
    return f"{kind} {digest[:12]}" if digest else ref
