"""pika on Trio: one connection with one channel, that consumes what an exchange sends to a queue of its own.

Owns the connection's life and says why it ended. What a message means is not known here.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pika  # type: ignore[import-untyped]
import pika.exceptions  # type: ignore[import-untyped]
import trio
from pika import frame
from pika.channel import Channel, ContentFrameAssembler  # type: ignore[import-untyped]
from pika.connection import Connection  # type: ignore[import-untyped]

from emperor_trio.model import MAX_CONFIG
from emperor_trio.monitors import _plain
from emperor_trio.monitors._wait import ANSWER_LIMIT, UNHEARD_LIMIT, helpers

PREFETCH = 500
"""Messages that the broker sends before the first of them is acknowledged."""

HEARTBEAT = 8
"""Seconds: a broker that has nothing to say sends a heartbeat twice as often, and wants one from us."""

SILENCE = ANSWER_LIMIT - 3
"""Seconds without even a heartbeat after which the broker is given up."""

FAREWELL = 1.0
"""Seconds for the broker to answer our goodbye."""

MOST_OF_A_FRAME = 1_000_000
"""Bytes of an unfinished frame that are kept. We agree on frames of 131,072 bytes, but pika does not hold to it."""

READ = 16_384
"""Bytes that are taken at once: what they hold is worked off before anyone else has a turn."""

NOT_FOUND = 404

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message. A body that is longer than any config is cut, but stays longer than any config."""

    tag: int
    key: str
    body: bytes


@asynccontextmanager
async def subscribe(
    parameters: pika.ConnectionParameters, exchange: str, limit: float, trust: ssl.SSLContext | None = None
) -> AsyncIterator[Subscription]:
    """A subscription for as long as the block lasts; over TLS where there is a ``trust``.

    Raises what pika raises, :class:`OSError`, :class:`trio.BrokenResourceError`, and :class:`trio.TooSlowError` where
    it is not there within ``limit`` seconds. :func:`explain` has words for them.
    """
    async with helpers() as nursery:
        subscription = Subscription(parameters)
        try:
            with trio.fail_after(limit):
                stream = await _connect(parameters, trust)
                nursery.start_soon(subscription.connection.carry, stream)
                await subscription.open(exchange)
            yield subscription
        finally:
            with trio.CancelScope(shield=True):
                await subscription.close()


class Subscription:
    """What the broker sends. Obtained from :func:`subscribe`; every method raises what ended the connection."""

    def __init__(self, parameters: pika.ConnectionParameters) -> None:
        self._wake = trio.Event()
        self._error: BaseException | None = None
        self._ended = trio.Event()
        self._opened = False
        self._deliveries: list[Delivery] = []
        self._channel: Channel | None = None
        self.connection = _Connection(parameters, self._on_open, self._on_end)

    async def receive(self) -> list[Delivery]:
        """Everything that came since the last call, in order; waits for the first message."""
        while not self._deliveries:
            await self._next()
        deliveries, self._deliveries = self._deliveries, []
        return deliveries

    def acknowledge(self, tag: int) -> None:
        """This message and all before it are done with: the broker may send as many new ones."""
        if self._channel is not None and self._channel.is_open:
            self._channel.basic_ack(tag, multiple=True)

    async def open(self, exchange: str) -> None:
        """Connect, log in, and bind a queue of our own to the exchange, whatever its type is.

        Where there is none, it is declared: fanout, not durable. The keys are for the other types: ``#`` is everything
        to a topic exchange, the empty key is what a direct one has for messages without a key, and a headers exchange
        sends everything to a binding without arguments. A fanout exchange looks at none.
        """
        while not self._opened:
            await self._next()
        channel = await self._open_channel()
        try:
            await self._ask(lambda done: channel.exchange_declare(exchange, passive=True, callback=done))
        except pika.exceptions.ChannelClosedByBroker as error:
            if error.reply_code != NOT_FOUND:
                raise
            channel = await self._open_channel()
            await self._ask(lambda done: channel.exchange_declare(exchange, "fanout", callback=done))
        await self._ask(lambda done: channel.basic_qos(prefetch_count=PREFETCH, callback=done))
        declared = await self._ask(lambda done: channel.queue_declare("", exclusive=True, callback=done))
        queue = declared.method.queue
        await self._ask(lambda done: channel.queue_bind(queue, exchange, "#", callback=done))
        await self._ask(lambda done: channel.queue_bind(queue, exchange, "", callback=done))
        await self._ask(lambda done: channel.basic_consume(queue, self._on_message, callback=done))

    async def close(self) -> None:
        """Say goodbye, and close in any case. Idempotent."""
        with trio.move_on_after(FAREWELL):
            if self.connection.is_open:
                self.connection.close()
                await self._ended.wait()
        self.connection.abort()

    # --- asking ---

    async def _open_channel(self) -> Channel:
        self._error = None
        channel: Channel = await self._ask(lambda done: self.connection.channel(on_open_callback=done))
        channel.add_on_close_callback(lambda _, error: self._lose(error))
        channel.add_on_cancel_callback(lambda _: self._lose(ConnectionError("the broker deleted our queue")))
        self._channel = channel
        return channel

    async def _ask(self, call: Callable[[Callable[[Any], None]], object]) -> Any:
        """Call something that takes a callback, and wait for what the callback is given."""
        answers: list[Any] = []

        def take(answer: Any) -> None:
            answers.append(answer)
            self._stir()

        call(take)
        while not answers:
            await self._next()
        return answers[0]

    async def _next(self) -> None:
        """Wait until anything happens. Raises what ended the connection, or closed the channel."""
        if self._error is not None:
            raise self._error
        await self._wake.wait()

    # --- called by pika ---

    def _on_open(self, _: object) -> None:
        self._opened = True
        self._stir()

    def _on_end(self, _: object, error: BaseException) -> None:
        self._ended.set()
        self._lose(error)

    def _on_message(self, _: Channel, method: Any, __: object, body: bytes) -> None:
        if len(self._deliveries) > PREFETCH:
            raise pika.exceptions.StreamLostError("the broker sends more messages than it was asked for")
        self._deliveries.append(Delivery(method.delivery_tag, method.routing_key, body))
        self._stir()

    def _lose(self, error: BaseException) -> None:
        self._error = error
        self._stir()

    def _stir(self) -> None:
        self._wake.set()
        self._wake = trio.Event()


def explain(error: BaseException) -> str:
    """Why a connection could not be made or ended, in a few words. Never names the password."""
    match error:
        case pika.exceptions.ConnectionClosed() | pika.exceptions.ChannelClosed():
            return f"{error.reply_text} ({error.reply_code})"
        case pika.exceptions.AMQPHeartbeatTimeout():
            return f"the broker sent nothing for {SILENCE:g} s, not even a heartbeat"
        case pika.exceptions.ProbableAuthenticationError() | pika.exceptions.AuthenticationError():
            return "the broker refuses user and password; correct them in the address"
        case pika.exceptions.ProbableAccessDeniedError():
            return "the broker has no such virtual host, or not for this user"
        case pika.exceptions.IncompatibleProtocolError():
            return "it ends the connection without a greeting: it may be no AMQP 0-9-1 broker, or want TLS or no TLS"
        case pika.exceptions.StreamLostError():
            return str(error.args[0])
        case trio.TooSlowError():
            return "no answer in time"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not to be trusted: {error.verify_message}"
        case ssl.SSLError() if error.reason == "WRONG_VERSION_NUMBER":
            return "it speaks no TLS on this port: say amqp://, or name the port for amqps://"
        case BaseExceptionGroup():
            return explain(error.exceptions[0])
        case OSError() | trio.BrokenResourceError() if error.__cause__ is not None:
            return explain(error.__cause__)
        case OSError():
            return _plain.explain(error)
        case _:
            return f"{type(error).__name__}: {error}".removesuffix(": ")


async def _connect(parameters: pika.ConnectionParameters, trust: ssl.SSLContext | None) -> Stream:
    """Connect, and shake hands. A cut network shows soon, whether there is something to say or not."""
    plain = await trio.open_tcp_stream(parameters.host, parameters.port)
    for option, value in (
        (socket.TCP_USER_TIMEOUT, int(UNHEARD_LIMIT * 1000)),
        (socket.TCP_KEEPIDLE, 2),
        (socket.TCP_KEEPINTVL, 1),
    ):
        plain.setsockopt(socket.IPPROTO_TCP, option, value)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if trust is None:
        return plain
    stream = trio.SSLStream(plain, trust, server_hostname=parameters.host, https_compatible=True)
    try:
        await stream.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(plain)
        raise
    return stream


class _BoundedAssembler(ContentFrameAssembler):  # type: ignore[misc]
    """Puts a message together, but keeps no more of it than is needed to see that it is too large."""

    def _handle_body_frame(self, body_frame: frame.Body) -> Any:
        enough = self._seen_so_far > MAX_CONFIG
        whole = super()._handle_body_frame(body_frame)
        if whole is not None:
            method, header, body = whole
            return method, header, body[: MAX_CONFIG + 1]
        if enough:
            self._body_fragments.pop()
        return None


class _Connection(Connection):  # type: ignore[misc]
    """pika's connection over a Trio stream. What pika asks of its loop are the methods named ``_adapter_…``."""

    def __init__(
        self,
        parameters: pika.ConnectionParameters,
        on_open: Callable[[object], None],
        on_end: Callable[[object, BaseException], None],
    ) -> None:
        self._outgoing = bytearray()
        self._has_outgoing = trio.Event()
        self._life = trio.CancelScope(shield=True)
        super().__init__(parameters, on_open, on_end, on_end, internal_connection_workflow=False)

    async def carry(self, stream: Stream) -> None:
        """Carry bytes both ways until the connection ends. Shielded, so that a goodbye can be said: see `abort`."""
        error: Exception | None = None
        with self._life:
            try:
                async with trio.open_nursery() as self._nursery:
                    self._nursery.start_soon(self._send, stream)
                    self._on_stream_connected()
                    await self._receive(stream)
            except* trio.BrokenResourceError as group:
                error = pika.exceptions.StreamLostError(f"the connection broke: {explain(group)}")
            except* Exception as group:
                error = group.exceptions[0]
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(stream)
        self._on_stream_terminated(error if error or self._error else pika.exceptions.ConnectionOpenAborted("given up"))

    def abort(self) -> None:
        """End it without a goodbye. Idempotent."""
        self._life.cancel()

    async def _send(self, stream: Stream) -> None:
        while True:
            await self._has_outgoing.wait()
            self._has_outgoing = trio.Event()
            data, self._outgoing = self._outgoing, bytearray()
            await stream.send_all(data)

    async def _receive(self, stream: Stream) -> None:
        data: bytes | bytearray = b""
        while True:
            with trio.move_on_after(SILENCE) as limit:
                data = await stream.receive_some(READ)
            if limit.cancelled_caught:  # pika itself would notice after twice as long, or more
                raise pika.exceptions.AMQPHeartbeatTimeout(f"nothing came for {SILENCE:g} s")
            if not data:
                raise pika.exceptions.StreamLostError("the broker closed the connection")
            self._on_data_available(bytes(data))
            if len(self._frame_buffer) > MOST_OF_A_FRAME:
                raise pika.exceptions.StreamLostError("the broker sends a frame that is larger than was agreed on")

    def _create_channel(self, channel_number: int, on_open_callback: Any) -> Channel:
        channel = super()._create_channel(channel_number, on_open_callback)
        channel._content_assembler = _BoundedAssembler()
        return channel

    def _adapter_connect_stream(self) -> None:
        raise NotImplementedError("the stream is there before the connection")

    def _adapter_disconnect_stream(self) -> None:
        self.abort()

    def _adapter_emit_data(self, data: bytes) -> None:
        self._outgoing += data
        self._has_outgoing.set()

    def _adapter_call_later(self, delay: float, callback: Callable[[], None]) -> trio.CancelScope:
        scope = trio.CancelScope()

        async def later() -> None:
            with scope:
                await trio.sleep(delay)
                callback()

        self._nursery.start_soon(later)
        return scope

    def _adapter_remove_timeout(self, timeout_id: trio.CancelScope) -> None:
        timeout_id.cancel()

    def _adapter_add_callback_threadsafe(self, callback: Callable[[], None]) -> None:
        raise NotImplementedError("there is one thread only")
