"""ZooKeeper's bytes: what is sent is what kazoo's own client sends, and garbage is called so, never anything worse."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kazoo.protocol.states import ZnodeStat  # type: ignore[import-untyped]

from emperor_trio.monitors import _zoo_wire as wire
from emperor_trio.monitors._zoo_address import parse_address
from emperor_trio.monitors._zoo_signs import Signs

STAT = ZnodeStat(3, 7, 1000, 2000, 1, 0, 0, 0, 5, 0, 3)
STAT_BYTES = struct.pack("!qqqqiiiqiiq", *STAT)


def text(value: str) -> bytes:
    return struct.pack("!i", len(value.encode())) + value.encode()


def frame(payload: bytes) -> bytes:
    return struct.pack("!i", len(payload)) + payload


@pytest.mark.parametrize(
    ("request_", "payload"),
    [
        (wire.GetData("/a", True), struct.pack("!ii", 9, 4) + text("/a") + b"\1"),
        (wire.Exists("/ü", True), struct.pack("!ii", 9, 3) + text("/ü") + b"\1"),
        (wire.GetChildren("/a", True), struct.pack("!ii", 9, 8) + text("/a") + b"\1"),
        (wire.Sync("/a"), struct.pack("!ii", 9, 9) + text("/a")),
    ],
)
def test_requests(request_: Any, payload: bytes) -> None:
    assert wire.encode(request_, 9) == frame(payload)


def test_what_comes_without_a_request() -> None:
    assert wire.encode_hello(15) == frame(struct.pack("!iqiq", 0, 0, 15_000, 0) + frame(bytes(16)) + b"\0")
    assert wire.encode_login("me:secret") == frame(struct.pack("!iii", -4, 100, 0) + text("digest") + text("me:secret"))
    assert wire.encode_ping() == frame(struct.pack("!ii", -2, 11))
    assert wire.encode_goodbye(4) == frame(struct.pack("!ii", 4, -11))


def test_answers() -> None:
    assert wire.decode_welcome(struct.pack("!iiq", 0, 10_000, 5) + frame(bytes(16))).timeout == 10
    assert wire.decode(struct.pack("!iqi", 9, 1, 0) + b"body") == wire.Reply(9, None, b"body")
    assert wire.decode_answer(wire.GetData("/a", True), frame(b"data") + STAT_BYTES) == (b"data", STAT)
    assert wire.decode_answer(wire.Exists("/a", True), STAT_BYTES) == STAT
    listed = struct.pack("!i", 2) + text("a.ini") + text("ü")
    assert wire.decode_answer(wire.GetChildren("/a", True), listed) == ["a.ini", "ü"]
    fired = struct.pack("!iqiii", -1, -1, 0, 3, 3) + text("/a")
    assert wire.decode(fired) == wire.Fired(wire.CHANGED, "/a")


@pytest.mark.parametrize(
    ("code", "kind"), [(-101, wire.NoNodeError), (-102, wire.NoAuthError), (-9999, wire.ZookeeperError)]
)
def test_refusals(code: int, kind: type[Exception]) -> None:
    reply = wire.decode(struct.pack("!iqi", 9, 1, code))
    assert isinstance(reply, wire.Reply)
    assert type(reply.error) is kind


@given(st.lists(st.binary(max_size=50)), st.integers(1, 20))
def test_frames_come_out_as_they_went_in_however_they_were_cut(payloads: list[bytes], size: int) -> None:
    stream = b"".join(map(frame, payloads))
    frames = wire.Frames()
    assert [
        whole for start in range(0, len(stream), size) for whole in frames.feed(stream[start : start + size])
    ] == payloads


@pytest.mark.parametrize("length", [-1, -(2**31), wire.MAX_FRAME + 1, 0x48545450])
def test_a_frame_that_is_too_large_is_not_waited_for(length: int) -> None:
    with pytest.raises(wire.Garbled, match="bytes"):
        list(wire.Frames().feed(struct.pack("!i", length)))


requests = st.sampled_from([wire.GetData("/a", True), wire.Exists("/a", True), wire.GetChildren("/a", True)])


@given(st.binary(max_size=100), requests)
def test_garbage_is_called_so(data: bytes, request_: Any) -> None:
    for decode in (
        lambda: list(wire.Frames().feed(data)),
        lambda: wire.decode_welcome(data),
        lambda: wire.decode(data),
        lambda: wire.decode_answer(request_, data),
        lambda: wire.decode_answer(request_, struct.pack("!i", 2) + data),
    ):
        with suppress(wire.Garbled):
            decode()


@given(st.lists(st.tuples(st.integers(-5, 9), st.sampled_from(["/a", "/a/b.ini", "/a/c.ini", "/ax", "/", ""]))))
def test_signs_name_only_what_is_watched(fired: list[tuple[int, str]]) -> None:
    rings: list[None] = []
    signs = Signs(parse_address("h/a", ""), lambda: rings.append(None))
    signs.names, signs.listing = {"b.ini"}, False
    for kind, path in fired:
        signs.fired(kind, path)
    assert len(rings) == len(fired)
    kinds = [kind for kind, path in fired if path == "/a/b.ini"]
    assert signs.listing == (wire.DELETED in kinds or any(path == "/a" for _, path in fired))
    assert signs.deleted == ({"b.ini"} if wire.DELETED in kinds else set())
    assert signs.take_changed() == ({"b.ini"} if kinds else set())
    assert not signs.take_changed()
