"""What vassals print, on the emperor's own stdout (``--vassal-logs -``): whole lines, each with its vassal's name.

Owns their layout, and how they reach the stream without holding up the loop: a thread writes. Nothing is dropped where
the stream is slow: whoever brings lines waits for room.
"""

from __future__ import annotations

import re
import zlib
from collections import deque
from collections.abc import Callable, Iterator

import trio

from emperor_trio.events import counted
from emperor_trio.model import VassalId
from emperor_trio.outlets.log import BATCH, FLUSH, wants_colour, write_all
from emperor_trio.outlets.text import printable

MOST_WAITING = 1024 * 1024
"""Bytes that wait for the thread, at which nothing more is asked for; one turn of all vassals may come on top."""

LONGEST_TAG = 48
"""Characters of a name in front of a line. Longer ones are cut in the middle: an empty line is to cost a few bytes."""

COLUMN = 24
"""Characters of a terminal's line that are for the name."""

Layout = Callable[[VassalId, bytes], bytes]


# --- layouts ---------------------------------------------------------------------------------------------------------


def tag(vassal: VassalId) -> str:
    """The vassal's name, printable and not too long."""
    name = printable(str(vassal))
    return name if len(name) <= LONGEST_TAG else f"{name[: LONGEST_TAG // 2 - 1]}…{name[-LONGEST_TAG // 2 :]}"


def plain_lines(vassal: VassalId, data: bytes) -> bytes:
    """``[name] line``: the bytes of the line as the vassal wrote them."""
    return _before_each(f"[{tag(vassal)}] ".encode(), data)


def colour_lines(vassal: VassalId, data: bytes) -> bytes:
    """``name | line`` for a terminal, each vassal in its colour; nothing that a terminal obeys comes through."""
    colour = _COLOURS[zlib.crc32(str(vassal).encode("utf-8", "surrogatepass")) % len(_COLOURS)]
    text = data.decode("utf-8", "backslashreplace").replace("\r\n", "\n")
    safe = _OBEYED.sub(_spelled, text).encode("utf-8", "backslashreplace")
    return _before_each(f"\x1b[{colour}m{tag(vassal):<{COLUMN}} |\x1b[0m ".encode(), safe)


def _before_each(head: bytes, data: bytes) -> bytes:
    return head + data[:-1].replace(b"\n", b"\n" + head) + b"\n"


def _spelled(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


_COLOURS = (32, 33, 34, 35, 36, 92, 93, 94, 95, 96)
"""Not red, which is for errors, and nothing that a dark or a light background hides."""

_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters but for tab and the end of a line, and those that turn the direction of writing."""


# --- the outlet ------------------------------------------------------------------------------------------------------


class LineWriter:
    """Writes lines on a descriptor, in colour where it is a terminal. Implements :class:`emperor_trio.ports.LineSink`.

    Ends once it was told that nothing more comes and all is written.
    """

    def __init__(self, descriptor: int, *, colour: bool | None = None) -> None:
        self._fd = descriptor
        if colour is None:
            colour = wants_colour(descriptor)
        self._layout: Layout = colour_lines if colour else plain_lines
        self._waiting: deque[tuple[VassalId, bytes]] = deque()
        self._size = 0
        self._news = trio.Event()
        self._room = trio.Event()
        self._ended = False
        self._lost = 0
        self._thread = trio.CapacityLimiter(1)

    async def room(self) -> None:
        while self._size >= MOST_WAITING:
            self._room = trio.Event()
            await self._room.wait()

    def put(self, vassal: VassalId, data: bytes) -> None:
        self._waiting.append((vassal, data))
        self._size += len(data)
        self._news.set()

    def end(self) -> None:
        self._ended = True
        self._news.set()

    async def run(self) -> None:
        try:
            while not self._ended or self._waiting:
                await self._news.wait()
                self._news = trio.Event()
                await self._write_waiting()
                if self._ended:
                    self._news.set()
        finally:
            with trio.move_on_after(FLUSH, shield=True):
                await self._write_waiting()
                async with self._thread:
                    pass  # the last piece, of a thread that was left to itself

    async def _write_waiting(self) -> None:
        while self._waiting:
            vassal, data = self._waiting.popleft()
            self._size -= len(data)
            self._room.set()
            await trio.to_thread.run_sync(self._deliver, vassal, data, limiter=self._thread, abandon_on_cancel=True)

    def _deliver(self, vassal: VassalId, data: bytes) -> None:
        """In the thread. A stream that is closed or full costs its lines, and is told of the loss when it is back."""
        try:
            if self._lost:
                write_all(self._fd, f"{counted(self._lost, 'line')} of vassals could not be written here\n".encode())
                self._lost = 0
            for batch in _batches(self._layout(vassal, data)):
                write_all(self._fd, batch)
        except OSError:
            self._lost += data.count(b"\n")


def _batches(data: bytes) -> Iterator[bytes]:
    """Pieces of whole lines that a pipe takes in one, beside what the emperor's log writes there."""
    start = 0
    while start < len(data):
        end = data.rfind(b"\n", start, start + BATCH) + 1 or data.find(b"\n", start) + 1
        yield data[start:end]
        start = end
