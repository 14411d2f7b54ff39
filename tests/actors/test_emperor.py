"""The emperor as a whole: monitors and outlets that fail, cancellation, and its use as a library."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from emperor_trio import events
from emperor_trio.actors.emperor import Emperor
from emperor_trio.law.protocol import Order
from emperor_trio.model import Touch, VassalSpec
from emperor_trio.testing import STUBBORN, EventRecorder, FakeSpawner, ScriptedMonitor
from tests.actors.conftest import Reign


async def test_a_source_that_fails_changes_nothing(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign() as empire:
        await empire.monitor.show(empire.spec("a.ini"))
        await empire.events.wait_for(events.VassalReady)
        empire.monitor.break_down("the source is down")
        failed = await empire.events.wait_for(events.MonitorFailed)
        assert failed.error == "the source is down"
        await trio.sleep(300)
        assert len(empire.events.of(events.MonitorFailed)) == 1  # said once
        assert not empire.emperor.statistics().monitors[0].healthy
        assert empire.emperor.statistics().monitors[0].error == "the source is down"
        empire.monitor.break_down("now for another reason")
        await empire.events.wait_for(events.MonitorFailed, count=2)
        empire.monitor.break_down("the source is down")  # errors that take turns are news once each
        await trio.sleep(60)
        assert len(empire.events.of(events.MonitorFailed)) == 2
        assert empire.emperor.statistics().monitors[0].next_try > 0
        empire.monitor.heal()
        await empire.events.wait_for(events.MonitorReady, count=2)
        healed = empire.emperor.statistics().monitors[0]
        assert healed.healthy
        assert (healed.error, healed.last_error, healed.next_try) == ("", "the source is down", 0.0)
        assert len(empire.spawner.spawned) == 1
        assert empire.spawner.newest("a.ini").orders == []


async def test_a_monitor_that_fails_harms_no_other(reign: Reign, autojump_clock: MockClock) -> None:
    other = ScriptedMonitor()
    async with reign(monitors={"other": other.make}) as empire:
        other.break_down(RuntimeError("a fault of a third party's monitor"))
        await empire.monitor.show(empire.spec("a.ini"))
        await empire.events.wait_for(events.VassalReady)
        assert empire.events.of(events.MonitorFailed, monitor="other")


async def test_the_same_name_in_two_monitors_is_two_vassals(reign: Reign, autojump_clock: MockClock) -> None:
    other = ScriptedMonitor()
    async with reign(monitors={"other": other.make}) as empire:
        await empire.monitor.show(empire.spec("a.ini"))
        await other.show(VassalSpec("a.ini", 1))
        await empire.events.wait_for(events.VassalReady, count=2)
        await other.show()
        await empire.events.wait_for(events.VassalRemoved)
        assert len(empire.spawner.live) == 1


async def test_a_scan_rings_every_monitor(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign() as empire:
        await empire.monitor.show(empire.spec("a.ini"))
        empire.emperor.ring()
        await trio.testing.wait_all_tasks_blocked()
        assert empire.monitor.rings == 1


class Broken:
    def __init__(self) -> None:
        self.runs = 0

    async def run(self) -> None:
        self.runs += 1
        if self.runs < 3:
            raise OSError("the address is taken")
        await trio.sleep_forever()


async def test_an_outlet_that_fails_is_run_again_and_harms_nobody(reign: Reign, autojump_clock: MockClock) -> None:
    outlet = Broken()
    async with reign(outlets={"statistics": outlet}) as empire:
        await empire.monitor.show(empire.spec("a.ini"))
        await empire.events.wait_for(events.VassalReady)
        await empire.events.wait_for(events.OutletFailed, count=2)
        await trio.sleep(10)
        assert outlet.runs == 3


async def test_cancelled_it_stops_kills_after_five_seconds_and_leaves_nothing(autojump_clock: MockClock) -> None:
    spawner, monitor = FakeSpawner(), ScriptedMonitor()
    spawner.behave("stubborn.ini", STUBBORN)
    emperor = Emperor({"x": monitor.make}, spawner, services=[spawner.run], wall=trio.current_time)
    with EventRecorder(emperor) as recorder:
        async with trio.open_nursery() as nursery:
            assert await nursery.start(emperor.run) is emperor
            await monitor.show(VassalSpec("good.ini", 1), VassalSpec("stubborn.ini", 1))
            await recorder.wait_for(events.VassalReady, count=2)
            nursery.cancel_scope.cancel()
        assert trio.current_time() == pytest.approx(5.0)
        assert [process.code for process in spawner.spawned] == [0, -9]
        assert all(process.orders == [Order.STOP] for process in spawner.spawned)
        assert not spawner.live
        assert all(process.closed for process in spawner.spawned)
    assert not emperor.statistics().vassals
    assert emperor.left_behind == 0


async def test_a_program_runs_on_after_its_emperor_stopped(autojump_clock: MockClock) -> None:
    spawner, monitor = FakeSpawner(), ScriptedMonitor()
    emperor = Emperor({"x": monitor.make}, spawner, services=[spawner.run], wall=trio.current_time)
    done = []
    async with trio.open_nursery() as nursery:
        await nursery.start(emperor.run)
        await monitor.emit(Touch(VassalSpec("a.ini", 1)))
        emperor.stop("the program says so")
        await trio.sleep(1)
        done.append("more")
    assert done == ["more"]
    assert not spawner.live


async def test_an_outsider_sees_events_from_the_start(autojump_clock: MockClock) -> None:
    spawner, monitor = FakeSpawner(), ScriptedMonitor()
    emperor = Emperor({"x": monitor.make}, spawner, services=[spawner.run], wall=trio.current_time)
    async with trio.open_nursery() as nursery:
        with emperor.subscribe() as occurrences:
            await nursery.start(emperor.run)
            await monitor.emit(Touch(VassalSpec("a.ini", 1)))
            await trio.sleep(1)
            emperor.stop()
            told = [occurrence.event async for occurrence in occurrences]
    assert [event.text for event in told if isinstance(event, events.StopSent)] == ["told to stop: the emperor stops"]
    seen = [type(event).__name__ for event in told]
    assert [name for name in seen if name != "VassalAccepting"] == [
        "MonitorReady",
        "VassalAdded",
        "VassalMoved",
        "VassalSpawned",
        "VassalReady",
        "EmperorStopping",
        "StopSent",
        "VassalExited",
        "VassalRemoved",
        "EmperorStopped",
    ]
