"""A server that means ill: it lists what can be no child, fires watches that nobody set, and answers what it likes."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest
import trio

from emperor_trio.errors import MonitorError
from emperor_trio.events import VassalRefused
from emperor_trio.monitors import _zoo_session
from emperor_trio.testing.conformance import Watched
from tests.monitors.zoo.support import CONFIG, make_monitor, watching_znodes

WELCOME = struct.pack("!iiq", 0, 10_000, 5) + struct.pack("!i", 16) + bytes(17)
STAT = struct.pack("!qqqqiiiqiiq", 3, 7, 1000, 2000, 1, 0, 0, 0, 5, 0, 3)
NO_NODE = -101

SYNC, PING, GET_CHILDREN, GET_DATA, EXISTS, GOODBYE = 9, 11, 8, 4, 3, -11


def text(value: bytes | None) -> bytes:
    return struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value


@dataclass
class Hostile:
    """A server of our own. ``answer`` gives error and body for the kind of a request, None to say nothing at all."""

    port: int
    children: list[bytes | None] = field(default_factory=list)
    answer: Callable[[int], tuple[int, bytes] | None] = lambda kind: None
    shift: int = 0
    asked: list[int] = field(default_factory=list)
    streams: list[trio.SocketStream] = field(default_factory=list)
    turn: trio.Lock = field(default_factory=trio.Lock)

    def usual(self, kind: int) -> tuple[int, bytes]:
        listed = struct.pack("!i", len(self.children)) + b"".join(map(text, self.children))
        return 0, {SYNC: text(b"/x"), GET_CHILDREN: listed, GET_DATA: text(CONFIG) + STAT, EXISTS: STAT}[kind]

    async def fire(self, kind: int, path: bytes) -> None:
        await self.send(self.streams[-1], struct.pack("!iqiii", -1, -1, 0, kind, 3) + text(path))

    async def send(self, stream: trio.SocketStream, payload: bytes) -> None:
        async with self.turn:
            await stream.send_all(struct.pack("!i", len(payload)) + payload)

    async def serve(self, stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):  # the monitor hung up
            await self.converse(stream)

    async def converse(self, stream: trio.SocketStream) -> None:
        held = bytearray()
        greeted = False
        self.streams.append(stream)
        async for data in stream:
            held += data
            while len(held) >= 4 and len(held) >= (end := 4 + struct.unpack_from("!i", held)[0]):
                request = bytes(held[4:end])
                del held[:end]
                if not greeted:
                    greeted = True
                    await self.send(stream, WELCOME)
                    continue
                number, kind = struct.unpack_from("!ii", request)
                self.asked.append(kind)
                if kind == GOODBYE:
                    return
                if kind == PING:
                    await self.send(stream, struct.pack("!iqi", -2, 0, 0))
                elif (said := self.answer(kind)) is not None:
                    await self.send(stream, struct.pack("!iqi", number + self.shift, 0, said[0]) + said[1])


@asynccontextmanager
async def hostile() -> AsyncIterator[Hostile]:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    server = Hostile(listener.socket.getsockname()[1])
    server.answer = server.usual
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, server.serve, [listener])
        yield server
        nursery.cancel_scope.cancel()


async def fail(server: Hostile) -> str:
    """The error with which a monitor of the server ends."""
    watched = Watched(20)
    with pytest.raises(MonitorError) as caught:
        await make_monitor(f"127.0.0.1:{server.port}/x", watched.publish, watched.bell).run(watched.emit)
    assert "\n" not in str(caught.value)
    assert not watched.observations
    return str(caught.value)


async def test_names_that_no_child_can_have() -> None:
    async with hostile() as server:
        server.children = [
            b"a.ini",
            b"a.ini",
            b"../up.ini",
            b"/etc/b.ini",
            b"",
            None,
            b"nul\0.ini",
            b"x" * 300 + b".ini",
        ]
        async with watching_znodes(f"127.0.0.1:{server.port}/x") as watched:
            await watched.until_there("a.ini")
            assert [(event.name, event.field) for event in watched.events if isinstance(event, VassalRefused)] == [
                ("nul\0.ini", "name")
            ]
            assert not watched.failures


async def test_watches_that_nobody_set() -> None:
    async with hostile() as server:
        server.children = [b"a.ini"]
        async with watching_znodes(f"127.0.0.1:{server.port}/x") as watched:
            await watched.until_there("a.ini")
            for number in range(3000):
                await server.fire(
                    number % 7 - 1, [b"/x/a.ini", b"/x/b%d.ini" % number, b"/", b"", b"/x/../a.ini"][number % 5]
                )
            server.children.append(b"c.ini")
            await server.fire(4, b"/x")
            await watched.until_there("a.ini", "c.ini")
            assert not watched.failures


async def test_what_is_listed_and_is_not_there_keeps_nobody_busy() -> None:
    async with hostile() as server:
        server.children = [b"a.ini"]
        server.answer = lambda kind: (NO_NODE, b"") if kind == GET_DATA else server.usual(kind)
        async with watching_znodes(f"127.0.0.1:{server.port}/x") as watched:
            await watched.until_there()
            before = len(server.asked)
            await trio.sleep(0.5)
            assert len(server.asked) - before < 2000
            server.answer = server.usual
            await watched.until_there("a.ini")


async def test_an_answer_to_something_else() -> None:
    async with hostile() as server:
        server.shift = 1
        assert "an answer to nothing that was asked" in await fail(server)


@pytest.mark.parametrize("kind", [GET_CHILDREN, GET_DATA])
async def test_an_answer_that_is_too_short(kind: int) -> None:
    async with hostile() as server:
        server.children = [b"a.ini"]
        server.answer = lambda asked: (0, b"\0\0\0\7") if asked == kind else server.usual(asked)
        assert "does not speak as ZooKeeper does" in await fail(server)


@pytest.mark.parametrize("code", [-4, -112, -127, -9999, 5])
async def test_an_error_that_nobody_expects(code: int) -> None:
    async with hostile() as server:
        server.answer = lambda kind: (code, b"") if kind == GET_CHILDREN else server.usual(kind)
        assert "/x can't be read" in await fail(server)


async def test_a_server_that_answers_pings_alone_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_zoo_session, "ANSWER_LIMIT", 1.0)
    async with hostile() as server:
        server.answer = lambda kind: None
        assert "has not answered for 1 s what it was asked" in await fail(server)
