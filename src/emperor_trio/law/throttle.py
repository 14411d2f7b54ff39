"""When a spawn may go out: the blacklist, restart intensity and the pacing of mass spawns.

Owns the *time* of every spawn of the whole empire. It does not know what a vassal is doing, and reads no clock: times
come in as seconds of one monotonic clock, randomness as a number from 0 to 1.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from emperor_trio.model import VassalId

JITTER = 0.1
"""The largest part of a delay that is added at random, so that vassals which died together don't return together."""

UNBORN_PAUSE = 1.0
"""The shortest time, in seconds, from a spawn that came to no process to the next: what makes it fail (no binary, an
address that is taken) is seldom over at once, and every try costs a line of the log."""

POSTPONE_FIRST = 0.1
POSTPONE_MAX = 10.0
"""Delays, in seconds, between tries while the system has no room for one more process."""


@dataclass(frozen=True, slots=True)
class ThrottleRules:
    """All in seconds. ``max_starting`` 0: no limit. ``max_restarts`` 0: restart intensity is off."""

    throttle: float = 1.0
    max_throttle: float = 180.0
    blacklist: bool = True
    max_starting: int = 0
    max_restarts: int = 0
    restart_window: float = 60.0


@dataclass(slots=True)
class BlacklistEntry:
    """One vassal's deaths before loyalty; ``delay`` is what its last one cost, in seconds."""

    attempt: int
    delay: float
    first: float
    last: float


class Blacklist:
    """Vassals that died before they were loyal, and how long each waits for its next spawn.

    Turned off, nobody is on it; but whoever came to no process waits all the same.
    """

    def __init__(self, rules: ThrottleRules) -> None:
        self._rules = rules
        self._entries: dict[VassalId, BlacklistEntry] = {}
        self._unborn: dict[VassalId, float] = {}

    def __iter__(self) -> Iterator[tuple[VassalId, BlacklistEntry]]:
        return iter(self._entries.items())

    def __contains__(self, vassal: VassalId) -> bool:
        return vassal in self._entries

    def add_death(self, vassal: VassalId, now: float, chance: float, *, unborn: bool = False) -> BlacklistEntry | None:
        """Note one more death before loyalty; ``chance`` in [0, 1] sets the jitter. ``None``: there is no blacklist.

        The spawn after the n-th death waits (n − 1) × throttle, up to the maximum; after one that came to no process
        (``unborn``), ``UNBORN_PAUSE`` at least.
        """
        if unborn:
            self._unborn[vassal] = now + UNBORN_PAUSE
        if not self._rules.blacklist:
            return None
        entry = self._entries.get(vassal)
        if entry is None:
            entry = self._entries[vassal] = BlacklistEntry(attempt=0, delay=0.0, first=now, last=now)
        entry.attempt += 1
        entry.last = now
        bare = (entry.attempt - 1) * self._rules.throttle
        entry.delay = min(bare * (1 + JITTER * chance), self._rules.max_throttle)
        if unborn:
            entry.delay = max(entry.delay, UNBORN_PAUSE)
        return entry

    def due(self, vassal: VassalId) -> float:
        """The earliest time of the vassal's next spawn: 0 where nothing holds it back."""
        entry = self._entries.get(vassal)
        return max(entry.last + entry.delay if entry else 0.0, self._unborn.get(vassal, 0.0))

    def forgive(self, vassal: VassalId) -> bool:
        """Let one vassal wait no longer; whether it may have had to."""
        waited = (self._entries.pop(vassal, None), self._unborn.pop(vassal, None))
        return waited != (None, None)

    def clear(self) -> tuple[VassalId, ...]:
        """Let nobody wait any longer; who may have had to."""
        forgiven = tuple(self._entries | self._unborn)
        self._entries.clear()
        self._unborn.clear()
        return forgiven


class Intensity:
    """Restart intensity: how many restarts within the window are one too many. Off unless ``max_restarts`` is set."""

    def __init__(self, rules: ThrottleRules) -> None:
        self._rules = rules
        self._deaths: dict[VassalId, deque[float]] = {}

    def add_death(self, vassal: VassalId, now: float) -> bool:
        """Note an unasked death; whether it is one more than the allowed restarts. The count then starts anew."""
        if not self._rules.max_restarts:
            return False
        deaths = self._deaths.setdefault(vassal, deque())
        deaths.append(now)
        while deaths and deaths[0] <= now - self._rules.restart_window:
            deaths.popleft()
        if len(deaths) <= self._rules.max_restarts:
            return False
        del self._deaths[vassal]
        return True

    def forget(self, vassal: VassalId) -> None:
        self._deaths.pop(vassal, None)


Rank = tuple[int, str, int]
"""Sorts vassals in the order in which they start."""

TURN = 3.0
"""Seconds in which rank decides. Who was due in an earlier turn goes first, whatever the ranks: vassals that die and
ask again all the time would otherwise keep all those behind them from ever starting."""


@dataclass(frozen=True, slots=True)
class Priorities:
    """``--emperor-priority PATTERN=N``: the first pattern that matches a name gives its number, 0 where none does.

    Lower numbers start first; equal ones by name.
    """

    patterns: tuple[tuple[str, int], ...] = ()

    def rank(self, vassal: VassalId) -> Rank:
        number = next((n for pattern, n in self.patterns if fnmatchcase(vassal.name, pattern)), 0)
        return number, vassal.name, vassal.ordinal


@dataclass(frozen=True, slots=True)
class Grant:
    """One vassal may spawn now: the answer to the request of this number."""

    vassal: VassalId
    number: int


@dataclass(slots=True)
class _Request:
    rank: Rank
    due: float
    number: int
    live: bool = True


@dataclass(slots=True)
class Pacer:
    """The queue of spawns: who is due, by rank within a turn, and never more than ``max_starting`` under way at once.

    Every step is O(log n); what is overtaken stays in its heap, dead, until its turn.
    """

    rules: ThrottleRules
    _requests: dict[VassalId, _Request] = field(default_factory=dict)
    _waiting: list[tuple[float, int, VassalId, _Request]] = field(default_factory=list)
    _ready: list[tuple[int, Rank, int, VassalId, _Request]] = field(default_factory=list)
    _starting: set[VassalId] = field(default_factory=set)
    _count: int = 0
    _closed_until: float = 0.0
    _postponed: float = 0.0

    @property
    def starting(self) -> int:
        """How many spawns are under way: granted, and neither ready nor ended yet."""
        return len(self._starting)

    def request(self, vassal: VassalId, rank: Rank, due: float, number: int) -> None:
        """Ask for a spawn at ``due``, which is now or later. A newer request of the same vassal replaces the older."""
        self.withdraw(vassal)
        request = self._requests[vassal] = _Request(rank, due, number)
        self._count += 1
        heapq.heappush(self._waiting, (due, self._count, vassal, request))

    def withdraw(self, vassal: VassalId) -> None:
        """Forget the request of a vassal, if it has one."""
        request = self._requests.pop(vassal, None)
        if request is not None:
            request.live = False

    def hasten(self, vassal: VassalId, now: float) -> None:
        """Make a waiting request due now."""
        request = self._requests.get(vassal)
        if request is not None and request.due > now:
            self.request(vassal, request.rank, now, request.number)

    def settle(self, vassal: VassalId) -> None:
        """The spawn that was granted is over: the vassal is ready, dead, or did not want it any more."""
        self._starting.discard(vassal)

    def postpone(self, now: float) -> float:
        """The system has no room: nothing is granted for a delay, which is returned, in seconds.

        It grows from try to try; spawns that were under way when it began are part of the same try.
        """
        if now >= self._closed_until:
            self._postponed = min(max(self._postponed * 2, POSTPONE_FIRST), POSTPONE_MAX)
            self._closed_until = now + self._postponed
        return self._closed_until - now

    def resume(self) -> None:
        """A spawn succeeded: the next shortage starts with the shortest delay again."""
        self._postponed = 0.0

    def take(self, now: float) -> Grant | None:
        """Grant one spawn: the lowest rank of the oldest turn, or ``None`` where nothing may go out now."""
        if now < self._closed_until:
            return None
        while self._waiting and self._waiting[0][0] <= now:
            _, count, vassal, request = heapq.heappop(self._waiting)
            if request.live:
                heapq.heappush(self._ready, (int(request.due / TURN), request.rank, count, vassal, request))
        if self.rules.max_starting and len(self._starting) >= self.rules.max_starting:
            return None
        while self._ready:
            *_, vassal, request = heapq.heappop(self._ready)
            if request.live:
                del self._requests[vassal]
                self._starting.add(vassal)
                return Grant(vassal, request.number)
        return None

    def next_due(self) -> float:
        """When ``take`` may have something next, unless something is settled or requested before; infinity: never."""
        while self._waiting and not self._waiting[0][3].live:
            heapq.heappop(self._waiting)
        full = self.rules.max_starting and len(self._starting) >= self.rules.max_starting
        if self._ready and not full:
            return self._closed_until
        return max(self._waiting[0][0], self._closed_until) if self._waiting else float("inf")
