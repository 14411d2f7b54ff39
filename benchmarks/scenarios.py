"""What is done to a supervisor, and what is measured then. A new scenario is one function and one line in the table."""

from __future__ import annotations

import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.empire import Empire
from benchmarks.peers import Peer, Skill

SCAN = 3.0
"""Seconds between uWSGI's scans (``--emperor-freq``). Changes come at any time between two of them."""

SETTLE = 2.0
"""Seconds between the last start of a vassal and what is measured then."""

RESIDENTS = 100
"""How many vassals run already where others are added. They are changed one after the other, so that none is changed
again just after it came up: ours leaves it alone then for half a second."""

HEARTBEAT = 10.0
"""Seconds between two heartbeats of a vassal."""

STEADY = 5.0
"""Seconds without one more vassal after which no more are taken to come."""


@dataclass(frozen=True, slots=True)
class Figure:
    """Something that is measured; less of it is better."""

    name: str
    unit: str


FIRST = Figure("start to the first vassal's byte 1", "s")
BOOT = Figure("boot, until the last vassal's byte 1", "s")
CHANGE = Figure("file change to the vassal's reload byte", "ms")
ONE_MORE = Figure("one more config to its vassal's byte 1", "ms")
IDLE = Figure("idle CPU of the emperor", "%")
RESIDENT = Figure("memory of the emperor", "MB")
SHUTDOWN = Figure("shutdown, SIGTERM to the end of all", "s")
GROWTH = Figure("added at once, until the last one's byte 1", "s")
BUSY_CHANGE = Figure("file change while they are added", "ms")
REVOLT = Figure("all killed, until the last one runs again", "s")
RENEWAL = Figure("SIGHUP, until the last one is up again", "s")
HEARTBEATS = Figure("CPU with a heartbeat of each every 10 s", "%")
STATISTICS = Figure("statistics of all, read", "ms")
STATUS = Figure("the command 'status --json'", "ms")
ASKED_CHANGE = Figure("file change while statistics are read", "ms")
MISSING = Figure("vassals of 10,000 that can't be had", "vassals")

Sample = dict[Figure, list[float]]
"""What one run of one supervisor gave: one value or more for each figure."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``changes`` is how many file changes a run has; ``idle`` the seconds in which nothing happens.

    ``descriptors`` is the soft limit with which supervisors are started (``None``: that of this process).
    """

    binary: Path
    changes: int = 10
    idle: float = 15.0
    descriptors: int | None = None


def reign(peer: Peer, size: int, plan: Plan) -> Sample:
    """From start to end with ``size`` vassals: boot, idleness, changes one at a time, shutdown."""
    with Empire(peer, size, size + plan.changes, plan.binary, plan.descriptors) as empire:
        started = empire.start()
        first, last = empire.wait_ready()
        time.sleep(SETTLE)
        sample: Sample = {FIRST: [first - started], BOOT: [last - started], IDLE: [empire.measure_idle(plan.idle)]}
        if Skill.FOLDER in peer.skills:
            sample[CHANGE], sample[ONE_MORE] = [], []
            for number in range(plan.changes):
                time.sleep(random.uniform(0, SCAN))
                sample[CHANGE].append(_measure_change(empire, empire.names[number % size]))
            for _ in range(plan.changes):
                time.sleep(random.uniform(0, SCAN))
                added = empire.add(1)
                sample[ONE_MORE].append(1000 * (empire.wait_added(empire.names[-1]) - added))
        sample[RESIDENT] = [empire.resident()]
        sample[SHUTDOWN] = [empire.stop()]
        return sample


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
        return {GROWTH: [empire.wait_ready()[1] - added], BUSY_CHANGE: changes}


def revolt(peer: Peer, size: int, plan: Plan) -> Sample:
    """All vassals are killed at once. They had been loyal, so that nobody blames them."""
    with Empire(peer, size, size, plan.binary, plan.descriptors, loyal_after=0) as empire:
        empire.start()
        empire.wait_ready()
        time.sleep(SETTLE)
        killed = empire.kill_all()
        return {REVOLT: [empire.wait_replaced(killed) - killed]}


def renew(peer: Peer, size: int, plan: Plan) -> Sample:
    """All vassals are reloaded by one signal."""
    with Empire(peer, size, size, plan.binary, plan.descriptors) as empire:
        empire.start()
        empire.wait_ready()
        time.sleep(SETTLE)
        asked = empire.signal(signal.SIGHUP)
        return {RENEWAL: [empire.wait_renewed(asked) - asked]}


def beat(peer: Peer, size: int, plan: Plan) -> Sample:
    """Every vassal sends heartbeats."""
    with Empire(peer, size, size, plan.binary, plan.descriptors, heartbeat=int(1000 * HEARTBEAT)) as empire:
        empire.start()
        empire.wait_ready()
        time.sleep(SETTLE)
        return {HEARTBEATS: [empire.measure_idle(max(2 * HEARTBEAT, plan.idle))]}


def ask(peer: Peer, size: int, plan: Plan) -> Sample:
    """Somebody looks at all vassals, and goes on looking while files change."""
    with Empire(peer, size, size, plan.binary, plan.descriptors) as empire:
        empire.start()
        empire.wait_ready()
        time.sleep(SETTLE)
        sample: Sample = {STATISTICS: [empire.read_statistics() for _ in range(plan.changes)]}
        if Skill.CONTROL in peer.skills:
            sample[STATUS] = [_measure_status(peer, empire) for _ in range(plan.changes)]
        enough = threading.Event()

        def look() -> None:
            while not enough.is_set():
                empire.read_statistics()

        reader = threading.Thread(target=look)
        reader.start()
        try:
            sample[ASKED_CHANGE] = []
            for number in range(plan.changes):
                sample[ASKED_CHANGE].append(_measure_change(empire, empire.names[number % size]))
                time.sleep(random.uniform(0, 0.5))
        finally:
            enough.set()
            reader.join()
        return sample


def throng(peer: Peer, size: int, plan: Plan) -> Sample:
    """As many as asked for, all at once: how many of them can't be had."""
    with Empire(peer, size, size, plan.binary, plan.descriptors) as empire:
        empire.start()
        count, since = 0, time.monotonic()
        while count < size and empire.lives() and time.monotonic() - since < STEADY + 0.01 * size**0.5:
            time.sleep(0.1)
            if empire.ready() > count:
                count, since = empire.ready(), time.monotonic()
        time.sleep(SETTLE)
        return {MISSING: [float(size - empire.alive())]}


def _measure_change(empire: Empire, name: str) -> float:
    """Milliseconds."""
    changed = empire.touch(name)
    return 1000 * (empire.wait_reload(name, changed) - changed)


def _measure_status(peer: Peer, empire: Empire) -> float:
    """Milliseconds that the command takes, its own start and all that it prints included."""
    words = [peer.program, "status", "--json", "--control", str(empire.place.control)]
    began = time.monotonic()
    subprocess.run(words, stdout=subprocess.DEVNULL, check=True, timeout=60)
    return 1000 * (time.monotonic() - began)


Scenario = Callable[[Peer, int, Plan], Sample]

SCENARIOS: dict[str, tuple[Scenario, frozenset[Skill]]] = {
    "reign": (reign, frozenset()),
    "grow": (grow, frozenset({Skill.FOLDER})),
    "revolt": (revolt, frozenset()),
    "renew": (renew, frozenset({Skill.HANGUP})),
    "beat": (beat, frozenset({Skill.HEARTBEAT})),
    "ask": (ask, frozenset({Skill.STATISTICS})),
    "throng": (throng, frozenset({Skill.HANGUP})),
}
"""Each with what a peer has to be able to do for it."""
