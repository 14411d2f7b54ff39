"""Where failures stop: faults of ours, of third parties and of vassals that mean harm stay with whom they concern."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from emperor_trio import events
from emperor_trio.actors.bus import Bus
from emperor_trio.actors.emperor import Emperor
from emperor_trio.actors.mailbox import Mailbox
from emperor_trio.actors.supervisor import Policy
from emperor_trio.errors import SpawnDeferred
from emperor_trio.law import lifecycle
from emperor_trio.law.effects import Effect
from emperor_trio.law.protocol import Order, Signal
from emperor_trio.law.state import LifecycleRules, State
from emperor_trio.law.stimuli import Ended, Look, Stimulus
from emperor_trio.law.throttle import ThrottleRules
from emperor_trio.model import Desired, Destroy, Touch, VassalId, VassalSpec
from emperor_trio.ports import Emit, HookPoint, Listener
from emperor_trio.testing import CRASHING, STUBBORN, Behaviour, FakeSpawner, Hook, ScriptedMonitor
from tests.actors.conftest import Reign


def faulty(*names: str) -> Callable[..., None]:
    """A method that fails the first ``len(names)`` times it is called."""
    left = list(names)

    def fail(*args: object) -> None:
        if left:
            raise RuntimeError(f"a fault in {left.pop()}")

    return fail


# --- faults of ours ---


def break_law(monkeypatch: pytest.MonkeyPatch, kind: type[Stimulus]) -> None:
    """Have the rules fail at the first stimulus of a class."""
    crash = faulty("the law")

    def step(
        vassal: VassalId, state: State, now: float, stimulus: Stimulus, desired: Desired, rules: LifecycleRules
    ) -> tuple[State, tuple[Effect, ...]]:
        if isinstance(stimulus, kind):
            crash()
        return lifecycle.step(vassal, state, now, stimulus, desired, rules)

    monkeypatch.setattr("emperor_trio.actors.vassal.step", step)


async def test_fault_in_the_very_first_step_loses_no_vassal(
    reign: Reign, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_law(monkeypatch, Look)
    async with reign() as empire:
        await empire.monitor.show(empire.spec("a.ini"), empire.spec("b.ini"))
        await empire.events.wait_for(events.VassalReady, count=2)


async def test_process_of_a_crashed_actor_is_killed_and_awaited_before_the_next_is_spawned(
    reign: Reign, autojump_clock: MockClock
) -> None:
    async with reign(may_crash=True) as empire:
        await empire.monitor.show(empire.spec("a.ini"))
        await empire.events.wait_for(events.VassalReady)
        process = empire.spawner.newest("a.ini")
        process.kill = lambda: empire.spawner._agenda.after(100, lambda: process.exit(-9))  # type: ignore[method-assign]
        process.send = faulty("send")  # type: ignore[method-assign,assignment]
        await empire.monitor.show(empire.spec("a.ini"))
        await empire.events.wait_for(events.ActorCrashed)
        await trio.sleep(99)
        assert len(empire.spawner.of("a.ini")) == 1
        await empire.events.wait_for(events.VassalReady, count=2)
        assert empire.events.of(events.VassalExited)[0].code == -9
        assert trio.current_time() == pytest.approx(100, abs=1)


async def test_crash_over_the_death_of_the_process_waits_for_no_other(
    reign: Reign, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_law(monkeypatch, Ended)
    async with reign(may_crash=True) as empire:
        await empire.monitor.show(empire.spec("a.ini"))
        await empire.events.wait_for(events.VassalReady)
        empire.spawner.newest("a.ini").exit(1)
        await empire.events.wait_for(events.VassalReady, count=2, patience=5)
        assert len(empire.events.of(events.ActorCrashed)) == 1


async def test_crash_after_the_death_of_the_process_waits_for_no_other(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign(may_crash=True) as empire:
        await empire.monitor.show(empire.spec("a.ini"))
        await empire.events.wait_for(events.VassalReady)
        process = empire.spawner.newest("a.ini")
        close = process.close
        process.close = faulty("close")  # type: ignore[method-assign]
        process.exit(1)
        await empire.events.wait_for(events.VassalReady, count=2)
        assert len(empire.events.of(events.ActorCrashed)) == 1
        close()


async def test_faults_in_cleaning_up_after_a_crash_stay_in_the_actor(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign(may_crash=True) as empire:
        await empire.monitor.show(empire.spec("a.ini"), empire.spec("b.ini"))
        await empire.events.wait_for(events.VassalReady, count=2)
        process = empire.spawner.newest("a.ini")
        process.send = faulty("send")  # type: ignore[method-assign,assignment]
        kill = process.kill
        process.kill = faulty("kill")  # type: ignore[method-assign]
        await empire.monitor.show(empire.spec("a.ini"), empire.spec("b.ini"))
        await empire.events.wait_for(events.ActorCrashed)
        await empire.events.wait_for(events.VassalReady, count=2, vassal="b.ini")
        kill()
        await empire.events.wait_for(events.VassalReady, count=2, vassal="a.ini")


async def test_crashed_actor_does_not_keep_the_empire_from_ending(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign(may_crash=True) as empire:
        empire.spawner.fail("a.ini", *[RuntimeError("a fault of ours")] * 20)
        await empire.monitor.show(empire.spec("a.ini"))
        await empire.events.wait_for(events.ActorCrashed, count=6)
        began = trio.current_time()
        empire.emperor.stop()
        await empire.events.wait_for(events.EmperorStopped)
        assert trio.current_time() == began, "it does not sit out the pause after its crash"
    assert empire.emperor.left_behind == 0


async def test_crashes_in_a_row_are_further_and_further_apart(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign(may_crash=True) as empire:
        empire.spawner.fail("a.ini", *[RuntimeError("a fault of ours")] * 8)
        await empire.monitor.show(empire.spec("a.ini"))
        await empire.events.wait_for(events.VassalReady, patience=1000)
        delays = [event.retry_in for event in empire.events.of(events.ActorCrashed)]
        for delay, bare in zip(delays, [1, 2, 4, 8, 16, 32, 60, 60], strict=True):
            assert bare <= delay <= bare * 1.1


class Raging(FakeSpawner):
    """Raises what no spawner should."""

    async def listen(self, vassal: VassalId, spec: VassalSpec, address: str) -> Listener:
        raise ExceptionGroup("a fault of ours", [RuntimeError("in listen")])

    async def ask_socket(self, vassal: VassalId, spec: VassalSpec) -> str | None:
        raise RuntimeError("in ask_socket")

    async def run_hook(self, point: HookPoint, vassal: VassalId, spec: VassalSpec, pid: int) -> str | None:
        raise RuntimeError("in run_hook")


async def test_faults_around_sockets_and_hooks_are_failures_of_that_vassal(
    reign: Reign, autojump_clock: MockClock
) -> None:
    spawner = Raging()
    spawner.hooks = {HookPoint.AFTER_SPAWN: Hook(), HookPoint.AFTER_DEATH: Hook()}
    async with reign(spawner=spawner) as empire:
        await empire.monitor.show(
            empire.spec("asks.ini", ask_socket=True), empire.spec("binds.ini", socket=":1"), empire.spec("plain.ini")
        )
        await empire.events.wait_for(events.VassalReady, vassal="plain.ini")
        for name, where in (("asks.ini", "ask_socket"), ("binds.ini", "listen")):
            failed = await empire.events.wait_for(events.SpawnFailed, vassal=name)
            assert failed.error == f"RuntimeError: in {where}"
        spawner.newest("plain.ini").exit(1)
        await empire.events.wait_for(events.VassalReady, vassal="plain.ini", count=2)
        assert [event.hook for event in empire.events.of(events.HookFailed)] == [
            "exec-as-emperor",
            "vassals-stop-hook",
            "exec-as-emperor",
        ]


async def test_listener_that_comes_too_late_is_closed(reign: Reign, autojump_clock: MockClock) -> None:
    class Slow(FakeSpawner):
        async def listen(self, vassal: VassalId, spec: VassalSpec, address: str) -> Listener:
            with trio.CancelScope(shield=True):
                await trio.sleep(10)
                late = await super().listen(vassal, spec, address)
            await trio.lowlevel.cancel_shielded_checkpoint()
            return late

    spawner = Slow()
    async with reign(spawner=spawner) as empire:
        await empire.monitor.show(empire.spec("a.ini", socket=":1"))
        await trio.sleep(1)
        await empire.monitor.show()
        await empire.events.wait_for(events.VassalRemoved)
        await trio.sleep(20)
        assert len(spawner.listeners) == 1
        assert not spawner.open_listeners


# --- vassals that mean harm ---


async def test_flood_of_bytes_does_not_put_off_the_kill_and_fills_no_memory(
    reign: Reign, autojump_clock: MockClock
) -> None:
    async with reign() as empire:
        empire.spawner.behave("a.ini", STUBBORN)
        await empire.monitor.show(empire.spec("a.ini"))
        await empire.events.wait_for(events.VassalReady)
        process = empire.spawner.newest("a.ini")
        await empire.monitor.show()
        await empire.events.wait_for(events.StopSent)
        async with trio.open_nursery() as nursery:

            async def flood() -> None:
                while process.alive:
                    process.say(Signal.READY, Signal.LOYAL, Signal.HEARTBEAT, Signal.REINFORCEMENT, 99)
                    await trio.lowlevel.checkpoint()

            nursery.start_soon(flood)
            for _ in range(200):
                process.say(Signal.HEARTBEAT)
                process.say(Signal.LOYAL)
            (actor,) = empire.emperor._supervisor._table.values()
            assert len(actor._mail) == 1
            for _ in range(200):
                await trio.lowlevel.checkpoint()
            autojump_clock.jump(30)
            for _ in range(50):
                await trio.lowlevel.checkpoint()
            assert process.code == -9
        said = empire.events.of(events.VassalLoyal) + empire.events.of(events.ProtocolSurprise)
        assert len(said) == 2
        assert len(empire.events.of(events.ReinforcementAsked)) <= 1


def test_mailbox_merges_what_says_the_same() -> None:
    mail: Mailbox[int] = Mailbox(lambda newest, posted: newest + posted if posted < 10 else None)
    for number in (1, 2, 3, 10, 4):
        mail.post(number)
    assert len(mail) == 2


async def test_vassal_that_asks_for_reinforcement_in_vain_is_told_once(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign() as empire:
        await empire.monitor.show(empire.spec("a.ini"))
        await empire.events.wait_for(events.VassalReady)
        for _ in range(10):
            empire.spawner.newest("a.ini").say(Signal.REINFORCEMENT)
            await trio.sleep(1)
        (event,) = empire.events.of(events.ReinforcementAsked)
        assert not event.granted


async def test_vassal_that_never_says_a_byte_holds_others_back_only_for_a_while(
    reign: Reign, autojump_clock: MockClock
) -> None:
    async with reign(Policy(throttle=ThrottleRules(max_starting=1))) as empire:
        empire.spawner.behave("a.ini", Behaviour(ready=None))
        await empire.monitor.show(empire.spec("a.ini"), empire.spec("b.ini"))
        await empire.events.wait_for(events.VassalReady, vassal="b.ini")
        assert trio.current_time() == pytest.approx(10)


# --- the system, monitors, and programs around us ---


async def test_spawns_that_fail_together_are_one_shortage(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign() as empire:
        names = [f"{number}.ini" for number in range(20)]
        for name in names:
            empire.spawner.fail(name, SpawnDeferred("EAGAIN"))
        await empire.monitor.show(*(empire.spec(name) for name in names))
        await empire.events.wait_for(events.VassalReady, count=20)
        assert trio.current_time() < 60
        assert all(event.retry_in <= 10 for event in empire.events.of(events.SpawnPostponed))


async def test_monitor_that_hangs_holds_up_no_vassals_end(reign: Reign, autojump_clock: MockClock) -> None:
    class Hanging:
        async def run(self, emit: Emit) -> None:
            await emit(Touch(VassalSpec("a.ini", 1)))
            with trio.CancelScope(shield=True):
                await trio.sleep(1000)

    async with reign(monitors={"hanging": lambda doorbell, publish: Hanging()}) as empire:
        await empire.events.wait_for(events.VassalReady)
        empire.emperor.stop()
        await empire.events.wait_for(events.VassalRemoved)
        assert trio.current_time() == 0


@pytest.mark.parametrize("checkpoints", range(12))
async def test_cancelled_at_any_moment_of_its_start_it_ends(autojump_clock: MockClock, checkpoints: int) -> None:
    spawner, monitor = FakeSpawner(), ScriptedMonitor()
    emperor = Emperor({"x": monitor.make}, spawner, services=[spawner.run])
    with trio.fail_after(60), trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(nursery.start, emperor.run)
            for _ in range(checkpoints):
                await trio.lowlevel.checkpoint()
            scope.cancel()
    assert not spawner.live
    assert emperor.left_behind == 0


async def test_told_to_stop_twice_before_it_began_to_stop(autojump_clock: MockClock) -> None:
    spawner, monitor = FakeSpawner(STUBBORN), ScriptedMonitor()
    emperor = Emperor({"x": monitor.make}, spawner, services=[spawner.run], wall=trio.current_time)
    async with trio.open_nursery() as nursery:
        await nursery.start(emperor.run)
        await monitor.show(VassalSpec("a.ini", 1))
        await trio.sleep(1)
        emperor.stop("once")
        emperor.stop("twice")
    assert trio.current_time() == pytest.approx(1)
    assert spawner.newest("a.ini").code == -9


async def test_what_can_not_even_be_killed_is_left_behind_and_told_of(reign: Reign, autojump_clock: MockClock) -> None:
    spawner, monitor = FakeSpawner(Behaviour(stops=None, killable=False)), ScriptedMonitor()
    emperor = Emperor({"x": monitor.make}, spawner, services=[spawner.run], mercy=30)
    async with trio.open_nursery() as nursery:
        await nursery.start(emperor.run)
        await monitor.show(VassalSpec("a.ini", 1))
        await trio.sleep(1)
        emperor.stop()
    assert emperor.left_behind == 1
    assert trio.current_time() == pytest.approx(1 + 30 + 5)
    assert spawner.newest("a.ini").closed


async def test_service_that_fails_ends_the_emperor_with_its_vassals(autojump_clock: MockClock) -> None:
    async def fail(task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep(5)
        raise OSError("the service is broken")

    spawner, monitor = FakeSpawner(), ScriptedMonitor()
    emperor = Emperor({"x": monitor.make}, spawner, services=[spawner.run, fail])
    with pytest.RaisesGroup(OSError, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            await nursery.start(emperor.run)
            await monitor.show(VassalSpec("a.ini", 1))
            await trio.sleep_forever()
    assert all(process.closed for process in spawner.spawned)


async def test_subscription_to_an_emperor_that_is_gone_ends_at_once() -> None:
    bus = Bus()
    bus.close()
    with bus.subscribe() as late:
        assert [occurrence async for occurrence in late] == []


async def test_what_is_seen_while_the_empire_ends_starts_nothing(reign: Reign, autojump_clock: MockClock) -> None:
    class Late:
        async def run(self, emit: Emit) -> None:
            await emit(Touch(VassalSpec("a.ini", 1)))
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await emit(Touch(VassalSpec("late.ini", 1)))

    async with reign(monitors={"late": lambda doorbell, publish: Late()}) as empire:
        empire.spawner.behave("a.ini", STUBBORN)
        await empire.events.wait_for(events.VassalReady)
        empire.emperor.stop()
        await empire.events.wait_for(events.EmperorStopped)
        assert not empire.spawner.of("late.ini")


async def test_statistics_know_the_blacklist(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign() as empire:
        empire.spawner.behave("a.ini", CRASHING)
        await trio.sleep(100)
        await empire.monitor.show(empire.spec("a.ini"))
        await empire.events.wait_for(events.VassalBlacklisted, count=3)
        (entry,) = empire.emperor.statistics().blacklist
        assert (entry.vassal.name, entry.attempt, entry.delay) == ("a.ini", 3, 2.0)
        assert (entry.first_attempt, entry.last_attempt) == pytest.approx((100, 101))


# --- places among those starting ---


async def test_grant_that_crosses_a_newer_request_leaks_no_place(reign: Reign, autojump_clock: MockClock) -> None:
    """With one place for all, a leak would be the end of all starts."""
    async with reign(Policy(throttle=ThrottleRules(max_starting=1))) as empire:
        for number in range(60):
            await empire.monitor.emit(Touch(empire.spec("a.ini", socket=f":{number % 2}")))
            if empire.spawner.open_listeners:
                empire.spawner.open_listeners[-1].connect()
            for _ in range(number % 9):
                await trio.lowlevel.checkpoint()
            await empire.monitor.emit(Touch(empire.spec("b.ini")) if number % 3 else Destroy("b.ini"))
        await empire.monitor.emit(Touch(empire.spec("c.ini")))
        await empire.events.wait_for(events.VassalReady, vassal="c.ini")
        await trio.sleep(1)
        assert empire.emperor._supervisor._pacer.starting == 0


async def test_zerg_asked_for_while_its_forerunner_ends_is_spawned(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign(Policy(broodlord=1)) as empire:
        await empire.monitor.show(empire.spec("a.ini"))
        await empire.events.wait_for(events.VassalReady)
        for number in range(20):
            while len(empire.events.of(events.VassalReady, vassal="a.ini:zerg#1")) <= number:
                empire.spawner.newest("a.ini").say(Signal.REINFORCEMENT)
                await trio.sleep(1)
                assert trio.current_time() < 3 * (number + 1)
            empire.spawner.newest("a.ini", 1).exit(0)
            for _ in range(number % 7):
                await trio.lowlevel.checkpoint()


# --- what waits for its turn ---


async def test_config_is_read_once_for_each_chunk_over_many_reloads(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign() as empire:
        empire.spawner.behaviour = Behaviour(ready=0.3)
        for number in range(30):
            await empire.monitor.show(empire.spec("a.ini", config=b"%d" % number))
            if number % 4 == 0 and empire.spawner.spawned:
                empire.spawner.newest("a.ini").reload()
            await trio.sleep(0.1 * (number % 7))
        await trio.sleep(60)
        (process,) = empire.spawner.of("a.ini")
        assert process.config == b"29"
        assert not process.unread
        assert Order.STOP not in process.orders, "every reload was a graceful one"


async def test_reload_tolerance_replaces_who_took_no_config(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign(Policy(lifecycle=LifecycleRules(reload_tolerance=4))) as empire:
        empire.spawner.behave("a.ini", Behaviour(obeys=False), Behaviour())
        await empire.monitor.show(empire.spec("a.ini", config=b"1"))
        await empire.events.wait_for(events.VassalReady)
        await empire.monitor.show(empire.spec("a.ini", config=b"2"))
        await empire.monitor.show(empire.spec("a.ini", config=b"3"))
        await empire.events.wait_for(events.VassalReady, count=2)
        assert trio.current_time() == pytest.approx(4)
        assert [process.configs for process in empire.spawner.of("a.ini")] == [[b"1"], [b"3"]]
