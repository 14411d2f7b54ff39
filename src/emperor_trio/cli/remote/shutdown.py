"""``emperor-trio shutdown``: the end of the emperor and all its vassals."""

from __future__ import annotations

import os
import select

import trio

from emperor_trio.cli.exits import EXIT_FAILED, EXIT_OK
from emperor_trio.cli.output import print_text
from emperor_trio.cli.remote.flags import Given
from emperor_trio.cli.remote.link import Link, complain, converse
from emperor_trio.cli.remote.plain import document
from emperor_trio.control.messages import Done, Shutdown


def run(given: Given) -> int:
    return converse(given, lambda link: _shut_down(link, given), whole=False)


async def _shut_down(link: Link, given: Given) -> int:
    pid = link.greeting.pid
    gone = _Process(pid)
    await link.ask(Shutdown(0), Done)
    ended: bool | None = None
    if given["--wait"]:
        with trio.move_on_after(given["--within"]):
            await gone.wait()
        ended = not gone.lives()
    if given["--json"]:
        print_text(document({"ok": ended is not False, "pid": pid, "ended": ended}))
    elif ended is None:
        print_text(f"the emperor (pid {pid}) was told to stop; --wait waits for its end")
    elif ended:
        print_text(f"the emperor (pid {pid}) is gone")
    else:
        complain(f"the emperor (pid {pid}) is still there after {given['--within']:g} s: see 'emperor-trio status'")
    return EXIT_FAILED if ended is False else EXIT_OK


class _Process:
    """One process, not whichever has its number later."""

    def __init__(self, pid: int) -> None:
        try:
            self._descriptor: int | None = os.pidfd_open(pid)
        except OSError:
            self._descriptor = None  # in another PID namespace: it is told, not watched

    async def wait(self) -> None:
        """Until its end."""
        if self._descriptor is not None:
            await trio.lowlevel.wait_readable(self._descriptor)

    def lives(self) -> bool:
        return self._descriptor is not None and not select.select([self._descriptor], [], [], 0)[0]
