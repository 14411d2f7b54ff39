"""The conformance suite, over a port at which commands arrive through a proxy."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
import trio
import zmq

from emperor_trio.events import Event
from emperor_trio.model import VassalSpec
from emperor_trio.ports import Doorbell, Emit, Kept, Monitor
from emperor_trio.testing.conformance import MonitorConformance
from tests.monitors.support import PATIENCE, make_monitor
from tests.support.servers.common import free_port
from tests.support.servers.proxy import Proxy, proxy


@dataclass
class Notebook:
    """A state file without the file: what is kept here is there for the next monitor."""

    kept: dict[str, Kept] = field(default_factory=dict)

    async def recall(self) -> tuple[Kept, ...]:
        await trio.lowlevel.checkpoint()
        return tuple(self.kept.values())

    def keep(self, kept: Kept) -> None:
        self.kept[kept.spec.name] = kept

    def forget(self, name: str) -> None:
        self.kept.pop(name, None)

    async def settle(self) -> None:
        await trio.lowlevel.checkpoint()


@dataclass
class Counted:
    """A monitor that says whether it runs."""

    monitor: Monitor
    source: ZmqSource

    async def run(self, emit: Emit) -> None:
        self.source.running += 1
        try:
            await self.monitor.run(emit)
        finally:
            self.source.running -= 1
            self.source.connect()  # what is sent to a monitor that has just gone is lost, as ever with ZeroMQ


@dataclass
class ZmqSource:
    """Whoever sends commands. What is added while no emperor runs was heard by an earlier one with this state file.

    An outage is a network that is cut, or, before the start, a port that someone else has.
    """

    port: int
    middle: Proxy
    library: zmq.Context[zmq.Socket[bytes]]
    memory: Notebook = field(default_factory=Notebook)
    running: int = 0
    patience: float = PATIENCE
    outage: float = 0.5
    _squatter: socket.socket | None = None
    _count: int = 0

    def __post_init__(self) -> None:
        self.push = self.library.socket(zmq.PUSH)
        self.connect()

    def connect(self) -> None:
        self.push.close(linger=0)
        self.push = self.library.socket(zmq.PUSH)
        self.push.sndhwm = 0
        self.push.set(zmq.RECONNECT_IVL, 10)
        self.push.connect(f"tcp://127.0.0.1:{self.middle.port}")

    def make_monitor(self, publish: Callable[[Event], None], doorbell: Doorbell) -> Monitor:
        monitor = make_monitor(f"zmq://tcp://127.0.0.1:{self.port}", publish, doorbell, memory=self.memory)
        return Counted(monitor, self)

    def name(self, entry: str) -> str:
        return entry

    async def add(self, entry: str) -> None:
        if self.running or self._squatter:
            self._count += 1
            self._send(b"touch", entry.encode(), b"[uwsgi]\n# %d\n" % self._count)
        else:
            self.memory.keep(Kept(VassalSpec(entry, time.time_ns(), config=b"[uwsgi]\n")))

    change = add

    async def remove(self, entry: str) -> None:
        self._send(b"destroy", entry.encode())

    async def spoil(self, entry: str) -> None:
        self._send(b"touch", entry.encode(), b"x" * 65_536)
        self._send(b"touch", entry.encode())
        self._send(entry.encode())

    async def break_down(self) -> None:
        if self.running:
            self.middle.refuse = True
            self.middle.reset_all()
        else:
            self._squatter = socket.create_server(("127.0.0.1", self.port))

    async def heal(self) -> None:
        self.middle.refuse = False
        if self._squatter is not None:
            self._squatter.close()

    def _send(self, *frames: bytes) -> None:
        self.push.send_multipart(frames)


class TestConformance(MonitorConformance):
    @pytest.fixture
    def source(self) -> Iterator[ZmqSource]:
        port = free_port()
        with proxy(port) as middle, zmq.Context() as library:
            yield ZmqSource(port, middle, library)
            library.destroy(linger=0)
