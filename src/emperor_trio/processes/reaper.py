"""Notices exits: kills what is left of the dead process' group, reaps it, and says how it ended.

Two ways. The daemon waits for SIGCHLD and reaps *every* child of the process, orphans too, without a descriptor each. A
program that runs an emperor in its own nursery keeps its signal handlers and its other children: a pidfd each, there.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from typing import Protocol

import trio

from emperor_trio.processes.poller import Poller

OnExit = Callable[[int], None]
"""Is told how the process ended, as :attr:`subprocess.Popen.returncode` says it: −N for signal N."""

BATCH = 256
UNKNOWN = 255
"""The code of a child that somebody else has reaped."""


class Reaper(Protocol):
    """Every child of the launcher is the leader of its session, and is to be watched at once."""

    def watch(self, pid: int, on_exit: OnExit) -> None:
        """Call back once, in the Trio thread and never from inside this call. Raises OSError where there is no room."""
        ...

    def watched(self) -> list[int]:
        """Those that have not ended yet."""
        ...

    async def run(self, task_status: trio.TaskStatus[None]) -> None: ...


class SigchldReaper:
    """Reaps whatever ends. There must be one only, on the main thread."""

    def __init__(self) -> None:
        self._watched: dict[int, OnExit] = {}

    def watch(self, pid: int, on_exit: OnExit) -> None:
        self._watched[pid] = on_exit

    def watched(self) -> list[int]:
        return list(self._watched)

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        with trio.open_signal_receiver(signal.SIGCHLD) as signals:
            task_status.started()
            await self._sweep()
            async for _ in signals:
                await self._sweep()

    async def _sweep(self) -> None:
        count = 0
        while (pid := _peek()) is not None:
            on_exit = self._watched.pop(pid, None)
            if on_exit is not None:
                kill_group(pid)
            code = _reap(pid)
            if on_exit is not None:
                on_exit(code)
            count += 1
            if count % BATCH == 0:
                await trio.lowlevel.checkpoint()


class PidfdReaper:
    """Reaps only what it watches, with one descriptor each."""

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        self._watched: dict[int, int] = {}

    def watch(self, pid: int, on_exit: OnExit) -> None:
        pidfd = os.pidfd_open(pid)
        try:
            self._poller.watch(pidfd, lambda: self._ended(pid, on_exit))
        except OSError:
            os.close(pidfd)
            raise
        self._watched[pid] = pidfd

    def watched(self) -> list[int]:
        return list(self._watched)

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep_forever()

    def _ended(self, pid: int, on_exit: OnExit) -> None:
        pidfd = self._watched.pop(pid)
        self._poller.forget(pidfd)
        kill_group(pid)
        os.close(pidfd)
        on_exit(_reap(pid))


def kill_group(pid: int) -> None:
    """SIGKILL to the group that this process leads. Only while it is not reaped: then the number is still its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def kill_and_reap(pid: int) -> None:
    """Get rid of a child whose launch did not work out. Waits for its death, which follows at once."""
    kill_group(pid)
    _reap(pid)


async def bury(pids: list[int]) -> None:
    """Kill these groups and reap their leaders; who hangs in the system for two seconds is left to init."""
    for pid in pids:
        kill_group(pid)
    with trio.move_on_after(2):
        for pid in pids:
            while _is_running(pid):  # noqa: ASYNC110 - nobody is left to set an event
                await trio.sleep(0.01)


def _is_running(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == 0
    except ChildProcessError:
        return False


def _peek() -> int | None:
    """Some child that has ended, left unreaped: its number can't be given to another process yet."""
    try:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return ended.si_pid if ended is not None else None


def _reap(pid: int) -> int:
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return UNKNOWN
