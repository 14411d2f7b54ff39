"""uWSGI's workers lose a signal while they start: a vassal that came up is left alone for a while."""

from __future__ import annotations

from emperor_trio.law import effects as do
from emperor_trio.law.protocol import Order, Signal
from emperor_trio.law.state import NEVER, LifecycleRules
from tests.law.life import Life

RELOAD = do.Send(Order.RELOAD)


def test_reload_waits_a_pause_after_the_vassal_came_up() -> None:
    life = Life(LifecycleRules(reload_pause=0.5)).run()
    assert RELOAD not in life.change()
    assert life.state.deadline == life.now + 0.5
    assert RELOAD in life.later(0.5)


def test_byte_5_begins_the_pause_anew_and_is_no_acknowledgement_of_what_was_not_sent() -> None:
    life = Life(LifecycleRules(reload_pause=0.5)).run()
    life.change()
    life.now += 0.4
    life.say(Signal.ACCEPTING)
    assert RELOAD not in life.later(0.1)
    assert RELOAD in life.later(0.4)


def test_all_that_changed_in_the_pause_is_one_reload() -> None:
    life = Life(LifecycleRules(reload_pause=0.5)).run()
    for _ in range(10):
        life.change()
    assert life.later(0.5).of(do.Send) == [RELOAD]
    assert life.state.revision == life.desired.revision


def test_a_vassal_that_runs_for_long_is_reloaded_at_once() -> None:
    life = Life(LifecycleRules(reload_pause=0.5)).run()
    life.now += 0.5
    assert RELOAD in life.change()
    assert life.state.deadline != NEVER


def test_workers_that_start_over_and_over_do_not_keep_the_old_config() -> None:
    """Worker 1 says byte 5 each time, and a newer config may be what ends its crashes."""
    life = Life(LifecycleRules(reload_pause=0.5)).serve()
    life.change()
    for _ in range(4):
        life.now += 0.1
        assert RELOAD not in life.say(Signal.ACCEPTING)
    assert RELOAD in life.later(0.1)


def test_reload_of_its_own_accord_in_the_pause_holds_back_ours() -> None:
    life = Life(LifecycleRules(reload_pause=0.5), config=b"1").run()
    life.change(config=b"2")
    assert life.say(Signal.SEND_CONFIG) == (do.AnswerConfig(b"1"),)
    assert life.later(0.5) == ()
    life.say(Signal.ACCEPTING)
    assert life.later(0.5).of(do.Send) == [do.Send(Order.RELOAD, b"2")]
