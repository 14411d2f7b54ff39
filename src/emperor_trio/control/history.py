"""What happened of late: the newest events of each vassal, and of the whole empire. Bounded, and without I/O.

An occurrence is shared with the bus; what is kept of it here is a reference.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator

from emperor_trio.events import Event, VassalEvent, VassalRemoved
from emperor_trio.model import VassalId
from emperor_trio.ports import Occurrence

MOST_OF_ONE = 20
"""Events that are kept of one vassal."""

MOST_OF_ALL = 500
"""Events that are kept of the whole empire."""

MOST_GONE = 100
"""Removed vassals whose events are kept: why it went is asked soon after, or not at all."""


class History:
    def __init__(self) -> None:
        self._all: deque[Occurrence] = deque(maxlen=MOST_OF_ALL)
        self._of: dict[VassalId, deque[Occurrence]] = {}
        self._gone: OrderedDict[VassalId, deque[Occurrence]] = OrderedDict()

    def note(self, occurrence: Occurrence) -> None:
        """Take in the next event."""
        self._all.append(occurrence)
        event = occurrence.event
        if not isinstance(event, VassalEvent):
            return
        vassal = event.vassal
        kept = self._of.get(vassal)
        if kept is None:
            kept = self._of[vassal] = self._gone.pop(vassal, deque(maxlen=MOST_OF_ONE))
        kept.append(occurrence)
        if isinstance(event, VassalRemoved):
            self._gone[vassal] = self._of.pop(vassal)
            if len(self._gone) > MOST_GONE:
                self._gone.popitem(last=False)

    def of(self, vassal: VassalId) -> tuple[Occurrence, ...]:
        """The newest events of a vassal, oldest first; of one that was removed, too."""
        return tuple(self._of.get(vassal) or self._gone.get(vassal) or ())

    def recent(
        self, wanted: Callable[[Event], bool], most: int, meant: Callable[[VassalId], bool] | None = None
    ) -> list[Occurrence]:
        """The newest ``most`` events that are ``wanted``, oldest first. Where certain vassals are ``meant``, what is
        kept of each of them counts, too."""
        if most <= 0:
            return []
        found = {id(occurrence): occurrence for occurrence in self._candidates(meant) if wanted(occurrence.event)}
        return sorted(found.values(), key=lambda occurrence: occurrence.at)[-most:]

    def _candidates(self, meant: Callable[[VassalId], bool] | None) -> Iterator[Occurrence]:
        if meant is not None:
            for kept in (self._gone, self._of):
                for vassal, occurrences in kept.items():
                    if meant(vassal):
                        yield from occurrences
        yield from self._all
