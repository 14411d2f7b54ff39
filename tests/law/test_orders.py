"""Every command in every situation: what is answered, and what is done."""

from __future__ import annotations

from itertools import product

import pytest

from emperor_trio.law.fleet import STOPPED, UNBIDDEN
from emperor_trio.law.orders import Act, Situation, judge
from emperor_trio.law.state import Phase
from emperor_trio.model import Desired, VassalSpec, Verb

SPEC = VassalSpec("a.ini", 1)
FREE, HELD, UNASKED = Desired(SPEC), Desired(SPEC, held=STOPPED), Desired(SPEC, held=UNBIDDEN)


@pytest.mark.parametrize(
    ("verb", "phase", "desired", "ok", "act", "words"),
    [
        (Verb.RELOAD, Phase.RUNNING, FREE, True, Act.RELOAD, "told to reload"),
        (Verb.RELOAD, Phase.STARTING, FREE, True, Act.RELOAD, "told to reload"),
        (Verb.RELOAD, Phase.QUEUED, FREE, True, Act.RELOAD, "about to start, from its newest config"),
        (Verb.RELOAD, Phase.NEW, FREE, True, Act.RELOAD, "about to start"),
        (Verb.RELOAD, Phase.STOPPING, FREE, True, Act.RELOAD, "the next process takes its newest config"),
        (Verb.RELOAD, Phase.WAITING, FREE, True, Act.RELOAD, "the first connection starts one"),
        (Verb.RELOAD, Phase.EXILED, FREE, True, Act.RELOAD, "it was exiled: started again"),
        (Verb.RELOAD, Phase.PARKED, FREE, True, Act.RELOAD, "it was failed: started again"),
        (Verb.RELOAD, Phase.HELD, HELD, False, Act.NOTHING, "it is stopped: start it"),
        (Verb.RELOAD, Phase.HELD, UNASKED, False, Act.NOTHING, "it is stopped: start it"),
        (Verb.RESTART, Phase.RUNNING, FREE, True, Act.RENEW, "a new process follows"),
        (Verb.RESTART, Phase.ENDING, FREE, True, Act.RENEW, "it ends just now"),
        (Verb.RESTART, Phase.WAITING, FREE, True, Act.RENEW, "the first connection starts one"),
        (Verb.RESTART, Phase.HELD, HELD, False, Act.NOTHING, "start it instead"),
        (Verb.STOP, Phase.RUNNING, FREE, True, Act.HOLD, "told to stop"),
        (Verb.STOP, Phase.STARTING, FREE, True, Act.HOLD, "told to stop"),
        (Verb.STOP, Phase.QUEUED, FREE, True, Act.HOLD, "it stays stopped"),
        (Verb.STOP, Phase.WAITING, FREE, True, Act.HOLD, "it stays stopped"),
        (Verb.STOP, Phase.EXILED, FREE, True, Act.HOLD, "it stays stopped"),
        (Verb.STOP, Phase.STOPPING, HELD, True, Act.NOTHING, "it has been told to stop"),
        (Verb.STOP, Phase.HELD, HELD, True, Act.NOTHING, "it is stopped"),
        (Verb.STOP, Phase.HELD, UNASKED, True, Act.HOLD, "it stays stopped"),
        (Verb.START, Phase.HELD, HELD, True, Act.RELEASE, "started"),
        (Verb.START, Phase.HELD, UNASKED, True, Act.RELEASE, "started"),
        (Verb.START, Phase.STOPPING, HELD, True, Act.RELEASE, "started"),
        (Verb.START, Phase.EXILED, FREE, True, Act.RELEASE, "it was exiled: started again"),
        (Verb.START, Phase.PARKED, FREE, True, Act.RELEASE, "it was failed: started again"),
        (Verb.START, Phase.WAITING, FREE, True, Act.NOTHING, "it waits for its first connection"),
        (Verb.START, Phase.QUEUED, FREE, True, Act.NOTHING, "it is about to start"),
        (Verb.START, Phase.STOPPING, FREE, True, Act.NOTHING, "starts again by itself"),
        (Verb.START, Phase.RUNNING, FREE, True, Act.NOTHING, "it runs"),
        (Verb.FORGIVE, Phase.RUNNING, FREE, True, Act.NOTHING, "not on the blacklist"),
        (Verb.RELOAD, Phase.RUNNING, None, False, Act.NOTHING, "not at its source"),
        (Verb.STOP, Phase.RUNNING, None, False, Act.NOTHING, "not at its source"),
    ],
)
def test_commands(verb: Verb, phase: Phase, desired: Desired | None, ok: bool, act: Act, words: str) -> None:
    judgement = judge(verb, Situation(phase, desired))
    assert (judgement.ok, judgement.act) == (ok, act)
    assert words in judgement.text


def test_the_blacklisted_are_forgiven_and_start_at_once() -> None:
    waiting = Situation(Phase.QUEUED, FREE, waits=True)
    assert judge(Verb.FORGIVE, waiting).act is Act.FORGIVE
    assert judge(Verb.START, waiting).act is Act.FORGIVE
    assert judge(Verb.START, Situation(Phase.RUNNING, FREE, waits=True)).act is Act.NOTHING


def test_a_stopped_vassal_that_is_not_at_its_source_can_be_started_for_later() -> None:
    assert judge(Verb.START, Situation(Phase.NEW, None, held=True)).act is Act.RELEASE
    assert not judge(Verb.START, Situation(Phase.NEW, None)).ok


@pytest.mark.parametrize("verb", Verb)
def test_a_zerg_is_not_commanded(verb: Verb) -> None:
    judgement = judge(verb, Situation(Phase.RUNNING, FREE, zerg=True))
    assert (judgement.ok, judgement.act) == (False, Act.NOTHING)


def test_every_situation_has_an_answer_and_what_is_refused_changes_nothing() -> None:
    for verb, phase, desired, held, waits, zerg in product(
        Verb, Phase, (None, FREE, HELD, UNASKED), (False, True), (False, True), (False, True)
    ):
        judgement = judge(verb, Situation(phase, desired, held, waits, zerg))
        assert judgement.text
        assert judgement.ok or judgement.act is Act.NOTHING
