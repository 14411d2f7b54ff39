"""What was said of each vassal of a monitor of files, and what one more look at it leads to. Pure."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

from emperor_trio.events import Event, VassalRefused
from emperor_trio.model import Destroy, Observation, Touch
from emperor_trio.monitors._entries import Absent, Failed, Found, Outcome, Point, Refused
from emperor_trio.monitors._points import Points
from emperor_trio.monitors._sight import Glance, Place

GRACE = 0.1
"""Seconds in which a vanished name may return, since editors rename; then its vassal is gone."""


@dataclass(slots=True)
class Told:
    """What one look leads to: observations for the supervisor, events for people, folders nobody needs any more."""

    observations: list[Observation] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    freed: list[str] = field(default_factory=list)


class Vassals:
    """``monitor`` is the monitor's name, for events. Times are seconds on any clock that only rises."""

    def __init__(self, monitor: str) -> None:
        self._monitor = monitor
        self.known: dict[str, Found] = {}
        self.points: Points[Glance | Place] = Points()
        self._glances: dict[str, Glance] = {}
        self._names: dict[str, set[str]] = {}
        self._missing: dict[str, float] = {}
        self._said: dict[str, Refused | Failed] = {}

    def names_in(self, folder: str) -> frozenset[str]:
        """The names in a folder that are vassals', or links that would be if they led anywhere."""
        return frozenset(self._names.get(folder, ()))

    def folders(self) -> list[str]:
        """The folders with such names."""
        return list(self._names)

    def left(self, name: str, now: float) -> None:
        """A name was deleted, or renamed away: its time to return begins."""
        self._said.pop(name, None)
        if name in self._glances:
            self._missing.setdefault(name, now + GRACE)

    def is_expected(self, name: str) -> bool:
        """Whether there should be a vassal of this name, for all that was said."""
        return name in self.known and name not in self._missing

    def differing(self, outcomes: dict[str, Outcome], absent: dict[str, Absent]) -> list[tuple[str, Outcome]]:
        """What there is to settle, of all that was found in a folder; :meth:`lacks` does it for names that are gone."""
        known, missing = self.known, self._missing
        news: list[tuple[str, Outcome]] = [
            (name, found) for name, found in outcomes.items() if found is not known.get(name) or name in missing
        ]
        news += [(name, nothing) for name, nothing in absent.items() if nothing.points and name not in self._glances]
        return news

    def next_due(self) -> float:
        """When a vanished name is to be looked at; all wait equally long, so the first one is the next one."""
        return next(iter(self._missing.values()), float("inf"))

    def due(self, now: float) -> list[Glance]:
        glances = []
        for name, due in self._missing.items():
            if due > now:
                break
            glances.append(self._glances[name])
        return glances

    def returned(self, name: str) -> None:
        """A vanished name is there again, though it is not to be read yet."""
        self._missing.pop(name, None)

    def lacks(self, name: str, absent: Absent, now: float, told: Told) -> None:
        """A name that was there is there no more."""
        self.settle(self._glances[name], absent, now, told)

    def settle(self, glance: Glance, outcome: Outcome, now: float, told: Told) -> None:
        """Take in what one entry is now."""
        name = glance.name
        known = self.known.get(name)
        match outcome:
            case Found():
                self._said.pop(name, None)
                self._missing.pop(name, None)
                self.known[name] = outcome
                self._note(glance, outcome.points, told)
                if known is None or known.spec != outcome.spec:
                    told.observations.append(Touch(outcome.spec))
                elif known.rewritten(outcome):
                    told.observations.append(Touch(outcome.spec, force=True))
            case Refused() | Failed():
                self._missing.pop(name, None)
                self._say(glance, outcome, told)
                if known is not None and isinstance(outcome, Refused) and known.spec.owner != outcome.owner:
                    # What is refused keeps its last good spec, but nothing runs as someone to whom it belongs no more.
                    self._remove(name, told)
            case Absent(sure=sure, points=points):
                self._said.pop(name, None)
                if not sure and name not in self._missing:
                    return
                if known is not None and now < self._missing.setdefault(name, now + GRACE):
                    told.freed += self.points.depend(self._glances[name], points)
                elif points:
                    self._remove(name, told)
                    self._note(glance, points, told)
                else:
                    self._remove(name, told)

    def forget_said(self, present: Container[str]) -> None:
        """Of refused entries that are not there any more, nothing needs to be remembered."""
        self._said = {name: outcome for name, outcome in self._said.items() if name in present}

    def _note(self, glance: Glance, points: tuple[Point, ...], told: Told) -> None:
        """Remember a name, and what it depends on."""
        glance = Glance(glance.name, glance.folder, glance.file)
        self._glances[glance.name] = glance
        self._names.setdefault(glance.folder, set()).add(glance.name)
        told.freed += self.points.depend(glance, points)

    def _remove(self, name: str, told: Told) -> None:
        """Forget a name; where it was a vassal's, that one is gone."""
        self._missing.pop(name, None)
        if self.known.pop(name, None) is not None:
            told.observations.append(Destroy(name))
        glance = self._glances.pop(name, None)
        if glance is not None:
            self._names[glance.folder].discard(name)
            if not self._names[glance.folder]:
                del self._names[glance.folder]
            told.freed += self.points.depend(glance, ())

    def _say(self, glance: Glance, outcome: Refused | Failed, told: Told) -> None:
        if self._said.get(glance.name) == outcome:
            return
        self._said[glance.name] = outcome
        match outcome:
            case Refused(field_, value, reason):
                told.events.append(VassalRefused(self._monitor, glance.name, field_, value, reason))
            case Failed(error):
                reason = f"{error}; nothing changes for it until it can be looked at"
                told.events.append(VassalRefused(self._monitor, glance.name, "file", repr(glance.file), reason))
