"""Entries of a private LDAP server, seen from the side of whoever changes them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trio

from emperor_trio.events import Event
from emperor_trio.masking import masked
from emperor_trio.monitors import find_monitor
from emperor_trio.ports import Doorbell, Monitor, MonitorContext
from emperor_trio.testing.conformance import Watched
from tests.support.servers.proxy import Proxy
from tests.support.servers.slapd import Slapd, vassal

PATIENCE = 20.0


def make_ldap_monitor(text: str, publish: Callable[[Event], None], bell: Doorbell, **options: Any) -> Monitor:
    found = find_monitor(text)
    return found.factory(MonitorContext(masked(text), found.argument, publish, bell, **options))


@asynccontextmanager
async def watching_ldap(text: str, *, patience: float = PATIENCE, **options: Any) -> AsyncIterator[Watched]:
    """A monitor that runs, and is run again soon after it failed, as the emperor does."""
    watched = Watched(patience)
    monitor = make_ldap_monitor(text, watched.publish, watched.bell, **options)

    async def keep() -> None:
        while True:
            try:
                await monitor.run(watched.emit)
            except* AssertionError:
                raise
            except* Exception as group:
                watched.failures += group.exceptions
                watched._wake()
            await trio.sleep(0.1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep)
        yield watched
        nursery.cancel_scope.cancel()


@dataclass
class LdapSource:
    """A :class:`~emperor_trio.testing.conformance.Source`. It fails by a cut of the ``middle``, where there is one.

    Else the server itself is killed; what is changed while it is down is changed as soon as it is back.
    """

    server: Slapd
    middle: Proxy | None = None
    frequency: float = 60.0
    patience: float = PATIENCE
    outage: float = 1.0
    base: str = field(init=False)

    def __post_init__(self) -> None:
        self.base = self.server.add_base()
        self._number = 0
        self._later: list[Callable[[], None]] = []

    def make_monitor(self, publish: Callable[[Event], None], doorbell: Doorbell) -> Monitor:
        port = self.middle.port if self.middle else self.server.port
        return make_ldap_monitor(f"ldap://127.0.0.1:{port}/{self.base}", publish, doorbell, frequency=self.frequency)

    def name(self, entry: str) -> str:
        return entry

    async def add(self, entry: str) -> None:
        await self._do(lambda: self.server.add(self._dn(entry), vassal(entry)))

    async def change(self, entry: str) -> None:
        self._number += 1
        number = str(self._number)
        await self._do(lambda: self.server.modify(self._dn(entry), {"uWSGIprocesses": number}))

    async def remove(self, entry: str) -> None:
        await self._do(lambda: self.server.delete(self._dn(entry)))

    async def spoil(self, entry: str) -> None:
        await self._do(lambda: self.server.add(self._dn(entry), vassal(entry, env="A=B\nexec-as-root = evil")))

    async def break_down(self) -> None:
        if self.middle is not None:
            self.middle.refuse = True
            self.middle.reset_all()
        else:
            await trio.to_thread.run_sync(self.server.stop)

    async def heal(self) -> None:
        if self.middle is not None:
            self.middle.refuse = False
            return
        await trio.to_thread.run_sync(self.server.start)
        for job in self._later:
            await trio.to_thread.run_sync(job)
        self._later.clear()

    async def _do(self, job: Callable[[], None]) -> None:
        if self.server.process is None:
            self._later.append(job)
        else:
            await trio.to_thread.run_sync(job)

    def _dn(self, entry: str) -> str:
        return f"cn={entry},{self.base}"
