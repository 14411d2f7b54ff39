"""The monitor of files: one loop that looks, says what it saw, and waits for the next reason to look.

``dir://`` and ``glob://`` are this with different plans. What is looked at runs in one worker thread at a time; what it
means is decided in :mod:`._ledger` and :mod:`._agenda`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from math import inf

import trio

from emperor_trio.events import MonitorNotice
from emperor_trio.monitors._agenda import Agenda
from emperor_trio.monitors._entries import Rules
from emperor_trio.monitors._inotify import Inbox, Seen, open_inbox
from emperor_trio.monitors._ledger import Ledger
from emperor_trio.monitors._look import MOST_TARGETS, Looker
from emperor_trio.monitors._patterns import Plan
from emperor_trio.monitors._points import own_key
from emperor_trio.monitors._sight import Job, Look, Place
from emperor_trio.monitors._vassals import Told
from emperor_trio.ports import Emit, MonitorContext

SAFETY_SCAN = 60.0
"""Seconds between complete looks while inotify tells of every change."""

SLOW_LOOK = 30.0
"""Seconds after which a look that is not over is told of, once until one is over in time."""

INOTIFY_RETRY = 60.0
"""Seconds after inotify fell short until it is tried again."""


class FileMonitor:
    """Watches the files of a plan. The same object may be run again: what it said before is remembered."""

    def __init__(self, context: MonitorContext, plan: Plan) -> None:
        self._context = context
        self._plan = plan
        self._rules = Rules.of(context)
        self._limiter = trio.CapacityLimiter(1)
        self._ledger = Ledger(context.name, Place(plan.base, shown=plan.shown))
        self._inbox: Inbox | None = None
        self._say_all = False
        self._no_inotify = ""
        self._shortage = ""
        self._retry_inotify_at = -inf
        self._trouble = ""
        self._slow = False

    async def run(self, emit: Emit) -> None:
        """See :class:`emperor_trio.ports.Monitor`."""
        self._agenda = Agenda(self._plan, self._rules, self._ledger)
        self._ledger.restart()
        try:
            while True:
                self._try_inotify()
                job, say_all = self._agenda.take(trio.current_time()), self._say_all
                self._say_all = False
                look = await self._look(job)
                told = await self._take(look, say_all=say_all)
                for event in told.events:
                    self._context.publish(event)
                for observation in told.observations:
                    await emit(observation)
                await self._wait()
        finally:
            if self._inbox is not None:
                self._inbox.close()
                self._inbox = None

    # --- looking ---

    async def _look(self, job: Job) -> Look:
        more = not self._shortage or trio.current_time() >= self._retry_inotify_at
        targets = self._ledger.vassals.points.folders()
        looker = Looker(self._plan, self._rules, self._inbox, self._ledger.vassals.known, targets, more=more)
        carry_out = partial(looker.carry_out, job)
        look = await (self._run(carry_out) if not job.places else self._run_watched(carry_out))
        if look.shortage:
            self._retry_inotify_at = trio.current_time() + INOTIFY_RETRY
        if look.shortage or (more and job.full):
            self._shortage = look.shortage
        return look

    async def _run(self, carry_out: Callable[[], Look]) -> Look:
        """In a thread. A cancellation does not wait for it: a file system may hang."""
        return await trio.to_thread.run_sync(carry_out, limiter=self._limiter, abandon_on_cancel=True)

    async def _run_watched(self, carry_out: Callable[[], Look]) -> Look:
        """The same, and tell of it once when it takes too long."""
        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._warn_when_slow)
            look = await self._run(carry_out)
            nursery.cancel_scope.cancel()
        self._slow = self._slow and trio.current_time() - started >= SLOW_LOOK
        return look

    async def _warn_when_slow(self) -> None:
        await trio.sleep(SLOW_LOOK)
        if not self._slow:
            text = f"looking takes over {SLOW_LOOK:g} s, a file system may hang; vassals stay as they are meanwhile"
            self._context.publish(MonitorNotice(self._context.name, text))
        self._slow = True

    async def _take(self, look: Look, *, say_all: bool) -> Told:
        """Decide what is to be said, and what is to be looked at next."""
        events = self._note_events()
        now = trio.current_time()
        self._agenda.looked(look.glances, now)
        on_the_way = self._ledger.on_the_way()
        take = partial(self._ledger.take, look, now, self._agenda.stale, self._agenda.unfinished, say_all=say_all)
        # Thousands of folders take longer to think about than the loop may stand still.
        told = await trio.to_thread.run_sync(take, limiter=self._limiter) if look.job.full else take()
        for event in events:
            if event.folder in look.watched:  # what it means may be known only now
                self._agenda.note(event, now)
        if self._inbox is not None:
            for folder in look.watched.union(told.freed):
                if not self._ledger.needs(folder):
                    self._inbox.unwatch(folder)
            for folder in on_the_way - self._ledger.on_the_way():
                self._narrow(self._inbox, folder)
        if look.job.full:
            self._choose_pace(now)
        elif not self._ledger.vassals.known:
            self._agenda.next_scan = min(self._agenda.next_scan, now + self._context.frequency)
        return told

    def _narrow(self, inbox: Inbox, folder: str) -> None:
        """What was awaited in a folder on the way is there: only the folder's own fate is to be heard from now on. The
        kernel forgets what else was asked with the whole watch alone; the next look at the first folder sets it again.
        """
        key = own_key(folder)
        if inbox.watches(key) and not self._ledger.needs(folder):
            inbox.unwatch(key)
            self._agenda.look_at_base()

    def _choose_pace(self, now: float) -> None:
        """When to look at everything again: rarely where inotify tells of every change, and why not is said once.

        Of an empty folder it may not: deleted while a process stands in it, it goes without a sound.
        """
        trouble = self._find_trouble()
        often = self._context.frequency
        if trouble and trouble != self._trouble:
            self._context.publish(MonitorNotice(self._context.name, f"{trouble}: scanning every {often:g} s"))
        self._trouble = trouble
        covered = self._ledger.there and not trouble and bool(self._ledger.vassals.known)
        self._agenda.next_scan = now + (max(SAFETY_SCAN, often) if covered else often)

    def _find_trouble(self) -> str:
        """Why inotify does not tell of every change, where that is so."""
        if self._inbox is None:
            return self._no_inotify
        if self._shortage:
            return f"inotify has no watch left to give ({self._shortage}; see fs.inotify.max_user_watches)"
        if (folder := self._ledger.remote) is not None:
            return f"{folder!r} is on a file system of which inotify does not tell everything"
        if (folder := self._ledger.uncovered) is not None:
            return f"inotify can't watch {folder!r}"
        points = self._ledger.vassals.points
        if any(not self._inbox.watches(folder) for folder in points.folders() - self._ledger.on_the_way()):
            return f"links lead into folders that are not watched (at most {MOST_TARGETS} are)"
        return ""

    # --- waiting ---

    def _try_inotify(self) -> None:
        now = trio.current_time()
        if self._inbox is not None or now < self._retry_inotify_at:
            return
        try:
            self._inbox = open_inbox()
        except OSError as error:
            limits = "fs.inotify.max_user_instances, or the limit of open files"
            self._no_inotify = f"inotify is not to be had ({os.strerror(error.errno or 0)}; see {limits})"
            self._retry_inotify_at = now + INOTIFY_RETRY
        else:
            self._agenda.scan_now()

    def _note_events(self) -> list[Seen]:
        if self._inbox is None:
            return []
        events = self._inbox.take()
        if events is None:
            self._agenda.overflow()
            return []
        now = trio.current_time()
        for event in events:
            self._agenda.note(event, now)
        for folder in self._agenda.lost:
            self._inbox.unwatch(folder)
        return events

    async def _wait(self) -> None:
        """Until there is a reason to look: something happened that matters, someone rings, or something is due."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._wait_for_ring, nursery.cancel_scope)
            while (due := self._agenda.next_due()) > trio.current_time():
                nursery.cancel_scope.deadline = due
                if self._inbox is None:
                    await trio.sleep_forever()
                else:
                    await self._inbox.wait()
                self._note_events()
            nursery.cancel_scope.cancel()

    async def _wait_for_ring(self, scope: trio.CancelScope) -> None:
        await self._context.doorbell.wait()
        self._agenda.scan_now()
        self._say_all = True
        scope.cancel()
