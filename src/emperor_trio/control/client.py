"""A client of the control channel: requests with their answers, and subscriptions.

::

    async with connect(find_socket(None, os.environ)) as client:
        answer = await client.request(Look(0))

The ``id`` of a request is given by the client; the one in the message that is passed does not matter.
"""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TypeVar

import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    WebSocketConnection,
    wrap_client_stream,
)

from emperor_trio.control.messages import (
    PROTOCOL,
    AnyAnswer,
    AnyRequest,
    Greeting,
    Refused,
    Snapshot,
    Tick,
    Unsubscribe,
    decode_answer,
    encode,
)
from emperor_trio.control.place import OPTION, VARIABLE, default_path, find_socket
from emperor_trio.control.server import SUBPROTOCOL
from emperor_trio.errors import ControlError

__all__ = ["Client", "ConnectionLost", "NoAnswer", "connect", "default_path", "find_socket"]

CONNECT_LIMIT = 3.0
"""Seconds for the connection and the greeting."""

ANSWER_LIMIT = 10.0
"""Seconds for the answer to a request, where it says nothing else."""

MAX_ANSWER = 64 * 1024 * 1024
"""The largest message of an emperor that is taken, in bytes."""

BUFFER = 256
"""Messages of a subscription that wait to be looked at; then the emperor is read no further."""

T = TypeVar("T")


class ConnectionLost(ControlError):
    """The emperor is gone, or has let this client go."""


class NoAnswer(ControlError):
    """Something is there, but does not answer in time."""


class Client:
    """One connection; made by :func:`connect`. Requests may go out at once from several tasks."""

    def __init__(self, socket: WebSocketConnection, greeting: Greeting, path: str) -> None:
        self.greeting: Greeting = greeting
        self.path: str = path
        self._socket = socket
        self._waiting: dict[int, trio.MemorySendChannel[AnyAnswer]] = {}
        self._ticking: list[trio.MemorySendChannel[AnyAnswer]] = []
        self._count = 0
        self._lost = False

    async def request(self, request: AnyRequest, limit: float = ANSWER_LIMIT) -> AnyAnswer:
        """The answer; several snapshots are put together to one. A refusal is an answer, too.

        Raises :class:`NoAnswer` after ``limit`` seconds, :class:`ConnectionLost`.
        """
        parts: list[Snapshot] = []
        with trio.move_on_after(limit):
            async with self._conversation(request) as answers:
                async for answer in answers:
                    if not isinstance(answer, Snapshot):
                        return answer
                    parts.append(answer)
                    if answer.last:
                        vassals = tuple(vassal for part in parts for vassal in part.vassals)
                        return replace(answer, vassals=vassals)
            raise ConnectionLost(_lost(self.path))
        raise NoAnswer(_hangs(self.path, limit))

    @asynccontextmanager
    async def subscribe(self, request: AnyRequest) -> AsyncIterator[AsyncIterator[AnyAnswer]]:
        """All that comes for one request (Subscribe, Measure, Tail), and each Tick, until the block is left.

        The iterator raises :class:`ConnectionLost` at the end of the connection, ControlError for a refusal.
        """
        async with self._conversation(request, ticks=True) as answers:
            yield _Following(answers, self.path)

    @asynccontextmanager
    async def _conversation(
        self, request: AnyRequest, *, ticks: bool = False
    ) -> AsyncIterator[trio.MemoryReceiveChannel[AnyAnswer]]:
        if self._lost:
            raise ConnectionLost(_lost(self.path))
        self._count += 1
        number = self._count
        send, receive = trio.open_memory_channel[AnyAnswer](BUFFER)
        self._waiting[number] = send
        if ticks:
            self._ticking.append(send)
        try:
            try:
                await self._socket.send_message(encode(replace(request, id=number)))
            except ConnectionClosed:
                raise ConnectionLost(_lost(self.path)) from None
            yield receive
        finally:
            del self._waiting[number]
            receive.close()
            if ticks:
                self._ticking.remove(send)
                await self._unsubscribe(number)

    async def _unsubscribe(self, number: int) -> None:
        """The connection goes on; what still comes for it is dropped."""
        with trio.move_on_after(1.0, shield=True):
            try:
                self._count += 1
                await self._socket.send_message(encode(Unsubscribe(self._count, number)))
            except ConnectionClosed:
                pass

    async def _read(self) -> None:
        """Hand every message to whom it is for, until the connection ends."""
        try:
            while True:
                message = decode_answer(str(await self._socket.get_message()))
                for channel in self._channels(message):
                    with suppress(trio.BrokenResourceError):  # nobody waits for it any more
                        await channel.send(message)
        except (ConnectionClosed, ControlError):
            pass
        finally:
            self._lost = True
            for channel in self._waiting.values():
                channel.close()

    def _channels(self, message: AnyAnswer) -> list[trio.MemorySendChannel[AnyAnswer]]:
        if isinstance(message, Tick):
            return list(self._ticking)
        channel = None if isinstance(message, Greeting) else self._waiting.get(message.id)
        return [channel] if channel is not None else []


class _Following:
    """What comes for one subscription; left at any time, it leaves nothing behind."""

    def __init__(self, answers: trio.MemoryReceiveChannel[AnyAnswer], path: str) -> None:
        self._answers = answers
        self._path = path

    def __aiter__(self) -> AsyncIterator[AnyAnswer]:
        return self

    async def __anext__(self) -> AnyAnswer:
        try:
            answer = await self._answers.receive()
        except trio.EndOfChannel:
            raise ConnectionLost(_lost(self._path)) from None
        if isinstance(answer, Refused):
            raise ControlError(answer.error)
        return answer


@asynccontextmanager
async def connect(path: str, limit: float = CONNECT_LIMIT) -> AsyncIterator[Client]:
    """Connect to the emperor whose socket this is.

    Raises :class:`~emperor_trio.errors.ControlError`, whose text says how to find or start one, and within the block
    what the client's own methods raise.
    """
    stream = await _open(path, limit)
    failure: Exception | None = None
    try:
        async with trio.open_nursery() as nursery:
            try:
                client = await _greet(nursery, stream, path, limit)
                nursery.start_soon(client._read)
                try:
                    yield client
                finally:
                    with trio.move_on_after(1.0, shield=True):
                        await client._socket.aclose()
            except Exception as error:
                failure = error  # it comes out as itself, in no group
            finally:
                nursery.cancel_scope.cancel()
                with trio.CancelScope(shield=True):
                    await trio.aclose_forcefully(stream)
    except* ConnectionRejected:
        failure = ControlError(_stranger(path))
    if failure is not None:
        raise failure


async def _open(path: str, limit: float) -> trio.SocketStream:
    try:
        with trio.fail_after(limit):
            return await trio.open_unix_socket(path)
    except trio.TooSlowError:
        raise NoAnswer(_hangs(path, limit)) from None
    except OSError as error:
        raise ControlError(_explain(error, path)) from None


class _Watched(trio.abc.Stream):
    """A stream that cancels ``scope`` at its end: trio-websocket waits for a handshake also where none can come."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self.socket: trio.socket.SocketType = stream.socket
        self.scope = trio.CancelScope()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        try:
            data = await self._stream.receive_some(max_bytes)
        except trio.BrokenResourceError:
            self.scope.cancel()
            raise
        if not data:
            self.scope.cancel()
        return data

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _greet(nursery: trio.Nursery, stream: trio.SocketStream, path: str, limit: float) -> Client:
    watched, greeting = _Watched(stream), None
    try:
        with trio.fail_after(limit), watched.scope:
            socket = await wrap_client_stream(
                nursery,
                watched,  # type: ignore[arg-type] # any stream will do
                "localhost",
                "/ws",
                subprotocols=[SUBPROTOCOL],
                max_message_size=MAX_ANSWER,
            )
            greeting = decode_answer(str(await socket.get_message()))
        if watched.scope.cancelled_caught:
            raise trio.BrokenResourceError
    except trio.TooSlowError:
        raise NoAnswer(_hangs(path, limit)) from None
    except (ConnectionClosed, ConnectionRejected, HandshakeError, trio.BrokenResourceError):
        raise ControlError(_stranger(path)) from None
    if not isinstance(greeting, Greeting):
        raise ControlError(f"{path}: whoever listens there is no emperor, it greets with {type(greeting).__name__}")
    if greeting.protocol != PROTOCOL:
        raise ControlError(
            f"{path}: the emperor speaks version {greeting.protocol} of the protocol, this command {PROTOCOL}: use the"
            f" emperor-trio {greeting.version} that it is"
        )
    return Client(socket, greeting, path)


def _explain(error: OSError, path: str) -> str:
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return (
                f"{path}: no emperor has its socket there. Start one (emperor-trio --help), or name its socket with"
                f" {OPTION} PATH or {VARIABLE}"
            )
        case errno.ECONNREFUSED:
            return f"{path}: nobody listens there any more: the emperor is gone. Start it again"
        case errno.EACCES | errno.EPERM:
            return f"{path}: only the emperor's user and root may use it: try sudo"
        case _:
            return f"{path}: {os.strerror(error.errno or 0)}"


def _stranger(path: str) -> str:
    return f"{path}: whoever listens there let this user not in, or is no emperor: is it another user's? try sudo"


def _hangs(path: str, limit: float) -> str:
    return f"the emperor on {path} does not answer within {limit:g} s: it is stopped, or very busy"


def _lost(path: str) -> str:
    return f"the connection to the emperor on {path} was lost: it has ended, or let this command go"
