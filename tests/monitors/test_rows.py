"""What values of a row come to, whatever their types: a spec, or one field with its value and the reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emperor_trio.events import VassalRefused
from emperor_trio.model import MAX_CONFIG, NOBODY, Owner, VassalSpec
from emperor_trio.monitors._rows import BadField, RowRules, Wrong, read_row, read_time, show

GOOD: dict[str, Any] = {"name": "a.ini", "config": "[uwsgi]\n", "version": 1700000000}
TYRANT = RowRules(tyrant=True)


def test_a_good_row() -> None:
    spec = read_row(RowRules(), **GOOD)
    assert spec == VassalSpec("a.ini", 1_700_000_000_000_000, 1_700_000_000, b"[uwsgi]\n")


@pytest.mark.parametrize(
    ("value", "version", "seconds"),
    [
        (1700000000, 1_700_000_000_000_000, 1_700_000_000),
        (1700000000.25, 1_700_000_000_250_000, 1_700_000_000),
        (Decimal("1700000000.000001"), 1_700_000_000_000_001, 1_700_000_000),
        ("1700000000.5", 1_700_000_000_500_000, 1_700_000_000),
        (b" 17 ", 17_000_000, 17),
        (-1.5, -1_500_000, -2),
        (datetime(1970, 1, 1, 0, 0, 1, 5, UTC), 1_000_005, 1),
        (datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), 0, 0),
        (datetime(1970, 1, 1, 0, 0, 2), 2_000_000, 2),
    ],
)
def test_times(value: object, version: int, seconds: int) -> None:
    assert read_time(value) == (version, seconds)


@pytest.mark.parametrize(
    "value", [None, "", "soon", True, float("nan"), float("inf"), 1e300, "1e999999999", [1], "9" * 50, b"\xff"]
)
def test_no_times(value: object) -> None:
    with pytest.raises(BadField, match="ts"):
        read_time(value)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("name", None, "missing"),
        ("name", "", "missing"),
        ("name", 7, "is a number, not text"),
        ("name", "a.txt", "ending"),
        ("name", "a" * 251 + ".ini", "255 bytes"),
        ("name", "a\0.ini", "NUL"),
        ("name", b"\xff.ini", "UTF-8"),
        ("name", "\ud800.ini", "Unicode"),
        ("config", None, "missing"),
        ("config", " \n", "missing"),
        ("config", 7, "is a number, not text"),
        ("config", {"uwsgi": {}}, "is an object, not text"),
        ("config", b"\xff", "UTF-8"),
        ("config", "a\0", "NUL"),
        ("config", "x" * (MAX_CONFIG + 1), "65,535 bytes"),
        ("version", "soon", "no time"),
        ("socket", 7, "is a number, not text"),
        ("socket", "a\0", "NUL"),
    ],
)
def test_one_wrong_field_is_named_with_its_value(field: str, value: object, reason: str) -> None:
    wrong = read_row(RowRules(), **(GOOD | {field: value}), label="row 3")
    assert isinstance(wrong, Wrong)
    assert wrong.field == ("ts" if field == "version" else field)
    assert reason in wrong.reason
    assert len(wrong.value) < 100


@pytest.mark.parametrize(
    ("uid", "gid", "owner"),
    [
        (1000, 1001, Owner(1000, 1001)),
        (1000.0, "1001", Owner(1000, 1001)),
        (Decimal(7), b"8", Owner(7, 8)),
        (0, 0, Owner(0, 0)),
        (None, None, None),
        ("", "", None),
    ],
)
def test_owners(uid: object, gid: object, owner: Owner | None) -> None:
    spec = read_row(TYRANT, **GOOD, uid=uid, gid=gid)
    assert isinstance(spec, VassalSpec)
    assert spec.owner == owner


@pytest.mark.parametrize(
    "uid", ["www-data", -1, NOBODY, 1.5, True, float("nan"), float("inf"), "٣", [1], None, "", "9" * 5000]
)
def test_what_is_no_owner_is_refused_in_tyrant_mode_and_not_looked_at_elsewhere(uid: object) -> None:
    wrong = read_row(TYRANT, **GOOD, uid=uid, gid=5)
    assert isinstance(wrong, Wrong)
    assert wrong.field == "uid"
    assert isinstance(read_row(RowRules(), **GOOD, uid=uid, gid=5), VassalSpec)


@pytest.mark.parametrize(("value", "socket"), [(None, None), ("", None), (" ", None), (":80", ":80"), (b"/s", "/s")])
def test_sockets(value: object, socket: str | None) -> None:
    spec = read_row(RowRules(), **GOOD, socket=value)
    assert isinstance(spec, VassalSpec)
    assert spec.socket == socket


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(),
    st.text(st.characters(codec=None), max_size=300),
    st.binary(max_size=300),
    st.datetimes(),
    st.lists(st.integers(), max_size=3),
    st.just(Hostile()),
)


@given(ANYTHING, ANYTHING, ANYTHING, ANYTHING, ANYTHING, ANYTHING, st.booleans())
def test_garbage_raises_nothing_and_makes_no_vassal(
    name: object, config: object, version: object, uid: object, gid: object, socket: object, tyrant: bool
) -> None:
    rules = RowRules(tyrant=tyrant)
    entry = read_row(rules, name=name, config=config, version=version, uid=uid, gid=gid, socket=socket, label="row")
    if isinstance(entry, VassalSpec):
        assert entry.name.endswith((".ini", ".xml", ".yml", ".yaml", ".json", ".js"))
        assert entry.config is not None
        assert 0 < len(entry.config) <= MAX_CONFIG
    else:
        assert "\n" not in entry.value


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"stop", "'stop'"),
        (b"caf\xc3\xa9 \xff\0", r"'café \xff\x00'"),
        (r"\udcff", r"'\\udcff'"),
        (bytearray(b""), "''"),
        (True, "true"),
        (Decimal("1.50"), "1.50"),
        ({"a": [True, None, b"x"]}, """{"a": [true, null, "'x'"]}"""),
        (datetime(2024, 5, 1, tzinfo=UTC), "2024-05-01 00:00:00+00:00"),
    ],
)
def test_values_are_shown_as_admins_know_them(value: object, shown: str) -> None:
    assert show(value) == shown


@pytest.mark.parametrize("missing", [None, "", b"", " \n", b" "])
def test_what_is_missing_is_shown_as_nothing(missing: object) -> None:
    wrong = read_row(RowRules(), **(GOOD | {"config": missing}))
    assert wrong == Wrong("a.ini", "config", "", "is missing")
    told = VassalRefused("m", wrong.name, wrong.field, wrong.value, wrong.reason)
    assert told.text == "'a.ini' refused: config is missing"
    assert (
        VassalRefused("m", "a", "ids", "", "Tyrant mode needs them").text == "'a' refused: ids: Tyrant mode needs them"
    )
    assert VassalRefused("m", "a", "uid", "'x'", "is no number").text == "'a' refused: uid 'x': is no number"


def test_values_are_shown_on_one_short_line() -> None:
    assert show("a\nb") == "'a\\nb'"
    assert len(show("x" * 10_000)) < 100
    assert show(Hostile()) == "a Hostile"


@pytest.mark.parametrize("number", [10**400, -(10**5000)], ids=["long", "longer"])
def test_a_number_beyond_all_floats_is_no_time(number: int) -> None:
    assert isinstance(read_row(RowRules(), **GOOD | {"version": number}), Wrong)


def test_of_an_endless_name_only_the_beginning_is_kept() -> None:
    wrong = read_row(RowRules(), **GOOD | {"name": "a" * 1_000_000})
    assert isinstance(wrong, Wrong)
    assert wrong.name == "a" * 300 + "…"
