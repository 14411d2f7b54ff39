"""What is said of messages that are wrong, when anyone may send any number of them. Pure.

Of messages nothing stays behind in a source, so what was said of them is remembered here, and only so much of it: a
flood of garbage costs neither memory nor more than a few lines of the log a minute.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from emperor_trio.events import Event, MonitorNotice, VassalRefused
from emperor_trio.monitors._rows import Wrong

REMEMBERED = 1000
"""Names of which it is remembered what was said, the latest ones."""

OF_ONE_NAME = 8
"""Complaints that are remembered of each."""

BURST = 50
"""Complaints that are said one by one after a time of peace."""

RATE = 1.0
"""Complaints a second that may be said in the long run."""

ROUND = 60.0
"""Seconds after which it is said how many were not."""


class Complaints:
    """Times are seconds on any clock that only rises. ``unit`` is what a message is called, in the singular."""

    def __init__(self, monitor: str, publish: Callable[[Event], None], unit: str = "message") -> None:
        self._monitor = monitor
        self._publish = publish
        self._unit = unit
        self._said: OrderedDict[str, tuple[Wrong, ...]] = OrderedDict()
        self._left = float(BURST)
        self._counted_at = 0.0
        self._unsaid = 0

    def take(self, wrong: Wrong, now: float) -> None:
        """Say what is wrong, unless the same was said of it lately, or too much else."""
        said = self._said.get(wrong.name, ())
        if wrong in said:
            self._said.move_to_end(wrong.name)
            return
        self._left = min(BURST, self._left + (now - self._counted_at) * RATE)
        self._counted_at = now
        if self._left < 1:
            self._unsaid += 1
            return
        self._left -= 1
        self._said[wrong.name] = (*said[1 - OF_ONE_NAME :], wrong)
        self._said.move_to_end(wrong.name)
        if len(self._said) > REMEMBERED:
            self._said.popitem(last=False)
        self._publish(VassalRefused(self._monitor, wrong.name, wrong.field, wrong.value, wrong.reason))

    def settle(self, name: str) -> None:
        """A vassal got a message that is right: what is wrong with the next one is news again."""
        self._said.pop(name, None)

    def tell_rest(self) -> None:
        """Say how many were not said since the last time. To be called every :data:`ROUND` seconds."""
        if self._unsaid:
            count, self._unsaid = self._unsaid, 0
            what = f"{count:,} more {self._unit}s were" if count > 1 else f"one more {self._unit} was"
            self._publish(MonitorNotice(self._monitor, f"{what} wrong; too many to name them"))
