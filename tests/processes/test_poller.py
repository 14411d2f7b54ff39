"""One wake-up for many descriptors, and what a pipe may cost: clocks jump here, and no process is started."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
import trio
import trio.testing

from emperor_trio.ports import PipeClosed, Received
from emperor_trio.processes.poller import BATCH, Poller
from emperor_trio.processes.process import BURST, READ, REST, VassalProcess
from tests.processes.support import Ear


@pytest.fixture
async def poller(nursery: trio.Nursery) -> Poller:
    poller = Poller()
    nursery.start_soon(poller.run)
    return poller


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


Pair = tuple[socket.socket, socket.socket]


async def quiet() -> None:
    """Until nothing more can happen: what is readable now is known to epoll now."""
    await trio.testing.wait_all_tasks_blocked(0.02)


async def test_held_descriptors_are_not_looked_at(poller: Poller, pair: Pair) -> None:
    calls = 0

    def read() -> None:
        nonlocal calls
        calls += 1
        pair[0].recv(10)

    poller.watch(pair[0].fileno(), read)
    poller.hold(pair[0].fileno())
    pair[1].send(b"x")
    await quiet()
    assert calls == 0
    poller.release(pair[0].fileno())
    await quiet()
    assert calls == 1
    poller.forget(pair[0].fileno())
    poller.forget(pair[0].fileno())
    pair[1].send(b"x")
    await quiet()
    assert calls == 1


async def test_a_number_that_is_used_again_is_not_mistaken(poller: Poller) -> None:
    pipes = [os.pipe() for _ in range(2)]
    heard: list[str] = []
    made: list[tuple[int, int]] = []

    def replace_the_other(mine: int) -> None:
        """Whichever comes first closes the other one and opens a silent pipe in its place."""
        heard.append("first" if not heard else "again")
        other = pipes[1 - mine][0]
        for source, _ in pipes:
            poller.forget(source)
        os.close(other)
        made.append(os.pipe())
        assert made[0][0] == other
        poller.watch(other, lambda: heard.append("mistaken"))

    for index, (source, target) in enumerate(pipes):
        os.write(target, b"x")
        poller.watch(source, lambda index=index: replace_the_other(index))  # type: ignore[misc]
    await quiet()
    assert heard == ["first"]
    poller.forget(made[0][0])
    for number in {number for pipe in [*pipes, *made] for number in pipe}:
        os.close(number)


async def test_many_at_once_leave_room_for_others(poller: Poller) -> None:
    pairs = [socket.socketpair() for _ in range(2 * BATCH + 1)]
    seen: list[int] = []
    steps: list[int] = []

    def read(ours: socket.socket) -> None:
        ours.recv(1)
        seen.append(ours.fileno())

    for ours, theirs in pairs:
        theirs.send(b"x")
        poller.watch(ours.fileno(), lambda ours=ours: read(ours))  # type: ignore[misc]
    with trio.fail_after(20):
        while len(seen) < len(pairs):
            steps.append(len(seen))
            await trio.sleep(0)
    assert {BATCH, 2 * BATCH} & set(steps)
    for ours, theirs in pairs:
        poller.forget(ours.fileno())
        ours.close()
        theirs.close()


async def test_a_vassal_that_floods_its_pipe_has_to_rest(
    poller: Poller, pair: Pair, mock_clock: trio.testing.MockClock
) -> None:
    ear = Ear()
    process = VassalProcess(pair[0], None, poller, ear)
    pair[1].send(b"x" * (READ * 3))
    for turn in range(1, 4):
        await quiet()
        assert len(ear.heard) == READ * turn
        mock_clock.jump(REST)
    pair[1].send(b"\1")
    await quiet()
    assert ear.heard.endswith(b"\1")
    process.close()


async def test_a_vassal_that_drips_byte_by_byte_has_to_rest_too(
    poller: Poller, pair: Pair, mock_clock: trio.testing.MockClock
) -> None:
    """To wake for each byte costs more than to read a thousand."""
    ear = Ear()
    process = VassalProcess(pair[0], None, poller, ear)
    for turn in range(1, 4):
        for _ in range(3 * BURST):
            pair[1].send(b"x")
            await quiet()
        assert len(ear.events) == BURST * turn + turn - 1
        mock_clock.jump(REST)
        await quiet()
        assert len(ear.heard) == 3 * BURST * turn
        mock_clock.jump(2 * REST)
    process.close()


async def test_a_closed_pipe_is_told_after_a_rest(
    poller: Poller, pair: Pair, mock_clock: trio.testing.MockClock
) -> None:
    ear = Ear()
    process = VassalProcess(pair[0], None, poller, ear)
    pair[1].send(b"\1")
    pair[1].close()
    await quiet()
    assert ear.events == [Received(b"\1")]
    mock_clock.jump(REST)
    await quiet()
    assert ear.events == [Received(b"\1"), PipeClosed()]
    mock_clock.jump(10 * REST)
    await quiet()
    assert ear.events == [Received(b"\1"), PipeClosed()]
    process.close()


async def test_a_pipe_may_be_closed_while_it_rests(
    poller: Poller, pair: Pair, mock_clock: trio.testing.MockClock
) -> None:
    ear = Ear()
    process = VassalProcess(pair[0], None, poller, ear)
    pair[1].send(b"x" * READ)
    await quiet()
    process.close()
    mock_clock.jump(REST)
    await quiet()
    assert len(ear.heard) == READ
