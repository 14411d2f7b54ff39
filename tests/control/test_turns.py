"""What questions may cost: a burst at once, then a share; in the order in which they came."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from emperor_trio.control.turns import CREDIT, SHARE, Turns


class Work:
    """Work of which each piece takes ``seconds`` of the processor, by a clock that only work drives."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.spent = 0.0

    def clock(self) -> float:
        return self.spent

    def __call__(self) -> float:
        self.spent += self.seconds
        return trio.current_time()


async def test_a_question_now_and_then_never_waits(autojump_clock: MockClock) -> None:
    work = Work(0.1)
    turns = Turns(work.clock)
    for _ in range(10):
        before = trio.current_time()
        assert await turns.take(work) == before
        await trio.sleep(0.1 / SHARE)


async def test_many_get_their_share_and_no_more(autojump_clock: MockClock) -> None:
    work = Work(0.002)
    turns = Turns(work.clock)
    began = trio.current_time()

    async def ask() -> None:
        while True:
            await turns.take(work)

    with trio.move_on_after(100):
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(ask)
    assert work.spent == pytest.approx(CREDIT + SHARE * (trio.current_time() - began), rel=0.01)


async def test_first_come_first_served(autojump_clock: MockClock) -> None:
    work, order = Work(1.0), list[int]()
    turns = Turns(work.clock)

    async def ask(number: int) -> None:
        await turns.take(work)
        order.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(ask, number)
            await trio.sleep(0.01)
    assert order == [0, 1, 2, 3, 4]


async def test_work_that_fails_and_who_leaves_hold_nobody_up(autojump_clock: MockClock) -> None:
    work = Work(1.0)
    turns = Turns(work.clock)

    def broken() -> None:
        work()
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await turns.take(broken)
    with trio.move_on_after(0.1):
        await turns.take(work)
        pytest.fail("it was served beyond its share")
    before = trio.current_time()
    assert await turns.take(work) > before
