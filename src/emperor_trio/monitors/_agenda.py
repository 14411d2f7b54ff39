"""What a monitor of files is to look at next: the events of inotify, told apart and collected. Pure.

Events only say where to look; what is there decides. So a hundred events of one name are one look at it, and the order
in which looks and events meet does no harm: what changed since a look began is looked at again.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf

from emperor_trio.monitors._entries import Outcome, Rules, Unfinished
from emperor_trio.monitors._inotify import Seen
from emperor_trio.monitors._ledger import Ledger
from emperor_trio.monitors._patterns import Plan, join
from emperor_trio.monitors._sight import Glance, Job, Place
from emperor_trio.monitors._signs import ISDIR, Sign, read_sign
from emperor_trio.monitors._vassals import GRACE

PATIENCE = 5.0
"""Seconds for which a file that was created may be on its first write. Some are made complete without one, and without
an event that says so."""


class Agenda:
    """``next_scan`` is when everything is to be looked at; whoever carries the jobs out sets it."""

    def __init__(self, plan: Plan, rules: Rules, ledger: Ledger) -> None:
        self._plan = plan
        self._rules = rules
        self._ledger = ledger
        self._places: dict[str, Place] = {}
        self._glances: dict[str, Glance] = {}
        self._later: dict[Glance, float] = {}
        self.stale: set[str] = set()
        self.unfinished: set[str] = set()
        self.lost: set[str] = set()
        self.next_scan = -inf

    def scan_now(self) -> None:
        """Look at everything."""
        self.next_scan = -inf

    def look_at_base(self) -> None:
        """Look at the first folder, and all that is below it."""
        self._places[self._ledger.base.path] = self._ledger.base

    def next_due(self) -> float:
        """When :meth:`take` has something to do."""
        if self._places or self._glances:
            return -inf
        return min([self.next_scan, self._ledger.next_due(), *self._later.values()])

    def take(self, now: float) -> Job:
        """What is to be looked at now."""
        glances, places = self._ledger.due(now)
        later = [glance for glance, due in self._later.items() if due <= now]
        for glance in later:
            del self._later[glance]
            self.unfinished.discard(glance.name)
        full = now >= self.next_scan or self._ledger.base.path in self._places
        places = [self._ledger.base] if full else [*places, *self._places.values()]
        chosen = {glance.name: glance for glance in (*glances, *later)} | self._glances
        self._places, self._glances, self.stale, self.lost = {}, {}, set(), set()
        return Job(tuple(dict.fromkeys(places)), full, tuple(chosen.values()))

    def looked(self, glances: dict[Glance, Outcome], now: float) -> None:
        """Take in what became of glances at what was just created."""
        for glance, outcome in glances.items():
            if glance.created is None or glance.name not in self.unfinished:
                continue
            if isinstance(outcome, Unfinished):
                self._later[replace(glance, created=None)] = now + PATIENCE
            else:
                self.unfinished.discard(glance.name)

    def overflow(self) -> None:
        """Events were lost: anything may have happened."""
        self._glances.clear()
        self._later.clear()
        self.unfinished.clear()
        self.scan_now()

    # --- events ---

    def note(self, seen: Seen, now: float) -> None:
        folder = self._ledger.folders.get(seen.folder)
        if folder is not None and seen.folder not in self.lost:
            self._note_folder(folder.place, seen, now)
        for dependent in self._ledger.vassals.points.at(seen.folder, seen.name):
            self._note_point(dependent, seen, now)

    def _note_folder(self, place: Place, seen: Seen, now: float) -> None:
        step = self._plan.steps[place.level]
        configs = place.level == len(self._plan.steps) - 1
        sign = read_sign(seen.mask, configs=configs)
        match sign:
            case Sign.NOTHING:
                pass
            case Sign.LOST | Sign.DELETED:
                self.lost.add(place.path)
                self._places[place.path] = place
                if sign is Sign.DELETED:  # which takes that it was empty
                    for name in self._ledger.vassals.names_in(place.path):
                        self._mark(Glance(name, place.path, ""), Sign.LEFT, now)
            case Sign.BRANCH:
                if seen.name and step.matches(seen.name):
                    below = place.below(seen.name, step)
                    self._places[below.path] = below
            case _:
                self._note_name(place, seen.name, sign, now)

    def _note_name(self, place: Place, file: str, sign: Sign, now: float) -> None:
        step = self._plan.steps[place.level]
        name = place.shown + file
        if step.matches(file) and self._rules.is_config(name):
            self._mark(Glance(name, place.path, file), sign, now)
        config = self._rules.config_of(file)
        if config is not None and step.matches(config) and self._rules.is_config(place.shown + config):
            self._mark_companion(Glance(place.shown + config, place.path, config), sign, now)

    def _note_point(self, dependent: Glance | Place, seen: Seen, now: float) -> None:
        if isinstance(dependent, Place):
            if read_sign(seen.mask | ISDIR, configs=False) is not Sign.NOTHING:
                self._places[dependent.path] = dependent
            return
        match read_sign(seen.mask & ~ISDIR, configs=True):
            case Sign.NOTHING:
                pass
            case Sign.LOST | Sign.DELETED:
                self._mark(dependent, Sign.TOUCHED, now)
            case sign:
                self._mark(dependent, sign, now, join(seen.folder, seen.name))

    def _mark(self, glance: Glance, sign: Sign, now: float, path: str | None = None) -> None:
        """Something happened to a config, or (at ``path``) to what its link leads to."""
        name = glance.name
        self.stale.add(name)
        match sign:
            case Sign.WRITTEN:
                self._finish(glance)
                self._glances[name] = glance
            case Sign.LEFT:
                self._finish(glance)
                self._glances.pop(name, None)
                self._ledger.vassals.left(name, now)
            case Sign.CREATED:
                self.unfinished.add(name)
                self._glances[name] = replace(glance, created=path or join(glance.folder, glance.file))
            case _:
                self._touch(glance)

    def _mark_companion(self, glance: Glance, sign: Sign, now: float) -> None:
        """Something happened to the file with the socket's name beside a config."""
        match sign:
            case Sign.LEFT:
                self._later.setdefault(glance, now + GRACE)
            case Sign.WRITTEN | Sign.TOUCHED:
                self.stale.add(glance.name)
                self._touch(glance)

    def _touch(self, glance: Glance) -> None:
        """Look at it, unless its first write goes on: then the end of that is awaited."""
        if glance.name not in self.unfinished:
            self._glances.setdefault(glance.name, glance)

    def _finish(self, glance: Glance) -> None:
        self.unfinished.discard(glance.name)
        self._later.pop(glance, None)
