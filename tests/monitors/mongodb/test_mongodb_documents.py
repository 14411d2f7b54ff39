"""What one document comes to, whatever is in it, and what is remembered of them."""

from __future__ import annotations

import datetime
from typing import Any

import bson
import pytest
from bson.datetime_ms import DatetimeMS
from bson.errors import BSONError
from hypothesis import given
from hypothesis import strategies as st

from emperor_trio.model import MAX_CONFIG, Owner, VassalSpec
from emperor_trio.monitors._mongo_documents import FIELDS, Documents, identities_of, key_of, read_all
from emperor_trio.monitors._rows import RowRules, Wrong

NOON = datetime.datetime(2024, 5, 1, 12, 0, 0, 123_000, tzinfo=datetime.UTC)
GOOD = {"_id": 1, "name": "a.ini", "config": "[uwsgi]\n", "ts": NOON}
PLAIN, TYRANT = RowRules(), RowRules(tyrant=True)


def read(document: dict[str, Any], rules: RowRules = PLAIN) -> VassalSpec | Wrong:
    return read_all([bson.encode(document)], rules, {})[0].entry


def test_a_document() -> None:
    assert read({**GOOD, "uid": 5, "gid": "x", "other": [1]}) == VassalSpec(
        "a.ini", version=1714564800_123_000, modified=1714564800, config=b"[uwsgi]\n"
    )


@pytest.mark.parametrize(
    ("ts", "version"),
    [
        (DatetimeMS(0), 0),
        (DatetimeMS(1), 1000),
        (DatetimeMS(-1), -1000),
        (DatetimeMS(253_402_300_800_000), 253_402_300_800_000_000),  # the year 10,000, too late for Python
        (7, 7_000_000),
        (bson.Int64(7), 7_000_000),
        (7.5, 7_500_000),
        (bson.Decimal128("7.000001"), 7_000_001),
        ("7.5", 7_500_000),
    ],
)
def test_times(ts: object, version: int) -> None:
    spec = read({**GOOD, "ts": ts})
    assert isinstance(spec, VassalSpec)
    assert spec.version == version


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("ts", None, "is missing"),
        ("ts", "yesterday", "is no time"),
        ("ts", True, "is no time"),
        ("ts", float("nan"), "is no time"),
        ("ts", bson.Decimal128("NaN"), "is no time"),
        ("ts", bson.Timestamp(5, 1), "a Date is wanted"),
        ("ts", DatetimeMS(2**63 - 1), "is no time"),
        ("ts", {"$date": 1}, "is no time"),
        ("config", None, "is missing"),
        ("config", 5, "is a number, not text"),
        ("config", ["x"], "is a list, not text"),
        ("config", "x" * (MAX_CONFIG + 1), "65,535 bytes at most"),
        ("config", b"\xff", "is no UTF-8"),
        ("socket", 5, "is a number, not text"),
    ],
)
def test_wrong_fields_are_named_with_their_document(field: str, value: object, reason: str) -> None:
    wrong = read({**GOOD, field: value})
    assert isinstance(wrong, Wrong)
    assert (wrong.name, wrong.field) == ("a.ini", field)
    assert reason in wrong.reason


@pytest.mark.parametrize("name", [None, "", 5, "a", "a.txt", "x" * 290 + ".ini", "a\0.ini", ["a.ini"]])
def test_a_wrong_name(name: object) -> None:
    wrong = read({**GOOD, "_id": "number 7", "name": name})
    assert isinstance(wrong, Wrong)
    assert wrong.field == "name"
    assert wrong.name in (name, "_id 'number 7'")


def test_in_tyrant_mode_uid_and_gid_are_needed() -> None:
    spec = read({**GOOD, "uid": 5, "gid": 6.0, "socket": ":8000"}, TYRANT)
    assert isinstance(spec, VassalSpec)
    assert (spec.owner, spec.socket) == (Owner(5, 6), ":8000")
    spec = read({**GOOD, "uid": bson.Int64(5), "gid": "6", "socket": ""}, TYRANT)
    assert isinstance(spec, VassalSpec)
    assert (spec.owner, spec.socket) == (Owner(5, 6), None)
    for fields, field in (({"uid": 5}, "gid"), ({"gid": 5}, "uid"), ({"uid": -1, "gid": 1}, "uid")):
        wrong = read({**GOOD, **fields}, TYRANT)
        assert isinstance(wrong, Wrong)
        assert (wrong.name, wrong.field) == ("a.ini", field)


def test_bytes_that_are_no_utf_8_cost_only_their_document() -> None:
    broken = bson.encode({**GOOD, "config": "wrong"}).replace(b"wrong", b"wr\xffng")
    cut = bson.encode(GOOD)[:-9]
    good, wrong, worse = (read.entry for read in read_all([bson.encode(GOOD), broken, cut], PLAIN, {}))
    assert isinstance(good, VassalSpec)
    assert isinstance(wrong, Wrong)
    assert (wrong.name, wrong.field, wrong.reason) == ("a.ini", "config", "is no valid Unicode")
    assert isinstance(worse, Wrong)
    assert worse.field == "document"


def test_what_did_not_change_is_not_decoded_again() -> None:
    documents = Documents()
    documents.replace(read_all([bson.encode(GOOD)], PLAIN, documents.remembered))
    again = read_all([bson.encode(GOOD), bson.encode({**GOOD, "_id": 2})], PLAIN, documents.remembered)
    assert again[0].entry is documents.entries()[0]
    assert again[1].entry is not documents.entries()[0]


def test_documents_by_name() -> None:
    documents = Documents()

    def reads(*found: tuple[object, str]) -> list[Any]:
        return read_all([bson.encode({**GOOD, "_id": key, "name": name}) for key, name in found], PLAIN, {})

    keys = {number: key for number in range(5) if (key := key_of(number))}
    assert documents.replace(reads((1, "a.ini"), (2, "a.ini"), (3, "b.ini"))) == []
    assert len(documents.named("a.ini")) == 2
    assert documents.update([keys[1]], reads((1, "c.ini"))) == {"a.ini", "c.ini"}
    assert len(documents.named("a.ini")) == len(documents.named("c.ini")) == 1
    assert documents.update([keys[2], keys[4]], []) == {"a.ini"}
    assert documents.named("a.ini") == []
    assert documents.replace(reads((3, "b.ini"), (3, "d.ini"))) == [keys[1]], "a document that was seen twice is one"
    assert [entry.name for entry in documents.entries()] == ["d.ini"]
    assert documents.named("b.ini") == []


@pytest.mark.parametrize("identity", [None, 5, "x", bson.ObjectId(), {"a": 1}, b"x", NOON, bson.MinKey()])
def test_identities(identity: object) -> None:
    key = key_of(identity)
    assert key is not None
    assert key_of(identities_of([key, b"no key"])[0]) == key
    assert key_of("\ud800") is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text() | st.binary()
    | st.builds(DatetimeMS, st.integers(-(2**63), 2**63 - 1)) | st.builds(bson.ObjectId)
    | st.builds(bson.Timestamp, st.integers(0, 2**32 - 1), st.integers(0, 9))
    | st.builds(bson.Decimal128, st.sampled_from(["NaN", "Infinity", "1E6000", "-0", "7.5", "5"]))
    | st.builds(bson.Regex, st.sampled_from(["a", "("])) | st.builds(bson.Code, st.text())
    | st.sampled_from(["a.ini", "[uwsgi]\n", ":8000", bson.MinKey(), bson.MaxKey()]),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.sampled_from("abc"), values, max_size=3),
    max_leaves=4,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(("_id", *FIELDS)), VALUES), st.booleans())
def test_no_document_breaks_it(document: dict[str, Any], tyrant: bool) -> None:
    try:
        raw = bson.encode(document)
    except (BSONError, OverflowError, ValueError):
        return
    check(raw, RowRules(tyrant=tyrant))


@given(st.binary(max_size=60), st.integers(0, 99), st.binary(max_size=3))
def test_no_bytes_break_it(noise: bytes, at: int, patch: bytes) -> None:
    good = bson.encode(GOOD)
    check(noise, PLAIN)
    check(good[:at] + patch + good[at + len(patch) :], PLAIN)


def check(raw: bytes, rules: RowRules) -> None:
    (found,) = read_all([raw], rules, {})
    assert found.key
    entry = found.entry
    if isinstance(entry, Wrong):
        assert entry.name
        assert entry.reason
        assert len(entry.value) < 300
    else:
        assert entry.name.endswith((".ini", ".xml", ".yml", ".yaml", ".json", ".js"))
        assert entry.config
        entry.config.decode()
