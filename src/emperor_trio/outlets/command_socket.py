"""uWSGI's command socket: datagrams on a unix socket, each a packet of uWSGI's protocol with one command.

Owns the packets, and what each command means for our own. The protocol was taken over from uWSGI's development branch,
``emperor_manage_command`` in ``core/emperor.c``. Nobody gets an answer: what became of a command is in the log.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import trio

from emperor_trio.errors import UsageError
from emperor_trio.events import CommandReceived, Event, Notice
from emperor_trio.listening import Listening, bind_datagrams
from emperor_trio.model import VassalId, Verb
from emperor_trio.outlets.text import printable
from emperor_trio.ports import Realm
from emperor_trio.strangers import refuse_descriptors

MOST = 4096
"""The longest packet, in bytes, as in uWSGI."""

OPTION = "--emperor-command-socket"

VERBS = {"spawn": Verb.START, "respawn": Verb.RELOAD, "stop": Verb.STOP}
"""uWSGI's commands for one vassal. Its ``stop`` lasts until the next scan; ours until ``spawn``."""

PAUSE = 0.1
"""Seconds to wait after an error of the socket's that may pass."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One command: ``vassal`` is a name, ``message`` what ``log`` writes."""

    command: str = ""
    vassal: str = ""
    message: str = ""


class Unreadable(ValueError):
    """What is wrong with a packet."""


def parse_packet(data: bytes) -> Packet:
    """Read one packet: four bytes of head, then keys and values, each after its length (two bytes, low one first).

    Unknown keys are passed over; of one that comes twice the last value counts. Raises :class:`Unreadable`.
    """
    if len(data) < 4:
        raise Unreadable("it is shorter than its head, 4 bytes")
    values = {key: os.fsdecode(value) for key, value in _pairs(data[4:])}
    command = values.get(b"cmd", values.get(b"command", ""))
    if not command:
        raise Unreadable("it holds no cmd")
    return Packet(command, values.get(b"vassal", ""), values.get(b"msg", ""))


def _pairs(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    words = _words(body)
    for key in words:
        value = next(words, None)
        if value is None:
            raise Unreadable("its last key has no value")
        yield key, value


def _words(body: bytes) -> Iterator[bytes]:
    place = 0
    while place < len(body):
        if place + 2 > len(body):
            raise Unreadable("it ends within a length")
        (length,) = struct.unpack_from("<H", body, place)
        place += 2
        if place + length > len(body):
            raise Unreadable("a length in it reaches beyond its end")
        yield body[place : place + length]
        place += length


class CommandSocket:
    """Takes commands from the unix datagram socket ``path``, which only the emperor's user may write to by default.

    :meth:`open` it before the privileges go. ``mode`` is for the socket's path.
    """

    def __init__(self, path: str, realm: Realm, publish: Callable[[Event], None], *, mode: int | None = None) -> None:
        self._path = path
        self._realm = realm
        self._publish = publish
        self._mode = 0o600 if mode is None else mode
        self._bound: Listening | None = None

    def open(self) -> Listening:
        """Bind. Raises :class:`~emperor_trio.errors.UsageError` where that is impossible. Idempotent."""
        if self._bound is None:
            if ":" in self._path and "/" not in self._path:
                raise UsageError(
                    f"{OPTION} {self._path}: over UDP anyone here could command; name the path of a unix socket"
                )
            self._bound = bind_datagrams(OPTION, self._path, self._mode)
            self._bound.socket.setblocking(False)
            refuse_descriptors(self._bound.socket)
        return self._bound

    async def run(self) -> None:
        """Take commands until cancelled; the socket is closed then."""
        try:
            ours = self.open().socket
            while True:
                await trio.lowlevel.wait_readable(ours)
                try:
                    data = ours.recv(MOST, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    continue
                except OSError as error:
                    if error.errno in (errno.EBADF, errno.ENOTSOCK):
                        raise
                    await trio.sleep(PAUSE)
                    continue
                await self._obey(data)
        finally:
            bound, self._bound = self._bound, None
            if bound is not None:
                bound.close()

    async def _obey(self, data: bytes) -> None:
        try:
            packet = parse_packet(data)
        except Unreadable as error:
            self._warn(f"a packet of {len(data)} bytes was passed over: {error}")
            return
        if packet.command == "log":
            self._publish(CommandReceived(printable(packet.message) or "an empty message"))
            return
        verb = VERBS.get(packet.command)
        if verb is None:
            self._warn(f"{packet.command!r} is no command; there are spawn, respawn, stop and log")
            return
        found = [vassal for vassal in self._vassals() if vassal.name == packet.vassal and not vassal.ordinal]
        if not found:
            self._warn(f"{packet.command} of {packet.vassal!r}: there is no vassal of this name")
            return
        for verdict in await self._realm.order(verb, found):
            if not verdict.ok:
                self._warn(f"{packet.command} of {packet.vassal!r}: {verdict.text}")

    def _vassals(self) -> tuple[VassalId, ...]:
        return (*self._realm.vassal_ids(), *self._realm.absent())

    def _warn(self, text: str) -> None:
        self._publish(Notice(f"{OPTION}: {printable(text)}"))
