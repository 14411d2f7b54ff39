"""What tests of ``pg://`` share: a table of vassals in a real server, and monitors that watch it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
import trio

from emperor_trio.events import Event, MonitorFailed
from emperor_trio.masking import masked
from emperor_trio.monitors.pg import PgMonitor
from emperor_trio.ports import Doorbell, MonitorContext
from emperor_trio.testing.conformance import Watched
from tests.support.servers.postgres import Postgres

PATIENCE = 20.0
PAUSE = 0.25
"""Seconds between a failure of a monitor and its next run, as under an emperor."""


class Table:
    """One table of the server, with a time, a uid, a gid and a socket; written over a connection of its own."""

    def __init__(self, server: Postgres, name: str) -> None:
        self.server = server
        self.name = name
        self._clock = itertools.count(1_700_000_000)
        self._connection: psycopg.Connection[Any] | None = None
        self.create()

    def create(self) -> None:
        self.sql(
            f"CREATE TABLE {self.name}"
            " (name text, config text, ts timestamptz, uid int, gid int, socket text, enabled bool DEFAULT true)"
        )

    def drop(self) -> None:
        self.sql(f"DROP TABLE IF EXISTS {self.name}")
        self.disconnect()

    def disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Carry out a statement; a server that was restarted is connected to anew."""
        if self._connection is not None and self._is_gone(self._connection):
            self.disconnect()
        if self._connection is None:
            self._connection = psycopg.connect(self.server.dsn, autocommit=True, prepare_threshold=None)
        cursor = self._connection.execute(statement.encode(), values or None)
        return cursor.fetchall() if cursor.description else []

    def _is_gone(self, connection: psycopg.Connection[Any]) -> bool:
        try:
            connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return True
        return False

    def put(self, name: str | None, config: str | None = "[uwsgi]\n", **fields: object) -> None:
        """Insert a row, or replace those of that name at once, with a time that no other has."""
        row = {"name": name, "config": config, "ts": datetime.fromtimestamp(next(self._clock), UTC), **fields}
        self.sql(
            f"WITH gone AS (DELETE FROM {self.name} WHERE name = %s)"
            f" INSERT INTO {self.name} ({','.join(row)}) VALUES ({','.join(['%s'] * len(row))})",
            name,
            *row.values(),
        )

    def remove(self, name: str | None) -> None:
        self.sql(f"DELETE FROM {self.name} WHERE name = %s", name)

    def notify(self) -> None:
        self.sql(f"NOTIFY {self.name}")

    def query(self, columns: str = "name,config,ts") -> str:
        return f"SELECT {columns} FROM {self.name} WHERE enabled"

    def argument(self, columns: str = "name,config,ts", *, port: int = 0, more: str = "") -> str:
        """A ``CONNINFO;QUERY`` over this table, through another ``port`` where one is given."""
        conninfo = f"host=127.0.0.1 port={port or self.server.port} user=postgres dbname=postgres"
        return f"{conninfo} {more};{self.query(columns)}"


def make_monitor(
    argument: str, publish: Callable[[Event], None], doorbell: Doorbell, frequency: float = 60.0, **options: Any
) -> PgMonitor:
    name = masked(f"pg://{argument}")
    return PgMonitor(MonitorContext(name, argument, publish, doorbell, frequency=frequency, **options))


@asynccontextmanager
async def watching_rows(argument: str, **options: Any) -> AsyncIterator[Watched]:
    """A monitor that runs, and runs again after a failure, as under an emperor."""
    watched = Watched(PATIENCE)
    monitor = make_monitor(argument, watched.publish, watched.bell, **options)

    async def keep() -> None:
        while True:
            try:
                await monitor.run(watched.emit)
            except Exception as error:
                watched.failures.append(error)
                watched.publish(MonitorFailed(masked(f"pg://{argument}"), str(error), PAUSE))
            await trio.sleep(PAUSE)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep)
        yield watched
        nursery.cancel_scope.cancel()


@dataclass
class TableSource:
    """A :class:`~emperor_trio.testing.conformance.Source` of rows; its outage is the server's own end."""

    table: Table
    more: str = ""
    frequency: float = 0.1
    patience: float = PATIENCE
    outage: float = 0.6
    _pending: list[tuple[str, str]] = field(default_factory=list)
    _down: bool = False

    def make_monitor(self, publish: Callable[[Event], None], doorbell: Doorbell) -> PgMonitor:
        return make_monitor(self.table.argument(more=self.more), publish, doorbell, self.frequency)

    def name(self, entry: str) -> str:
        return entry

    async def add(self, entry: str) -> None:
        await self._write("put", entry)

    async def change(self, entry: str) -> None:
        await self._write("put", entry)

    async def remove(self, entry: str) -> None:
        await self._write("remove", entry)

    async def spoil(self, entry: str) -> None:
        self.table.put(entry, None)
        self.table.put(f"ts-{entry}", ts=None)
        self.table.put(f"no-config-{entry}.txt")
        self.table.put(None)
        self._tell()

    async def break_down(self) -> None:
        self._down = True
        await trio.to_thread.run_sync(self.table.server.kill)

    async def heal(self) -> None:
        await trio.to_thread.run_sync(self.table.server.start)
        self._down = False
        for what, entry in self._pending:
            await self._write(what, entry)
        self._pending.clear()

    async def _write(self, what: str, entry: str) -> None:
        """A server that is down is written to as soon as it is back."""
        if self._down:
            self._pending.append((what, entry))
            return
        await trio.to_thread.run_sync(getattr(self.table, what), entry)
        self._tell()

    def _tell(self) -> None:
        if "listen=" in self.more:
            self.table.notify()
