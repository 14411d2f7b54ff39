"""Random schedules of every stimulus against the rules, in a model world: see ``world.py`` for what must hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from emperor_trio.law.protocol import EXILE_CODE, Signal
from emperor_trio.law.state import LifecycleRules
from emperor_trio.law.throttle import ThrottleRules
from emperor_trio.model import Destroy, Snapshot, Touch, VassalId, VassalSpec, Verb
from tests.law.world import World

MONITORS = st.sampled_from(["dir://one", "dir://one", "dir://one", "dir://two"])
NAMES = st.sampled_from(["a.ini", "b.ini"])
SOCKETS = st.sampled_from([None, None, "/run/one.socket", "/run/two.socket"])
SAID = [Signal.LOYAL, Signal.LEAVE, Signal.HEARTBEAT, Signal.REINFORCEMENT, 99]
PICK = st.integers(0, 7)
"""Which of those there are; counted round."""


T = TypeVar("T")


def one_of(those: Sequence[T], pick: int) -> Sequence[T]:
    """One of those there are, or none where there is none."""
    return [those[pick % len(those)]] if those else []


class Empire(RuleBasedStateMachine):
    world: World
    versions: int

    @initialize(
        max_starting=st.integers(0, 2),
        max_restarts=st.sampled_from([0, 1, 3]),
        blacklist=st.booleans(),
        broodlord=st.integers(0, 2),
        stop_hook=st.booleans(),
        graceful=st.booleans(),
        reload_pause=st.sampled_from([0.0, 0.5]),
        sockets=st.lists(SOCKETS, min_size=2, max_size=2),
    )
    def begin(
        self,
        max_starting: int,
        max_restarts: int,
        blacklist: bool,
        broodlord: int,
        stop_hook: bool,
        graceful: bool,
        reload_pause: float,
        sockets: list[str | None],
    ) -> None:
        """An empire that reigns already."""
        throttle = ThrottleRules(max_starting=max_starting, max_restarts=max_restarts, blacklist=blacklist)
        rules = LifecycleRules(stop_hook=stop_hook, graceful_shutdown=graceful, reload_pause=reload_pause)
        self.world = World(rules, throttle, broodlord)
        self.versions = 0
        for name, socket in zip(["a.ini", "b.ini"], sockets, strict=True):
            self.world.observe("dir://one", Touch(self.spec(name, socket, ask=False, sent=name == "a.ini")))
        self.world.settle()
        self.world.check_at_rest()

    def spec(self, name: str, socket: str | None, ask: bool, sent: bool) -> VassalSpec:
        self.versions += 1
        config = f"config {self.versions}".encode() if sent else None
        return VassalSpec(name, self.versions, config=config, socket=socket, ask_socket=ask and socket is None)

    # --- what is desired ---

    @rule(monitor=MONITORS, name=NAMES, socket=SOCKETS, ask=st.booleans(), sent=st.booleans())
    def add_or_change(self, monitor: str, name: str, socket: str | None, ask: bool, sent: bool) -> None:
        self.world.observe(monitor, Touch(self.spec(name, socket, ask and sent, sent)))

    @rule(pick=PICK)
    def change(self, pick: int) -> None:
        """The usual: a newer config, and nothing else."""
        wanted = [(actor.vassal.monitor, actor.desired.spec) for actor in self.world.table.values()]
        for monitor, old in one_of(wanted, pick):
            if old is not None:
                newer = self.spec(old.name, old.socket, old.ask_socket, sent=old.config is not None)
                self.world.observe(monitor, Touch(newer))

    @rule(monitor=MONITORS, name=NAMES)
    def remove(self, monitor: str, name: str) -> None:
        self.world.observe(monitor, Destroy(name))

    @rule(monitor=MONITORS, names=st.sets(NAMES), socket=SOCKETS)
    def show(self, monitor: str, names: set[str], socket: str | None) -> None:
        specs = tuple(self.spec(name, socket, ask=False, sent=socket is None) for name in sorted(names))
        self.world.observe(monitor, Snapshot(specs))

    @rule(forgive=st.booleans())
    def command(self, forgive: bool) -> None:
        if forgive:
            self.world.forgive_all()
        else:
            self.world.reload_all()

    @rule(monitor=MONITORS, name=NAMES, verb=st.sampled_from(Verb), ordinal=st.sampled_from([0, 0, 0, 1]))
    def order(self, monitor: str, name: str, verb: Verb, ordinal: int) -> None:
        self.world.order(verb, VassalId(monitor, name, ordinal))

    # --- whose turn it is ---

    @rule(pick=PICK, turns=st.integers(1, 4))
    def actor(self, pick: int, turns: int) -> None:
        for _ in range(turns):
            for actor in one_of(self.world.actors_with_a_turn, pick):
                actor.turn()

    @rule(messages=st.integers(1, 6))
    def supervisor(self, messages: int) -> None:
        for _ in range(min(messages, len(self.world.channel))):
            self.world.hear_report()

    @rule(spawns=st.integers(1, 3))
    def grant(self, spawns: int) -> None:
        for _ in range(spawns):
            self.world.grant()

    @rule(rounds=st.integers(1, 6), but=st.none() | PICK)
    def go_on(self, rounds: int, but: int | None) -> None:
        """The usual: everyone has a turn; but perhaps what one process sent stays on its way."""
        slow = [] if but is None else one_of(self.world.talking, but)
        for _ in range(rounds):
            self.world.go_on(slow)

    @rule(seconds=st.sampled_from([0.05, 0.5, 1.0, 5.0, 10.0, 30.0, 200.0]))
    def wait(self, seconds: float) -> None:
        self.world.now += seconds

    # --- the system ---

    @rule(system=st.sampled_from(["sound", "sound", "short", "broken"]))
    def change_system(self, system: str) -> None:
        self.world.system = system

    @rule(pick=PICK, well=st.booleans(), address=SOCKETS)
    def end_job(self, pick: int, well: bool, address: str | None) -> None:
        for number in one_of(range(len(self.world.jobs)), pick):
            self.world.end_job(number, well=well, address=address)

    @rule(pick=PICK)
    def connect(self, pick: int) -> None:
        for socket in one_of([socket for socket in self.world.sockets if not socket.closed], pick):
            self.world.connect(socket)

    @rule(pick=PICK, number=PICK)
    def deliver(self, pick: int, number: int) -> None:
        for process in one_of(self.world.talking, pick):
            self.world.deliver(process, number % len(process.wire))

    # --- vassals ---

    @rule(pick=PICK)
    def boot(self, pick: int) -> None:
        for process in one_of([process for process in self.world.alive if not process.booted], pick):
            process.go_on()

    @rule(pick=PICK)
    def obey(self, pick: int) -> None:
        for process in one_of([process for process in self.world.alive if process.orders and process.booted], pick):
            process.obey()

    @rule(pick=PICK)
    def reload_of_its_own_accord(self, pick: int) -> None:
        for process in one_of([process for process in self.world.alive if process.booted], pick):
            process.reload()

    @rule(
        pick=PICK,
        signals=st.lists(
            st.sampled_from(SAID),
            min_size=1,
            max_size=3,
        ),
    )
    def say(self, pick: int, signals: list[int]) -> None:
        for process in one_of(self.world.alive, pick):
            process.say(*signals)

    @rule(pick=PICK, code=st.sampled_from([0, 1, EXILE_CODE, -9]))
    def die(self, pick: int, code: int) -> None:
        for process in one_of(self.world.alive, pick):
            process.end(code)

    @rule(pick=PICK, stuck=st.booleans())
    def break_pipe(self, pick: int, stuck: bool) -> None:
        for process in one_of(self.world.alive, pick):
            if stuck:
                process.stuck = True
            else:
                process.close()

    @rule(seed=st.integers(0, 2**32), length=st.sampled_from([400, 200, 100, 50, 20, 10, 5, 2, 1]))
    def storm(self, seed: int, length: int) -> None:
        """Much of all that at once. Single steps find the simplest way into a fault, storms the way in at all."""
        dice = Random(seed)

        def pick() -> int:
            return dice.randrange(8)

        actions: dict[Callable[[], None], int] = {
            lambda: self.change(pick()): 4,
            lambda: self.add_or_change("dir://one", dice.choice("ab") + ".ini", *self._socket(dice)): 1,
            lambda: self.remove("dir://one", dice.choice("ab") + ".ini"): 1,
            lambda: self.command(dice.random() < 0.5): 1,
            lambda: self.actor(pick(), 1): 20,
            lambda: self.supervisor(1): 12,
            lambda: self.grant(1): 6,
            lambda: self.wait(dice.choice([0.1, 1.0, 5.0, 10.0, 30.0])): 2,
            lambda: self.go_on(1, pick()): 4,
            lambda: self.change_system(dice.choice(["sound"] * 4 + ["short", "broken"])): 1,
            lambda: self.end_job(pick(), dice.random() < 0.9, dice.choice([None, "/run/one.socket"])): 4,
            lambda: self.connect(pick()): 3,
            lambda: self.deliver(pick(), pick()): 16,
            lambda: self.boot(pick()): 8,
            lambda: self.obey(pick()): 6,
            lambda: self.reload_of_its_own_accord(pick()): 2,
            lambda: self.say(pick(), [dice.choice(SAID)]): 3,
            lambda: self.die(pick(), dice.choice([0, 1, EXILE_CODE, -9])): 3,
            lambda: self.break_pipe(pick(), dice.random() < 0.5): 1,
        }
        for action in dice.choices(list(actions), list(actions.values()), k=length):
            action()
            self.world.check()

    def _socket(self, dice: Random) -> tuple[str | None, bool, bool]:
        return dice.choice([None, None, "/run/one.socket", "/run/two.socket"]), dice.random() < 0.3, dice.random() < 0.7

    # --- what must hold ---

    @invariant()
    def check(self) -> None:
        self.world.check()

    @rule(rest=st.sampled_from([True, False, False]))
    def come_to_rest(self, rest: bool) -> None:
        if rest:
            self.world.settle()
            self.world.check_at_rest()

    def teardown(self) -> None:
        """Every schedule ends in what is desired; and then in nothing, with mercy or without."""
        if not hasattr(self, "world"):
            return
        if self.versions % 3 == 0:
            self.world.settle()
            self.world.check_at_rest()
        self.world.shut_down()
        if self.versions % 2 == 0:
            self.world.lose_mercy()
        self.world.settle()
        self.world.check_at_rest()


SHORT = settings(
    max_examples=1_000,
    stateful_step_count=60,
    deadline=None,
    derandomize=True,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

TestEmpire = Empire.TestCase
TestEmpire.settings = settings.get_profile("long") if settings.get_current_profile_name() == "long" else SHORT
