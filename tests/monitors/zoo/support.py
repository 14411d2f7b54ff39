"""What tests of ``zoo://`` share: a parent znode in a real server, and monitors that watch it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trio
from kazoo.client import KazooClient  # type: ignore[import-untyped]
from kazoo.exceptions import NodeExistsError  # type: ignore[import-untyped]

from emperor_trio.events import Event
from emperor_trio.masking import masked
from emperor_trio.monitors.zoo import ZooMonitor
from emperor_trio.ports import Doorbell, MonitorContext
from emperor_trio.testing.conformance import Watched
from tests.support.servers.zookeeper import ZooKeeper

PATIENCE = 20.0

CONFIG = b"[uwsgi]\n"


class Znodes:
    """The children of ``path``, written through a client of kazoo's."""

    def __init__(self, server: ZooKeeper, path: str) -> None:
        self.server = server
        self.path = path
        self._client: KazooClient | None = None
        self.create_parent()

    @property
    def client(self) -> KazooClient:
        if self._client is None:
            self._client = self.server.connect()
        return self._client

    def close(self) -> None:
        if self._client is not None:
            self._client.stop()
            self._client.close()
            self._client = None

    def create_parent(self) -> None:
        self.client.ensure_path(self.path)

    def put(self, name: str, data: bytes = CONFIG, acl: Any = None) -> None:
        """Create a child, or set its data anew."""
        try:
            self.client.create(f"{self.path}/{name}", data, acl=acl)
        except NodeExistsError:
            self.client.set(f"{self.path}/{name}", data)

    def put_many(self, names: list[str], data: bytes = CONFIG) -> None:
        for result in [self.client.create_async(f"{self.path}/{name}", data) for name in names]:
            result.get(timeout=60)

    def remove(self, name: str) -> None:
        self.client.delete(f"{self.path}/{name}")

    def remove_many(self, names: list[str]) -> None:
        for result in [self.client.delete_async(f"{self.path}/{name}") for name in names]:
            result.get(timeout=60)

    def argument(self, port: int = 0, login: str = "") -> str:
        """What watches these, through another ``port`` where one is given."""
        return f"{login and login + '@'}127.0.0.1:{port or self.server.port}{self.path}"


async def off_loop(work: Callable[..., object], *arguments: object) -> None:
    """Whoever changes znodes waits for the server; the monitor must not."""
    await trio.to_thread.run_sync(work, *arguments)


def make_monitor(
    argument: str, publish: Callable[[Event], None], doorbell: Doorbell, frequency: float = 60.0, **options: Any
) -> ZooMonitor:
    name = masked(f"zoo://{argument}")
    return ZooMonitor(MonitorContext(name, argument, publish, doorbell, frequency=frequency, **options))


@asynccontextmanager
async def watching_znodes(argument: str, **options: Any) -> AsyncIterator[Watched]:
    """A monitor that runs, and runs again after a failure, as under an emperor."""
    watched = Watched(PATIENCE)
    monitor = make_monitor(argument, watched.publish, watched.bell, **options)

    async def keep() -> None:
        while True:
            try:
                await monitor.run(watched.emit)
            except Exception as error:
                watched.failures.append(error)
                watched.reopen()  # whoever waits for a failure is woken
            await trio.sleep(0.25)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep)
        yield watched
        nursery.cancel_scope.cancel()


@dataclass
class ZnodeSource:
    """A :class:`~emperor_trio.testing.conformance.Source` of znodes; its outage is the server's own end."""

    znodes: Znodes
    patience: float = PATIENCE
    outage: float = 0.6
    _pending: list[tuple[str, str]] = field(default_factory=list)
    _down: bool = False

    def make_monitor(self, publish: Callable[[Event], None], doorbell: Doorbell) -> ZooMonitor:
        return make_monitor(self.znodes.argument(), publish, doorbell)

    def name(self, entry: str) -> str:
        return entry

    async def add(self, entry: str) -> None:
        await self._write("put", entry)

    async def change(self, entry: str) -> None:
        await self._write("put", entry)

    async def remove(self, entry: str) -> None:
        await self._write("remove", entry)

    async def spoil(self, entry: str) -> None:
        await off_loop(self.znodes.put, entry, b"\xff")
        await off_loop(self.znodes.put, f"envelope-{entry}", b'{"config": 5}')
        await off_loop(self.znodes.put, f"large-{entry}", b"x" * 1_000_000)
        await off_loop(self.znodes.put, f"{entry}.txt", b"")

    async def break_down(self) -> None:
        self._down = True
        self.znodes.close()
        await off_loop(self.znodes.server.kill)

    async def heal(self) -> None:
        await off_loop(self.znodes.server.start)
        self._down = False
        for what, entry in self._pending:
            await self._write(what, entry)
        self._pending.clear()

    async def _write(self, what: str, entry: str) -> None:
        """A server that is down is written to as soon as it is back."""
        if self._down:
            self._pending.append((what, entry))
        else:
            await off_loop(getattr(self.znodes, what), entry)
