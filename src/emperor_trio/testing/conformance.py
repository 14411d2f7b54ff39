"""What every imperial monitor must do, as tests that run against any of them, a third party's too.

Write a :class:`Source` for what your monitor watches, give it as the fixture ``source``, and run the tests under pytest
with pytest-trio (``trio_mode = true``)::

    class TestMyMonitor(MonitorConformance):
        @pytest.fixture
        def source(self, tmp_path: Path) -> Source:
            return MySource(tmp_path)

Real time passes here, since sources are real; nothing is measured against the clock but time limits.
"""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import trio

from emperor_trio.events import Event
from emperor_trio.model import Destroy, Observation, Snapshot, Touch, VassalSpec
from emperor_trio.ports import Doorbell, Monitor


class Source(Protocol):
    """What a monitor watches, seen from the side of whoever changes it. Entries are names such as ``one.ini``.

    ``patience`` is the time in seconds within which any change must be seen, ``outage`` how long one lasts.
    """

    patience: float
    outage: float

    def make_monitor(self, publish: Callable[[Event], None], doorbell: Doorbell) -> Monitor:
        """A new monitor over this source."""
        ...

    def name(self, entry: str) -> str:
        """The name of the vassal of an entry."""
        ...

    async def add(self, entry: str) -> None: ...

    async def change(self, entry: str) -> None:
        """Give an entry another version."""
        ...

    async def remove(self, entry: str) -> None: ...

    async def spoil(self, entry: str) -> None:
        """Add an entry, of a name that is not there, that is wrong in a way of which the monitor has to beware."""
        ...

    async def break_down(self) -> None:
        """Let the source fail. It may still be added to and changed, so that this shows once it is back."""
        ...

    async def heal(self) -> None: ...


class Ring:
    """A doorbell for a monitor in a test."""

    def __init__(self) -> None:
        self._rung = trio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self) -> None:
        await self._rung.wait()
        self._rung = trio.Event()


@dataclass
class Watched:
    """A monitor that runs, and what came of it: ``vassals`` are what it says there is, by name.

    While it is not ``open``, nothing is taken in; ``knocked`` says that an observation waits then.
    """

    patience: float
    bell: Ring = field(default_factory=Ring)
    vassals: dict[str, VassalSpec] = field(default_factory=dict)
    observations: list[Observation] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    open: bool = True
    knocked: bool = False
    _changed: trio.Event = field(default_factory=trio.Event)

    async def emit(self, observation: Observation) -> None:
        """Take in an observation, as the supervisor does; not while it is not :attr:`open`."""
        while not self.open:
            self.knocked = True
            self._wake()
            await self._changed.wait()
        match observation:
            case Snapshot(specs):
                assert len({spec.name for spec in specs}) == len(specs), "one name twice in a snapshot"
                self.vassals = {spec.name: spec for spec in specs}
            case Touch(spec):
                self.vassals[spec.name] = spec
            case Destroy(name):
                self.vassals.pop(name, None)
        self.observations.append(observation)
        self._wake()
        await trio.lowlevel.checkpoint()

    def publish(self, event: Event) -> None:
        assert "\n" not in event.text, f"an event of more than one line: {event!r}"
        self.events.append(event)
        self._wake()

    def reopen(self) -> None:
        """Take observations in again, after ``open = False``."""
        self.open = True
        self._wake()

    @property
    def names(self) -> set[str]:
        return set(self.vassals)

    async def until(self, holds: Callable[[], object], what: str = "what was expected") -> None:
        """Wait until something holds. Raises AssertionError after the source's patience."""
        with trio.move_on_after(self.patience):
            while not holds():
                await self._changed.wait()
        assert holds(), f"{what}: not seen within {self.patience:g} s; {self._tell_last()}"

    async def until_there(self, *names: str) -> None:
        """Wait until exactly these vassals are there."""
        with trio.move_on_after(self.patience):
            while not self.observations or self.names != set(names):
                await self._changed.wait()
        missing, surplus = sorted(set(names) - self.names), sorted(self.names - set(names))
        assert not missing, f"not seen within {self.patience:g} s: {missing[:9]}; {self._tell_last()}"
        assert not surplus, f"not gone within {self.patience:g} s: {surplus[:9]}; {self._tell_last()}"
        assert self.observations, f"nothing was said within {self.patience:g} s; {self._tell_last()}"

    async def until_newer(self, name: str, version: int) -> None:
        """Wait until a vassal has another version."""
        await self.until(lambda: name in self.vassals and self.vassals[name].version != version, f"a newer {name}")

    def _tell_last(self) -> str:
        last = [*self.observations[-5:], *self.events[-5:], *self.failures[-3:]]
        return "last came" + "".join(f"\n  {item!r:.500}" for item in last)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


@asynccontextmanager
async def watching(source: Source) -> AsyncIterator[Watched]:
    """Run a source's monitor for as long as the block lasts; where it fails it is run again, as the emperor does."""
    watched = Watched(source.patience)
    monitor = source.make_monitor(watched.publish, watched.bell)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_keep, monitor, watched)
        yield watched
        nursery.cancel_scope.cancel()


async def _keep(monitor: Monitor, watched: Watched) -> None:
    while True:
        try:
            await monitor.run(watched.emit)
        except* AssertionError:
            raise
        except* Exception as group:
            watched.failures += group.exceptions
        await trio.sleep(0.05)


def count_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def until_no_more(count: Callable[[], int], most: int, what: str, patience: float) -> None:
    """Wait until a count is down to ``most``: what a thread still holds is given back when it ends."""
    with trio.move_on_after(patience):
        while count() > most:  # noqa: ASYNC110 - nobody tells when a descriptor is closed
            await trio.sleep(0.02)
    assert count() <= most, f"{count() - most} {what} were left behind"


class MonitorConformance:
    """The tests. A subclass brings the fixture ``source``.

    ``restarts`` is how often a monitor is started and ended to see whether something stays behind, ``cancellations``
    how often it is cancelled, a little later each time.
    """

    restarts = 100
    cancellations = 20

    async def test_all_there_is_comes_as_one_first_snapshot(self, source: Source) -> None:
        await source.add("one.ini")
        await source.add("two.ini")
        async with watching(source) as watched:
            await watched.until_there(source.name("one.ini"), source.name("two.ini"))
            first = watched.observations[0]
            assert isinstance(first, Snapshot), f"the first observation is no snapshot: {first!r:.200}"
            assert len(first.specs) == 2, f"the first snapshot is not complete: {first!r:.500}"

    async def test_an_empty_source_says_so(self, source: Source) -> None:
        async with watching(source) as watched:
            await watched.until_there()
            first = watched.observations[0]
            assert first == Snapshot(()), f"the first observation is no empty snapshot: {first!r:.200}"

    async def test_an_added_vassal_is_seen_and_nothing_else_changes(self, source: Source) -> None:
        await source.add("one.ini")
        async with watching(source) as watched:
            await watched.until_there(source.name("one.ini"))
            before = watched.vassals[source.name("one.ini")]
            await source.add("two.ini")
            await watched.until_there(source.name("one.ini"), source.name("two.ini"))
            assert watched.vassals[source.name("one.ini")] == before, "another vassal changed along"

    async def test_a_change_is_another_version(self, source: Source) -> None:
        await source.add("one.ini")
        async with watching(source) as watched:
            await watched.until_there(source.name("one.ini"))
            for _ in range(3):
                version = watched.vassals[source.name("one.ini")].version
                await source.change("one.ini")
                await watched.until_newer(source.name("one.ini"), version)

    async def test_a_removed_vassal_goes_and_the_others_stay(self, source: Source) -> None:
        await source.add("one.ini")
        await source.add("two.ini")
        async with watching(source) as watched:
            await watched.until_there(source.name("one.ini"), source.name("two.ini"))
            await source.remove("one.ini")
            await watched.until_there(source.name("two.ini"))

    async def test_a_vassal_comes_back_after_its_removal(self, source: Source) -> None:
        await source.add("one.ini")
        async with watching(source) as watched:
            await watched.until_there(source.name("one.ini"))
            await source.remove("one.ini")
            await watched.until_there()
            await source.add("one.ini")
            await watched.until_there(source.name("one.ini"))

    async def test_many_changes_at_once_all_arrive(self, source: Source) -> None:
        entries = [f"many-{number}.ini" for number in range(50)]
        async with watching(source) as watched:
            await watched.until_there()
            for entry in entries:
                await source.add(entry)
            await watched.until_there(*map(source.name, entries))
            for entry in entries[::2]:
                await source.remove(entry)
            await watched.until_there(*map(source.name, entries[1::2]))

    async def test_a_malformed_entry_harms_only_itself(self, source: Source) -> None:
        await source.add("one.ini")
        await source.spoil("bad.ini")
        async with watching(source) as watched:
            await watched.until_there(source.name("one.ini"))
            await source.spoil("worse.ini")
            await source.add("two.ini")
            await watched.until_there(source.name("one.ini"), source.name("two.ini"))

    async def test_an_outage_changes_nothing(self, source: Source) -> None:
        await source.add("one.ini")
        await source.add("two.ini")
        async with watching(source) as watched:
            both = source.name("one.ini"), source.name("two.ini")
            await watched.until_there(*both)
            said = len(watched.observations)
            before = dict(watched.vassals)
            await source.break_down()
            await trio.sleep(source.outage)
            assert watched.vassals == before, "an outage changed something"
            await source.change("two.ini")
            await source.add("three.ini")
            await source.heal()
            await watched.until_there(*both, source.name("three.ini"))
            await watched.until_newer(both[1], before[both[1]].version)
            destroyed = [seen for seen in watched.observations[said:] if isinstance(seen, Destroy)]
            assert not destroyed, f"an outage was taken for a removal: {destroyed}"

    async def test_an_outage_at_the_start_is_waited_out(self, source: Source) -> None:
        await source.add("one.ini")
        await source.break_down()
        async with watching(source) as watched:
            await trio.sleep(source.outage)
            assert not watched.observations, f"said of a source that can't be read: {watched.observations!r:.200}"
            await source.heal()
            await watched.until_there(source.name("one.ini"))
            assert isinstance(watched.observations[0], Snapshot), "the first observation is no snapshot"

    async def test_a_ring_is_answered(self, source: Source) -> None:
        await source.add("one.ini")
        async with watching(source) as watched:
            await watched.until_there(source.name("one.ini"))
            said = len(watched.observations)
            watched.bell.ring()
            await watched.until(lambda: len(watched.observations) > said, "an answer to a ring")
            assert watched.names == {source.name("one.ini")}, "a ring changed something"

    async def test_nothing_is_lost_on_a_slow_listener(self, source: Source) -> None:
        async with watching(source) as watched:
            await watched.until_there()
            watched.open = False
            await source.add("slow-0.ini")
            await watched.until(lambda: watched.knocked, "an observation")
            for number in range(1, 10):
                await source.add(f"slow-{number}.ini")
            await source.remove("slow-0.ini")
            await source.change("slow-1.ini")
            watched.reopen()
            await watched.until_there(*(source.name(f"slow-{number}.ini") for number in range(1, 10)))

    async def test_run_again_it_says_everything_anew(self, source: Source) -> None:
        await source.add("one.ini")
        watched = Watched(source.patience)
        monitor = source.make_monitor(watched.publish, watched.bell)
        for _ in range(3):
            watched.observations.clear()
            watched.vassals.clear()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(monitor.run, watched.emit)
                await watched.until_there(source.name("one.ini"))
                assert isinstance(watched.observations[0], Snapshot), "the first observation is no snapshot"
                nursery.cancel_scope.cancel()

    async def test_cancelled_in_any_state_it_leaves_nothing_behind(self, source: Source) -> None:
        await source.add("one.ini")
        watched = Watched(source.patience)
        monitor = source.make_monitor(watched.publish, watched.bell)
        descriptors = count_descriptors()
        for steps in range(self.cancellations):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_keep, monitor, watched)
                await source.change("one.ini")
                for _ in range(steps):
                    await trio.sleep(0.001)
                nursery.cancel_scope.cancel()
        await until_no_more(count_descriptors, descriptors, "descriptors", source.patience)
        async with watching(source) as again:
            await again.until_there(source.name("one.ini"))

    async def test_many_restarts_leave_no_descriptor_and_no_thread(self, source: Source) -> None:
        await source.add("one.ini")
        descriptors, threads = count_descriptors(), threading.active_count()
        for _ in range(self.restarts):
            async with watching(source) as watched:
                await watched.until_there(source.name("one.ini"))
        await until_no_more(count_descriptors, descriptors, "descriptors", source.patience)
        # Trio keeps a few idle threads for its next jobs; one for every restart would be a leak.
        await until_no_more(threading.active_count, threads + 10, "threads", 15.0)
