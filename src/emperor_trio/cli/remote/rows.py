"""The rows of ``status`` and ``top``: one vassal each, with its columns, order and use of the machine. Pure but for
:func:`measure`, which reads ``/proc``."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from emperor_trio.cli.remote.paint import Cell, Column, Ink, lasting, safe, share, size, span
from emperor_trio.cli.remote.words import RANKS, SIGNS, ending, restarts, started, title, why
from emperor_trio.control.messages import Greeting, Key, Monitor, State, Vassal
from emperor_trio.control.usage import read

NOT_KNOWN = "–"


@dataclass(frozen=True, slots=True)
class Used:
    """``cpu`` is a share of one processor, ``memory`` in bytes, both over all ``processes`` of a vassal."""

    cpu: float
    memory: int
    processes: int


# --- order -----------------------------------------------------------------------------------------------------------

Order = Callable[[Vassal], Any]


def order_of(sort: str, used: Mapping[int, Used], now: float) -> Order:
    """The key of a sort (of :data:`~emperor_trio.cli.remote.pages.SORTS`): the most interesting first, then by name.

    ``used`` is by process id.
    """

    def number(vassal: Vassal) -> float:
        use = used.get(vassal.pid)
        match sort:
            case "cpu":
                return use.cpu if use else -1.0
            case "memory":
                return use.memory if use else -1.0
            case "uptime":
                return now - started(vassal) if vassal.pid else -1.0
            case "restarts":
                return restarts(vassal)
            case "trouble":
                return -RANKS[vassal.state]
            case _:
                return 0

    return lambda vassal: (-number(vassal), vassal.name, vassal.ordinal, vassal.monitor)


# --- use of the machine ----------------------------------------------------------------------------------------------


def is_here(greeting: Greeting) -> bool:
    """Whether the emperor's processes are among those that this program sees: not in another container, say."""
    return greeting.host in ("", socket.gethostname()) and os.path.exists(f"/proc/{greeting.pid}")


def measure(vassals: Iterable[Vassal], greeting: Greeting) -> dict[int, Used]:
    """What vassals use, by process id, with the share of a processor since each process began. What can't be read is
    missing."""
    if not is_here(greeting):
        return {}
    boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    ticks = os.sysconf("SC_CLK_TCK")
    return {
        pid: Used(found.cpu_seconds / max(boot - found.started / ticks, 0.1), found.memory_bytes, found.processes)
        for pid, found in read({vassal.pid for vassal in vassals if vassal.pid}).items()
    }


# --- columns ---------------------------------------------------------------------------------------------------------

COLUMNS = (
    Column("STATE"),
    Column("NAME", least=14),
    Column("PID", right=True, drop=2),
    Column("UP", right=True),
    Column("RST", right=True, drop=3),
    Column("CPU", right=True, drop=4),
    Column("MEM", right=True, drop=4),
    Column("MONITOR", least=10, drop=5),
    Column("WHY", least=18, drop=1),
)
"""Those of every table of vassals."""

WIDE = (*COLUMNS, Column("RELOADS", right=True), Column("DEATHS", right=True), Column("LAST EXIT"), Column("OWNER"))
"""Those of ``status --wide``."""


def cells(vassal: Vassal, use: Used | None, now: float, monitors: Mapping[str, str], wide: bool = False) -> list[Cell]:
    """One row. ``monitors`` has the name to be shown for each, and is empty where there is but one."""
    sign, style = SIGNS[vassal.state]
    unknown = NOT_KNOWN if vassal.pid else ""
    often = restarts(vassal)
    row: list[Cell] = [
        (f"{sign} {vassal.state.value}", style),
        (title(vassal), "dim" if vassal.state is State.STOPPED else ""),
        (str(vassal.pid) if vassal.pid else "", ""),
        (span(now - started(vassal)) if vassal.pid else "", ""),
        (str(often), "" if often else "dim"),
        (share(use.cpu) if use else unknown, ""),
        (size(use.memory) if use else unknown, ""),
        (monitors.get(vassal.monitor, ""), "dim"),
        (why(vassal, now), "" if style in ("alarm", "yellow") else "dim"),
    ]
    if wide:
        row += [(str(vassal.reloads), ""), (str(vassal.deaths), ""), (ending(vassal.exit_code), ""), (vassal.owner, "")]
    return row


def absent_cells(key: Key, monitors: Mapping[str, str], wide: bool = False) -> list[Cell]:
    """The row of a vassal that is held stopped, but not at its source now."""
    sign, style = SIGNS[State.STOPPED]
    gap: list[Cell] = [("", "")] * 5
    end: list[Cell] = [(monitors.get(key.monitor, ""), "dim"), ("held stopped, and not at its source now", "dim")]
    return [
        (f"{sign} {State.STOPPED.value}", style),
        (title(key), "dim"),
        *gap,
        *end,
        *([("", "")] * 4 if wide else []),
    ]


def short_names(monitors: Collection[str]) -> dict[str, str]:
    """A short name for each monitor: what is not the same in all of them; nothing where there is but one."""
    if len(monitors) < 2:
        return {}
    found = {monitor: safe(monitor) for monitor in monitors}
    slashed = {monitor: _tail(text) for monitor, text in found.items()}
    return slashed if len(set(slashed.values())) == len(slashed) else found


def _tail(text: str) -> str:
    """``/srv/a/vassals`` is ``…/vassals``; an address is left as it is up to its options."""
    if text.startswith("/") and text.count("/") > 1:
        return f"…/{text.rstrip('/').rpartition('/')[2]}"
    return text.partition(";")[0].partition("?")[0]


# --- the summary -----------------------------------------------------------------------------------------------------


def summary(greeting: Greeting, vassals: Iterable[Vassal], absent: int, now: float, ink: Ink) -> list[str]:
    """The emperor in one line; how many vassals are in which state in one more, or several where that is too long."""
    found = Counter(vassal.state for vassal in vassals)
    if absent:
        found[State.STOPPED] += absent
    total = sum(found.values())
    vassals_there = f"{total:,} vassal" if total == 1 else f"{total:,} vassals"
    emperor = f"{ink('emperor-trio', 'bold')} {safe(greeting.version)}, pid {greeting.pid}"
    lines = [f"{emperor}, up {lasting(now - greeting.started)}, {vassals_there}"]
    room = 0
    for state in sorted(found, key=RANKS.__getitem__):
        sign, style = SIGNS[state]
        text = f"{sign} {found[state]:,} {state.value}"
        if len(text) + 3 <= room:
            lines[-1] += "   " + ink(text, style)
            room -= len(text) + 3
        else:
            lines.append(ink(text, style))
            room = (ink.width or 1000) - len(text)
    return lines


def complaints(monitors: Iterable[Monitor], now: float, ink: Ink) -> list[str]:
    """One line for each monitor that fails."""
    lines = []
    for monitor in monitors:
        if not monitor.healthy:
            again = f"; next try in {lasting(monitor.next_try - now)}" if monitor.next_try > now else ""
            lines.append(
                ink(f"✖ {safe(monitor.name)} fails for {lasting(now - monitor.since)}: {safe(monitor.error)}", "alarm")
                + again
            )
    return lines
