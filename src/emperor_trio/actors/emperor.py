"""The emperor: monitors, supervisor and outlets together in one nursery, from the first spawn to the last exit.

It knows only ports: what the real monitors, processes and outlets are is put together in :mod:`emperor_trio.app`, and
tests put fakes there.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

import trio

from emperor_trio import events
from emperor_trio.actors.bus import DEFAULT_LIMIT, Bus, Subscriber
from emperor_trio.actors.guard import Delays, Guard
from emperor_trio.actors.mailbox import Bell
from emperor_trio.actors.supervisor import Command, Policy, Supervisor
from emperor_trio.errors import MonitorError
from emperor_trio.model import Observation, Snapshot, VassalId, Verb, Verdict
from emperor_trio.ports import (
    Doorbell,
    EmperorStatistics,
    Holds,
    LineSource,
    Monitor,
    MonitorStatistics,
    Outlet,
    Spawner,
    VassalStatistics,
)

MakeMonitor = Callable[[Doorbell, Callable[[events.Event], None]], Monitor]
"""Makes a monitor, given its doorbell and the bus's ``publish``."""

DEFAULT_MERCY = 5.0
"""Seconds between the stop of all vassals and SIGKILL, where the nursery around the emperor is cancelled."""

MOST_SAID = 20
"""How many different errors of a monitor are told until it is well again."""

MOST_NAMED = 5
"""How many vassals of one command are named in the log."""

UNKEPT = " (until the emperor ends: without --emperor-state it is not kept)"

OUTLET_FLUSH = 1.0
"""Seconds that outlets have at the end, to show the last events."""


class ScanBell(Bell):
    """A monitor's doorbell that knows which of its rings were answered: by a whole snapshot, or by a failure."""

    __slots__ = ("_answered", "_news", "_rings", "_taken")

    def __init__(self) -> None:
        super().__init__()
        self._rings = self._taken = self._answered = 0
        self._news = trio.Event()

    def ring(self) -> None:
        self._rings += 1
        super().ring()

    async def wait(self) -> None:
        await super().wait()
        self._taken = self._rings

    def answer(self, *, all_of_them: bool = False) -> None:
        """Note that what was rung for is done: as far as the monitor has heard it, or all."""
        self._answered = self._rings if all_of_them else self._taken
        self._news.set()
        self._news = trio.Event()

    async def ring_and_wait(self) -> None:
        """Ring, and wait for the answer."""
        self.ring()
        number = self._rings
        while self._answered < number:
            await self._news.wait()


@dataclass(slots=True)
class _Watch:
    """One monitor under way, and its health."""

    monitor: Monitor
    bell: ScanBell
    guard: Guard = field(default_factory=lambda: Guard(Delays(first=0.25, most=1.0)))  # back soon after its source
    healthy: bool = False
    since: float = 0.0
    error: str = "no answer yet"
    last_error: str = ""
    next_try: float = 0.0
    answered: bool = False
    said: set[str] = field(default_factory=set)
    """What was said of this failure: two errors that take turns are news once each."""


class Emperor:
    """An emperor inside someone's own nursery: ``emperor = await nursery.start(Emperor(...).run)``.

    ``monitors`` are by name, in the order of the command line. ``services`` are what the spawner needs to run beside
    the actors (started before the first vassal, ended after the last). Cancelled, or told to :meth:`stop`, it stops
    every vassal, kills after a mercy what is left, and returns with nothing left behind.
    """

    def __init__(
        self,
        monitors: Mapping[str, MakeMonitor],
        spawner: Spawner,
        policy: Policy | None = None,
        *,
        services: Sequence[Callable[..., Awaitable[object]]] = (),
        holds: Holds | None = None,
        lines: LineSource | None = None,
        mercy: float = DEFAULT_MERCY,
        wall: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._bus = Bus(wall)
        self._wall = wall
        self._services = services
        self._holds = holds
        self.lines: LineSource | None = lines
        """What vassals print, where it comes through the emperor."""
        self._spawner = spawner
        self._mercy = mercy
        self._supervisor = Supervisor(policy or Policy(), spawner, self.publish, chance)
        self._outlets: list[tuple[str, Outlet, bool]] = []
        self._watches: dict[str, _Watch] = {}
        for name, make in monitors.items():
            bell = ScanBell()
            self._watches[name] = _Watch(make(bell, self.publish), bell, since=wall())
        self._stop = trio.Event()
        self._reason = "the nursery around it was cancelled"
        self._left_behind = 0

    # --- seen and steered ---

    def publish(self, event: events.Event) -> None:
        """Put an event on the bus. Never waits."""
        self._bus.publish(event)

    def subscribe(self, limit: int = DEFAULT_LIMIT) -> AbstractContextManager[Subscriber]:
        """Events from now on: ``with emperor.subscribe() as events: async for occurrence in events: …``."""
        return self._bus.subscribe(limit)

    def add_outlet(self, name: str, outlet: Outlet, *, drain: bool = False) -> None:
        """Have an outlet run beside the actors. Before :meth:`run` only.

        ``drain`` is for one that ends by itself with its subscription: it has a moment at the end for the last events.
        """
        self._outlets.append((name, outlet, drain))

    def stop(self, reason: str = "told to stop") -> None:
        """Stop every vassal and return from :meth:`run`. Told again, it waits no longer and kills what is left."""
        if self._stop.is_set():
            self._supervisor.hurry()
        else:
            self._reason = reason
            self._stop.set()

    async def command(self, command: Command) -> None:
        """Something for the whole empire."""
        self.publish(events.CommandReceived(command.value))
        await self._supervisor.command(command)

    def ring(self) -> None:
        """Have every monitor look at its source now; waits for nothing."""
        self.publish(events.CommandReceived("scan of all monitors"))
        for watch in self._watches.values():
            watch.bell.ring()

    async def scan(self, monitor: str | None = None) -> None:
        """Have a monitor, or all, look at its source now, and wait until it has said what it sees, or has failed to.

        Raises KeyError where there is no such monitor.
        """
        watches = [self._watches[monitor]] if monitor is not None else list(self._watches.values())
        self.publish(events.CommandReceived(f"scan of {monitor or 'all monitors'}"))
        async with trio.open_nursery() as nursery:
            for watch in watches:
                nursery.start_soon(watch.bell.ring_and_wait)

    async def order(self, verb: Verb, vassals: Sequence[VassalId]) -> tuple[Verdict, ...]:
        """Command vassals: a verdict for each, in their order. It does not wait for the effect.

        What is stopped stays so over a restart of the emperor, where there is a state file; it is written by then.
        """
        if vassals:
            more = ", …" if len(vassals) > MOST_NAMED else ""
            names = ", ".join(map(str, vassals[:MOST_NAMED]))
            self.publish(events.CommandReceived(f"{verb.value} of {names}{more}"))
        verdicts = await self._supervisor.order(verb, vassals)
        if verb not in (Verb.STOP, Verb.START):
            return verdicts
        if self._holds is None:
            return _add(verdicts, UNKEPT) if verb is Verb.STOP else verdicts
        for verdict in verdicts:
            if verdict.ok:
                self._holds.put(verdict.vassal, held=verb is Verb.STOP)
        try:
            await self._holds.settle()
        except MonitorError as error:
            return _add(verdicts, f"; but {error}")
        return verdicts

    def vassal(self, vassal: VassalId) -> VassalStatistics | None:
        """One vassal now, ``None`` where there is none of this name."""
        return self._supervisor.vassal(vassal, self._wall() - trio.current_time())

    def vassal_ids(self) -> tuple[VassalId, ...]:
        """Every vassal that there is, in no order."""
        return self._supervisor.vassal_ids()

    def absent(self) -> tuple[VassalId, ...]:
        """Those that are held stopped, but are not at their source now."""
        return self._supervisor.absent()

    def command_line(self, vassal: VassalId) -> tuple[str, ...]:
        """What its process was or would be started with, without masking; empty where there is no such vassal."""
        spec = self._supervisor.spec(vassal)
        return self._spawner.command_line(vassal, spec) if spec else ()

    def attributes(self, vassal: VassalId) -> Mapping[str, str]:
        """What its source says of it besides its config."""
        spec = self._supervisor.spec(vassal)
        return dict(spec.attributes) if spec else {}

    async def take_turn(self) -> None:
        """Wait until the supervisor has decided on all that came before: a sign of life, and as cheap as one."""
        await self._supervisor.take_turn()

    async def wait_stopping(self) -> None:
        """Wait until it is told to stop, or the nursery around it is cancelled."""
        await self._stop.wait()

    def monitors(self) -> tuple[MonitorStatistics, ...]:
        """The health of every monitor; cheap."""
        return tuple(
            MonitorStatistics(
                name,
                watch.healthy,
                watch.since,
                watch.error,
                self._supervisor.count(name),
                watch.last_error,
                watch.next_try,
                watch.answered,
            )
            for name, watch in self._watches.items()
        )

    def statistics(self) -> EmperorStatistics:
        """The whole empire now; linear in the number of vassals."""
        epoch = self._wall() - trio.current_time()
        return EmperorStatistics(
            monitors=self.monitors(),
            vassals=self._supervisor.vassals(epoch),
            blacklist=self._supervisor.blacklist(epoch),
            counters=dict(self._bus.counts),
        )

    @property
    def left_behind(self) -> int:
        """After the end: how many vassals could not even be killed. Their processes hang in the kernel."""
        return self._left_behind

    # --- running ---

    async def run(self, task_status: trio.TaskStatus[Emperor] = trio.TASK_STATUS_IGNORED) -> None:
        """Reign until stopped or cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._reign, task_status)
            try:
                await self._stop.wait()
            finally:
                self._stop.set()

    async def _reign(self, task_status: trio.TaskStatus[Emperor]) -> None:
        """Everything, shielded: a cancellation from outside, however early, arrives here as a stop."""
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as outlets, trio.open_nursery() as services:
                for name, outlet, drain in self._outlets:
                    (outlets if drain else services).start_soon(self._show, name, outlet)
                for service in self._services:
                    await services.start(service)
                for vassal in await self._holds.recall() if self._holds else ():
                    self._supervisor.hold(vassal)
                await services.start(self._supervisor.run)
                async with trio.open_nursery() as monitors:
                    for name, watch in self._watches.items():
                        monitors.start_soon(self._watch, name, watch)
                    task_status.started(self)
                    await self._stop.wait()
                    monitors.cancel_scope.cancel()
                    with trio.CancelScope(shield=True):  # the vassals' end waits for no monitor's
                        await self._end()
                services.cancel_scope.cancel()
                outlets.cancel_scope.deadline = trio.current_time() + OUTLET_FLUSH
                self._bus.close()

    async def _end(self) -> None:
        running = sum(1 for vassal in self._supervisor.vassals(0.0) if vassal.pid > 0)
        self.publish(events.EmperorStopping(self._reason, running))
        self._left_behind = await self._supervisor.shut_down(self._mercy)
        self.publish(events.EmperorStopped(self._left_behind))

    async def _watch(self, name: str, watch: _Watch) -> None:
        """One monitor's actor: what it sees goes to the supervisor, what befalls it stays here."""

        async def emit(observation: Observation) -> None:
            await self._supervisor.observe(name, observation)
            if not watch.healthy:
                watch.guard.progress()
                watch.healthy, watch.since, watch.error, watch.next_try = True, self._wall(), "", 0.0
                watch.answered = True
                seen = len(observation.specs) if isinstance(observation, Snapshot) else self._supervisor.count(name)
                self.publish(events.MonitorReady(name, seen))
            if isinstance(observation, Snapshot):
                watch.bell.answer()

        async def run() -> None:
            await watch.monitor.run(emit)

        def failed(error: str, retry_in: float) -> None:
            if watch.healthy:
                watch.since = self._wall()
                watch.said.clear()
            if error not in watch.said and len(watch.said) < MOST_SAID:
                watch.said.add(error)
                self.publish(events.MonitorFailed(name, error, retry_in))
            watch.healthy, watch.error, watch.last_error = False, error, error
            watch.next_try = self._wall() + retry_in
            watch.bell.answer(all_of_them=True)

        await watch.guard.keep(run, failed)

    async def _show(self, name: str, outlet: Outlet) -> None:
        def failed(error: str, retry_in: float) -> None:
            self.publish(events.OutletFailed(name, error, retry_in))

        await Guard(Delays(first=1.0, most=60.0)).keep(outlet.run, failed, may_end=True)


def _add(verdicts: tuple[Verdict, ...], text: str) -> tuple[Verdict, ...]:
    """The same verdicts, with something more said of each that is carried out."""
    return tuple(replace(verdict, text=verdict.text + text) if verdict.ok else verdict for verdict in verdicts)
