"""The schema of the control channel: out and in again, and what is not understood."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emperor_trio import events
from emperor_trio.control.messages import (
    AnyAnswer,
    AnyRequest,
    Command,
    Event,
    Selection,
    State,
    Vassal,
    decode_answer,
    decode_request,
    encode,
    event_of,
    readable_id,
    state_of,
)
from emperor_trio.errors import ControlError
from emperor_trio.model import Verb
from emperor_trio.ports import Occurrence
from tests.control.realm import statistics, vassal_id

# Names of files may be any bytes; they come as lone surrogates. A field of an event may be any JSON.
TEXT = st.text(max_size=20) | st.sampled_from(["caf\udce9.ini", "\0", "\u202e"])
st.register_type_strategy(str, TEXT)
st.register_type_strategy(int, st.integers(-(2**50), 2**50))
st.register_type_strategy(float, st.floats(0, 1e12, allow_nan=False))
EVENTS = st.builds(Event, fields=st.dictionaries(TEXT, st.none() | st.booleans() | TEXT, max_size=3))


@given(st.one_of(*(st.from_type(kind) for kind in get_args(AnyRequest))))
def test_every_request_comes_out_as_it_went_in(request: AnyRequest) -> None:
    text = encode(request)
    assert text.isascii()
    assert decode_request(text) == request
    assert readable_id(text) == request.id


@pytest.mark.parametrize("kind", get_args(AnyAnswer), ids=lambda kind: kind.__name__)
def test_every_answer_comes_out_as_it_went_in(kind: type) -> None:
    st.register_type_strategy(Event, EVENTS)

    @given(st.from_type(kind))
    def check(answer: AnyAnswer) -> None:
        assert decode_answer(encode(answer)) == answer

    check()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "1",
        "{}",
        '{"type":"nonsense","id":1}',
        '{"type":"look"}',
        '{"type":"look","id":"1"}',
        '{"type":"look","id":true}',
        '{"type":"look","id":1.5}',
        '{"type":"look","id":1,"which":{"names":"abc"}}',
        '{"type":"look","id":1,"which":{"names":[1]}}',
        '{"type":"command","id":1,"verb":"explode","which":{}}',
        '{"type":"names","id":1,"most":1e999}',
        '{"type":"names","id":1,"most":NaN}',
        "[" * 100_000,
        '{"type":"look","id":1,"wich":{}}',
    ],
)
def test_what_is_no_request_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(ControlError) as refused:
        decode_request(text)
    assert str(refused.value)
    assert len(str(refused.value)) < 1000


@given(st.text(max_size=200))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    with pytest.raises(ControlError):
        decode_request(text)


def test_a_client_of_today_understands_a_server_of_tomorrow() -> None:
    found = json.loads(encode(Command(1, Verb.STOP, Selection(("a",)))))
    assert found == {
        "type": "command", "id": 1, "verb": "stop", "which": {"names": ["a"], "monitor": None, "exact": False},
    }  # fmt: skip
    assert decode_answer('{"type":"tick","at":1,"new":[]}') == decode_answer('{"type":"tick","at":1.0}')


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, State.UP),
        ({"ready": False}, State.RELOADING),
        ({"phase": "starting"}, State.STARTING),
        ({"phase": "on demand"}, State.WAITING),
        ({"phase": "stopping"}, State.STOPPING),
        ({"phase": "running its stop hook"}, State.STOPPING),
        ({"phase": "queued"}, State.QUEUED),
        ({"phase": "queued", "next_spawn": 5.0}, State.BLACKLISTED),
        ({"phase": "new"}, State.QUEUED),
        ({"phase": "asking for its socket"}, State.QUEUED),
        ({"phase": "failed"}, State.FAILED),
        ({"phase": "exiled"}, State.EXILED),
        ({"phase": "stopped"}, State.STOPPED),
    ],
)
def test_the_state_in_one_word(changes: dict[str, object], state: State) -> None:
    seen = statistics(vassal_id("a.ini"), **changes)
    assert state_of(seen) is state
    assert Vassal.of(seen).state is state


def test_an_event_carries_its_own_fields_and_no_password() -> None:
    told = event_of(Occurrence(1.0, events.VassalSpawned(vassal_id("a.ini"), 7, 2)))
    assert (told.kind, told.name, told.fields) == ("VassalSpawned", "a.ini", {"pid": 7, "generation": 2})
    told = event_of(Occurrence(1.0, events.MonitorFailed("pg://x", "no pg://u:word@h/db", 1.0)))
    assert "word" not in told.text + str(told.fields)
