"""From a wanted vassal to its process: the leave to spawn, the spawn, its failures, the first bytes."""

from __future__ import annotations

import pytest

from emperor_trio import events
from emperor_trio.law import effects as do
from emperor_trio.law import stimuli as hear
from emperor_trio.law.protocol import Signal
from emperor_trio.law.state import NEVER, Blame, LifecycleRules, Phase
from tests.law.life import PID, Life


def test_added_vassal_asks_for_the_leave_to_spawn() -> None:
    life = Life()
    assert life.look() == (do.AskLeave(1),)
    assert life.phase is Phase.QUEUED


def test_leave_spawns_what_is_desired_then() -> None:
    life = Life()
    life.look()
    life.change()
    done = life.leave()
    assert done == (do.Spawn(1, life.spec),)
    assert life.phase is Phase.STARTING
    assert (life.state.spec, life.state.revision) == (life.spec, 2)


def test_leave_asked_for_earlier_spawns_nothing() -> None:
    life = Life()
    life.look()
    life.replace()
    assert life.state.asked == 2
    assert life.tell(hear.Leave(1)) == ()
    assert life.phase is Phase.QUEUED
    assert life.leave().of(do.Spawn)


def test_vassal_that_never_says_it_is_ready_gives_its_place_among_the_starting_back() -> None:
    life = Life(LifecycleRules(reload_tolerance=10)).start()
    assert life.later(9.9) == ()
    assert life.later(0.2) == (do.ReportReady(),)
    assert (life.phase, life.state.ready, life.state.deadline) == (Phase.STARTING, False, NEVER)


def test_second_leave_spawns_no_second_process() -> None:
    life = Life().start()
    assert life.leave() == ()


def test_leave_that_crosses_another_life_is_given_back() -> None:
    """The slot is overwritten before the actor has looked: what asked is not what is wanted now."""
    life = Life()
    life.look()
    life.desired = type(life.desired)(life.spec, 2, 2)
    done = life.leave()
    assert done == (do.Withdraw(), do.AskLeave(2))
    assert life.phase is Phase.QUEUED


def test_leave_that_crosses_a_removal_spawns_nothing() -> None:
    life = Life()
    life.look()
    life.desired = type(life.desired)(None)
    done = life.leave()
    assert done.kinds == [do.Withdraw, do.Vanish]
    assert life.phase is Phase.GONE


def test_spawned_vassal_is_told_of() -> None:
    life = Life()
    life.look()
    life.leave()
    done = life.tell(hear.Spawned(PID))
    assert done.events(events.VassalSpawned) == [events.VassalSpawned(life.vassal, PID, 1)]
    assert (life.state.pid, life.state.first_run, life.state.last_run) == (PID, life.now, life.now)


def test_spawn_hook_runs_after_the_spawn() -> None:
    life = Life(LifecycleRules(spawn_hook=True))
    life.look()
    life.leave()
    assert life.tell(hear.Spawned(PID)).of(do.RunSpawnHook) == [do.RunSpawnHook(PID, life.spec)]


def test_failed_spawn_is_a_death_before_loyalty_and_asked_for_again() -> None:
    life = Life()
    life.look()
    life.leave()
    done = life.tell(hear.SpawnRefused("no such binary"))
    assert done.events(events.SpawnFailed) == [events.SpawnFailed(life.vassal, "no such binary")]
    assert done.kinds == [do.ReportDeath, do.AskLeave]
    assert done.of(do.ReportDeath) == [do.ReportDeath(Blame.UNBORN)]
    assert (life.phase, life.state.reason) == (Phase.QUEUED, "no such binary")


def test_the_same_failure_again_is_told_again_only_after_the_vassal_came_up_or_its_config_changed() -> None:
    life = Life()
    life.look()

    def fail(error: str) -> tuple[int, list[do.ReportDeath]]:
        life.leave()
        done = life.tell(hear.SpawnRefused(error))
        return len(done.events(events.SpawnFailed)), done.of(do.ReportDeath)

    told, again = [do.ReportDeath(Blame.UNBORN)], [do.ReportDeath(Blame.UNBORN, repeated=True)]
    assert [fail("no such binary") for _ in range(3)] == [(1, told), (0, again), (0, again)]
    assert [fail("permission denied") for _ in range(2)] == [(1, told), (0, again)]
    life.change()
    assert [fail("permission denied") for _ in range(2)] == [(1, told), (0, again)]
    life.leave()
    life.tell(hear.Spawned(PID))
    life.say(Signal.READY)
    life.end(1)
    assert fail("permission denied") == (1, told)


def test_spawn_without_room_is_asked_for_again_and_blames_nobody() -> None:
    life = Life()
    life.look()
    life.leave()
    done = life.tell(hear.SpawnRefused("EAGAIN", deferred=True))
    assert done == (do.ReportShortage("EAGAIN"), do.AskLeave(2))
    assert (life.phase, life.state.reason) == (Phase.QUEUED, "EAGAIN")


@pytest.mark.parametrize("stimulus", [hear.Spawned(PID), hear.SpawnRefused("late")])
def test_answer_to_no_spawn_changes_nothing(stimulus: hear.Stimulus) -> None:
    life = Life().run()
    before = life.state
    assert life.tell(stimulus) == ()
    assert life.state == before


def test_restart_intensity_parks_until_the_config_changes() -> None:
    life = Life().run()
    life.end()
    done = life.tell(hear.Park(life.state.asked, 5, 60))
    assert done.events(events.VassalParked) == [events.VassalParked(life.vassal, 5, 60)]
    assert (life.phase, life.state.reason) == (Phase.PARKED, "5 restarts within 60 s")
    assert life.look() == ()
    assert life.change() == (do.AskLeave(3),)


def test_parked_vassal_can_be_removed() -> None:
    life = Life().run()
    life.end()
    life.tell(hear.Park(life.state.asked, 5, 60))
    assert life.remove().kinds == [do.Vanish]


def test_config_that_changed_since_the_last_death_is_tried_though_it_is_parked_for_the_older_one() -> None:
    life = Life().run()
    life.end()
    life.change()
    assert life.tell(hear.Park(life.state.asked, 5, 60)).of(do.AskLeave)
    assert life.phase is Phase.QUEUED


def test_late_park_does_not_park_who_asks_anew() -> None:
    life = Life().run()
    life.end()
    asked = life.state.asked
    life.replace()
    assert life.tell(hear.Park(asked, 5, 60)) == ()
    assert life.phase is Phase.QUEUED


def test_config_that_changes_while_queued_asks_for_nothing_new() -> None:
    life = Life()
    life.look()
    assert life.change() == ()
    assert life.state.revision == 1, "only a spawn reaches a revision"


def test_removed_while_queued_it_withdraws_and_is_gone() -> None:
    life = Life()
    life.look()
    done = life.remove()
    assert done.kinds == [do.Withdraw, do.Vanish]
    assert done.events(events.VassalRemoved)
    assert life.phase is Phase.GONE


def test_gone_stays_gone() -> None:
    life = Life()
    life.remove()
    assert life.phase is Phase.GONE
    for stimulus in (hear.Look(), hear.Tick(), hear.NoMercy(), hear.Leave(0)):
        assert life.tell(stimulus) == ()


def test_first_byte_1_ends_the_start() -> None:
    life = Life().start()
    done = life.say(Signal.READY)
    assert done == (do.ReportReady(), do.Publish(events.VassalReady(life.vassal, 1)))
    assert (life.phase, life.state.ready, life.state.last_ready) == (Phase.RUNNING, True, life.now)
    assert life.state.deadline == NEVER


def test_byte_5_says_that_it_accepts_requests() -> None:
    life = Life().run()
    assert life.say(Signal.ACCEPTING).events(events.VassalAccepting)
    assert (life.state.accepting, life.state.last_accepting) == (True, life.now)


def test_byte_17_says_that_it_is_loyal_and_takes_it_off_the_blacklist() -> None:
    life = Life().run()
    done = life.say(Signal.LOYAL)
    assert done.kinds == [do.ReportLoyal]
    assert done.events(events.VassalLoyal)
    assert (life.state.loyal, life.state.last_loyal) == (True, life.now)


@pytest.mark.parametrize("byte", [Signal.READY, Signal.ACCEPTING, Signal.LOYAL])
def test_bytes_said_again_cost_neither_report_nor_event(byte: Signal) -> None:
    life = Life().serve()
    life.now += 1
    assert life.say(byte) == ()
    times = (life.state.last_ready, life.state.last_accepting, life.state.last_loyal)
    assert life.now in times


def test_unknown_byte_is_told_of_once_a_process() -> None:
    life = Life().run()
    assert life.say(99).events(events.ProtocolSurprise) == [events.ProtocolSurprise(life.vassal, 99)]
    assert life.say(98) == ()
    life.end()
    life.leave()
    assert life.say(97).events(events.ProtocolSurprise)


def test_bytes_of_an_earlier_process_are_dropped() -> None:
    life = Life().run()
    life.end()
    life.leave()
    life.tell(hear.Spawned(PID + 1))
    before = life.state
    for stimulus in (hear.Heard(1, b"\x01\x11"), hear.Lost(1), hear.Ended(1, 9), hear.OrderFailed(1), hear.HookDone(1)):
        assert life.tell(stimulus) == ()
    assert life.state == before
