"""Clients of the control channel and the gateway, good and bad, each crowd in a process of its own.

They speak over bare sockets, so that they cost the machine little beside the emperor. Those of one process share one
loop; a connection that the emperor ends is made anew, as an attacker would.
"""

from __future__ import annotations

import base64
import json
import os
import selectors
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

Address = str | tuple[str, int]
"""Where an emperor listens: the path of its control socket, or host and port of its gateway."""

CHUNK = 1 << 18
PATIENCE = 60.0

UPGRADE = (
    "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()

Step = Callable[[socket.socket], bool]
"""What a client does when its socket can be read; False where it is done with this connection."""


def dial(address: Address) -> socket.socket:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    deadline = time.monotonic() + PATIENCE
    while True:
        client = socket.socket(family)
        client.settimeout(PATIENCE)
        try:
            client.connect(address)
        except BlockingIOError:  # of a unix socket: too many wait to be accepted
            client.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return client


def message(text: str) -> bytes:
    """A text frame of a client, with a mask of zeroes."""
    payload = text.encode()
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
    return b"\x81" + size + bytes(4) + payload


def open_channel(address: Address) -> socket.socket:
    """Connected, and greeted."""
    client = dial(address)
    client.sendall(UPGRADE)
    seen = b""
    while b'"greeting"' not in seen:
        got = client.recv(CHUNK)
        if not got:
            raise ConnectionError(f"turned away: {seen!r}")
        seen += got
    return client


class Watcher:
    """One client that follows some vassals; all that it is told, as it comes."""

    def __init__(self, address: Address, names: Sequence[str]) -> None:
        self._client = open_channel(address)
        which = {"names": list(names), "exact": True}
        self._client.sendall(message(json.dumps({"type": "subscribe", "id": 1, "which": which, "events": False})))
        self._unread = bytearray()

    def reloaded(self, name: str, since: float) -> float:
        """When it is told that the vassal was made ready, by a reload, after ``since`` (seconds since the epoch)."""
        while True:
            told = self._next()
            for row in told.get("vassals", ()):
                if row["name"] == name and row["last_ready"] >= since and row["state"] == "up":
                    return time.time()

    def close(self) -> None:
        self._client.close()

    def _next(self) -> dict[str, Any]:
        """The next message. They come whole, without a mask."""
        size, start = self._need(2)[1], 2
        if size >= 126:
            start = 4 if size == 126 else 10
            size = int.from_bytes(self._need(start)[2:start], "big")
        text = bytes(self._need(start + size)[start : start + size])
        del self._unread[: start + size]
        told: dict[str, Any] = json.loads(text)
        return told

    def _need(self, count: int) -> bytearray:
        while len(self._unread) < count:
            got = self._client.recv(CHUNK)
            if not got:
                raise ConnectionError("the watcher was let go")
            self._unread += got
        return self._unread


# --- crowds: each runs in its process until it is ended --------------------------------------------------------------


def readers(address: Address, count: int, started: Event) -> None:
    """Follow everything, and read it as it comes."""
    subscribe = message(json.dumps({"type": "subscribe", "id": 1, "level": "debug"}))

    def begin() -> socket.socket:
        client = open_channel(address)
        client.sendall(subscribe)
        return client

    _crowd([begin] * count, lambda client: bool(client.recv(CHUNK)), started)


def deaf(address: Address, count: int, started: Event) -> None:
    """Follow everything, and read nothing of it."""
    subscribe = message(json.dumps({"type": "subscribe", "id": 1, "level": "debug"}))
    clients = []
    for _ in range(count):
        client = open_channel(address)
        client.sendall(subscribe)
        clients.append(client)
    started.set()
    time.sleep(3600)


def half_open(address: Address, count: int, started: Event) -> None:
    """Say the beginning of a request, and no more; where the emperor hangs up, begin again."""

    def begin() -> socket.socket:
        client = dial(address)
        client.sendall(b"GET /stats HTT")
        return client

    _crowd([begin] * count, lambda client: bool(client.recv(CHUNK)), started)


def huge(address: Address, count: int, started: Event) -> None:
    """Send messages without end, as fast as they are taken."""

    def begin() -> socket.socket:
        client = open_channel(address)
        with suppress(OSError):  # it will not read all of it
            client.sendall(b"\x81\xff" + (1 << 40).to_bytes(8, "big") + bytes(4) + b"x" * (1 << 24))
        return client

    _crowd([begin] * count, lambda client: bool(client.recv(CHUNK)), started)


def askers(address: Address, count: int, started: Event) -> None:
    """Ask for everything; when it has come, again."""
    look = message('{"type":"look","id":1}')

    def begin() -> socket.socket:
        client = open_channel(address)
        client.sendall(look)
        return client

    def again(client: socket.socket) -> bool:
        got = client.recv(CHUNK)
        if b'"last":true' in got:
            client.sendall(look)
        return bool(got)

    _crowd([begin] * count, again, started)


def scrapers(address: Address, count: int, started: Event) -> None:
    """Fetch the metrics; when they have come, again."""

    def begin() -> socket.socket:
        client = dial(address)
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        return client

    _crowd([begin] * count, lambda client: bool(client.recv(CHUNK)), started)


def _crowd(clients: list[Callable[[], socket.socket]], step: Step, started: Event) -> None:
    with selectors.EpollSelector() as selector:
        for begin in clients:
            selector.register(begin(), selectors.EVENT_READ, begin)
        started.set()
        while True:
            for key, _ in selector.select():
                client = key.fileobj
                assert isinstance(client, socket.socket)
                on = False
                with suppress(OSError):
                    on = step(client)
                if not on:
                    selector.unregister(client)
                    client.close()
                    selector.register(_persistent(key.data), selectors.EVENT_READ, key.data)


def _persistent(begin: Callable[[], socket.socket]) -> socket.socket:
    while True:
        try:
            return begin()
        except OSError:
            time.sleep(0.01)


def storm(folder: Path, names: list[str], rate: float, started: Event) -> None:
    """Touch configs, one after the other, so many a second."""
    started.set()
    begun, tick, done = time.monotonic(), int(time.time()), 0
    while True:
        for _ in range(int((time.monotonic() - begun) * rate) - done):
            os.utime(folder / names[done % len(names)], (tick + done, tick + done))
            done += 1
        time.sleep(0.01)


@contextmanager
def gathered(crowd: Callable[..., None], *arguments: object) -> Iterator[None]:
    """A crowd while it lasts, all of it there."""
    context = get_context("spawn")
    started = context.Event()
    process = context.Process(target=crowd, args=(*arguments, started), daemon=True)
    process.start()
    try:
        deadline = time.monotonic() + PATIENCE
        while not started.wait(0.1):
            if not process.is_alive() or time.monotonic() > deadline:
                raise RuntimeError(f"the crowd of {crowd.__name__} does not gather")
        yield
    finally:
        process.kill()
        process.join()
