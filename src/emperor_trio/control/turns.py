"""Bounds on what clients cost the emperor, however many there are and however often they ask."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import trio

T = TypeVar("T")

CREDIT = 0.5
"""Seconds of work that are done at once after a time in which nobody asked: a question now and then never waits."""

SHARE = 0.3
"""Of a processor, for those who ask all the time."""


class Turns:
    """One piece of work at a time, first come, first served; between two of them everyone else has a turn.

    ``clock`` counts the seconds of work.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._lock = trio.StrictFIFOLock()
        self._credit = CREDIT
        self._at = 0.0

    async def take(self, work: Callable[[], T]) -> T:
        """Do it when it is its turn. It has to be short: pieces of a millisecond or so."""
        async with self._lock:
            await self._wait()
            began = self._clock()
            try:
                return work()
            finally:
                self._pay(self._clock() - began)

    async def spend(self, seconds: float) -> None:
        """Wait for a turn for work that others do then, of so many seconds."""
        async with self._lock:
            await self._wait()
            self._pay(seconds)

    async def _wait(self) -> None:
        self._credit = min(CREDIT, self._credit + (trio.current_time() - self._at) * SHARE)
        self._at = trio.current_time()
        if self._credit < 0:
            await trio.sleep(-self._credit / SHARE)
            self._credit, self._at = 0.0, trio.current_time()
        else:
            await trio.lowlevel.checkpoint()

    def _pay(self, seconds: float) -> None:
        self._credit -= seconds


MOST_LOGS = 32
"""Logs that are read or followed at once: each is an open file, a megabyte at most, and four looks a second."""

REST = 2.0
"""The pause after a look at processes is this many times what it took."""


@dataclass(eq=False)
class Allowance:
    """What all clients of one kind may have together: those who may command, or the others, who take nothing from
    the first."""

    turns: Turns = field(default_factory=Turns)
    logs: trio.Semaphore = field(default_factory=lambda: trio.Semaphore(MOST_LOGS))
    _looking: trio.StrictFIFOLock = field(default_factory=trio.StrictFIFOLock)

    async def look(self, work: Callable[[], T]) -> T:
        """Do in a thread what reads ``/proc``: one such at a time, with rests between."""
        async with self._looking:
            began = trio.current_time()
            try:
                return await trio.to_thread.run_sync(work)
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(min(REST * (trio.current_time() - began), 1.0))
