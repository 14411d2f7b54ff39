"""Frames are counted however they come in, and whoever sends too many waits, or has to go."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MemoryReceiveStream, MemorySendStream, MockClock, memory_stream_one_way_pair

from emperor_trio.control.pacing import FRAME, MOST_FRAGMENTS, PIECE, FrameCount, PacedStream
from emperor_trio.control.turns import CREDIT, SHARE, Turns

FIN, TEXT, MORE, PING = 0x80, 1, 0, 9


def frame(first: int, size: int, *, masked: bool = True) -> bytes:
    if size < 126:
        length = bytes([size])
    else:
        length = b"\x7e" + size.to_bytes(2, "big") if size < 1 << 16 else b"\x7f" + size.to_bytes(8, "big")
    head = bytes([first, length[0] | (0x80 if masked else 0)]) + length[1:] + (b"mask" if masked else b"")
    return head + b"\x81" * size


frames = st.builds(
    frame,
    st.sampled_from([FIN | TEXT, TEXT, MORE, FIN | MORE, FIN | PING]),
    st.sampled_from([0, 1, 125, 126, 127, 200, 65_535, 65_536]),
    masked=st.booleans(),
)


@given(st.lists(frames, max_size=6), st.data())
def test_frames_are_counted_however_they_come(some: list[bytes], data: st.DataObject) -> None:
    whole, count, counted = b"".join(some), FrameCount(), 0
    while whole:
        size = data.draw(st.sampled_from([1, 2, 3, 7, 1000, 70_000]))
        counted += count.feed(whole[:size])
        whole = whole[size:]
    assert counted == len(some)


@given(st.binary(max_size=3000))
def test_what_are_no_frames_does_no_harm(data: bytes) -> None:
    assert 0 <= FrameCount().feed(data) <= len(data)


@pytest.mark.parametrize(
    ("firsts", "fragments"),
    [
        ([FIN | TEXT], 0),
        ([TEXT], 1),
        ([TEXT, MORE, MORE], 3),
        ([TEXT, FIN | PING, MORE], 2),
        ([TEXT, MORE, FIN | MORE], 0),
    ],
)
def test_the_parts_of_a_message_are_counted(firsts: list[int], fragments: int) -> None:
    count = FrameCount()
    count.feed(b"".join(frame(first, 3) for first in firsts))
    assert count.fragments == fragments


HANDSHAKE = b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"


def paced() -> tuple[MemorySendStream, trio.abc.Stream, MemoryReceiveStream]:
    theirs, ours = memory_stream_one_way_pair()
    return theirs, PacedStream(trio.StapledStream(MemorySendStream(), ours), Turns(lambda: 0.0)), ours


@pytest.mark.parametrize("cut", range(len(HANDSHAKE) - 5, len(HANDSHAKE) + 3))
async def test_what_follows_the_handshake_is_counted(autojump_clock: MockClock, cut: int) -> None:
    theirs, stream, _ = paced()
    whole = HANDSHAKE + frame(TEXT, 0) * (MOST_FRAGMENTS + 1)
    taken = bytearray()

    async def take_all() -> None:
        while True:
            taken.extend(await stream.receive_some())

    await theirs.send_all(whole[:cut])
    taken.extend(await stream.receive_some())
    await theirs.send_all(whole[cut:])
    with pytest.raises(trio.BrokenResourceError):
        await take_all()
    assert whole.startswith(taken)
    assert len(whole) - len(taken) <= PIECE


async def test_a_flood_of_frames_waits_and_nothing_of_it_is_lost(autojump_clock: MockClock) -> None:
    theirs, stream, _ = paced()
    flood = HANDSHAKE + frame(FIN | PING, 0) * 100_000
    await theirs.send_all(flood)
    began, taken = trio.current_time(), bytearray()
    while len(taken) < len(flood):
        taken += await stream.receive_some()
    assert taken == flood
    assert trio.current_time() - began == pytest.approx((100_000 * FRAME - CREDIT) / SHARE, rel=0.1)
