"""Configs that messages announced by their URL: fetched when announced, tried again while no answer comes.

What an answer leads to is decided here; how one is got is in :mod:`._http`, when it is tried in :mod:`._fetches`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import trio

from emperor_trio.model import Observation, VassalSpec
from emperor_trio.monitors._fetches import Fetch, Fetches
from emperor_trio.monitors._http import (
    AT_ONCE,
    Answer,
    Denied,
    Fetched,
    Fetcher,
    Forbidden,
    HostPolicy,
    Unchanged,
    Unheard,
    make_trust,
    open_fetcher,
)
from emperor_trio.monitors._received import Received
from emperor_trio.monitors._rows import BadField, Wrong, read_config
from emperor_trio.monitors._wait import Alarm
from emperor_trio.ports import Kept, MonitorContext

GONE = (404, 410)
"""Answers that mean "there is none" also where nobody announced anything."""


class AnnouncedUrls:
    """The part of a monitor that is about URLs. A vassal of a URL has it for name and origin.

    Raises :class:`~emperor_trio.errors.UsageError` for a wrong ``--emperor-http-host``.
    """

    def __init__(self, context: MonitorContext, received: Received) -> None:
        self._received = received
        self._policy = HostPolicy(context.http_hosts)
        self._limit = context.http_timeout
        self._trust = make_trust()
        self._fetches = Fetches()
        self._bell = Alarm()

    # --- orders ---

    def announce(self, url: str) -> None:
        """Fetch a URL soon, and have its vassal started or reloaded, or stopped where there is no config."""
        self._fetches.add(url)
        self._bell.ring()

    def drop(self, url: str) -> None:
        """Its name was taken by something else: what is under way counts no more."""
        self._fetches.drop(url)

    def hasten(self) -> None:
        """Whatever waits for its next try is tried at once."""
        self._fetches.hasten()
        self._bell.ring()

    def look(self) -> None:
        """Ask for all of them in the background: announcements may have been missed."""
        for name, kept in self._received.kept.items():
            if kept.origin and not kept.origin.startswith("/"):
                self._fetches.add(name, quiet=True)
        self._bell.ring()

    # --- fetching ---

    async def fetch_all(self) -> None:
        """Fetch whatever is due, a few at once. Goes on until it is cancelled."""
        self._fetches.restart()
        room = trio.Semaphore(AT_ONCE)
        async with (
            open_fetcher(self._policy, self._limit, self._trust) as fetcher,
            trio.open_nursery() as nursery,
        ):
            while True:
                await room.acquire()
                while (fetch := self._fetches.take(trio.current_time())) is None:
                    await self._bell.wait(self._fetches.next_due())
                nursery.start_soon(self._fetch, fetcher, fetch, room)

    async def _fetch(self, fetcher: Fetcher, fetch: Fetch, room: trio.Semaphore) -> None:
        try:
            kept = self._received.kept.get(fetch.url)
            answer = await fetcher.fetch(fetch.url, kept.validators if kept else "")
        finally:
            room.release()
        await self._received.tell(partial(self._take, fetch, answer))

    def _take(self, fetch: Fetch, answer: Answer) -> Observation | None:
        if not self._fetches.counts(fetch):
            return None
        url, kept = fetch.url, self._received.kept.get(fetch.url)
        observation: Observation | None = None
        if isinstance(answer, Unheard):
            self._refuse(url, "URL", f"{answer.reason}; nothing changes for it, and it is tried again")
            self._fetches.failed(fetch, trio.current_time())
            self._bell.ring()
            return None
        match answer:
            case Fetched(body, validators):
                observation = self._take_config(fetch, kept, body, validators)
            case Unchanged() if kept is not None and not fetch.quiet:
                observation = self._received.keep(replace(kept, spec=self._renew(kept.spec)))
            case Denied(status) if not fetch.quiet or status in GONE:
                observation = self._received.drop(url)
                self._refuse(url, "answer", f"{status}, and only 200 is a config")
            case Forbidden(reason):
                self._refuse(url, "URL", reason)
            case _:
                pass
        self._fetches.done(fetch)
        self._received.settle(url)
        return observation

    def _take_config(self, fetch: Fetch, kept: Kept | None, body: bytes, validators: str) -> Observation | None:
        try:
            config = read_config(body)
        except BadField as bad:
            self._received.refuse(bad.of(fetch.url))
            return None
        if fetch.quiet and kept is not None and kept.spec.config == config:
            return self._received.keep(replace(kept, validators=validators), force=False)
        return self._received.keep(Kept(self._renew(VassalSpec(fetch.url, 0, config=config)), fetch.url, validators))

    def _renew(self, spec: VassalSpec) -> VassalSpec:
        version = self._received.next_version()
        return replace(spec, version=version, modified=version // 1_000_000)

    def _refuse(self, url: str, field: str, reason: str) -> None:
        self._received.refuse(Wrong(url, field, repr(url), reason))
