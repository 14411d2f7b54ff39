"""When a doubtful answer of a source is believed: one rule for every monitor.

Owns nothing but the rule. What is doubtful (an empty answer where there were vassals, a folder that became another one
and lacks vassals) is for the monitor to say.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from math import inf

SECOND_LOOK = 1.0
"""Seconds after a doubtful answer until a second one that says the same is believed."""


@dataclass(slots=True)
class SecondLook:
    """One doubt. ``due`` is when to look again, on the caller's clock; infinity while there is no doubt."""

    due: float = inf
    _answer: Hashable = None

    def believes(self, answer: Hashable, now: float) -> bool:
        """Whether a doubtful answer is believed: only when the same one was there :data:`SECOND_LOOK` seconds ago.

        An answer that differs from the doubted one is a new doubt, and starts the wait anew.
        """
        if self.due == inf or self._answer != answer:
            self._answer, self.due = answer, now + SECOND_LOOK
        elif now >= self.due:
            self.settle()
            return True
        return False

    def settle(self) -> None:
        """An answer without doubt came."""
        self._answer, self.due = None, inf
