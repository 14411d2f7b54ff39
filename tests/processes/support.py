"""What the tests of this room share: an ear for what a process delivers, and a court that spawns vassals."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from emperor_trio.model import Owner, VassalId, VassalSpec
from emperor_trio.ports import Exited, Listener, PipeClosed, Process, ProcessEvent, Received
from emperor_trio.processes import LaunchPolicy, SystemSpawner
from tests.support.vassal import Report, Setting, vassal_config

PATIENCE = 30
ALICE = Owner(23001, 23002)
BOB = Owner(23003, 23004)


@dataclass
class Ear:
    """Collects what one process delivers, and lets a test wait for it."""

    events: list[ProcessEvent] = field(default_factory=list)
    _changed: trio.Event = field(default_factory=trio.Event)

    def __call__(self, event: ProcessEvent) -> None:
        self.events.append(event)
        self._changed.set()
        self._changed = trio.Event()

    @property
    def heard(self) -> bytes:
        return b"".join(event.data for event in self.events if isinstance(event, Received))

    async def until(self, holds: Callable[[], bool]) -> None:
        with trio.move_on_after(PATIENCE):
            while not holds():
                await self._changed.wait()
        assert holds(), self.events

    async def bytes(self, expected: bytes) -> None:
        await self.until(lambda: expected in self.heard)

    async def pipe_closed(self) -> None:
        await self.until(lambda: PipeClosed() in self.events)

    async def exit_code(self) -> int:
        await self.until(lambda: any(isinstance(event, Exited) for event in self.events))
        last = self.events[-1]
        assert isinstance(last, Exited), "something was delivered after the exit"
        return last.code


@dataclass
class Subject:
    """One vassal that was spawned."""

    process: Process
    ear: Ear

    @property
    def pid(self) -> int:
        return self.process.pid


@dataclass
class Court:
    """A running spawner with a folder of vassals, and the report that they write."""

    spawner: SystemSpawner
    folder: Path
    report: Report

    def spec(self, name: str = "one.ini", owner: Owner | None = ALICE, **settings: Setting) -> VassalSpec:
        """A vassal whose config file says these keys of the test vassal."""
        (self.folder / name).write_text(vassal_config({"report": self.report.path, **settings}))
        return VassalSpec(name, 1, owner=owner, directory=str(self.folder))

    def sent(self, name: str = "one.ini", owner: Owner | None = ALICE, **settings: Setting) -> VassalSpec:
        """A vassal whose config goes over the pipe."""
        text = vassal_config({"report": self.report.path, **settings})
        return VassalSpec(name, 1, config=text.encode(), owner=owner, directory=str(self.folder))

    def spawn(self, spec: VassalSpec, *, ordinal: int = 0, zergs: int = 0, listener: Listener | None = None) -> Subject:
        ear = Ear()
        vassal = VassalId("dir://court", spec.name, ordinal)
        return Subject(self.spawner.spawn(vassal, spec, zergs, listener, ear), ear)

    async def start(self, spec: VassalSpec, **more: Any) -> dict[str, Any]:
        """Spawn, wait until it is ready, and return what it reported about its birth."""
        subject = self.spawn(spec, **more)
        await subject.ear.bytes(b"\1")
        (start,) = self.report.of("start", pid=subject.pid)
        return start


def policy_for(folder: Path, binary: Path | str | None, **changes: Any) -> LaunchPolicy:
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    fields: dict[str, Any] = {"environment": environment, "directory": str(folder), "binary": str(binary)}
    if binary is None:
        fields["binary"] = None
    return LaunchPolicy(**(fields | changes))


def environment_of(start: Mapping[str, Any]) -> dict[str, str]:
    return dict(entry.split("=", 1) for entry in start["env"])


def descriptors() -> set[int]:
    """All descriptors of this process that are open now."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        if os.path.exists(f"/proc/self/fd/{name}") or os.path.islink(f"/proc/self/fd/{name}"):
            found.add(int(name))
    return found
