"""Random schedules of every stimulus against the rules, in a model world: see ``world.py`` for what must hold."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from emperor_trio.law.protocol import Signal
from emperor_trio.law.state import EXILE_CODE, LifecycleRules
from emperor_trio.law.throttle import ThrottleRules
from emperor_trio.model import Destroy, Snapshot, Touch, VassalSpec
from tests.law.world import World

MONITORS = st.sampled_from(["dir://one", "dir://two"])
NAMES = st.sampled_from(["a.ini", "b.ini", "c.ini"])
SOCKETS = st.sampled_from([None, None, "/run/one.socket", "/run/two.socket"])
PICK = st.integers(0, 7)
"""Which of those there are; counted round."""


class Empire(RuleBasedStateMachine):
    world: World
    versions: int

    @initialize(
        max_starting=st.integers(0, 2),
        max_restarts=st.sampled_from([0, 0, 2, 5]),
        blacklist=st.booleans(),
        broodlord=st.integers(0, 2),
        stop_hook=st.booleans(),
        graceful=st.booleans(),
    )
    def begin(
        self, max_starting: int, max_restarts: int, blacklist: bool, broodlord: int, stop_hook: bool, graceful: bool
    ) -> None:
        throttle = ThrottleRules(max_starting=max_starting, max_restarts=max_restarts, blacklist=blacklist)
        rules = LifecycleRules(stop_hook=stop_hook, graceful_shutdown=graceful)
        self.world = World(rules, throttle, broodlord)
        self.versions = 0

    def spec(self, name: str, socket: str | None, ask: bool, sent: bool) -> VassalSpec:
        self.versions += 1
        config = f"config {self.versions}".encode() if sent else None
        return VassalSpec(name, self.versions, config=config, socket=socket, ask_socket=ask and socket is None)

    # --- what is desired ---

    @rule(monitor=MONITORS, name=NAMES, socket=SOCKETS, ask=st.booleans(), sent=st.booleans())
    def add_or_change(self, monitor: str, name: str, socket: str | None, ask: bool, sent: bool) -> None:
        self.world.observe(monitor, Touch(self.spec(name, socket, ask and sent, sent)))

    @rule(name=NAMES)
    def change_again(self, name: str) -> None:
        """The usual change: the same vassal with a newer config that is sent."""
        self.world.observe("dir://one", Touch(self.spec(name, None, ask=False, sent=True)))

    @rule(monitor=MONITORS, name=NAMES)
    def remove(self, monitor: str, name: str) -> None:
        self.world.observe(monitor, Destroy(name))

    @rule(monitor=MONITORS, names=st.sets(NAMES), socket=SOCKETS)
    def show(self, monitor: str, names: set[str], socket: str | None) -> None:
        specs = tuple(self.spec(name, socket, ask=False, sent=socket is None) for name in sorted(names))
        self.world.observe(monitor, Snapshot(specs))

    @rule()
    def reload_all(self) -> None:
        self.world.reload_all()

    @rule()
    def forgive_all(self) -> None:
        self.world.forgive_all()

    # --- whose turn it is ---

    @precondition(lambda self: self.world.actors_with_a_turn)
    @rule(pick=PICK, turns=st.integers(1, 4))
    def actor(self, pick: int, turns: int) -> None:
        for _ in range(turns):
            ready = self.world.actors_with_a_turn
            if ready:
                ready[pick % len(ready)].turn()

    @precondition(lambda self: self.world.channel)
    @rule(messages=st.integers(1, 6))
    def supervisor(self, messages: int) -> None:
        for _ in range(min(messages, len(self.world.channel))):
            self.world.hear_report()

    @rule(spawns=st.integers(1, 3))
    def grant(self, spawns: int) -> None:
        for _ in range(spawns):
            self.world.grant()

    @rule(seconds=st.sampled_from([0.05, 0.5, 1.0, 5.0, 10.0, 30.0, 200.0]))
    def wait(self, seconds: float) -> None:
        self.world.now += seconds

    # --- the system ---

    @rule(system=st.sampled_from(["sound", "sound", "short", "broken"]))
    def change_system(self, system: str) -> None:
        self.world.system = system

    @precondition(lambda self: self.world.jobs)
    @rule(pick=PICK, well=st.booleans(), address=SOCKETS)
    def end_job(self, pick: int, well: bool, address: str | None) -> None:
        self.world.end_job(pick % len(self.world.jobs), well=well, address=address)

    @precondition(lambda self: any(not socket.closed for socket in self.world.sockets))
    @rule(pick=PICK)
    def connect(self, pick: int) -> None:
        listening = [socket for socket in self.world.sockets if not socket.closed]
        self.world.connect(listening[pick % len(listening)])

    @precondition(lambda self: self.world.talking)
    @rule(pick=PICK, number=PICK)
    def deliver(self, pick: int, number: int) -> None:
        process = self.world.talking[pick % len(self.world.talking)]
        self.world.deliver(process, number % len(process.wire))

    # --- vassals ---

    @precondition(lambda self: any(not process.booted for process in self.world.alive))
    @rule(pick=PICK)
    def boot(self, pick: int) -> None:
        booting = [process for process in self.world.alive if not process.booted]
        process = booting[pick % len(booting)]
        if process.asked_at is None:
            process.boot()
        else:
            process.finish_reload()

    @precondition(lambda self: any(process.orders and process.booted for process in self.world.alive))
    @rule(pick=PICK)
    def obey(self, pick: int) -> None:
        obedient = [process for process in self.world.alive if process.orders and process.booted]
        obedient[pick % len(obedient)].obey()

    @precondition(lambda self: any(process.booted for process in self.world.alive))
    @rule(pick=PICK)
    def reload_of_its_own_accord(self, pick: int) -> None:
        booted = [process for process in self.world.alive if process.booted]
        booted[pick % len(booted)].reload()

    @precondition(lambda self: self.world.alive)
    @rule(
        pick=PICK,
        signals=st.lists(
            st.sampled_from([Signal.LOYAL, Signal.LEAVE, Signal.HEARTBEAT, Signal.REINFORCEMENT, 99]),
            min_size=1,
            max_size=3,
        ),
    )
    def say(self, pick: int, signals: list[int]) -> None:
        self.world.alive[pick % len(self.world.alive)].say(*signals)

    @precondition(lambda self: self.world.alive)
    @rule(pick=PICK, code=st.sampled_from([0, 1, EXILE_CODE, -9]))
    def die(self, pick: int, code: int) -> None:
        self.world.alive[pick % len(self.world.alive)].end(code)

    @precondition(lambda self: self.world.alive)
    @rule(pick=PICK)
    def close_pipe(self, pick: int) -> None:
        self.world.alive[pick % len(self.world.alive)].close()

    @precondition(lambda self: self.world.alive)
    @rule(pick=PICK)
    def get_stuck(self, pick: int) -> None:
        self.world.alive[pick % len(self.world.alive)].stuck = True

    # --- what must hold ---

    @invariant()
    def check(self) -> None:
        self.world.check()

    @rule()
    def come_to_rest(self) -> None:
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
    max_examples=300,
    stateful_step_count=60,
    deadline=None,
    derandomize=True,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

TestEmpire = Empire.TestCase
TestEmpire.settings = settings.get_profile("long") if settings.get_current_profile_name() == "long" else SHORT
