"""A model of everything around the rules: an operating system, a supervisor and vassals that behave as they like.

It carries out effects and hands back stimuli as the actors do, but every message waits in its queue until somebody
says whose turn it is: so any order of turns can be played. What must hold at every moment is asserted on the way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from emperor_trio.law import effects as do
from emperor_trio.law import stimuli as hear
from emperor_trio.law.fleet import Change, Fleet, FleetRules, What
from emperor_trio.law.lifecycle import step
from emperor_trio.law.orders import Act, Situation, judge
from emperor_trio.law.protocol import Order, Signal, condense
from emperor_trio.law.state import ALIVE, Blame, LifecycleRules, Phase, State
from emperor_trio.law.throttle import Blacklist, Intensity, Pacer, Priorities, ThrottleRules
from emperor_trio.model import Desired, Observation, VassalId, VassalSpec, Verb

NEVER = float("inf")
PATIENCE = 5.0
"""Seconds that a vassal waits for the config that it has asked for."""


@dataclass(eq=False)
class Process:
    """One process of the model's OS. ``wire`` is what it sent and nobody has heard yet; a ``stuck`` one takes no more
    orders; a ``counted`` one has a place among those starting."""

    actor: Actor
    generation: int
    config: bytes | None
    alive: bool = True
    open: bool = True
    released: bool = False
    stuck: bool = False
    counted: bool = True
    booted: bool = False
    asked_at: float | None = None
    configs: list[bytes] = field(default_factory=list)
    orders: deque[Order] = field(default_factory=deque)
    chunks: deque[bytes] = field(default_factory=deque)
    wire: deque[hear.Stimulus] = field(default_factory=deque)

    def say(self, *signals: int) -> None:
        if self.alive and self.open:
            self.wire.append(hear.Heard(self.generation, bytes(signals)))

    def close(self) -> None:
        if self.alive and self.open:
            self.open = False
            self.wire.append(hear.Lost(self.generation))

    def end(self, code: int) -> None:
        if self.alive:
            self.alive = False
            self.wire.append(hear.Ended(self.generation, code))

    # --- as uWSGI behaves ---

    def go_on(self) -> None:
        """Go on with a start or reload that is under way."""
        if self.asked_at is None:
            self.boot()
        else:
            self.finish_reload()

    def boot(self) -> None:
        """The first start: it reads its config, and says byte 1."""
        if self.config is not None:
            self._read()
        self.booted = True
        self.say(Signal.READY)

    def reload(self) -> None:
        """Execute itself anew: it asks for its config, and waits for it."""
        self.booted = False
        if self.config is None:
            self.finish_reload()
        else:
            self.asked_at = self.actor.world.now
            self.say(Signal.SEND_CONFIG)

    def finish_reload(self) -> None:
        """The config is there: it reads it, and says byte 5. Without it, it loses patience in the end."""
        if self.config is not None:
            if not self.chunks:
                if self.asked_at is not None and self.actor.world.now >= self.asked_at + PATIENCE:
                    self.end(1)
                return
            self._read()
        self.booted = True
        self.say(Signal.ACCEPTING)

    def obey(self) -> None:
        """Take one order."""
        if self.orders.popleft() is Order.RELOAD:
            self.reload()
        else:
            self.end(0)

    def _read(self) -> None:
        assert len(self.chunks) == 1, "one chunk for each read, and so the newest there is"
        self.config = self.chunks.popleft()
        self.configs.append(self.config)


@dataclass(eq=False)
class Socket:
    address: str
    armed: bool = False
    closed: bool = False


@dataclass(eq=False)
class Job:
    """A hook, or a socket that is asked for or bound: it ends when somebody says so."""

    effect: do.RunStopHook | do.AskSocket | do.Bind
    cancelled: bool = False


class Actor:
    """The shell around one vassal's rules."""

    def __init__(self, world: World, vassal: VassalId, desired: Desired) -> None:
        self.world = world
        self.vassal = vassal
        self.desired = desired
        self.state = State()
        self.mail: deque[hear.Stimulus] = deque()
        self.reports: deque[do.Effect] = deque()
        self.process: Process | None = None
        self.socket: Socket | None = None
        self.socket_job: Job | None = None
        self.hook_job: Job | None = None

    def want(self, desired: Desired) -> None:
        self.desired = desired
        self.post(hear.Look())

    def post(self, stimulus: hear.Stimulus) -> None:
        match self.mail[-1] if self.mail else None, stimulus:
            case hear.Heard(generation, data), hear.Heard(other, more) if generation == other:
                self.mail[-1] = hear.Heard(generation, condense(data + more))
            case _:
                self.mail.append(stimulus)

    @property
    def has_turn(self) -> bool:
        return bool(self.mail) or self.state.deadline <= self.world.now

    def turn(self) -> None:
        """Take one message, or notice that a deadline has passed; then report all there is to report."""
        before, late = self.state, self.state.deadline <= self.world.now
        self.take(hear.Tick() if late else self.mail.popleft())
        assert not late or self.state != before, "a tick that changes nothing comes for ever"
        while self.reports:
            self.world.channel.append((self, self.reports.popleft()))

    def take(self, stimulus: hear.Stimulus) -> None:
        pending = deque([stimulus])
        while pending:
            self.check_stale(pending[0])
            now, rules = self.world.now, self.world.rules
            self.state, effects = step(self.vassal, self.state, now, pending.popleft(), self.desired, rules)
            for effect in effects:
                answer = self.carry_out(effect)
                if answer is not None:
                    pending.append(answer)

    def check_stale(self, stimulus: hear.Stimulus) -> None:
        """What comes from an earlier process is no more than a look."""
        match stimulus:
            case hear.Heard(generation) | hear.Lost(generation) | hear.Ended(generation) | hear.OrderFailed(generation):
                stale = generation != self.state.generation or self.state.phase not in ALIVE
            case hear.Leave(number) | hear.Park(number):
                stale = number != self.state.asked or self.state.phase is not Phase.QUEUED
            case hear.SocketTold(ticket) | hear.SocketFailed(ticket) | hear.Bound(ticket):
                stale = ticket != self.state.ticket
            case _:
                stale = False
        if stale:
            now, rules = self.world.now, self.world.rules
            looked = step(self.vassal, self.state, now, hear.Look(), self.desired, rules)
            assert step(self.vassal, self.state, now, stimulus, self.desired, rules) == looked

    def carry_out(self, effect: do.Effect) -> hear.Stimulus | None:
        match effect:
            case do.Spawn(generation, spec):
                return self.spawn(generation, spec)
            case do.Send(order, config):
                return self.send(order, config)
            case do.AnswerConfig(config):
                if self.process is not None and not self.process.chunks:
                    self.process.chunks.append(config)
            case do.Kill():
                assert self.process is not None
                self.process.end(-9)
            case do.Release():
                assert self.process is not None
                assert not self.process.alive
                self.process.released = True
                self.process = None
            case do.RunStopHook():
                self.hook_job = self.world.start(self, effect)
            case do.AbandonHook():
                assert self.hook_job is not None
                self.hook_job.cancelled = True
            case do.AskSocket() | do.Bind():
                assert self.socket is None
                self.socket_job = self.world.start(self, effect)
            case do.Arm():
                assert self.socket is not None
                self.socket.armed = True
            case do.Disarm():
                assert self.socket is not None
                self.socket.armed = False
            case do.CloseListener():
                self.close_listener()
            case do.Vanish():
                self.world.forget(self)
            case do.Publish() | do.RunSpawnHook():
                pass
            case _:
                self.report(effect)
        return None

    def report(self, effect: do.Effect) -> None:
        if isinstance(effect, do.ReportReady) and self.process is not None:
            self.process.counted = False
        self.reports.append(effect)

    def spawn(self, generation: int, spec: VassalSpec) -> hear.Stimulus:
        assert self.process is None
        assert not self.world.living(self.vassal), "one live process a vassal at most"
        assert generation == self.state.generation
        assert spec.on_demand == (self.socket is not None) or spec.ask_socket
        if self.socket is not None:
            assert spec.ask_socket or spec.socket == self.socket.address, "it gets the socket that its config names"
        match self.world.system:
            case "short":
                return hear.SpawnRefused("no room", deferred=True)
            case "broken":
                return hear.SpawnRefused("no binary")
        process = self.process = Process(self, generation, spec.config)
        if spec.config is not None:
            process.chunks.append(spec.config)
        self.world.processes.append(process)
        return hear.Spawned(len(self.world.processes))

    def send(self, order: Order, config: bytes | None) -> hear.Stimulus | None:
        process = self.process
        assert process is not None, "orders are sent to live processes alone"
        failed = hear.OrderFailed(self.state.generation)
        if config is not None:
            if not process.alive:
                return failed
            assert not process.chunks, "a reload never finds a chunk that was not read"
            process.chunks.append(config)
        if process.stuck or not process.open or not process.alive:
            return failed
        process.orders.append(order)
        return None

    def close_listener(self) -> None:
        if self.socket_job is not None:
            self.socket_job.cancelled = True
            self.socket_job = None
        if self.socket is not None:
            self.socket.closed = True
            self.socket = None


class World:
    """Everything; ``now`` is its time. Whoever plays it calls the methods with a verb for a name."""

    def __init__(self, rules: LifecycleRules, throttle: ThrottleRules, broodlord: int) -> None:
        self.rules = rules
        self.throttle = throttle
        self.broodlord = broodlord
        self.now = 1000.0
        self.system = "sound"
        self.fleet = Fleet(FleetRules())
        self.blacklist = Blacklist(throttle)
        self.intensity = Intensity(throttle)
        self.pacer = Pacer(throttle)
        self.priorities = Priorities((("c*", -1),))
        self.parked: set[VassalId] = set()
        self.table: dict[VassalId, Actor] = {}
        self.channel: deque[tuple[Actor, do.Effect]] = deque()
        self.processes: list[Process] = []
        self.sockets: list[Socket] = []
        self.jobs: list[tuple[Actor, Job]] = []
        self.closing = False

    # --- seen by whoever plays ---

    @property
    def alive(self) -> list[Process]:
        return [process for process in self.processes if process.alive]

    @property
    def actors_with_a_turn(self) -> list[Actor]:
        return [actor for actor in self.table.values() if actor.has_turn]

    @property
    def talking(self) -> list[Process]:
        return [process for process in self.processes if process.wire]

    def living(self, vassal: VassalId) -> list[Process]:
        return [process for process in self.alive if process.actor.vassal == vassal]

    def check(self) -> None:
        """What holds at every moment."""
        vassals = [process.actor.vassal for process in self.alive]
        assert len(vassals) == len(set(vassals)), "one live process a vassal at most"
        for process in self.alive:
            assert process.actor.process is process, "no process is forgotten"
        if self.throttle.max_starting:
            starting = [process for process in self.alive if process.counted]
            assert len(starting) <= self.throttle.max_starting
        for socket in self.sockets:
            owners = [actor for actor in self.table.values() if actor.socket is socket]
            assert socket.closed != bool(owners), "every open socket has its vassal"
        assert self.fleet.count_zergs() <= self.broodlord

    # --- the supervisor ---

    def observe(self, monitor: str, observation: Observation) -> None:
        if not self.closing:
            changes, refusals = self.fleet.observe(monitor, observation)
            assert not refusals
            self.apply(changes)

    def reload_all(self) -> None:
        if not self.closing:
            self.apply(self.fleet.reload_all())

    def order(self, verb: Verb, vassal: VassalId) -> None:
        """As the supervisor does it; what is true of every verdict is asserted."""
        if self.closing:
            return
        actor, desired = self.table.get(vassal), self.fleet.desired(vassal)
        phase = actor.state.phase if actor else Phase.NEW
        waits = vassal in self.blacklist or self.blacklist.due(vassal) > 0
        judgement = judge(verb, Situation(phase, desired, self.fleet.is_held(vassal), waits, vassal.ordinal > 0))
        act = {
            Act.RELOAD: self.fleet.reload,
            Act.RENEW: self.fleet.restart,
            Act.HOLD: self.fleet.hold,
            Act.RELEASE: self.fleet.start,
        }.get(judgement.act)
        if act is not None:
            self.apply(act(vassal))
        elif judgement.act is Act.FORGIVE:
            self.blacklist.forgive(vassal)
            self.pacer.hasten(vassal, self.now)
        assert judgement.ok or judgement.act is Act.NOTHING, "what is refused changes nothing"
        if judgement.ok and verb in (Verb.STOP, Verb.START):
            assert self.fleet.is_held(vassal) == (verb is Verb.STOP)

    def forgive_all(self) -> None:
        for vassal in self.blacklist.clear():
            self.pacer.hasten(vassal, self.now)

    def hear_report(self) -> None:
        actor, report = self.channel.popleft()
        if self.table.get(actor.vassal) is actor:
            self.apply(self.heed(actor, report))

    def grant(self) -> bool:
        granted = self.pacer.take(self.now)
        if granted is None:
            return False
        self.table[granted.vassal].post(hear.Leave(granted.number))
        return True

    def shut_down(self) -> None:
        self.closing = True
        for actor in self.table.values():
            actor.want(Desired(None))

    def lose_mercy(self) -> None:
        for actor in self.table.values():
            actor.post(hear.NoMercy())

    def apply(self, changes: list[Change]) -> None:
        changes.sort(key=lambda change: self.priorities.rank(change.vassal))
        for change in changes:
            if self.closing:
                return
            self.parked.discard(change.vassal)
            if change.what is not What.TOUCHED and self.blacklist.forgive(change.vassal):
                self.pacer.hasten(change.vassal, self.now)
            actor = self.table.get(change.vassal)
            if actor is not None:
                actor.want(change.desired)
            elif change.desired.spec is not None:
                actor = self.table[change.vassal] = Actor(self, change.vassal, change.desired)
                actor.take(hear.Look())
                while actor.reports:
                    self.heed(actor, actor.reports.popleft())

    def heed(self, actor: Actor, report: do.Effect) -> list[Change]:
        vassal = actor.vassal
        match report:
            case do.AskLeave(number):
                self.pacer.settle(vassal)
                if vassal in self.parked:
                    self.parked.discard(vassal)
                    actor.post(hear.Park(number, self.throttle.max_restarts, self.throttle.restart_window))
                else:
                    due = max(self.blacklist.due(vassal), self.now)
                    self.pacer.request(vassal, self.priorities.rank(vassal), due, number)
            case do.Withdraw():
                self.pacer.withdraw(vassal)
                self.pacer.settle(vassal)
            case do.ReportReady():
                self.pacer.resume()
                self.pacer.settle(vassal)
            case do.ReportLoyal():
                self.blacklist.forgive(vassal)
            case do.ReportDeath(blame, _):
                self.pacer.settle(vassal)
                if not vassal.ordinal:
                    if self.intensity.add_death(vassal, self.now):
                        self.parked.add(vassal)
                    if blame is not Blame.LOYAL:
                        self.blacklist.add_death(vassal, self.now, 0.5, unborn=blame is Blame.UNBORN)
            case do.ReportShortage():
                self.pacer.postpone(self.now)
            case do.AskReinforcement():
                change = self.fleet.add_zerg(vassal, self.broodlord)
                return [change] if change else []
            case do.EndZerg():
                change = self.fleet.end_zerg(vassal)
                return [change] if change else []
            case _:
                raise AssertionError(f"nobody carries out {report}")
        return []

    def forget(self, actor: Actor) -> None:
        vassal = actor.vassal
        assert actor.process is None, "who is gone has no process"
        assert actor.socket is None, "who is gone has no socket"
        assert self.table.pop(vassal) is actor
        self.pacer.withdraw(vassal)
        self.pacer.settle(vassal)
        self.intensity.forget(vassal)
        self.parked.discard(vassal)
        self.blacklist.forgive(vassal)

    # --- the system ---

    def start(self, actor: Actor, effect: do.RunStopHook | do.AskSocket | do.Bind) -> Job:
        job = Job(effect)
        self.jobs.append((actor, job))
        return job

    def end_job(self, number: int, *, well: bool = True, address: str | None = None) -> None:
        """End one job: ``address`` is what the command says, where it is one that asks for a socket."""
        actor, job = self.jobs.pop(number)
        match job.effect:
            case do.RunStopHook(generation):
                actor.post(hear.HookDone(generation))
            case do.AskSocket(ticket) | do.Bind(ticket) if not well:
                if not job.cancelled:
                    actor.post(hear.SocketFailed(ticket, "it fails"))
            case do.AskSocket(ticket) if not job.cancelled:
                actor.post(hear.SocketTold(ticket, address))
            case do.Bind(ticket, _, bound) if not job.cancelled:
                actor.socket = Socket(bound)
                self.sockets.append(actor.socket)
                actor.post(hear.Bound(ticket, bound))

    def connect(self, socket: Socket) -> None:
        if socket.armed:
            socket.armed = False
            (actor,) = (actor for actor in self.table.values() if actor.socket is socket)
            actor.post(hear.Connection())

    def deliver(self, process: Process, number: int = 0) -> None:
        """Have something be heard that a process sent: its bytes are in order, but its end and its end of file may
        come before them, and all of it may come though nobody waits for it any more."""
        bytes_before = [n for n, item in enumerate(process.wire) if isinstance(item, hear.Heard)]
        item = process.wire[number]
        if isinstance(item, hear.Heard):
            number = bytes_before[0]
            item = process.wire[number]
        del process.wire[number]
        process.actor.post(item)

    # --- coming to rest ---

    def settle(self) -> None:
        """Nothing new comes in, everyone does what is expected of it, and time goes on, until nothing more happens."""
        self.system = "sound"
        for _ in range(20_000):
            if not self.go_on():
                wait = min([self.pacer.next_due(), *(actor.state.deadline for actor in self.table.values())])
                if wait == NEVER:
                    return
                self.now = max(self.now, wait)
            self.check()
        raise AssertionError("it never comes to rest")

    def go_on(self, slow: Sequence[Process] = ()) -> bool:
        """Whatever can be done now, once; whether there was anything. What the ``slow`` sent stays on its way."""
        busy = False
        while self.jobs:
            self.end_job(0, address="/run/told.socket")
            busy = True
        for process in self.talking:
            if process not in slow:
                self.deliver(process)
                busy = True
        for actor in self.actors_with_a_turn:
            actor.turn()
            busy = True
        while self.channel:
            self.hear_report()
            busy = True
        while self.grant():
            busy = True
        for process in self.alive:
            busy |= self._behave(process)
        return busy

    def _behave(self, process: Process) -> bool:
        if not process.open:
            return False  # it does nothing any more: it has to be killed
        if not process.booted:
            before = len(process.wire)
            process.go_on()
            return len(process.wire) > before
        if process.orders:
            process.obey()
            return True
        return False

    def check_at_rest(self) -> None:
        """What holds when nothing more happens: everything is as desired."""
        wanted = {} if self.closing else {change.vassal: change.desired for change in self.fleet.reload_all()}
        assert set(self.table) == set(wanted)
        for vassal, actor in self.table.items():
            state, desired = actor.state, actor.desired
            assert desired.life == wanted[vassal].life
            assert desired.spec is not None
            assert state.phase in (Phase.RUNNING, Phase.WAITING, Phase.EXILED, Phase.PARKED, Phase.HELD), state.phase
            assert (state.phase is Phase.HELD) == bool(desired.held) == self.fleet.is_held(vassal)
            assert (state.revision, state.life) == (desired.revision, desired.life)
            process = actor.process
            assert (process is not None) == (state.phase is Phase.RUNNING)
            assert (actor.socket is not None and actor.socket.armed) == (state.phase is Phase.WAITING)
            assert actor.socket is None or state.phase in (Phase.RUNNING, Phase.WAITING)
            if process is not None:
                assert process.alive
                assert not process.chunks, "no stale chunk lies in the pipe"
                assert process.config == desired.spec.config, "it runs with the newest config"
            assert not vassal.ordinal or state.phase is Phase.RUNNING, "no zerg is kept that does not run"
        assert len(self.alive) == sum(actor.process is not None for actor in self.table.values())
        assert self.pacer.starting == 0, "no place among those starting leaks"
        assert all(socket.closed for socket in self.sockets if not any(a.socket is socket for a in self.table.values()))
        assert not self.parked & {vassal for vassal, actor in self.table.items() if actor.state.phase is Phase.PARKED}
