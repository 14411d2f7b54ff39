"""An empire of fakes under a clock that jumps: what the tests of the actors run in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import MockClock

from emperor_trio import events
from emperor_trio.actors.emperor import Emperor, MakeMonitor
from emperor_trio.actors.supervisor import Policy
from emperor_trio.events import Event
from emperor_trio.model import VassalSpec
from emperor_trio.ports import Outlet, VassalStatistics
from emperor_trio.testing import EventRecorder, FakeSpawner, ScriptedMonitor

MONITOR = "dir:///etc/vassals"


@dataclass
class Empire:
    """One emperor, its fakes and what happened. Times are those of the jumping clock, which starts at 0."""

    emperor: Emperor
    spawner: FakeSpawner
    monitor: ScriptedMonitor
    events: EventRecorder
    versions: dict[str, int] = field(default_factory=dict)

    def spec(self, name: str, **fields: object) -> VassalSpec:
        """A spec of this name; a newer version each time it is asked for."""
        self.versions[name] = self.versions.get(name, 0) + 1
        return VassalSpec(name, self.versions[name], **fields)  # type: ignore[arg-type]

    def statistics(self, name: str, ordinal: int = 0) -> VassalStatistics:
        found = [
            statistics
            for statistics in self.emperor.statistics().vassals
            if (statistics.vassal.name, statistics.vassal.ordinal) == (name, ordinal)
        ]
        assert len(found) == 1, found
        return found[0]

    def names_of(self, kind: type[Event]) -> list[str]:
        """The vassals' names of all events of a class, in order."""
        return [str(event.vassal) for event in self.events.of(kind)]  # type: ignore[attr-defined]

    @property
    def crashes(self) -> list[Event]:
        """What should never happen unless a test made it happen."""
        return [*self.events.of(events.ActorCrashed), *self.events.of(events.ObservationFailed)]


Reign = Callable[..., AbstractAsyncContextManager[Empire]]


@pytest.fixture
def reign(autojump_clock: MockClock) -> Reign:
    """``async with reign(policy, …) as empire:`` an emperor that reigns; at the end it must leave nothing behind.

    The test itself must ask for ``autojump_clock``, too: pytest-trio looks for a clock among a test's own arguments.
    """

    @asynccontextmanager
    async def reign(
        policy: Policy | None = None,
        *,
        spawner: FakeSpawner | None = None,
        monitors: Mapping[str, MakeMonitor] | None = None,
        outlets: Mapping[str, Outlet] | None = None,
        mercy: float = 5.0,
        chance: Callable[[], float] = lambda: 0.0,
        may_crash: bool = False,
    ) -> AsyncIterator[Empire]:
        assert trio.lowlevel.current_clock() is autojump_clock
        spawner = spawner or FakeSpawner()
        monitor = ScriptedMonitor()
        emperor = Emperor(
            {MONITOR: monitor.make, **(monitors or {})},
            spawner,
            policy,
            services=[spawner.run],
            mercy=mercy,
            wall=trio.current_time,
            chance=chance,
        )
        for name, outlet in (outlets or {}).items():
            emperor.add_outlet(name, outlet)
        with EventRecorder(emperor) as recorder:
            empire = Empire(emperor, spawner, monitor, recorder)
            async with trio.open_nursery() as nursery:
                await nursery.start(emperor.run)
                yield empire
                emperor.stop()
            assert not spawner.live
            assert not spawner.open_listeners
            assert not spawner.overlaps
            assert all(process.closed for process in spawner.spawned)
            assert may_crash or not empire.crashes

    return reign
