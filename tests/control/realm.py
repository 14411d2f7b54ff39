"""An emperor for tests of what shows it: its vassals are what a test says, its bus is the real one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

import trio

from emperor_trio.actors.bus import Bus, Subscriber
from emperor_trio.events import Event, VassalMoved, VassalRemoved
from emperor_trio.model import VassalId, Verb, Verdict
from emperor_trio.ports import EmperorStatistics, MonitorStatistics, VassalStatistics

MONITOR = "/srv/vassals"


def vassal_id(name: str, monitor: str = MONITOR) -> VassalId:
    return VassalId(monitor, name)


def statistics(vassal: VassalId, **changes: object) -> VassalStatistics:
    plain = VassalStatistics(
        vassal=vassal, name=vassal.name, phase="running", pid=7, generation=1, revision=1, born=1, modified=1,
        first_run=1.0, last_run=1.0, last_ready=1.0, last_accepting=1.0, last_loyal=0.0, last_heartbeat=0.0, ready=True,
        accepting=True, loyal=False, cursed_at=0.0, reloads=0, on_demand=None, owner=None, reason="",
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


class FakeRealm:
    """Implements :class:`emperor_trio.ports.Realm`."""

    def __init__(self, *names: str) -> None:
        self.bus = Bus(wall=trio.current_time)
        self.there: dict[VassalId, VassalStatistics] = {}
        self.away: tuple[VassalId, ...] = ()
        self.orders: list[tuple[Verb, tuple[VassalId, ...]]] = []
        self.stopped = ""
        self.scanned: list[str | None] = []
        for name in names:
            vassal = vassal_id(name)
            self.there[vassal] = statistics(vassal)

    # --- said by a test ---

    def change(self, name: str, **changes: object) -> None:
        """A vassal is otherwise now, and an event tells so."""
        vassal = vassal_id(name)
        self.there[vassal] = replace(self.there.get(vassal) or statistics(vassal), **changes)  # type: ignore[arg-type]
        self.bus.publish(VassalMoved(vassal, self.there[vassal].phase))

    def remove(self, name: str) -> None:
        del self.there[vassal_id(name)]
        self.bus.publish(VassalRemoved(vassal_id(name)))

    def publish(self, event: Event) -> None:
        self.bus.publish(event)

    # --- the port ---

    def statistics(self) -> EmperorStatistics:
        return EmperorStatistics(self.monitors(), tuple(self.there.values()))

    def monitors(self) -> tuple[MonitorStatistics, ...]:
        return (MonitorStatistics(MONITOR, True, 1.0, "", len(self.there)),)

    def vassal(self, vassal: VassalId) -> VassalStatistics | None:
        return self.there.get(vassal)

    def vassal_ids(self) -> tuple[VassalId, ...]:
        return tuple(self.there)

    def absent(self) -> tuple[VassalId, ...]:
        return self.away

    def command_line(self, vassal: VassalId) -> tuple[str, ...]:
        return ("uwsgi", "--ini", vassal.name)

    def attributes(self, vassal: VassalId) -> Mapping[str, str]:
        return {}

    def subscribe(self, limit: int = 1000) -> AbstractContextManager[Subscriber]:
        return self.bus.subscribe(limit)

    async def order(self, verb: Verb, vassals: Sequence[VassalId]) -> tuple[Verdict, ...]:
        self.orders.append((verb, tuple(vassals)))
        return tuple(Verdict(vassal, True, "told", 5) for vassal in vassals)

    async def scan(self, monitor: str | None = None) -> None:
        if monitor not in (None, MONITOR):
            raise KeyError(monitor)
        self.scanned.append(monitor)

    def stop(self, reason: str = "") -> None:
        self.stopped = reason
