"""ZooKeeper's protocol as bytes: frames, requests, and what a frame of the server says. Pure.

Requests and their answers are encoded and decoded by kazoo's codec, which has no types: this module knows it alone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kazoo.exceptions import (  # type: ignore[import-untyped]
    EXCEPTIONS,
    NoAuthError,
    NoNodeError,
    ZookeeperError,
)
from kazoo.protocol.serialization import (  # type: ignore[import-untyped]
    Auth,
    CloseInstance,
    Connect,
    Exists,
    GetChildren,
    GetData,
    PingInstance,
    ReplyHeader,
    Sync,
    Watch,
)

__all__ = ["Exists", "GetChildren", "GetData", "NoAuthError", "NoNodeError", "Sync", "ZookeeperError"]

MAX_FRAME = 16 * 2**20
"""Bytes of one answer: some 200,000 names. A znode's data have a megabyte at most, unless a server says otherwise."""

WATCH, PING, AUTH = -1, -2, -4
"""Numbers in place of a request's."""

CREATED, DELETED, CHANGED, CHILDREN = 1, 2, 3, 4
"""What a watch says has happened."""

_LENGTH = struct.Struct("!i")
_HEAD = struct.Struct("!ii")


class Garbled(Exception):
    """What came is no ZooKeeper's; ``str()`` says why."""


@dataclass(frozen=True, slots=True)
class Welcome:
    """A session was granted; the server ends it when it hears nothing for ``timeout`` seconds. 0 is a refusal."""

    timeout: float


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the request ``number``: ``body``, still encoded, or ``error``."""

    number: int
    error: ZookeeperError | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Fired:
    """A watch fired, and is gone by that. ``kind`` is one of the constants above, or a number that nobody knows."""

    kind: int
    path: str


class Frames:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._held = bytearray()

    @property
    def unfinished(self) -> bool:
        """Whether a frame has begun to come."""
        return bool(self._held)

    def feed(self, data: bytes | bytearray) -> Iterator[bytes]:
        """Take in what came; yields the frames that are whole by now. Raises :class:`Garbled`."""
        self._held += data
        while len(self._held) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._held)
            if not 0 <= length <= MAX_FRAME:
                raise Garbled(f"an answer of {length:,} bytes; at most {MAX_FRAME:,} are taken")
            end = _LENGTH.size + length
            if len(self._held) < end:
                return
            frame = bytes(self._held[_LENGTH.size : end])
            del self._held[:end]
            yield frame


def encode_hello(timeout: float) -> bytes:
    """The first frame: a new session, please, that ends after ``timeout`` seconds without a word from us."""
    return _framed(bytes(Connect(0, 0, int(timeout * 1000), 0, bytes(16), False).serialize()))


def encode_login(login: str) -> bytes:
    return _framed(_HEAD.pack(AUTH, Auth.type) + bytes(Auth(0, "digest", login).serialize()))


def encode_ping() -> bytes:
    return _framed(_HEAD.pack(PING, PingInstance.type))


def encode_goodbye(number: int) -> bytes:
    return _framed(_HEAD.pack(number, CloseInstance.type))


def encode(request: Any, number: int) -> bytes:
    """Any of kazoo's requests; ``number`` comes back with the answer."""
    return _framed(_HEAD.pack(number, request.type) + bytes(request.serialize()))


def decode_welcome(frame: bytes) -> Welcome:
    """The server's first frame. Raises :class:`Garbled`."""
    try:
        welcome, _ = Connect.deserialize(frame, 0)
    except (ValueError, struct.error):
        raise Garbled("it does not greet as ZooKeeper does") from None
    return Welcome(max(0, welcome.time_out) / 1000)


def decode(frame: bytes) -> Reply | Fired:
    """Any later frame. Raises :class:`Garbled`."""
    try:
        header, offset = ReplyHeader.deserialize(frame, 0)
        if header.xid == WATCH:
            watch, _ = Watch.deserialize(frame, offset)
            return Fired(watch.type, watch.path or "")
    except (ValueError, struct.error):
        raise Garbled("an answer without a head") from None
    return Reply(header.xid, _error(header.err) if header.err else None, frame[offset:])


def decode_answer(request: Any, body: bytes) -> Any:
    """What a request's answer says, in the shape that kazoo gives it. Raises :class:`Garbled`."""
    try:
        return request.deserialize(body, 0)
    except (ValueError, TypeError, IndexError, struct.error, OverflowError):
        raise Garbled(f"no answer to {type(request).__name__}") from None


def _error(code: int) -> ZookeeperError:
    error: ZookeeperError = EXCEPTIONS[code]() if code in EXCEPTIONS else ZookeeperError(f"error {code}")
    return error


def _framed(payload: bytes) -> bytes:
    return _LENGTH.pack(len(payload)) + payload
