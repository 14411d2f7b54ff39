"""A bound on what clients' questions cost the emperor, however many ask and however often."""

from __future__ import annotations

import time
from collections.abc import Callable
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
            self._credit = min(CREDIT, self._credit + (trio.current_time() - self._at) * SHARE)
            if self._credit < 0:
                await trio.sleep(-self._credit / SHARE)
                self._credit = 0.0
            else:
                await trio.lowlevel.checkpoint()
            began = self._clock()
            try:
                return work()
            finally:
                self._at = trio.current_time()
                self._credit -= self._clock() - began
