"""How one actor wakes another without ever waiting for it: a mailbox and a doorbell. A hundred wake-ups are one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class Bell:
    """Rings coalesce: however often it was rung, the next ``wait`` returns once. One waiter at a time."""

    __slots__ = ("_rung",)

    def __init__(self) -> None:
        self._rung = trio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self) -> None:
        await self._rung.wait()
        self._rung = trio.Event()


class Mailbox(Generic[T]):
    """Messages in order for one actor. Posting never waits; taking waits for a message or a deadline.

    ``merge`` is asked for one message that says what the newest waiting one and the one posted say together, or
    ``None``: so that whoever posts much of the same fills no memory.
    """

    def __init__(self, merge: Callable[[T, T], T | None] | None = None) -> None:
        self._messages: deque[T] = deque()
        self._merge = merge
        self._bell = Bell()

    def __len__(self) -> int:
        return len(self._messages)

    def post(self, message: T) -> None:
        merged = self._merge(self._messages[-1], message) if self._merge and self._messages else None
        if merged is None:
            self._messages.append(message)
        else:
            self._messages[-1] = merged
        self._bell.ring()

    async def wait(self) -> None:
        """Wait until something may have been posted; nothing is taken."""
        await self._bell.wait()

    async def take(self, deadline: float = inf) -> T | None:
        """The oldest message, or ``None`` once ``deadline`` (of ``trio.current_time``) has passed.

        The deadline goes before the messages, so that no flood of them can put it off. Checkpoints only where it waits.
        """
        while trio.current_time() < deadline:
            if self._messages:
                return self._messages.popleft()
            if deadline == inf:  # mostly; and a scope costs more than all the rest
                await self._bell.wait()
            else:
                with trio.move_on_at(deadline):
                    await self._bell.wait()
        return None
