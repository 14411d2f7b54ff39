"""Starts children and sees them to their end: vassals without waiting, commands of the emperor's side within a limit.

Commands never go through :func:`trio.run_process`, which forks in a worker thread and would fight with the reaper for
the exit.
"""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import dataclass, replace

import trio

from emperor_trio.errors import SpawnError
from emperor_trio.processes.launch import Launch
from emperor_trio.processes.launcher import Launcher, refusal
from emperor_trio.processes.reaper import OnExit, Reaper, kill_and_reap, kill_group
from emperor_trio.strangers import end

MAX_OUTPUT = 4096
"""Bytes of a command's output that are read; more is a fault."""

HOLD = ("/bin/sh", "-c", "exec sleep 1")
"""Keeps descriptors open for longer than the emperor takes to close its own."""


@dataclass(frozen=True, slots=True)
class Finished:
    """``code`` as in :attr:`subprocess.Popen.returncode`; ``output`` what went to stdout, where that was asked for."""

    code: int
    output: bytes = b""

    @property
    def how(self) -> str:
        """How it ended, for people."""
        return f"it ended with code {self.code}" if self.code >= 0 else f"it was killed by signal {-self.code}"


class Children:
    """The launcher and the reaper, together: nothing is started that is not watched."""

    def __init__(self, launcher: Launcher, reaper: Reaper) -> None:
        self._launcher = launcher
        self._reaper = reaper

    @trio.lowlevel.enable_ki_protection  # Ctrl-C may not come between the start and the watching
    def start(self, launch: Launch, on_exit: OnExit) -> int:
        """Start a process that is reaped when it ends; its id. Raises SpawnError and SpawnDeferred, as the launcher."""
        pid = self._launcher.start(launch)
        try:
            self._reaper.watch(pid, on_exit)
        except OSError as error:
            kill_and_reap(pid)
            raise refusal(error) from error
        return pid

    async def run(self, launch: Launch, limit: float) -> Finished:
        """Run a command to its end. After ``limit`` seconds it is killed, with all that it started.

        Raises :class:`~emperor_trio.errors.SpawnError` where it can't be started or takes too long.
        """
        return await _Command(self, launch).finish(limit)

    async def ask(self, launch: Launch, limit: float) -> Finished:
        """Run a command and read what it prints. Raises as :meth:`run`, and where it prints more than 4,096 bytes."""
        try:
            source, target = os.pipe()
        except OSError as error:
            raise refusal(error) from error
        async with trio.lowlevel.FdStream(source) as stream:
            try:
                command = _Command(self, replace(launch, stdout=target))
            finally:
                os.close(target)
            return await command.finish(limit, stream)

    def discard(self, ours: socket.socket) -> None:
        """Close a socket whose other end is a vassal's, without waiting for whatever the vassal has put into it."""
        if end(ours):
            ours.close()
        else:
            self._leave_behind(ours)

    def discard_listener(self, listener: socket.socket) -> None:
        """Close a unix socket that listens, without waiting for what lies in connections that nobody has accepted."""
        try:
            listener.setblocking(False)
            listener.shutdown(socket.SHUT_RDWR)
            waiting, _ = listener.accept()
        except OSError:
            listener.close()
        else:
            self._leave_behind(waiting, listener)

    def _leave_behind(self, *sockets: socket.socket) -> None:
        """Close sockets in which descriptors may lie (see :mod:`emperor_trio.strangers`): a child has them last.

        A process that exits waits for none of them, unlike one that closes them.
        """
        pairs = tuple((ours.fileno(), slot) for ours, slot in zip(sockets, self._launcher.slots, strict=False))
        try:
            self.start(Launch((HOLD,), {}, "/", descriptors=pairs), lambda code: None)
        except SpawnError:
            threading.Thread(target=_close_all, args=sockets, daemon=True).start()
        else:
            _close_all(*sockets)


class _Command:
    """One command that runs; whoever makes it calls ``finish`` at once."""

    def __init__(self, children: Children, launch: Launch) -> None:
        self._code = 0
        self._ended = trio.Event()
        self._pid = children.start(launch, self._on_exit)

    def _on_exit(self, code: int) -> None:
        self._code = code
        self._ended.set()

    async def finish(self, limit: float, stream: trio.lowlevel.FdStream | None = None) -> Finished:
        try:
            with trio.move_on_after(limit):
                output = await _read_all(stream) if stream is not None else b""
                await self._ended.wait()
                return Finished(self._code, output)
        finally:
            if not self._ended.is_set():
                kill_group(self._pid)
        raise SpawnError(f"it took longer than {limit:g} s and was killed")


async def _read_all(stream: trio.lowlevel.FdStream) -> bytes:
    output = bytearray()
    while data := await stream.receive_some(MAX_OUTPUT):
        output.extend(data)
        if len(output) > MAX_OUTPUT:
            raise SpawnError(f"it prints more than {MAX_OUTPUT:,} bytes")
    return bytes(output)


def _close_all(*sockets: socket.socket) -> None:
    for each in sockets:
        each.close()
