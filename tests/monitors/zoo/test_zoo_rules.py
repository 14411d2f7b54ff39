"""What an argument may be, and what a znode's data come to: the rules of ``zoo://``, as tables, and under garbage."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emperor_trio.errors import UsageError
from emperor_trio.model import MAX_CONFIG, Owner, VassalSpec
from emperor_trio.monitors._rows import RowRules, Wrong
from emperor_trio.monitors._zoo_address import ZooAddress, parse_address
from emperor_trio.monitors._zoo_nodes import MAX_DATA, Stamp, read_node
from emperor_trio.monitors.zoo import ZooMonitor
from emperor_trio.ports import MonitorContext
from emperor_trio.testing.conformance import Ring

STAMP = Stamp(czxid=3, mzxid=7, mtime=1_700_000_000_999, version=2)
CONFIG = "[uwsgi]\nprocesses = 2\n"


@pytest.mark.parametrize(
    ("argument", "hosts", "path", "login"),
    [
        ("127.0.0.1:2181/emperor", [("127.0.0.1", 2181)], "/emperor", ""),
        ("zoo1/emperor", [("zoo1", 2181)], "/emperor", ""),
        ("a:1,b,c:65535/x", [("a", 1), ("b", 2181), ("c", 65535)], "/x", ""),
        ("[::1]:2182,[fe80::1%eth0]/x", [("::1", 2182), ("fe80::1%eth0", 2181)], "/x", ""),
        ("a/chroot/of/mine/vassals/", [("a", 2181)], "/chroot/of/mine/vassals", ""),
        ("a/", [("a", 2181)], "/", ""),
        ("a/b c/ü%20", [("a", 2181)], "/b c/ü%20", ""),
        ("me:secret@a,b/x", [("a", 2181), ("b", 2181)], "/x", "me:secret"),
        ("me:p%40ss%2Fw:rd@a/x", [("a", 2181)], "/x", "me:p@ss/w:rd"),
        ("me:p@ss@a/x", [("a", 2181)], "/x", "me:p@ss"),
        ("a/x@y", [("a", 2181)], "/x@y", ""),
    ],
)
def test_arguments(argument: str, hosts: list[tuple[str, int]], path: str, login: str) -> None:
    assert parse_address(argument, "zoo://…") == ZooAddress(tuple(hosts), path, login)


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("", "a server is missing"),
        ("/emperor", "a server is missing"),
        ("a,/x", "a server is missing"),
        ("a", "path whose children are the vassals is missing"),
        ("a:b/x", "a port is no number"),
        ("a:0/x", "a port is no number"),
        ("a:65536/x", "a port is no number"),
        ("a:/x", "a port is no number"),
        ("a:٣/x", "a port is no number"),
        ("::1/x", "a server is none"),
        ("[::1/x", "a server is none"),
        ("a b/x", "a server is none"),
        ("a//x", "no paths with ''"),
        ("a/x/../y", "no paths with '..'"),
        ("a/./y", "no paths with '.'"),
        ("a/x\0", "a character"),
        ("a/\udcff", "a character"),
        ("me@a/x", "a login needs user and password"),
        ("me:@a/x", "a login needs user and password"),
        (":secret@a/x", "a login needs user and password"),
        ("@a/x", "a login needs user and password"),
        ("m%3Ae:secret@a/x", "can hold no colon"),
        ("me:%FFsecret@a/x", "are no UTF-8"),
    ],
)
def test_arguments_that_are_none_name_the_option_and_the_way_out(argument: str, complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_address(argument, "zoo://me:***@…")
    text = str(caught.value)
    assert text.startswith("--emperor zoo://me:***@…: ")
    assert complaint in text
    assert "zoo://127.0.0.1:2181/emperor" in text
    assert "secret" not in text


def test_an_address_shows_no_password() -> None:
    assert "secret" not in repr(parse_address("me:secret@a/x", "zoo://me:***@a/x"))


def test_a_monitor_names_itself_by_its_masked_name() -> None:
    context = MonitorContext("zoo://me:***@a", "me:secret@a", lambda event: None, Ring())
    with pytest.raises(UsageError, match=r"^--emperor zoo://me:\*\*\*@a: "):
        ZooMonitor(context)


def read(data: bytes | str | dict[str, Any] | None, name: str = "a.ini", *, tyrant: bool = True) -> VassalSpec | Wrong:
    if isinstance(data, dict):
        data = json.dumps(data)
    if isinstance(data, str):
        data = data.encode()
    return read_node(RowRules(frozenset({".conf"}), tyrant), name, data, STAMP)


def spec(config: str, name: str = "a.ini", owner: Owner | None = None, socket: str | None = None) -> VassalSpec:
    return VassalSpec(name, STAMP.as_number, 1_700_000_000, config.encode(), owner, socket)


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        (CONFIG, "a.ini", spec(CONFIG)),
        ("<uwsgi/>", "a.xml", spec("<uwsgi/>", "a.xml")),
        ({"config": CONFIG}, "a.ini", spec(CONFIG)),
        ({"config": CONFIG, "uid": 1000, "gid": 1001}, "a.ini", spec(CONFIG, owner=Owner(1000, 1001))),
        ({"config": CONFIG, "uid": "1000", "gid": "1001"}, "a.ini", spec(CONFIG, owner=Owner(1000, 1001))),
        ({"config": CONFIG, "uid": None, "gid": None, "socket": ""}, "a.ini", spec(CONFIG)),
        ({"config": CONFIG, "socket": "127.0.0.1:3031"}, "a.ini", spec(CONFIG, socket="127.0.0.1:3031")),
        (" \n" + json.dumps({"config": CONFIG}), "a.ini", spec(CONFIG)),
        # What is JSON by itself stays what it is, unless it holds a text as its config.
        ('{"uwsgi": {}}', "a.json", spec('{"uwsgi": {}}', "a.json")),
        ('{"config": {}}', "a.json", spec('{"config": {}}', "a.json")),
        ('{"uwsgi": {', "a.js", spec('{"uwsgi": {', "a.js")),
        ({"config": '{"uwsgi": {}}', "uid": 1, "gid": 2}, "a.json", spec('{"uwsgi": {}}', "a.json", Owner(1, 2))),
        ("{uwsgi: {}}", "a.yml", spec("{uwsgi: {}}", "a.yml")),
        ("{anything", "a.conf", spec("{anything", "a.conf")),
    ],
)
def test_znodes(data: Any, name: str, expected: VassalSpec) -> None:
    assert read(data, name) == expected


@pytest.mark.parametrize(
    ("data", "field", "reason"),
    [
        (None, "config", "is missing"),
        ("", "config", "is missing"),
        (" \n", "config", "is missing"),
        (b"\xff", "config", "no UTF-8"),
        ("a\0", "config", "NUL"),
        ("x" * (MAX_CONFIG + 1), "config", "65,535 bytes"),
        (b" " * (MAX_DATA + 1), "config", "65,535 bytes"),
        ("{", "config", "begins like an envelope"),
        ('{"config": "a"', "config", "begins like an envelope"),
        ('{"config": 5}', "config", "begins like an envelope"),
        ('{"uid": 5}', "config", "begins like an envelope"),
        (b'{"config": "\xff"}', "config", "begins like an envelope"),
        ("[" * 100_000, "config", "65,535"),
        ('{"config":' + "[" * 100_000, "config", "begins like an envelope"),
        ('{"config": "\\ud800"}', "config", "Unicode"),
        ({"config": "x" * (MAX_CONFIG + 1)}, "config", "65,535 bytes"),
        ({"config": CONFIG, "usr": 5}, "usr", "it has config, uid, gid, socket"),
        ({"config": CONFIG, "uid": 1000}, "gid", "is missing"),
        ({"config": CONFIG, "uid": "www-data", "gid": 33}, "uid", "number"),
        ({"config": CONFIG, "uid": -1, "gid": 33}, "uid", ""),
        ({"config": CONFIG, "uid": True, "gid": 33}, "uid", ""),
        ({"config": CONFIG, "uid": [1], "gid": 33}, "uid", ""),
        ({"config": CONFIG, "socket": 3031}, "socket", "not text"),
    ],
)
def test_one_wrong_field_is_named(data: Any, field: str, reason: str) -> None:
    wrong = read(data)
    assert isinstance(wrong, Wrong), wrong
    assert (wrong.name, wrong.field) == ("a.ini", field)
    assert reason in wrong.reason
    assert len(wrong.value) < 100


def test_owners_are_not_looked_at_outside_tyrant_mode() -> None:
    assert read({"config": CONFIG, "uid": "www-data"}, tyrant=False) == spec(CONFIG)


def test_a_znode_of_a_server_that_counts_anew_has_another_version() -> None:
    """Wiped or restored, a server gives the same ``mzxid`` to something else."""
    again = Stamp(STAMP.czxid, STAMP.mzxid, STAMP.mtime + 1, STAMP.version)
    assert again.as_number != STAMP.as_number
    assert STAMP.as_number >> 64 == STAMP.mzxid


@given(st.binary() | st.text().map(str.encode), st.sampled_from(["a.ini", "a.json", "a.yml", "a.conf", "a"]))
def test_no_vassal_from_garbage_and_no_crash(data: bytes, name: str) -> None:
    check(read(data, name), data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
envelopes = st.dictionaries(st.sampled_from(["config", "uid", "gid", "socket", "x"]) | st.text(), json_values)


@given(envelopes, st.sampled_from(["a.ini", "a.json"]))
def test_no_vassal_from_garbage_in_an_envelope(envelope: dict[str, Any], name: str) -> None:
    data = json.dumps(envelope).encode()
    check(read(data, name), data)


def check(entry: VassalSpec | Wrong, data: bytes) -> None:
    if isinstance(entry, Wrong):
        assert len(entry.value) < 100
        assert entry.reason
        return
    assert entry.config is not None
    assert 0 < len(entry.config) <= MAX_CONFIG
    assert entry.config.strip()
    assert b"\0" not in entry.config
    assert entry.owner is None or 0 <= entry.owner.uid < 2**32
    assert entry.config == data or json.loads(data)["config"] == entry.config.decode()


@given(st.text())
def test_any_argument_is_an_address_or_a_usage_error(argument: str) -> None:
    try:
        address = parse_address(argument, "zoo://x")
    except UsageError:
        return
    assert address.hosts
    assert address.path.startswith("/")


@pytest.mark.parametrize("argument", ["me:s3cret/x@h/path", "me:s3cret,x/@h/path", "me:1/s3\1cret@h/path"])
def test_a_password_that_is_taken_for_something_else_is_not_quoted(argument: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_address(argument, "zoo://me:***@h/path")
    assert "s3" not in str(caught.value)
