"""The command line: ``refpull`` and ``python -m refimpl`` are the same.

    refpull --root DIR pull 127.0.0.1:5000/library/hello:1
    refpull --root DIR images ls --json

Exit status: 0 done, 1 it failed (one line on standard error, or an ``error`` object
with ``--json``), 2 the command line makes no sense.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

import anyio

from refimpl import commands
from refimpl.cli import parse_arguments
from refimpl.errdefs import ContainerdError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    args = parse_arguments(argv)
    try:
        status = _run(args)
        # Written out now: at exit it would be too late to say what fails.
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        return _give_up_output()
    except OSError as err:
        print(f"refpull: standard output: {err.strerror}", file=sys.stderr)
        return _give_up_output()
    return status


def _run(args: argparse.Namespace) -> int:
    try:
        if not _can_watch():
            anyio.run(args.run, args)
        elif not anyio.run(_ends_before_an_interrupt, args):
            return _interrupted()
    except ContainerdError as err:
        commands.print_error(err, as_json=args.json)
        return 1
    except BrokenPipeError:
        raise  # nobody reads: no error of the store's
    except OSError as err:
        commands.print_error(
            ContainerdError(f"{err.filename or args.root}: {err.strerror or err}"),
            as_json=args.json,
        )
        return 1
    except KeyboardInterrupt:
        return _interrupted()
    return 0


def _interrupted() -> int:
    print("refpull: interrupted; run it again to go on", file=sys.stderr)
    return 130


def _can_watch() -> bool:
    """Tell whether Ctrl-C is ours: not in a thread, nor where it was ignored."""
    in_main = threading.current_thread() is threading.main_thread()
    return in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler


async def _ends_before_an_interrupt(args: argparse.Namespace) -> bool:
    """Run a command; SIGINT cancels it, and a second one does not wait for that.

    asyncio's own handler does not wake a loop that is about to sleep, or whose
    signal came in another thread: the pull would go on until its next byte.
    """
    done, error = False, None

    async def watch() -> None:
        with anyio.open_signal_receiver(signal.SIGINT) as signals:
            async for _ in signals:
                break
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        try:
            await args.run(args)
            done = True
        except Exception as err:  # noqa: BLE001 - raised below, out of the group
            error = err
        tasks.cancel_scope.cancel()
    if error is not None:
        raise error
    return done


def _give_up_output() -> int:
    """Let what is left in the buffer go nowhere, and return the exit status.

    Who reads has closed the pipe, as ``head`` does: nobody wants to hear of it.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return 1


if __name__ == "__main__":
    sys.exit(main())
