"""Run a command and print what it took, as JSON.

    python -I -S launch.py COMMAND ARGUMENT...

The peak memory of a process that was just forked is that of its parent: a launcher
as small as this one keeps the figure honest. What a command prints to its standard
output is dropped; its standard error is that of the launcher.
"""

import json
import os
import sys
import time


def _main() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    actions = [(os.POSIX_SPAWN_DUP2, null, number) for number in (0, 1)]
    began = time.monotonic()
    pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=actions)
    _, status, usage = os.wait4(pid, 0)
    ended = time.monotonic()
    took = {
        "seconds": ended - began,
        "exit": os.waitstatus_to_exitcode(status),
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss * 1024,
    }
    json.dump(took, sys.stdout)


if __name__ == "__main__":
    _main()
