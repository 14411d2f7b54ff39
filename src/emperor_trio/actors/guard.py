"""The wall at which failures stop: runs something for ever, again after each failure, with growing delays.

It guards what may fail without harm to the rest: monitors and outlets. It does not guard the supervisor, whose failure
ends the program.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

from emperor_trio.errors import EmperorError

SAID = 2000
"""Characters of an error that are told: it may quote what a server sent."""


@dataclass(frozen=True, slots=True)
class Delays:
    """Seconds: the first delay, doubled after every failure in a row up to ``most``, and up to a tenth more."""

    first: float = 0.5
    most: float = 30.0

    def after(self, failures: int) -> float:
        """The delay after this many failures in a row (1 and up)."""
        return min(self.first * 2.0 ** min(failures - 1, 32), self.most) * (1 + random.random() / 10)  # noqa: S311


class Guard:
    """Keeps one thing running. Whoever is guarded calls :meth:`progress` when it is well again."""

    def __init__(self, delays: Delays | None = None) -> None:
        self._delays = delays or Delays()
        self._failures = 0

    def progress(self) -> bool:
        """Note that it works; whether it had failed before."""
        failed, self._failures = self._failures > 0, 0
        return failed

    async def keep(
        self, run: Callable[[], Awaitable[None]], failed: Callable[[str, float], None], *, may_end: bool = False
    ) -> None:
        """Run for ever. After each failure, ``failed`` is told why and in how many seconds it runs again.

        An end without an error is a failure, too, unless it ``may_end``.
        """
        while True:
            why = ""
            try:
                await run()
            except* Exception as group:
                why = explain(group)
            if may_end and not why:
                return
            self._failures += 1
            delay = self._delays.after(self._failures)
            failed(why or "it ended by itself", delay)
            await trio.sleep(delay)


def explain(error: BaseException) -> str:
    """One line for people: our own errors speak for themselves, others bring their type along."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(dict.fromkeys(explain(inner) for inner in error.exceptions))
    text = " ".join(str(error)[:SAID].split())
    return text if isinstance(error, EmperorError) else f"{type(error).__name__}: {text}".removesuffix(": ")
