"""The emperor's side of the control channel: who may come in, and a session for each.

It listens on a unix socket of its own, and takes connections that the gateway has let in. A client costs the emperor no
more than a bounded queue, whatever it does.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version

import trio
from trio_websocket import ConnectionClosed, ConnectionRejected, HandshakeError, wrap_server_stream

from emperor_trio.control.hub import Hub
from emperor_trio.control.messages import MAX_REQUEST, Greeting, SettingList, encode
from emperor_trio.control.pacing import PacedStream
from emperor_trio.control.place import bind_control
from emperor_trio.control.session import LogReader, Services, Session
from emperor_trio.control.turns import Allowance
from emperor_trio.errors import ControlError
from emperor_trio.events import Event, Notice
from emperor_trio.listening import Listening
from emperor_trio.masking import masked
from emperor_trio.model import VassalId
from emperor_trio.ports import Realm
from emperor_trio.strangers import drop, refuse_descriptors

SUBPROTOCOL = "emperor-trio.v1"
"""What a client may propose, and browsers have to."""

MOST_CLIENTS = 256
"""Connections at once; one more ends the one that has been there longest, of those that have yet to shake hands if
there are any."""

HANDSHAKE = 5.0
"""Seconds for a client to become one."""

GOODBYE = 1.0
"""Seconds for its close handshake."""

STRANGERS = 32
"""Users of whom it is said, once each, that they may not come in."""

MOST_TOLD = 20
"""Different faults of our own that are told of."""

_CREDENTIALS = struct.Struct("3i")


@dataclass(eq=False)
class _Client:
    scope: trio.CancelScope
    greeted: bool = False


class ControlServer:
    """``address`` is a path, a socket that listens already, or ``None`` where only others let clients in.

    :meth:`open` it before the privileges go, and give the socket's path to ``owner`` (uid, gid) then. ``logs`` is as in
    :class:`~emperor_trio.control.messages.Greeting`; ``settings`` tells the emperor's.
    """

    def __init__(
        self,
        realm: Realm,
        publish: Callable[[Event], None],
        address: str | socket.socket | None = None,
        *,
        settings: Callable[[], SettingList] | None = None,
        logs: str = "",
        log_path: Callable[[VassalId], str] = lambda vassal: "",
        read_log: LogReader | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.hub: Hub = Hub(realm, wall)
        self._realm = realm
        self._publish = publish
        self._address = address
        self.dropped: int = 0
        """Events that clients lost, not taking them fast enough."""
        self._services = Services(wall, settings, log_path, read_log, self._lose)
        self._logs = logs
        self._wall = wall
        self._started = wall()
        self._bound: Listening | None = None
        self._clients: OrderedDict[int, _Client] = OrderedDict()
        self._count = 0
        self._strangers: set[int] = set()
        self._told: set[str] = set()
        self._allowances = {True: Allowance(), False: Allowance()}
        """Of those who may command, and of the others."""
        self._version = version("emperor-trio")
        self._host = socket.gethostname()

    @property
    def clients(self) -> int:
        """How many there are now."""
        return len(self._clients)

    def _lose(self, events: int) -> None:
        self.dropped += events

    def open(self, owner: tuple[int, int] | None = None) -> None:
        """Listen. Raises :class:`~emperor_trio.errors.UsageError` where that is impossible. Idempotent."""
        if self._bound is None and self._address is not None:
            self._bound = bind_control(self._address, owner)
            refuse_descriptors(self._bound.socket)

    def close(self) -> None:
        """Listen no more, and remove the socket's path where it is ours. Idempotent."""
        bound, self._bound = self._bound, None
        if bound is not None:
            bound.close()

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            self.open()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.hub.run)
                if self._bound is not None:
                    await self._listen(trio.socket.from_stdlib_socket(self._bound.socket), nursery)
        finally:
            self.close()

    async def serve(self, stream: trio.abc.Stream, *, commands: bool) -> None:
        """Speak to one client, the websocket's handshake included, to the end. ``commands``: it may command."""
        self._make_room()
        self._count += 1
        number = self._count
        with trio.CancelScope() as scope:
            client = self._clients[number] = _Client(scope)
            try:
                await self._converse(client, PacedStream(stream, self._allowances[commands].turns), commands)
            except* (ConnectionClosed, ConnectionRejected, HandshakeError, ControlError):
                pass  # it left, or was none, or took nothing
            except* (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            finally:
                self._clients.pop(number, None)
                with trio.CancelScope(shield=True):
                    await trio.aclose_forcefully(stream)

    async def _converse(self, client: _Client, stream: trio.abc.Stream, commands: bool) -> None:
        async with trio.open_nursery() as nursery:
            try:
                with trio.fail_after(HANDSHAKE):
                    request = await wrap_server_stream(nursery, stream, max_message_size=MAX_REQUEST)
                    proposed = request.proposed_subprotocols
                    socket_ = await request.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in proposed else None)
            except trio.TooSlowError:
                raise ControlError("no handshake came in time") from None
            try:
                await socket_.send_message(encode(self._greeting(commands)))
                client.greeted = True
                allowance = self._allowances[commands]
                await Session(socket_, self._realm, self.hub, self._services, commands, allowance).run()
            finally:
                with trio.move_on_after(GOODBYE, shield=True):
                    await socket_.aclose()
                nursery.cancel_scope.cancel()

    def _greeting(self, commands: bool) -> Greeting:
        return Greeting(
            version=self._version,
            pid=os.getpid(),
            started=self._started,
            at=self._wall(),
            commands=commands,
            monitors=tuple(masked(monitor.name) for monitor in self._realm.monitors()),
            logs=self._logs,
            host=self._host,
        )

    def _make_room(self) -> None:
        if len(self._clients) >= MOST_CLIENTS:
            strangers = (number for number, client in self._clients.items() if not client.greeted)
            self._clients.pop(next(strangers, next(iter(self._clients)))).scope.cancel()

    async def _listen(self, listener: trio.socket.SocketType, nursery: trio.Nursery) -> None:
        while True:
            try:
                connection, _ = await listener.accept()
            except OSError:
                await trio.sleep(0.1)  # no room for it now, or it is over already
                continue
            if self._let_in(connection):
                nursery.start_soon(self._serve_local, connection)
            else:
                drop(connection)

    async def _serve_local(self, connection: trio.socket.SocketType) -> None:
        """Whatever befalls one client harms no other."""
        try:
            await self.serve(trio.SocketStream(connection), commands=True)
        except OSError:
            connection.close()  # it is over already
        except Exception as error:
            self._tell(error)

    def _tell(self, error: Exception) -> None:
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        text = f"the control channel ended a connection: {type(error).__name__}: {error}"[:500]
        if text not in self._told and len(self._told) < MOST_TOLD:
            self._told.add(text)
            self._publish(Notice(text))

    def _let_in(self, connection: trio.socket.SocketType) -> bool:
        """Whether root or our own user is at the other end."""
        with suppress(OSError):
            raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            pid, uid, _ = _CREDENTIALS.unpack(raw)
            if uid in (0, os.geteuid()):
                return True
            if uid not in self._strangers and len(self._strangers) < STRANGERS:
                self._strangers.add(uid)
                self._publish(Notice(f"user {uid} (pid {pid}) tried the control channel, and was not let in"))
        return False
