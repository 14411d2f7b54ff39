"""Records what happens in an empire, and waits for it."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Protocol, Self, TypeVar

import trio

from emperor_trio.events import Event
from emperor_trio.model import VassalId
from emperor_trio.ports import Occurrence

E = TypeVar("E", bound=Event)

LIMIT = 10_000_000
"""How many events may wait to be recorded: more than any test makes."""

PATIENCE = 60.0
"""Seconds of Trio time that :meth:`EventRecorder.wait_for` waits unless told otherwise."""

SHOWN = 20
"""How many of the last events a failed wait shows."""


class Source(Protocol):
    """What can be recorded: an Emperor, or its bus."""

    def subscribe(self, limit: int = ...) -> AbstractContextManager[Stream]: ...


class Stream(Protocol):
    def take_nowait(self) -> Occurrence | None: ...

    async def __anext__(self) -> Occurrence: ...


class EventRecorder:
    """``with EventRecorder(emperor) as events:`` has every event from then on, in order.

    Fields are compared with ``==``; a vassal may be given by its name alone: ``events.wait_for(VassalReady,
    vassal="a.ini")``.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._stack = ExitStack()
        self._stream: Stream | None = None
        self._recorded: list[Occurrence] = []
        self._turn = trio.Lock()

    def __enter__(self) -> Self:
        self._stream = self._stack.enter_context(self._source.subscribe(LIMIT))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._take()
        self._stream = None
        self._stack.close()

    @property
    def occurrences(self) -> list[Occurrence]:
        """Every event so far, with its time."""
        self._take()
        return list(self._recorded)

    @property
    def events(self) -> list[Event]:
        """Every event so far."""
        return [occurrence.event for occurrence in self.occurrences]

    def of(self, kind: type[E], **fields: object) -> list[E]:
        """The events of one class so far, whose fields have these values."""
        return [event for event in self.events if isinstance(event, kind) and _fits(event, fields)]

    def times(self, kind: type[Event], **fields: object) -> list[float]:
        """When these happened, by the clock that the bus was given."""
        return [o.at for o in self.occurrences if isinstance(o.event, kind) and _fits(o.event, fields)]

    def clear(self) -> None:
        """Forget what was recorded so far."""
        self._take()
        self._recorded.clear()

    async def wait_for(self, kind: type[E], count: int = 1, *, patience: float = PATIENCE, **fields: object) -> E:
        """Wait until ``count`` such events were recorded, earlier ones too; the ``count``-th is returned.

        Raises AssertionError, with the last events, after ``patience`` seconds of Trio time, or where nothing more can
        happen.
        """
        with trio.move_on_after(patience):
            while len(found := self.of(kind, **fields)) < count:
                if not await self._wait():
                    break
            else:
                return found[count - 1]
        seen = "".join(f"\n  {o.at:.3f} {o.event}" for o in self.occurrences[-SHOWN:])
        raise AssertionError(
            f"no {kind.__name__} {fields} (number {count}) within {patience:g} s; the last were:{seen}"
        )

    async def _wait(self) -> bool:
        """Wait for one more event, in whoever's turn it is; whether there can be more."""
        known = len(self._recorded)
        async with self._turn:
            if self._stream is None:
                return False
            if len(self._recorded) == known:
                try:
                    self._recorded.append(await self._stream.__anext__())
                except StopAsyncIteration:
                    return False
        return True

    def _take(self) -> None:
        if self._stream is not None:
            while (occurrence := self._stream.take_nowait()) is not None:
                self._recorded.append(occurrence)


def _fits(event: Event, fields: dict[str, object]) -> bool:
    return all(_same(getattr(event, name), value) for name, value in fields.items())


def _same(value: object, wanted: object) -> bool:
    return value == wanted or (isinstance(value, VassalId) and isinstance(wanted, str) and str(value) == wanted)
