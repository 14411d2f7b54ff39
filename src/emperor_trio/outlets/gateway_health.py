"""Whether the emperor lives, and whether it is ready, for load balancers and probes."""

from __future__ import annotations

from typing import Protocol

import trio

from emperor_trio.masking import masked
from emperor_trio.outlets.http_head import Answer
from emperor_trio.outlets.text import printable
from emperor_trio.ports import MonitorStatistics

PATIENCE = 2.0
"""Seconds for the supervisor to take its turn. It takes milliseconds."""

GOOD_FOR = 0.1
"""Seconds for which one sign of life serves all who ask: many who ask don't keep the supervisor at it."""


class Reign(Protocol):
    """What there is to know of an emperor's health."""

    def monitors(self) -> tuple[MonitorStatistics, ...]: ...

    async def take_turn(self) -> None:
        """Wait until the supervisor has taken a turn."""
        ...

    async def wait_stopping(self) -> None:
        """Wait until it is told to stop."""
        ...


class Health:
    """Answers ``/healthz`` and ``/readyz``. :meth:`run` is to run beside it."""

    def __init__(self, reign: Reign) -> None:
        self._reign = reign
        self._stopping = False
        self._asking = trio.Lock()
        self._lives = False
        self._good_until = -1.0

    async def run(self) -> None:
        """Notice the end of the reign."""
        await self._reign.wait_stopping()
        self._stopping = True

    async def alive(self) -> Answer:
        """200 while the supervisor takes turns. That there is an answer at all says as much of the loop."""
        if await self._takes_turns():
            return Answer.saying(200, "alive")
        return Answer.saying(503, f"the supervisor has not taken its turn within {PATIENCE:g} seconds")

    async def ready(self) -> Answer:
        """200 once every monitor has answered, until the emperor stops.

        Vassals don't count: one that fails is its tenant's affair. Nor does a monitor that fails later: what it has
        told is still there.
        """
        missing = [] if await self._takes_turns() else ["the supervisor does not take its turn"]
        if self._stopping:
            missing.append("the emperor is stopping")
        missing += [
            f"monitor {printable(monitor.name)}: {printable(masked(monitor.error))}"
            for monitor in self._reign.monitors()
            if not monitor.answered
        ]
        if missing:
            return Answer.saying(503, "\n".join(["not ready", *missing]))
        return Answer.saying(200, "ready")

    async def _takes_turns(self) -> bool:
        async with self._asking:
            if trio.current_time() >= self._good_until:
                with trio.move_on_after(PATIENCE) as limit:
                    await self._reign.take_turn()
                self._lives = not limit.cancelled_caught
                self._good_until = trio.current_time() + GOOD_FOR
            return self._lives
