"""How one actor wakes another without ever waiting for it: a mailbox and a doorbell.

Both use a memory channel of capacity one as the wake-up, so that a hundred wake-ups are one.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class Bell:
    """Rings coalesce: however often it was rung, the next ``wait`` returns once. One waiter at a time."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[None](1)

    def ring(self) -> None:
        with suppress(trio.WouldBlock):
            self._send.send_nowait(None)

    async def wait(self) -> None:
        await self._receive.receive()


class Mailbox(Generic[T]):
    """Messages in order for one actor. Posting never waits; taking waits for a message or a deadline."""

    def __init__(self) -> None:
        self._messages: deque[T] = deque()
        self._bell = Bell()

    def post(self, message: T) -> None:
        self._messages.append(message)
        self._bell.ring()

    async def take(self, deadline: float = float("inf")) -> T | None:
        """The oldest message, or ``None`` once ``deadline`` (of ``trio.current_time``) has passed without one."""
        while not self._messages:
            with trio.move_on_at(deadline) as scope:
                await self._bell.wait()
            if scope.cancelled_caught and not self._messages:
                return None
        return self._messages.popleft()
