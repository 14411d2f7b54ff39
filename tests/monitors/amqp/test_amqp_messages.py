"""Messages and addresses, judged without any broker: whatever comes, it is a message or says what is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emperor_trio.errors import UsageError
from emperor_trio.monitors._amqp_messages import Address, Ended, Given, Path, Url, read_address, read_message
from emperor_trio.monitors._rows import RowRules, Wrong

RULES = RowRules()
TYRANT = RowRules(tyrant=True)


@pytest.mark.parametrize(
    ("key", "body", "message"),
    [
        ("a.ini", b"[uwsgi]\n", Given("a.ini", b"[uwsgi]\n")),
        ("a.ini", b"x" * 65_535, Given("a.ini", b"x" * 65_535)),
        ("../x.ini", b"[uwsgi]", Given("../x.ini", b"[uwsgi]")),
        ("a.ini", b"", Ended("a.ini")),
        ("", b"/etc/vassals/a.xml", Path("/etc/vassals/a.xml")),
        ("", b"/etc/vassals/a.xml\n", Path("/etc/vassals/a.xml")),
        ("", "/etc/vassals/\u00e4.yaml".encode(), Path("/etc/vassals/\u00e4.yaml")),
        ("", b"/devices/a.ini", Path("/devices/a.ini")),
        ("", b"http://example.com/confs/trac.ini", Url("http://example.com/confs/trac.ini")),
        ("", b"HTTPS://example.com:8443/a.php?x=.json", Url("HTTPS://example.com:8443/a.php?x=.json")),
    ],
)
def test_messages(key: str, body: bytes, message: object) -> None:
    assert read_message(RULES, key, body) == message


@pytest.mark.parametrize(
    ("key", "body", "field"),
    [
        ("a.txt", b"[uwsgi]", "name"),
        ("a\0.ini", b"[uwsgi]", "name"),
        ("a" * 252 + ".ini", b"[uwsgi]", "name"),
        ("a.txt", b"", "name"),
        ("a.ini", b" \n", "config"),
        ("a.ini", b"x" * 65_536, "config"),
        ("a.ini", b"\xff\xfe", "config"),
        ("a.ini", b"a\0b", "config"),
        ("", b"", "body"),
        ("", b"\xff", "body"),
        ("", b"[uwsgi]\n", "body"),
        ("", b"/etc/passwd", "body"),
        ("", b"/" + b"a" * 252 + b".ini", "body"),
        ("", b"x" * 100_000 + b".ini", "body"),
        ("", b"relative/a.ini", "path"),
        ("", b"ftp://example.com/a.ini", "path"),
        ("", b"/etc/a\0b.ini", "path"),
        ("", b"/etc/a\nb.ini", "path"),
        ("", b"/proc/self/cwd/a.ini", "path"),
        ("", b"//proc/self/cwd/a.ini", "path"),
        ("", b"/etc/../proc/self/root/a.ini", "path"),
        ("", b"/dev/stdin.ini", "path"),
        ("", b"/sys/a.ini", "path"),
        ("", b"http:///a.ini", "URL"),
        ("", b"http://user:secret@example.com/a.ini", "URL"),
        ("", b"http://example.com/a#.ini", "URL"),
        ("", b"http://example.com/a b.ini", "URL"),
        ("", b"http://example.com:99999/a.ini", "URL"),
        ("", b"http://[::1/a.ini", "URL"),
    ],
)
def test_wrong_messages(key: str, body: bytes, field: str) -> None:
    wrong = read_message(RULES, key, body)
    assert isinstance(wrong, Wrong)
    assert wrong.field == field
    assert "secret" not in wrong.value + wrong.reason
    assert len(wrong.value) < 100


def test_a_password_in_a_url_is_not_shown() -> None:
    assert "secret" not in repr(read_message(RULES, "", b"http://user:secret@example.com/a.ini"))


def test_what_is_wrong_is_told_as_it_was_sent() -> None:
    assert read_message(RULES, "", b"no \xff") == Wrong(r"no \xff", "body", r"'no \xff'", "is no UTF-8")
    empty = read_message(RULES, "", b"")
    assert isinstance(empty, Wrong)
    assert (empty.name, empty.value) == ("message", "")


@pytest.mark.parametrize(("key", "body"), [("a.ini", b"[uwsgi]"), ("", b"http://example.com/a.ini")])
def test_tyrant_mode_refuses_what_has_no_owner_by_name(key: str, body: bytes) -> None:
    wrong = read_message(TYRANT, key, body)
    assert isinstance(wrong, Wrong)
    assert (wrong.name, wrong.field) == (key or body.decode(), "uid and gid")


def test_tyrant_mode_takes_paths_and_ends() -> None:
    assert read_message(TYRANT, "", b"/etc/a.ini") == Path("/etc/a.ini")
    assert read_message(TYRANT, "a.ini", b"") == Ended("a.ini")


@settings(max_examples=300)
@given(
    st.one_of(st.just(""), st.text(max_size=300), st.text(max_size=8).map(lambda text: f"{text}.ini")),
    st.one_of(
        st.binary(max_size=400),
        st.binary(max_size=20).map(lambda body: b"/" + body + b".ini"),
        st.text(max_size=40).map(lambda text: f"http://{text}.ini".encode()),
        st.text(max_size=40).map(lambda text: f"https://h/{text}.ini".encode(errors="replace")),
    ),
    st.booleans(),
)
def test_anything_is_a_message_or_wrong(key: str, body: bytes, tyrant: bool) -> None:
    message = read_message(RowRules(tyrant=tyrant), key, body)
    assert isinstance(message, Given | Ended | Path | Url | Wrong)
    if isinstance(message, Given):
        assert not tyrant
        assert message.name == key
        assert message.config == body
    if isinstance(message, Path | Url):
        assert not key
        assert message.name.endswith((".ini", ".xml", ".yml", ".yaml", ".js", ".json"))
        assert "\0" not in message.name
    if isinstance(message, Wrong):
        assert message.reason


@pytest.mark.parametrize(
    ("argument", "address"),
    [
        ("192.168.0.1:5672", Address("192.168.0.1", 5672)),
        ("rabbit.example.com", Address("rabbit.example.com", 5672)),
        ("rabbit/", Address("rabbit", 5672)),
        ("rabbit/production", Address("rabbit", 5672, vhost="production")),
        ("rabbit/%2Fa%2Fb", Address("rabbit", 5672, vhost="/a/b")),
        ("me:my%2Fp%40ss@rabbit:1/v", Address("rabbit", 1, "me", "my/p@ss", "v")),
        ("me@rabbit", Address("rabbit", 5672, "me")),
        ("me:@rabbit", Address("rabbit", 5672, "me", "")),
        ("[::1]:5673", Address("::1", 5673)),
    ],
)
def test_addresses(argument: str, address: Address) -> None:
    assert read_address("amqp://…", argument, tls=False) == address


def test_addresses_with_certificates() -> None:
    address = read_address("amqps://…", "rabbit?cacertfile=/etc/ca.pem&certfile=/a&keyfile=/b", tls=True)
    assert address.port == 5671
    assert dict(address.certificates) == {"cacertfile": "/etc/ca.pem", "certfile": "/a", "keyfile": "/b"}


@pytest.mark.parametrize(
    "argument",
    [
        "",
        ":5672",
        "me:secret@",
        "me:secret@host:port",
        "me:secret@host:0",
        "me:secret@host:70000",
        "me:secret@ho st",
        "me:secret@[::1",
        "me:secret@host#x",
        "me:sec?ret@host",
        "me:secret@host?heartbeat=1",
        "me:secret@host?cacertfile=/x",
    ],
)
def test_wrong_addresses(argument: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_address("amqp://me:***@host", argument, tls=False)
    assert "--emperor amqp://me:***@host" in str(caught.value)
    assert "sec" not in str(caught.value)


def test_the_password_is_in_no_repr() -> None:
    assert "secret" not in repr(read_address("n", "me:secret@host", tls=False))


@settings(max_examples=200)
@given(st.text(max_size=60), st.booleans())
def test_any_address_is_one_or_says_what_is_wrong(argument: str, tls: bool) -> None:
    try:
        address = read_address("amqp://…", argument, tls=tls)
    except UsageError:
        return
    assert address.host
    assert 0 < address.port < 65_536


@pytest.mark.parametrize("argument", ["me:[s3cret]@h/v", "me:a][s3cret@h/v", "me:s3cret/[@h/v"])
def test_a_password_with_brackets_is_not_quoted(argument: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_address("amqp://me:***@h/v", argument, tls=False)
    assert "s3cret" not in str(caught.value)
