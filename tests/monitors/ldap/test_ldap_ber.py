"""The messages of content synchronization: as python-ldap's own decoder reads them, and garbage."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldap.syncrepl import SyncInfoMessage, SyncRequestControl, SyncStateControl  # type: ignore[import-untyped]

from emperor_trio.monitors._ldap_ber import (
    Garbled,
    Info,
    State,
    SyncInfo,
    SyncState,
    decode_info,
    decode_state,
    encode_request,
)

UUID = bytes(range(16))


def tlv(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    if len(content) < 128:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes(3, "big")
    return bytes([tag, 0x83]) + length + content


@pytest.mark.parametrize("cookie", [None, b"rid=000,csn=x", b"c" * 300])
def test_requests_are_those_of_python_ldap(cookie: bytes | None) -> None:
    theirs = SyncRequestControl(mode="refreshAndPersist", cookie=cookie.decode() if cookie else None)
    assert encode_request(cookie) == theirs.encodeControlValue()


def test_states() -> None:
    data = tlv(0x30, tlv(0x0A, b"\1"), tlv(0x04, UUID), tlv(0x04, b"cookie"))
    assert decode_state(data) == SyncState(State.ADD, UUID, b"cookie")
    theirs = SyncStateControl()
    theirs.decodeControlValue(data)
    assert (theirs.state, theirs.cookie) == ("add", "cookie")
    assert decode_state(tlv(0x30, tlv(0x0A, b"\3"), tlv(0x04, UUID))) == SyncState(State.DELETE, UUID, None)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (tlv(0x80, b"cookie"), SyncInfo(Info.COOKIE, b"cookie")),
        (tlv(0xA1), SyncInfo(Info.DELETES_TOLD, None, True)),
        (tlv(0xA1, tlv(0x04, b"c"), tlv(0x01, b"\0")), SyncInfo(Info.DELETES_TOLD, b"c", False)),
        (tlv(0xA2, tlv(0x04, b"c")), SyncInfo(Info.PRESENT_TOLD, b"c", True)),
        (tlv(0xA3, tlv(0x31, tlv(0x04, UUID))), SyncInfo(Info.PRESENT_IDS, uuids=(UUID,))),
        (
            tlv(0xA3, tlv(0x04, b"c"), tlv(0x01, b"\xff"), tlv(0x31, *[tlv(0x04, UUID)] * 20)),
            SyncInfo(Info.DELETED_IDS, b"c", uuids=(UUID,) * 20),
        ),
    ],
)
def test_infos(data: bytes, expected: SyncInfo) -> None:
    assert decode_info(data) == expected
    theirs: Any = SyncInfoMessage(data)
    assert theirs is not None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        b"\x30\x80",
        b"\x30\x05\x0a\x01\x01",
        b"\xa3\x00",
        tlv(0xA9),
        tlv(0xA3, tlv(0x31, tlv(0x04, b"short"))),
        tlv(0x80, b"c" * 70_000),
        b"\x80\x84\xff\xff\xff\xff",
        b"\x80\x89" + b"\xff" * 9,
    ],
)
def test_garbage(data: bytes) -> None:
    with pytest.raises(Garbled):
        decode_info(data)
    with pytest.raises(Garbled):
        decode_state(data)


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([0x30, 0x80, 0xA1, 0xA3, 4, 16, 1, 0x31, 10]), max_size=60).map(bytes)
)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for decode in (decode_info, decode_state):
        with suppress(Garbled):
            decode(data)
