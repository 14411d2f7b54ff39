"""What the tests of amqp:// share: a publisher, a memory, and sources of the three kinds of message."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pika  # type: ignore[import-untyped]
import pika.exceptions  # type: ignore[import-untyped]
import trio

from emperor_trio.errors import MonitorError
from emperor_trio.events import Event
from emperor_trio.model import VassalSpec
from emperor_trio.ports import Doorbell, Emit, Kept, Monitor
from emperor_trio.testing.conformance import Watched, _keep
from tests.monitors.support import make_monitor, write
from tests.support.servers.http import Pages
from tests.support.servers.proxy import Proxy

EXCHANGE = "uwsgi.emperor"
PATIENCE = 20.0

_count = itertools.count(1)


def config_of(text: str = "") -> bytes:
    """A config that is like no other."""
    return f"[uwsgi]\nset = number={next(_count)}\n{text}".encode()


class Publisher:
    """Publishes on the exchange, and knows whether anybody listens."""

    def __init__(self, port: int, vhost: str = "/", user: str = "guest", password: str = "guest") -> None:
        credentials = pika.PlainCredentials(user, password)
        parameters = pika.ConnectionParameters("127.0.0.1", port, vhost, credentials, heartbeat=0)
        self.connection = pika.BlockingConnection(parameters)
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()

    def try_publish(self, key: str, body: bytes | str) -> bool:
        """Whether at least one queue got it."""
        try:
            self.channel.basic_publish(EXCHANGE, key, body, mandatory=True)
        except pika.exceptions.UnroutableError:
            return False
        except pika.exceptions.ChannelClosedByBroker:  # no such exchange yet
            self.channel = self.connection.channel()
            self.channel.confirm_delivery()
            return False
        return True

    async def publish(self, key: str, body: bytes | str) -> None:
        """Publish once somebody listens."""
        with trio.fail_after(PATIENCE):
            while not self.try_publish(key, body):
                await trio.sleep(0.01)

    def delete_exchange(self) -> None:
        self.channel.exchange_delete(EXCHANGE)

    def close(self) -> None:
        with suppress(pika.exceptions.AMQPError):
            self.connection.close()


@dataclass
class FakeMemory:
    """A :class:`~emperor_trio.ports.Memory` that outlives monitors; with ``trouble`` it can't keep anything."""

    kept: dict[str, Kept] = field(default_factory=dict)
    settled: dict[str, Kept] = field(default_factory=dict)
    trouble: str = ""

    async def recall(self) -> tuple[Kept, ...]:
        await trio.lowlevel.checkpoint()
        return tuple(self.kept.values())

    def keep(self, kept: Kept) -> None:
        self.kept[kept.spec.name] = kept

    def forget(self, name: str) -> None:
        self.kept.pop(name, None)

    async def settle(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.trouble:
            raise MonitorError(self.trouble)
        self.settled = dict(self.kept)


@asynccontextmanager
async def watching(port: int, *, argument: str = "", scheme: str = "amqp", **options: Any) -> AsyncIterator[Watched]:
    """A monitor that runs, again after each failure, at a broker on a port of 127.0.0.1."""
    watched = Watched(PATIENCE)
    options = {"frequency": 0.2} | options
    monitor = make_monitor(f"{scheme}://{argument or f'127.0.0.1:{port}'}", watched.publish, watched.bell, **options)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_keep, monitor, watched)
        yield watched
        nursery.cancel_scope.cancel()


async def eventually(holds: Callable[[], object], what: str) -> None:
    """Wait for something that is no observation and no event."""
    with trio.move_on_after(PATIENCE):
        while not holds():
            await trio.sleep(0.01)
    assert holds(), what


class AmqpSource:
    """A :class:`~emperor_trio.testing.conformance.Source` of messages that carry configs.

    AMQP keeps nothing. What is announced while no monitor runs is what an earlier emperor received and kept in its
    memory; what is announced in an outage is announced again after it, as its publisher has to.
    """

    patience = PATIENCE
    outage = 0.4

    def __init__(self, proxy: Proxy, publisher: Publisher) -> None:
        self.proxy = proxy
        self.publisher = publisher
        self.memory = FakeMemory()
        self.running = 0
        self.broken = False
        self.pending: list[tuple[str, bytes]] = []

    def make_monitor(self, publish: Callable[[Event], None], doorbell: Doorbell) -> Monitor:
        monitor = make_monitor(
            f"amqp://127.0.0.1:{self.proxy.port}", publish, doorbell, frequency=0.2, memory=self.memory
        )
        return _Noted(self, monitor)

    def name(self, entry: str) -> str:
        return entry

    async def add(self, entry: str) -> None:
        config = config_of()
        await self.announce(entry, config, Kept(VassalSpec(entry, next(_count), config=config)))

    async def change(self, entry: str) -> None:
        await self.add(entry)

    async def remove(self, entry: str) -> None:
        await self.announce(entry, b"", None)

    async def spoil(self, entry: str) -> None:
        await self.announce(entry, b"\xff\xfe[uwsgi]", None)
        await self.announce(entry, b"x" * 70_000, None)
        await self.announce("", b"\0", None)
        await self.announce("", b"/dev/zero.ini", None)
        await self.announce("no-config.txt", b"[uwsgi]", None)

    async def break_down(self) -> None:
        self.broken = True
        self.proxy.refuse = True
        self.proxy.reset_all()

    async def heal(self) -> None:
        self.broken = False
        self.proxy.refuse = False
        for key, body in self.pending:
            await self.publisher.publish(key, body)
        self.pending.clear()

    async def announce(self, key: str, body: bytes, kept: Kept | None) -> None:
        if self.broken:
            self.pending.append((key, body))
        elif self.running:
            await self.publisher.publish(key, body)
        elif kept is not None:
            self.memory.keep(kept)


class FileSource(AmqpSource):
    """Files that messages announce by their path. They are removed without a message."""

    def __init__(self, proxy: Proxy, publisher: Publisher, folder: Path) -> None:
        super().__init__(proxy, publisher)
        self.folder = folder

    def name(self, entry: str) -> str:
        return str(self.folder / entry)

    async def add(self, entry: str) -> None:
        path = write(self.folder / entry)
        await self.announce("", path.encode(), Kept(VassalSpec(path, 1), origin=path))

    async def remove(self, entry: str) -> None:
        (self.folder / entry).unlink()


class UrlSource(AmqpSource):
    """URLs that messages announce. They are removed by a message, for a server tells nobody that something is gone."""

    def __init__(self, proxy: Proxy, publisher: Publisher, pages: Pages) -> None:
        super().__init__(proxy, publisher)
        self.pages = pages

    def name(self, entry: str) -> str:
        return self.pages.url(f"/{entry}")

    async def add(self, entry: str) -> None:
        url, config = self.name(entry), config_of()
        self.pages.at[f"/{entry}"] = config
        kept = Kept(VassalSpec(url, next(_count), config=config), origin=url)
        await self.announce("", url.encode(), kept)

    async def remove(self, entry: str) -> None:
        del self.pages.at[f"/{entry}"]
        await self.announce("", self.name(entry).encode(), None)


class _Noted:
    """A monitor whose source knows whether it runs."""

    def __init__(self, source: AmqpSource, monitor: Monitor) -> None:
        self.source = source
        self.monitor = monitor

    async def run(self, emit: Emit) -> None:
        self.source.running += 1
        try:
            await self.monitor.run(emit)
        finally:
            self.source.running -= 1


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """An authority (``ca.pem``), and a certificate of it with its key, for localhost and 127.0.0.1."""
    key = ["-newkey", "rsa:2048", "-nodes"]
    (folder / "names").write_text("subjectAltName = DNS:localhost, IP:127.0.0.1\n")
    for command in (
        ["req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Authority", "-days", "2",
         "-addext", "keyUsage = critical, keyCertSign"],
        ["req", *key, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=localhost"],
        ["x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out",
         "chain.pem", "-days", "2", "-extfile", "names"],
    ):  # fmt: skip
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
    (folder / "key.pem").chmod(0o644)
    return folder / "chain.pem", folder / "key.pem"
