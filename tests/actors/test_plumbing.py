"""The bell, the mailbox, the bus and the guard: how actors wake, tell and outlive each other."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from emperor_trio.actors.bus import Bus
from emperor_trio.actors.guard import Delays, Guard, explain
from emperor_trio.actors.mailbox import Bell, Mailbox
from emperor_trio.errors import MonitorError
from emperor_trio.events import Lagged, Notice


async def test_rings_coalesce() -> None:
    bell = Bell()
    bell.ring()
    bell.ring()
    await bell.wait()
    with trio.move_on_after(0) as scope:
        await bell.wait()
    assert scope.cancelled_caught


async def test_a_mailbox_keeps_the_order_and_a_deadline(autojump_clock: MockClock) -> None:
    mail: Mailbox[int] = Mailbox()
    mail.post(1)
    mail.post(2)
    assert await mail.take() == 1
    assert await mail.take(deadline=trio.current_time()) is None  # no flood of messages puts a deadline off
    assert await mail.take(deadline=trio.current_time() + 5) == 2
    assert await mail.take(deadline=trio.current_time() + 5) is None
    assert trio.current_time() == pytest.approx(5)


async def test_a_message_wakes_who_waits(autojump_clock: MockClock) -> None:
    mail: Mailbox[str] = Mailbox()
    got: list[str | None] = []

    async def take() -> None:
        got.append(await mail.take())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        await wait_all_tasks_blocked()
        mail.post("news")
    assert got == ["news"]


async def test_a_slow_subscriber_loses_the_oldest_events_and_is_told_how_many() -> None:
    bus = Bus(wall=lambda: 7.0)
    with bus.subscribe(limit=3) as slow, bus.subscribe(limit=100) as fast:
        for number in range(10):
            bus.publish(Notice(str(number)))
        bus.close()
        seen = [occurrence.event async for occurrence in slow]
        assert seen == [Lagged(7), Notice("7"), Notice("8"), Notice("9")]
        assert len([occurrence async for occurrence in fast]) == 10
    assert bus.counts == {"Notice": 10}


async def test_a_closed_bus_ends_subscriptions_once_they_have_taken_all() -> None:
    bus = Bus(wall=lambda: 0.0)
    seen: list[str] = []
    with bus.subscribe() as subscriber:

        async def read() -> None:
            seen.extend([occurrence.event.text async for occurrence in subscriber])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await wait_all_tasks_blocked()
            bus.publish(Notice("last words"))
            bus.close()
    assert seen == ["last words"]


def test_delays_double_up_to_the_longest_with_a_tenth_at_random() -> None:
    delays = Delays(first=1.0, most=8.0)
    for failures, bare in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 8), (1000, 8)]:
        assert bare <= delays.after(failures) <= bare * 1.1


async def test_a_guard_runs_what_fails_again_later_each_time(autojump_clock: MockClock) -> None:
    guard = Guard(Delays(first=1.0, most=60.0))
    told: list[tuple[str, float]] = []

    async def run() -> None:
        raise MonitorError("the source is down")

    with trio.move_on_after(20):
        await guard.keep(run, lambda why, delay: told.append((why, delay)))
    assert len(told) >= 4
    for failures, (why, delay) in enumerate(told):
        assert why == "the source is down"
        assert 2**failures <= delay <= 2**failures * 1.1


async def test_progress_makes_the_next_failure_the_first_again(autojump_clock: MockClock) -> None:
    guard = Guard(Delays(first=1.0, most=60.0))
    delays: list[int] = []

    async def run() -> None:
        guard.progress()
        raise OSError("gone")

    with trio.move_on_after(5):
        await guard.keep(run, lambda why, delay: delays.append(int(delay)))
    assert set(delays) == {1}


async def test_an_end_is_a_failure_unless_it_may_be(autojump_clock: MockClock) -> None:
    told: list[str] = []

    async def run() -> None:
        await trio.lowlevel.checkpoint()

    with trio.move_on_after(0.1):
        await Guard().keep(run, lambda why, delay: told.append(why))
    assert told == ["it ended by itself"]
    with trio.fail_after(1):
        await Guard().keep(run, lambda why, delay: told.append(why), may_end=True)
    assert len(told) == 1


async def test_a_cancellation_goes_through_a_guard(autojump_clock: MockClock) -> None:
    async def run() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)

    with trio.move_on_after(1) as scope:
        await Guard().keep(run, lambda why, delay: pytest.fail(why))
    assert scope.cancelled_caught


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MonitorError("the folder\nis gone"), "the folder is gone"),
        (ValueError("no number"), "ValueError: no number"),
        (KeyError(), "KeyError"),
        (ExceptionGroup("both", [MonitorError("a"), MonitorError("a"), OSError("b")]), "a; OSError: b"),
    ],
)
def test_errors_become_one_line(error: Exception, line: str) -> None:
    assert explain(error) == line
