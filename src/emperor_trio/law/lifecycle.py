"""The life of one vassal: ``step(vassal, state, now, stimulus, desired, rules) -> (state, effects)``.

Owns every move between the phases. It knows no process, no clock and no queue: what is to be done comes out as
:mod:`~emperor_trio.law.effects`, what was done comes back as :mod:`~emperor_trio.law.stimuli`. *When* a spawn may go
out is decided by :mod:`emperor_trio.law.throttle`; a vassal asks for it and is granted it.
"""

from __future__ import annotations

from dataclasses import replace

from emperor_trio import events
from emperor_trio.law import effects as do
from emperor_trio.law import stimuli as hear
from emperor_trio.law.protocol import SIGNALS, Order, Signal, condense
from emperor_trio.law.state import (
    ALIVE,
    EXILE_CODE,
    NEVER,
    Blame,
    Leaving,
    LifecycleRules,
    Phase,
    State,
    evolve,
    socket_key,
)
from emperor_trio.model import Desired, VassalId, VassalSpec

REINFORCEMENT_PAUSE = 1.0
"""Seconds in which a vassal is heard only once when it asks for reinforcement (uWSGI's asks once a second at most)."""

OVERSLEPT = 1.0
"""A tick that comes this many seconds late says that the emperor itself was stopped or starved, and heard nobody."""

KILL_PAUSE = 1.0
"""The shortest time, in seconds, between two SIGKILL for one process: one that hangs in the kernel takes its time."""


def step(
    vassal: VassalId, state: State, now: float, stimulus: hear.Stimulus, desired: Desired, rules: LifecycleRules
) -> tuple[State, tuple[do.Effect, ...]]:
    """Take in one stimulus: the new state, and what is to be done, in that order.

    Pure: the same arguments give the same answer. A stimulus that does not fit the phase changes nothing but what the
    desired state asks for anyway.
    """
    turn = _Turn(vassal, state, now, desired, rules)
    turn.take(stimulus)
    turn.settle()
    return turn.state, tuple(turn.effects)


class _Turn:
    """One step under way: the state so far, and the effects so far."""

    __slots__ = ("desired", "effects", "now", "rules", "state", "vassal")

    def __init__(self, vassal: VassalId, state: State, now: float, desired: Desired, rules: LifecycleRules) -> None:
        self.vassal = vassal
        self.state = state
        self.now = now
        self.desired = desired
        self.rules = rules
        self.effects: list[do.Effect] = []

    # --- the stimulus ---

    def take(self, stimulus: hear.Stimulus) -> None:
        phase = self.state.phase
        match stimulus:
            case hear.Leave(number) if phase is Phase.QUEUED and number == self.state.asked:
                self._take_leave()
            case hear.Heard(generation, data) if self._is_of(generation):
                for byte in condense(data):
                    self._hear(byte)
            case hear.Lost(generation) if self._is_of(generation) and phase is not Phase.STOPPING:
                self._curse(Leaving.LOST)
            case hear.Ended(generation, code) if self._is_of(generation):
                self._end(code)
            case hear.OrderFailed(generation) if self._is_of(generation) and phase is not Phase.STOPPING:
                self._stop(Leaving.REPLACED, "it does not take orders")
            case hear.Spawned(pid) if phase is Phase.STARTING:
                self._note_spawned(pid)
            case hear.SpawnRefused(error, deferred) if phase is Phase.STARTING:
                self._note_refused(error, deferred)
            case hear.SocketTold(ticket, address) if phase is Phase.ASKING and ticket == self.state.ticket:
                self._take_address(address)
            case hear.Bound(ticket, address) if phase is Phase.BINDING and ticket == self.state.ticket:
                self._set(address=address)
                self._wait()
            case hear.SocketFailed(ticket, error) if (
                phase in (Phase.ASKING, Phase.BINDING) and ticket == self.state.ticket
            ):
                self._fail(error)
            case hear.Connection() if phase is Phase.WAITING:
                self.publish(events.VassalWoken(self.vassal))
                self._queue()
            case hear.HookDone(generation) if phase is Phase.ENDING and generation == self.state.generation:
                self._after_death()
            case hear.Park(number, restarts, window) if phase is Phase.QUEUED and number == self.state.asked:
                self._park(restarts, window)
            case hear.Tick():
                self._tick()
            case hear.NoMercy() if phase in ALIVE:
                self._kill("no mercy, the time for a graceful end is over")
            case hear.NoMercy() if phase is Phase.ENDING:
                self.effects.append(do.AbandonHook())
                self._after_death()
            case _:
                pass

    def _is_of(self, generation: int) -> bool:
        return self.state.phase in ALIVE and generation == self.state.generation

    def _take_leave(self) -> None:
        spec = self.desired.spec
        if spec is None or self.desired.life != self.state.life:
            return  # another vassal is wanted than the one that asked: settling says so
        if spec.on_demand and self.state.bound_for is None:
            self.effects.append(do.Withdraw())
            self._prepare(spec)
        else:
            self._spawn(spec)

    def _hear(self, byte: int) -> None:
        state = self.state
        match SIGNALS.get(byte):
            case Signal.READY:
                self._note_ready()
            case Signal.ACCEPTING:
                # uWSGI sends byte 1 once in its life: byte 5 is all that follows a reload. It sends one for a worker
                # that was replaced, too, which says nothing of a reload whose config was not even asked for.
                if not state.ready and not state.chunk_sent:
                    self._note_ready()
                self._set(accepting=True, last_accepting=self.now)
                if not state.accepting:
                    self._set(came_up=self.now)
                    self.publish(events.VassalAccepting(self.vassal))
            case Signal.LOYAL:
                self._set(loyal=True, last_loyal=self.now)
                if not state.loyal:
                    self.effects.append(do.ReportLoyal())
                    self.publish(events.VassalLoyal(self.vassal))
            case Signal.HEARTBEAT:
                self._set(last_heartbeat=self.now, heartbeat_until=self.now + self.rules.required_heartbeat)
            case Signal.SEND_CONFIG:
                if state.spec is not None and state.spec.config is not None:
                    self._answer_config(state.spec.config)
            case Signal.LEAVE:
                if state.phase is not Phase.STOPPING:
                    self._stop(Leaving.LEFT, "it leaves of its own will")
            case Signal.REINFORCEMENT:
                if not self.vassal.ordinal and self.now >= state.reinforcement_from:
                    self._set(reinforcement_from=self.now + REINFORCEMENT_PAUSE)
                    self.effects.append(do.AskReinforcement())
            case _:
                if not state.surprised:
                    self._set(surprised=True)
                    self.publish(events.ProtocolSurprise(self.vassal, byte))

    def _answer_config(self, config: bytes) -> None:
        """One chunk for each byte 2. The one that came with a spawn or a reload is the answer to the first.

        It may have been read already when its byte 2 is heard, so an empty pipe alone says nothing.
        """
        if self.state.chunk_sent:
            self._set(chunk_sent=False)
            return
        self.effects.append(do.AnswerConfig(config))
        if self.state.ready:
            # It reloads of its own accord: a reload of ours waits until it is ready again, like any second one.
            self._set(ready=False, accepting=False, reload_until=self.now + self.rules.reload_tolerance)

    def _note_ready(self) -> None:
        state = self.state
        self._set(ready=True, last_ready=self.now, reload_until=NEVER, chunk_sent=False)
        if state.phase is Phase.STARTING:
            self._set(phase=Phase.RUNNING)
        if not state.ready:
            self._set(came_up=self.now)
            self.effects.append(do.ReportReady())
            self.publish(events.VassalReady(self.vassal, state.revision))

    def _tick(self) -> None:
        state = self.state
        if self.now < state.deadline:
            return
        if state.phase is Phase.STOPPING:
            self._kill(f"still there {self.rules.curse_tolerance:g} s after it was cursed")
        elif self.now >= state.heartbeat_until + OVERSLEPT:
            self._set(heartbeat_until=self.now + self.rules.required_heartbeat)
        elif self.now >= state.heartbeat_until:
            self._set(phase=Phase.STOPPING, leaving=Leaving.HUNG, cursed_at=self.now)
            self._kill(f"no heartbeat for {self.rules.required_heartbeat:g} s")
        else:
            self._set(reload_until=NEVER)
            if state.phase is Phase.STARTING:  # whoever never says that it is ready must not hold others back for ever
                self.effects.append(do.ReportReady())

    # --- towards a process ---

    def _prepare(self, spec: VassalSpec) -> None:
        """From no process and no listener towards one or the other."""
        self._set(spec=spec, life=self.desired.life, revision=self.desired.revision, reason="")
        if spec.socket is not None:
            self._bind(spec, spec.socket)
        elif spec.ask_socket:
            ticket = self.state.ticket + 1
            self._set(phase=Phase.ASKING, ticket=ticket, bound_for=socket_key(spec))
            self.effects.append(do.AskSocket(ticket, spec))
        else:
            self._queue()

    def _bind(self, spec: VassalSpec, address: str) -> None:
        ticket = self.state.ticket + 1
        self._set(phase=Phase.BINDING, ticket=ticket, bound_for=socket_key(spec))
        self.effects.append(do.Bind(ticket, spec, address))

    def _take_address(self, address: str | None) -> None:
        if address and self.state.spec is not None:
            self._bind(self.state.spec, address)
        else:
            self._queue()

    def _wait(self) -> None:
        self._set(phase=Phase.WAITING)
        self.publish(events.VassalListening(self.vassal, self.state.address or ""))
        self.effects.append(do.Arm())

    def _queue(self) -> None:
        if self.state.phase is Phase.WAITING and self.state.address is not None:
            self.effects.append(do.Disarm())
        self._set(phase=Phase.QUEUED, asked=self.state.asked + 1)
        self.effects.append(do.AskLeave(self.state.asked))

    def _spawn(self, spec: VassalSpec) -> None:
        generation = self.state.generation + 1
        state = self.state
        self.state = State(
            phase=Phase.STARTING,
            spec=spec,
            revision=self.desired.revision,
            life=self.desired.life,
            generation=generation,
            ticket=state.ticket,
            asked=state.asked,
            address=state.address,
            bound_for=state.bound_for,
            chunk_sent=spec.config is not None,
            first_run=self.now,
            last_run=self.now,
            reload_until=self.now + self.rules.reload_tolerance,
        )
        self.effects.append(do.Spawn(generation, spec))

    def _note_spawned(self, pid: int) -> None:
        state = self.state
        self._set(pid=pid)
        self.publish(events.VassalSpawned(self.vassal, pid, state.generation))
        if self.rules.spawn_hook and state.spec is not None:
            self.effects.append(do.RunSpawnHook(pid, state.spec))

    def _note_refused(self, error: str, deferred: bool) -> None:
        if deferred:
            self._set(reason=error)
            self.effects.append(do.ReportShortage(error))
            self._queue()
        else:
            self._fail(error)

    def _fail(self, error: str) -> None:
        """A spawn that came to no process counts as a death before loyalty."""
        self.publish(events.SpawnFailed(self.vassal, error))
        if self.state.phase in (Phase.ASKING, Phase.BINDING):
            self._drop_listener()
        self.effects.append(do.ReportDeath(Blame.UNBORN))
        if self.vassal.ordinal:
            self._end_zerg()
            return
        self._set(phase=Phase.NEW, reason=error)
        if self.state.address is not None:
            self._wait()
        else:
            self._queue()

    # --- away from a process ---

    def _stop(self, leaving: Leaving, why: str) -> None:
        order = Order.STOP_GRACEFULLY if self.rules.graceful_shutdown else Order.STOP
        self._set(
            phase=Phase.STOPPING,
            leaving=leaving,
            cursed_at=self.now,
            kill_at=self.now + self.rules.curse_tolerance,
        )
        self.publish(events.StopSent(self.vassal, why))
        self.effects.append(do.Send(order))

    def _curse(self, leaving: Leaving) -> None:
        tolerance = self.rules.curse_tolerance
        self._set(phase=Phase.STOPPING, leaving=leaving, cursed_at=self.now, kill_at=self.now + tolerance)
        self.publish(events.VassalCursed(self.vassal, leaving.value, tolerance))

    def _kill(self, why: str) -> None:
        if self.state.phase is Phase.STOPPING:
            self._set(kill_at=self.now + max(self.rules.curse_tolerance, KILL_PAUSE))
        self.publish(events.VassalKilled(self.vassal, why))
        self.effects.append(do.Kill())

    def _end(self, code: int) -> None:
        state = self.state
        expected = state.leaving in (Leaving.ASKED, Leaving.REPLACED, Leaving.LEFT)
        self.publish(events.VassalExited(self.vassal, state.pid, code, expected, state.loyal))
        self._set(code=code, kill_at=NEVER, reload_until=NEVER, heartbeat_until=NEVER)
        self.effects += [do.Release(), do.Withdraw()]
        if not expected and code != EXILE_CODE:
            self.effects.append(do.ReportDeath(Blame.LOYAL if state.loyal else Blame.DISLOYAL))
        if self.rules.stop_hook and state.spec is not None:
            self._set(phase=Phase.ENDING)
            self.effects.append(do.RunStopHook(state.generation, state.pid, state.spec))
        else:
            self._after_death()

    def _after_death(self) -> None:
        """The process is dead and its stop hook has run: what now?"""
        state = self.state
        unasked = state.leaving in (None, Leaving.LOST, Leaving.HUNG)
        self.state = replace(
            state, phase=Phase.NEW, pid=0, ready=False, accepting=False, loyal=False, leaving=None, cursed_at=0.0
        )
        newer = self.desired.revision != state.revision or self.desired.life != state.life
        if self.desired.spec is None or state.leaving in (Leaving.ASKED, Leaving.REPLACED):
            return
        if self.vassal.ordinal:
            self._end_zerg()
        elif unasked and state.code == EXILE_CODE:
            if not newer:
                self._exile(f"it ended with exit code {EXILE_CODE}")
        elif state.address is not None:
            self._wait()
        elif state.leaving is Leaving.LEFT:
            if not newer:
                self._exile("it left of its own will")
        else:
            self._queue()

    def _end_zerg(self) -> None:
        self._set(phase=Phase.EXILED, reason="its process ended")
        self.effects.append(do.EndZerg())

    def _exile(self, why: str) -> None:
        self._drop_listener()
        self._set(phase=Phase.EXILED, reason=why)
        self.publish(events.VassalExiled(self.vassal, why))

    def _park(self, restarts: int, window: float) -> None:
        self._drop_listener()
        self._set(phase=Phase.PARKED, reason=f"{restarts} restarts within {window:g} s")
        self.publish(events.VassalParked(self.vassal, restarts, window))

    def _drop_listener(self) -> None:
        if self.state.bound_for is not None:
            self.effects.append(do.CloseListener())
        self._set(address=None, bound_for=None, ticket=self.state.ticket + 1)

    # --- the desired state ---

    def settle(self) -> None:
        """Move towards the desired state, as far as the phase permits it now."""
        desired, state = self.desired, self.state
        match state.phase:
            case Phase.STARTING | Phase.RUNNING:
                self._settle_alive()
            case Phase.STOPPING:
                if desired.spec is None and state.leaving is not Leaving.ASKED:
                    self._set(leaving=Leaving.ASKED)
            case Phase.ENDING | Phase.GONE:
                pass
            case _ if desired.spec is None:
                self._vanish()
            case Phase.NEW:
                self._restart(desired.spec)
            case _ if desired.life != state.life:
                self._restart(desired.spec)
            case Phase.EXILED if self.vassal.ordinal:
                pass
            case Phase.EXILED | Phase.PARKED if desired.revision != state.revision:
                self._restart(desired.spec)
            case Phase.QUEUED:
                pass  # the spawn takes what is newest then
            case _:
                self._set(spec=desired.spec, revision=desired.revision)

    def _settle_alive(self) -> None:
        desired, state = self.desired, self.state
        if desired.spec is None:
            self._stop(Leaving.ASKED, "it is not wanted any more")
        elif desired.life != state.life:
            self._stop(Leaving.REPLACED, "it must be another process")
        elif desired.revision != state.revision and state.reload_until == NEVER:
            calm = state.came_up + self.rules.reload_pause
            if self.now < calm:
                self._set(reload_until=calm)
            else:
                self._reload(desired.spec)

    def _reload(self, spec: VassalSpec) -> None:
        state = self.state
        had_config = state.spec is not None and state.spec.config is not None
        if (spec.config is not None) != had_config or (had_config and not state.ready):
            self._stop(Leaving.REPLACED, "it did not take its last config" if had_config else "its config moved")
            return
        revision = self.desired.revision
        self._set(
            spec=spec,
            revision=revision,
            ready=False,
            accepting=False,
            chunk_sent=had_config,
            reloads=state.reloads + 1,
            last_run=self.now,
            reload_until=self.now + self.rules.reload_tolerance,
        )
        self.publish(events.ReloadSent(self.vassal, revision))
        self.effects.append(do.Send(Order.RELOAD, spec.config))

    def _restart(self, spec: VassalSpec) -> None:
        """From a phase without a process, go for the desired one, over again where the socket has changed."""
        state = self.state
        if state.phase is Phase.QUEUED:
            self.effects.append(do.Withdraw())
        if state.bound_for is not None and (state.address is None or state.bound_for != socket_key(spec)):
            self._drop_listener()
        if self.state.address is None:
            self._prepare(spec)
            return
        self._set(spec=spec, life=self.desired.life, revision=self.desired.revision, reason="")
        if state.phase is not Phase.WAITING:
            self._wait()

    def _vanish(self) -> None:
        if self.state.phase is Phase.QUEUED:
            self.effects.append(do.Withdraw())
        self._drop_listener()
        self._set(phase=Phase.GONE)
        self.publish(events.VassalRemoved(self.vassal))
        self.effects.append(do.Vanish())

    # --- small change ---

    def publish(self, event: events.Event) -> None:
        self.effects.append(do.Publish(event))

    def _set(self, **changes: object) -> None:
        self.state = evolve(self.state, changes)
