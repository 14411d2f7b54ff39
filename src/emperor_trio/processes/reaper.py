"""Notices exits: kills what is left of the dead process' group, reaps it, and says how it ended.

Two ways. The daemon waits for SIGCHLD and reaps *every* child of the process, orphans too, without a descriptor each. A
program that runs an emperor in its own nursery keeps its signal handlers and its other children: a pidfd each, there.
"""

from __future__ import annotations

import contextlib
import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial

import trio

from emperor_trio.processes.poller import Poller

OnExit = Callable[[int], None]
"""Is told how the process ended, as :attr:`subprocess.Popen.returncode` says it: −N for signal N."""

BATCH = 256
UNKNOWN = 255
"""The code of a child that somebody else has reaped."""


class Reaper(ABC):
    """Watches children that lead their own session, as the launcher makes them; each from the moment of its start."""

    def __init__(self) -> None:
        self._watched: dict[int, OnExit] = {}

    def watch(self, pid: int, on_exit: OnExit) -> None:
        """Call back once, in the Trio thread and never from inside this call. Raises OSError where there is no room."""
        self._watched[pid] = on_exit

    @abstractmethod
    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Reap, for ever."""

    async def bury(self) -> None:
        """Kill and reap all that is left. Who hangs in the system for two seconds is left to init."""
        for pid in self._watched:
            kill_group(pid)
        with trio.move_on_after(2):
            while self._watched:
                for pid in list(self._watched):
                    if has_ended(pid):
                        self._finish(pid)
                await trio.sleep(0.01)

    def _finish(self, pid: int) -> None:
        on_exit = self._watched.pop(pid)
        on_exit(kill_and_reap(pid))


class SigchldReaper(Reaper):
    """Reaps whatever ends. There must be one only, on the main thread."""

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        with trio.open_signal_receiver(signal.SIGCHLD) as signals:
            task_status.started()
            await self._sweep()
            async for _ in signals:
                await self._sweep()

    async def _sweep(self) -> None:
        count = 0
        while (pid := some_ended()) is not None:
            if pid in self._watched:
                self._finish(pid)
            else:
                os.waitpid(pid, 0)  # noqa: ASYNC222 - it has ended
            count += 1
            if count % BATCH == 0:
                await trio.lowlevel.checkpoint()


class PidfdReaper(Reaper):
    """Reaps only what it watches, with one descriptor each."""

    def __init__(self, poller: Poller) -> None:
        super().__init__()
        self._poller = poller
        self._pidfds: dict[int, int] = {}

    def watch(self, pid: int, on_exit: OnExit) -> None:
        pidfd = os.pidfd_open(pid)
        try:
            self._poller.watch(pidfd, partial(self._finish, pid))
        except OSError:
            os.close(pidfd)
            raise
        self._pidfds[pid] = pidfd
        super().watch(pid, on_exit)

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep_forever()

    def _finish(self, pid: int) -> None:
        pidfd = self._pidfds.pop(pid)
        self._poller.forget(pidfd)
        os.close(pidfd)
        super()._finish(pid)


def kill_group(pid: int) -> None:
    """SIGKILL to the group that this process leads. Only while it is not reaped: then the number is still its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def kill_and_reap(pid: int) -> int:
    """Kill what is left of a child's group and reap the child, which has ended or does so at once; its exit code."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return UNKNOWN  # somebody else reaped it: its number may be another process' by now
    kill_group(pid)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def has_ended(pid: int) -> bool:
    """Whether a child has ended; it is not reaped by this."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def some_ended() -> int | None:
    """Some child that has ended, not reaped yet: nobody else can have its number until then."""
    try:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return ended.si_pid if ended is not None else None
