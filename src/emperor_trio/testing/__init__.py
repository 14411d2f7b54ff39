"""Fakes and a recorder for tests of empires: no process is started, no file is read, and the clock may jump.

::

    from emperor_trio.testing import EventRecorder, FakeSpawner, ScriptedMonitor

    async def test_a_vassal_that_dies_comes_back(autojump_clock, nursery):
        spawner, monitor = FakeSpawner(), ScriptedMonitor()
        emperor = Emperor({"test": monitor.make}, spawner, services=[spawner.run])
        with EventRecorder(emperor) as events:
            await nursery.start(emperor.run)
            await monitor.show(VassalSpec("a.ini", version=1))
            await events.wait_for(VassalReady)
            spawner.newest("a.ini").exit(1)
            await events.wait_for(VassalReady, count=2)

The suite that every monitor has to pass is :mod:`emperor_trio.testing.conformance`.
"""

from emperor_trio.testing.monitor import ScriptedMonitor
from emperor_trio.testing.process import CRASHING, LOYAL, STUBBORN, Behaviour, FakeListener, FakeProcess
from emperor_trio.testing.recorder import EventRecorder
from emperor_trio.testing.spawner import FakeSpawner, Hook

__all__ = [
    "CRASHING",
    "LOYAL",
    "STUBBORN",
    "Behaviour",
    "EventRecorder",
    "FakeListener",
    "FakeProcess",
    "FakeSpawner",
    "Hook",
    "ScriptedMonitor",
]
