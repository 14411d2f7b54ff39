"""Storms over whole empires: everything that can happen, at random times, and in the end all is as desired."""

from __future__ import annotations

from random import Random

import pytest
import trio
from trio.testing import MockClock

from emperor_trio import events
from emperor_trio.actors.supervisor import Command, Policy
from emperor_trio.errors import SpawnDeferred, SpawnError
from emperor_trio.law.protocol import Signal
from emperor_trio.law.state import LifecycleRules
from emperor_trio.law.throttle import ThrottleRules
from emperor_trio.model import Destroy, Touch, VassalSpec
from emperor_trio.ports import HookPoint
from emperor_trio.testing import CRASHING, LOYAL, STUBBORN, Behaviour, FakeSpawner, Hook
from tests.actors.conftest import Empire, Reign

NAMES = ["a.ini", "b.ini", "c.ini", "d.ini"]
MOODS = [
    LOYAL,
    LOYAL,
    LOYAL,
    CRASHING,
    STUBBORN,
    Behaviour(ready=2.0, loyal=1.0),
    Behaviour(ready=None),
    Behaviour(dies=3.0, code=26),
    Behaviour(loyal=0.5, dies=2.0),
    Behaviour(obeys=False),
    Behaviour(reads=False),
    Behaviour(stops=10.0),
]
WAITS = [0.0, 0.0, 0.0, 0.01, 0.3, 1.0, 5.0, 15.0, 40.0]


def make_policy(dice: Random) -> Policy:
    return Policy(
        lifecycle=LifecycleRules(graceful_shutdown=dice.random() < 0.5, reload_pause=dice.choice([0.0, 0.5])),
        throttle=ThrottleRules(
            max_starting=dice.randrange(3),
            max_restarts=dice.choice([0, 0, 3]),
            max_throttle=20.0,
        ),
        broodlord=dice.randrange(3),
    )


class Storm:
    def __init__(self, empire: Empire, dice: Random) -> None:
        self.empire = empire
        self.dice = dice

    async def blow(self) -> None:
        """One thing that happens."""
        empire, dice = self.empire, self.dice
        name = dice.choice(NAMES)
        empire.spawner.behave(name, *dice.choices(MOODS, k=5))
        match dice.randrange(9):
            case 0 | 1 | 2:
                await empire.monitor.emit(Touch(self.spec(name)))
            case 3:
                await empire.monitor.emit(Destroy(name))
            case 4:
                await empire.emperor.command(dice.choice(list(Command)))
            case 5:
                for listener in empire.spawner.open_listeners:
                    listener.connect()
            case 6:
                empire.spawner.fail(name, dice.choice([SpawnError("no binary"), SpawnDeferred("EAGAIN")]))
            case 7:
                dice.choice([empire.spawner.refuse, empire.spawner.allow])(f"/run/{name}.1")
            case 8:
                self.disturb()

    def spec(self, name: str) -> VassalSpec:
        """Some have their config sent, some are on demand now and then."""
        config = str(self.dice.random()).encode() if name < "c" else None
        socket = self.dice.choice([None, None, f"/run/{name}.1", f"/run/{name}.2"]) if name > "b.ini" else None
        return self.empire.spec(name, config=config, socket=socket)

    def disturb(self) -> None:
        """Something that a vassal does by itself."""
        dice = self.dice
        for process in self.empire.spawner.live:
            match dice.randrange(8):
                case 0:
                    process.exit(dice.choice([0, 1, 26, -9]))
                case 1:
                    process.close_pipe()
                case 2:
                    process.reload()
                case 3:
                    process.say(dice.choice([Signal.LEAVE, Signal.REINFORCEMENT, Signal.HEARTBEAT, 99]))
                case 4:
                    process.stuck = True

    async def calm_down(self) -> None:
        """From now on everyone behaves, and those that did not are replaced."""
        spawner = self.empire.spawner
        spawner.behaviour = LOYAL
        for name in NAMES:
            spawner.allow(f"/run/{name}.1")
            spawner.behave(name, LOYAL)
            spawner.fail(name)
        for process in spawner.live:
            process.exit(1)
        await trio.sleep(600)


@pytest.mark.parametrize("seed", range(40))
async def test_after_the_storm_all_is_as_desired(reign: Reign, autojump_clock: MockClock, seed: int) -> None:
    dice = Random(seed)
    spawner = FakeSpawner()
    spawner.bind_seconds = dice.choice([0.0, 0.2])
    spawner.hooks = {point: Hook(dice.choice([0.0, 3.0])) for point in HookPoint if dice.random() < 0.3}
    async with reign(make_policy(dice), spawner=spawner) as empire:
        storm = Storm(empire, dice)
        for _ in range(120):
            await storm.blow()
            await trio.sleep(dice.choice(WAITS))
        await storm.calm_down()
        for statistics in empire.emperor.statistics().vassals:
            assert statistics.phase in ("running", "on demand", "exiled", "failed"), statistics
            if statistics.phase == "running":
                process = spawner.newest(statistics.vassal.name, statistics.vassal.ordinal)
                assert process.pid == statistics.pid
                assert process.spec.version == empire.versions[statistics.vassal.name]
                assert process.config == process.spec.config
                assert not process.unread
        assert len(spawner.live) == sum(v.pid > 0 for v in empire.emperor.statistics().vassals)
        assert not empire.events.of(events.ActorCrashed)
        assert empire.emperor._supervisor._pacer.starting == 0
