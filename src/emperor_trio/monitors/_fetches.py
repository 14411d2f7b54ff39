"""Which URLs are to be fetched, and when: each once at a time, and later and later while no answer comes. Pure."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from math import inf

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds until a URL that gave no answer is asked again: doubled after each failure, up to the second one."""


@dataclass(slots=True, eq=False)
class Fetch:
    """One URL to be fetched. ``quiet``: nobody announced it, it is only looked whether something was missed."""

    url: str
    quiet: bool = False
    failures: int = 0
    due: float = field(default=-inf)


class Fetches:
    """Times are seconds on any clock that only rises. A fetch counts until it is done, dropped, or replaced."""

    def __init__(self) -> None:
        self._current: dict[str, Fetch] = {}
        self._heap: list[tuple[float, int, Fetch]] = []
        self._count = itertools.count()

    def __len__(self) -> int:
        return len(self._current)

    def add(self, url: str, *, quiet: bool = False) -> None:
        """Fetch a URL as soon as there is room. A quiet fetch replaces none that was announced."""
        if not quiet or url not in self._current:
            self._put(Fetch(url, quiet))

    def drop(self, url: str) -> None:
        """It is not wanted any more; an answer that is under way counts no more, either."""
        self._current.pop(url, None)

    def counts(self, fetch: Fetch) -> bool:
        """Whether nothing happened since that makes this fetch void."""
        return self._current.get(fetch.url) is fetch

    def done(self, fetch: Fetch) -> None:
        if self.counts(fetch):
            del self._current[fetch.url]

    def failed(self, fetch: Fetch, now: float) -> None:
        """There was no answer: try again later."""
        if self.counts(fetch):
            fetch.failures += 1
            fetch.due = now + min(FIRST_PAUSE * 2.0 ** min(fetch.failures - 1, 30), LONGEST_PAUSE)
            self._put(fetch)

    def restart(self) -> None:
        """What was under way is not any more: all that is not done is due as it was."""
        self._heap = [(fetch.due, next(self._count), fetch) for fetch in self._current.values()]
        heapq.heapify(self._heap)

    def hasten(self) -> None:
        """Whatever waits for its next try is due now."""
        waiting = [fetch for due, _, fetch in self._heap if -inf < due == fetch.due and self.counts(fetch)]
        for fetch in waiting:
            fetch.due = -inf
            self._put(fetch)

    def take(self, now: float) -> Fetch | None:
        """The next one that is due; ``None`` where none is."""
        while self._heap and self._heap[0][0] <= now:
            due, _, fetch = heapq.heappop(self._heap)
            if self.counts(fetch) and fetch.due == due:
                return fetch
        return None

    def next_due(self) -> float:
        return self._heap[0][0] if self._heap else inf

    def _put(self, fetch: Fetch) -> None:
        self._current[fetch.url] = fetch
        heapq.heappush(self._heap, (fetch.due, next(self._count), fetch))
