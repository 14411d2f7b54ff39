"""Statistics in uWSGI's shape: one JSON object a connection, then the end, so that tools made for its Emperor go on.

Owns the shape and the serving; the numbers come from a callable. Keys, their order and their units were taken over from
uWSGI 2.0.31 and its development branch, ``emperor_send_stats`` in ``core/emperor.c``.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import version

import trio

from emperor_trio.listening import RESET, Listening, accept, adopt, listen_on
from emperor_trio.masking import masked
from emperor_trio.model import Owner
from emperor_trio.outlets.text import well_formed
from emperor_trio.ports import BlacklistStatistics, EmperorStatistics, MonitorStatistics, VassalStatistics
from emperor_trio.strangers import drop, refuse_descriptors

READERS = 64
"""Connections at once; one more ends the oldest, so that slow readers can't shut out the others."""

READER_LIMIT = 10.0
"""Seconds for one reader to ask, and again to read its answer; then a second at most until it closes its side."""

FARE = 10.0
"""An encoding serves every reader for this many times what it took, so that readers cost a tenth of a core at most."""

OLDEST = 1.0
"""Seconds after which no encoding is served any more, however long it took."""

CHUNK = 100
"""Vassals that are encoded before others get their turn; about a millisecond."""

HEADERS = (
    b"HTTP/1.0 200 OK\r\nConnection: close\r\nAccess-Control-Allow-Origin: *\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)


# --- the shape -------------------------------------------------------------------------------------------------------


def head(statistics: EmperorStatistics, tyrant: bool) -> dict[str, object]:
    """What comes before the vassals. ``throttle_level`` is 0 as in uWSGI 2.0: nothing is throttled as a whole."""
    return {
        "version": _version(),
        "pid": os.getpid(),
        "uid": os.getuid(),
        "gid": os.getgid(),
        "cwd": well_formed(_folder()),
        "emperor": [monitor_argument(monitor.name) for monitor in statistics.monitors],
        "emperor_tyrant": int(tyrant),
        "throttle_level": 0,
    }


def vassal_entry(vassal: VassalStatistics, emperor: Owner) -> dict[str, object]:
    """One vassal. Without an owner of its own it has the emperor's. None of ours is adopted or suspended yet."""
    owner = vassal.owner or emperor
    return {
        "id": well_formed(vassal.name),
        "pid": vassal.pid if vassal.pid > 0 else -1,
        "born": vassal.born,
        "last_mod": vassal.modified,
        "last_heartbeat": int(vassal.last_heartbeat),
        "loyal": int(vassal.loyal),
        "ready": int(vassal.ready),
        "accepting": int(vassal.accepting),
        "last_loyal": int(vassal.last_loyal),
        "last_ready": int(vassal.last_ready),
        "last_accepting": int(vassal.last_accepting),
        "first_run": int(vassal.first_run),
        "last_run": int(vassal.last_run),
        "cursed": int(vassal.cursed_at),
        "zerg": int(vassal.vassal.ordinal > 0),
        "on_demand": well_formed(vassal.on_demand or ""),
        "suspended": 0,
        "adopted": 0,
        "uid": owner.uid,
        "gid": owner.gid,
        "monitor": monitor_argument(vassal.vassal.monitor),
        "attrs": {well_formed(name): well_formed(value) for name, value in vassal.attributes},
        "respawns": vassal.reloads,
    }


def blacklist_entry(entry: BlacklistStatistics) -> dict[str, object]:
    """One blacklisted vassal; ``throttle_level`` is the delay of its next spawn in milliseconds.

    uWSGI counts its attempts from 0: the first death is none yet.
    """
    return {
        "id": well_formed(entry.vassal.name),
        "throttle_level": int(entry.delay * 1000),
        "attempt": entry.attempt - 1,
        "first_attempt": int(entry.first_attempt),
        "last_attempt": int(entry.last_attempt),
    }


def monitor_entry(monitor: MonitorStatistics) -> dict[str, object]:
    """One monitor's health, which uWSGI does not tell. Times in whole seconds, 0 for never; no ``error`` while well."""
    return {
        "monitor": monitor_argument(monitor.name),
        "connected": int(monitor.healthy),
        "since": int(monitor.since),
        "error": _safe(monitor.error),
        "last_error": _safe(monitor.last_error),
        "next_try": int(monitor.next_try),
        "vassals": monitor.vassals,
    }


def _safe(text: str) -> str:
    return masked(well_formed(text))


@lru_cache(maxsize=256)
def monitor_argument(name: str) -> str:
    """A monitor as uWSGI names it: a folder by its real path, a pattern without its scheme; passwords masked."""
    if name.startswith("glob://"):
        argument = name.removeprefix("glob://")
    elif name.startswith("dir://") or os.path.isdir(name):
        argument = os.path.realpath(name.removeprefix("dir://"))
    else:
        argument = masked(name)
    return well_formed(argument)


async def encode(statistics: EmperorStatistics, tyrant: bool) -> bytes:
    """The whole object, a vassal a line. Others get their turn after every hundred vassals."""
    emperor = Owner(os.getuid(), os.getgid())
    start = _text(head(statistics, tyrant)).removesuffix("}")
    vassals = await _lines(vassal_entry(vassal, emperor) for vassal in statistics.vassals)
    blacklist = await _lines(blacklist_entry(entry) for entry in statistics.blacklist)
    monitors = _text([monitor_entry(monitor) for monitor in statistics.monitors])
    return f'{start},"vassals":[{vassals}],"blacklist":[{blacklist}],"monitors":{monitors}}}\n'.encode()


async def _lines(entries: Iterable[dict[str, object]]) -> str:
    lines = []
    for number, entry in enumerate(entries, 1):
        lines.append(_text(entry))
        if number % CHUNK == 0:
            await trio.lowlevel.checkpoint()
    return ",\n".join(lines)


@lru_cache(maxsize=1)
def _version() -> str:
    return version("emperor-trio")


def _folder() -> str:
    """The emperor's folder, "" where it was deleted."""
    with suppress(FileNotFoundError):
        return os.getcwd()
    return ""


_text = json.JSONEncoder(separators=(",", ":")).encode


# --- one encoding for all who ask -----------------------------------------------------------------------------------


class Shared:
    """What is costly to make, made once for all who ask within a moment."""

    def __init__(self, make: Callable[[], Awaitable[bytes]]) -> None:
        self._make = make
        self._making = trio.Lock()
        self._made = b""
        self._good_until = -1.0

    async def fresh(self) -> bytes:
        """As of this call, or as of a moment ago where another reader has just had it made."""
        async with self._making:
            if trio.current_time() >= self._good_until:
                # Shielded: to end readers just before their answer would otherwise keep us at it for nobody.
                with trio.CancelScope(shield=True):
                    as_of, begun = trio.current_time(), time.perf_counter()
                    self._made = await self._make()
                    took = time.perf_counter() - begun
                    self._good_until = as_of + min(took * FARE, OLDEST)
            return self._made


# --- the outlet ------------------------------------------------------------------------------------------------------


class StatsOutlet:
    """Serves ``statistics()`` on ``address`` (``host:port``, ``:port`` or a path), with HTTP headers if ``http``.

    ``address`` may also be a socket that listens already. :meth:`open` it before the privileges go, or leave that to
    :meth:`run`. ``mode`` is for the socket's path.
    """

    def __init__(
        self,
        address: str | socket.socket,
        statistics: Callable[[], EmperorStatistics],
        *,
        http: bool = False,
        tyrant: bool = False,
        mode: int | None = None,
    ) -> None:
        self._address = address
        self._http = http
        self._mode = mode
        self._listening: Listening | None = None
        self._readers: OrderedDict[int, trio.CancelScope] = OrderedDict()
        self._connections = 0
        self._encoded = Shared(lambda: encode(statistics(), tyrant))

    def open(self) -> Listening:
        """Listen. Raises :class:`~emperor_trio.errors.UsageError` where that is impossible. Idempotent."""
        if self._listening is None:
            _version()  # remembered from here on: later, the package's metadata may be closed to us
            self._listening = (
                listen_on("--emperor-stats", self._address, self._mode)
                if isinstance(self._address, str)
                else adopt(self._address)
            )
            refuse_descriptors(self._listening.socket)
        return self._listening

    def close(self) -> None:
        """Listen no more, and remove the socket's path where it was made here. Idempotent."""
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.close()

    async def run(self) -> None:
        """Serve until cancelled; the socket is closed then."""
        try:
            listener = trio.socket.from_stdlib_socket(self.open().socket)
            async with trio.open_nursery() as nursery:
                while True:
                    connection = await accept(listener)
                    if connection is not None:
                        self._make_room()
                        nursery.start_soon(self._serve, trio.SocketStream(connection))
        finally:
            self.close()

    def _make_room(self) -> None:
        if len(self._readers) >= READERS:
            _, oldest = self._readers.popitem(last=False)
            oldest.cancel()

    async def _serve(self, stream: trio.SocketStream) -> None:
        self._connections += 1
        number = self._connections
        with trio.move_on_after(READER_LIMIT) as scope:
            self._readers[number] = scope
            try:
                await self._answer(stream, scope)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # the reader is gone, which is its own affair
            except trio.Cancelled:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                raise
            finally:
                self._readers.pop(number, None)
                drop(stream.socket)

    async def _answer(self, stream: trio.SocketStream, limit: trio.CancelScope) -> None:
        if self._http and not await _hear(stream):
            return
        answer = await self._encoded.fresh()
        limit.deadline = trio.current_time() + READER_LIMIT
        await stream.send_all(HEADERS % len(answer) + answer if self._http else answer)
        await stream.send_eof()
        # To close while something of the reader's lies unread would take the answer away from it again.
        with trio.move_on_after(1.0):
            while await _hear(stream):
                pass


async def _hear(stream: trio.SocketStream) -> bytes:
    """What the reader says; empty at its end. See :mod:`emperor_trio.strangers`."""
    try:
        data, _, flags, _ = await stream.socket.recvmsg(8192, 0, socket.MSG_PEEK)
        if not flags & socket.MSG_CTRUNC:
            return await stream.socket.recv(len(data)) if data else data
    except OSError as error:
        raise trio.BrokenResourceError from error
    raise trio.BrokenResourceError("it sends descriptors")
