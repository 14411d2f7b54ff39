"""The bus: what happened, for whoever wants to know, at no cost to whoever tells it.

Publishing never waits and never fails. A subscriber that is too slow loses the oldest events and is told how many.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from emperor_trio.actors.mailbox import Bell
from emperor_trio.events import Event, Lagged
from emperor_trio.ports import Occurrence

DEFAULT_LIMIT = 4096
"""How many events wait for one subscriber at most."""


class Subscriber:
    """One bounded view of the bus; ends once the bus is closed and everything was taken.

    ``lost`` counts every event that was dropped here so far.
    """

    def __init__(self, limit: int) -> None:
        self.lost: int = 0
        self._events: deque[Occurrence] = deque(maxlen=limit)
        self._dropped = 0
        self._closed = False
        self._bell = Bell()

    def put(self, occurrence: Occurrence) -> None:
        if len(self._events) == self._events.maxlen:
            self._dropped += 1
            self.lost += 1
        self._events.append(occurrence)
        self._bell.ring()

    def close(self) -> None:
        self._closed = True
        self._bell.ring()

    def __aiter__(self) -> AsyncIterator[Occurrence]:
        return self

    async def __anext__(self) -> Occurrence:
        while (occurrence := self.take_nowait()) is None:
            if self._closed:
                raise StopAsyncIteration
            await self._bell.wait()
        return occurrence

    def take_nowait(self) -> Occurrence | None:
        """The oldest event that waits, if there is one."""
        if not self._events:
            return None
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            return Occurrence(self._events[0].at, Lagged(dropped))
        return self._events.popleft()


class Bus:
    """``wall`` gives an event's time in seconds since the epoch. ``counts`` holds the events so far by class name."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._subscribers: list[Subscriber] = []
        self._closed = False
        self.counts: Counter[str] = Counter()

    def publish(self, event: Event) -> None:
        self.counts[type(event).__name__] += 1
        if self._subscribers:
            occurrence = Occurrence(self._wall(), event)
            for subscriber in self._subscribers:
                subscriber.put(occurrence)

    @contextmanager
    def subscribe(self, limit: int = DEFAULT_LIMIT) -> Iterator[Subscriber]:
        """Events from now on, ``limit`` of them waiting at most."""
        subscriber = Subscriber(limit)
        if self._closed:
            subscriber.close()
        self._subscribers.append(subscriber)
        try:
            yield subscriber
        finally:
            self._subscribers.remove(subscriber)

    def close(self) -> None:
        """End every subscription once it has taken what waits for it. Events may still be published, to nobody."""
        self._closed = True
        for subscriber in self._subscribers:
            subscriber.close()
