"""ZeroMQ on Trio: the library's beginning and end, a receive that loses nothing, and the path of a unix socket.

Owns no socket of its own. A ZeroMQ descriptor says only once that something changed, so whoever waits for it must have
found nothing to receive before.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import trio
import zmq

from emperor_trio.errors import MonitorError

END_LIMIT = 5.0
"""Seconds that the library has to close what it opened."""

KEPT_FRAMES = 7
"""Frames of one message that are kept; the others are only counted."""

FAIR_FRAMES = 1000
"""Frames of one message after which everyone else has a turn."""


@asynccontextmanager
async def zmq_library(limiter: trio.CapacityLimiter) -> AsyncIterator[zmq.Context[zmq.Socket[bytes]]]:
    """A library of its own. At the end all its sockets are closed, and waited for, so that they can be bound anew."""
    library = zmq.Context()
    try:
        yield library
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + END_LIMIT):
            end = partial(library.destroy, linger=0)
            await trio.to_thread.run_sync(end, limiter=limiter, abandon_on_cancel=True)


async def receive(pull: zmq.Socket[bytes]) -> tuple[list[bytes], int]:
    """The next message that is there, without its frames beyond :data:`KEPT_FRAMES`, and how many it has.

    Raises :class:`zmq.Again` where there is none. A message of ordinary size comes without a checkpoint.
    """
    frames = [pull.recv(zmq.NOBLOCK)]
    count = 1
    while pull.get(zmq.RCVMORE):
        frame = pull.recv(zmq.NOBLOCK)
        count += 1
        if count <= KEPT_FRAMES:
            frames.append(frame)
        elif count % FAIR_FRAMES == 0:
            await trio.lowlevel.cancel_shielded_checkpoint()
    return frames, count


def free_path(path: str) -> None:
    """Unlink a dead unix socket; the library itself would unlink whatever is there. Blocks.

    Raises :class:`~emperor_trio.errors.MonitorError` where something else is there, or somebody listens.
    """
    if path.startswith("@"):
        return
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise MonitorError(f"ipc://{path}: something is there that is no socket: remove it, or name another path")
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)
            code = probe.connect_ex(path)
        if code != errno.ECONNREFUSED:
            raise MonitorError(f"ipc://{path}: another program listens there: end it, or name another path")
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise MonitorError(
            f"ipc://{path}: {error.strerror}: user {os.geteuid()} must be able to write there"
        ) from error


def explain_bind(endpoint: str, error: zmq.ZMQError) -> str:
    """Why an endpoint can't be bound, and what to do."""
    match error.errno:
        case errno.EADDRINUSE:
            return f"{endpoint}: another program listens there: end it, or name another port"
        case errno.EADDRNOTAVAIL | errno.ENODEV:
            return f"{endpoint}: no interface of this machine has that address"
        case errno.EACCES:
            return f"{endpoint}: user {os.geteuid()} may not listen there: name a port over 1023, or another folder"
        case _:
            return f"{endpoint}: can't listen there: {error.strerror}"
