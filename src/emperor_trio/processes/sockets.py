"""The sockets of on-demand vassals: their addresses, and waiting for the first connection.

How they are bound, and with whose rights, is :mod:`emperor_trio.processes.binding`'s.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

from emperor_trio.errors import ListenError
from emperor_trio.processes.poller import Poller
from emperor_trio.processes.process import Discard
from emperor_trio.strangers import refuse_descriptors

MAX_PATH = 107
"""Bytes of a unix socket's path."""


@dataclass(frozen=True, slots=True)
class Inet:
    """A TCP address."""

    host: str
    port: int
    version: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.version == 6 else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Unix:
    """An absolute path, or a name that begins with NUL: the abstract namespace."""

    path: str

    @property
    def abstract(self) -> bool:
        return self.path.startswith("\0")

    def __str__(self) -> str:
        return "@" + self.path[1:] if self.abstract else self.path


Address = Inet | Unix


def parse_address(text: str, directory: str) -> Address:
    """``host:port``, ``:port``, ``[v6]:port``, ``@abstract`` or a path, relative to ``directory``.

    What holds a slash is a path, colons or not. Hosts are numeric, as in uWSGI, or ``localhost``: were names looked up,
    tenants would decide what the emperor waits for. Raises :class:`~emperor_trio.errors.ListenError`.
    """
    if "\0" in text or not text:
        raise ListenError(f"{text!r} is no address of a socket")
    if text.startswith("@"):
        return _checked(Unix("\0" + text[1:]), text)
    if "/" in text or ":" not in text:
        return _checked(Unix(os.path.join(directory, text)), text)
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdecimal() and int(port) < 2**16):
        raise ListenError(f"{text}: {port!r} is no port")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    try:
        number = ipaddress.ip_address({"": "0.0.0.0", "localhost": "127.0.0.1"}.get(host, host))  # noqa: S104
    except ValueError:
        raise ListenError(f"{text}: {host!r} is no IP address; names are not looked up here") from None
    return Inet(str(number), int(port), number.version)


def _checked(address: Unix, text: str) -> Unix:
    if len(os.fsencode(address.path)) > MAX_PATH:
        raise ListenError(f"{text}: the path of a unix socket has {MAX_PATH} bytes at most, with its folder {address}")
    return address


@dataclass(frozen=True, slots=True)
class Place:
    """Where a unix socket lies in the file system, and which one it is."""

    path: str
    device: int
    inode: int

    def unlink(self) -> None:
        """Remove the socket, unless something else has taken its path meanwhile."""
        with contextlib.suppress(OSError):
            found = os.lstat(self.path)
            if (found.st_dev, found.st_ino) == (self.device, self.inode):
                os.unlink(self.path)


class SystemListener:
    """Implements :class:`emperor_trio.ports.Listener` over a socket that is bound and listens."""

    __slots__ = ("_discard", "_notify", "_place", "_poller", "_socket", "address")

    def __init__(
        self, bound: socket.socket, address: Address, place: Place | None, poller: Poller, discard: Discard
    ) -> None:
        """Takes the socket over. ``place`` is what :meth:`close` unlinks. Raises OSError for want of room."""
        refuse_descriptors(bound)
        poller.watch(bound.fileno(), self._ready)
        poller.hold(bound.fileno())
        self._socket = bound
        self._place = place
        self._discard = discard if isinstance(address, Unix) else socket.socket.close
        self._poller = poller
        self._notify: Callable[[], None] | None = None
        self.address: str = str(address)

    def fileno(self) -> int:
        """The descriptor that becomes the vassal's stdin; −1 once it is closed."""
        return self._socket.fileno()

    def arm(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._poller.release(self._socket.fileno())

    def disarm(self) -> None:
        self._notify = None
        self._poller.hold(self._socket.fileno())

    def close(self) -> None:
        self._poller.forget(self._socket.fileno())
        self._discard(self._socket)
        if self._place is not None:
            self._place.unlink()
            self._place = None

    def _ready(self) -> None:
        notify = self._notify
        self.disarm()
        if notify is not None:
            notify()
