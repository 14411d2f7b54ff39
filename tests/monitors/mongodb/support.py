"""Vassals in a collection of a private server, and monitors over it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import trio
from pymongo.errors import AutoReconnect

from emperor_trio.errors import MonitorError
from emperor_trio.events import Event
from emperor_trio.masking import masked
from emperor_trio.monitors import find_monitor
from emperor_trio.ports import Doorbell, Monitor, MonitorContext
from emperor_trio.testing.conformance import Watched, watching
from tests.monitors.support import PATIENCE
from tests.support.servers.mongodb import MongoServer

CONFIG = "[uwsgi]\nmaster = true\n"
FREQUENCY = 0.2
IMPATIENT = "connectTimeoutMS=500&serverSelectionTimeoutMS=500&heartbeatFrequencyMS=500"
"""Options with which an outage shows sooner than it does by itself."""

_names = (f"emperor{number}.vassals" for number in itertools.count())
_times = (datetime(2024, 5, 1, tzinfo=UTC) + timedelta(milliseconds=number) for number in itertools.count())


def now() -> datetime:
    """A time a millisecond after the one before."""
    return next(_times)


def document(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "config": CONFIG, "ts": now(), **fields}


def again(write: Callable[[], object]) -> None:
    """Write, and once more where the server was restarted since the last time."""
    try:
        write()
    except AutoReconnect:
        write()


def make_monitor(
    text: str, publish: Callable[[Event], None], doorbell: Doorbell, frequency: float = FREQUENCY, **options: Any
) -> Monitor:
    """The monitor of any argument, scheme included; as in the emperor, its name is the argument without passwords."""
    found = find_monitor(text)
    context = MonitorContext(masked(text), found.argument, publish, doorbell, frequency=frequency, **options)
    return found.factory(context)


@dataclass
class Vassals:
    """A collection, empty at first; also a :class:`~emperor_trio.testing.conformance.Source` with documents in it.

    What is written while the server is down is written when it is up again. ``port`` may be a proxy's. With ``options``
    the monitor's argument is a connection string. What is ``kept`` is not dropped at the end.
    """

    server: MongoServer
    namespace: str = field(default_factory=lambda: next(_names))
    filter: str = ""
    options: str = ""
    port: int = 0
    frequency: float = FREQUENCY
    patience: float = PATIENCE
    outage: float = 1.0
    kept: bool = False
    later: list[Callable[[], object]] = field(default_factory=list)

    def __enter__(self) -> Vassals:
        # No more connections than these, so that tests can count descriptors.
        self.client = self.server.client(serverMonitoringMode="poll")
        database, _, name = self.namespace.partition(".")
        self.collection = self.client[database][name]
        again(lambda: self.collection.delete_many({}))
        return self

    def __exit__(self, *_: object) -> None:
        if self.kept:
            self.client.close()
            return
        if self.server.process is None:
            self.server.start()
        self.server.thaw()
        try:
            again(lambda: self.client.drop_database(self.collection.database.name))
        finally:
            self.client.close()

    @property
    def argument(self) -> str:
        address = f"127.0.0.1:{self.port or self.server.port}"
        if self.options:
            return f"{address}/{self.namespace}?directConnection=true&{self.options};{self.filter}"
        return f"{address},{self.namespace},{self.filter}"

    def put(self, name: str, **fields: Any) -> None:
        """Add a vassal, or replace it."""
        again(lambda: self.collection.replace_one({"name": name}, document(name, **fields), upsert=True))

    def make_monitor(self, publish: Callable[[Event], None], doorbell: Doorbell, **options: Any) -> Monitor:
        return make_monitor(f"mongodb://{self.argument}", publish, doorbell, self.frequency, **options)

    # --- as a source of the conformance suite ---

    def name(self, entry: str) -> str:
        return entry

    async def add(self, entry: str) -> None:
        await self._write(lambda: self.put(entry))

    async def change(self, entry: str) -> None:
        await self._write(lambda: self.collection.update_one({"name": entry}, {"$set": {"ts": now()}}))

    async def remove(self, entry: str) -> None:
        await self._write(lambda: self.collection.delete_one({"name": entry}))

    async def spoil(self, entry: str) -> None:
        documents: list[dict[str, Any]] = [
            {"name": entry, "config": CONFIG, "ts": "yesterday"},
            {"name": f"../{entry}", "config": 5, "ts": now()},
            {"name": f"2-{entry}", "config": "x" * 70_000, "ts": now()},
            {"name": 5, "config": CONFIG, "ts": now()},
            {"config": CONFIG, "ts": now()},
            {},
        ]
        await self._write(lambda: self.collection.insert_many(documents))

    async def break_down(self) -> None:
        await trio.to_thread.run_sync(self.server.kill)

    async def heal(self) -> None:
        await trio.to_thread.run_sync(self.server.start)
        while self.later:
            await self._write(self.later.pop(0))

    async def _write(self, write: Callable[[], object]) -> None:
        if self.server.process is None:
            self.later.append(write)
        else:
            await trio.to_thread.run_sync(write)


@asynccontextmanager
async def watching_argument(argument: str, frequency: float = FREQUENCY, **options: Any) -> AsyncIterator[Watched]:
    """A monitor of any argument, scheme included, that is run again where it fails."""

    @dataclass
    class Source:
        patience: float = PATIENCE
        outage: float = 0.0

        def make_monitor(self, publish: Callable[[Event], None], doorbell: Doorbell) -> Monitor:
            return make_monitor(argument, publish, doorbell, frequency, **options)

    async with watching(Source()) as watched:  # type: ignore[arg-type]
        yield watched


async def until_failed(watched: Watched, times: int = 1, within: float = PATIENCE) -> str:
    """Wait until the monitor failed so often: what it said then."""
    with trio.move_on_after(within):
        while len(watched.failures) < times:
            await trio.sleep(0.02)
    assert len(watched.failures) >= times, f"no failure within {within:g} s"
    assert all(isinstance(failure, MonitorError) for failure in watched.failures), watched.failures
    return str(watched.failures[times - 1])
