"""News of one name that several entries may have: the same is said as of a complete answer."""

from __future__ import annotations

from emperor_trio.events import Event
from emperor_trio.model import Destroy, Touch, VassalSpec
from emperor_trio.monitors._answers import Answers
from emperor_trio.monitors._rows import Wrong


def test_the_newest_counts_and_the_rest_is_said_once() -> None:
    told: list[Event] = []
    answers = Answers("x", told.append)
    old, new = VassalSpec("a.ini", 1), VassalSpec("a.ini", 2)
    assert answers.take_named("a.ini", [old]) == Touch(old)
    assert answers.take_named("a.ini", [old]) is None
    assert told == []
    assert answers.take_named("a.ini", [old, new]) == Touch(new)
    assert answers.take_named("a.ini", [new, old]) is None
    assert len(told) == 1
    assert answers.take_named("a.ini", [old]) == Touch(old)
    wrong = Wrong("a.ini", "config", "5", "is a number, not text")
    assert answers.take_named("a.ini", [wrong]) is None, "its vassal stays"
    assert answers.take_named("a.ini", [wrong, old]) is None
    assert len(told) == 2
    assert answers.take_named("a.ini", [old]) is None
    assert answers.take_named("a.ini", [wrong]) is None
    assert len(told) == 3, "it was right meanwhile"
    assert answers.take_named("a.ini", []) == Destroy("a.ini")
    assert answers.take_named("a.ini", []) is None
