"""The gateway: one port for browsers, scrapers and probes, on which all can be seen and, with a token, commanded.

Owns the port, its connections and which path is answered by whom. What a request may look like is
:mod:`.http_head`'s, who may ask :mod:`.gateway_rules`', who has to leave a full room :mod:`.gateway_room`'s.
No client can slow the emperor: one request is dealt with in a turn of the loop, and each wait for a client has a limit.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol

import trio

from emperor_trio.events import Event, Notice
from emperor_trio.listening import RESET, Listening, accept, adopt, listen_on
from emperor_trio.outlets.gateway_health import Health, Reign
from emperor_trio.outlets.gateway_pages import dashboard, unless_known
from emperor_trio.outlets.gateway_room import Guest, Room, Stage
from emperor_trio.outlets.gateway_rules import Hosts, check_host, check_websocket
from emperor_trio.outlets.gateway_token import Guesses, TokenFile
from emperor_trio.outlets.http_head import (
    Answer,
    Refusal,
    Replayed,
    Request,
    TooSlow,
    parse,
    read_head,
    send,
    websocket_head,
)
from emperor_trio.outlets.stats import Shared, encode
from emperor_trio.ports import EmperorStatistics
from emperor_trio.strangers import refuse_descriptors

FAREWELL = 1.0
"""Seconds for a client to take the last answer, before its connection is closed."""

MOST_TOLD = 20
"""Different faults of our own that are told of."""


class Sovereign(Reign, Protocol):
    """What the gateway needs of an emperor."""

    def statistics(self) -> EmperorStatistics: ...

    def publish(self, event: Event) -> None: ...


class Channel(Protocol):
    """The emperor's side of the control channel."""

    async def serve(self, stream: trio.abc.Stream, *, commands: bool) -> None:
        """Speak to one client, the websocket's handshake included, to the end."""
        ...


Render = Callable[[str], Awaitable[tuple[str, bytes]]]
"""Content type and text of the metrics, for a header Accept."""


class GatewayOutlet:
    """Serves ``address`` (``host:port``, or a socket that listens already). :meth:`open` it before the privileges go.

    ``channel`` is what ``/ws`` leads to, ``render`` what makes the metrics (``no_metrics`` is said where there is
    none), ``token_file`` holds what lets a client command, ``hosts`` are the values of ``--gateway-host``.
    """

    def __init__(
        self,
        address: str | socket.socket,
        emperor: Sovereign,
        channel: Channel | None = None,
        *,
        render: Render | None = None,
        no_metrics: str = "there are no metrics here",
        token_file: str | None = None,
        hosts: Sequence[str] = (),
        tyrant: bool = False,
    ) -> None:
        self._address = address
        self._publish = emperor.publish
        self._channel = channel
        self._render = render
        self._no_metrics = no_metrics
        self._token = TokenFile(token_file, emperor.publish) if token_file is not None else None
        self._guesses = Guesses(emperor.publish)
        self._bound = address.rpartition(":")[0] if isinstance(address, str) else ""
        self._hosts = Hosts(self._bound, hosts)
        self._health = Health(emperor)
        self._statistics = Shared(lambda: encode(emperor.statistics(), tyrant))
        self._listening: Listening | None = None
        self._pages: dict[str, Answer] = {}
        self._room = Room()
        self._turns = trio.StrictFIFOLock()
        self._told: set[str] = set()
        self._opened = False
        self._routes: dict[str, Callable[[Request], Awaitable[Answer]]] = {
            "/metrics": self._metrics,
            "/stats": self._stats,
            "/healthz": lambda _: self._health.alive(),
            "/readyz": lambda _: self._health.ready(),
        }

    def open(self) -> Listening:
        """Listen. Raises :class:`~emperor_trio.errors.UsageError` for an address or token that won't do. Idempotent."""
        if self._listening is None:
            if not self._opened:
                self._pages = dashboard()  # read now: later, the package may be closed to us
                if self._token is not None:
                    self._token.open()
            self._listening = (
                listen_on("--gateway", self._address) if isinstance(self._address, str) else adopt(self._address)
            )
            refuse_descriptors(self._listening.socket)
        return self._listening

    def close(self) -> None:
        """Listen no more. Idempotent."""
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.close()

    async def run(self) -> None:
        """Serve until cancelled; the socket is closed then."""
        try:
            listener = trio.socket.from_stdlib_socket(self.open().socket)
            self._warn(listener)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._health.run)
                while True:
                    connection = await accept(listener)
                    if connection is not None:
                        self._welcome(nursery, connection)
        finally:
            self.close()

    def _warn(self, listener: trio.socket.SocketType) -> None:
        """Once, of an address that others can reach."""
        first, self._opened = not self._opened, True
        where = listener.getsockname()
        if first and listener.family != socket.AF_UNIX and not ipaddress.ip_address(where[0].split("%")[0]).is_loopback:
            self._publish(
                Notice(
                    f"the gateway listens on {where[0]} port {where[1]}: whoever reaches it sees all vassals, and"
                    " tokens come unencrypted; better let it listen on 127.0.0.1, behind a proxy with TLS and logins"
                )
            )

    # --- connections ---

    def _welcome(self, nursery: trio.Nursery, connection: trio.socket.SocketType) -> None:
        try:
            address = connection.getpeername()[0] if connection.family != socket.AF_UNIX else "127.0.0.1"
            guest = self._room.admit(address)
            stream = trio.SocketStream(connection)
        except OSError:
            connection.close()  # it is over already
            return
        if guest is None:
            _reset(connection)
            connection.close()
        else:
            nursery.start_soon(self._serve, guest, stream)

    async def _serve(self, guest: Guest, stream: trio.SocketStream) -> None:
        """One connection, to its end. Whatever befalls it harms no other."""
        try:
            with guest.scope:
                await self._converse(guest, stream)
                await _part(stream)
            if guest.scope.cancelled_caught:
                _reset(stream.socket)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client is gone, which is its own affair
        except TooSlow:
            _reset(stream.socket)
        except Exception as error:
            self._tell(error)
        finally:
            self._room.leave(guest)
            await trio.aclose_forcefully(stream)

    def _tell(self, error: Exception) -> None:
        text = f"the gateway ended a connection: {type(error).__name__}: {error}"[:500]
        if text not in self._told and len(self._told) < MOST_TOLD:
            self._told.add(text)
            self._publish(Notice(text))

    async def _converse(self, guest: Guest, stream: trio.SocketStream) -> None:
        unread = bytearray()
        request: Request | None = None
        again = True
        while again:
            guest.enter(Stage.WAITING)
            request = None
            try:
                head = await read_head(stream, unread)
                if head is None:
                    return
                guest.enter(Stage.READING)
                async with self._turns:  # so that many clients share one turn of the loop with the emperor, not many
                    await trio.lowlevel.checkpoint()
                    request = parse(head)
                    check_host(request, self._hosts)
                if request.path == "/ws":
                    await self._open_channel(guest, stream, request, unread)
                    return
                answer = await self._answer(request)
            except Refusal as refusal:
                answer = refusal.answer
            self._room.hold(guest, len(answer.body))
            again = await send(stream, request, answer)

    async def _answer(self, request: Request) -> Answer:
        if request.path in self._pages:
            return unless_known(request, self._pages[request.path])
        if request.path in self._routes:
            return await self._routes[request.path](request)
        return Answer.saying(404, "there is nothing here; the dashboard is at /")

    async def _stats(self, _: Request) -> Answer:
        return Answer(200, await self._statistics.fresh(), "application/json")

    async def _metrics(self, request: Request) -> Answer:
        if self._render is None:
            return Answer.saying(501, self._no_metrics)
        kind, text = await self._render(",".join(request.all("accept")))
        return Answer(200, text, kind)

    # --- the control channel ---

    async def _open_channel(self, guest: Guest, stream: trio.SocketStream, request: Request, unread: bytearray) -> None:
        opening = check_websocket(request)
        if self._channel is None:
            raise Refusal(404, "there is no control channel here")
        if not self._room.has_channel():
            raise Refusal(503, "too many websockets are open", close=True)
        guest.enter(Stage.CHANNEL)
        commands = False
        if opening.token is not None and self._token is not None:
            commands = await self._guesses.check(opening.token, self._token, guest.address)
        if opening.by_header and not commands:
            # A browser is not told in this way: its script could not tell it from an emperor that is not there.
            raise Refusal(401, "this token is not the gateway's", ("WWW-Authenticate", "Bearer"), close=True)
        head = websocket_head(request, opening.host, opening.key, opening.subprotocols)
        whole = Replayed(stream, head + bytes(unread))
        await self._channel.serve(whole, commands=commands)


async def _part(stream: trio.SocketStream) -> None:
    """Let the client have the last answer: to close while something of its lies unread would take it away again."""
    with trio.move_on_after(FAREWELL):
        await stream.send_eof()
        for _ in range(64):
            if not await stream.receive_some(4096):
                break


def _reset(connection: trio.socket.SocketType) -> None:
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
