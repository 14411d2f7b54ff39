"""The fakes that ship: what a test may rely on."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from emperor_trio import events
from emperor_trio.actors.bus import Bus
from emperor_trio.errors import ListenError, MonitorError
from emperor_trio.events import Notice
from emperor_trio.law.protocol import Order, Signal
from emperor_trio.model import Observation, Snapshot, Touch, VassalId, VassalSpec
from emperor_trio.ports import Exited, HookPoint, PipeClosed, ProcessEvent, Received
from emperor_trio.testing import (
    CRASHING,
    LOYAL,
    STUBBORN,
    Behaviour,
    EventRecorder,
    FakeProcess,
    FakeSpawner,
    Hook,
    ScriptedMonitor,
)

A = VassalId("test", "a.ini")


class Actor:
    """Spawns one fake process, and hears what it says."""

    def __init__(self, spawner: FakeSpawner) -> None:
        self.spawner = spawner
        self.heard: list[ProcessEvent] = []

    def spawn(self, **spec: object) -> FakeProcess:
        process = self.spawner.spawn(A, VassalSpec(A.name, 1, **spec), 0, None, self.heard.append)  # type: ignore[arg-type]
        assert isinstance(process, FakeProcess)
        return process

    def bytes(self) -> bytes:
        return b"".join(event.data for event in self.heard if isinstance(event, Received))


async def test_spawner_that_does_not_run_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match=r"give FakeSpawner\.run to the Emperor"):
        Actor(FakeSpawner()).spawn()


@pytest.mark.parametrize(
    ("behaviour", "data", "code"),
    [
        (Behaviour(), b"\x01", None),
        (LOYAL, b"\x01\x05\x11", None),
        (CRASHING, b"", 1),
        (Behaviour(ready=1, accepting=1, loyal=2, dies=5, code=-9), b"\x01\x05\x11", -9),
        (Behaviour(ready=10, dies=5), b"", 1),
    ],
)
async def test_process_behaves_as_told(
    autojump_clock: MockClock, nursery: trio.Nursery, behaviour: Behaviour, data: bytes, code: int | None
) -> None:
    spawner = FakeSpawner(behaviour)
    await nursery.start(spawner.run)
    actor = Actor(spawner)
    process = actor.spawn()
    assert actor.heard == [], "nothing is delivered from inside spawn"
    await trio.sleep(20)
    assert actor.bytes() == data
    assert process.code == code
    assert [event for event in actor.heard if isinstance(event, Exited)] == ([] if code is None else [Exited(code)])


async def test_process_reloads_as_uwsgi_does(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    spawner = FakeSpawner()
    await nursery.start(spawner.run)
    actor = Actor(spawner)
    process = actor.spawn(config=b"1")
    await trio.sleep(1)
    assert process.send_config(b"2")
    assert process.has_unread_config()
    assert process.send(Order.RELOAD)
    await trio.sleep(1)
    assert actor.bytes() == bytes([Signal.READY, Signal.SEND_CONFIG, Signal.ACCEPTING])
    assert (process.config, process.configs, process.has_unread_config()) == (b"2", [b"1", b"2"], False)


async def test_process_that_reloads_by_itself_waits_for_its_config(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    spawner = FakeSpawner()
    await nursery.start(spawner.run)
    actor = Actor(spawner)
    process = actor.spawn(config=b"1")
    await trio.sleep(1)
    process.reload()
    await trio.sleep(1)
    assert actor.bytes()[-1] == Signal.SEND_CONFIG
    process.send_config(b"1")
    await trio.sleep(1)
    assert actor.bytes()[-1] == Signal.ACCEPTING


async def test_process_can_be_stopped_killed_closed_and_stuck(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    spawner = FakeSpawner()
    spawner.behave("a.ini", Behaviour(stops=3), STUBBORN, Behaviour(killable=False), Behaviour())
    await nursery.start(spawner.run)
    stopping, stubborn, immortal, closed = (Actor(spawner).spawn() for _ in range(4))
    assert spawner.overlaps == [A] * 3
    assert stopping.send(Order.STOP)
    await trio.sleep(2.9)
    assert stopping.alive
    await trio.sleep(0.2)
    assert stopping.code == 0
    assert not stopping.send(Order.STOP), "nothing is sent to the dead"
    assert not stopping.send_config(b"")
    stubborn.send(Order.STOP_GRACEFULLY)
    await trio.sleep(100)
    assert stubborn.orders == [Order.STOP_GRACEFULLY]
    stubborn.kill()
    immortal.kill()
    await trio.sleep(1)
    assert (stubborn.code, immortal.code) == (-9, None)
    immortal.stuck = True
    assert not immortal.send(Order.STOP)
    closed.close()
    closed.say(1)
    closed.exit(1)
    closed.exit(2)
    assert closed.code == 1
    assert spawner.live == [immortal]


async def test_process_can_close_its_pipe(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    spawner = FakeSpawner(Behaviour(ready=None))
    await nursery.start(spawner.run)
    actor = Actor(spawner)
    actor.spawn().close_pipe()
    assert actor.heard == [PipeClosed()]


async def test_listener_notifies_once_and_keeps_who_waits(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    spawner = FakeSpawner()
    await nursery.start(spawner.run)
    await spawner.listen(A, VassalSpec(A.name, 1), ":1")
    listener = spawner.listener(":1")
    with pytest.raises(ListenError, match="already in use"):
        await spawner.listen(A, VassalSpec(A.name, 1), ":1")
    rings: list[int] = []
    listener.connect()
    listener.arm(lambda: rings.append(1))
    assert rings == [], "never from inside arm"
    await trio.sleep(1)
    listener.connect()
    await trio.sleep(1)
    assert rings == [1]
    listener.arm(lambda: rings.append(2))
    listener.disarm()
    await trio.sleep(1)
    assert (rings, listener.backlog) == ([1], 2)
    spawner.spawn(A, VassalSpec(A.name, 1), 0, listener, lambda event: None)
    await trio.sleep(1)
    assert listener.backlog == 0
    listener.close()
    with pytest.raises(ConnectionRefusedError):
        listener.connect()


async def test_sockets_and_hooks_go_as_told(autojump_clock: MockClock) -> None:
    spawner = FakeSpawner()
    spec = VassalSpec(A.name, 1)
    assert await spawner.ask_socket(A, spec) is None
    spawner.sockets["a.ini"] = ":1"
    assert await spawner.ask_socket(A, spec) == ":1"
    spawner.sockets["a.ini"] = ListenError("no")
    with pytest.raises(ListenError):
        await spawner.ask_socket(A, spec)
    spawner.refuse(":2", ListenError("taken"))
    with pytest.raises(ListenError, match="taken"):
        await spawner.listen(A, spec, ":2")
    spawner.allow(":2")
    await spawner.listen(A, spec, ":2")
    assert not spawner.has_hook(HookPoint.AFTER_DEATH)
    spawner.hooks[HookPoint.AFTER_DEATH] = Hook(5, "exit code 1")
    assert await spawner.run_hook(HookPoint.AFTER_DEATH, A, spec, 7) == "exit code 1"
    assert trio.current_time() == 5
    assert [(call.vassal, call.pid) for call in spawner.hook_calls] == [(A, 7)]


async def test_monitor_sees_fails_and_looks_again(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    monitor = ScriptedMonitor()
    seen: list[Observation] = []

    class Doorbell:
        async def wait(self) -> None:
            await trio.sleep(10)

    async def emit(observation: Observation) -> None:
        seen.append(observation)

    assert monitor.make(Doorbell(), lambda event: None) is monitor
    with trio.move_on_after(15):
        async with trio.open_nursery() as running:
            running.start_soon(monitor.run, emit)
            await monitor.show(VassalSpec("a.ini", 1))
            await monitor.emit(Touch(VassalSpec("b.ini", 1)))
    shown = Snapshot((VassalSpec("a.ini", 1),))
    assert seen == [shown, Touch(VassalSpec("b.ini", 1)), shown]
    assert (monitor.runs, monitor.rings) == (1, 1)
    monitor.fail("once")
    with pytest.raises(MonitorError, match="once"):
        await monitor.run(emit)
    monitor.break_down(OSError("until healed"))
    for _ in range(2):
        with pytest.raises(OSError, match="until healed"):
            await monitor.run(emit)
    monitor.heal()
    with trio.move_on_after(1):
        await monitor.run(emit)
    assert seen[-1] == shown


async def test_recorder_lists_waits_and_forgets(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    bus = Bus(wall=trio.current_time)
    bus.publish(Notice("before"))
    with EventRecorder(bus) as recorder:

        async def tell() -> None:
            for number in range(3):
                await trio.sleep(1)
                bus.publish(events.VassalLoyal(VassalId("test", f"{number}.ini")))

        async with trio.open_nursery() as together:
            together.start_soon(tell)
            for name in ("2.ini", "0.ini"):
                together.start_soon(lambda name: recorder.wait_for(events.VassalLoyal, vassal=name), name)
            assert (await recorder.wait_for(events.VassalLoyal, 2)).vassal.name == "1.ini"
        assert recorder.times(events.VassalLoyal) == [1, 2, 3]
        assert len(recorder.of(events.VassalLoyal, vassal=VassalId("test", "1.ini"))) == 1
        with pytest.raises(AssertionError, match=r"no Notice \{\} \(number 1\) within 7 s; the last were:\n  1.000"):
            await recorder.wait_for(Notice, patience=7)
        recorder.clear()
        assert recorder.events == []
        bus.publish(Notice("last"))
        bus.close()
        with pytest.raises(AssertionError):
            await recorder.wait_for(Notice, 2, patience=float("inf"))
    assert recorder.events == [Notice("last")]
    with pytest.raises(AssertionError):
        await recorder.wait_for(events.VassalLoyal, patience=float("inf"))
