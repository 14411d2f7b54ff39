"""``amqp://`` and ``amqps://``: vassals that messages announce, by a config, a path, or a URL.

AMQP keeps nothing: what was received is remembered in :mod:`._received`. What a message means is in
:mod:`._amqp_messages`, how the broker is talked to in :mod:`._amqp_trio`.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from math import inf
from typing import ClassVar

import pika  # type: ignore[import-untyped]
import pika.exceptions  # type: ignore[import-untyped]
import trio

from emperor_trio.errors import MonitorError, UsageError
from emperor_trio.masking import masked
from emperor_trio.model import VassalSpec
from emperor_trio.monitors._amqp_messages import (
    EXCHANGE,
    NO_OWNER,
    Ended,
    Given,
    Message,
    Path,
    Url,
    read_address,
    read_message,
)
from emperor_trio.monitors._amqp_trio import HEARTBEAT, Delivery, Subscription, explain, subscribe
from emperor_trio.monitors._announced import AnnouncedFiles
from emperor_trio.monitors._fetching import AnnouncedUrls
from emperor_trio.monitors._received import Received
from emperor_trio.monitors._rows import RowRules, Wrong
from emperor_trio.monitors._wait import CONNECT_LIMIT, Alarm, alarm, helpers
from emperor_trio.ports import Emit, Kept, Memory, MonitorContext

BATCH = 50
"""Messages after which everyone else has a turn."""

SETTLE_RETRY = 1.0
"""Seconds until it is tried again to keep what could not be kept."""


class AmqpMonitor:
    """``context.argument`` is ``[user:password@]host[:port][/vhost]``.

    Raises :class:`~emperor_trio.errors.UsageError` where it is not, and for a wrong ``--emperor-http-host``.
    """

    TLS = False
    only_announced: ClassVar[bool] = True
    """Nothing is known of a vassal before it is announced: there is nothing to look at."""

    def __init__(self, context: MonitorContext) -> None:
        self._context = context
        self._address = read_address(context.name, context.argument, tls=self.TLS)
        self._parameters = self._make_parameters()
        self._trust = self._make_trust() if self.TLS else None
        self._rules = RowRules.of(context)
        self._received = Received(context)
        self._files = AnnouncedFiles(context, self._received)
        self._urls = AnnouncedUrls(context, self._received)
        self._memory = context.memory
        self._recalled = False

    async def run(self, emit: Emit) -> None:
        """See :class:`emperor_trio.ports.Monitor`."""
        self._received.start(emit)
        self._unsettled = 0
        self._settle_bell = Alarm()
        if self._memory is not None and not self._recalled:
            await self._recall(self._memory)
            self._recalled = True
        async with (
            self._connect() as subscription,
            alarm(self._context.doorbell) as bell,
            helpers() as nursery,
        ):
            await self._received.tell(self._received.all)
            self._files.look()
            self._urls.look()
            nursery.start_soon(self._files.watch)
            nursery.start_soon(self._urls.fetch_all)
            nursery.start_soon(self._heed_doorbell, bell)
            nursery.start_soon(self._settle_again, subscription)
            nursery.start_soon(self._received.count_complaints)
            while True:
                await self._take(await subscription.receive(), subscription)

    async def _heed_doorbell(self, bell: Alarm) -> None:
        while True:
            await bell.wait(inf)
            await self._received.tell(self._received.all)
            self._urls.hasten()
            self._files.look()

    # --- the broker ---

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[Subscription]:
        try:
            async with subscribe(self._parameters, EXCHANGE, CONNECT_LIMIT, self._trust) as subscription:
                yield subscription
        except (pika.exceptions.AMQPError, OSError, trio.BrokenResourceError, trio.TooSlowError) as error:
            raise MonitorError(self._explain(error)) from None

    def _explain(self, error: BaseException) -> str:
        scheme = "amqps" if self.TLS else "amqp"
        reason = masked(" ".join(explain(error).split()))
        return f"{scheme}://{self._address}, virtual host {self._address.vhost!r}: {reason}"

    def _make_parameters(self) -> pika.ConnectionParameters:
        address = self._address
        return pika.ConnectionParameters(
            host=address.host,
            port=address.port,
            virtual_host=address.vhost,
            credentials=pika.PlainCredentials(address.user, address.password),
            heartbeat=HEARTBEAT,
            client_properties={"product": "emperor-trio", "connection_name": self._context.name},
        )

    def _make_trust(self) -> ssl.SSLContext:
        given = dict(self._address.certificates)
        try:
            context = ssl.create_default_context(cafile=given.get("cacertfile"))
            if "certfile" in given:
                context.load_cert_chain(given["certfile"], given.get("keyfile"))
        except OSError as error:  # also for what is wrong in a file
            files = ", ".join(f"{option} {path}" for option, path in given.items())
            reason = error.strerror or str(error)
            raise UsageError(f"--emperor {self._context.name}: {files}: {reason}") from None
        return context

    # --- messages ---

    async def _take(self, deliveries: list[Delivery], subscription: Subscription) -> None:
        """Take in what came, for each vassal only the newest, and acknowledge it once it is kept."""
        newest: dict[str, Message] = {}
        wrong: list[Wrong] = []
        for number, delivery in enumerate(deliveries, 1):
            message = read_message(self._rules, delivery.key, delivery.body)
            if isinstance(message, Wrong):
                wrong.append(message)
            else:
                newest.pop(message.name, None)
                newest[message.name] = message
            if not number % BATCH:
                await trio.lowlevel.checkpoint()
        for message in newest.values():
            await self._heed(message)
        for one in wrong:
            self._received.refuse(one)
        self._unsettled = deliveries[-1].tag
        await self._settle(subscription)

    async def _heed(self, message: Message) -> None:
        name = message.name
        self._files.drop(name)
        self._urls.drop(name)
        match message:
            case Given(config=config):
                version = self._received.next_version()
                spec = VassalSpec(name, version, version // 1_000_000, config)
                await self._received.tell(partial(self._received.keep, Kept(spec)))
            case Ended():
                await self._received.tell(partial(self._received.drop, name))
            case Path():
                self._note_announced(name)
                self._files.announce(name)
            case Url():
                self._note_announced(name)
                self._urls.announce(name)

    # --- memory ---

    async def _recall(self, memory: Memory) -> None:
        """What an earlier emperor kept, told at once: vassals need no broker to run."""
        files: list[Kept] = []
        for kept in await memory.recall():
            name = kept.spec.name
            if kept.origin.startswith("/"):
                files.append(kept)
            elif self._rules.tyrant:
                self._received.refuse(Wrong(name, "uid and gid", "missing", NO_OWNER))
            elif kept.spec.config is None:
                self._urls.announce(name)
            else:
                self._received.recall(kept)
        await self._files.recall(files)
        if self._received.kept:
            await self._received.tell(self._received.all)

    def _note_announced(self, name: str) -> None:
        """Keep that there is something to look at, should the emperor end before it did."""
        if self._memory is not None and name not in self._received.kept:
            self._memory.keep(Kept(VassalSpec(name, 0), origin=name))

    async def _settle(self, subscription: Subscription) -> None:
        """Acknowledge what is kept. What can't be kept counts, but the broker holds back what comes after it."""
        tag = self._unsettled
        try:
            if self._memory is not None:
                await self._memory.settle()
        except MonitorError:  # the memory tells of it
            self._settle_bell.ring()
        else:
            subscription.acknowledge(tag)
            if self._unsettled == tag:
                self._unsettled = 0

    async def _settle_again(self, subscription: Subscription) -> None:
        """Try again to keep what could not be kept, should no message come with which it would be tried."""
        while True:
            await self._settle_bell.wait(inf)
            await trio.sleep(SETTLE_RETRY)
            if self._unsettled:
                await self._settle(subscription)


class AmqpsMonitor(AmqpMonitor):
    """The same over TLS; ``?cacertfile=FILE``, ``certfile`` and ``keyfile`` may follow. Port 5671 where none is given.

    The broker's certificate has to be one that the system, or the ``cacertfile``, trusts for this host.
    """

    TLS = True
