"""The messages of LDAP content synchronization (RFC 4533) to and from bytes. Pure.

Only what these few messages need of BER, since a general decoder takes milliseconds for each; the rest of LDAP is
libldap's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

SYNC_REQUEST = "1.3.6.1.4.1.4203.1.9.1.1"
SYNC_STATE = "1.3.6.1.4.1.4203.1.9.1.2"
SYNC_DONE = "1.3.6.1.4.1.4203.1.9.1.3"
SYNC_INFO = "1.3.6.1.4.1.4203.1.9.1.4"

MAX_COOKIE = 64 * 1024
"""A longer cookie is taken for garbage, not kept."""

_BOOLEAN, _OCTETS, _ENUMERATED, _SEQUENCE, _SET = 0x01, 0x04, 0x0A, 0x30, 0x31
_REFRESH_AND_PERSIST = 3


class Garbled(ValueError):
    """The bytes are no such message."""


class State(Enum):
    """What an entry's control says of it."""

    PRESENT = 0
    ADD = 1
    MODIFY = 2
    DELETE = 3


@dataclass(frozen=True, slots=True)
class SyncState:
    """Comes with each entry. ``uuid`` has 16 bytes."""

    state: State
    uuid: bytes
    cookie: bytes | None


class Info(Enum):
    """The kinds of messages in between, by their tags (those for sets of ids are one, told apart by a flag)."""

    COOKIE = 0x80
    DELETES_TOLD = 0xA1
    PRESENT_TOLD = 0xA2
    PRESENT_IDS = 0xA3
    DELETED_IDS = -1


@dataclass(frozen=True, slots=True)
class SyncInfo:
    """``done`` says that the refresh is over and changes follow as they happen."""

    kind: Info
    cookie: bytes | None = None
    done: bool = False
    uuids: tuple[bytes, ...] = ()


def encode_request(cookie: bytes | None) -> bytes:
    """Refresh, then go on with changes as they happen; from ``cookie`` on where there is one."""
    mode = _encode(_ENUMERATED, bytes([_REFRESH_AND_PERSIST]))
    return _encode(_SEQUENCE, mode + (_encode(_OCTETS, cookie) if cookie is not None else b""))


def decode_state(data: bytes) -> SyncState:
    """What one entry is. Raises :class:`Garbled`."""
    reader = _Reader(_only(data, _SEQUENCE))
    number = reader.take(_ENUMERATED)
    uuid = reader.take(_OCTETS)
    cookie = reader.take_cookie()
    if len(number) != 1 or number[0] > 3 or len(uuid) != 16:
        raise Garbled("an entry's state is garbled")
    return SyncState(State(number[0]), uuid, cookie)


def decode_info(data: bytes) -> SyncInfo:
    """A message between entries. Raises :class:`Garbled`."""
    reader = _Reader(data)
    tag, content = reader.take_any()
    try:
        kind = Info(tag)
    except ValueError:
        raise Garbled(f"a message of the unknown kind {tag:#x}") from None
    if kind is Info.COOKIE:
        return SyncInfo(kind, _bounded(content))
    inner = _Reader(content)
    cookie = inner.take_cookie()
    if kind is not Info.PRESENT_IDS:
        return SyncInfo(kind, cookie, inner.take_flag(default=True))
    deleted = inner.take_flag(default=False)
    ids = _Reader(inner.take(_SET))
    uuids = []
    while not ids.at_end:
        uuids.append(ids.take(_OCTETS))
        if len(uuids[-1]) != 16:
            raise Garbled("an entry's id is garbled")
    return SyncInfo(Info.DELETED_IDS if deleted else kind, cookie, uuids=tuple(uuids))


class _Reader:
    """Takes one element after the other off some bytes. Raises :class:`Garbled` where there is another or none."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def at_end(self) -> bool:
        return self._at >= len(self._data)

    def take_any(self) -> tuple[int, bytes]:
        data, at = self._data, self._at
        if at + 2 > len(data):
            raise Garbled("a message ends too early")
        tag, length, at = data[at], data[at + 1], at + 2
        if length >= 0x80:
            size = length & 0x7F
            if not 0 < size <= 4 or at + size > len(data):
                raise Garbled("a message has a length that is none")
            length, at = int.from_bytes(data[at : at + size], "big"), at + size
        if at + length > len(data):
            raise Garbled("a message ends too early")
        self._at = at + length
        return tag, data[at : at + length]

    def take(self, tag: int) -> bytes:
        found, content = self.take_any()
        if found != tag:
            raise Garbled(f"a message has a part {found:#x} in place of {tag:#x}")
        return content

    def take_cookie(self) -> bytes | None:
        return _bounded(self.take(_OCTETS)) if self._next_is(_OCTETS) else None

    def take_flag(self, *, default: bool) -> bool:
        return any(self.take(_BOOLEAN)) if self._next_is(_BOOLEAN) else default

    def _next_is(self, tag: int) -> bool:
        return not self.at_end and self._data[self._at] == tag


def _bounded(cookie: bytes) -> bytes:
    if len(cookie) > MAX_COOKIE:
        raise Garbled("a cookie is far too long")
    return cookie


def _only(data: bytes, tag: int) -> bytes:
    return _Reader(data).take(tag)


def _encode(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content
