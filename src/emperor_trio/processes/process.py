"""One vassal's process as its actor sees it: the emperor's ends of its pipes, and what comes out of them.

Decides nothing. Reaping is :mod:`emperor_trio.processes.reaper`'s, and goes on after :meth:`VassalProcess.close`.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from collections.abc import Callable

import trio

from emperor_trio.errors import SpawnError
from emperor_trio.law.protocol import HEADER, config_chunk
from emperor_trio.model import MAX_CONFIG
from emperor_trio.ports import Deliver, Exited, PipeClosed, Received
from emperor_trio.processes.poller import Poller
from emperor_trio.processes.reaper import kill_group
from emperor_trio.strangers import receive, refuse_descriptors

Discard = Callable[[socket.socket], None]
"""Closes a socket whose other end a vassal has, whatever lies in it, without ever waiting."""

READ = 1024
"""Bytes taken at once. A vassal sends one now and then; who fills this has to rest, and can't keep the emperor busy."""

LAST_READS = 16
"""How often a dead vassal's pipe is read for its last words."""

BURST = 16
"""Reads within a rest's time until the next rest: a few words at a start are heard at once, a drip of them is not."""

REST = 0.1
"""Seconds. After an end of file, too: mostly the process is about to end, and its exit says more."""


class ConfigPipe:
    """The emperor's end of ``UWSGI_EMPEROR_FD_CONFIG``: chunks go in whole or not at all."""

    __slots__ = ("_discard", "_socket")

    def __init__(self, ours: socket.socket, discard: Discard = socket.socket.close) -> None:
        """Takes the socket over. Raises SpawnError where the system is too narrow for the largest config."""
        self._socket = ours
        self._discard = discard
        ours.setblocking(False)
        refuse_descriptors(ours)
        largest = _room_for(HEADER.size + MAX_CONFIG)
        if self._room() < largest:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, largest)
        if self._room() < largest:
            raise SpawnError(f"a config does not fit into a pipe here: raise the sysctl net.core.wmem_max to {largest}")

    def send(self, config: bytes) -> bool:
        """Write one chunk. False where there is no room for all of it, or nobody to read it.

        Raises ValueError for a config over 65,535 bytes.
        """
        chunk = config_chunk(config)
        if self.unread() and self._room() < self.unread() + _room_for(len(chunk)):
            return False
        try:
            return self._socket.send(chunk) == len(chunk)
        except OSError:
            return False

    def send_first(self, config: bytes) -> None:
        """Write a vassal's first chunk. Raises SpawnError where it is too large."""
        try:
            sent = self.send(config)
        except ValueError as error:
            raise SpawnError(str(error)) from error
        if not sent:
            raise SpawnError("its config can't be sent")

    def unread(self) -> int:
        """How much the vassal has not read, in the system's own way of counting; 0 for nothing."""
        try:
            return int(struct.unpack("i", fcntl.ioctl(self._socket, termios.TIOCOUTQ, bytes(4)))[0])
        except OSError:
            return 0

    def close(self) -> None:
        self._discard(self._socket)

    def _room(self) -> int:
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)


def _room_for(size: int) -> int:
    """What ``size`` bytes take up in a pipe at most, as the system counts (measured: 2 % and 1 kB more)."""
    return 2 * size + 4096


class VassalProcess:
    """Implements :class:`emperor_trio.ports.Process`, from :meth:`began` on until :meth:`ended`."""

    __slots__ = (
        "_burst_until",
        "_closing",
        "_config",
        "_deliver",
        "_discard",
        "_pipe",
        "_poller",
        "_reads",
        "_running",
        "pid",
    )

    def __init__(
        self,
        pipe: socket.socket,
        config: ConfigPipe | None,
        poller: Poller,
        deliver: Deliver,
        discard: Discard = socket.socket.close,
    ) -> None:
        """Takes the pipes over. Raises OSError where there is no room to watch one more."""
        pipe.setblocking(False)
        refuse_descriptors(pipe)
        poller.watch(pipe.fileno(), self._readable)
        self.pid: int = 0
        self._pipe: socket.socket | None = pipe
        self._config = config
        self._poller = poller
        self._deliver: Deliver | None = deliver
        self._discard = discard
        self._running = False
        self._closing = False
        self._burst_until = 0.0
        self._reads = 0

    def began(self, pid: int) -> None:
        self.pid = pid
        self._running = True

    def send(self, order: int) -> bool:
        if self._pipe is None:
            return False
        try:
            return self._pipe.send(bytes([order])) == 1
        except OSError:
            return False

    def send_config(self, config: bytes) -> bool:
        return self._config is not None and len(config) <= MAX_CONFIG and self._config.send(config)

    def has_unread_config(self) -> bool:
        return self._config is not None and self._config.unread() > 0

    def kill(self) -> None:
        if self._running:
            kill_group(self.pid)

    def close(self) -> None:
        self._deliver = None
        if self._pipe is not None:
            self._poller.forget(self._pipe.fileno())
            self._discard(self._pipe)
            self._pipe = None
        if self._config is not None:
            self._config.close()
            self._config = None

    def ended(self, code: int) -> None:
        """The process is reaped: hand over what it still said, then how it ended, then nothing more."""
        self._running = False
        for _ in range(LAST_READS):
            if not (data := self._read()):
                break
            self._tell(Received(data))
        deliver = self._deliver
        self.close()
        if deliver is not None:
            deliver(Exited(code))

    def _readable(self) -> None:
        pipe, data = self._pipe, self._read()
        if pipe is None or data is None:
            return
        if not data and self._closing:
            self._poller.forget(pipe.fileno())
            self._tell(PipeClosed())
            return
        self._closing = not data
        if len(data) in (0, READ) or self._drips():
            self._poller.rest(pipe.fileno(), REST)
        if data:
            self._tell(Received(data))

    def _drips(self) -> bool:
        """Whether this was one read too many for the time being."""
        now = trio.current_time()
        if now >= self._burst_until:
            self._burst_until, self._reads = now + REST, 0
        self._reads += 1
        return self._reads >= BURST

    def _read(self) -> bytes | None:
        """What is there now: empty at the end of the file, ``None`` where there is nothing yet.

        Whoever sends descriptors has nothing more to say either: nothing behind them is read.
        """
        if self._pipe is None:
            return None
        try:
            return receive(self._pipe, READ)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _tell(self, event: Received | PipeClosed) -> None:
        if self._deliver is not None:
            self._deliver(event)
