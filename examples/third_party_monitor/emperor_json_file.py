"""``json-file:///etc/vassals.json``: one JSON file holds all vassals, each a config or an object with owner and socket.

::

    {
      "blog.ini": "[uwsgi]\\nhttp-socket = 127.0.0.1:8001\\n",
      "shop.ini": {"config": "[uwsgi]\\n", "uid": 1000, "gid": 1000, "socket": "127.0.0.1:8002"}
    }
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import trio

from emperor_trio import MonitorContext, MonitorError, Owner, Snapshot, UsageError, VassalSpec
from emperor_trio.events import VassalRefused
from emperor_trio.model import MAX_CONFIG, config_option
from emperor_trio.ports import Emit


class BadEntry(Exception):
    """``args`` are the field, its value and the reason."""


class JsonFileMonitor:
    """Looks at the file every ``--emperor-freq`` seconds, and when it is asked to."""

    def __init__(self, context: MonitorContext) -> None:
        if not context.argument:
            raise UsageError(f"--emperor {context.name}: names no file; say json-file:///path/to/vassals.json")
        self._context = context
        self._path = Path(context.argument)
        self._thread = trio.CapacityLimiter(1)
        self._specs: dict[str, VassalSpec] = {}
        self._refused: dict[str, VassalRefused] = {}

    async def run(self, emit: Emit) -> None:
        """Tell all that is there, again and again. Raises MonitorError where the file can't be read."""
        while True:
            entries, modified = await trio.to_thread.run_sync(self._read, limiter=self._thread)
            await emit(Snapshot(self._judge(entries, modified)))
            with trio.move_on_after(self._context.frequency):
                await self._context.doorbell.wait()

    def _read(self) -> tuple[dict[str, Any], int]:
        """The file's entries and its time. A file that is missing or half written is an outage, and empties nothing."""
        try:
            with self._path.open(encoding="utf-8") as file:
                entries, modified = json.load(file), int(self._path.stat().st_mtime)
        except (OSError, ValueError, RecursionError) as error:
            raise MonitorError(f"{self._path}: {error}") from error
        if not isinstance(entries, dict):
            raise MonitorError(f"{self._path}: holds {type(entries).__name__}, but it must be an object of vassals")
        return entries, modified

    def _judge(self, entries: dict[str, Any], modified: int) -> tuple[VassalSpec, ...]:
        """The vassals. One that is wrong is said once; a process that runs for it goes on with what was right."""
        specs: dict[str, VassalSpec] = {}
        refused: dict[str, VassalRefused] = {}
        for name, entry in entries.items():
            try:
                specs[name] = self._read_entry(name, entry, modified)
            except BadEntry as bad:
                field, value, reason = bad.args
                refused[name] = VassalRefused(self._context.name, name, field, repr(value)[:80], reason)
                if refused[name] != self._refused.get(name):
                    self._context.publish(refused[name])
                if name in self._specs:
                    specs[name] = self._specs[name]
        self._specs, self._refused = specs, refused
        return tuple(specs.values())

    def _read_entry(self, name: str, entry: Any, modified: int) -> VassalSpec:
        if config_option(name, self._context.extra_extensions) is None:
            raise BadEntry("name", name, "its ending is no config's")
        if isinstance(entry, str):
            entry = {"config": entry}
        if not isinstance(entry, dict):
            raise BadEntry("entry", entry, "is neither a config nor an object")
        config, socket = entry.get("config"), entry.get("socket")
        if not isinstance(config, str) or not config.strip() or len(config.encode()) > MAX_CONFIG:
            raise BadEntry("config", config, f"must be a text of up to {MAX_CONFIG:,} bytes")
        if socket is not None and not isinstance(socket, str):
            raise BadEntry("socket", socket, "must be a text")
        owner = Owner(_number(entry, "uid"), _number(entry, "gid")) if self._context.tyrant else None
        digest = hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).digest()
        return VassalSpec(
            name=name,
            version=int.from_bytes(digest[:8]),
            modified=modified,
            config=config.encode(),
            owner=owner,
            socket=socket or None,
        )


def _number(entry: dict[str, Any], field: str) -> int:
    value = entry.get(field)
    if type(value) is not int or value < 0:
        raise BadEntry(field, value, "Tyrant mode needs the number of a user and of a group")
    return value
