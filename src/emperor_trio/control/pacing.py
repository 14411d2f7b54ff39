"""How fast bytes of a client come in: no faster than the emperor can afford to look at them.

A websocket frame may be as small as two bytes, and what is done for one is the same as for a large one. So frames are
counted before the websocket's own reader gets them, and read no faster than their share of a processor allows.
"""

from __future__ import annotations

import trio

from emperor_trio.control.turns import Turns

PIECE = 2048
"""Bytes that are handed on at once; whatever they are, they are dealt with in a few milliseconds."""

FRAME = 20e-6
"""Seconds of the processor that a frame costs, about."""

BYTE = 20e-9
"""Seconds of the processor that a byte of a frame costs, about."""

MOST_FRAGMENTS = 1000
"""Frames of one message: of empty ones, the websocket's reader would keep any number."""

_FIN, _CONTROL, _MASKED, _LENGTH = 0x80, 0x08, 0x80, 0x7F
_END_OF_HEAD = b"\r\n\r\n"


class FrameCount:
    """Counts the frames in what a client sends (:rfc:`6455`, 5.2), fed in pieces of any size. It checks nothing: what
    is no frame is for the websocket's reader to refuse."""

    def __init__(self) -> None:
        self.fragments: int = 0
        """Frames of the message that is coming in."""
        self._head = bytearray()
        self._payload = 0

    def feed(self, data: bytes | bytearray) -> int:
        """How many frames began in it."""
        begun, at = 0, 0
        while at < len(data):
            if self._payload:
                step = min(self._payload, len(data) - at)
                self._payload -= step
                at += step
                continue
            if not self._head:
                begun += 1
            self._head.append(data[at])
            at += 1
            size = self._size()
            if len(self._head) == size:
                self._enter()
        return begun

    def _size(self) -> int:
        """Bytes of the head that has begun, its mask included, as far as that is known."""
        if len(self._head) < 2:
            return 2
        length = self._head[1] & _LENGTH
        more = 8 if length == 127 else 2 if length == 126 else 0
        return 2 + more + (4 if self._head[1] & _MASKED else 0)

    def _enter(self) -> None:
        first, length = self._head[0], self._head[1] & _LENGTH
        if length >= 126:
            length = int.from_bytes(self._head[2 : 4 if length == 126 else 10], "big")
        if not first & _CONTROL:
            self.fragments = 0 if first & _FIN else self.fragments + 1
        self._head.clear()
        self._payload = length


class PacedStream(trio.abc.Stream):
    """A client's stream, beginning with its handshake, of which is read what there are ``turns`` for."""

    def __init__(self, stream: trio.abc.Stream, turns: Turns) -> None:
        self._stream = stream
        self._turns = turns
        self._frames = FrameCount()
        self._handshake: bytes | None = b""
        """How it ended so far; ``None`` where it is over."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await self._stream.receive_some(min(max_bytes or PIECE, PIECE))
        await self._turns.spend(FRAME * self._frames.feed(self._after_handshake(data)) + BYTE * len(data))
        if self._frames.fragments > MOST_FRAGMENTS:
            raise trio.BrokenResourceError("a message of more parts than any that is meant")
        return data

    def _after_handshake(self, data: bytes | bytearray) -> bytes | bytearray:
        if self._handshake is None:
            return data
        before = len(self._handshake)
        seen = self._handshake + data
        end = seen.find(_END_OF_HEAD)
        self._handshake = None if end >= 0 else seen[1 - len(_END_OF_HEAD) :]
        return seen[max(end + len(_END_OF_HEAD), before) :] if end >= 0 else b""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()
