"""What vassals use of the machine: CPU and memory, read from ``/proc``, summed over each vassal's processes.

Linux only, without waiting for anybody: what is gone meanwhile counts nothing. A call reads some hundred small files,
so a server makes it in a thread. A vassal's processes are its own and all that descend from it. Where the kernel tells
no children (``CONFIG_PROC_CHILDREN``), one pass over all processes of the machine finds them, and with them those of
the vassal's session whose parents are gone.

Memory is what the processes do not share with files or with each other through files and shared memory: resident less
shared pages, of ``/proc/PID/statm``. Pages that a worker still has in common with the process it was forked from count
once for each; the exact figure (Pss) takes the kernel a walk through every page, too much for a look each second.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

MOST_PROCESSES = 10_000
"""Processes that one reading looks at, whatever a vassal forks."""

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Reading:
    """All processes of one vassal at one moment.

    ``cpu_seconds`` is theirs since each began, with those of their children that are gone and were waited for, so that
    it falls only where a process leaves without that. ``started`` tells the vassal's process from a later one of the
    same number (clock ticks since the boot).
    """

    cpu_seconds: float
    memory_bytes: int
    processes: int
    started: int = 0


@dataclass(frozen=True, slots=True)
class _Stat:
    alive: bool
    parent: int
    session: int
    ticks: int
    started: int


def read(pids: Collection[int]) -> dict[int, Reading]:
    """By process id, those of vassals as the emperor tells them; the ones that are gone are missing."""
    wanted = [pid for pid in pids if pid > 0]
    families = _by_children(wanted) if _tells_children() else _by_pass(wanted)
    found = {}
    for pid, family in families.items():
        first = _stat(pid)
        if first is None or not first.alive:
            continue
        stats = {pid: first} | {other: stat for other in family if (stat := _stat(other))}
        alive = [other for other, stat in stats.items() if stat.alive]
        ticks = sum(stat.ticks for stat in stats.values())  # of zombies, too: soon their parent's own figure has them
        found[pid] = Reading(ticks * _TICK, sum(map(_memory, alive)), len(alive), first.started)
    return found


class Meter:
    """Turns readings into shares of a processor; remembers the last one of each vassal in view."""

    def __init__(self) -> None:
        self._last: dict[int, tuple[float, Reading]] = {}

    def shares(self, readings: dict[int, Reading], now: float | None = None) -> dict[int, float]:
        """By process id, the share of one processor since the last call: 1.0 is a whole one.

        Missing where there was no earlier reading of this process. ``now`` is the time of the readings in seconds, of
        ``time.monotonic`` unless given. What is not among the readings is forgotten.
        """
        now = time.monotonic() if now is None else now
        shares = {}
        for pid, reading in readings.items():
            at, earlier = self._last.get(pid, (now, reading))
            if now > at and earlier.started == reading.started:
                shares[pid] = max(reading.cpu_seconds - earlier.cpu_seconds, 0.0) / (now - at)
        self._last = {pid: (now, reading) for pid, reading in readings.items()}
        return shares


# --- whose processes are whose ---------------------------------------------------------------------------------------


def _tells_children() -> bool:
    return os.path.exists("/proc/thread-self/children")


def _by_children(pids: Iterable[int]) -> dict[int, list[int]]:
    families: dict[int, list[int]] = {}
    left = MOST_PROCESSES
    for pid in pids:
        family: list[int] = []
        seen = {pid}
        heirs = [pid]
        while heirs and left > 0:
            for child in _children(heirs.pop()):
                if child not in seen:
                    seen.add(child)
                    family.append(child)
                    heirs.append(child)
                    left -= 1
        families[pid] = family
    return families


def _children(pid: int) -> Iterator[int]:
    """The kernel keeps children by the thread that forked them."""
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            yield from map(int, _read(f"/proc/{pid}/task/{thread}/children").split())


def _by_pass(pids: Iterable[int]) -> dict[int, list[int]]:
    children: dict[int, list[int]] = defaultdict(list)
    sessions: dict[int, list[int]] = defaultdict(list)
    for entry in os.listdir("/proc"):
        if entry.isdecimal() and (stat := _stat(int(entry))) is not None:
            children[stat.parent].append(int(entry))
            sessions[stat.session].append(int(entry))
    families: dict[int, list[int]] = {}
    for pid in pids:
        family = {pid}
        heirs = [pid, *sessions.get(pid, ())]
        while heirs:
            heir = heirs.pop()
            family.add(heir)
            heirs.extend(child for child in children.get(heir, ()) if child not in family)
        families[pid] = sorted(family - {pid})[:MOST_PROCESSES]
    return families


# --- the files of /proc ----------------------------------------------------------------------------------------------


def _stat(pid: int) -> _Stat | None:
    """``None`` where the process is gone. Its name may hold spaces and brackets, so the fields are those behind it."""
    fields = _read(f"/proc/{pid}/stat").rpartition(b") ")[2].split()
    if len(fields) < 20:
        return None
    return _Stat(
        fields[0] not in (b"Z", b"X"), int(fields[1]), int(fields[3]), sum(map(int, fields[11:15])), int(fields[19])
    )


def _memory(pid: int) -> int:
    fields = _read(f"/proc/{pid}/statm").split()
    return max(int(fields[1]) - int(fields[2]), 0) * _PAGE if len(fields) > 2 else 0


def _read(path: str) -> bytes:
    """The whole file, which the kernel gives a page at a time; empty where the process is gone."""
    with suppress(OSError), open(path, "rb", buffering=0) as file:
        return file.readall()
    return b""
