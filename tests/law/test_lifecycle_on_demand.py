"""Vassals on demand: the emperor listens, the first connection spawns, and every way back to waiting."""

from __future__ import annotations

from emperor_trio import events
from emperor_trio.law import effects as do
from emperor_trio.law import stimuli as hear
from emperor_trio.law.protocol import EXILE_CODE, Order, Signal
from emperor_trio.law.state import Blame, Leaving, LifecycleRules, Phase
from emperor_trio.model import Owner
from tests.law.life import PID, Life

SOCKET = "/run/a.socket"


def test_vassal_on_demand_is_bound_not_spawned() -> None:
    life = Life(socket=SOCKET)
    assert life.look() == (do.Bind(1, life.spec, SOCKET),)
    assert life.phase is Phase.BINDING


def test_bound_socket_waits_for_the_first_connection() -> None:
    life = Life(socket=SOCKET)
    life.look()
    done = life.tell(hear.Bound(1, SOCKET))
    assert done == (do.Publish(events.VassalListening(life.vassal, SOCKET)), do.Arm())
    assert (life.phase, life.state.address) == (Phase.WAITING, SOCKET)


def test_first_connection_asks_for_the_leave_to_spawn() -> None:
    life = Life(socket=SOCKET).listen()
    done = life.tell(hear.Connection())
    assert done.kinds == [do.Disarm, do.AskLeave]
    assert done.events(events.VassalWoken)
    assert life.leave().of(do.Spawn) == [do.Spawn(1, life.spec)]


def test_connection_while_it_runs_does_nothing() -> None:
    life = Life(socket=SOCKET).listen().wake()
    assert life.tell(hear.Connection()) == ()


def test_changed_config_does_not_spawn_a_waiting_vassal_but_is_what_it_gets() -> None:
    life = Life(socket=SOCKET).listen()
    assert life.change() == ()
    assert (life.state.spec, life.state.revision) == (life.spec, 2)
    life.tell(hear.Connection())
    assert life.leave().of(do.Spawn) == [do.Spawn(1, life.spec)]


def test_byte_22_brings_it_back_to_waiting() -> None:
    life = Life(socket=SOCKET).listen().wake()
    done = life.say(Signal.LEAVE)
    assert done.of(do.Send) == [do.Send(Order.STOP)]
    done = life.end(0)
    assert done.kinds == [do.Release, do.Withdraw, do.Arm]
    assert life.phase is Phase.WAITING


def test_byte_22_that_is_not_followed_by_the_end_is_killed() -> None:
    life = Life(socket=SOCKET).listen().wake()
    life.say(Signal.LEAVE)
    assert life.later(30).of(do.Kill)
    assert life.end(-9).kinds == [do.Release, do.Withdraw, do.Arm]


def test_crash_brings_it_back_to_waiting_and_counts_as_a_death() -> None:
    life = Life(socket=SOCKET).listen().wake()
    done = life.end(1)
    assert done.kinds == [do.Release, do.Withdraw, do.ReportDeath, do.Arm]
    assert done.of(do.ReportDeath) == [do.ReportDeath(Blame.DISLOYAL)]


def test_listener_survives_crash_and_reload() -> None:
    life = Life(socket=SOCKET).listen().wake()
    closed = life.end(1).of(do.CloseListener)
    life.wake()
    closed += life.change().of(do.CloseListener)
    closed += life.say(Signal.READY).of(do.CloseListener)
    assert closed == []


def test_failed_spawn_brings_it_back_to_waiting() -> None:
    life = Life(socket=SOCKET).listen()
    life.tell(hear.Connection())
    life.leave()
    assert life.tell(hear.SpawnRefused("no binary")).kinds == [do.ReportDeath, do.Arm]
    assert life.phase is Phase.WAITING


def test_spawn_without_room_is_tried_again_for_the_connection_that_waits() -> None:
    life = Life(socket=SOCKET).listen()
    life.tell(hear.Connection())
    life.leave()
    assert life.tell(hear.SpawnRefused("EAGAIN", deferred=True)).kinds == [do.ReportShortage, do.AskLeave]


def test_exile_closes_the_socket() -> None:
    life = Life(socket=SOCKET).listen().wake()
    assert life.end(EXILE_CODE).kinds == [do.Release, do.Withdraw, do.CloseListener]
    assert (life.phase, life.state.address) == (Phase.EXILED, None)
    assert life.change().kinds == [do.Bind]


def test_parking_closes_the_socket() -> None:
    life = Life(socket=SOCKET).listen()
    life.tell(hear.Connection())
    assert life.tell(hear.Park(life.state.asked, 1, 1)).kinds == [do.CloseListener]
    assert life.phase is Phase.PARKED


def test_removal_closes_the_socket_in_every_phase() -> None:
    waiting = Life(socket=SOCKET).listen()
    assert waiting.remove().kinds == [do.CloseListener, do.Vanish]
    binding = Life(socket=SOCKET)
    binding.look()
    assert binding.remove().kinds == [do.CloseListener, do.Vanish]
    queued = Life(socket=SOCKET).listen()
    queued.tell(hear.Connection())
    assert queued.remove().kinds == [do.Withdraw, do.CloseListener, do.Vanish]
    running = Life(socket=SOCKET).listen().wake()
    running.remove()
    assert running.end(0).kinds == [do.Release, do.Withdraw, do.CloseListener, do.Vanish]


def test_gaining_a_socket_replaces_the_vassal() -> None:
    life = Life().run()
    assert life.replace(socket=SOCKET).of(do.Send) == [do.Send(Order.STOP)]
    assert life.end(0).kinds == [do.Release, do.Withdraw, do.Bind]


def test_losing_the_socket_replaces_the_vassal() -> None:
    life = Life(socket=SOCKET).listen().wake()
    life.replace(socket=None)
    assert life.end(0).kinds == [do.Release, do.Withdraw, do.CloseListener, do.AskLeave]
    assert life.leave().of(do.Spawn) == [do.Spawn(2, life.spec)]


def test_losing_the_socket_while_waiting_spawns() -> None:
    life = Life(socket=SOCKET).listen()
    assert life.replace(socket=None).kinds == [do.CloseListener, do.AskLeave]


def test_another_socket_is_bound_anew() -> None:
    life = Life(socket=SOCKET).listen()
    done = life.replace(socket="/run/other.socket")
    assert done.kinds == [do.CloseListener, do.Bind]
    assert done.of(do.Bind)[0].address == "/run/other.socket"


def test_another_owner_needs_another_socket() -> None:
    life = Life(socket=SOCKET, owner=Owner(1000, 1000)).listen()
    assert life.replace(owner=Owner(1001, 1001)).kinds == [do.CloseListener, do.Bind]


def test_another_socket_while_it_is_bound_starts_over_and_the_late_answer_is_dropped() -> None:
    life = Life(socket=SOCKET)
    life.look()
    assert life.replace(socket="/run/other.socket").kinds == [do.CloseListener, do.Bind]
    assert life.tell(hear.Bound(1, SOCKET)) == ()
    assert life.tell(hear.SocketFailed(1, "late")) == ()
    assert life.phase is Phase.BINDING
    assert life.tell(hear.Bound(life.state.ticket, "/run/other.socket")).kinds == [do.Arm]


def test_another_socket_for_a_woken_vassal_withdraws_the_spawn() -> None:
    life = Life(socket=SOCKET).listen()
    life.tell(hear.Connection())
    assert life.replace(socket="/run/other.socket").kinds == [do.Withdraw, do.CloseListener, do.Bind]


def test_leave_that_crosses_another_socket_does_not_spawn_on_the_old_one() -> None:
    life = Life(socket=SOCKET).listen()
    life.tell(hear.Connection())
    asked = life.state.asked
    life.desired = type(life.desired)(type(life.spec)("a.ini", 2, socket="/run/other.socket"), 2, 2)
    assert life.tell(hear.Leave(asked)).kinds == [do.Withdraw, do.CloseListener, do.Bind]


def test_another_life_with_the_same_socket_keeps_the_listener() -> None:
    running = Life(socket=SOCKET).listen().wake()
    running.replace()
    assert running.end(0).kinds == [do.Release, do.Withdraw, do.Arm]
    queued = Life(socket=SOCKET).listen()
    queued.tell(hear.Connection())
    assert queued.replace().kinds == [do.Withdraw, do.Arm]
    waiting = Life(socket=SOCKET).listen()
    assert waiting.replace() == ()
    assert (waiting.phase, waiting.state.life) == (Phase.WAITING, 2)


def test_vassal_that_did_not_take_its_config_goes_back_to_waiting() -> None:
    life = Life(socket=SOCKET, config=b"1").listen().wake()
    life.change(config=b"2")
    life.change(config=b"3")
    life.later(10)
    assert life.state.leaving is Leaving.REPLACED
    assert life.end(0).kinds == [do.Release, do.Withdraw, do.Arm]


def test_socket_that_can_not_be_bound_is_a_death_before_loyalty_and_bound_again_in_its_time() -> None:
    life = Life(socket=SOCKET)
    life.look()
    done = life.tell(hear.SocketFailed(1, "address in use"))
    assert done.events(events.SpawnFailed) == [events.SpawnFailed(life.vassal, "address in use")]
    assert done.kinds == [do.CloseListener, do.ReportDeath, do.AskLeave]
    assert life.leave().kinds == [do.Withdraw, do.Bind], "no process: the leave is given back"


def test_stop_hook_runs_before_it_waits_again() -> None:
    life = Life(LifecycleRules(stop_hook=True), socket=SOCKET).listen().wake()
    life.end(1)
    assert life.phase is Phase.ENDING
    assert life.tell(hear.HookDone(1)).kinds == [do.Arm]


# --- a socket that is asked for ---


def test_command_is_asked_for_the_socket() -> None:
    life = Life(ask_socket=True)
    assert life.look() == (do.AskSocket(1, life.spec),)
    assert life.phase is Phase.ASKING
    assert life.tell(hear.SocketTold(1, SOCKET)) == (do.Bind(2, life.spec, SOCKET),)


def test_config_that_changes_while_the_command_is_asked_is_taken_over() -> None:
    life = Life(ask_socket=True)
    life.look()
    assert life.change() == ()
    assert life.tell(hear.SocketTold(1, SOCKET)) == (do.Bind(2, life.spec, SOCKET),)


def test_command_that_names_no_socket_makes_an_ordinary_vassal() -> None:
    life = Life(ask_socket=True)
    life.look()
    assert life.tell(hear.SocketTold(1, None)) == (do.AskLeave(1),)
    assert life.leave().of(do.Spawn) == [do.Spawn(1, life.spec)]
    life.tell(hear.Spawned(PID))
    assert life.end(1).kinds == [do.Release, do.Withdraw, do.ReportDeath, do.AskLeave]
    assert life.leave().of(do.Spawn), "it is not asked for again"


def test_command_that_fails_is_a_death_before_loyalty_and_asked_again_in_its_time() -> None:
    life = Life(ask_socket=True)
    life.look()
    assert life.tell(hear.SocketFailed(1, "exit code 1")).kinds == [do.CloseListener, do.ReportDeath, do.AskLeave]
    assert life.leave().kinds == [do.Withdraw, do.AskSocket]


def test_command_is_asked_again_for_another_life() -> None:
    life = Life(ask_socket=True)
    life.look()
    life.tell(hear.SocketTold(1, None))
    assert life.replace().kinds == [do.Withdraw, do.CloseListener, do.AskSocket]


def test_late_answer_of_the_command_is_dropped() -> None:
    life = Life(ask_socket=True)
    life.look()
    life.replace()
    assert life.tell(hear.SocketTold(1, SOCKET)) == ()
    assert life.phase is Phase.ASKING
