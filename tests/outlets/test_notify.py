"""The service manager hears of the emperor's life in sd_notify's words; to say them never waits, fails or lies."""

from __future__ import annotations

import errno
import socket
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from emperor_trio.events import Event, Notice
from emperor_trio.outlets.notify import EXTENSION, FIRST_ANSWERS, LONGEST, NotifyOutlet, notify_address, status
from emperor_trio.ports import MonitorStatistics


def monitor(name: str = "/v", vassals: int = 0, *, healthy: bool = True, error: str = "") -> MonitorStatistics:
    return MonitorStatistics(name, healthy, 0.0, error, vassals, last_error=error)


SILENT = MonitorStatistics("pg://db", healthy=False, since=0.0, error="no answer yet", vassals=0)


class Manager:
    """The other end: a socket on which a service manager would listen."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        """What has come since the last time."""
        found = []
        while True:
            try:
                found.append(self.socket.recv(65536).decode())
            except BlockingIOError:
                return found


@dataclass
class FakeCourt:
    """An emperor as far as it is asked: its monitors, whether its supervisor takes turns, and whether it stops."""

    shown: Sequence[MonitorStatistics] = ()
    hangs: bool = False
    turns: int = 0
    stopping: trio.Event = field(default_factory=trio.Event)

    def monitors(self) -> Sequence[MonitorStatistics]:
        return self.shown

    async def take_turn(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.hangs:
            await trio.sleep_forever()
        self.turns += 1

    async def wait_stopping(self) -> None:
        await self.stopping.wait()


@pytest.fixture
def address() -> str:
    return f"@emperor-{uuid.uuid4().hex}"


@pytest.fixture
def manager(address: str) -> Iterator[Manager]:
    made = Manager(notify_address(address))
    with closing(made.socket):
        yield made


@asynccontextmanager
async def telling(
    address: str, court: FakeCourt, said: list[Event] | None = None, *, watchdog: float = 0.0
) -> AsyncIterator[NotifyOutlet]:
    """An outlet that runs, and has said what it says at once. ``said`` is where its events go."""
    events: list[Event] = [] if said is None else said
    with closing(NotifyOutlet(address, court, events.append, watchdog=watchdog)) as outlet:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outlet.run)
            await wait_all_tasks_blocked()
            yield outlet
            nursery.cancel_scope.cancel()


# --- addresses and words ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("/nowhere/notify", "/nowhere/notify"),
        ("@/nowhere/notify", "\0/nowhere/notify"),
        ("/" + "a" * 106, "/" + "a" * 106),
        ("@" + "a" * 107, "\0" + "a" * 107),
    ],
)
def test_addresses(text: str, address: str) -> None:
    assert notify_address(text) == address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        # The system takes it for one, too: only nobody is there.
        assert client.connect_ex(address) in (errno.ENOENT, errno.ECONNREFUSED)


@pytest.mark.parametrize("text", ["notify", "vsock:2:9000", "/" + "a" * 107, "@" + "a" * 108, "/" + "ü" * 54])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"it is neither a path nor @NAME|it is longer than .* 107 bytes"):
        notify_address(text)


@pytest.mark.parametrize(
    ("monitors", "text"),
    [
        ([monitor()], "governing 0 vassals"),
        ([monitor(vassals=1)], "governing 1 vassal"),
        ([monitor(vassals=7), monitor("/w", 5)], "governing 12 vassals"),
        ([monitor(vassals=7), SILENT], "governing 7 vassals, 1 monitor without an answer yet"),
        (
            [monitor(vassals=7), monitor("pg://db", 5, healthy=False, error="connection refused")],
            "governing 12 vassals, 1 monitor failing: pg://db: connection refused",
        ),
        (
            [monitor("a", healthy=False, error="x"), monitor("b", healthy=False, error="y")],
            "governing 0 vassals, 2 monitors failing: a: x; b: y",
        ),
        (
            [monitor("a", healthy=False, error="no\nMAINPID=1\nREADY=1\x1b[2J")],
            r"governing 0 vassals, 1 monitor failing: a: no\nMAINPID=1\nREADY=1\x1b[2J",
        ),
        (
            [monitor("a", healthy=False, error="pg://u:secret@h/ is away")],
            "governing 0 vassals, 1 monitor failing: a: pg://u:***@h/ is away",
        ),
    ],
)
def test_the_status_is_one_line_of_counts_and_failures(monitors: list[MonitorStatistics], text: str) -> None:
    assert status(monitors) == text


def test_no_error_makes_the_status_longer_than_a_datagram_may_be() -> None:
    text = status([monitor("a", healthy=False, error="ü" * 100_000)])
    assert len(text) == LONGEST
    assert text.endswith("ü…")


# --- a life ----------------------------------------------------------------------------------------------------------


async def test_ready_once_every_monitor_has_answered_or_failed(
    address: str, manager: Manager, autojump_clock: MockClock
) -> None:
    court = FakeCourt([SILENT, SILENT])
    async with telling(address, court):
        court.shown = [monitor(vassals=3), SILENT]
        await trio.sleep(FIRST_ANSWERS / 2)
        assert manager.heard() == []
        court.shown = [monitor(vassals=3), monitor("pg://db", healthy=False, error="refused")]
        await trio.sleep(0.2)
        assert manager.heard() == ["READY=1\nSTATUS=governing 3 vassals, 1 monitor failing: pg://db: refused"]


async def test_no_monitor_holds_up_the_boot(address: str, manager: Manager, autojump_clock: MockClock) -> None:
    async with telling(address, FakeCourt([monitor(vassals=3), SILENT])):
        await trio.sleep(FIRST_ANSWERS - 0.1)
        assert manager.heard() == []
        await trio.sleep(0.2)
        assert manager.heard() == ["READY=1\nSTATUS=governing 3 vassals, 1 monitor without an answer yet"]


async def test_a_supervisor_that_hangs_is_not_ready(address: str, manager: Manager, autojump_clock: MockClock) -> None:
    async with telling(address, FakeCourt([monitor()], hangs=True), watchdog=10):
        await trio.sleep(100)
        assert manager.heard() == []


async def test_the_status_is_told_when_it_changes_and_once_a_second_at_most(
    address: str, manager: Manager, autojump_clock: MockClock
) -> None:
    court = FakeCourt([monitor()])
    async with telling(address, court):
        await trio.sleep(100.5)
        assert manager.heard() == ["READY=1\nSTATUS=governing 0 vassals"]
        told = []
        for number in range(100):
            court.shown = [monitor(vassals=number + 1)]
            await trio.sleep(0.1)
            told += manager.heard()
        await trio.sleep(1)
        told += manager.heard()
        assert 9 <= len(told) <= 11
        assert told[-1] == "STATUS=governing 100 vassals"


async def test_a_reload_is_told_from_its_beginning_to_the_supervisors_next_turn(
    address: str, manager: Manager, autojump_clock: MockClock
) -> None:
    court, commanded = FakeCourt([monitor()]), []

    async def command() -> None:
        commanded.append(manager.heard()[-1])
        court.hangs = True

    async with telling(address, court) as outlet:
        before = time.monotonic_ns() // 1000
        await outlet.reload(command)
        reloading, moment = commanded[0].split("\n")
        assert reloading == "RELOADING=1"
        assert before <= int(moment.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
        await trio.sleep(10)
        assert manager.heard() == []  # not before it has been decided on
    court.hangs = False
    async with telling(address, court) as outlet:
        manager.heard()
        await outlet.reload(lambda: trio.sleep(0))
        await wait_all_tasks_blocked()
        assert manager.heard()[1:] == ["READY=1"]


async def test_a_reload_before_it_is_ready_does_not_make_it_ready(
    address: str, manager: Manager, autojump_clock: MockClock
) -> None:
    court = FakeCourt([SILENT])
    async with telling(address, court) as outlet:
        await outlet.reload(lambda: trio.sleep(0))
        await trio.sleep(1)
        assert manager.heard() == []


async def test_an_end_is_told_and_prolonged_for_as_long_as_it_takes(
    address: str, manager: Manager, autojump_clock: MockClock
) -> None:
    court = FakeCourt([monitor(vassals=3)])
    async with telling(address, court, watchdog=1000) as outlet:
        await outlet.reload(lambda: trio.sleep(0))
        court.stopping.set()
        await wait_all_tasks_blocked()
        prolonged = f"EXTEND_TIMEOUT_USEC={EXTENSION * 1_000_000:.0f}"
        assert manager.heard()[-2:] == ["STOPPING=1\nSTATUS=stopping all vassals", prolonged]
        court.shown = [monitor()]
        await trio.sleep(EXTENSION)
        later = manager.heard()
        assert set(later) == {prolonged}  # neither ready nor governing any more
        assert len(later) >= 2


async def test_an_end_before_it_was_ready(address: str, manager: Manager, autojump_clock: MockClock) -> None:
    court = FakeCourt([SILENT])
    async with telling(address, court):
        court.stopping.set()
        court.shown = [monitor()]
        await trio.sleep(FIRST_ANSWERS + 1)
        told = manager.heard()
        assert told[0].startswith("STOPPING=1")
        assert not any("READY" in words for words in told)


# --- the watchdog ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("watchdog", "count"), [(10.0, 20), (1.0, 200), (0.0, 0)])
async def test_the_watchdog_is_fed_twice_as_often_as_it_wants(
    address: str, manager: Manager, autojump_clock: MockClock, watchdog: float, count: int
) -> None:
    async with telling(address, FakeCourt([monitor()]), watchdog=watchdog):
        told = manager.heard()
        for _ in range(999):
            await trio.sleep(0.1)
            told += manager.heard()  # a socket's queue is short
        assert told.count("WATCHDOG=1") == count


async def test_the_watchdog_is_fed_while_the_emperor_stops(
    address: str, manager: Manager, autojump_clock: MockClock
) -> None:
    court = FakeCourt([monitor()])
    async with telling(address, court, watchdog=10):
        court.stopping.set()
        await wait_all_tasks_blocked()
        manager.heard()
        await trio.sleep(20.1)
        assert manager.heard().count("WATCHDOG=1") == 4


async def test_a_supervisor_that_takes_no_turn_feeds_no_watchdog(
    address: str, manager: Manager, autojump_clock: MockClock
) -> None:
    court = FakeCourt([monitor()])
    async with telling(address, court, watchdog=10):
        court.hangs = True
        await trio.sleep(5.1)
        manager.heard()
        await trio.sleep(100)
        assert manager.heard() == []


# --- a manager that does not listen ----------------------------------------------------------------------------------


async def test_what_a_full_socket_does_not_take_is_said_later_in_order(
    address: str, manager: Manager, autojump_clock: MockClock
) -> None:
    court, said = FakeCourt([SILENT]), list[Event]()
    async with telling(address, court, said, watchdog=10) as outlet:
        await trio.sleep(0.2)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as crowd:
            crowd.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    crowd.sendto(b"X", notify_address(address))
        court.shown = [monitor()]
        await trio.sleep(1)
        await outlet.reload(lambda: trio.sleep(0))
        await trio.sleep(60)  # it goes on without having been heard
        assert set(manager.heard()) <= {"X", "WATCHDOG=1"}
        await trio.sleep(1.5)
        words = [told.partition("\n")[0] for told in manager.heard()]
        assert [word for word in words if word != "WATCHDOG=1"] == ["READY=1", "RELOADING=1", "READY=1"]
    assert said == []


async def test_a_manager_that_is_not_there_is_told_of_once_and_told_when_it_comes(
    address: str, autojump_clock: MockClock
) -> None:
    said: list[Event] = []
    async with telling(address, FakeCourt([monitor()]), said, watchdog=10):
        await trio.sleep(100)
        (notice,) = said
        assert isinstance(notice, Notice)
        assert notice.text == f"NOTIFY_SOCKET {address}: the service manager can't be told: Connection refused"
        manager = Manager(notify_address(address))
        with closing(manager.socket):
            await trio.sleep(1.5)
            assert manager.heard()[0].startswith("READY=1")
