"""The sockets that outlets listen on: an address in, a listening socket out, and no file of anyone else's removed.

Vassals' sockets are another matter; see ``processes/``.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import trio

from emperor_trio.errors import UsageError

BACKLOG = 128
MAX_PORT = 65_535

RESET = struct.pack("ii", 1, 0)
"""For SO_LINGER: the kernel keeps nothing for a client that was let go."""

_BROKEN = {errno.EBADF, errno.EINVAL, errno.ENOTSOCK}
"""What says that the listening socket itself is gone; anything else concerns one connection, or passes."""


@dataclass(slots=True)
class Listening:
    """A listening socket, and the file that is its path (device and inode tell whether it is still ours)."""

    socket: socket.socket
    path: str | None = None
    device: int = 0
    inode: int = 0

    def close(self) -> None:
        """Close, and remove the path where it is still ours. Idempotent."""
        self.socket.close()
        path, self.path = self.path, None
        with suppress(OSError):
            if path is not None and _identity(path) == (self.device, self.inode):
                os.unlink(path)


def listen_on(option: str, address: str, mode: int | None = None) -> Listening:
    """Listen on ``host:port``, ``:port`` (all interfaces) or the path of a unix socket, made ``mode`` where given.

    A path whose socket nobody listens on any more is replaced. Raises :class:`~emperor_trio.errors.UsageError`, which
    names ``option``.
    """
    try:
        host, colon, port = address.rpartition(":")
        if colon and "/" not in port:
            return Listening(_listen_on_port(host, port))
        return _listen_on_path(os.path.abspath(address), mode)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{option} {address}: can't listen there: {reason}; choose another address") from error


def adopt(listener: socket.socket) -> Listening:
    """Listen on what somebody else has opened, the service manager say: its path is left alone at the end.

    It is duplicated, so that an outlet which is run again can listen again.
    """
    return Listening(listener.dup())


async def accept(listener: trio.socket.SocketType) -> trio.socket.SocketType | None:
    """The next connection; ``None``, after a pause, where the system has no room for it or it is already over."""
    try:
        connection, _ = await listener.accept()
    except OSError as error:
        if error.errno in _BROKEN:
            raise
        await trio.sleep(0.1)
        return None
    return connection


def _listen_on_port(host: str, port: str) -> socket.socket:
    if not (port.isascii() and port.isdecimal() and int(port) <= MAX_PORT):
        raise ValueError(f"{port!r} is no port, a number up to {MAX_PORT}")
    host = host.removeprefix("[").removesuffix("]")
    found = socket.getaddrinfo(host or "0.0.0.0", int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)  # noqa: S104
    family, kind, protocol, _, where = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def listen_on_path(option: str, path: str, mode: int | None = None) -> Listening:
    """As :func:`listen_on`, where an address is always a path."""
    try:
        return _listen_on_path(os.path.abspath(path), mode)
    except OSError as error:
        raise UsageError(
            f"{option} {path}: can't listen there: {error.strerror or error}; choose another path"
        ) from error


def bind_datagrams(option: str, path: str, mode: int | None = None) -> Listening:
    """Bind a unix datagram socket to a path; as :func:`listen_on` in everything else."""
    try:
        return _bind_to_path(os.path.abspath(path), mode, socket.SOCK_DGRAM)
    except OSError as error:
        raise UsageError(
            f"{option} {path}: can't listen there: {error.strerror or error}; choose another path"
        ) from error


def _listen_on_path(path: str, mode: int | None) -> Listening:
    listening = _bind_to_path(path, mode, socket.SOCK_STREAM)
    try:
        listening.socket.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


def _bind_to_path(path: str, mode: int | None, kind: socket.SocketKind) -> Listening:
    _remove_dead(path, kind)
    bound = socket.socket(socket.AF_UNIX, kind)
    try:
        with _file_mode(mode):
            bound.bind(path)
        return Listening(bound, path, *_identity(path))
    except BaseException:
        bound.close()
        raise


def _remove_dead(path: str, kind: socket.SocketKind) -> None:
    """Make room where an earlier process left its socket. Another kind of file stays, and so does a living socket."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise FileExistsError(errno.EEXIST, "a file that is no socket is there")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, kind) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


@contextmanager
def _file_mode(mode: int | None) -> Iterator[None]:
    """Have files made with this mode. To change it afterwards by name could be misled to another file."""
    if mode is None:
        yield
        return
    before = os.umask(0o777 & ~mode)
    try:
        yield
    finally:
        os.umask(before)


def _identity(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino
