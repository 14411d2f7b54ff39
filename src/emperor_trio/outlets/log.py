"""The log: one line an event on a stream, for people or for machines.

Owns the layout of lines and how they reach the stream without ever holding up the loop: a thread writes, one batch at a
time. What is not taken fast enough is dropped by the bus, which says how much. It opens and redirects no file.
"""

from __future__ import annotations

import errno
import json
import math
import os
import select
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import UTC, datetime
from typing import Protocol

import trio

from emperor_trio.events import Event, Level, MonitorEvent, VassalEvent, counted
from emperor_trio.masking import masked
from emperor_trio.model import VassalId
from emperor_trio.outlets.text import printable, well_formed
from emperor_trio.ports import Occurrence, Subscription

WAITING_LINES = 1024
"""Lines that wait for the thread at most; beyond that the subscription is not read, and the bus drops and counts."""

BATCH = 4096
"""Bytes of one write, as far as lines allow: so many reach a pipe in one piece, beside what the vassals write there."""

FLUSH = 0.5
"""Seconds for the last lines where the outlet is cancelled."""

Layout = Callable[[Occurrence], str]


class Stream(Protocol):
    """What the log needs of ``sys.stderr``."""

    def fileno(self) -> int: ...


# --- layouts ---------------------------------------------------------------------------------------------------------


def subject(event: Event) -> str:
    """Whom the event is about: a vassal, a monitor or the emperor. Quoted where a space could blur where it ends."""
    match event:
        case VassalEvent():
            name = str(event.vassal)
        case MonitorEvent():
            name = masked(event.monitor)
        case _:
            return "emperor"
    name = printable(name)
    return name if " " not in name else '"' + name.replace('"', '\\"') + '"'


def said(event: Event) -> str:
    """The event's line for people, fit to be shown."""
    return printable(event.text if isinstance(event, VassalEvent) else masked(event.text))


def plain_line(occurrence: Occurrence) -> str:
    """``2026-01-31 23:59:59.123 [emperor] warn  name: text``, local time."""
    moment = time.localtime(occurrence.at)
    stamp = f"{time.strftime('%Y-%m-%d %H:%M:%S', moment)}.{_milliseconds(occurrence.at):03d}"
    event = occurrence.event
    return f"{stamp} [emperor] {_LEVELS[event.level]:5} {subject(event)}: {said(event)}\n"


def journal_line(occurrence: Occurrence) -> str:
    """``<4>[emperor] warn  name: text`` for systemd's journal, which has the time itself and takes the level away."""
    event = occurrence.event
    return f"<{_PRIORITIES[event.level]}>[emperor] {_LEVELS[event.level]:5} {subject(event)}: {said(event)}\n"


def colour_line(occurrence: Occurrence) -> str:
    """The same for a terminal: a short time, then the level, the name and the text, each in its place and colour."""
    moment = time.localtime(occurrence.at)
    event = occurrence.event
    stamp = f"{time.strftime('%H:%M:%S', moment)}.{_milliseconds(occurrence.at):03d}"
    colour = _LEVEL_COLOURS[event.level]
    name_colour = _CYAN if isinstance(event, VassalEvent) else _MAGENTA if isinstance(event, MonitorEvent) else _BOLD
    name = f"{name_colour}{subject(event):<24}{_PLAIN}"
    text = said(event) if event.level == Level.INFO else f"{colour}{said(event)}{_PLAIN}"
    return f"{_DIM}{stamp}{_PLAIN} {colour}{_LEVELS[event.level]:5}{_PLAIN} {name} {text}\n"


def json_line(occurrence: Occurrence) -> str:
    """One object: ``time`` (ISO 8601, UTC), ``epoch`` (seconds), ``level``, ``event`` (its class), ``text``, fields."""
    event = occurrence.event
    moment = datetime.fromtimestamp(occurrence.at, UTC)
    entry: dict[str, object] = {
        "time": moment.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "epoch": occurrence.at,
        "level": event.level.name.lower(),
        "event": type(event).__name__,
        "text": _json_value(event.text),
    }
    entry |= {item.name: _json_value(getattr(event, item.name)) for item in fields(event)}
    return json.dumps(entry) + "\n"


def _json_value(value: object) -> object:
    match value:
        case str():
            return masked(well_formed(value))
        case VassalId(monitor, name, ordinal):
            return {"monitor": masked(well_formed(monitor)), "name": well_formed(name), "ordinal": ordinal}
        case tuple() | list():
            return [_json_value(item) for item in value]
        case float() if not math.isfinite(value):
            return None
        case bool() | int() | float() | None:
            return value
        case _:
            return well_formed(str(value))


def _milliseconds(at: float) -> int:
    return int(at * 1000) % 1000


_PLAIN, _BOLD, _DIM, _CYAN, _MAGENTA = "\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[36m", "\x1b[35m"
_LEVELS = {Level.DEBUG: "debug", Level.INFO: "info", Level.WARNING: "warn", Level.ERROR: "error"}
_PRIORITIES = {Level.DEBUG: 7, Level.INFO: 6, Level.WARNING: 4, Level.ERROR: 3}  # sd-daemon(3)
_LEVEL_COLOURS = {Level.DEBUG: _DIM, Level.INFO: "\x1b[32m", Level.WARNING: "\x1b[33m", Level.ERROR: "\x1b[1;31m"}


def wants_colour(fd: int) -> bool:
    """A terminal that can do it, whose user did not ask for none (https://no-color.org)."""
    return os.isatty(fd) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def is_journal(fd: int) -> bool:
    """Whether this is the stream to systemd's journal that the service manager gave us, and not one in its place."""
    try:
        found = os.fstat(fd)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


# --- the outlet ------------------------------------------------------------------------------------------------------


class LogOutlet:
    """Writes events of ``level`` and above, as ``style`` (text or json) says.

    Text is in colour where the stream is a terminal, and has priorities in place of times where it is systemd's
    journal. Ends once the subscription has ended and all is written.
    """

    def __init__(
        self,
        events: Subscription,
        stream: Stream,
        style: str = "text",
        level: Level = Level.INFO,
        *,
        colour: bool | None = None,
    ) -> None:
        self._events = events
        self._fd = stream.fileno()
        self._level = level
        self._layout: Layout = _layout(self._fd, style, wants_colour(self._fd) if colour is None else colour)
        self._lines: deque[bytes] = deque()
        self._news = trio.Event()
        self._room = trio.Event()
        self._ended = False
        self._lost = 0
        self._thread = trio.CapacityLimiter(1)

    async def run(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write)
                async for occurrence in self._events:
                    if occurrence.event.level >= self._level:
                        await self._put(self._layout(occurrence).encode("utf-8", "backslashreplace"))
                self._ended = True
                self._news.set()
        finally:
            with trio.move_on_after(FLUSH, shield=True):
                await self._write_waiting()
                async with self._thread:
                    pass  # the last batch, of a thread that was left to itself

    async def _put(self, line: bytes) -> None:
        while len(self._lines) >= WAITING_LINES:
            self._room = trio.Event()
            await self._room.wait()
        self._lines.append(line)
        self._news.set()

    async def _write(self) -> None:
        while not self._ended or self._lines:
            await self._news.wait()
            self._news = trio.Event()
            await self._write_waiting()

    async def _write_waiting(self) -> None:
        while self._lines:
            batch = b"".join(self._take_batch())
            await trio.to_thread.run_sync(self._deliver, batch, limiter=self._thread, abandon_on_cancel=True)
            self._room.set()

    def _take_batch(self) -> Iterator[bytes]:
        size = 0
        while self._lines and (size == 0 or size + len(self._lines[0]) <= BATCH):
            line = self._lines.popleft()
            size += len(line)
            yield line

    def _deliver(self, batch: bytes) -> None:
        """In the thread. A stream that is closed or full costs its lines, and is told of the loss when it is back."""
        try:
            if self._lost:
                lost = f"{counted(self._lost, 'line')} of the emperor's log could not be written here\n"
                priority = f"<{_PRIORITIES[Level.WARNING]}>" if self._layout is journal_line else ""
                write_all(self._fd, f"{priority}{lost}".encode())
                self._lost = 0
            write_all(self._fd, batch)
        except OSError:
            self._lost += batch.count(b"\n")


def _layout(fd: int, style: str, colour: bool) -> Layout:
    if style == "json":
        return json_line
    if colour:
        return colour_line
    return journal_line if is_journal(fd) else plain_line


def write_all(fd: int, data: bytes) -> None:
    """Write all, waiting as long as it takes; also where someone who shares the stream made it non-blocking."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            poll.poll(1000)
