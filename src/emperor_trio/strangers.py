"""Sockets whose other end is a stranger's: only bytes are taken from them, and closing one never waits.

Whoever reads or drops a message closes the descriptors that were sent with it, and a descriptor can be made so that
closing it takes as long as its sender likes (``SO_LINGER``, on a connection whose other end reads nothing). Linux 6.16
refuses them at the sender; before that, they are seen before they are read. Linux only.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import termios
import threading
from contextlib import suppress
from typing import Protocol

SO_PASSRIGHTS = 83
"""Not known to Python: whether descriptors may be sent to a unix socket (``asm-generic/socket.h``)."""


class Shuttable(Protocol):
    """What a socket of Trio's has in common with one of Python's."""

    def fileno(self) -> int: ...

    def shutdown(self, flag: int, /) -> None: ...


class Droppable(Shuttable, Protocol):
    """The same, for closing it."""

    @property
    def family(self) -> int: ...

    def close(self) -> None: ...

    def detach(self) -> int: ...


def refuse_descriptors(ours: socket.socket) -> None:
    """Let nobody send descriptors, where the system can do that; what a listener accepts takes after it."""
    if ours.family == socket.AF_UNIX:
        with suppress(OSError):
            ours.setsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS, 0)
        # An urgent byte is one like any other: passed over, it would be dropped, and what was sent with it closed.
        with suppress(OSError):
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)


def receive(ours: socket.socket, size: int) -> bytes:
    """What is there, ``size`` bytes at most; empty at the end. Raises BlockingIOError where there is nothing yet.

    Raises OSError (EPROTO), and takes nothing, where descriptors come with it.
    """
    data, _, flags, _ = ours.recvmsg(size, 0, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    if flags & socket.MSG_CTRUNC:
        raise OSError(errno.EPROTO, os.strerror(errno.EPROTO))
    return ours.recv(len(data), socket.MSG_DONTWAIT) if data else data


def end(ours: Shuttable) -> bool:
    """Take nothing more; whether nothing lies unread, so that to close it closes nothing else."""
    with suppress(OSError):
        ours.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        return not struct.unpack("i", fcntl.ioctl(ours, termios.FIONREAD, bytes(4)))[0]
    return True


def drop(ours: Droppable) -> None:
    """Close it: in a thread of its own where something lies unread that may take long to close."""
    if ours.family != socket.AF_UNIX or end(ours):
        ours.close()
    else:
        threading.Thread(target=os.close, args=(ours.detach(),), daemon=True).start()
