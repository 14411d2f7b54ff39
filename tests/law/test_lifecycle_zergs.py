"""Broodlord: a vassal asks for reinforcement, and its zergs come and go."""

from __future__ import annotations

from emperor_trio.law import effects as do
from emperor_trio.law import stimuli as hear
from emperor_trio.law.protocol import EXILE_CODE, Order, Signal
from emperor_trio.law.state import LifecycleRules, Phase
from tests.law.life import ZERG, Life


def test_byte_30_asks_for_reinforcement() -> None:
    life = Life().serve()
    assert life.say(Signal.REINFORCEMENT) == (do.AskReinforcement(),)


def test_byte_30_is_heard_once_a_second() -> None:
    life = Life().serve()
    life.say(Signal.REINFORCEMENT)
    life.now += 0.9
    assert life.say(Signal.REINFORCEMENT) == ()
    life.now += 0.1
    assert life.say(Signal.REINFORCEMENT) == (do.AskReinforcement(),)


def test_zerg_gets_no_reinforcement() -> None:
    assert Life(vassal=ZERG).serve().say(Signal.REINFORCEMENT) == ()


def test_zerg_that_ends_is_not_spawned_again() -> None:
    for code in (0, 1, EXILE_CODE):
        life = Life(vassal=ZERG).serve()
        assert life.end(code).of(do.EndZerg)
        assert life.phase is Phase.EXILED
        assert life.change() == ()
        assert life.remove().kinds == [do.Vanish]


def test_zerg_that_leaves_is_not_spawned_again() -> None:
    life = Life(vassal=ZERG).serve()
    life.say(Signal.LEAVE)
    assert life.end(0).of(do.EndZerg)


def test_zerg_that_can_not_be_spawned_ends() -> None:
    life = Life(vassal=ZERG)
    life.look()
    life.leave()
    assert life.tell(hear.SpawnRefused("no binary")).kinds == [do.ReportDeath, do.EndZerg]


def test_zerg_without_room_is_tried_again() -> None:
    life = Life(vassal=ZERG)
    life.look()
    life.leave()
    assert life.tell(hear.SpawnRefused("EAGAIN", deferred=True)).of(do.AskLeave)


def test_zerg_stops_when_its_vassal_goes() -> None:
    life = Life(vassal=ZERG).serve()
    assert life.remove().of(do.Send) == [do.Send(Order.STOP)]
    assert life.end(0).kinds == [do.Release, do.Withdraw, do.Vanish]


def test_zerg_reloads_with_its_vassal() -> None:
    assert Life(vassal=ZERG).serve().change().of(do.Send) == [do.Send(Order.RELOAD)]


def test_zerg_is_replaced_with_its_vassal() -> None:
    life = Life(vassal=ZERG).serve()
    life.replace()
    assert life.end(0).of(do.AskLeave)


def test_zerg_that_ended_is_spawned_again_as_a_new_one_of_its_number() -> None:
    life = Life(vassal=ZERG).serve()
    life.end(0)
    assert life.replace() == (do.AskLeave(2),)


def test_zerg_ends_after_its_stop_hook() -> None:
    life = Life(LifecycleRules(stop_hook=True), vassal=ZERG).serve()
    life.end(0)
    assert life.tell(hear.HookDone(1)).of(do.EndZerg)
