"""The policies of a whole empire, with fakes under a clock that jumps."""

from __future__ import annotations

from typing import NoReturn

import pytest
import trio
from trio.testing import MockClock

from emperor_trio import events
from emperor_trio.actors.supervisor import Command, Policy
from emperor_trio.errors import ListenError, SpawnDeferred, SpawnError
from emperor_trio.law.fleet import FleetRules
from emperor_trio.law.protocol import Order, Signal
from emperor_trio.law.state import LifecycleRules
from emperor_trio.law.throttle import Priorities, ThrottleRules
from emperor_trio.model import Destroy, Owner, Snapshot, Touch, VassalSpec
from emperor_trio.ports import HookPoint
from emperor_trio.testing import CRASHING, LOYAL, STUBBORN, Behaviour, FakeSpawner
from emperor_trio.testing.spawner import Hook
from tests.actors.conftest import MONITOR, Empire, Reign


def births(empire: Empire, name: str) -> list[float]:
    return [process.born for process in empire.spawner.of(name)]


async def test_a_disloyal_vassal_waits_longer_each_time(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign(Policy(throttle=ThrottleRules(throttle=1.0, max_throttle=3.0))) as empire:
        empire.spawner.behave("a.ini", CRASHING)
        await empire.monitor.emit(Touch(empire.spec("a.ini")))
        await empire.events.wait_for(events.VassalBlacklisted, count=7)
        assert births(empire, "a.ini")[:7] == pytest.approx([0, 0, 1, 3, 6, 9, 12])


async def test_jitter_adds_a_tenth_at_most(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign(chance=lambda: 1.0) as empire:
        empire.spawner.behave("a.ini", CRASHING)
        await empire.monitor.emit(Touch(empire.spec("a.ini")))
        await empire.events.wait_for(events.VassalBlacklisted, count=4)
        assert births(empire, "a.ini")[:4] == pytest.approx([0, 0, 1.1, 3.3])


async def test_without_a_blacklist_nobody_waits(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign(Policy(throttle=ThrottleRules(blacklist=False))) as empire:
        empire.spawner.behave("a.ini", *[CRASHING] * 5, LOYAL)
        await empire.monitor.emit(Touch(empire.spec("a.ini")))
        await empire.events.wait_for(events.VassalLoyal)
        assert births(empire, "a.ini") == [0.0] * 6


async def test_a_loyal_vassal_that_dies_is_spawned_again_at_once(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign() as empire:
        empire.spawner.behave("a.ini", LOYAL)
        await empire.monitor.emit(Touch(empire.spec("a.ini")))
        for death in range(1, 6):
            await empire.events.wait_for(events.VassalLoyal, count=death)
            empire.spawner.newest("a.ini").exit(1)
        await empire.events.wait_for(events.VassalLoyal, count=6)
        assert births(empire, "a.ini") == [0.0] * 6
        assert not empire.events.of(events.VassalBlacklisted)


@pytest.mark.parametrize("forgiven_by", ["command", "changed config"])
async def test_the_blacklist_is_left(reign: Reign, autojump_clock: MockClock, forgiven_by: str) -> None:
    async with reign() as empire:
        empire.spawner.behave("a.ini", *[CRASHING] * 6, LOYAL)
        await empire.monitor.emit(Touch(empire.spec("a.ini")))
        await empire.events.wait_for(events.VassalBlacklisted, count=6)
        (entry,) = empire.emperor.statistics().blacklist
        assert (entry.attempt, entry.delay) == (6, 5.0)
        now = trio.current_time()
        if forgiven_by == "command":
            await empire.emperor.command(Command.FORGIVE_ALL)
        else:
            await empire.monitor.emit(Touch(empire.spec("a.ini")))
        await empire.events.wait_for(events.VassalLoyal)
        assert trio.current_time() == pytest.approx(now)
        assert not empire.emperor.statistics().blacklist


async def test_restart_intensity_parks_until_the_config_changes(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign(Policy(throttle=ThrottleRules(max_restarts=3, restart_window=100.0))) as empire:
        empire.spawner.behave("a.ini", *[CRASHING] * 4, LOYAL)
        await empire.monitor.emit(Touch(empire.spec("a.ini")))
        await empire.events.wait_for(events.VassalParked)
        await trio.sleep(1000)
        assert len(empire.spawner.of("a.ini")) == 4
        assert empire.statistics("a.ini").phase == "failed"
        assert "3 restarts" in empire.statistics("a.ini").reason
        await empire.monitor.emit(Touch(empire.spec("a.ini")))
        await empire.events.wait_for(events.VassalLoyal)


async def test_vassals_start_by_priority_then_by_name(reign: Reign, autojump_clock: MockClock) -> None:
    priorities = Priorities((("db-*", -10), ("late-*", 5)))
    async with reign(Policy(priorities=priorities)) as empire:
        names = ["late-a.ini", "c.ini", "a.ini", "db-2.ini", "b.ini", "db-1.ini"]
        await empire.monitor.show(*(empire.spec(name) for name in names))
        await empire.events.wait_for(events.VassalReady, count=6)
        started = [process.vassal.name for process in empire.spawner.spawned]
        assert started == ["db-1.ini", "db-2.ini", "a.ini", "b.ini", "c.ini", "late-a.ini"]


async def test_no_more_than_max_starting_start_at_once(reign: Reign, autojump_clock: MockClock) -> None:
    spawner = FakeSpawner(Behaviour(ready=2.0))
    async with reign(Policy(throttle=ThrottleRules(max_starting=2)), spawner=spawner) as empire:
        empire.spawner.behave("b.ini", Behaviour(ready=None, dies=1.0), Behaviour(ready=2.0))
        await empire.monitor.show(*(empire.spec(f"{letter}.ini") for letter in "abcde"))
        await empire.events.wait_for(events.VassalReady, count=5)
        # whether b, which died, or c, which was held back, has the place that b left, is decided by who asks first
        assert [process.born for process in spawner.spawned] == [0.0, 0.0, 1.0, 2.0, 3.0, 4.0]
        assert [process.vassal.name for process in spawner.spawned[:2]] == ["a.ini", "b.ini"]


async def test_want_of_room_is_waited_for_and_blames_nobody(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign() as empire:
        empire.spawner.fail("a.ini", *[SpawnDeferred("Resource temporarily unavailable")] * 4)
        await empire.monitor.emit(Touch(empire.spec("a.ini")))
        await empire.events.wait_for(events.VassalReady)
        delays = [event.retry_in for event in empire.events.of(events.SpawnPostponed)]
        assert delays == pytest.approx([0.1, 0.2, 0.4, 0.8])
        assert births(empire, "a.ini") == pytest.approx([1.5])
        assert not empire.events.of(events.VassalBlacklisted)


async def test_a_spawn_that_can_never_go_well_is_a_death(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign() as empire:
        empire.spawner.fail("a.ini", SpawnError("no such binary"), SpawnError("no such binary"))
        await empire.monitor.emit(Touch(empire.spec("a.ini")))
        await empire.events.wait_for(events.VassalReady)
        assert [e.attempt for e in empire.events.of(events.VassalBlacklisted)] == [1]
        assert len(empire.events.of(events.SpawnFailed)) == 1
        assert births(empire, "a.ini") == pytest.approx([2.0])


class Failing(FakeSpawner):
    """Starts nothing and binds nothing."""

    tries = 0

    def spawn(self, *_: object) -> NoReturn:
        self.tries += 1
        raise SpawnError("no such binary")

    async def listen(self, *_: object) -> NoReturn:
        self.tries += 1
        raise ListenError("taken: address already in use")


@pytest.mark.parametrize("throttle", [ThrottleRules(blacklist=False), ThrottleRules(throttle=0)])
@pytest.mark.parametrize("socket", [None, "taken"])
async def test_what_fails_at_once_is_not_tried_at_full_speed(
    reign: Reign, autojump_clock: MockClock, throttle: ThrottleRules, socket: str | None
) -> None:
    """No blacklist, and nothing that takes time: without a pause this would be an endless loop of log lines."""
    spawner = Failing()
    async with reign(Policy(throttle=throttle), spawner=spawner) as empire:
        await empire.monitor.emit(Touch(empire.spec("a.ini", socket=socket)))
        await trio.sleep(9.5)
        assert spawner.tries == 10
        assert len(empire.events.of(events.SpawnFailed)) == 1


async def test_a_changed_config_does_not_sit_out_the_pause(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign(Policy(throttle=ThrottleRules(blacklist=False))) as empire:
        empire.spawner.fail("a.ini", SpawnError("no such binary"))
        await empire.monitor.emit(Touch(empire.spec("a.ini")))
        await empire.events.wait_for(events.SpawnFailed)
        await empire.monitor.emit(Touch(empire.spec("a.ini")))
        await empire.events.wait_for(events.VassalReady)
        assert births(empire, "a.ini") == [0.0]


async def test_broodlord_gives_zergs_over_the_whole_empire(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign(Policy(broodlord=2)) as empire:
        await empire.monitor.show(empire.spec("a.ini"), empire.spec("b.ini"))
        await empire.events.wait_for(events.VassalReady, count=2)
        empire.spawner.newest("a.ini").say(Signal.REINFORCEMENT)
        empire.spawner.newest("b.ini").say(Signal.REINFORCEMENT)
        await empire.events.wait_for(events.VassalReady, count=4)
        await trio.sleep(2)
        empire.spawner.newest("b.ini").say(Signal.REINFORCEMENT)
        denied = await empire.events.wait_for(events.ReinforcementAsked, granted=False)
        assert "2 zergs" in denied.text
        assert empire.statistics("a.ini", 1).name == "a.ini:zerg"
        empire.spawner.newest("a.ini", 1).exit(0)  # a zerg ends with its process
        await empire.events.wait_for(events.VassalRemoved, vassal="a.ini:zerg#1")
        await empire.monitor.emit(Destroy("b.ini"))
        await empire.events.wait_for(events.VassalRemoved, vassal="b.ini:zerg#1")
        assert [process.vassal.name for process in empire.spawner.live] == ["a.ini"]


async def test_a_hundred_touches_are_one_more_reload_to_the_newest(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign() as empire:
        empire.spawner.behave("a.ini", Behaviour(ready=1.0))
        await empire.monitor.emit(Touch(empire.spec("a.ini", config=b"first")))
        await empire.events.wait_for(events.VassalReady)
        for number in range(100):
            await empire.monitor.emit(Touch(empire.spec("a.ini", config=b"%d" % number)))
        await empire.events.wait_for(events.VassalReady, count=3)
        await trio.sleep(60)
        process = empire.spawner.newest("a.ini")
        assert process.orders == [Order.RELOAD] * 2
        assert process.config == b"99"
        assert not process.unread


async def test_reload_of_all_reaches_everyone_once(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign() as empire:
        await empire.monitor.show(*(empire.spec(f"{n}.ini") for n in range(5)))
        await empire.events.wait_for(events.VassalReady, count=5)
        await empire.emperor.command(Command.RELOAD_ALL)
        await empire.events.wait_for(events.VassalReady, count=10)
        assert all(process.orders == [Order.RELOAD] for process in empire.spawner.spawned)


async def test_exile_ends_with_a_changed_config(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign() as empire:
        empire.spawner.behave("a.ini", Behaviour(dies=1.0, code=26), LOYAL)
        await empire.monitor.show(empire.spec("a.ini"))
        await empire.events.wait_for(events.VassalExiled)
        await trio.sleep(1000)
        assert len(empire.spawner.of("a.ini")) == 1
        await empire.monitor.show(empire.spec("a.ini"))
        await empire.events.wait_for(events.VassalLoyal)


async def test_tyrant_refuses_root_and_nobody_once_each(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign(Policy(fleet=FleetRules(tyrant=True))) as empire:
        specs = (
            VassalSpec("good.ini", 1, owner=Owner(1000, 1000)),
            VassalSpec("group.ini", 1, owner=Owner(1000, 0)),
            VassalSpec("nobody.ini", 1),
            VassalSpec("root.ini", 1, owner=Owner(0, 0)),
        )
        for _ in range(5):
            await empire.monitor.show(*specs)
        await empire.events.wait_for(events.VassalReady)
        assert [e.name for e in empire.events.of(events.VassalRefused)] == ["group.ini", "nobody.ini", "root.ini"]
        assert [p.vassal.name for p in empire.spawner.spawned] == ["good.ini"]


async def test_a_new_owner_gets_a_new_process(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign(Policy(fleet=FleetRules(tyrant=True))) as empire:
        await empire.monitor.show(VassalSpec("a.ini", 1, owner=Owner(1000, 1000)))
        await empire.events.wait_for(events.VassalReady)
        await empire.monitor.show(VassalSpec("a.ini", 1, owner=Owner(2000, 2000)))
        await empire.events.wait_for(events.VassalReady, count=2)
        assert [p.spec.owner for p in empire.spawner.of("a.ini")] == [Owner(1000, 1000), Owner(2000, 2000)]
        await empire.monitor.show(VassalSpec("a.ini", 1, owner=Owner(0, 0)))
        await empire.events.wait_for(events.VassalRemoved)


async def test_one_junk_entry_costs_only_itself(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign() as empire:
        junk = VassalSpec(None, "?")  # type: ignore[arg-type]
        await empire.monitor.emit(Snapshot((empire.spec("a.ini"), junk, empire.spec("b.ini"))))
        await empire.events.wait_for(events.VassalReady, count=2)
        assert len(empire.events.of(events.VassalRefused)) == 1


async def test_what_is_no_observation_changes_nothing(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign(may_crash=True) as empire:
        await empire.monitor.emit(Touch(empire.spec("a.ini")))
        await empire.monitor.emit("nonsense")  # type: ignore[arg-type]
        await empire.events.wait_for(events.ObservationFailed)
        await empire.events.wait_for(events.VassalReady)
        assert empire.statistics("a.ini").phase == "running"


async def test_removed_and_added_while_it_ends(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign() as empire:
        empire.spawner.behave("a.ini", Behaviour(stops=3.0), LOYAL)
        await empire.monitor.emit(Touch(empire.spec("a.ini")))
        await empire.events.wait_for(events.VassalReady)
        await empire.monitor.emit(Destroy("a.ini"))
        await trio.sleep(1)
        await empire.monitor.emit(Touch(empire.spec("a.ini")))
        await empire.events.wait_for(events.VassalLoyal)
        assert births(empire, "a.ini") == pytest.approx([0.0, 3.0])


async def test_a_stuck_hook_delays_nobody_else(reign: Reign, autojump_clock: MockClock) -> None:
    spawner = FakeSpawner(LOYAL)
    spawner.hooks[HookPoint.AFTER_DEATH] = Hook(seconds=1000.0)
    spawner.hooks[HookPoint.AFTER_SPAWN] = Hook(seconds=1000.0, wrong="exit code 1")
    async with reign(spawner=spawner) as empire:
        await empire.monitor.emit(Touch(empire.spec("a.ini")))
        await empire.events.wait_for(events.VassalLoyal)
        spawner.newest("a.ini").exit(1)
        await empire.events.wait_for(events.VassalExited)
        await empire.monitor.emit(Touch(empire.spec("b.ini")))
        await empire.events.wait_for(events.VassalLoyal, vassal="b.ini")
        assert trio.current_time() == 0.0
        assert empire.statistics("a.ini").phase == "running its stop hook"
        await empire.events.wait_for(events.VassalLoyal, vassal="a.ini", count=2, patience=2000)
        assert births(empire, "a.ini") == [0.0, 1000.0]
        assert empire.events.of(events.HookFailed, vassal="a.ini")[0].error == "exit code 1"


async def test_a_fault_of_ours_ends_the_process_never_the_actor(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign(may_crash=True) as empire:
        empire.spawner.fail("a.ini", RuntimeError("a fault of ours"))
        await empire.monitor.show(empire.spec("a.ini"), empire.spec("b.ini"))
        await empire.events.wait_for(events.VassalReady, vassal="b.ini")
        crash = await empire.events.wait_for(events.ActorCrashed)
        assert "RuntimeError: a fault of ours" in crash.text
        await empire.events.wait_for(events.VassalReady, vassal="a.ini")
        assert 1.0 <= births(empire, "a.ini")[0] <= 1.1


async def test_a_silent_heart_is_killed_and_restarted(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign(Policy(lifecycle=LifecycleRules(required_heartbeat=30.0))) as empire:
        await empire.monitor.emit(Touch(empire.spec("a.ini")))
        await empire.events.wait_for(events.VassalReady)
        for _ in range(5):
            empire.spawner.newest("a.ini").say(Signal.HEARTBEAT)
            await trio.sleep(20)
        await empire.events.wait_for(events.VassalReady, count=2)
        assert births(empire, "a.ini") == pytest.approx([0.0, 110.0])


async def test_on_demand_from_first_connection_back_to_waiting(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign() as empire:
        empire.spawner.behave("a.ini", LOYAL)
        await empire.monitor.emit(Touch(empire.spec("a.ini", socket="/run/a.socket")))
        await empire.events.wait_for(events.VassalListening)
        await empire.monitor.emit(Touch(empire.spec("a.ini", socket="/run/a.socket")))
        await trio.sleep(100)
        assert not empire.spawner.spawned  # a changed config spawns nothing
        empire.spawner.listener("/run/a.socket").connect()
        await empire.events.wait_for(events.VassalLoyal)
        assert empire.spawner.newest("a.ini").spec.version == 2
        empire.spawner.newest("a.ini").say(Signal.LEAVE)
        await empire.events.wait_for(events.VassalListening, count=2)
        empire.spawner.listener("/run/a.socket").connect()
        await empire.events.wait_for(events.VassalLoyal, count=2)
        empire.spawner.newest("a.ini").exit(1)  # a crash brings it back to waiting, too
        await empire.events.wait_for(events.VassalListening, count=3)
        assert len(empire.spawner.listeners) == 1
        await empire.monitor.emit(Touch(empire.spec("a.ini")))  # it lost its socket
        await empire.events.wait_for(events.VassalLoyal, count=3)
        assert not empire.spawner.open_listeners


async def test_status_of_all_is_one_event_each(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign() as empire:
        await empire.monitor.show(empire.spec("b.ini"), empire.spec("a.ini", socket=":1"))
        await empire.events.wait_for(events.VassalReady)
        await trio.sleep(10)
        await empire.emperor.command(Command.LOG_STATUS)
        await empire.events.wait_for(events.VassalStatus, count=2)
        assert [event.text for event in empire.events.of(events.VassalStatus)] == [
            "status: on demand, no process",
            "status: running, pid 100000, up 10 s, not yet loyal",
        ]


async def test_shutdown_with_vassals_in_every_phase(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign(mercy=10.0) as empire:
        spawner = empire.spawner
        spawner.behave("starting.ini", Behaviour(ready=None, stops=1.0))
        spawner.behave("stubborn.ini", STUBBORN)
        spawner.behave("blacklisted.ini", CRASHING)
        spawner.behave("exiled.ini", Behaviour(dies=0.0, code=26))
        spawner.refuse("taken")
        names = ["starting.ini", "stubborn.ini", "blacklisted.ini", "exiled.ini", "running.ini"]
        sockets = {"waiting.ini": ":1", "unbound.ini": "taken"}
        await empire.monitor.show(
            *(empire.spec(name) for name in names), *(empire.spec(name, socket=at) for name, at in sockets.items())
        )
        await trio.sleep(5)
        start = trio.current_time()
        empire.emperor.stop("enough")
        await empire.events.wait_for(events.EmperorStopped)
        assert trio.current_time() - start == pytest.approx(10.0)
        assert empire.names_of(events.VassalKilled) == ["stubborn.ini"]
        assert len(empire.events.of(events.VassalRemoved)) == 7


async def test_told_twice_it_waits_no_longer(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign(mercy=30.0) as empire:
        empire.spawner.behave("a.ini", STUBBORN)
        await empire.monitor.emit(Touch(empire.spec("a.ini")))
        await empire.events.wait_for(events.VassalReady)
        empire.emperor.stop("once")
        await trio.sleep(1)
        empire.emperor.stop("twice")
        await empire.events.wait_for(events.EmperorStopped)
        assert trio.current_time() == pytest.approx(1.0)


async def test_ten_thousand_boot_while_others_have_their_turns(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign() as empire:
        turns = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(empire.monitor.show, *(VassalSpec(f"{n:05}.ini", 1) for n in range(10_000)))
            while len(empire.spawner.spawned) < 10_000:
                await trio.lowlevel.checkpoint()
                turns += 1
        await trio.sleep(1)
        assert turns >= 10_000  # after every spawn
        names = [process.vassal.name for process in empire.spawner.spawned]
        assert names == sorted(names)
        assert empire.emperor.statistics().monitors[0].vassals == 10_000
        assert empire.emperor.statistics().monitors[0].name == MONITOR
