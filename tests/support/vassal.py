"""Builds the test vassal (``vassal.c``), writes configs for it and reads its reports.

The vassal stands in for ``uwsgi``: give it as the emperor's ``--binary-path``. What it can do is the table of keys in
``vassal.c``; all times there are milliseconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("vassal.c")

Setting = str | int | bool | Path


def build_vassal(folder: Path) -> Path:
    """Compile the vassal into ``folder`` and return its path. Readable and executable by every user."""
    binary = folder / "vassal"
    command: list[str | Path] = [
        "gcc",
        "-static",
        "-Os",
        "-s",
        "-std=gnu17",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-o",
        binary,
        SOURCE,
    ]
    subprocess.run(command, check=True, timeout=60)
    binary.chmod(0o755)
    return binary


def vassal_config(settings: Mapping[str, Setting], section: str = "uwsgi") -> str:
    """The text of an ini config with these keys of ``vassal.c``."""
    texts = {
        key: ("yes" if value else "no") if isinstance(value, bool) else str(value) for key, value in settings.items()
    }
    return f"[{section}]\n" + "".join(f"{key} = {text}\n" for key, text in texts.items())


def write_vassal(path: Path, **settings: Setting) -> Path:
    """Put a config in place in one step, by renaming, as a careful operator does."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(vassal_config(settings))
    return draft.rename(path)


@dataclass(frozen=True, slots=True)
class Report:
    """What test vassals wrote into the file that their key ``report`` names: one dictionary an event.

    Each has ``event``, ``at`` (seconds since the epoch) and ``pid``, most a ``name``. Strings hold bytes as latin-1.
    """

    path: Path

    def all(self) -> list[dict[str, Any]]:
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith(b"\n")]

    def of(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """All entries of one event whose fields have these values, oldest first."""
        return [e for e in self.all() if e["event"] == event and all(e.get(k) == v for k, v in fields.items())]

    def wait_for(self, event: str, count: int = 1, timeout: float = 20, **fields: object) -> dict[str, Any]:
        """Wait (blocking) until ``count`` such entries are there; the ``count``-th is returned."""
        wait_until(
            lambda: len(self.of(event, **fields)) >= count, timeout, lambda: f"no {event} {fields}: {self.all()}"
        )
        return self.of(event, **fields)[count - 1]


def wait_until(holds: Callable[[], bool], timeout: float = 20, complaint: Callable[[], str] = lambda: "") -> None:
    """Wait (blocking) for what another process does. For what our own does, wait for its event instead."""
    deadline = time.monotonic() + timeout
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(complaint() or f"did not come true within {timeout} s")
        time.sleep(0.005)


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def children_of(pid: int) -> list[int]:
    """The direct children of a process, zombies too."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == pid:
                found.append(int(entry.name))
    return sorted(found)
