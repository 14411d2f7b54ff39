"""Files that messages announced by their path: looked at when announced, and watched for their removal.

Only an announcement reloads a vassal. That a file is gone is seen by asking for its metadata every few seconds, all in
one go in a thread; believed it is when its folder lacks it twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from math import inf
from typing import TypeVar

import trio

from emperor_trio.model import Observation
from emperor_trio.monitors._announced_look import find_changed, look_at
from emperor_trio.monitors._belief import SECOND_LOOK
from emperor_trio.monitors._entries import Absent, Failed, Found, Outcome, Refused, Rules
from emperor_trio.monitors._received import Received
from emperor_trio.monitors._rows import Wrong
from emperor_trio.monitors._wait import Alarm
from emperor_trio.ports import Kept, MonitorContext

SLOW_LOOK = 5.0
"""Seconds for looking at the files that were remembered, before the first vassals are told of: a disk may hang."""

T = TypeVar("T")


class AnnouncedFiles:
    """The part of a monitor that is about files. A vassal of a file has its path for name and origin."""

    def __init__(self, context: MonitorContext, received: Received) -> None:
        self._received = received
        self._rules = Rules(
            nofollow=context.nofollow,
            extra_extensions=context.extra_extensions,
            magic_exec=context.magic_exec,
            tyrant=context.tyrant,
            tyrant_nofollow=context.tyrant_nofollow,
        )
        self._pause = min(context.frequency, 3.0)
        self._limiter = trio.CapacityLimiter(1)
        self._bell = Alarm()
        self._announced: dict[str, object] = {}
        self._missed = False
        self._doubted: dict[str, float] = {}

    # --- orders ---

    def announce(self, path: str) -> None:
        """Look at a file soon, and have its vassal started or reloaded, or stopped where it is gone."""
        self._announced[path] = object()
        self._bell.ring()

    def drop(self, path: str) -> None:
        """Its name was taken by something else: what is under way counts no more."""
        self._announced.pop(path, None)
        self._doubted.pop(path, None)

    def look(self) -> None:
        """Look at all of them at once, and for announcements that may have been missed, too."""
        self._missed = True
        self._bell.ring()

    async def recall(self, kept: Iterable[Kept]) -> None:
        """Take in the files that an earlier emperor kept, as they are now."""
        by_path = {one.origin: one for one in kept}
        outcomes: dict[str, Outcome] = {}
        with trio.move_on_after(SLOW_LOOK):
            outcomes = await self._in_thread(partial(look_at, list(by_path), self._rules))
        for path, one in by_path.items():
            match outcomes.get(path, Failed("a file system hangs")):
                case Found(spec=spec):
                    self._received.recall(Kept(spec, path))
                case Absent(reason=reason, sure=True):
                    self._refuse(path, "file", repr(path), f"{reason} any more")
                    self._received.settle(path)
                case Refused(field, value, reason):
                    self._refuse(path, field, value, reason)
                    self._received.settle(path)
                case _ if one.spec.version:
                    self._received.recall(one)
                case _:
                    self._announced[path] = object()

    # --- watching ---

    async def watch(self) -> None:
        """Goes on until it is cancelled."""
        while True:
            await self._look_at_announced()
            await self._look_for_changed()
            if not self._announced and not self._missed:
                pause = SECOND_LOOK if self._doubted else self._pause
                await self._bell.wait(trio.current_time() + pause if self._paths() else inf)

    def _paths(self) -> list[str]:
        return [name for name, kept in self._received.kept.items() if kept.origin.startswith("/")]

    async def _look_at_announced(self) -> None:
        orders = dict(self._announced)
        if orders:
            for path, outcome in (await self._in_thread(partial(look_at, orders, self._rules))).items():
                await self._received.tell(partial(self._take_announced, path, orders[path], outcome))

    def _take_announced(self, path: str, order: object, outcome: Outcome) -> Observation | None:
        if self._announced.get(path) is not order:
            return None
        self.drop(path)
        kept = self._received.kept.get(path)
        match outcome:
            case Found(spec=spec):
                return self._received.keep(Kept(spec, path))
            case Absent(reason=reason):
                if kept is not None:
                    return self._received.drop(path)
                self._refuse(path, "file", repr(path), reason)
            case Refused(field, value, reason, owner):
                self._refuse(path, field, value, reason)
                if kept is not None and kept.spec.owner != owner:
                    return self._received.drop(path)  # nothing runs as someone to whom its config belongs no more
            case Failed(error):
                self._refuse(path, "file", repr(path), f"{error}; announce it again when it can be looked at")
        self._received.settle(path)
        return None

    async def _look_for_changed(self) -> None:
        """Which files are gone, or belong to someone else; after an outage also which ones are newer."""
        received = self._received.kept
        missed, self._missed = self._missed, False
        changed = self._paths()
        if changed and not missed:
            expected = {path: received[path].spec.owner for path in changed}
            changed = await self._in_thread(partial(find_changed, expected, self._rules))
        self._doubted = {path: self._doubted[path] for path in changed if path in self._doubted}
        before = {path: received[path] for path in changed if path in received}
        if before:
            for path, outcome in (await self._in_thread(partial(look_at, before, self._rules))).items():
                decide = partial(self._take_changed, path, before[path], outcome, missed=missed)
                await self._received.tell(decide)

    def _take_changed(self, path: str, before: Kept, outcome: Outcome, *, missed: bool) -> Observation | None:
        if self._received.kept.get(path) is not before or path in self._announced:
            return None
        match outcome:
            case Found(spec=spec):
                self._doubted.pop(path, None)
                newest = spec if missed else replace(before.spec, owner=spec.owner)
                return self._received.keep(Kept(newest, path), force=False) if newest != before.spec else None
            case Refused(field, value, reason, owner) if owner != before.spec.owner:
                self._refuse(path, field, value, reason)
                return self._received.drop(path)
            case Absent(sure=True):
                now = trio.current_time()
                if now >= self._doubted.setdefault(path, now) + SECOND_LOOK:
                    del self._doubted[path]
                    return self._received.drop(path)
            case _:
                pass
        return None

    def _refuse(self, path: str, field: str, value: str, reason: str) -> None:
        self._received.refuse(Wrong(path, field, value, reason))

    async def _in_thread(self, function: Callable[[], T]) -> T:
        """A cancellation does not wait for it: a file system may hang."""
        return await trio.to_thread.run_sync(function, limiter=self._limiter, abandon_on_cancel=True)
