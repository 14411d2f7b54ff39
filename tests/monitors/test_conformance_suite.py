"""The conformance suite itself: a monitor that polls passes it, and monitors with faults do not."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
import trio

from emperor_trio.errors import MonitorError
from emperor_trio.events import Event, MonitorEvent
from emperor_trio.model import Snapshot, VassalSpec
from emperor_trio.ports import Doorbell, Emit, Monitor
from emperor_trio.testing.conformance import MonitorConformance, Source


class PollingMonitor:
    """Asks its source again and again, and when the doorbell rings."""

    def __init__(self, source: MemorySource, doorbell: Doorbell) -> None:
        self.source = source
        self.doorbell = doorbell

    async def run(self, emit: Emit) -> None:
        while True:
            await emit(self.snapshot())
            with trio.move_on_after(0.01):
                await self.doorbell.wait()

    def snapshot(self) -> Snapshot:
        if self.source.broken:
            raise MonitorError("memory is down")
        return Snapshot(tuple(VassalSpec(name, version) for name, version in self.source.entries.items()))


class MemorySource:
    """Entries in a dictionary; what is spoilt never gets there."""

    patience = 5.0
    outage = 0.2

    def __init__(self, make: Callable[[MemorySource, Doorbell], Monitor] = PollingMonitor) -> None:
        self.entries: dict[str, int] = {}
        self.broken = False
        self._make = make
        self._version = 0

    def make_monitor(self, publish: Callable[[Event], None], doorbell: Doorbell) -> Monitor:
        self.publish = publish
        return self._make(self, doorbell)

    def name(self, entry: str) -> str:
        return entry

    async def add(self, entry: str) -> None:
        self._version += 1
        self.entries[entry] = self._version

    change = add

    async def remove(self, entry: str) -> None:
        del self.entries[entry]

    async def spoil(self, entry: str) -> None:
        pass

    async def break_down(self) -> None:
        self.broken = True

    async def heal(self) -> None:
        self.broken = False


class TestPolling(MonitorConformance):
    @pytest.fixture
    def source(self) -> Source:
        return MemorySource()


class Forgetful(PollingMonitor):
    """Takes an outage for an empty source."""

    def snapshot(self) -> Snapshot:
        return Snapshot(()) if self.source.broken else super().snapshot()


class Leaky(PollingMonitor):
    """Opens a file for each run and leaves it open."""

    async def run(self, emit: Emit) -> None:
        leaked.append(os.open("/dev/null", os.O_RDONLY))
        await super().run(emit)


class Deaf(PollingMonitor):
    """Does not hear the doorbell, nor of any change."""

    async def run(self, emit: Emit) -> None:
        await emit(self.snapshot())
        await trio.sleep_forever()


class Double(PollingMonitor):
    """Says each name twice."""

    def snapshot(self) -> Snapshot:
        specs = super().snapshot().specs
        return Snapshot(specs + specs)


class Talkative(PollingMonitor):
    """Publishes an event of two lines."""

    def snapshot(self) -> Snapshot:
        self.source.publish(TwoLines("m"))
        return super().snapshot()


class TwoLines(MonitorEvent):
    @property
    def text(self) -> str:
        return "one\ntwo"


leaked: list[int] = []

Test = Callable[[Any, Source], Any]
SUITE = MonitorConformance


@pytest.mark.parametrize(
    ("monitor", "test", "says"),
    [
        (Forgetful, SUITE.test_an_outage_changes_nothing, "an outage changed something"),
        (Forgetful, SUITE.test_an_outage_at_the_start_is_waited_out, "said of a source that"),
        (Leaky, SUITE.test_many_restarts_leave_no_descriptor_and_no_thread, "100 descriptors were left behind"),
        (Leaky, SUITE.test_cancelled_in_any_state_it_leaves_nothing_behind, "descriptors were left behind"),
        (Deaf, SUITE.test_a_ring_is_answered, "an answer to a ring: not seen within"),
        (Deaf, SUITE.test_an_added_vassal_is_seen_and_nothing_else_changes, r"not seen within .*two\.ini"),
        (Deaf, SUITE.test_a_removed_vassal_goes_and_the_others_stay, r"not gone within .*one\.ini"),
        (Deaf, SUITE.test_a_change_is_another_version, r"a newer one\.ini: not seen"),
        (Double, SUITE.test_all_there_is_comes_as_one_first_snapshot, "one name twice in a snapshot"),
        (Talkative, SUITE.test_an_empty_source_says_so, "an event of more than one line"),
    ],
)
async def test_a_fault_is_found(
    monkeypatch: pytest.MonkeyPatch, monitor: type[PollingMonitor], test: Test, says: str
) -> None:
    monkeypatch.setattr(MemorySource, "patience", 0.5)
    try:
        with pytest.RaisesGroup(
            pytest.RaisesExc(AssertionError, match=says), allow_unwrapped=True, flatten_subgroups=True
        ):
            await test(SUITE(), MemorySource(monitor))
    finally:
        while leaked:
            os.close(leaked.pop())
