"""One vassal's rules under test: told stimuli at a time of the test's choosing, it hands back the effects."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from emperor_trio.events import Event
from emperor_trio.law import effects as do
from emperor_trio.law import stimuli as hear
from emperor_trio.law.lifecycle import step
from emperor_trio.law.protocol import Signal
from emperor_trio.law.state import LifecycleRules, Phase, State
from emperor_trio.model import Desired, VassalId, VassalSpec

EffectT = TypeVar("EffectT", bound=do.Effect)
EventT = TypeVar("EventT", bound=Event)

VASSAL = VassalId("dir:///etc/vassals", "a.ini")
ZERG = VassalId("dir:///etc/vassals", "a.ini", 1)
PID = 4711


class Effects(tuple[do.Effect, ...]):
    """What one stimulus brought about, in order."""

    __slots__ = ()

    def of(self, kind: type[EffectT]) -> list[EffectT]:
        return [effect for effect in self if isinstance(effect, kind)]

    def events(self, kind: type[EventT]) -> list[EventT]:
        found = [effect.event for effect in self.of(do.Publish)]
        return [event for event in found if isinstance(event, kind)]

    @property
    def kinds(self) -> list[type[do.Effect]]:
        """The classes of all effects but events."""
        return [type(effect) for effect in self if not isinstance(effect, do.Publish)]


class Life:
    """A vassal, wanted from the start. ``now`` is the time; everything else is in ``state``."""

    def __init__(self, rules: LifecycleRules | None = None, vassal: VassalId = VASSAL, **spec: object) -> None:
        self.rules = rules or LifecycleRules()
        self.vassal = vassal
        self.now = 1000.0
        self.state = State()
        self.desired = Desired(VassalSpec(vassal.name, 1, **spec), 1, 1)  # type: ignore[arg-type]

    @property
    def phase(self) -> Phase:
        return self.state.phase

    @property
    def spec(self) -> VassalSpec:
        assert self.desired.spec is not None
        return self.desired.spec

    def tell(self, stimulus: hear.Stimulus) -> Effects:
        """Take one step."""
        before = self.state
        self.state, effects = step(self.vassal, before, self.now, stimulus, self.desired, self.rules)
        assert (self.state, effects) == step(self.vassal, before, self.now, stimulus, self.desired, self.rules)
        return Effects(effects)

    # --- what is desired ---

    def look(self) -> Effects:
        return self.tell(hear.Look())

    def change(self, **spec: object) -> Effects:
        """A newer config."""
        newer = replace(self.spec, version=self.spec.version + 1, **spec)  # type: ignore[arg-type]
        self.desired = replace(self.desired, spec=newer, revision=self.desired.revision + 1)
        return self.look()

    def replace(self, **spec: object) -> Effects:
        """It must be another process: owner or socket changed, or it was removed and added."""
        newer = replace(self.spec, **spec)  # type: ignore[arg-type]
        self.desired = Desired(newer, self.desired.revision + 1, self.desired.life + 1)
        return self.look()

    def hold(self, why: str = "by a command") -> Effects:
        """An operator stops it."""
        self.desired = replace(self.desired, held=why)
        return self.look()

    def release(self) -> Effects:
        """An operator starts it."""
        number = self.desired.revision + 1
        self.desired = replace(self.desired, revision=number, life=number, held="")
        return self.look()

    def remove(self) -> Effects:
        self.desired = Desired(None)
        return self.look()

    # --- what happens ---

    def leave(self) -> Effects:
        """The supervisor grants the spawn that was asked for last."""
        return self.tell(hear.Leave(self.state.asked))

    def say(self, *data: int) -> Effects:
        """The process sends bytes."""
        return self.tell(hear.Heard(self.state.generation, bytes(data)))

    def close_pipe(self) -> Effects:
        return self.tell(hear.Lost(self.state.generation))

    def end(self, code: int = 1) -> Effects:
        return self.tell(hear.Ended(self.state.generation, code))

    def later(self, seconds: float) -> Effects:
        """Time passes, and a tick comes."""
        self.now += seconds
        return self.tell(hear.Tick())

    # --- how far it has come ---

    def start(self) -> Life:
        """To a process that has said nothing yet."""
        self.look()
        self.leave()
        self.tell(hear.Spawned(PID))
        assert self.phase is Phase.STARTING
        return self

    def run(self) -> Life:
        """To a process that is ready."""
        self.start()
        self.say(Signal.READY)
        assert self.phase is Phase.RUNNING
        return self

    def serve(self) -> Life:
        """To a process that is loyal."""
        self.run()
        self.say(Signal.ACCEPTING, Signal.LOYAL)
        assert self.state.loyal
        return self

    def listen(self, address: str = "/run/a.socket") -> Life:
        """To a bound socket that waits for its first connection."""
        self.look()
        if self.phase is Phase.ASKING:
            self.tell(hear.SocketTold(self.state.ticket, address))
        self.tell(hear.Bound(self.state.ticket, address))
        assert self.phase is Phase.WAITING
        return self

    def wake(self) -> Life:
        """From there to a process that is ready."""
        self.tell(hear.Connection())
        self.leave()
        self.tell(hear.Spawned(PID))
        self.say(Signal.READY)
        assert self.phase is Phase.RUNNING
        return self
