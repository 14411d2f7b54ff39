"""The moves of one vassal: what changes in its state with each, and what is to be done then.

Owns how a move is made. When which one is made is decided in :mod:`emperor_trio.law.lifecycle`.
"""

from __future__ import annotations

from emperor_trio import events
from emperor_trio.law import effects as do
from emperor_trio.law.protocol import Order
from emperor_trio.law.state import Blame, Leaving, LifecycleRules, Phase, State, evolve, socket_key
from emperor_trio.model import Desired, VassalId, VassalSpec

KILL_PAUSE = 1.0
"""The shortest time, in seconds, between two SIGKILL for one process: one that hangs in the kernel takes its time."""


class Moves:
    """One step under way: the state so far, and the effects so far."""

    __slots__ = ("desired", "effects", "now", "rules", "state", "vassal")

    def __init__(self, vassal: VassalId, state: State, now: float, desired: Desired, rules: LifecycleRules) -> None:
        self.vassal: VassalId = vassal
        self.state: State = state
        self.now: float = now
        self.desired: Desired = desired
        self.rules: LifecycleRules = rules
        self.effects: list[do.Effect] = []

    # --- towards a process ---

    def prepare(self, spec: VassalSpec) -> None:
        """From no process and no listener towards one or the other."""
        self.change(spec=spec, life=self.desired.life, revision=self.desired.revision, reason="")
        if spec.socket is not None:
            self.bind(spec, spec.socket)
        elif spec.ask_socket:
            ticket = self.state.ticket + 1
            self.change(phase=Phase.ASKING, ticket=ticket, bound_for=socket_key(spec))
            self.effects.append(do.AskSocket(ticket, spec))
        else:
            self.queue()

    def bind(self, spec: VassalSpec, address: str) -> None:
        ticket = self.state.ticket + 1
        self.change(phase=Phase.BINDING, ticket=ticket, bound_for=socket_key(spec))
        self.effects.append(do.Bind(ticket, spec, address))

    def wait(self) -> None:
        self.change(phase=Phase.WAITING)
        if self.state.failure is None:
            self.publish(events.VassalListening(self.vassal, self.state.address or ""))
        self.effects.append(do.Arm())

    def queue(self) -> None:
        if self.state.phase is Phase.WAITING and self.state.address is not None:
            self.effects.append(do.Disarm())
        self.change(phase=Phase.QUEUED, asked=self.state.asked + 1)
        self.effects.append(do.AskLeave(self.state.asked))

    def spawn(self, spec: VassalSpec) -> None:
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
            failure=state.failure,
            address=state.address,
            bound_for=state.bound_for,
            chunk_sent=spec.config is not None,
            first_run=self.now,
            last_run=self.now,
            reload_until=self.now + self.rules.reload_tolerance,
        )
        self.effects.append(do.Spawn(generation, spec))

    def reload(self, spec: VassalSpec) -> None:
        state = self.state
        had_config = state.spec is not None and state.spec.config is not None
        if (spec.config is not None) != had_config or (had_config and not state.ready):
            self.stop(Leaving.REPLACED, "it did not take its last config" if had_config else "its config moved")
            return
        revision = self.desired.revision
        self.change(
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

    def restart(self, spec: VassalSpec) -> None:
        """From a phase without a process, go for the desired one, over again where the socket has changed."""
        state = self.state
        if state.phase is Phase.QUEUED:
            self.effects.append(do.Withdraw())
        if state.bound_for is not None and (state.address is None or state.bound_for != socket_key(spec)):
            self.drop_listener()
        if self.state.address is None:
            self.prepare(spec)
            return
        self.change(spec=spec, life=self.desired.life, revision=self.desired.revision, reason="")
        if state.phase is not Phase.WAITING:
            self.wait()

    # --- away from a process ---

    def fail(self, error: str) -> None:
        """A spawn that came to no process counts as a death before loyalty. The same again is not told again."""
        failure = error, self.desired.revision
        repeated = failure == self.state.failure
        if not repeated:
            self.change(failure=failure)
            self.publish(events.SpawnFailed(self.vassal, error))
        if self.state.phase in (Phase.ASKING, Phase.BINDING):
            self.drop_listener()
        self.effects.append(do.ReportDeath(Blame.UNBORN, repeated))
        if self.vassal.ordinal:
            self.end_zerg()
            return
        self.change(phase=Phase.NEW, reason=error)
        if self.state.address is not None:
            self.wait()
        else:
            self.queue()

    def stop(self, leaving: Leaving, why: str) -> None:
        order = Order.STOP_GRACEFULLY if self.rules.graceful_shutdown else Order.STOP
        self.change(
            phase=Phase.STOPPING,
            leaving=leaving,
            cursed_at=self.now,
            kill_at=self.now + self.rules.curse_tolerance,
        )
        self.publish(events.StopSent(self.vassal, why))
        self.effects.append(do.Send(order))

    def curse(self, leaving: Leaving) -> None:
        tolerance = self.rules.curse_tolerance
        self.change(phase=Phase.STOPPING, leaving=leaving, cursed_at=self.now, kill_at=self.now + tolerance)
        self.publish(events.VassalCursed(self.vassal, leaving.value, tolerance))

    def kill(self, why: str) -> None:
        if self.state.phase is Phase.STOPPING:
            self.change(kill_at=self.now + max(self.rules.curse_tolerance, KILL_PAUSE))
        self.publish(events.VassalKilled(self.vassal, why))
        self.effects.append(do.Kill())

    def end_zerg(self) -> None:
        self.change(phase=Phase.EXILED, reason="its process ended")
        self.effects.append(do.EndZerg())

    def exile(self, why: str) -> None:
        self.drop_listener()
        self.change(phase=Phase.EXILED, reason=why)
        self.publish(events.VassalExiled(self.vassal, why))

    def park(self, restarts: int, window: float) -> None:
        self.drop_listener()
        self.change(phase=Phase.PARKED, reason=f"{events.counted(restarts, 'restart')} within {window:g} s")
        self.publish(events.VassalParked(self.vassal, restarts, window))

    def hold(self, spec: VassalSpec) -> None:
        """Stay without a process and without a socket until it is released."""
        if self.state.phase is Phase.QUEUED:
            self.effects.append(do.Withdraw())
        self.drop_listener()
        desired = self.desired
        self.change(
            phase=Phase.HELD,
            spec=spec,
            life=desired.life,
            revision=desired.revision,
            reason=desired.held,
            failure=None,
        )
        self.publish(events.VassalHeld(self.vassal, desired.held))

    def drop_listener(self) -> None:
        if self.state.bound_for is not None:
            self.effects.append(do.CloseListener())
        self.change(address=None, bound_for=None, ticket=self.state.ticket + 1)

    def vanish(self) -> None:
        if self.state.phase is Phase.QUEUED:
            self.effects.append(do.Withdraw())
        self.drop_listener()
        self.change(phase=Phase.GONE)
        self.publish(events.VassalRemoved(self.vassal))
        self.effects.append(do.Vanish())

    # --- small change ---

    def publish(self, event: events.Event) -> None:
        self.effects.append(do.Publish(event))

    def change(self, **changes: object) -> None:
        self.state = evolve(self.state, changes)
