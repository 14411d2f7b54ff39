"""What the arguments mean, the filter's spellings among them, and what is said of wrong ones."""

from __future__ import annotations

import datetime
from typing import Any

import bson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from emperor_trio.errors import UsageError
from emperor_trio.monitors._mongo_argument import BadArgument, Target, parse_argument, parse_keys
from emperor_trio.monitors._mongo_filter import FilterError, parse_filter
from emperor_trio.testing.conformance import Ring
from tests.monitors.mongodb.support import make_monitor

DIRECT = {"directConnection": True}


@pytest.mark.parametrize(
    ("text", "hosts", "namespace", "query"),
    [
        ("127.0.0.1:27107,emperor.vassals,{enabled:1}", "127.0.0.1:27107", "emperor.vassals", {"enabled": 1}),
        ("", "127.0.0.1:27017", "uwsgi.emperor.vassals", {}),
        ("db:1", "db:1", "uwsgi.emperor.vassals", {}),
        ("db", "db", "uwsgi.emperor.vassals", {}),
        ("[::1]:27017,a.b", "[::1]:27017", "a.b", {}),
        (",a.b.c", "127.0.0.1:27017", "a.b.c", {}),
        (",,{a:1,b:'x,y'}", "127.0.0.1:27017", "uwsgi.emperor.vassals", {"a": 1, "b": "x,y"}),
        ("db,, {path:'/x'}", "db", "uwsgi.emperor.vassals", {"path": "/x"}),
    ],
)
def test_the_form_with_commas(text: str, hosts: str, namespace: str, query: dict[str, Any]) -> None:
    target = parse_argument(text)
    assert (target.hosts, f"{target.database}.{target.collection}", target.filter) == ((hosts,), namespace, query)
    assert target.options == DIRECT


@pytest.mark.parametrize(
    ("text", "shown", "namespace", "query"),
    [
        ("me:s%2Fx@a,b:5/db.coll?replicaSet=rs&tls=true;{x:1}", "a:27017,b:5", "db.coll", {"x": 1}),
        ("db/", "db:27017", "uwsgi.emperor.vassals", {}),
        ("db:9/?authSource=x", "db:9", "uwsgi.emperor.vassals", {}),
        ("db/a.b.c;", "db:27017", "a.b.c", {}),
        ("%2Frun%2Fmongodb.sock/a.b", "/run/mongodb.sock", "a.b", {}),
    ],
)
def test_a_connection_string(text: str, shown: str, namespace: str, query: dict[str, Any]) -> None:
    target = parse_argument(text)
    assert target.hosts == f"mongodb://{text.partition(';')[0]}"
    assert (target.shown, f"{target.database}.{target.collection}", target.filter) == (shown, namespace, query)


def test_what_a_connection_string_chooses_is_left_alone() -> None:
    target = parse_argument("db/a.b?socketTimeoutMS=5&heartbeatFrequencyMS=9000")
    assert target.given == {"sockettimeoutms", "heartbeatfrequencyms"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Target(("127.0.0.1:27017",), "127.0.0.1:27017", "uwsgi", "emperor.vassals", {}, DIRECT)),
        ("addr=a:1", Target(("a:1",), "a:1", "uwsgi", "emperor.vassals", {}, DIRECT)),
        ("address=a:1,coll=x.y", Target(("a:1",), "a:1", "x", "y", {}, DIRECT)),
        ("server=a:1,collection=x.y.z", Target(("a:1",), "a:1", "x", "y.z", {}, DIRECT)),
        (
            "json={a:1,b:[2,3]},addr=a:1",
            Target(("a:1",), "a:1", "uwsgi", "emperor.vassals", {"a": 1, "b": [2, 3]}, DIRECT),
        ),
        ("json={a:1\\,b:2},addr=a:1", Target(("a:1",), "a:1", "uwsgi", "emperor.vassals", {"a": 1, "b": 2}, DIRECT)),
        (
            "addr=a:1\\,b:2,replica=rs0",
            Target(("a:1", "b:2"), "a:1,b:2", "uwsgi", "emperor.vassals", {}, {"replicaSet": "rs0"}),
        ),
        ("addr=a,replica=rs0", Target(("a",), "a", "uwsgi", "emperor.vassals", {}, {"replicaSet": "rs0"})),
        (
            "addr=a,db=users,username=me,password=a\\,{b=c",
            Target(
                ("a",), "a", "uwsgi", "emperor.vassals", {},
                {"username": "me", "password": "a,{b=c", "authSource": "users", "directConnection": True},
            ),
        ),
        (
            "addr=a,username=me,password=x",
            Target(
                ("a",), "a", "uwsgi", "emperor.vassals", {},
                {"username": "me", "password": "x", "authSource": "admin", "directConnection": True},
            ),
        ),
        (
            "addr=a,defaults={attr:'x'}",
            Target(
                ("a",), "a", "uwsgi", "emperor.vassals", {}, DIRECT,
                ignored="defaults gives values to attributes that are collected, and none is; it has no effect",
            ),
        ),
        ("addr=a,,database=x,", Target(("a",), "a", "uwsgi", "emperor.vassals", {}, DIRECT)),
    ],
)  # fmt: skip
def test_the_form_with_keys(text: str, expected: Target) -> None:
    assert parse_keys(text) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mongodb://me:s3cret@db:27017,a.b", "a connection string"),
        ("mongodb://db:port,a.b", "no host:port"),
        ("mongodb://db,nodot", "no db.collection"),
        ("mongodb://db,a.b,{x", "ends too early"),
        ("mongodb://db,a.b,{x:y}", "text stands in quotes"),
        ("mongodb://db,a.b,[1]", "begins with {"),
        ("mongodb://db/a", "does not name a database and a collection"),
        ("mongodb://db/.b", "does not name a database and a collection"),
        ("mongodb://db/a.b,{x:1}", "after a semicolon"),
        ("mongodb:///a.b", "Empty host"),
        ("mongodb://db/a.b?bogus=1", "Unknown option"),
        ("mongodb://db/a.b?tls=perhaps", "tls"),
        ("mongodb://db/a.b?tls=true&tlsCAFile=/not/there", "/not/there"),
        ("mongodb://me:s3cret/x@db/a.b", "written %2F"),
        ("mongodb://me:s3cret:x@db/a.b", "% escapes"),
        ("mongodb://me:s3%cret@db/a.b", "wrong: user and password need % escapes"),
        ("mongodb://db:port/a.b", "the port is no number"),
        ("mongodb2://adr=a", "did you mean addr"),
        ("mongodb2://pasword=s3cret", "unknown key 'pasword' (did you mean password?); known are"),
        ("mongodb2://colour=s3,cret=1", "unknown key 'colour'; known are"),
        ("mongodb2://password=s3,cret=1", "a key is unknown; known are"),
        ("mongodb2://addr=a:1,b:2,replica=x", "written \\,"),
        ("mongodb2://username=me", "belong together"),
        ("mongodb2://password=s3cret", "belong together"),
        ("mongodb2://username=me,password=s3cret,predigest=1", "predigest"),
        ("mongodb2://json={a:1", "not closed"),
        ("mongodb2://json=x", "json is no document"),
        ("mongodb2://defaults=[1]", "defaults is no document"),
        ("mongodb2://addr=me:s3cret@db", "a connection string"),
        ("mongodb2://username=me,password=s3\\,cret,addr", "addr has no value"),
        ("mongodb2://username=me,password=s3,cret", "written \\,"),
    ],
)
def test_what_is_wrong_is_said_without_passwords(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_monitor(text, lambda event: None, Ring())
    told = str(caught.value)
    assert says in told
    assert "--emperor mongodb" in told
    assert "s3" not in told
    assert "cret" not in told
    for jargon in ("urllib", "docstring", "camelCase", "RFC", "[Errno"):
        assert jargon not in told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("  {} ", {}),
        ("{enabled:1}", {"enabled": 1}),
        ('{"a": true, "b": [1, -2.5, 1e3, null], "c": {"d": false}}',
         {"a": True, "b": [1, -2.5, 1000.0, None], "c": {"d": False}}),
        ("{'a b': 'it\\'s', $or: [{x.y: 1}, {_id: 2}],}", {"a b": "it's", "$or": [{"x.y": 1}, {"_id": 2}]}),
        ('{a: "\\u00e9\\n\\ud83d\\ude00"}', {"a": "é\n😀"}),
        ("{a: /^x\\/y,/im}", {"a": bson.Regex("^x/y,", "im")}),
        ("{a: ObjectId('0123456789abcdef01234567')}", {"a": bson.ObjectId("0123456789abcdef01234567")}),
        ('{a: {"$oid": "0123456789abcdef01234567"}}', {"a": bson.ObjectId("0123456789abcdef01234567")}),
        ("{a: NumberLong('5'), b: NumberInt(6), c: NumberDecimal('7.5')}",
         {"a": 5, "b": 6, "c": bson.Decimal128("7.5")}),
        ("{a: {$gt: new Date(1000)}, b: ISODate('2024-05-01T00:00:00Z')}",
         {"a": {"$gt": datetime.datetime(1970, 1, 1, 0, 0, 1, tzinfo=datetime.UTC)},
          "b": datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC)}),
        ("{a: undefined, b: Infinity, c: -Infinity, d: .5}",
         {"a": None, "b": float("inf"), "c": float("-inf"), "d": 0.5}),
        ("{1: MinKey, b: MaxKey()}", {"1": bson.MinKey(), "b": bson.MaxKey()}),
        ("{a: UUID('00112233-4455-6677-8899-aabbccddeeff')}",
         {"a": bson.Binary(bytes.fromhex("00112233445566778899aabbccddeeff"), 4)}),
    ],
)  # fmt: skip
def test_a_filter(text: str, expected: dict[str, Any]) -> None:
    assert parse_filter(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "1", "[]", "x", "{", "}", "{a}", "{a:}", "{a:1", "{a:1 b:2}", "{a:1}}", "{a:,}", "{,}", "{a:foo}", "{a:foo(1)}",
        "{a:'x}", "{a:ObjectId('x')}", "{a:ObjectId(5)}", "{a:NumberInt('x')}", "{a:Date()}", "{a:ISODate('x')}",
        "{a:Timestamp(1)}", "{a:UUID(1)}", "{a:99999999999999999999}", '{"$oid":"0123456789abcdef01234567"}',
        '{a:{"$date":"x"}}', "{a:'\\u0000', 'b\\u0000':1}", "{a:1e}", "{a:--1}", "{a:" * 150, "{a:'\\ud800'", "{a:new}",
    ],
)  # fmt: skip
def test_no_filter(text: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse_filter(text)
    assert str(caught.value)


WORDS = ["ObjectId", "ISODate", "new", "Date", "$oid", "$date", "$numberLong", "addr", "json", "password", "mongodb"]
ALPHABET = st.sampled_from([*"{}[]():,;'\"\\/$.@?=& -+019aeinstuxNIO\n\0é\ud800", *WORDS])
TEXTS = st.lists(ALPHABET, max_size=30).map("".join)


@given(TEXTS)
@example("{a:{$date:{$numberLong:'9e99'}}}")
def test_no_text_breaks_the_filter(text: str) -> None:
    try:
        found = parse_filter(text)
    except FilterError:
        return
    bson.encode(found)


@given(TEXTS)
def test_no_text_breaks_the_arguments(text: str) -> None:
    for parse in (parse_argument, parse_keys):
        try:
            target = parse(text)
        except BadArgument:
            continue
        assert all((target.database, target.collection, target.shown))
