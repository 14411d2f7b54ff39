"""How long monitors of servers wait for what, and the one place where they sleep between two questions.

The limits hold for every server, so that whatever it does, the newest state holds within 5 s after it is back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from emperor_trio.ports import Doorbell

CONNECT_LIMIT = 3.0
"""Seconds for a connection to be made, login included. The next try comes a second later at most."""

ANSWER_LIMIT = 15.0
"""Seconds for one answer of a server that takes our bytes but says nothing; after them we connect anew."""

UNHEARD_LIMIT = 4.0
"""Seconds until bytes that nobody acknowledged end a connection (TCP_USER_TIMEOUT): the network is cut."""


class Alarm:
    """Wakes a monitor: its doorbell rang, or the source pushed something. Rings coalesce."""

    def __init__(self) -> None:
        self._rung = trio.Event()
        self.by_doorbell = False

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, until: float) -> bool:
        """Wait for a ring, but not beyond the time ``until`` (on Trio's clock); whether it was the doorbell."""
        with trio.move_on_at(until):
            await self._rung.wait()
        self._rung = trio.Event()
        by_doorbell, self.by_doorbell = self.by_doorbell, False
        return by_doorbell


@asynccontextmanager
async def alarm(doorbell: Doorbell) -> AsyncIterator[Alarm]:
    """An alarm that rings with the doorbell, for as long as the block lasts.

    An exception from the block comes out as itself, in no group.
    """
    bell = Alarm()

    async def listen() -> None:
        while True:
            await doorbell.wait()
            bell.by_doorbell = True
            bell.ring()

    async with helpers() as nursery:
        nursery.start_soon(listen)
        yield bell


@asynccontextmanager
async def helpers() -> AsyncIterator[trio.Nursery]:
    """A nursery whose tasks end with the block.

    An exception from the block comes out as itself, in no group.
    """
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        try:
            yield nursery
        except Exception as error:
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
