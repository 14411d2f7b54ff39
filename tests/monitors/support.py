"""What the tests of the file monitors share: monitors that run, and a source of configs in a folder."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from emperor_trio.events import Event
from emperor_trio.monitors import find_monitor
from emperor_trio.ports import Doorbell, Monitor, MonitorContext
from emperor_trio.testing.conformance import Watched

PATIENCE = 20.0


_clock = itertools.count(time.time_ns())


def write(path: Path, text: str = "[uwsgi]\n") -> str:
    """Write a file in one go, with a time that no other has: clocks of file systems tick slowly. Returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.utime(file.fileno(), ns=(0, next(_clock)))
    return str(path)


def open_way(path: Path) -> None:
    """Let every user pass through the folders above, which pytest (and its workers) made and closed."""
    for parent in path.parents:
        if parent.name.startswith(("pytest-", "popen-", "test_")):
            parent.chmod(0o755)


def make_monitor(
    text: str, publish: Callable[[Event], None], doorbell: Doorbell, frequency: float = 60.0, **options: Any
) -> Monitor:
    found = find_monitor(text)
    context = MonitorContext(text, found.argument, publish, doorbell, frequency=frequency, **options)
    return found.factory(context)


@asynccontextmanager
async def watching_files(text: str | Path, **options: Any) -> AsyncIterator[Watched]:
    """A monitor that runs. Without a ``frequency`` it hardly ever scans, so that what is seen was seen by inotify."""
    watched = Watched(PATIENCE)
    monitor = make_monitor(str(text), watched.publish, watched.bell, **options)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(monitor.run, watched.emit)
        yield watched
        nursery.cancel_scope.cancel()


@dataclass
class FolderSource:
    """A :class:`~emperor_trio.testing.conformance.Source` of configs in a folder."""

    folder: Path
    scheme: str = "dir"
    frequency: float = 60.0
    patience: float = PATIENCE
    outage: float = 1.5

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self._now = self.folder

    def make_monitor(self, publish: Callable[[Event], None], doorbell: Doorbell) -> Monitor:
        pattern = self.folder / "*.ini" if self.scheme == "glob" else self.folder
        return make_monitor(
            f"{self.scheme}://{pattern}", publish, doorbell, self.frequency, on_demand_extension=".socket"
        )

    def name(self, entry: str) -> str:
        return str(self.folder / entry) if self.scheme == "glob" else entry

    async def add(self, entry: str) -> None:
        write(self._now / entry)

    async def change(self, entry: str) -> None:
        write(self._now / entry, "[uwsgi]\nprocesses = 2\n")

    async def remove(self, entry: str) -> None:
        (self._now / entry).unlink()

    async def spoil(self, entry: str) -> None:
        (self._now / f"{entry}.socket").write_text("x" * 5000)
        write(self._now / entry)
        os.mkfifo(self._now / f"fifo-{entry}")

    async def break_down(self) -> None:
        self._now = self.folder.with_name("away")
        self.folder.rename(self._now)

    async def heal(self) -> None:
        self._now.rename(self.folder)
        self._now = self.folder
