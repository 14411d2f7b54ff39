"""What happened, counted and timed for the metrics: one event at a time, each at the same small cost.

Owns what is counted under which label, and when a change is taken to be acted on or served. It knows neither Prometheus
nor a clock: every time is that of an event, in seconds since the epoch.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from emperor_trio import events
from emperor_trio.events import Event, MonitorEvent, VassalEvent
from emperor_trio.model import VassalId
from emperor_trio.ports import Occurrence

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds in seconds of every histogram: from a reaction at once to one that nobody waits for."""

ACTIONS = ("spawn", "reload", "stop")
"""What a change can lead to."""

DEATHS = ("asked", "clean", "exit", "signal", "heartbeat", "lost")
"""Why a process ended: the emperor had asked for it; by itself, with exit code 0 or another one; by a signal; killed
since it sent no heartbeat; killed since it had closed its pipe and did not end."""

OTHER = "other"
"""The label of a monitor that is not on the command line."""

PER_MONITOR: dict[type[Event], str] = {
    events.VassalSpawned: "emperor_spawns_total",
    events.SpawnFailed: "emperor_spawn_failures_total",
    events.ReloadSent: "emperor_reloads_total",
    events.StopSent: "emperor_stops_total",
    events.VassalKilled: "emperor_kills_total",
    events.VassalBlacklisted: "emperor_blacklistings_total",
    events.VassalExiled: "emperor_exiles_total",
    events.VassalParked: "emperor_failed_total",
    events.VassalRefused: "emperor_refusals_total",
    events.MonitorFailed: "emperor_monitor_failures_total",
}
"""Events that are counted by monitor, and the metric that counts them."""


class Histogram:
    """How often a time fell into each of :data:`BUCKETS`, the last place being beyond all of them; and their sum."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts: list[int] = [0] * (len(BUCKETS) + 1)
        self.total: float = 0.0

    def observe(self, seconds: float) -> None:
        """A negative time is that of a clock that was set back meanwhile, and says nothing."""
        if seconds >= 0:
            self.counts[bisect_left(BUCKETS, seconds)] += 1
            self.total += seconds


@dataclass(slots=True)
class _Underway:
    """One vassal's open ends. Times since the epoch, ``None`` where nothing is open.

    ``changed`` is the first change that was not acted on yet, ``acted`` the change that the last action was for, until
    the vassal is ready; ``spawned`` is the start of a process that is not ready yet. ``on_demand``, ``alive`` and
    ``held`` say whether a change leads to anything now. ``cursed`` and ``killed`` are for the death to come.
    """

    changed: float | None = None
    acted: float | None = None
    spawned: float | None = None
    on_demand: bool = False
    alive: bool = False
    held: bool = False
    cursed: bool = False
    killed: bool = False

    def close(self) -> None:
        """Nobody waits for anything any more."""
        self.changed = self.acted = self.spawned = None

    @property
    def over(self) -> bool:
        """Nothing of it is needed any more; whether a process lives matters only to a vassal on demand."""
        return (
            self.changed is None
            and self.acted is None
            and self.spawned is None
            and not (self.on_demand or self.held or self.cursed or self.killed)
        )


class Tally:
    """``monitors`` are those of the command line: their names, and the labels under which they are shown.

    ``counters`` hold by the metric's name and the labels' values, everything that can be foreseen from 0 on: a rate
    needs a first value.
    """

    def __init__(self, monitors: Iterable[tuple[str, str]]) -> None:
        self._labels = dict(monitors)
        labels = list(self._labels.values())
        self.counters: dict[str, Counter[tuple[str, ...]]] = {
            "emperor_events_total": Counter({(name,): 0 for name in event_names()}),
            "emperor_deaths_total": Counter({(monitor, reason): 0 for monitor in labels for reason in DEATHS}),
        }
        for name in PER_MONITOR.values():
            self.counters[name] = Counter({(monitor,): 0 for monitor in labels})
        self.reactions: dict[str, Histogram] = {action: Histogram() for action in ACTIONS}
        self.change_to_ready: Histogram = Histogram()
        self.spawn_to_ready: Histogram = Histogram()
        self.dropped: int = 0
        self._underway: dict[VassalId, _Underway] = {}

    @property
    def underway(self) -> int:
        """Vassals of which something is remembered; never more than there are."""
        return len(self._underway)

    def label(self, monitor: str) -> str:
        """The label of a monitor: one of those on the command line, so that labels stay few."""
        return self._labels.get(monitor, OTHER)

    def take(self, occurrence: Occurrence) -> None:
        """Count one event."""
        event = occurrence.event
        if isinstance(event, events.Lagged):
            self.dropped += event.dropped
            self._underway.clear()  # what was dropped may have been the end of any of them
            return
        kind = type(event)
        self.counters["emperor_events_total"][kind.__name__,] += 1
        name = PER_MONITOR.get(kind)
        if name is not None and isinstance(event, VassalEvent):
            self.counters[name][self.label(event.vassal.monitor),] += 1
        elif name is not None and isinstance(event, MonitorEvent):
            self.counters[name][self.label(event.monitor),] += 1
        follow = _FOLLOW.get(kind)
        if follow is not None and isinstance(event, VassalEvent):
            follow(self, event, occurrence.at)

    def _of(self, vassal: VassalId) -> _Underway:
        found = self._underway.get(vassal)
        if found is None:
            found = self._underway[vassal] = _Underway()
        return found

    def _settle(self, vassal: VassalId, found: _Underway) -> None:
        if found.over:
            self._underway.pop(vassal, None)

    # --- one vassal's events ---

    def _change(self, event: VassalEvent, at: float) -> None:
        found = self._of(event.vassal)
        if found.on_demand and not found.alive:
            return  # nothing is to be done before its next connection
        if found.changed is None or found.held:
            found.changed = at

    def _wake(self, event: VassalEvent, at: float) -> None:
        found = self._of(event.vassal)
        found.on_demand, found.changed = True, at

    def _act(self, event: VassalEvent, at: float, action: str) -> _Underway:
        found = self._of(event.vassal)
        if found.changed is not None:
            self.reactions[action].observe(at - found.changed)
            found.acted, found.changed = found.changed, None
        return found

    def _spawn(self, event: VassalEvent, at: float) -> None:
        found = self._act(event, at, "spawn")
        found.spawned, found.alive, found.held = at, True, False

    def _reload(self, event: VassalEvent, at: float) -> None:
        self._settle(event.vassal, self._act(event, at, "reload"))

    def _stop(self, event: VassalEvent, at: float) -> None:
        self._settle(event.vassal, self._act(event, at, "stop"))

    def _ready(self, event: VassalEvent, at: float) -> None:
        found = self._underway.get(event.vassal)
        if found is not None:
            if found.spawned is not None:
                self.spawn_to_ready.observe(at - found.spawned)
            if found.acted is not None:
                self.change_to_ready.observe(at - found.acted)
            found.spawned = found.acted = None
            self._settle(event.vassal, found)

    def _curse(self, event: VassalEvent, _at: float) -> None:
        self._of(event.vassal).cursed = True

    def _kill(self, event: VassalEvent, _at: float) -> None:
        self._of(event.vassal).killed = True

    def _exit(self, event: VassalEvent, _at: float) -> None:
        assert isinstance(event, events.VassalExited)  # noqa: S101 - by _FOLLOW
        found = self._of(event.vassal)
        reason = death_reason(event, cursed=found.cursed, killed=found.killed)
        self.counters["emperor_deaths_total"][self.label(event.vassal.monitor), reason] += 1
        found.alive = found.cursed = found.killed = False
        found.spawned = None
        self._settle(event.vassal, found)

    def _give_up(self, event: VassalEvent, _at: float) -> None:
        """It stays away, or its spawn failed: how long it takes from here on is nobody's reaction."""
        found = self._of(event.vassal)
        found.close()
        self._settle(event.vassal, found)

    def _listen(self, event: VassalEvent, _at: float) -> None:
        found = self._of(event.vassal)
        found.close()
        found.on_demand, found.alive, found.held = True, False, False

    def _hold(self, event: VassalEvent, _at: float) -> None:
        found = self._of(event.vassal)
        found.close()
        found.on_demand, found.alive, found.held = False, False, True

    def _forget(self, event: VassalEvent, _at: float) -> None:
        self._underway.pop(event.vassal, None)


_FOLLOW: dict[type[Event], Callable[[Tally, VassalEvent, float], None]] = {
    events.VassalAdded: Tally._change,
    events.VassalChanged: Tally._change,
    events.VassalWoken: Tally._wake,
    events.VassalSpawned: Tally._spawn,
    events.SpawnFailed: Tally._give_up,
    events.ReloadSent: Tally._reload,
    events.StopSent: Tally._stop,
    events.VassalReady: Tally._ready,
    events.VassalCursed: Tally._curse,
    events.VassalKilled: Tally._kill,
    events.VassalExited: Tally._exit,
    events.VassalExiled: Tally._give_up,
    events.VassalParked: Tally._give_up,
    events.VassalListening: Tally._listen,
    events.VassalHeld: Tally._hold,
    events.VassalRemoved: Tally._forget,
}


def death_reason(event: events.VassalExited, *, cursed: bool = False, killed: bool = False) -> str:
    """One of :data:`DEATHS`. ``cursed`` and ``killed`` say what the emperor did to the process before."""
    if event.expected:
        return "asked"
    if killed:
        return "lost" if cursed else "heartbeat"
    if event.code < 0:
        return "signal"
    return "exit" if event.code else "clean"


def event_names() -> list[str]:
    """Every class of events that can happen, sorted."""
    abstract = {Event, MonitorEvent, VassalEvent, events.Lagged}
    return sorted(kind.__name__ for kind in _below(Event) if kind not in abstract)


def _below(root: type[Event]) -> list[type[Event]]:
    # A class made with slots replaces its first self, which may still be among the subclasses.
    children = [kind for kind in root.__subclasses__() if getattr(events, kind.__name__, None) is kind]
    return [*children, *(found for child in children for found in _below(child))]
