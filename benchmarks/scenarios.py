"""What is done to an emperor, and what is measured then. A new scenario is one function and one line in the table."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.empire import Empire
from benchmarks.peers import Peer

SCAN = 3.0
"""Seconds between uWSGI's scans (``--emperor-freq``). Changes come at any time between two of them."""

SETTLE = 2.0
"""Seconds between the last start of a vassal and what is measured then."""

RESIDENTS = 100
"""How many vassals run already where others are added. They are changed one after the other, so that none is changed
again just after it came up: ours leaves it alone then for half a second."""


@dataclass(frozen=True, slots=True)
class Figure:
    """Something that is measured; less of it is better."""

    name: str
    unit: str


BOOT = Figure("boot, until the last vassal's byte 1", "s")
CHANGE = Figure("file change to the vassal's reload byte", "ms")
IDLE = Figure("idle CPU of the emperor", "%")
RESIDENT = Figure("resident memory of the emperor", "MB")
SHUTDOWN = Figure("shutdown, SIGTERM to exit", "s")
GROWTH = Figure("added at once, until the last one's byte 1", "s")
BUSY_CHANGE = Figure("file change while they are added", "ms")

Sample = dict[Figure, list[float]]
"""What one run of one emperor gave: one value or more for each figure."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``changes`` is how many file changes a run has; ``idle`` the seconds in which nothing happens.

    ``descriptors`` is the soft limit with which emperors are started (``None``: that of this process).
    """

    binary: Path
    changes: int = 10
    idle: float = 15.0
    descriptors: int | None = None


def reign(peer: Peer, size: int, plan: Plan) -> Sample:
    """From start to end with ``size`` vassals: boot, idleness, changes one at a time, shutdown."""
    with Empire(peer, size, size, plan.binary, plan.descriptors) as empire:
        started = empire.start()
        boot = empire.wait_ready() - started
        time.sleep(SETTLE)
        idle = empire.measure_idle(plan.idle)
        changes = []
        for number in range(plan.changes):
            time.sleep(random.uniform(0, SCAN))
            changes.append(_measure_change(empire, empire.names[number % size]))
        resident = empire.resident()
        return {
            BOOT: [boot],
            CHANGE: changes,
            IDLE: [idle],
            RESIDENT: [resident],
            SHUTDOWN: [empire.stop()],
        }


def grow(peer: Peer, size: int, plan: Plan) -> Sample:
    """``size`` vassals come at once where others run already, whose files are changed meanwhile, one after another."""
    with Empire(peer, RESIDENTS, RESIDENTS + size, plan.binary, plan.descriptors) as empire:
        residents = list(empire.names)
        empire.start()
        empire.wait_ready()
        time.sleep(SETTLE + random.uniform(0, SCAN))
        added = empire.add(size)
        changes: list[float] = []
        while not empire.all_ready():
            changes.append(_measure_change(empire, residents[len(changes) % RESIDENTS]))
            time.sleep(random.uniform(0, 0.05))
        return {GROWTH: [empire.wait_ready() - added], BUSY_CHANGE: changes}


def _measure_change(empire: Empire, name: str) -> float:
    """Milliseconds."""
    changed = empire.touch(name)
    return 1000 * (empire.wait_reload(name, changed) - changed)


Scenario = Callable[[Peer, int, Plan], Sample]

SCENARIOS: dict[str, Scenario] = {"reign": reign, "grow": grow}
