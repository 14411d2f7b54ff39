"""What is said after an answer of a server: what changed, what is wrong (once), and what is believed only twice. Pure.

An entry that turned wrong keeps the vassal that it was before: it costs its own news, never a process. An answer that
is suddenly empty counts when a second one says the same (see :mod:`._belief`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf

from emperor_trio.events import Event, VassalRefused
from emperor_trio.model import Destroy, Snapshot, Touch, VassalSpec
from emperor_trio.monitors._belief import SecondLook
from emperor_trio.monitors._rows import Wrong, cut_name

REPEAT = 60.0
"""Seconds after which a complete answer is said again though nothing changed, should something have been lost."""

Entry = VassalSpec | Wrong


class Answers:
    """What one source said so far. ``publish`` takes events; times are seconds on any clock that only rises.

    ``known`` are the vassals by name, as last told to the supervisor.
    """

    def __init__(self, monitor: str, publish: Callable[[Event], None]) -> None:
        self._monitor = monitor
        self._publish = publish
        self.known: dict[str, VassalSpec] = {}
        self._said: dict[str, Wrong] = {}
        self._doubt = SecondLook()
        self._said_all_at = -inf

    @property
    def due(self) -> float:
        """When to ask again because the last answer was doubted; infinity where none was."""
        return self._doubt.due

    def restart(self) -> None:
        """The next complete answer is told though nothing changed: the monitor is run anew, or someone rang."""
        self._said_all_at = -inf

    def take_all(self, entries: Iterable[Entry], now: float) -> Snapshot | None:
        """Take in a complete answer; ``None`` where there is nothing to tell, or it is not believed yet.

        Of two entries with one name the one with the later version counts, and the other is wrong.
        """
        specs, wrong = self._sort(entries)
        if not specs and not wrong and self.known:
            if not self._doubt.believes((), now):
                return None
        else:
            self._doubt.settle()
        for name in wrong:
            if name in self.known:
                specs.setdefault(name, self.known[name])
        self._say(wrong)
        same = specs == self.known
        self.known = specs
        if same and now < self._said_all_at + REPEAT:
            return None
        self._said_all_at = now
        return Snapshot(tuple(specs.values()))

    def take(self, entry: Entry, *, force: bool = False) -> Touch | None:
        """Take in one entry that was added or may have changed; ``None`` where there is nothing to tell."""
        if isinstance(entry, Wrong):
            self._say_one(entry)
            return None
        self._said.pop(entry.name, None)
        if self.known.get(entry.name) == entry and not force:
            return None
        self.known[entry.name] = entry
        return Touch(entry, force)

    def take_named(self, name: str, entries: Iterable[Entry]) -> Touch | Destroy | None:
        """Take in all entries that have this one name now, as :meth:`take_all` does; without any, it was removed."""
        specs, wrong = self._sort(entries)
        if not specs and not wrong:
            return self.lacks(name)
        if name in wrong:
            self._say_one(wrong[name])
        else:
            self._said.pop(name, None)
        if name not in specs or self.known.get(name) == specs[name]:
            return None
        self.known[name] = specs[name]
        return Touch(specs[name])

    def lacks(self, name: str) -> Destroy | None:
        """Take in that an entry was removed; ``None`` where it was no vassal."""
        self._said.pop(name, None)
        return Destroy(name) if self.known.pop(name, None) is not None else None

    def _sort(self, entries: Iterable[Entry]) -> tuple[dict[str, VassalSpec], dict[str, Wrong]]:
        specs: dict[str, VassalSpec] = {}
        wrong: dict[str, Wrong] = {}
        for entry in entries:
            if isinstance(entry, Wrong):
                wrong[entry.name] = entry
                continue
            other = specs.get(entry.name)
            if other is not None:
                wrong[entry.name] = Wrong(entry.name, "name", repr(entry.name), "is there twice; the newest one counts")
            if other is None or entry.version > other.version:
                specs[entry.name] = entry
        return specs, wrong

    def _say(self, wrong: dict[str, Wrong]) -> None:
        for entry in wrong.values():
            self._say_one(entry)
        self._said = {name: said for name, said in self._said.items() if name in wrong}

    def _say_one(self, entry: Wrong) -> None:
        if self._said.get(entry.name) == entry:
            return
        self._said[entry.name] = entry
        self._publish(VassalRefused(self._monitor, cut_name(entry.name), entry.field, entry.value, entry.reason))
