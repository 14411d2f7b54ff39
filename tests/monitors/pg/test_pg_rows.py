"""Rows as PostgreSQL writes them become vassals or are wrong by themselves; unchanged ones are judged once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emperor_trio.model import Owner, VassalSpec
from emperor_trio.monitors import _pg_rows
from emperor_trio.monitors._pg_rows import AnswerRefused, Reader, Row, judge
from emperor_trio.monitors._rows import RowRules, Wrong

TEXT, NUMERIC, FLOAT8, INT4 = 25, 1700, 701, 23
BYTEA, DATE, TIMESTAMP, TIMESTAMPTZ = 17, 1082, 1114, 1184
THREE = (TEXT, TEXT, NUMERIC)
SIX = (TEXT, TEXT, NUMERIC, INT4, INT4, TEXT)


def good(row: Row, types: tuple[int, ...] = THREE, *, tyrant: bool = False) -> VassalSpec:
    entry = judge(RowRules(tyrant=tyrant), row, types, 1)
    assert isinstance(entry, VassalSpec), entry
    return entry


def wrong(row: Row, types: tuple[int, ...] = THREE, *, tyrant: bool = False) -> Wrong:
    entry = judge(RowRules(tyrant=tyrant), row, types, 7)
    assert isinstance(entry, Wrong), entry
    return entry


def test_columns_by_position() -> None:
    row = (b"a.ini", "[uwsgi]\nx = é\n".encode(), b"1700000000.25", b"1000", b"1001", b"127.0.0.1:8000")
    spec = VassalSpec("a.ini", 1_700_000_000_250_000, 1_700_000_000, "[uwsgi]\nx = é\n".encode())
    assert good(row[:3]) == spec
    assert good(row[:4], SIX[:4]) == spec
    assert good(row[:5], SIX[:5], tyrant=True).owner == Owner(1000, 1001)
    assert good(row, SIX, tyrant=True).socket == "127.0.0.1:8000"
    assert good(row, SIX).owner is None


@pytest.mark.parametrize("socket", [None, b"", b"  "])
def test_no_socket(socket: bytes | None) -> None:
    assert good((b"a.ini", b"x", b"1", None, None, socket), SIX).socket is None


MOMENT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "kind", "fraction"),
    [
        (b"%d" % MOMENT.timestamp(), INT4, 0),
        (b"%d.5" % MOMENT.timestamp(), NUMERIC, 500_000),
        (b"%d.000001" % MOMENT.timestamp(), FLOAT8, 1),
        (b" %d " % MOMENT.timestamp(), TEXT, 0),
        (b"1.7726007670e+09", FLOAT8, 0),
        (b"2026-03-04 05:06:07", TIMESTAMP, 0),
        (b"2026-03-04 05:06:07.25", TIMESTAMP, 250_000),
        (b"2026-03-04 05:06:07+00", TIMESTAMPTZ, 0),
        (b"2026-03-04 10:36:07.000001+05:30", TIMESTAMPTZ, 1),
        (b"2026-03-04 10:59:35+05:53:28", TIMESTAMPTZ, 0),
    ],
)
def test_times(text: bytes, kind: int, fraction: int) -> None:
    expected = round(MOMENT.timestamp()) * 1_000_000 + fraction
    if text.startswith(b"1.77"):
        expected = 1_772_600_767_000_000
    spec = good((b"a.ini", b"x", text), (TEXT, TEXT, kind))
    assert (spec.version, spec.modified) == (expected, expected // 1_000_000)


def test_a_date_is_its_midnight() -> None:
    assert good((b"a.ini", b"x", b"1970-01-02"), (TEXT, TEXT, DATE)).modified == 86400


def test_bytea_is_its_bytes() -> None:
    assert good((b"a.ini", rb"\x5b750a", b"1"), (TEXT, BYTEA, NUMERIC)).config == b"[u\n"
    assert good((b"a.ini", rb"[u\012", b"1"), (TEXT, BYTEA, NUMERIC)).config == b"[u\n"


@pytest.mark.parametrize(
    ("row", "types", "name", "field"),
    [
        ((None, b"x", b"1"), THREE, "row 7", "name"),
        ((b"", b"x", b"1"), THREE, "row 7", "name"),
        ((b"a.txt", b"x", b"1"), THREE, "a.txt", "name"),
        ((b"x" * 300 + b".ini", b"x", b"1"), THREE, "row 7", "name"),
        ((b"\xff.ini", b"x", b"1"), THREE, "row 7", "name"),
        ((b"a.ini", None, b"1"), THREE, "a.ini", "config"),
        ((b"a.ini", b" \n", b"1"), THREE, "a.ini", "config"),
        ((b"a.ini", b"\xff", b"1"), THREE, "a.ini", "config"),
        ((b"a.ini", b"x" * 65_536, b"1"), THREE, "a.ini", "config"),
        ((b"a.ini", rb"\x00", b"1"), (TEXT, BYTEA, NUMERIC), "a.ini", "config"),
        ((b"a.ini", b"x", None), THREE, "a.ini", "ts"),
        ((b"a.ini", b"x", b""), THREE, "a.ini", "ts"),
        ((b"a.ini", b"x", b"soon"), THREE, "a.ini", "ts"),
        ((b"a.ini", b"x", b"NaN"), THREE, "a.ini", "ts"),
        ((b"a.ini", b"x", b"infinity"), (TEXT, TEXT, TIMESTAMPTZ), "a.ini", "ts"),
        ((b"a.ini", b"x", b"0044-03-15 00:00:00 BC"), (TEXT, TEXT, TIMESTAMP), "a.ini", "ts"),
        ((b"a.ini", b"x", b"12026-03-04 05:06:07"), (TEXT, TEXT, TIMESTAMP), "a.ini", "ts"),
        ((b"a.ini", b"x", b"1", b"1000"), SIX[:4], "a.ini", "gid"),
        ((b"a.ini", b"x", b"1", None, b"1000"), SIX[:5], "a.ini", "uid"),
        ((b"a.ini", b"x", b"1", b"me", b"1000"), SIX[:5], "a.ini", "uid"),
        ((b"a.ini", b"x", b"1", b"-1", b"1000"), SIX[:5], "a.ini", "uid"),
    ],
)
def test_what_is_wrong(row: Row, types: tuple[int, ...], name: str, field: str) -> None:
    entry = wrong(row, types, tyrant=True)
    assert (entry.name, entry.field) == (name, field)
    assert len(entry.value) < 100


def read(reader: Reader, rows: Sequence[Row], types: tuple[int, ...] = THREE) -> list[VassalSpec | Wrong]:
    reader.begin()
    reader.take(types, rows[:1], last=False)
    reader.take(types, rows[1:], last=True)
    return list(reader.finish())


def test_an_unchanged_row_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[Row] = []

    def count(rules: RowRules, row: Row, types: tuple[int, ...], number: int) -> VassalSpec | Wrong:
        judged.append(row)
        return judge(rules, row, types, number)

    monkeypatch.setattr(_pg_rows, "judge", count)
    reader = Reader(RowRules())
    rows: list[Row] = [(b"%d.ini" % number, b"x", b"1") for number in range(10)]
    rows += [(b"large.ini", b"x" * 100_000, b"1"), (None, None, None)]
    first = read(reader, rows)
    assert len(judged) == 12
    again = read(reader, rows[::-1])
    assert len(judged) == 12
    assert sorted(map(id, first)) == sorted(map(id, again)), "the very same entries"
    read(reader, [*rows[1:], (b"0.ini", b"x", b"2")])
    assert len(judged) == 13
    read(reader, rows, (TEXT, TEXT, FLOAT8))
    assert len(judged) == 13 + 12, "other types, other meanings"
    reader.begin()
    reader.take((TEXT,), [(b"another statement",)], last=True)
    reader.take((TEXT, TEXT, FLOAT8), rows, last=True)
    assert len(list(reader.finish())) == 12
    assert len(judged) == 13 + 12


def test_what_an_answer_that_failed_brought_is_forgotten() -> None:
    reader = Reader(RowRules())
    assert len(read(reader, [(b"a.ini", b"x", b"1")])) == 1
    reader.begin()
    reader.take(THREE, [(b"b.ini", b"x", b"1")], last=False)
    assert [entry.name for entry in read(reader, [(b"c.ini", b"x", b"1")])] == ["c.ini"]


def test_of_several_statements_the_last_one_with_rows_counts() -> None:
    reader = Reader(RowRules())
    reader.take((TEXT, TEXT, TEXT), [(b"a.ini", b"x", b"1")], last=False)
    reader.take((TEXT, TEXT, TEXT), [], last=True)
    reader.take(THREE, [(b"b.ini", b"x", b"1")], last=False)
    reader.take(THREE, [(b"c.ini", b"x", b"1")], last=False)
    reader.take(THREE, [], last=True)
    assert [entry.name for entry in reader.finish()] == ["b.ini", "c.ini"]


@pytest.mark.parametrize("count", [1, 2, 7, 8])
def test_other_counts_of_columns_are_one_clear_error(count: int) -> None:
    reader = Reader(RowRules())
    reader.take((TEXT,) * count, [(b"x",) * count], last=True)
    with pytest.raises(AnswerRefused, match=f"with {count} columns, but a vassal has 3 to 6"):
        reader.finish()


def test_no_rows_at_all_are_an_error() -> None:
    with pytest.raises(AnswerRefused, match="must be a SELECT"):
        Reader(RowRules()).finish()


def test_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pg_rows, "MOST_ROWS", 10)
    reader = Reader(RowRules())
    with pytest.raises(AnswerRefused, match="more than 10 rows"):
        reader.take(THREE, [(b"%d.ini" % number, b"x", b"1") for number in range(11)], last=False)
    monkeypatch.setattr(_pg_rows, "MOST_BYTES", 2**20)
    reader.begin()
    with pytest.raises(AnswerRefused, match="or 1 MB"):
        reader.take(THREE, [(b"%d.ini" % number, b"x" * 65_000, b"1") for number in range(9)] * 3, last=False)


def test_one_row_beyond_all_measure_costs_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pg_rows, "MOST_BYTES", 2**20)
    reader = Reader(RowRules())
    huge = b"x" * 2**18
    entries = read(reader, [(b"%d.ini" % number, huge, b"1") for number in range(5)] + [(b"a.ini", b"x", b"1")])
    assert [entry.name for entry in entries if isinstance(entry, VassalSpec)] == ["a.ini"]
    assert len(entries) == 6


values = st.none() | st.binary(max_size=30) | st.sampled_from(
    [b"a.ini", b"[uwsgi]", b"1", b"1.5", b"-1", b"2026-01-01", b"2026-01-01 00:00:00+00", rb"\x00", b"\\", b"1e999"]
)  # fmt: skip
kinds = st.sampled_from([TEXT, NUMERIC, FLOAT8, INT4, BYTEA, DATE, TIMESTAMP, TIMESTAMPTZ, 0])


@given(st.lists(st.tuples(values, kinds), min_size=3, max_size=6), st.booleans())
def test_any_row_is_a_vassal_or_wrong(columns: list[tuple[bytes | None, int]], tyrant: bool) -> None:
    row, types = tuple(value for value, _ in columns), tuple(kind for _, kind in columns)
    entry = judge(RowRules(tyrant=tyrant), row, types, 1)
    if isinstance(entry, VassalSpec):
        assert entry.name.encode().endswith((b".ini", b".xml", b".yml", b".yaml", b".json", b".js"))
        assert entry.config is not None
        assert entry.config.strip()
    else:
        assert entry.name
        assert len(entry.value) <= 90
