"""What a monitor of files makes of what it saw: which folders are there, and what is said of the vassals in them. Pure.

Only what was read tells that something is gone: a folder that can't be read changes nothing, and neither does one that
became another folder and lacks vassals, until it is so for a second time.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass

from emperor_trio.events import FolderFound, MonitorNotice, NameSkipped
from emperor_trio.model import Snapshot, Touch
from emperor_trio.monitors._belief import SecondLook
from emperor_trio.monitors._entries import Absent, Found, Outcome
from emperor_trio.monitors._sight import Glance, Look, Place, Visit
from emperor_trio.monitors._vassals import Told, Vassals

REPEAT = 60.0
"""Seconds after which a complete look says everything again though nothing changed, should something have been lost."""

_NOTHING = Absent()


@dataclass(slots=True)
class Folder:
    """A folder that was there at the last look, and what was said about it."""

    place: Place
    identity: tuple[int, int] | None = None
    error: str = ""
    covered: bool = False
    local: bool = True
    skipped: frozenset[str] = frozenset()


class Ledger:
    """``monitor`` is the monitor's name, for events. Times are seconds on any clock that only rises."""

    def __init__(self, monitor: str, base: Place) -> None:
        self._monitor = monitor
        self.base = base
        self.vassals = Vassals(monitor)
        self.folders: dict[str, Folder] = {}
        self._doubts: dict[str, SecondLook] = {}
        self._awaited = False
        self._complete_at: float | None = None

    # --- what is known ---

    @property
    def there(self) -> bool:
        """Whether the first folder is there and can be read."""
        base = self.folders.get(self.base.path)
        return base is not None and not base.error and not self._awaited

    @property
    def uncovered(self) -> str | None:
        """A folder of which inotify tells nothing, if there is one; linear in the number of folders.

        Those that can't be read don't count: their parents tell when they may be.
        """
        return next((path for path, folder in self.folders.items() if not (folder.covered or folder.error)), None)

    @property
    def remote(self) -> str | None:
        """A folder on a file system of which inotify can't tell everything, if there is one."""
        return next((path for path, folder in self.folders.items() if not folder.local), None)

    def on_the_way(self) -> frozenset[str]:
        """The folders that are watched for what befalls the way to the first one."""
        return frozenset(folder for folder, _ in self.vassals.points.of(self.base))

    def needs(self, folder: str) -> bool:
        """Whether a folder is to be watched."""
        there = folder in self.folders and not (self._awaited and folder == self.base.path)
        return there or self.vassals.points.has(folder)

    def restart(self) -> None:
        """The next complete look is said in full."""
        self._complete_at = None

    def next_due(self) -> float:
        """When :meth:`due` has something to be looked at; infinity where nothing is due ever."""
        return min([self.vassals.next_due(), *(doubt.due for doubt in self._doubts.values())])

    def due(self, now: float) -> tuple[list[Glance], list[Place]]:
        """What is to be looked at now because time has passed: vanished names, and doubted folders."""
        doubted = [path for path, doubt in self._doubts.items() if doubt.due <= now]
        return self.vassals.due(now), [self.folders[path].place for path in doubted]

    # --- taking in a look ---

    def take(
        self,
        look: Look,
        now: float,
        stale: Container[str] = (),
        unfinished: Container[str] = (),
        *,
        say_all: bool = False,
    ) -> Told:
        """What is to be said after a look.

        What was seen of ``stale`` names is not taken in: they changed since, and are looked at again. ``unfinished``
        ones are there, but are still being written. A full look that differs from what was said is said as one
        snapshot; ``say_all`` says it in any case.
        """
        told = Told()
        for name, absent in self._take_folders(look, now, told).items():
            if name not in stale:
                self.vassals.lacks(name, absent, now, told)
        for glance, outcome in _outcomes(look, self.vassals):
            if glance.name in stale:
                continue
            if glance.name in unfinished and isinstance(outcome, Found):
                self.vassals.returned(glance.name)
            else:
                self.vassals.settle(glance, outcome, now, told)
        base = look.visits.get(self.base.path)
        if look.job.full and base is not None and base.read:
            self.vassals.forget_said({name for visit in look.visits.values() for name in visit.outcomes})
            self._say_all(told, now, force=say_all)
        return told

    def _say_all(self, told: Told, now: float, *, force: bool) -> None:
        """Turn what is to be said into a snapshot, where there is reason to."""
        touched = any(isinstance(said, Touch) and not said.force for said in told.observations)
        if touched or force or self._complete_at is None or now >= self._complete_at + REPEAT:
            specs = tuple(found.spec for found in self.vassals.known.values())
            rest = [said for said in told.observations if not isinstance(said, Touch) or said.force]
            told.observations = [Snapshot(specs), *rest]
            self._complete_at = now

    # --- folders ---

    def _take_folders(self, look: Look, now: float, told: Told) -> dict[str, Absent]:
        """Take in which folders were there; the names that are believed to be absent."""
        lacking = self._find_lacking(look)
        gone = lacking.get(None, [])
        absent: dict[str, Absent] = {}
        for path, visit in look.visits.items():
            if visit.error:
                self._take_error(path, visit, told)
                continue
            names = self.vassals.names_in(path) - visit.outcomes.keys() if visit.read else frozenset()
            lacks = {name: visit.absent.get(name, _NOTHING) for name in names}
            known = {name: nothing for name, nothing in lacks.items() if not self.vassals.is_expected(name)}
            if self._believes(path, visit, len(known) < len(lacks) or path in lacking, now):
                absent |= lacks
                gone += lacking.get(path, ())
            else:
                absent |= known
            if visit.read:
                self._take_folder(path, visit, told)
        for path in gone:
            absent |= dict.fromkeys(self.vassals.names_in(path), _NOTHING)
            self._close(path, told)
        for place in look.job.places:
            if place == self.base:
                self._take_base(look, told)
            if place.path not in look.visits or look.visits[place.path].error:
                self._doubts.pop(place.path, None)
        return absent

    def _find_lacking(self, look: Look) -> dict[str | None, list[str]]:
        """The folders that should have been met and were not, by the folder above in which they are missing; ``None``
        where that one is known to be gone."""
        lacking: dict[str | None, list[str]] = {}
        for path in {*self.folders, *self.vassals.folders()} - look.visits.keys():
            if not any(place.holds(path) for place in look.job.places):
                continue
            above = path
            while (folder := self.folders.get(above)) and (parent := folder.place.parent) and above not in look.visits:
                above = parent
            if above in look.visits:
                lacking.setdefault(above, []).append(path)
            elif above not in self.folders:
                lacking.setdefault(None, []).append(path)
        return lacking

    def _believes(self, path: str, visit: Visit, lacks: bool, now: float) -> bool:
        """Whether what a folder lacks is gone. Another folder in its place is believed at the second look only."""
        folder = self.folders.get(path)
        if folder is None:
            return True
        if lacks and folder.identity not in (None, visit.identity):
            doubt = self._doubts.setdefault(path, SecondLook())
            if not doubt.believes(visit.identity, now):
                return False
        self._doubts.pop(path, None)
        folder.identity = visit.identity
        return True

    def _take_folder(self, path: str, visit: Visit, told: Told) -> None:
        folder = self.folders.setdefault(path, Folder(visit.place, visit.identity))
        folder.error, folder.covered, folder.local = "", visit.covered, visit.local
        for name in visit.skipped.keys() - folder.skipped:
            told.events.append(NameSkipped(self._monitor, name, visit.skipped[name]))
        folder.skipped = frozenset(visit.skipped)
        if visit.place != self.base:
            told.freed += self.vassals.points.depend(visit.place, visit.points)

    def _take_error(self, path: str, visit: Visit, told: Told) -> None:
        folder = self.folders.setdefault(path, Folder(visit.place))
        if folder.error != visit.error:
            text = f"{path!r} can't be read: {visit.error}; its vassals stay as they are"
            told.events.append(MonitorNotice(self._monitor, text))
        folder.error, folder.covered = visit.error, False

    def _take_base(self, look: Look, told: Told) -> None:
        told.freed += self.vassals.points.depend(self.base, look.base_points)
        there = self.base.path in look.visits
        if not there:
            told.freed.append(self.base.path)
        if not there and not self._awaited:
            text = f"there is no folder {self.base.path!r}: waiting for it"
            if self.vassals.known:
                text += "; vassals whose configs were not deleted stay as they are"
            told.events.append(MonitorNotice(self._monitor, text))
        if there and self._awaited:
            told.events.append(FolderFound(self._monitor, self.base.path))
        self._awaited = not there

    def _close(self, path: str, told: Told) -> None:
        """A folder is gone. Its vassals have a moment to return with it."""
        folder = self.folders.pop(path, None)
        self._doubts.pop(path, None)
        told.freed.append(path)
        if folder is not None:
            told.freed += self.vassals.points.depend(folder.place, ())


def _outcomes(look: Look, vassals: Vassals) -> Iterator[tuple[Glance, Outcome]]:
    """What there is to settle, but for names that are gone: what was found in folders and differs, and every glance."""
    for path, visit in look.visits.items():
        for name, outcome in vassals.differing(visit.outcomes, visit.absent):
            yield Glance(name, path, name.removeprefix(visit.place.shown)), outcome
    yield from look.glances.items()
