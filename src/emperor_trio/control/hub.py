"""What changes, for everyone who follows it: one look at the bus for all clients, one frame for all of one filter.

Events only say *which* vassals changed; what is sent of them is how they are then. So whoever was too slow for a while
needs no more than a new snapshot, and a hundred changes within a moment are one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import translate
from functools import cached_property
from typing import Protocol

import trio

from emperor_trio.control.history import History
from emperor_trio.control.messages import Key, Monitor, Selection, Vassal, encode_part, event_of
from emperor_trio.errors import ControlError
from emperor_trio.events import (
    CommandReceived,
    Event,
    Lagged,
    Level,
    MonitorEvent,
    VassalAdded,
    VassalEvent,
    VassalRemoved,
)
from emperor_trio.model import VassalId
from emperor_trio.ports import Occurrence, Realm

INTERVAL = 0.05
"""Seconds between two frames of one feed at least."""

LONGEST = 0.25
"""Seconds between two frames at most while there is news, whatever it costs to make them."""

FARE = 10.0
"""The pause after frames is this many times what they cost: followers cost a tenth of a core or so."""

DELIVERY = 0.00015
"""Seconds of the processor for one message to one follower, about: framed, and written to its socket."""

SLICE = 50
"""Vassals that are encoded before everyone else has a turn."""

BUS_LIMIT = 20_000
"""Events that wait for the hub at most; a boot of ten thousand vassals brings some of them at once."""

MOST_PATTERNS = 100
"""Names with wildcards in one selection at most. Those without may be many: they cost nothing."""

MOST_OF_STRANGERS = 500
"""Patterns, and feeds of their own, of all those together who may not command: each event is held against each."""

MOST_EVENTS = 2000
"""Events at once at most; of more than that it is only told how many there were."""

MOST_IN_FRAME = 250
"""Vassals, and events, in one message: what is being written to a client is no more than that."""

AT_ONCE = 20
"""Followers that are offered a message before everyone else has a turn."""


class Selector:
    """Which vassals a :class:`~emperor_trio.control.messages.Selection` means. Raises
    :class:`~emperor_trio.errors.ControlError` for too many patterns."""

    def __init__(self, which: Selection) -> None:
        self._monitor = which.monitor
        self._names = frozenset(which.names)
        patterns = () if which.exact else tuple(name for name in which.names if any(c in name for c in "*?["))
        if len(patterns) > MOST_PATTERNS:
            raise ControlError(f"more than {MOST_PATTERNS} names with wildcards at once; without any there may be more")
        self._patterns = [re.compile(translate(pattern)) for pattern in patterns]

    @property
    def weight(self) -> int:
        """What it costs to look for a vassal here, in patterns."""
        return 1 + len(self._patterns)

    @property
    def narrow(self) -> bool:
        """Whether vassals are named, and not only a monitor."""
        return bool(self._names)

    def __call__(self, vassal: VassalId) -> bool:
        if self._monitor is not None and vassal.monitor != self._monitor:
            return False
        if not self._names or vassal.name in self._names:
            return True
        return any(pattern.match(vassal.name) for pattern in self._patterns)

    def means_monitor(self, monitor: str) -> bool:
        return self._monitor in (None, monitor)


@dataclass(frozen=True)
class Filter:
    """What a subscription is for; equal ones share their frames."""

    which: Selection
    vassals: bool = True
    events: bool = True
    level: int = Level.INFO

    @cached_property
    def selector(self) -> Selector:
        return Selector(self.which)

    def wants(self, event: Event) -> bool:
        """Whether such an event is sent."""
        if not self.events or event.level < self.level:
            return False
        if isinstance(event, VassalEvent):
            return self.selector(event.vassal)
        return not isinstance(event, MonitorEvent) or self.selector.means_monitor(event.monitor)


class Follower(Protocol):
    """One subscription of one client."""

    def offer(self, body: str, events: int) -> None:
        """Take the body of a Changes message, all but its ``id``; it holds so many events. Never waits.

        All followers of a feed are given the same body, and are to keep no copy of it.
        """
        ...

    def lose(self, events: int) -> None:
        """So many events were lost before they came here: a new snapshot is needed. Never waits."""
        ...


@dataclass(eq=False)
class _Feed:
    filter: Filter
    followers: set[Follower] = field(default_factory=set)
    dirty: dict[VassalId, None] = field(default_factory=dict)
    happened: list[Occurrence] = field(default_factory=list)
    monitors: bool = False
    absent: tuple[VassalId, ...] = ()
    trusted: bool = False

    def note(self, occurrence: Occurrence) -> bool:
        """Whether there is news now."""
        event, news = occurrence.event, False
        if self.filter.vassals:
            if isinstance(event, VassalEvent) and self.filter.selector(event.vassal):
                self.dirty[event.vassal] = None
                news = True
            if isinstance(event, MonitorEvent | VassalAdded | VassalRemoved | CommandReceived):
                self.monitors = news = True
        if self.filter.wants(event):
            self.happened.append(occurrence)
            news = True
        return news


class Hub:
    """``wall`` gives the time of messages, in seconds since the epoch."""

    def __init__(self, realm: Realm, wall: Callable[[], float] = time.time) -> None:
        self.history: History = History()
        self._realm = realm
        self._wall = wall
        self._feeds: dict[Filter, _Feed] = {}
        self._news = trio.Event()

    async def run(self) -> None:
        """Listen to the bus until cancelled, or until it is closed."""
        with self._realm.subscribe(BUS_LIMIT) as occurrences:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._send)
                async for occurrence in occurrences:
                    self._note(occurrence)
                nursery.cancel_scope.cancel()

    @contextmanager
    def follow(self, filter_: Filter, follower: Follower, *, trusted: bool = True) -> Iterator[None]:
        """Have a follower offered all changes while the block lasts. Raises
        :class:`~emperor_trio.errors.ControlError` where those who are not ``trusted`` follow too much already."""
        feed = self._feeds.get(filter_)
        if feed is None:
            if not trusted:
                self._check_weight(filter_.selector.weight)
            feed = self._feeds[filter_] = _Feed(filter_, absent=self._realm.absent(), trusted=trusted)
        feed.followers.add(follower)
        try:
            yield
        finally:
            feed.followers.discard(follower)
            if not feed.followers:
                self._feeds.pop(filter_, None)

    def _check_weight(self, more: int) -> None:
        strangers = sum(feed.filter.selector.weight for feed in self._feeds.values() if not feed.trusted)
        if strangers + more > MOST_OF_STRANGERS:
            raise ControlError("too many different selections are followed now; follow all vassals, or come back later")

    def _note(self, occurrence: Occurrence) -> None:
        event = occurrence.event
        if isinstance(event, Lagged):
            for feed in self._feeds.values():
                for follower in feed.followers:
                    follower.lose(event.dropped)
            return
        self.history.note(occurrence)
        for feed in self._feeds.values():
            if feed.note(occurrence):
                self._news.set()

    async def _send(self) -> None:
        while True:
            await self._news.wait()
            self._news = trio.Event()
            began = time.perf_counter()
            sent = 0
            for feed in list(self._feeds.values()):
                sent += await self._send_feed(feed)
            took = time.perf_counter() - began + sent * DELIVERY
            await trio.sleep(min(max(INTERVAL, took * FARE), LONGEST))

    async def _send_feed(self, feed: _Feed) -> int:
        """How many messages went out."""
        dirty, feed.dirty = feed.dirty, {}
        happened, feed.happened = feed.happened, []
        monitors, feed.monitors = feed.monitors, False
        if not (dirty or happened or monitors):
            return 0
        if len(happened) > MOST_EVENTS:
            for follower in feed.followers:
                follower.lose(len(happened))
            return 0
        rows, gone = [], []
        for number, vassal in enumerate(dirty, 1):
            seen = self._realm.vassal(vassal)
            if seen is None:
                gone.append(encode_part(Key.of(vassal)))
            else:
                rows.append(encode_part(Vassal.of(seen)))
            if number % SLICE == 0:
                await trio.lowlevel.checkpoint()
        told = []
        for number, occurrence in enumerate(happened, 1):
            told.append(encode_part(event_of(occurrence)))
            if number % SLICE == 0:
                await trio.lowlevel.checkpoint()
        health = [encode_part(Monitor.of(seen)) for seen in self._realm.monitors()] if monitors else []
        absent, sent = self._absent(feed), 0
        for first in range(0, max(len(rows), len(gone), len(told), 1), MOST_IN_FRAME):
            those = slice(first, first + MOST_IN_FRAME)
            body = (
                f'"at":{self._wall()!r},"vassals":[{",".join(rows[those])}],"gone":[{",".join(gone[those])}],'
                f'"monitors":[{",".join(health)}],"events":[{",".join(told[those])}],"absent":{absent},'
                '"type":"changes"}'
            )
            health, absent = [], "null"
            for number, follower in enumerate(list(feed.followers), 1):
                follower.offer(body, len(told[those]))
                sent += 1
                if number % AT_ONCE == 0:
                    await trio.lowlevel.checkpoint()
        return sent

    def _absent(self, feed: _Feed) -> str:
        """Who is held and away, where that changed."""
        absent = self._realm.absent() if feed.filter.vassals else ()
        if absent == feed.absent:
            return "null"
        feed.absent = absent
        return encode_list(Key.of(vassal) for vassal in absent if feed.filter.selector(vassal))


def encode_list(keys: Iterable[Key]) -> str:
    return f"[{','.join(encode_part(key) for key in keys)}]"
