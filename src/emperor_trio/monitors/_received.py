"""The vassals that messages told of, for a source that keeps nothing itself: remembered, told, and kept in memory.

Owns what is known, and the order in which it is said. Where a config comes from is for others to know.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import trio

from emperor_trio.model import Observation, Snapshot
from emperor_trio.monitors._answers import Answers
from emperor_trio.monitors._complaints import ROUND, Complaints
from emperor_trio.monitors._rows import Wrong
from emperor_trio.ports import Emit, Kept, MonitorContext

Decide = Callable[[], Observation | None]


class Received:
    """``kept`` are the vassals by name, each with its origin. It lasts for as long as the monitor does."""

    def __init__(self, context: MonitorContext) -> None:
        self._memory = context.memory
        self._answers = Answers(context.name, context.publish)
        self._complaints = Complaints(context.name, context.publish)
        self.kept: dict[str, Kept] = {}
        self._version = 0

    def start(self, emit: Emit) -> None:
        """The monitor is run, anew or for the first time."""
        self._emit = emit
        self._telling = trio.Lock()

    async def tell(self, decide: Decide) -> None:
        """Decide and say it, one after the other: what is said last is what was decided last."""
        async with self._telling:
            observation = decide()
            if observation is not None:
                await self._emit(observation)

    def next_version(self) -> int:
        """Microseconds since the epoch, each number given once."""
        self._version = max(self._version + 1, time.time_ns() // 1000)
        return self._version

    # --- decisions ---

    def all(self) -> Snapshot:
        return Snapshot(tuple(self._answers.known.values()))

    def keep(self, kept: Kept, *, force: bool = True) -> Observation | None:
        """A vassal was announced: new, changed, or (with ``force``) to be reloaded anyway."""
        self.kept[kept.spec.name] = kept
        self._complaints.settle(kept.spec.name)
        if self._memory is not None:
            self._memory.keep(kept)
        return self._answers.take(kept.spec, force=force)

    def drop(self, name: str) -> Observation | None:
        """A vassal is to go, if it is there."""
        self.kept.pop(name, None)
        self._complaints.settle(name)
        if self._memory is not None:
            self._memory.forget(name)
        return self._answers.lacks(name)

    def recall(self, kept: Kept) -> None:
        """A vassal was kept by an earlier emperor."""
        self.kept[kept.spec.name] = kept
        self._answers.take(kept.spec)
        self._version = max(self._version, kept.spec.version)

    def refuse(self, wrong: Wrong) -> None:
        """Say once what is wrong. The vassal that it is about, if there is one, stays as it is."""
        self._complaints.take(wrong, trio.current_time())

    async def count_complaints(self) -> None:
        """Say now and then how much was wrong beyond what was said. Goes on until it is cancelled."""
        while True:
            await trio.sleep(ROUND)
            self._complaints.tell_rest()

    def settle(self, name: str) -> None:
        """Whatever was announced under this name came to nothing: where there is no vassal, nothing is kept."""
        if self._memory is not None and name not in self.kept:
            self._memory.forget(name)
