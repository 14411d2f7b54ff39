"""Held: no process, though the source wants one, until a command starts it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from emperor_trio import events
from emperor_trio.law import effects as do
from emperor_trio.law import stimuli as hear
from emperor_trio.law.protocol import Order
from emperor_trio.law.state import LifecycleRules, Phase
from tests.law.life import Effects, Life
from tests.law.test_lifecycle_end import exiled, parked

ON_DEMAND = "/run/a.socket"


def held() -> Life:
    life = Life().run()
    life.hold()
    life.end(0)
    assert life.phase is Phase.HELD
    return life


@pytest.mark.parametrize("begin", [lambda: Life().start(), lambda: Life().run(), lambda: Life().serve()])
def test_held_vassal_is_told_to_stop_and_its_death_is_no_ones_blame(begin: Callable[[], Life]) -> None:
    life = begin()
    done = life.hold()
    assert done.of(do.Send) == [do.Send(Order.STOP)]
    assert done.events(events.StopSent) == [events.StopSent(life.vassal, "by a command")]
    done = life.end(1)
    assert done.kinds == [do.Release, do.Withdraw]
    assert done.events(events.VassalHeld) == [events.VassalHeld(life.vassal, "by a command")]
    assert (life.phase, life.state.reason, life.state.pid) == (Phase.HELD, "by a command", 0)


def on_its_way() -> Life:
    life = Life()
    life.look()
    return life


def asking() -> Life:
    life = Life(ask_socket=True)
    life.look()
    return life


@pytest.mark.parametrize(
    ("begin", "effects"),
    [
        (on_its_way, [do.Withdraw]),
        (asking, [do.CloseListener]),
        (lambda: Life(socket=ON_DEMAND).listen(), [do.CloseListener]),
        (exiled, []),
        (parked, []),
    ],
)
def test_held_without_a_process_it_gives_back_all_that_it_has(
    begin: Callable[[], Life], effects: list[type[do.Effect]]
) -> None:
    life = begin()
    assert life.hold().kinds == effects
    assert life.phase is Phase.HELD


@pytest.mark.parametrize(
    "happening",
    [
        Life.change,
        Life.look,
        lambda life: life.tell(hear.Connection()),
        Life.leave,
        lambda life: life.later(1e6),
        Life.end,
        lambda life: life.hold("for another reason"),
    ],
)
def test_nothing_but_a_command_ends_it(happening: Callable[[Life], Effects]) -> None:
    life = held()
    assert happening(life) == ()
    assert life.phase is Phase.HELD


def test_it_starts_from_the_newest_config() -> None:
    life = held()
    life.change()
    assert life.release().kinds == [do.AskLeave]
    life.leave()
    assert (life.phase, life.state.spec, life.state.revision) == (Phase.STARTING, life.spec, life.desired.revision)


def test_it_waits_for_connections_again_once_released() -> None:
    life = Life(socket=ON_DEMAND).listen()
    life.hold()
    assert life.release().of(do.Bind)


def test_a_leave_that_was_granted_just_before_starts_nothing() -> None:
    life = Life()
    life.look()
    asked = life.state.asked
    life.desired = replace(life.desired, held="by a command")
    done = life.tell(hear.Leave(asked))
    assert not done.of(do.Spawn)
    assert do.Withdraw in done.kinds
    assert life.phase is Phase.HELD


def test_released_while_it_stops_it_comes_back_as_another_process() -> None:
    life = Life().run()
    life.hold()
    life.release()
    assert life.phase is Phase.STOPPING
    assert life.end(0).kinds == [do.Release, do.Withdraw, do.AskLeave]


def test_held_while_it_is_replaced_it_does_not_come_back() -> None:
    life = Life().run()
    life.replace()
    life.hold()
    life.end(0)
    assert life.phase is Phase.HELD


def test_its_stop_hook_runs_before_it_counts_as_stopped() -> None:
    life = Life(LifecycleRules(stop_hook=True)).run()
    life.hold()
    assert life.end(0).of(do.RunStopHook)
    life.tell(hear.HookDone(life.state.generation))
    assert life.phase is Phase.HELD


def test_removed_at_its_source_it_is_gone() -> None:
    life = held()
    assert life.remove().kinds == [do.Vanish]
