"""What the fakes do later: one task and one heap for all of them, however many there are."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

import trio


class Agenda:
    """Runs actions at their time, in order, and never inside whoever asked for them."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._changed = trio.Event()
        self._runs = False

    def after(self, delay: float, action: Callable[[], None]) -> None:
        """Have ``action`` run in ``delay`` seconds of Trio time; with 0, as soon as everyone else had a turn."""
        if not self._runs:
            raise RuntimeError("the fakes stand still: give FakeSpawner.run to the Emperor, services=[spawner.run]")
        heapq.heappush(self._entries, (trio.current_time() + delay, next(self._numbers), action))
        self._changed.set()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        self._runs = True
        task_status.started()
        while True:
            self._changed = trio.Event()
            with trio.move_on_at(self._entries[0][0] if self._entries else float("inf")):
                await self._changed.wait()
            await trio.lowlevel.checkpoint()
            now = trio.current_time()
            due = []
            while self._entries and self._entries[0][0] <= now:
                due.append(heapq.heappop(self._entries)[2])
            for action in due:
                action()
