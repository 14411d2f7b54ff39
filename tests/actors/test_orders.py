"""Commands for single vassals, through the supervisor: their verdicts, and what really becomes of the vassals."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import MockClock

from emperor_trio import events
from emperor_trio.actors.emperor import Emperor
from emperor_trio.actors.supervisor import Policy
from emperor_trio.errors import MonitorError
from emperor_trio.law.fleet import STOPPED, UNBIDDEN, FleetRules
from emperor_trio.model import Snapshot, VassalId, Verb
from emperor_trio.ports import Doorbell, Emit
from emperor_trio.testing import STUBBORN, EventRecorder, FakeSpawner, ScriptedMonitor
from tests.actors.conftest import MONITOR, Empire, Reign

A, B = VassalId(MONITOR, "a.ini"), VassalId(MONITOR, "b.ini")


async def reached(empire: Empire, vassal: VassalId, phase: str) -> None:
    while (seen := empire.emperor.vassal(vassal)) is None or seen.phase != phase:
        await trio.sleep(0.01)


async def order(empire: Empire, verb: Verb, vassal: VassalId = A) -> tuple[bool, str, int]:
    (verdict,) = await empire.emperor.order(verb, [vassal])
    assert verdict.vassal == vassal
    return verdict.ok, verdict.text, verdict.revision


async def test_reload_and_restart_of_one_leave_the_others_alone(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign() as empire:
        await empire.monitor.show(empire.spec("a.ini"), empire.spec("b.ini"))
        await empire.events.wait_for(events.VassalReady, count=2)
        ok, text, revision = await order(empire, Verb.RELOAD)
        assert (ok, text) == (True, "told to reload")
        await empire.events.wait_for(events.VassalReady, count=3)
        assert empire.statistics("a.ini").revision == revision == empire.statistics("a.ini").wanted
        ok, _, revision = await order(empire, Verb.RESTART)
        await empire.events.wait_for(events.VassalReady, count=4)
        assert (empire.statistics("a.ini").revision, empire.statistics("a.ini").generation) == (revision, 2)
        assert sorted(empire.names_of(events.VassalReady)) == ["a.ini", "a.ini", "a.ini", "b.ini"]
        assert empire.statistics("b.ini").generation == 1


async def test_stopped_it_stays_so_against_touch_reload_of_all_and_its_source(
    reign: Reign, autojump_clock: MockClock
) -> None:
    async with reign() as empire:
        await empire.monitor.show(empire.spec("a.ini"))
        await empire.events.wait_for(events.VassalReady)
        assert (await order(empire, Verb.STOP))[0]
        await reached(empire, A, "stopped")
        seen = empire.emperor.vassal(A)
        assert seen is not None
        assert (seen.held, seen.pid, seen.reason) == (STOPPED, -1, STOPPED)
        await empire.monitor.show(empire.spec("a.ini"))
        await empire.monitor.show()
        await empire.events.wait_for(events.VassalRemoved)
        assert empire.emperor.absent() == (A,)
        await empire.monitor.show(empire.spec("a.ini"))
        await trio.sleep(100)
        assert len(empire.events.of(events.VassalSpawned)) == 1
        ok, _, revision = await order(empire, Verb.START)
        await empire.events.wait_for(events.VassalReady, count=2)
        assert (ok, empire.statistics("a.ini").revision) == (True, revision)


async def test_blacklisted_it_is_forgiven_or_started_at_once(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign() as empire:
        await empire.monitor.show(empire.spec("a.ini"))
        for count in (1, 2):
            await empire.events.wait_for(events.VassalReady, count=count)
            empire.spawner.newest("a.ini").exit(1)
            await empire.events.wait_for(events.VassalBlacklisted, count=count)
        seen = empire.statistics("a.ini")
        assert (seen.phase, seen.deaths, seen.exit_code) == ("queued", 2, 1)
        assert seen.next_spawn > trio.current_time()
        assert await order(empire, Verb.FORGIVE) == (True, "taken off the blacklist", seen.wanted)
        before = trio.current_time()
        await empire.events.wait_for(events.VassalReady, count=3)
        assert trio.current_time() == before
        assert (await order(empire, Verb.FORGIVE))[1] == "it is not on the blacklist"


async def test_whom_nobody_knows_and_zergs_have_an_answer_too(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign() as empire:
        await empire.monitor.show(empire.spec("a.ini"))
        verdicts = await empire.emperor.order(Verb.RELOAD, [A, B, VassalId(MONITOR, "a.ini", 1)])
        assert [verdict.ok for verdict in verdicts] == [True, False, False]


async def test_an_emperor_that_stops_refuses(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign(spawner=FakeSpawner(STUBBORN), mercy=60) as empire:
        await empire.monitor.show(empire.spec("a.ini"))
        await empire.events.wait_for(events.VassalReady)
        empire.emperor.stop()
        await empire.emperor.wait_stopping()
        await trio.sleep(1)
        assert await order(empire, Verb.RESTART) == (False, "the emperor stops", 0)


async def test_vassals_that_wait_for_their_first_command(reign: Reign, autojump_clock: MockClock) -> None:
    policy = Policy(fleet=FleetRules(wait_for_command=True, unbidden=frozenset({"b.ini"})))
    async with reign(policy) as empire:
        await empire.monitor.show(empire.spec("a.ini"), empire.spec("b.ini"))
        await empire.events.wait_for(events.VassalReady, vassal="b.ini")
        await reached(empire, A, "stopped")
        assert empire.statistics("a.ini").held == UNBIDDEN
        assert (await order(empire, Verb.START))[0]
        await empire.events.wait_for(events.VassalReady, vassal="a.ini")


@dataclass
class Notebook:
    """Holds that are kept in memory, or fail to be."""

    held: set[VassalId] = field(default_factory=set)
    error: str = ""

    async def recall(self) -> tuple[VassalId, ...]:
        return tuple(self.held)

    def put(self, vassal: VassalId, *, held: bool) -> None:
        (self.held.add if held else self.held.discard)(vassal)

    async def settle(self) -> None:
        if self.error:
            raise MonitorError(self.error)


@pytest.mark.parametrize("error", ["", "the disk is full"])
async def test_a_stop_holds_over_a_restart_of_the_emperor(autojump_clock: MockClock, error: str) -> None:
    notebook = Notebook(error=error)
    for life in range(2):
        spawner, monitor = FakeSpawner(), ScriptedMonitor()
        emperor = Emperor({MONITOR: monitor.make}, spawner, services=[spawner.run], holds=notebook)
        with EventRecorder(emperor) as recorder:
            async with trio.open_nursery() as nursery:
                await nursery.start(emperor.run)
                empire = Empire(emperor, spawner, monitor, recorder)
                await monitor.show(empire.spec("a.ini"))
                if life == 0:
                    await recorder.wait_for(events.VassalReady)
                    text = (await order(empire, Verb.STOP))[1]
                    assert text == ("told to stop; but the disk is full" if error else "told to stop")
                await reached(empire, A, "stopped")
                emperor.stop()
    assert notebook.held == {A}


async def test_a_scan_is_answered_by_what_the_source_holds_now(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign() as empire:
        await empire.monitor.show(empire.spec("a.ini"))
        await empire.emperor.scan()
        await empire.emperor.scan(MONITOR)
        assert empire.monitor.rings == 2
        with pytest.raises(KeyError):
            await empire.emperor.scan("nobody://")


class Slow:
    """Takes a ring, thinks for a while, and fails."""

    def __init__(self, doorbell: Doorbell) -> None:
        self.doorbell = doorbell

    async def run(self, emit: Emit) -> None:
        await emit(Snapshot(()))
        await self.doorbell.wait()
        await trio.sleep(7)
        raise MonitorError("the database is down")


async def test_a_scan_is_answered_by_a_failure_too(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign(monitors={"slow://": lambda doorbell, publish: Slow(doorbell)}) as empire:
        await empire.events.wait_for(events.MonitorReady)
        before = trio.current_time()
        await empire.emperor.scan("slow://")
        assert trio.current_time() == before + 7
        assert empire.emperor.monitors()[1].error == "the database is down"
