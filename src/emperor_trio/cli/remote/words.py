"""What a vassal's state is called, looks like and means, in words: why it is there, and what can be done. Pure."""

from __future__ import annotations

import shlex
import signal

from emperor_trio.cli.remote.pages import STATES
from emperor_trio.cli.remote.paint import lasting, safe
from emperor_trio.control.messages import Key, State, Vassal
from emperor_trio.events import counted
from emperor_trio.outlets.text import printable

SIGNS: dict[State, tuple[str, str]] = {
    State.UP: ("●", "green"),
    State.RELOADING: ("↻", "cyan"),
    State.STARTING: ("◐", "cyan"),
    State.WAITING: ("○", "blue"),
    State.STOPPING: ("◑", "yellow"),
    State.QUEUED: ("◌", "cyan"),
    State.BLACKLISTED: ("▲", "yellow"),
    State.FAILED: ("✖", "alarm"),
    State.EXILED: ("⊘", "magenta"),
    State.STOPPED: ("■", "dim"),
}
"""Each state's symbol and style: none is told by its colour alone."""

RANKS = {State(name): rank for rank, name in enumerate(STATES)}
"""Trouble first."""

_PHASES = {
    "new": "just found",
    "asking for its socket": "its socket is asked for",
    "binding its socket": "its socket is being bound",
    "queued": "waits for its turn to start",
}


def title(vassal: Vassal | Key) -> str:
    """A vassal's name, fit to be shown; that of a zerg as in the log."""
    return printable(f"{vassal.name}:zerg#{vassal.ordinal}" if vassal.ordinal else vassal.name)


def ending(code: int | None) -> str:
    """How a process ended: ``exit code 1``, ``signal 9 (SIGKILL)``; empty where none has."""
    if code is None:
        return ""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"signal {-code}"


def started(vassal: Vassal) -> float:
    """When its process was started, 0.0 where there is none."""
    return vassal.last_run if vassal.pid else 0.0


def restarts(vassal: Vassal) -> int:
    """Processes after its first one."""
    return max(vassal.generation - 1, 0)


def why(vassal: Vassal, now: float) -> str:
    """Why it is where it is, in a few words with the most important one first; empty where there is nothing to say."""
    reason, last = safe(vassal.reason), ending(vassal.exit_code)
    match vassal.state:
        case State.UP:
            said = [f"stops: {reason or 'cursed'}" if vassal.cursed_at else reason]
            said.append("a newer config waits" if vassal.revision < vassal.wanted else "")
        case State.RELOADING:
            said = [f"for {lasting(now - vassal.since)}", reason]
        case State.STARTING:
            said = [f"for {lasting(now - vassal.since)}", reason]
        case State.WAITING:
            said = [safe(vassal.on_demand), reason]
        case State.STOPPING:
            said = [f"for {lasting(now - vassal.since)}", reason]
        case State.QUEUED:
            said = [_PHASES.get(vassal.phase, safe(vassal.phase)), reason, last if vassal.deaths else ""]
        case State.BLACKLISTED:
            said = [f"again {soon(vassal.next_spawn - now)}", reason or last]
        case State.FAILED:
            said = [reason, last]
        case State.EXILED:
            said = [reason, "" if last in reason else last]
        case State.STOPPED:
            said = [safe(vassal.held), "" if vassal.held == vassal.reason else reason]
    return "; ".join(dict.fromkeys(part for part in said if part))


def soon(seconds: float) -> str:
    """``in 12 s``, or ``now``."""
    return f"in {lasting(seconds)}" if seconds >= 0.5 else "now"


def meaning(vassal: Vassal, now: float) -> str:
    """One sentence about the state, for people who meet it for the first time."""
    match vassal.state:
        case State.UP:
            return "It runs and has said that it is ready."
        case State.RELOADING:
            return "It runs and was told to reload; it has not said yet that it is ready again."
        case State.STARTING:
            return "Its process was started and has not said yet that it is ready."
        case State.WAITING:
            return f"It is started by the first connection to {safe(vassal.on_demand)}."
        case State.STOPPING:
            return "Its process was told to end, and has not yet."
        case State.QUEUED:
            return "It will be started as soon as it is its turn."
        case State.BLACKLISTED:
            died = f"It died {counted(vassal.deaths, 'time')}" if vassal.deaths else "It died"
            return f"{died}, the last time too soon: it is left alone for a while, and started again by itself."
        case State.FAILED:
            return "It died too often in a short time: it stays down until its config changes or a command starts it."
        case State.EXILED:
            return "It asked not to be started again: it stays down until its config changes or a command starts it."
        case State.STOPPED:
            return "It is held stopped: nothing but a command starts it."


def advice(vassal: Vassal, now: float, logs: str) -> tuple[str, ...]:
    """What can be done, as sentences with the command; ``logs`` is where vassals' logs are (see ``Greeting``)."""
    name = shlex.quote(printable(vassal.name))
    look = [f"'emperor-trio logs {name}' shows what it printed"] if logs not in ("", "-") else []
    match vassal.state:
        case State.BLACKLISTED:
            return (f"next spawn {soon(vassal.next_spawn - now)}; 'emperor-trio forgive {name}' starts it now", *look)
        case State.FAILED | State.EXILED:
            return (f"'emperor-trio start {name}' starts it, and so does a change of its config", *look)
        case State.STOPPED:
            return (f"'emperor-trio start {name}' starts it",)
        case State.STARTING | State.RELOADING | State.STOPPING if now - vassal.since > 10:
            return (f"it has taken {lasting(now - vassal.since)} by now, which is long", *look)
        case _:
            return ()
