"""Away from a process: stops, deaths, loyalty, exile, the curse, heartbeats, the stop hook, the end of an empire."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from emperor_trio import events
from emperor_trio.law import effects as do
from emperor_trio.law import stimuli as hear
from emperor_trio.law.protocol import EXILE_CODE, Order, Signal
from emperor_trio.law.state import NEVER, Blame, Leaving, LifecycleRules, Phase
from tests.law.life import PID, Life

GRACEFUL = LifecycleRules(graceful_shutdown=True)
WITH_STOP_HOOK = LifecycleRules(stop_hook=True)


def parked() -> Life:
    life = Life().run()
    life.end()
    life.tell(hear.Park(life.state.asked, 1, 1))
    assert life.phase is Phase.PARKED
    return life


def exiled() -> Life:
    life = Life().run()
    life.end(EXILE_CODE)
    assert life.phase is Phase.EXILED
    return life


# --- stops that were asked for ---


@pytest.mark.parametrize(("rules", "order"), [(LifecycleRules(), Order.STOP), (GRACEFUL, Order.STOP_GRACEFULLY)])
def test_removed_vassal_is_told_to_stop_and_is_cursed(rules: LifecycleRules, order: Order) -> None:
    life = Life(rules).serve()
    done = life.remove()
    assert done.of(do.Send) == [do.Send(order)]
    assert done.events(events.StopSent)
    assert (life.phase, life.state.cursed_at, life.state.deadline) == (Phase.STOPPING, life.now, life.now + 30)


def test_stop_that_was_asked_for_is_no_death() -> None:
    life = Life().run()
    life.remove()
    done = life.end(1)
    assert done.kinds == [do.Release, do.Withdraw, do.Vanish]
    assert done.events(events.VassalExited) == [events.VassalExited(life.vassal, PID, 1, expected=True, loyal=False)]


def test_vassal_that_does_not_stop_is_killed_after_its_tolerance_and_again_until_it_is_gone() -> None:
    life = Life(LifecycleRules(curse_tolerance=20)).run()
    life.remove()
    assert life.later(19.9) == ()
    done = life.later(0.1)
    assert done.of(do.Kill)
    assert done.events(events.VassalKilled)
    assert life.later(19.9) == ()
    assert life.later(0.1).of(do.Kill)
    assert life.end(-9).kinds == [do.Release, do.Withdraw, do.Vanish]


def test_tolerance_of_nothing_kills_at_once_but_not_without_pause() -> None:
    life = Life(LifecycleRules(curse_tolerance=0)).run()
    life.remove()
    assert life.later(0).of(do.Kill)
    assert life.state.deadline == life.now + 1


def test_added_again_while_it_stops_it_is_spawned_again() -> None:
    life = Life().run()
    spec = life.spec
    life.remove()
    life.desired = type(life.desired)(spec, 7, 7)
    assert life.look() == ()
    assert life.end(0).kinds == [do.Release, do.Withdraw, do.AskLeave]
    assert life.leave().of(do.Spawn) == [do.Spawn(2, spec)]


def test_removed_while_it_stops_for_another_reason_it_is_gone_in_the_end() -> None:
    life = Life().run()
    life.close_pipe()
    life.remove()
    assert life.state.leaving is Leaving.ASKED
    assert life.end(1).kinds == [do.Release, do.Withdraw, do.Vanish]


# --- deaths ---


def test_loyal_vassal_that_dies_is_blamed_as_a_loyal_one_and_asks_at_once() -> None:
    life = Life().serve()
    done = life.end(1)
    assert done.kinds == [do.Release, do.Withdraw, do.ReportDeath, do.AskLeave]
    assert done.of(do.ReportDeath) == [do.ReportDeath(Blame.LOYAL)]
    assert done.events(events.VassalExited) == [events.VassalExited(life.vassal, PID, 1, expected=False, loyal=True)]
    assert (life.state.pid, life.state.loyal, life.state.ready, life.state.accepting) == (0, False, False, False)


def test_disloyal_vassal_that_dies_is_blamed_as_a_disloyal_one() -> None:
    life = Life().run()
    assert life.end(0).of(do.ReportDeath) == [do.ReportDeath(Blame.DISLOYAL)]


def test_vassal_that_dies_before_byte_1_gives_back_its_place() -> None:
    life = Life().start()
    assert life.end(1).kinds == [do.Release, do.Withdraw, do.ReportDeath, do.AskLeave]


def test_config_that_changed_before_the_death_is_spawned_after_it() -> None:
    life = Life().start()
    life.change()
    life.end(1)
    assert life.leave().of(do.Spawn) == [do.Spawn(2, life.spec)]


def test_loyalty_ends_with_its_process() -> None:
    life = Life().serve()
    life.end()
    life.leave()
    life.tell(hear.Spawned(PID))
    assert life.end(1).of(do.ReportDeath) == [do.ReportDeath(Blame.DISLOYAL)]


# --- exile, and leaving of its own will ---


def test_exit_code_26_is_exile_until_the_config_changes() -> None:
    life = Life().run()
    done = life.end(EXILE_CODE)
    assert done.kinds == [do.Release, do.Withdraw]
    assert done.events(events.VassalExiled)
    assert life.phase is Phase.EXILED
    assert life.look() == ()
    assert life.change() == (do.AskLeave(2),)


def test_exit_code_26_of_a_loyal_vassal_is_exile_too() -> None:
    life = Life().serve()
    life.end(EXILE_CODE)
    assert life.phase is Phase.EXILED


def test_exiled_vassal_returns_with_another_life_and_can_be_removed() -> None:
    assert exiled().replace() == (do.AskLeave(2),)
    assert exiled().remove().kinds == [do.Vanish]


def test_exit_code_26_after_the_config_has_changed_is_no_exile() -> None:
    life = Life().start()
    life.change()
    assert life.end(EXILE_CODE).of(do.AskLeave)


def test_exit_code_26_of_a_stop_that_was_asked_for_is_no_exile() -> None:
    life = Life().run()
    life.replace()
    assert life.end(EXILE_CODE).of(do.AskLeave)


def test_byte_22_outside_on_demand_stops_it_until_its_config_changes() -> None:
    life = Life().serve()
    done = life.say(Signal.LEAVE)
    assert done.of(do.Send) == [do.Send(Order.STOP)]
    assert (life.phase, life.state.leaving, life.state.deadline) == (Phase.STOPPING, Leaving.LEFT, life.now + 30)
    done = life.end(0)
    assert done.kinds == [do.Release, do.Withdraw]
    assert done.events(events.VassalExiled)
    assert life.change() == (do.AskLeave(2),)


def test_byte_22_said_twice_is_one() -> None:
    life = Life().run()
    life.say(Signal.LEAVE)
    life.now += 10
    assert life.say(Signal.LEAVE) == ()
    assert life.state.deadline == life.now + 20


def test_config_that_changes_while_it_leaves_brings_it_back() -> None:
    life = Life().run()
    life.say(Signal.LEAVE)
    life.change()
    assert life.end(0).of(do.AskLeave)


# --- the curse ---


def test_end_of_file_curses() -> None:
    life = Life().serve()
    done = life.close_pipe()
    assert done.kinds == []
    assert done.events(events.VassalCursed) == [events.VassalCursed(life.vassal, "closed its pipe", 30)]
    assert (life.phase, life.state.cursed_at, life.state.deadline) == (Phase.STOPPING, life.now, life.now + 30)


def test_end_of_file_and_then_death_is_a_death() -> None:
    life = Life().serve()
    life.close_pipe()
    assert life.end(1).of(do.ReportDeath) == [do.ReportDeath(Blame.LOYAL)]
    assert life.phase is Phase.QUEUED


def test_end_of_file_without_death_is_killed_after_the_tolerance() -> None:
    life = Life().run()
    life.close_pipe()
    assert life.later(30).of(do.Kill)


def test_end_of_file_of_a_vassal_that_stops_anyway_puts_nothing_off() -> None:
    life = Life().run()
    life.remove()
    life.now += 10
    assert life.close_pipe() == ()
    assert life.state.deadline == life.now + 20


def test_last_bytes_of_a_cursed_vassal_still_count() -> None:
    life = Life().run()
    life.close_pipe()
    life.say(Signal.LOYAL)
    assert life.end(1).of(do.ReportDeath) == [do.ReportDeath(Blame.LOYAL)]


def test_exit_code_26_after_an_end_of_file_is_exile() -> None:
    life = Life().run()
    life.close_pipe()
    life.end(EXILE_CODE)
    assert life.phase is Phase.EXILED


# --- heartbeats ---


def test_no_heartbeat_is_required_before_the_first() -> None:
    life = Life().run()
    assert life.state.deadline == NEVER


def test_heartbeats_are_required_from_the_first_on() -> None:
    life = Life().serve()
    assert life.say(Signal.HEARTBEAT) == ()
    assert (life.state.last_heartbeat, life.state.deadline) == (life.now, life.now + 30)
    life.now += 29
    life.say(Signal.HEARTBEAT)
    assert life.later(29) == ()
    done = life.later(1)
    assert done.of(do.Kill)
    assert done.events(events.VassalKilled)
    assert (life.phase, life.state.leaving) == (Phase.STOPPING, Leaving.HUNG)
    assert life.end(-9).kinds == [do.Release, do.Withdraw, do.ReportDeath, do.AskLeave]


def test_an_emperor_that_overslept_does_not_take_it_out_on_its_vassals() -> None:
    life = Life().run()
    life.say(Signal.HEARTBEAT)
    assert life.later(3600) == ()
    assert life.state.deadline == life.now + 30
    assert life.later(30).of(do.Kill)


def test_heartbeat_time_is_an_option() -> None:
    life = Life(LifecycleRules(required_heartbeat=7)).run()
    life.say(Signal.HEARTBEAT)
    assert life.later(7).of(do.Kill)


def test_next_process_has_its_own_first_heartbeat() -> None:
    life = Life().run()
    life.say(Signal.HEARTBEAT)
    life.end()
    life.leave()
    life.say(Signal.READY)
    assert life.state.deadline == NEVER


def test_missing_heartbeat_and_reload_run_out_apart() -> None:
    life = Life().run()
    life.say(Signal.HEARTBEAT)
    life.change()
    assert life.later(10) == ()
    assert life.state.deadline == life.now + 20


@pytest.mark.parametrize("early", [0.0, 5.0])
def test_tick_before_its_time_does_nothing(early: float) -> None:
    life = Life().run()
    life.remove()
    assert life.later(early) == ()


# --- the stop hook ---


def test_stop_hook_runs_after_the_death_and_the_next_spawn_waits_for_it() -> None:
    life = Life(WITH_STOP_HOOK).serve()
    done = life.end(1)
    assert done.kinds == [do.Release, do.Withdraw, do.ReportDeath, do.RunStopHook]
    assert done.of(do.RunStopHook) == [do.RunStopHook(1, PID, life.spec)]
    assert life.phase is Phase.ENDING
    assert life.look() == ()
    assert life.tell(hear.HookDone(1)) == (do.AskLeave(2),)


def test_stop_hook_runs_at_a_removal_too() -> None:
    life = Life(WITH_STOP_HOOK).run()
    life.remove()
    assert life.end(0).of(do.RunStopHook)
    assert life.tell(hear.HookDone(1)).kinds == [do.Vanish]


def test_removed_and_added_while_its_stop_hook_runs_it_is_spawned_again() -> None:
    life = Life(WITH_STOP_HOOK).run()
    spec = life.spec
    life.end(1)
    assert life.remove() == ()
    life.desired = type(life.desired)(spec, 7, 7)
    assert life.look() == ()
    life.tell(hear.HookDone(1))
    assert life.leave().of(do.Spawn) == [do.Spawn(2, spec)]


def test_removed_while_its_stop_hook_runs_it_is_gone_after_it() -> None:
    life = Life(WITH_STOP_HOOK).run()
    life.end(1)
    life.remove()
    assert life.tell(hear.HookDone(1)).kinds == [do.Vanish]


def test_exile_waits_for_the_stop_hook() -> None:
    life = Life(WITH_STOP_HOOK).run()
    assert life.end(EXILE_CODE).events(events.VassalExiled) == []
    assert life.tell(hear.HookDone(1)).events(events.VassalExiled)
    assert life.phase is Phase.EXILED


# --- the end of an empire ---


@pytest.mark.parametrize("reach", [Life.start, Life.run, Life.serve])
def test_no_mercy_kills_what_has_a_process(reach: Callable[[Life], Life]) -> None:
    life = reach(Life())
    life.remove()
    assert life.tell(hear.NoMercy()).of(do.Kill)
    assert life.end(-9).of(do.Vanish)


def test_no_mercy_comes_before_the_removal_was_seen() -> None:
    life = Life().run()
    life.desired = type(life.desired)(None)
    done = life.tell(hear.NoMercy())
    assert done.kinds == [do.Kill, do.Send]
    assert life.end(-9).of(do.Vanish)


def test_no_mercy_kills_again_what_stops_already() -> None:
    life = Life().run()
    life.remove()
    assert life.tell(hear.NoMercy()).of(do.Kill)


def test_no_mercy_abandons_the_stop_hook() -> None:
    life = Life(WITH_STOP_HOOK).run()
    life.remove()
    life.end(0)
    assert life.tell(hear.NoMercy()).kinds == [do.AbandonHook, do.Vanish]


@pytest.mark.parametrize("reach", [parked, exiled])
def test_no_mercy_changes_nothing_where_nothing_runs(reach: Callable[[], Life]) -> None:
    assert reach().tell(hear.NoMercy()) == ()
