"""One wake-up for many descriptors: an epoll that Trio waits for as if it were one descriptor.

Knows nothing about processes. Callbacks run in the Trio thread, in bounded batches, with other tasks in between.
"""

from __future__ import annotations

import math
import select
from collections import deque
from collections.abc import Callable

import trio

BATCH = 256


class _Watch:
    __slots__ = ("batch", "callback", "held")

    def __init__(self, callback: Callable[[], None], batch: int) -> None:
        self.callback = callback
        self.batch = batch
        self.held = False


class Poller:
    """Calls back when a descriptor is readable or hung up, again and again while it is (level-triggered)."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watches: dict[int, _Watch] = {}
        self._resting: deque[tuple[float, int, _Watch]] = deque()
        self._batch = 0

    def watch(self, descriptor: int, callback: Callable[[], None]) -> None:
        """Begin. Raises OSError where the system has no room for one more."""
        self._epoll.register(descriptor, select.EPOLLIN)
        self._watches[descriptor] = _Watch(callback, self._batch)

    def forget(self, descriptor: int) -> None:
        """End, before the descriptor is closed. Nothing happens where it is not watched."""
        if self._watches.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def hold(self, descriptor: int) -> None:
        """Do not call back until :meth:`release`."""
        if (watch := self._watches.get(descriptor)) is not None:
            watch.held = True
            self._epoll.modify(descriptor, select.EPOLLONESHOT)

    def release(self, descriptor: int) -> None:
        if (watch := self._watches.get(descriptor)) is not None:
            watch.held = False
            self._epoll.modify(descriptor, select.EPOLLIN)

    def rest(self, descriptor: int, seconds: float) -> None:
        """From inside a callback: hold its descriptor for a while, always the same number of ``seconds``."""
        self.hold(descriptor)
        self._resting.append((trio.current_time() + seconds, descriptor, self._watches[descriptor]))

    async def run(self) -> None:
        """Call back, for ever."""
        while True:
            with trio.move_on_at(self._resting[0][0] if self._resting else math.inf):
                await trio.lowlevel.wait_readable(self._epoll.fileno())
            self._wake_rested()
            self._batch += 1
            for descriptor, _ in self._epoll.poll(0, BATCH):
                watch = self._watches.get(descriptor)
                # A callback may have closed this descriptor, and opened another with the same number: its turn is next.
                if watch is not None and watch.batch < self._batch and not watch.held:
                    watch.callback()

    def close(self) -> None:
        self._watches.clear()
        self._epoll.close()

    def _wake_rested(self) -> None:
        while self._resting and self._resting[0][0] <= trio.current_time():
            _, descriptor, watch = self._resting.popleft()
            if self._watches.get(descriptor) is watch:
                self.release(descriptor)
