"""When a command has come true, and when it never will: as tables over what the emperor tells."""

from __future__ import annotations

from dataclasses import replace

import pytest

from emperor_trio.cli.remote.awaited import End, Wait, judge
from emperor_trio.control.messages import Changes, Key, Lagged, Outcome, Snapshot, State, Tick, Vassal
from emperor_trio.model import Verb

ROW = Vassal(
    monitor="/srv", name="a.ini", ordinal=0, state=State.UP, phase="running", pid=7, ready=True, accepting=True,
    loyal=True, held="", since=1.0, first_run=1.0, last_run=1.0, last_ready=1.0, last_heartbeat=0.0, cursed_at=0.0,
    generation=1, reloads=0, deaths=2, exit_code=None, next_spawn=0.0, reason="", revision=5, wanted=5, modified=1,
    on_demand="", owner="",
)  # fmt: skip
OUTCOME = Outcome("/srv", "a.ini", 0, True, "told to reload", 6)


def row(state: State = State.UP, **changes: object) -> Vassal:
    return replace(ROW, state=state, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("verb", "seen", "end"),
    [
        (Verb.RELOAD, row(revision=5), None),
        (Verb.RELOAD, row(State.RELOADING, revision=6), None),
        (Verb.RELOAD, row(revision=6), End(True)),
        (Verb.RELOAD, row(revision=9), End(True)),
        (Verb.RELOAD, row(State.WAITING, revision=6), End(True)),
        (Verb.RELOAD, row(State.STARTING, revision=6, deaths=3, exit_code=1), End(False, "it died, exit code 1")),
        (Verb.RELOAD, row(State.BLACKLISTED, deaths=3, exit_code=-9), End(False, "it died, signal 9")),
        (Verb.RELOAD, row(State.QUEUED, deaths=3, reason="no such program"), End(False, "it died: no such program")),
        (Verb.RELOAD, row(State.EXILED, revision=6, reason="it left"), End(False, "it is exiled: it left")),
        (Verb.RELOAD, row(State.EXILED, revision=5), None),
        (Verb.RELOAD, row(State.STOPPED, revision=6), End(False, "it is stopped")),
        (Verb.RELOAD, None, End(False, "it was removed at its source")),
        (Verb.RESTART, row(State.STOPPING), None),
        (Verb.RESTART, row(revision=6, generation=2), End(True)),
        (Verb.RESTART, row(revision=6, deaths=3), End(True)),
        (Verb.START, row(State.FAILED, revision=6, reason="3 restarts"), End(False, "it is failed: 3 restarts")),
        (Verb.STOP, row(State.STOPPING), None),
        (Verb.STOP, row(), None),
        (Verb.STOP, row(State.STOPPED), End(True)),
        (Verb.STOP, None, End(True, "it was removed at its source")),
        (Verb.FORGIVE, row(State.BLACKLISTED), None),
        (Verb.FORGIVE, row(State.STARTING), End(True)),
    ],
)
def test_ends(verb: Verb, seen: Vassal | None, end: End | None) -> None:
    assert judge(verb, OUTCOME, 2, seen) == end


def test_nothing_is_judged_before_the_first_snapshot_is_whole() -> None:
    wait = Wait(Verb.RELOAD, [OUTCOME], [ROW])
    wait.take(Changes(1, 1.0, vassals=(row(revision=6),)))
    wait.take(Snapshot(1, 1.0, (), last=False))
    wait.take(Tick(1.0))
    assert not wait.ends
    wait.take(Snapshot(1, 1.0, (row(revision=6),), last=True))
    assert wait.ends == {Key("/srv", "a.ini"): End(True)}
    assert not wait.pending


def test_changes_are_followed_and_a_snapshot_after_a_loss_replaces_all() -> None:
    other = Outcome("/srv", "b.ini", 0, True, "", 6)
    wait = Wait(Verb.RESTART, [OUTCOME, other], [ROW, replace(ROW, name="b.ini")])
    wait.take(Snapshot(1, 1.0, (row(), replace(ROW, name="b.ini")), last=True))
    wait.take(Changes(1, 1.0, vassals=(row(State.STOPPING),)))
    wait.take(Changes(1, 1.0, vassals=(row(revision=6),)))
    assert set(wait.pending) == {Key("/srv", "b.ini")}
    wait.take(Lagged(1, 10))
    wait.take(Snapshot(1, 2.0, (row(),), last=True))
    assert wait.ends[Key("/srv", "b.ini")] == End(False, "it was removed at its source")


def test_gone_is_gone() -> None:
    wait = Wait(Verb.STOP, [OUTCOME], [ROW])
    wait.take(Snapshot(1, 1.0, (row(),), last=True))
    wait.take(Changes(1, 1.0, gone=(Key("/srv", "a.ini"),)))
    assert wait.ends[Key("/srv", "a.ini")].reached


def test_who_is_refused_is_not_waited_for_and_who_is_given_up_says_where_it_is() -> None:
    refused = Outcome("/srv", "b.ini", 0, False, "it is stopped", 0)
    wait = Wait(Verb.RELOAD, [OUTCOME, refused], [ROW])
    assert set(wait.pending) == {Key("/srv", "a.ini")}
    wait.take(Snapshot(1, 1.0, (row(State.RELOADING, reason="slow"),), last=True))
    wait.give_up("not within 5 s")
    assert wait.ends == {Key("/srv", "a.ini"): End(False, "not within 5 s, it is reloading: slow")}
    assert not wait.pending
