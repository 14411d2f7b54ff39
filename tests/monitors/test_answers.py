"""What is told after an answer of a server: changes, refusals once, and emptiness only when it came twice."""

from __future__ import annotations

import pytest

from emperor_trio.events import Event, VassalRefused
from emperor_trio.model import Destroy, Snapshot, Touch, VassalSpec
from emperor_trio.monitors._answers import REPEAT, Answers
from emperor_trio.monitors._belief import SECOND_LOOK
from emperor_trio.monitors._rows import Wrong

ONE = VassalSpec("one.ini", 1, config=b"1")
TWO = VassalSpec("two.ini", 1, config=b"2")
BAD = Wrong("one.ini", "config", "", "is missing")


@pytest.fixture
def told() -> list[Event]:
    return []


@pytest.fixture
def answers(told: list[Event]) -> Answers:
    return Answers("pg://db", told.append)


def test_the_first_answer_is_told_also_an_empty_one(answers: Answers) -> None:
    assert answers.take_all([], 0) == Snapshot(())


def test_what_did_not_change_is_told_once_a_minute(answers: Answers) -> None:
    assert answers.take_all([ONE], 0) == Snapshot((ONE,))
    assert answers.take_all([ONE], 3) is None
    assert answers.take_all([ONE], REPEAT) == Snapshot((ONE,))


def test_a_restart_has_the_next_answer_told(answers: Answers) -> None:
    answers.take_all([ONE], 0)
    answers.restart()
    assert answers.take_all([ONE], 1) == Snapshot((ONE,))


def test_what_is_missing_is_gone(answers: Answers) -> None:
    answers.take_all([ONE, TWO], 0)
    assert answers.take_all([TWO], 1) == Snapshot((TWO,))


def test_a_suddenly_empty_answer_is_believed_when_a_second_one_says_the_same(answers: Answers) -> None:
    answers.take_all([ONE], 0)
    assert answers.take_all([], 1) is None
    assert answers.due == 1 + SECOND_LOOK
    assert answers.take_all([], 1.5) is None
    assert answers.take_all([], 1 + SECOND_LOOK) == Snapshot(())


def test_a_doubt_is_over_when_vassals_are_back(answers: Answers) -> None:
    answers.take_all([ONE], 0)
    answers.take_all([], 1)
    assert answers.take_all([ONE], 1.5) is None
    assert answers.take_all([], 2.5) is None


def test_an_entry_that_turned_wrong_keeps_its_vassal_and_is_said_once(answers: Answers, told: list[Event]) -> None:
    answers.take_all([ONE, TWO], 0)
    assert answers.take_all([BAD, TWO], 1) is None
    assert answers.take_all([BAD, TWO], 2) is None
    assert told == [VassalRefused("pg://db", "one.ini", "config", "", "is missing")]
    assert set(answers.known) == {"one.ini", "two.ini"}
    answers.take_all([ONE, TWO], 3)
    answers.take_all([BAD, TWO], 4)
    assert len(told) == 2


def test_a_wrong_entry_alone_is_no_empty_answer(answers: Answers) -> None:
    answers.take_all([ONE, TWO], 0)
    assert answers.take_all([BAD], 1) == Snapshot((ONE,))


def test_of_two_with_one_name_the_newest_counts_whatever_their_order(answers: Answers, told: list[Event]) -> None:
    newer = VassalSpec("one.ini", 2)
    assert answers.take_all([ONE, newer], 0) == Snapshot((newer,))
    assert answers.take_all([newer, ONE], 1) is None
    assert len(told) == 1


def test_single_news(answers: Answers, told: list[Event]) -> None:
    assert answers.take(ONE) == Touch(ONE)
    assert answers.take(ONE) is None
    assert answers.take(ONE, force=True) == Touch(ONE, force=True)
    assert answers.take(BAD) is None
    assert answers.take(BAD) is None
    assert len(told) == 1
    assert answers.lacks("one.ini") == Destroy("one.ini")
    assert answers.lacks("one.ini") is None
