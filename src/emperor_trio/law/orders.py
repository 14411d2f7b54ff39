"""What an operator's command means for one vassal, whatever it is doing: a table, so that each has its answer.

Owns the answers. What is done about them is for :mod:`~emperor_trio.law.fleet` and the supervisor.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from emperor_trio.law.fleet import STOPPED
from emperor_trio.law.state import Phase
from emperor_trio.model import Desired, Verb

AWAY = frozenset({Phase.EXILED, Phase.PARKED})
"""Phases that a vassal leaves only for a reason."""

COMING = frozenset({Phase.NEW, Phase.ASKING, Phase.BINDING, Phase.QUEUED})
"""Phases on the way to a process."""

GOING = frozenset({Phase.STOPPING, Phase.ENDING})
"""Phases on the way out of one."""


class Act(Enum):
    """What is to be done: a newer revision, another process, a hold, its end, an end of the wait on the blacklist."""

    NOTHING = auto()
    RELOAD = auto()
    RENEW = auto()
    HOLD = auto()
    RELEASE = auto()
    FORGIVE = auto()


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a judgement needs to know: ``desired`` is ``None`` where the vassal is not at its source, ``held`` says
    that an operator stopped it, ``waits`` that it has died before it was loyal."""

    phase: Phase
    desired: Desired | None
    held: bool = False
    waits: bool = False
    zerg: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """``ok``: it becomes as commanded, or is so already. ``text`` is for people."""

    ok: bool
    act: Act
    text: str


def judge(verb: Verb, situation: Situation) -> Judgement:
    """What becomes of a command. Pure and total."""
    desired, phase = situation.desired, situation.phase
    if situation.zerg:
        return _no("a zerg comes and goes with its vassal: command that")
    if desired is None:
        if verb is Verb.START and situation.held:
            return Judgement(True, Act.RELEASE, "stopped no longer: it starts once it is at its source")
        return _no("it is not at its source any more")
    match verb:
        case Verb.RELOAD:
            return _renew(desired, phase, Act.RELOAD, "told to reload")
        case Verb.RESTART:
            return _renew(desired, phase, Act.RENEW, "told to stop; a new process follows")
        case Verb.STOP:
            return _stop(desired, phase)
        case Verb.START:
            return _start(desired, phase, situation.waits)
        case Verb.FORGIVE if situation.waits:
            return Judgement(True, Act.FORGIVE, "taken off the blacklist")
        case _:
            return _already("it is not on the blacklist")


def _renew(desired: Desired, phase: Phase, act: Act, text: str) -> Judgement:
    if desired.held:
        return _no("it is stopped: start it instead")
    if phase in AWAY:
        text = f"it was {phase.value}: started again"
    elif phase in COMING:
        text = "it is about to start, from its newest config"
    elif phase in GOING:
        text = "it ends just now: the next process takes its newest config"
    elif phase is Phase.WAITING:
        text = "it has no process: the first connection starts one, from its newest config"
    return Judgement(True, act, text)


def _stop(desired: Desired, phase: Phase) -> Judgement:
    if desired.held == STOPPED:
        return _already("it is stopped" if phase is Phase.HELD else "it has been told to stop")
    return Judgement(
        True, Act.HOLD, "it stays stopped" if phase not in (Phase.STARTING, Phase.RUNNING) else "told to stop"
    )


def _start(desired: Desired, phase: Phase, waits: bool) -> Judgement:
    if desired.held:
        return Judgement(True, Act.RELEASE, "started")
    if phase in AWAY:
        return Judgement(True, Act.RELEASE, f"it was {phase.value}: started again")
    if phase is Phase.QUEUED and waits:
        return Judgement(True, Act.FORGIVE, "it waits no longer on the blacklist")
    if phase is Phase.WAITING:
        return _already("it waits for its first connection, as it should")
    if phase in COMING:
        return _already("it is about to start")
    return _already("it ends just now, and starts again by itself" if phase in GOING else "it runs")


def _already(text: str) -> Judgement:
    return Judgement(True, Act.NOTHING, text)


def _no(text: str) -> Judgement:
    return Judgement(False, Act.NOTHING, text)
