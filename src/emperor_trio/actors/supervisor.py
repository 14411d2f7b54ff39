"""The supervisor: one actor, the table of vassals, and every policy that is about more than one of them.

It takes in what monitors observe, what vassals report and what operators command, in the order of one bounded channel;
it decides what is desired and when a spawn may go out, and never waits for a vassal.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum

import trio

from emperor_trio import events
from emperor_trio.actors.guard import explain
from emperor_trio.actors.mailbox import Bell
from emperor_trio.actors.vassal import Report, VassalActor
from emperor_trio.law import effects as do
from emperor_trio.law import stimuli as hear
from emperor_trio.law.fleet import Change, Fleet, FleetRules, Refusal, What
from emperor_trio.law.orders import Act, Situation, judge
from emperor_trio.law.state import Blame, LifecycleRules, Phase
from emperor_trio.law.throttle import Blacklist, Intensity, Pacer, Priorities, ThrottleRules
from emperor_trio.model import Desired, Observation, VassalId, VassalSpec, Verb, Verdict
from emperor_trio.ports import BlacklistStatistics, HookPoint, Spawner, VassalStatistics

CHANNEL_CAPACITY = 256
"""How many observations and reports wait for the supervisor before their senders do."""

BATCH = 50
"""How many messages are decided, or changes handed on, before everyone else has a turn. A spawn takes a turn, too, and
far longer than a decision: one message a turn would make them wait for the spawns before them."""

GIVE_UP_AFTER = 5.0
"""Seconds after the last SIGKILL of a shutdown until processes that can't die (in the kernel) are left behind."""


class Command(Enum):
    """What an operator can ask of the whole empire; the value is what people read."""

    RELOAD_ALL = "reload of all vassals"
    FORGIVE_ALL = "the blacklist is cleared"
    LOG_STATUS = "status of all vassals"


@dataclass(frozen=True, slots=True)
class Observed:
    monitor: str
    observation: Observation


@dataclass(frozen=True, slots=True)
class Reported:
    actor: VassalActor
    report: Report


@dataclass(frozen=True, slots=True)
class Turn:
    """Nothing but the question whether the supervisor still takes its turns."""

    taken: trio.Event = field(default_factory=trio.Event)


@dataclass(slots=True)
class Ordered:
    """A command for some vassals. Whoever gave it waits for ``done``, and finds a verdict for each."""

    verb: Verb
    vassals: tuple[VassalId, ...]
    verdicts: list[Verdict] = field(default_factory=list)
    done: trio.Event = field(default_factory=trio.Event)


Message = Observed | Reported | Command | Ordered | Turn


@dataclass(frozen=True, slots=True)
class Policy:
    """Every rule of an empire. ``broodlord`` is the most zergs of the whole empire."""

    lifecycle: LifecycleRules = field(default_factory=LifecycleRules)
    throttle: ThrottleRules = field(default_factory=ThrottleRules)
    fleet: FleetRules = field(default_factory=FleetRules)
    priorities: Priorities = field(default_factory=Priorities)
    broodlord: int = 0


class Supervisor:
    """``publish`` is the bus; ``chance`` gives the jitter, from 0 to 1."""

    def __init__(
        self,
        policy: Policy,
        spawner: Spawner,
        publish: Callable[[events.Event], None],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy
        self._spawner = spawner
        self._publish = publish
        self._chance = chance
        self._rules = replace(
            policy.lifecycle,
            spawn_hook=spawner.has_hook(HookPoint.AFTER_SPAWN),
            stop_hook=spawner.has_hook(HookPoint.AFTER_DEATH),
        )
        self._fleet = Fleet(policy.fleet)
        self._blacklist = Blacklist(policy.throttle)
        self._intensity = Intensity(policy.throttle)
        self._pacer = Pacer(policy.throttle)
        self._pacer_bell = Bell()
        self._parked: set[VassalId] = set()
        self._denied: set[VassalId] = set()
        self._table: dict[VassalId, VassalActor] = {}
        self._send, self._receive = trio.open_memory_channel[Message](CHANNEL_CAPACITY)
        self._jobs: trio.Nursery | None = None
        self._vassals: trio.Nursery | None = None
        self._closing = False
        self._empty = trio.Event()
        self._mercy = trio.CancelScope()

    # --- the doors ---

    async def observe(self, monitor: str, observation: Observation) -> None:
        """A monitor saw something. Waits while the supervisor has too much to do, and only then."""
        message = Observed(monitor, observation)
        try:
            self._send.send_nowait(message)
        except trio.WouldBlock:
            await self._send.send(message)

    async def command(self, command: Command) -> None:
        await self._send.send(command)

    async def order(self, verb: Verb, vassals: Sequence[VassalId]) -> tuple[Verdict, ...]:
        """Command vassals: a verdict for each. It does not wait for the effect."""
        message = Ordered(verb, tuple(vassals))
        await self._send.send(message)
        await message.done.wait()
        return tuple(message.verdicts)

    def hold(self, vassal: VassalId) -> None:
        """Have a vassal stay stopped from its first sight on. Before :meth:`run` only."""
        self._fleet.hold(vassal)

    async def take_turn(self) -> None:
        """Wait until all that was sent before this has been decided on; for ever, where the supervisor hangs."""
        turn = Turn()
        await self._send.send(turn)
        await turn.taken.wait()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Decide for ever. Only a fault of this loop itself ends it."""
        async with trio.open_nursery() as self._jobs, trio.open_nursery() as self._vassals:
            self._vassals.start_soon(self._grant)
            task_status.started()
            async for message in self._receive:
                await self._take(message)
                with suppress(trio.WouldBlock):
                    for _ in range(1, BATCH):
                        await self._take(self._receive.receive_nowait())

    async def shut_down(self, mercy: float) -> int:
        """Stop every vassal, kill after ``mercy`` seconds what is left; how many could not even be killed."""
        self._closing = True
        self._check_empty()
        for actor in list(self._table.values()):
            actor.want(Desired(None, why="the emperor stops"))
        self._mercy.deadline = trio.current_time() + mercy
        with self._mercy:
            await self._empty.wait()
        for actor in list(self._table.values()):
            actor.post(hear.NoMercy())
        with trio.move_on_after(GIVE_UP_AFTER):
            await self._empty.wait()
        return len(self._table)

    def hurry(self) -> None:
        """End the mercy of a shutdown that is under way, or about to be."""
        self._mercy.cancel()

    # --- deciding ---

    async def _take(self, message: Message) -> None:
        try:
            await self._decide(message)
        except Exception as error:
            self._publish(events.ObservationFailed(_name(message), explain(error)))
        finally:
            if isinstance(message, Ordered):
                missing = message.vassals[len(message.verdicts) :]
                why = "the emperor stops" if self._closing else "the emperor could not decide on it; its log says why"
                message.verdicts += [Verdict(vassal, False, why) for vassal in missing]
                message.done.set()

    async def _decide(self, message: Message) -> None:
        if isinstance(message, Turn):
            message.taken.set()
            return
        if self._closing and not isinstance(message, Reported):
            return
        match message:
            case Observed(monitor, observation):
                changes, refusals = self._fleet.observe(monitor, observation)
                for refusal in refusals:
                    self._refuse(monitor, refusal)
                await self._apply(changes)
            case Reported(actor, report):
                if self._table.get(actor.vassal) is actor:
                    await self._apply(self._heed(actor, report))
            case Ordered(verb, vassals, verdicts):
                for number, vassal in enumerate(vassals, 1):
                    changes, verdict = self._obey(verb, vassal)
                    verdicts.append(verdict)
                    await self._apply(changes)
                    if number % BATCH == 0:
                        await trio.lowlevel.checkpoint()
            case Command.RELOAD_ALL:
                await self._apply(self._fleet.reload_all())
            case Command.FORGIVE_ALL:
                for vassal in self._blacklist.clear():
                    self._hasten(vassal)
            case Command.LOG_STATUS:
                await self._log_status()

    def _obey(self, verb: Verb, vassal: VassalId) -> tuple[list[Change], Verdict]:
        """Carry out a command for one vassal, as far as that is for the supervisor."""
        actor, desired = self._table.get(vassal), self._fleet.desired(vassal)
        judgement = judge(
            verb,
            Situation(
                phase=actor.state.phase if actor else Phase.NEW,
                desired=desired,
                held=self._fleet.is_held(vassal),
                waits=self._blacklist.due(vassal) > 0 or vassal in self._blacklist,
                zerg=vassal.ordinal > 0,
            ),
        )
        changes: list[Change] = []
        match judgement.act:
            case Act.RELOAD:
                changes = self._fleet.reload(vassal)
            case Act.RENEW:
                changes = self._fleet.restart(vassal)
            case Act.HOLD:
                changes = self._fleet.hold(vassal)
            case Act.RELEASE:
                changes = self._fleet.start(vassal)
            case Act.FORGIVE:
                self._blacklist.forgive(vassal)
                self._hasten(vassal)
            case Act.NOTHING:
                pass
        wanted = self._fleet.desired(vassal)
        return changes, Verdict(vassal, judgement.ok, judgement.text, wanted.revision if wanted else 0)

    def _refuse(self, monitor: str, refusal: Refusal) -> None:
        self._publish(
            events.VassalRefused(monitor, refusal.name, refusal.field, refusal.value, refusal.reason),
        )

    async def _apply(self, changes: list[Change]) -> None:
        """Hand on new desired states, in the order in which vassals start, without keeping anyone else waiting."""
        changes.sort(key=lambda change: self._policy.priorities.rank(change.vassal))
        for number, change in enumerate(changes, 1):
            if self._closing:
                return
            self._publish_change(change)
            self._parked.discard(change.vassal)
            if change.what is not What.TOUCHED and self._blacklist.forgive(change.vassal):
                self._hasten(change.vassal)
            actor = self._table.get(change.vassal)
            if actor is not None:
                actor.want(change.desired)
            elif change.desired.spec is not None:
                self._summon(change.vassal, change.desired)
            if number % BATCH == 0:
                await trio.lowlevel.checkpoint()

    def _publish_change(self, change: Change) -> None:
        if change.what is What.ADDED:
            self._publish(events.VassalAdded(change.vassal))
        else:
            self._publish(events.VassalChanged(change.vassal, change.what.value))

    def _summon(self, vassal: VassalId, desired: Desired) -> None:
        assert self._vassals is not None  # noqa: S101 - set by run(), before any message
        assert self._jobs is not None  # noqa: S101
        actor = self._table[vassal] = VassalActor(
            vassal,
            desired,
            self._rules,
            self._spawner,
            self._publish,
            self._jobs,
            self._hear,
            self._forget,
            self._fleet.count_zergs,
        )
        self._vassals.start_soon(actor.run)
        for report in actor.begin():
            self._heed(actor, report)

    async def _hear(self, actor: VassalActor, report: Report) -> None:
        await self._send.send(Reported(actor, report))

    def _forget(self, actor: VassalActor) -> None:
        """The vassal is gone: nothing of it stays behind."""
        vassal = actor.vassal
        del self._table[vassal]
        self._pacer.withdraw(vassal)
        self._settle(vassal)
        self._intensity.forget(vassal)
        self._parked.discard(vassal)
        self._denied.discard(vassal)
        self._blacklist.forgive(vassal)
        self._check_empty()

    def _check_empty(self) -> None:
        if self._closing and not self._table:
            self._empty.set()

    def _heed(self, actor: VassalActor, report: Report) -> list[Change]:
        """Take in a vassal's report: what becomes of the desired states by it."""
        vassal = actor.vassal
        match report:
            case do.AskLeave(number):
                self._settle(vassal)
                self._consider(actor, number)
            case do.Withdraw():
                self._pacer.withdraw(vassal)
                self._settle(vassal)
            case do.ReportReady():
                self._pacer.resume()
                self._settle(vassal)
            case do.ReportLoyal():
                self._blacklist.forgive(vassal)
            case do.ReportDeath(blame, repeated):
                self._settle(vassal)
                self._blame(vassal, blame, repeated)
            case do.ReportShortage(error):
                delay = self._pacer.postpone(trio.current_time())
                self._publish(events.SpawnPostponed(vassal, error, delay))
            case do.AskReinforcement():
                return self._reinforce(vassal)
            case do.EndZerg():
                change = self._fleet.end_zerg(vassal)
                return [change] if change else []
        return []

    def _consider(self, actor: VassalActor, number: int) -> None:
        """A vassal asks for the leave to spawn: it is queued for its time, or parked."""
        vassal = actor.vassal
        if vassal in self._parked:
            self._parked.discard(vassal)
            actor.post(hear.Park(number, self._policy.throttle.max_restarts, self._policy.throttle.restart_window))
            return
        due = max(self._blacklist.due(vassal), trio.current_time())
        self._pacer.request(vassal, self._policy.priorities.rank(vassal), due, number)
        self._pacer_bell.ring()

    def _blame(self, vassal: VassalId, blame: Blame, repeated: bool) -> None:
        now = trio.current_time()
        self._table[vassal].deaths += 1
        if vassal.ordinal:
            return
        if self._intensity.add_death(vassal, now):
            self._parked.add(vassal)
        if blame is not Blame.LOYAL:
            entry = self._blacklist.add_death(vassal, now, self._chance(), unborn=blame is Blame.UNBORN)
            if entry is not None and not repeated:
                self._publish(events.VassalBlacklisted(vassal, entry.attempt, entry.delay))
        if repeated:
            self._publish(events.VassalMoved(vassal, Phase.QUEUED.value))

    def _reinforce(self, vassal: VassalId) -> list[Change]:
        most = self._policy.broodlord
        change = self._fleet.add_zerg(vassal, most) if most else None
        if change is None:
            if vassal not in self._denied:  # they ask every second
                self._denied.add(vassal)
                why = f"there may be {events.counted(most, 'zerg')}" if most else "there is no --emperor-broodlord"
                self._publish(events.ReinforcementAsked(vassal, granted=False, reason=f"none, {why}"))
            return []
        self._denied.discard(vassal)
        number = f"zerg {change.vassal.ordinal}"
        self._publish(events.ReinforcementAsked(vassal, granted=True, reason=f"{number} comes"))
        return [change]

    # --- pacing ---

    async def _grant(self) -> None:
        """Grant spawns in order, back to back, with a checkpoint after each so that nothing else waits for them."""
        while True:
            grant = self._pacer.take(trio.current_time())
            if grant is None:
                with trio.move_on_at(self._pacer.next_due()):
                    await self._pacer_bell.wait()
                continue
            self._table[grant.vassal].post(hear.Leave(grant.number))
            await trio.lowlevel.checkpoint()

    def _settle(self, vassal: VassalId) -> None:
        self._pacer.settle(vassal)
        self._pacer_bell.ring()

    def _hasten(self, vassal: VassalId) -> None:
        self._pacer.hasten(vassal, trio.current_time())
        self._pacer_bell.ring()

    # --- showing ---

    async def _log_status(self) -> None:
        """In bites that a log can swallow."""
        for number, (vassal, actor) in enumerate(sorted(self._table.items()), 1):
            state = actor.state
            uptime = trio.current_time() - state.first_run if state.pid else 0.0
            self._publish(events.VassalStatus(vassal, state.phase.value, state.pid, uptime, state.loyal))
            if number % BATCH == 0:
                await trio.lowlevel.checkpoint()

    def count(self, monitor: str) -> int:
        """How many vassals are desired of a monitor."""
        return self._fleet.count(monitor)

    def vassals(self, epoch: float) -> tuple[VassalStatistics, ...]:
        """Every vassal now. ``epoch`` is the time since 1970 at which the monotonic clock was 0."""
        return tuple(self._describe(actor, epoch) for actor in self._table.values())

    def vassal(self, vassal: VassalId, epoch: float) -> VassalStatistics | None:
        """One vassal now."""
        actor = self._table.get(vassal)
        return self._describe(actor, epoch) if actor else None

    def vassal_ids(self) -> tuple[VassalId, ...]:
        return tuple(self._table)

    def absent(self) -> tuple[VassalId, ...]:
        """Those that are held, but not at their source now."""
        return tuple(self._fleet.absent())

    def spec(self, vassal: VassalId) -> VassalSpec | None:
        """What a vassal's process was made from, or would be."""
        actor = self._table.get(vassal)
        return (actor.state.spec or actor.desired.spec) if actor else None

    def _describe(self, actor: VassalActor, epoch: float) -> VassalStatistics:
        due = self._blacklist.due(actor.vassal) if actor.state.phase is Phase.QUEUED else 0.0
        return _describe(actor, epoch, due if due > trio.current_time() else 0.0)

    def blacklist(self, epoch: float) -> tuple[BlacklistStatistics, ...]:
        return tuple(
            BlacklistStatistics(vassal, entry.delay, entry.attempt, epoch + entry.first, epoch + entry.last)
            for vassal, entry in self._blacklist
        )


def _name(message: Message) -> str:
    match message:
        case Observed(monitor, observation):
            return f"{type(observation).__name__} of {monitor}"
        case Reported(actor, report):
            return f"{type(report).__name__} of {actor.vassal}"
        case Ordered(verb, vassals):
            return f"{verb.value} of {events.counted(len(vassals), 'vassal')}"
        case Command():
            return message.value
        case Turn():
            return type(message).__name__


def _describe(actor: VassalActor, epoch: float, due: float) -> VassalStatistics:
    state, vassal = actor.state, actor.vassal
    spec = actor.desired.spec or state.spec
    made_from = state.spec or spec

    def wall(moment: float) -> float:
        return epoch + moment if moment else 0.0

    return VassalStatistics(
        vassal=vassal,
        name=f"{vassal.name}:zerg" if vassal.ordinal else vassal.name,
        phase=state.phase.value,
        pid=state.pid or -1,
        generation=state.generation,
        revision=state.revision,
        born=actor.born,
        modified=spec.modified if spec else 0,
        first_run=wall(state.first_run),
        last_run=wall(state.last_run),
        last_ready=wall(state.last_ready),
        last_accepting=wall(state.last_accepting),
        last_loyal=wall(state.last_loyal),
        last_heartbeat=wall(state.last_heartbeat),
        ready=state.ready,
        accepting=state.accepting,
        loyal=state.loyal,
        cursed_at=wall(state.cursed_at),
        reloads=state.reloads,
        on_demand=state.address or (spec.socket if spec and state.phase is not Phase.GONE else None),
        owner=made_from.owner if made_from else None,
        reason=state.reason,
        wanted=actor.desired.revision,
        held=actor.desired.held,
        since=wall(actor.since),
        deaths=actor.deaths,
        exit_code=actor.exit_code,
        next_spawn=wall(due),
        attributes=spec.attributes if spec else (),
    )
