"""While many vassals are added, nothing waits for all of their spawns."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from emperor_trio.events import ReloadSent, VassalReady, VassalSpawned
from emperor_trio.model import Touch, VassalSpec
from emperor_trio.ports import Emit
from emperor_trio.testing import STUBBORN, FakeSpawner
from tests.actors.conftest import Reign

MANY = 2000


class CrowdedFolder:
    """One vassal first; once told, very many, and after all of them a change of the first."""

    def __init__(self) -> None:
        self.crowd = trio.Event()

    async def run(self, emit: Emit) -> None:
        await emit(Touch(VassalSpec("first.ini", version=1)))
        await self.crowd.wait()
        for number in range(MANY):
            await emit(Touch(VassalSpec(f"{number:05}.ini", version=1)))
        await emit(Touch(VassalSpec("first.ini", version=2)))
        await trio.sleep_forever()


async def test_a_change_waits_for_few_of_the_spawns_that_were_asked_for_before_it(
    reign: Reign, autojump_clock: MockClock
) -> None:
    folder = CrowdedFolder()
    async with reign(monitors={"dir:///crowded": lambda doorbell, publish: folder}) as empire:
        await empire.events.wait_for(VassalReady, vassal="first.ini")
        folder.crowd.set()
        await empire.events.wait_for(ReloadSent, vassal="first.ini")
        assert len(empire.events.of(VassalSpawned)) < MANY / 10
        await empire.events.wait_for(VassalReady, count=MANY + 2)


async def test_a_turn_comes_after_all_that_was_said_before(reign: Reign, autojump_clock: MockClock) -> None:
    async with reign() as empire:
        await empire.monitor.show(*(empire.spec(f"{number}.ini") for number in range(200)))
        await empire.emperor.take_turn()
        assert len(empire.emperor.statistics().vassals) == 200


async def test_turns_are_taken_until_the_last_vassal_is_gone(reign: Reign, autojump_clock: MockClock) -> None:
    """Whoever watches over the emperor's life has to see it while it stops, too."""
    async with reign(spawner=FakeSpawner(STUBBORN), mercy=60) as empire:
        await empire.monitor.show(empire.spec("a.ini"))
        await empire.events.wait_for(VassalReady)
        empire.emperor.stop()
        await empire.emperor.wait_stopping()
        await trio.sleep(10)
        await empire.emperor.take_turn()
        assert empire.spawner.live
