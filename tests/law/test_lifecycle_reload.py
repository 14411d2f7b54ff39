"""Reloads, and the configs that go with them: one chunk for each read, one reload at a time, the newest in the end."""

from __future__ import annotations

from emperor_trio import events
from emperor_trio.law import effects as do
from emperor_trio.law import stimuli as hear
from emperor_trio.law.protocol import Order, Signal
from emperor_trio.law.state import NEVER, Leaving, LifecycleRules, Phase
from tests.law.life import PID, Life


def test_changed_config_sends_byte_1() -> None:
    life = Life().serve()
    life.now += 5
    done = life.change()
    assert done == (do.Publish(events.ReloadSent(life.vassal, 2)), do.Send(Order.RELOAD))
    state = life.state
    assert (state.revision, state.reloads, state.last_run, state.first_run) == (2, 1, life.now, life.now - 5)
    assert (state.ready, state.accepting, state.loyal) == (False, False, True)


def test_same_revision_reloads_nothing() -> None:
    life = Life().serve()
    assert life.look() == ()


def test_equal_config_with_a_higher_revision_still_reloads() -> None:
    life = Life().run()
    life.desired = type(life.desired)(life.spec, 2, 1)
    assert life.look().of(do.Send) == [do.Send(Order.RELOAD)]


def test_changed_config_goes_over_the_pipe_with_the_reload() -> None:
    life = Life(config=b"one").run()
    assert life.change(config=b"two").of(do.Send) == [do.Send(Order.RELOAD, b"two")]


def test_second_reload_waits_until_the_first_is_acknowledged() -> None:
    life = Life(config=b"1").run()
    life.change(config=b"2")
    for number in range(3, 100):
        assert life.change(config=b"%d" % number) == ()
    done = life.say(Signal.READY)
    assert done.events(events.VassalReady) == [events.VassalReady(life.vassal, 2)]
    assert done.of(do.Send) == [do.Send(Order.RELOAD, b"99")]
    assert life.state.revision == 99
    assert life.say(Signal.READY).of(do.Send) == []


def test_byte_5_acknowledges_a_reload_too() -> None:
    life = Life().serve()
    life.change()
    done = life.say(Signal.ACCEPTING)
    assert done.kinds == [do.ReportReady]
    assert done.events(events.VassalReady) == [events.VassalReady(life.vassal, 2)]
    assert done.events(events.VassalAccepting)
    assert (life.state.ready, life.state.deadline) == (True, NEVER)


def test_byte_5_acknowledges_a_reload_with_a_config_once_that_was_asked_for() -> None:
    """Before that, it comes from a worker of the old config that was replaced."""
    life = Life(config=b"1").serve()
    life.change(config=b"2")
    assert life.say(Signal.ACCEPTING).events(events.VassalReady) == []
    assert life.say(Signal.SEND_CONFIG) == ()
    assert life.say(Signal.ACCEPTING).events(events.VassalReady) == [events.VassalReady(life.vassal, 2)]


def test_reload_waits_until_the_start_is_over() -> None:
    life = Life().start()
    assert life.change() == ()
    assert life.say(Signal.READY).of(do.Send) == [do.Send(Order.RELOAD)]


def test_reload_goes_out_ten_seconds_later_without_an_acknowledgement() -> None:
    life = Life().start()
    life.change()
    assert life.state.deadline == life.now + 10
    assert life.later(9.9) == ()
    assert life.later(0.2).of(do.Send) == [do.Send(Order.RELOAD)]
    assert life.phase is Phase.STARTING


def test_time_to_acknowledge_is_an_option() -> None:
    life = Life(LifecycleRules(reload_tolerance=3)).start()
    life.change()
    assert life.later(3).of(do.Send) == [do.Send(Order.RELOAD)]


def test_time_to_acknowledge_runs_out_without_harm_where_nothing_newer_is_wanted() -> None:
    life = Life(config=b"1").start()
    assert life.later(10).of(do.Send) == []
    assert (life.phase, life.state.deadline) == (Phase.STARTING, NEVER)


def test_vassal_that_did_not_take_its_last_config_is_replaced_by_a_newer_one() -> None:
    life = Life(config=b"1").run()
    life.change(config=b"2")
    life.change(config=b"3")
    done = life.later(10)
    assert done.of(do.Send) == [do.Send(Order.STOP)]
    assert (life.phase, life.state.leaving) == (Phase.STOPPING, Leaving.REPLACED)
    assert life.end(0).kinds == [do.Release, do.Withdraw, do.AskLeave]
    assert life.leave().of(do.Spawn) == [do.Spawn(2, life.spec)]


def test_acknowledged_is_what_said_byte_1_since_the_reload_not_at_the_same_instant() -> None:
    life = Life(config=b"1").start()
    life.change(config=b"2")
    life.say(Signal.READY)  # acknowledges the start, and so the reload goes out in the very same instant
    life.change(config=b"3")
    assert life.later(10).of(do.Send) == [do.Send(Order.STOP)]


def test_vassal_that_takes_no_orders_is_replaced() -> None:
    life = Life().run()
    life.change()
    done = life.tell(hear.OrderFailed(1))
    assert done.events(events.StopSent)
    assert (life.phase, life.state.leaving) == (Phase.STOPPING, Leaving.REPLACED)
    assert life.tell(hear.OrderFailed(1)) == (), "the stop could not be handed over, either: it is killed in time"


def test_config_that_moves_from_a_file_into_the_pipe_replaces_the_process() -> None:
    life = Life().run()
    assert life.change(config=b"here").of(do.Send) == [do.Send(Order.STOP)]
    assert life.state.leaving is Leaving.REPLACED


def test_config_that_moves_from_the_pipe_into_a_file_replaces_the_process() -> None:
    life = Life(config=b"here").run()
    assert life.change(config=None).of(do.Send) == [do.Send(Order.STOP)]
    assert life.state.leaving is Leaving.REPLACED


def test_byte_2_of_a_reload_is_answered_by_the_chunk_that_came_with_it() -> None:
    """The vassal may have read it when its byte 2 is heard: a second chunk would be the next reload's old one."""
    life = Life(config=b"1").run()
    life.change(config=b"2")
    assert life.say(Signal.SEND_CONFIG) == ()
    assert life.say(Signal.SEND_CONFIG) == (do.AnswerConfig(b"2"),), "another byte 2 is another read"


def test_byte_2_of_the_start_is_answered_by_the_chunk_that_came_with_the_spawn() -> None:
    life = Life(config=b"1").start()
    assert life.say(Signal.SEND_CONFIG) == ()


def test_vassal_that_reloads_of_its_own_accord_is_sent_its_config() -> None:
    life = Life(config=b"1").run()
    assert life.say(Signal.SEND_CONFIG) == (do.AnswerConfig(b"1"),)
    assert not life.state.ready
    assert life.say(Signal.READY).events(events.VassalReady)


def test_reload_of_ours_waits_for_one_of_the_vassals_own() -> None:
    life = Life(config=b"1").run()
    life.say(Signal.SEND_CONFIG)
    assert life.change(config=b"2") == ()
    assert life.say(Signal.READY).of(do.Send) == [do.Send(Order.RELOAD, b"2")]


def test_vassal_that_keeps_asking_for_its_config_does_not_keep_its_old_one() -> None:
    life = Life(config=b"1").run()
    life.say(Signal.SEND_CONFIG)
    life.change(config=b"2")
    life.now += 9
    life.say(Signal.SEND_CONFIG)
    assert life.later(1).of(do.Send) == [do.Send(Order.STOP)]
    assert life.state.leaving is Leaving.REPLACED


def test_reload_of_its_own_and_ours_right_after_it_are_two_reads() -> None:
    """It has read ours with its own reload when it is told of ours: the second byte 2 needs a second chunk."""
    life = Life(config=b"1").run()
    life.change(config=b"2")
    assert life.say(Signal.SEND_CONFIG, Signal.ACCEPTING, Signal.SEND_CONFIG).of(do.AnswerConfig) == [
        do.AnswerConfig(b"2")
    ]


def test_vassal_without_a_config_pipe_gets_none() -> None:
    life = Life().run()
    assert life.say(Signal.SEND_CONFIG) == ()


def test_another_life_is_another_process() -> None:
    life = Life().serve()
    done = life.replace()
    assert done.of(do.Send) == [do.Send(Order.STOP)]
    assert (life.phase, life.state.leaving) == (Phase.STOPPING, Leaving.REPLACED)
    done = life.end(0)
    assert done.kinds == [do.Release, do.Withdraw, do.AskLeave]
    assert done.events(events.VassalExited) == [events.VassalExited(life.vassal, PID, 0, expected=True, loyal=True)]
    life.leave()
    assert (life.state.generation, life.state.life, life.state.reloads) == (2, 2, 0)


def test_config_that_changes_while_it_stops_to_be_replaced_is_what_the_next_one_gets() -> None:
    life = Life().run()
    life.replace()
    assert life.change() == ()
    life.end(0)
    assert life.leave().of(do.Spawn) == [do.Spawn(2, life.spec)]
