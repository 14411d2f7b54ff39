"""The life of one vassal: ``step(vassal, state, now, stimulus, desired, rules) -> (state, effects)``.

Owns which move is made when; how each is made stands in :mod:`~emperor_trio.law.moves`. It knows no process, no clock
and no queue: what is to be done comes out as :mod:`~emperor_trio.law.effects`, what was done comes back as
:mod:`~emperor_trio.law.stimuli`. *When* a spawn may go out is decided by :mod:`emperor_trio.law.throttle`; a vassal
asks for it and is granted it.
"""

from __future__ import annotations

from dataclasses import replace

from emperor_trio import events
from emperor_trio.law import effects as do
from emperor_trio.law import stimuli as hear
from emperor_trio.law.moves import Moves
from emperor_trio.law.protocol import EXILE_CODE, SIGNALS, Signal, condense
from emperor_trio.law.state import (
    ALIVE,
    NEVER,
    Blame,
    Leaving,
    LifecycleRules,
    Phase,
    State,
)
from emperor_trio.model import Desired, VassalId

REINFORCEMENT_PAUSE = 1.0
"""Seconds in which a vassal is heard only once when it asks for reinforcement (uWSGI's asks once a second at most)."""

OVERSLEPT = 1.0
"""A tick that comes this many seconds late says that the emperor itself was stopped or starved, and heard nobody."""


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


class _Turn(Moves):
    """What is decided in one step."""

    __slots__ = ()

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
                self.curse(Leaving.LOST)
            case hear.Ended(generation, code) if self._is_of(generation):
                self._end(code)
            case hear.OrderFailed(generation) if self._is_of(generation) and phase is not Phase.STOPPING:
                self.stop(Leaving.REPLACED, "it does not take orders")
            case hear.Spawned(pid) if phase is Phase.STARTING:
                self._note_spawned(pid)
            case hear.SpawnRefused(error, deferred) if phase is Phase.STARTING:
                self._note_refused(error, deferred)
            case hear.SocketTold(ticket, address) if phase is Phase.ASKING and ticket == self.state.ticket:
                self._take_address(address)
            case hear.Bound(ticket, address) if phase is Phase.BINDING and ticket == self.state.ticket:
                self.change(address=address)
                self.wait()
            case hear.SocketFailed(ticket, error) if (
                phase in (Phase.ASKING, Phase.BINDING) and ticket == self.state.ticket
            ):
                self.fail(error)
            case hear.Connection() if phase is Phase.WAITING:
                if self.state.failure is None:
                    self.publish(events.VassalWoken(self.vassal))
                self.queue()
            case hear.HookDone(generation) if phase is Phase.ENDING and generation == self.state.generation:
                self._after_death()
            case hear.Park(number, restarts, window) if phase is Phase.QUEUED and number == self.state.asked:
                self.park(restarts, window)
            case hear.Tick():
                self._tick()
            case hear.NoMercy() if phase in ALIVE:
                self.kill("no mercy, the time for a graceful end is over")
            case hear.NoMercy() if phase is Phase.ENDING:
                self.effects.append(do.AbandonHook())
                self._after_death()
            case _:
                pass

    def _is_of(self, generation: int) -> bool:
        return self.state.phase in ALIVE and generation == self.state.generation

    def _take_leave(self) -> None:
        spec = self.desired.spec
        if spec is None or self.desired.held or self.desired.life != self.state.life:
            return  # another vassal is wanted than the one that asked: settling says so
        if spec.on_demand and self.state.bound_for is None:
            self.effects.append(do.Withdraw())
            self.prepare(spec)
        else:
            self.spawn(spec)

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
                self.change(accepting=True, last_accepting=self.now)
                if not state.accepting:
                    self.change(came_up=self.now)
                    self.publish(events.VassalAccepting(self.vassal))
            case Signal.LOYAL:
                self.change(loyal=True, last_loyal=self.now)
                if not state.loyal:
                    self.effects.append(do.ReportLoyal())
                    self.publish(events.VassalLoyal(self.vassal))
            case Signal.HEARTBEAT:
                self.change(last_heartbeat=self.now, heartbeat_until=self.now + self.rules.required_heartbeat)
            case Signal.SEND_CONFIG:
                if state.spec is not None and state.spec.config is not None:
                    self._answer_config(state.spec.config)
            case Signal.LEAVE:
                if state.phase is not Phase.STOPPING:
                    self.stop(Leaving.LEFT, "it leaves of its own will")
            case Signal.REINFORCEMENT:
                if not self.vassal.ordinal and self.now >= state.reinforcement_from:
                    self.change(reinforcement_from=self.now + REINFORCEMENT_PAUSE)
                    self.effects.append(do.AskReinforcement())
            case _:
                if not state.surprised:
                    self.change(surprised=True)
                    self.publish(events.ProtocolSurprise(self.vassal, byte))

    def _answer_config(self, config: bytes) -> None:
        """One chunk for each byte 2. The one that came with a spawn or a reload is the answer to the first.

        It may have been read already when its byte 2 is heard, so an empty pipe alone says nothing.
        """
        if self.state.chunk_sent:
            self.change(chunk_sent=False)
            return
        self.effects.append(do.AnswerConfig(config))
        if self.state.ready:
            # It reloads of its own accord: a reload of ours waits until it is ready again, like any second one.
            self.change(ready=False, accepting=False, reload_until=self.now + self.rules.reload_tolerance)

    def _note_ready(self) -> None:
        state = self.state
        self.change(ready=True, last_ready=self.now, reload_until=NEVER, chunk_sent=False, failure=None)
        if state.phase is Phase.STARTING:
            self.change(phase=Phase.RUNNING)
        if not state.ready:
            self.change(came_up=self.now)
            self.effects.append(do.ReportReady())
            self.publish(events.VassalReady(self.vassal, state.revision))

    def _tick(self) -> None:
        state = self.state
        if self.now < state.deadline:
            return
        if state.phase is Phase.STOPPING:
            self.kill(f"still there {self.rules.curse_tolerance:g} s after it was cursed")
        elif self.now >= state.heartbeat_until + OVERSLEPT:
            self.change(heartbeat_until=self.now + self.rules.required_heartbeat)
        elif self.now >= state.heartbeat_until:
            self.change(phase=Phase.STOPPING, leaving=Leaving.HUNG, cursed_at=self.now)
            self.kill(f"no heartbeat for {self.rules.required_heartbeat:g} s")
        else:
            self.change(reload_until=NEVER)
            if state.phase is Phase.STARTING:  # whoever never says that it is ready must not hold others back for ever
                self.effects.append(do.ReportReady())

    def _take_address(self, address: str | None) -> None:
        if address and self.state.spec is not None:
            self.bind(self.state.spec, address)
        else:
            self.queue()

    def _note_spawned(self, pid: int) -> None:
        state = self.state
        self.change(pid=pid)
        self.publish(events.VassalSpawned(self.vassal, pid, state.generation))
        if self.rules.spawn_hook and state.spec is not None:
            self.effects.append(do.RunSpawnHook(pid, state.spec))

    def _note_refused(self, error: str, deferred: bool) -> None:
        if deferred:
            self.change(reason=error)
            self.effects.append(do.ReportShortage(error))
            self.queue()
        else:
            self.fail(error)

    def _end(self, code: int) -> None:
        state = self.state
        expected = state.leaving in (Leaving.ASKED, Leaving.REPLACED, Leaving.LEFT)
        self.publish(events.VassalExited(self.vassal, state.pid, code, expected, state.loyal))
        self.change(code=code, kill_at=NEVER, reload_until=NEVER, heartbeat_until=NEVER)
        self.effects += [do.Release(), do.Withdraw()]
        if not expected and code != EXILE_CODE:
            self.effects.append(do.ReportDeath(Blame.LOYAL if state.loyal else Blame.DISLOYAL))
        if self.rules.stop_hook and state.spec is not None:
            self.change(phase=Phase.ENDING)
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
        if self.desired.spec is None or self.desired.held or state.leaving in (Leaving.ASKED, Leaving.REPLACED):
            return
        if self.vassal.ordinal:
            self.end_zerg()
        elif unasked and state.code == EXILE_CODE:
            if not newer:
                self.exile(f"it ended with exit code {EXILE_CODE}")
        elif state.address is not None:
            self.wait()
        elif state.leaving is Leaving.LEFT:
            if not newer:
                self.exile("it left of its own will")
        else:
            self.queue()

    # --- the desired state ---

    def settle(self) -> None:
        """Move towards the desired state, as far as the phase permits it now."""
        desired, state = self.desired, self.state
        match state.phase:
            case Phase.STARTING | Phase.RUNNING:
                self._settle_alive()
            case Phase.STOPPING:
                if (desired.spec is None or desired.held) and state.leaving is not Leaving.ASKED:
                    self.change(leaving=Leaving.ASKED)
            case Phase.ENDING | Phase.GONE:
                pass
            case _ if desired.spec is None:
                self.vanish()
            case Phase.HELD if desired.held:
                self.change(spec=desired.spec, life=desired.life, revision=desired.revision, reason=desired.held)
            case _ if desired.held:
                self.hold(desired.spec)
            case Phase.NEW | Phase.HELD:
                self.restart(desired.spec)
            case _ if desired.life != state.life:
                self.restart(desired.spec)
            case Phase.EXILED if self.vassal.ordinal:
                pass
            case Phase.EXILED | Phase.PARKED if desired.revision != state.revision:
                self.restart(desired.spec)
            case Phase.QUEUED:
                pass  # the spawn takes what is newest then
            case _:
                self.change(spec=desired.spec, revision=desired.revision)

    def _settle_alive(self) -> None:
        desired, state = self.desired, self.state
        if desired.spec is None:
            self.stop(Leaving.ASKED, desired.why)
        elif desired.held:
            self.stop(Leaving.ASKED, desired.held)
        elif desired.life != state.life:
            self.stop(Leaving.REPLACED, "it must be another process")
        elif desired.revision != state.revision and state.reload_until == NEVER:
            calm = state.came_up + self.rules.reload_pause
            if self.now < calm:
                self.change(reload_until=calm)
            else:
                self.reload(desired.spec)
