"""One session with one server of a ZooKeeper ensemble, on Trio: no threads, and gone when its block is left.

A session that breaks is never resumed: the monitor opens another one and looks at everything again, so that nothing
depends on what a server remembers. What the bytes mean is :mod:`._zoo_wire`.
"""

from __future__ import annotations

import random
import socket
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import trio

from emperor_trio.errors import MonitorError
from emperor_trio.monitors import _zoo_wire as wire
from emperor_trio.monitors._plain import explain
from emperor_trio.monitors._wait import ANSWER_LIMIT, CONNECT_LIMIT, UNHEARD_LIMIT
from emperor_trio.monitors._zoo_address import ZooAddress

PING_EVERY = 2.0
"""Seconds. A cut network shows after these and :data:`UNHEARD_LIMIT`."""

STAGGER = 0.3
"""Seconds after which the next server is tried, too, while the one before does not answer."""

SHORTEST_SESSION = 1.0
"""Seconds. A server that grants less is not pinged for ever faster."""

GOODBYE_LIMIT = 0.2
"""Seconds for a goodbye, which spares the server a session that nobody will come back to."""

Fired = Callable[[int, str], None]
"""Hears of watches, by their kind and path, in the order of the server's answers."""


class Session:
    """``server`` is ``host:port``, for errors. Everything raises MonitorError where the session breaks."""

    def __init__(self, stream: trio.SocketStream, server: str, fired: Fired) -> None:
        self.server = server
        self._stream = stream
        self._fired = fired
        self._frames = wire.Frames()
        self._number = 0
        self._asked: deque[tuple[int, _Question, int]] = deque()
        self._turn = trio.Lock()
        self._half_sent = False
        self._silence = ANSWER_LIMIT
        self._progress = 0.0

    async def ask(self, requests: Sequence[Any]) -> list[Any]:
        """Send requests at once: their answers, in the same order, when all have come.

        What the server refuses is its ``ZookeeperError``, returned in the answer's place.
        """
        if not requests:
            return []
        question = _Question(requests)
        self._progress = trio.current_time()
        frames = []
        for place, request in enumerate(requests):
            number = self._next_number()
            self._asked.append((number, question, place))
            frames.append(wire.encode(request, number))
        await self._send(b"".join(frames))
        await question.answered.wait()
        return question.answers

    # --- the beginning and the end ---

    async def greet(self, login: str) -> None:
        """Begin the session. ``login`` is ``user:password``, "" for none."""
        with self._explained():
            await self._send(wire.encode_hello(ANSWER_LIMIT))
            welcome = wire.decode_welcome(await self._receive_one())
            if welcome.timeout <= 0:
                raise MonitorError(f"{self.server} refuses a session")
            self._silence = min(max(welcome.timeout, SHORTEST_SESSION), ANSWER_LIMIT)
            if login:
                await self._send(wire.encode_login(login))
                reply = wire.decode(await self._receive_one())
                if not isinstance(reply, wire.Reply) or reply.number != wire.AUTH or reply.error is not None:
                    raise MonitorError(f"{self.server} refuses the login: look at user and password")

    async def close(self) -> None:
        """Say goodbye where that takes no time, and hang up."""
        with trio.CancelScope(shield=True), trio.move_on_after(GOODBYE_LIMIT), suppress(MonitorError):
            if not self._half_sent:
                await self._send(wire.encode_goodbye(self._next_number()))
        self.hang_up()

    def hang_up(self) -> None:
        self._stream.socket.close()

    # --- while it lasts ---

    async def listen(self) -> None:
        """Take in what the server says until the session breaks."""
        with self._explained():
            while True:
                for frame in self._frames.feed(await self._receive()):
                    self._take(wire.decode(frame))
                if self._frames.unfinished:
                    self._progress = trio.current_time()

    async def ping(self) -> None:
        """Keep the session alive, and see whether the server is, and answers more than pings."""
        while True:
            await trio.sleep(min(PING_EVERY, self._silence / 3))
            if self._asked and trio.current_time() > self._progress + self._silence:
                raise MonitorError(f"{self.server} has not answered for {self._silence:g} s what it was asked")
            await self._send(wire.encode_ping())

    def _take(self, message: wire.Reply | wire.Fired) -> None:
        if isinstance(message, wire.Fired):
            self._fired(message.kind, message.path)
        elif self._asked and self._asked[0][0] == message.number:
            _, question, place = self._asked.popleft()
            self._progress = trio.current_time()
            question.take(place, message)
        elif message.number != wire.PING:
            raise wire.Garbled("an answer to nothing that was asked")

    async def _receive_one(self) -> bytes:
        while True:
            for frame in self._frames.feed(await self._receive()):
                return frame

    async def _receive(self) -> bytes | bytearray:
        with trio.move_on_after(self._silence):
            data = await self._stream.receive_some()
            if not data:
                raise MonitorError(f"{self.server} closed the connection")
            return data
        raise MonitorError(f"{self.server} takes connections but has said nothing for {self._silence:g} s")

    async def _send(self, data: bytes) -> None:
        async with self._turn:
            self._half_sent = True
            with self._explained():
                await self._stream.send_all(data)
            self._half_sent = False

    def _next_number(self) -> int:
        self._number = self._number % 0x7FFF_FFFF + 1
        return self._number

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Whatever goes wrong with the connection inside comes out as a MonitorError."""
        try:
            yield
        except wire.Garbled as error:
            raise MonitorError(f"{self.server} does not speak as ZooKeeper does: {error}") from error
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise MonitorError(f"{self.server}: the connection broke: {explain(error)}") from error


class _Question:
    """Requests that were sent together, and their answers as they come."""

    def __init__(self, requests: Sequence[Any]) -> None:
        self.answers: list[Any] = [None] * len(requests)
        self.answered = trio.Event()
        self._requests = requests
        self._missing = len(requests)

    def take(self, place: int, reply: wire.Reply) -> None:
        self.answers[place] = reply.error or wire.decode_answer(self._requests[place], reply.body)
        self._missing -= 1
        if not self._missing:
            self.answered.set()


@asynccontextmanager
async def open_session(address: ZooAddress, fired: Fired) -> AsyncIterator[Session]:
    """A session with any server of the ensemble, for as long as the block lasts and it does not break.

    Raises MonitorError, inside the block too, and in no group.
    """
    session = await _connect_any(address, fired)
    failures: list[Exception] = []

    async def keep(work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except MonitorError as error:
            failures.append(error)
            nursery.cancel_scope.cancel()

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep, session.listen)
            nursery.start_soon(keep, session.ping)
            try:
                yield session
            except Exception as error:
                failures.append(error)
            nursery.cancel_scope.cancel()
    finally:
        await session.close()
    if failures:
        raise failures[0]


async def _connect_any(address: ZooAddress, fired: Fired) -> Session:
    """The first server that grants a session, tried in any order, each a moment after the one before."""
    found: list[Session] = []
    failures: dict[str, str] = {}

    async def attempt(host: str, port: int, over: trio.Event) -> None:
        try:
            session = await _connect(host, port, address.login, fired)
        except MonitorError as error:
            failures[_name(host, port)] = str(error)
        else:
            found.append(session)
            nursery.cancel_scope.cancel()
        over.set()

    try:
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.deadline = trio.current_time() + CONNECT_LIMIT
            for host, port in random.sample(address.hosts, len(address.hosts)):
                over = trio.Event()
                nursery.start_soon(attempt, host, port, over)
                with trio.move_on_after(STAGGER):
                    await over.wait()
    except BaseException:
        for session in found:
            session.hang_up()
        raise
    for session in found[1:]:
        session.hang_up()
    if not found:
        servers = [_name(host, port) for host, port in address.hosts]  # in one order, so that it is the same complaint
        late = f"does not answer within {CONNECT_LIMIT:g} s"
        raise MonitorError("; ".join(failures.get(server, f"{server} {late}") for server in dict.fromkeys(servers)))
    return found[0]


async def _connect(host: str, port: int, login: str, fired: Fired) -> Session:
    server = _name(host, port)
    try:
        stream = await trio.open_tcp_stream(host, port)
    except OSError as error:
        raise MonitorError(f"{server}: {explain(error)}") from error
    session = Session(stream, server, fired)
    try:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNHEARD_LIMIT * 1000))
        await session.greet(login)
    except BaseException:
        stream.socket.close()
        raise
    return session


def _name(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
