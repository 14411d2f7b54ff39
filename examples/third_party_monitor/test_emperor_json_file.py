"""``json-file://`` passes the suite that every monitor of emperor-trio passes."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from emperor_json_file import JsonFileMonitor

from emperor_trio import MonitorContext
from emperor_trio.events import Event, VassalRefused
from emperor_trio.ports import Doorbell
from emperor_trio.testing.conformance import MonitorConformance, Source, watching


class JsonFile:
    """The source, seen from the side of whoever changes it. Its outage is a file that is away."""

    patience = 10.0
    outage = 0.3

    def __init__(self, path: Path) -> None:
        self._path = self._now = path
        self._numbers = itertools.count()
        path.write_text("{}")

    def make_monitor(self, publish: Callable[[Event], None], doorbell: Doorbell) -> JsonFileMonitor:
        return JsonFileMonitor(MonitorContext("json-file://x", str(self._path), publish, doorbell, frequency=0.02))

    def name(self, entry: str) -> str:
        return entry

    async def add(self, entry: str) -> None:
        self.put(entry, f"[uwsgi]\nnumber = {next(self._numbers)}\n")

    change = add

    async def remove(self, entry: str) -> None:
        self._write({name: value for name, value in self._read().items() if name != entry})

    async def spoil(self, entry: str) -> None:
        self.put(entry, 5)

    async def break_down(self) -> None:
        self._now = self._path.with_name("away.json")
        self._path.rename(self._now)

    async def heal(self) -> None:
        self._now.rename(self._path)
        self._now = self._path

    def put(self, entry: str, value: object) -> None:
        self._write(self._read() | {entry: value})

    def _read(self) -> dict[str, object]:
        entries: dict[str, object] = json.loads(self._now.read_text())
        return entries

    def _write(self, entries: dict[str, object]) -> None:
        draft = self._now.with_name("draft")
        draft.write_text(json.dumps(entries))
        os.replace(draft, self._now)


class TestJsonFile(MonitorConformance):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        return JsonFile(tmp_path / "vassals.json")


async def test_an_entry_that_turns_wrong_is_said_once_and_stops_nothing(tmp_path: Path) -> None:
    source = JsonFile(tmp_path / "vassals.json")
    source.put("a.ini", "[uwsgi]\n")
    async with watching(source) as watched:
        await watched.until_there("a.ini")
        source.put("a.ini", {"config": ""})
        said = len(watched.observations)
        await watched.until(lambda: len(watched.observations) > said + 5)
        assert watched.names == {"a.ini"}
        assert [type(event) for event in watched.events] == [VassalRefused]
