"""What messages mean, which endpoints are taken, and how much is said of garbage."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emperor_trio.errors import UsageError
from emperor_trio.events import Event, MonitorNotice, VassalRefused
from emperor_trio.model import MAX_CONFIG, Owner, config_option
from emperor_trio.monitors._complaints import BURST, OF_ONE_NAME, REMEMBERED, Complaints
from emperor_trio.monitors._rows import RowRules, Wrong
from emperor_trio.monitors._zmq_commands import (
    DestroyCommand,
    TouchCommand,
    read_command,
    read_endpoint,
)
from emperor_trio.monitors._zmq_socket import KEPT_FRAMES
from emperor_trio.testing.conformance import Ring
from tests.monitors.support import make_monitor

PLAIN = RowRules()
TYRANT = RowRules(tyrant=True)


def read(*frames: bytes, rules: RowRules = PLAIN) -> TouchCommand | DestroyCommand | Wrong:
    return read_command(frames[:KEPT_FRAMES], len(frames), rules)


@pytest.mark.parametrize(
    ("frames", "command"),
    [
        ((b"touch", b"a.ini"), TouchCommand("a.ini")),
        ((b"touch", b"a.ini", b""), TouchCommand("a.ini")),
        ((b"touch", b"a.ini", b"[uwsgi]\n"), TouchCommand("a.ini", b"[uwsgi]\n")),
        ((b"touch", "ä b.yml".encode(), b"x"), TouchCommand("ä b.yml", b"x")),
        ((b"touch", b"../x.ini"), TouchCommand("../x.ini")),
        ((b"touch", b"/etc/a.ini"), TouchCommand("/etc/a.ini")),
        ((b"touch", b"http://a/b.ini", b"x"), TouchCommand("http://a/b.ini", b"x")),
        ((b"touch", b"a.ini", b"x", b"7"), TouchCommand("a.ini", b"x")),
        ((b"touch", b"a.ini", b"x", b"root", b"?"), TouchCommand("a.ini", b"x")),
        ((b"touch", b"a.ini", b"x", b"", b"", b""), TouchCommand("a.ini", b"x")),
        ((b"touch", b"a.ini", b"x", b"", b"", b" :3031 "), TouchCommand("a.ini", b"x", socket=":3031")),
        ((b"touch", b"a.ini", b"", b"", b"", b"/run/a"), TouchCommand("a.ini", socket="/run/a")),
        ((b"touch", b"a.ini", b"x" * MAX_CONFIG), TouchCommand("a.ini", b"x" * MAX_CONFIG)),
        ((b"touch", b"a" * 250 + b".ini", b"x"), TouchCommand("a" * 250 + ".ini", b"x")),
        ((b"destroy", b"a.ini"), DestroyCommand("a.ini")),
        ((b"destroy", b"a.ini", b"x", b"1", b"2", b"3"), DestroyCommand("a.ini")),
    ],
)
def test_commands(frames: tuple[bytes, ...], command: TouchCommand | DestroyCommand) -> None:
    assert read(*frames) == command


FRAMES = "there are 2 to 6: command, name, config, uid, gid, socket"
ENDING = "its ending is no config's (.ini, .xml, .yaml, .json, …), or it has 255 bytes or more"
FILE = "is missing, and 'exec://ls.ini' is no file's name"


@pytest.mark.parametrize(
    ("frames", "wrong"),
    [
        ((b"touch",), Wrong("message", "frames", "1", FRAMES)),
        ((b"",), Wrong("message", "frames", "1", FRAMES)),
        ((b"touch", b"a.ini", b"x", b"", b"", b"", b""), Wrong("message", "frames", "7", FRAMES)),
        ((b"touch", b"a.ini", *[b""] * 998), Wrong("message", "frames", "1000", FRAMES)),
        ((b"stop", b"a.ini"), Wrong("a.ini", "command", "'stop'", "is neither 'touch' nor 'destroy'")),
        ((b"", b""), Wrong("", "command", "", "is neither 'touch' nor 'destroy'")),
        ((b"TOUCH", b"a.ini"), Wrong("a.ini", "command", "'TOUCH'", "is neither 'touch' nor 'destroy'")),
        ((b"touch\0", b"a.ini"), Wrong("a.ini", "command", r"'touch\x00'", "is neither 'touch' nor 'destroy'")),
        ((b"touch", b""), Wrong("", "name", "", "is missing")),
        ((b"touch", b"a.conf", b"x"), Wrong("a.conf", "name", "'a.conf'", ENDING)),
        ((b"touch", b"a\0.ini", b"x"), Wrong("a\0.ini", "name", r"'a\x00.ini'", "no name may hold a NUL")),
        ((b"touch", b"\xff.ini", b"x"), Wrong("\ufffd.ini", "name", r"'\xff.ini'", "is no UTF-8")),
        ((b"touch", b"a.ini", b"\xff"), Wrong("a.ini", "config", r"'\xff'", "is no UTF-8")),
        ((b"touch", b"a.ini", b" \n"), Wrong("a.ini", "config", "", "is missing")),
        ((b"touch", b"a.ini", b"a\0b"), Wrong("a.ini", "config", r"'a\x00b'", "no config may hold a NUL")),
        ((b"touch", b"exec://ls.ini"), Wrong("exec://ls.ini", "config", "", FILE)),
        (
            (b"touch", b"a.ini", b"x", b"", b"", b"\0"),
            Wrong("a.ini", "socket", r"'\x00'", "no address may hold a NUL"),
        ),
        ((b"destroy", b"a"), Wrong("a", "name", "'a'", ENDING)),
    ],
)
def test_wrong_messages(frames: tuple[bytes, ...], wrong: Wrong) -> None:
    assert read(*frames) == wrong


def test_what_is_huge_is_shown_cut() -> None:
    found = read(b"touch", b"a.ini", b"x" * (MAX_CONFIG + 1))
    protocol = "the emperor protocol carries 65,535 bytes at most"
    assert found == Wrong("a.ini", "config", "'65,536 bytes'", protocol)
    found = read(b"t" * 131_072, b"n" * 131_072)
    assert isinstance(found, Wrong)
    assert len(found.name) == 254
    assert len(found.value) < 90


MISSING = "is missing, and Tyrant mode needs uid and gid"


@pytest.mark.parametrize(
    ("owner", "found"),
    [
        ((b"1000", b"100"), Owner(1000, 100)),
        ((b" 1000\n", b"0"), Owner(1000, 0)),  # root is for the law to refuse
        ((), Wrong("a.ini", "uid", "", MISSING)),
        ((b"", b""), Wrong("a.ini", "uid", "", MISSING)),
        ((b"1000",), Wrong("a.ini", "gid", "", MISSING)),
        ((b"", b"100"), Wrong("a.ini", "uid", "", MISSING)),
        ((b"root", b"100"), Wrong("a.ini", "uid", "'root'", "is no number")),
        ((b"1000", b"-1"), Wrong("a.ini", "gid", "'-1'", "is no number")),
        ((b"1000", b"4294967295"), Wrong("a.ini", "gid", "'4294967295'", "is no number of a user or group")),
        ((b"\xff", b"100"), Wrong("a.ini", "uid", r"'\xff'", "is no UTF-8")),
    ],
)
def test_in_tyrant_mode_the_owner_comes_along(owner: tuple[bytes, ...], found: Owner | Wrong) -> None:
    for config in (b"x", b""):
        command = read(b"touch", b"a.ini", config, *owner, rules=TYRANT)
        assert (command.owner if isinstance(command, TouchCommand) else command) == found
    assert read(b"destroy", b"a.ini", rules=TYRANT) == DestroyCommand("a.ini")


pieces = st.sampled_from(
    [b"", b"touch", b"destroy", b"a.ini", b"../b.json", b"x.ini\0", b"[uwsgi]\n", b"0", b"1000", b"99999999999", b":1"]
)
messages = st.lists(pieces | st.binary(max_size=300) | st.text(max_size=100).map(str.encode), max_size=9)


def check_message(frames: list[bytes], tyrant: bool) -> None:
    """Garbage makes no vassal, and what makes one is what was sent."""
    found = read(*frames, rules=RowRules(tyrant=tyrant))
    if isinstance(found, Wrong):
        assert len(found.value) < 90
        assert len(found.name) < 255
        return
    assert 2 <= len(frames) <= 6
    assert found.name.encode() == frames[1]
    assert config_option(found.name) is not None
    assert frames[0] == (b"touch" if isinstance(found, TouchCommand) else b"destroy")
    if isinstance(found, TouchCommand):
        assert (found.config or b"") == b"".join(frames[2:3])
        assert (found.owner is not None) == tyrant


@settings(max_examples=300)
@given(messages, st.booleans())
def test_any_message_is_a_command_or_wrong(frames: list[bytes], tyrant: bool) -> None:
    check_message(frames, tyrant)


# --- endpoints -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("tcp://127.0.0.1:5252", False),
        ("tcp://127.9.9.9:5252", False),
        ("tcp://localhost:5252", False),
        ("tcp://lo:5252", False),
        ("tcp://[::1]:5252", False),
        ("ipc:///run/emperor.socket", False),
        ("ipc://emperor.socket", False),
        ("ipc://@emperor", False),
        ("tcp://*:5252", True),
        ("tcp://0.0.0.0:5252", True),
        ("tcp://[::]:5252", True),
        ("tcp://[fe80::1%eth0]:5252", True),
        ("tcp://192.168.1.9:65535", True),
        ("tcp://eth0:1", True),
    ],
)
def test_endpoints(text: str, public: bool) -> None:
    endpoint = read_endpoint(text)
    assert (endpoint.text, endpoint.is_public) == (text, public)
    assert endpoint.is_ipv6 == ("[" in text)


PORT = "needs an address and a port from 1 to 65535: zmq://tcp://127.0.0.1:5252"
ENDPOINT = "names no endpoint: zmq://tcp://127.0.0.1:5252 or zmq://ipc:///run/emperor.socket"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", ENDPOINT),
        ("127.0.0.1:5252", ENDPOINT),
        ("inproc://emperor", ENDPOINT),
        ("udp://127.0.0.1:5252", ENDPOINT),
        ("tcp://", ENDPOINT),
        ("ipc://", ENDPOINT),
        ("ipc://a\0b", ENDPOINT),
        ("tcp://127.0.0.1", PORT),
        ("tcp://127.0.0.1:", PORT),
        ("tcp://127.0.0.1:*", PORT),
        ("tcp://127.0.0.1:0", PORT),
        ("tcp://127.0.0.1:65536", PORT),
        ("tcp://127.0.0.1:http", PORT),
        ("tcp://::1:5252", PORT),
        ("tcp://:5252", PORT),
        ("ipc:///" + "a" * 107, "the path of a unix socket has 107 bytes at most"),
        ("ipc://*", "nobody would know the path: name one, as in zmq://ipc:///run/emperor.socket"),
    ],
)
def test_wrong_endpoints_are_wrong_command_lines(text: str, complaint: str) -> None:
    with pytest.raises(UsageError) as raised:
        make_monitor(f"zmq://{text}", lambda event: None, Ring())
    assert str(raised.value) == f"--emperor zmq://{text}: {complaint}"


# --- complaints ------------------------------------------------------------------------------------------------------


def of(name: str, value: str = "'x'") -> Wrong:
    return Wrong(name, "uid", value, "is no number")


def test_each_is_said_once_until_the_vassal_is_well_again() -> None:
    said: list[Event] = []
    complaints = Complaints("m", said.append)
    for _ in range(3):
        complaints.take(of("a.ini"), 0.0)
        complaints.take(of("a.ini", "'y'"), 0.0)
        complaints.take(of("b.ini"), 0.0)
    assert said == [
        VassalRefused("m", "a.ini", "uid", "'x'", "is no number"),
        VassalRefused("m", "a.ini", "uid", "'y'", "is no number"),
        VassalRefused("m", "b.ini", "uid", "'x'", "is no number"),
    ]
    complaints.settle("a.ini")
    complaints.settle("never.ini")
    complaints.take(of("a.ini"), 0.0)
    complaints.take(of("b.ini"), 0.0)
    assert len(said) == 4


def test_a_flood_is_a_few_lines_and_a_number() -> None:
    said: list[Event] = []
    complaints = Complaints("m", said.append, "command")
    for number in range(10_000):
        complaints.take(of(f"{number}.ini"), number / 1000)
    assert BURST <= len(said) <= BURST + 11
    count = 10_000 - len(said)
    said.clear()
    complaints.tell_rest()
    complaints.tell_rest()
    assert said == [MonitorNotice("m", f"{count:,} more commands were wrong; too many to name them")]
    for number in range(BURST + 1):
        complaints.take(of(f"later-{number}.ini"), 1000.0)
    complaints.tell_rest()
    assert said[-1] == MonitorNotice("m", "one more command was wrong; too many to name them")


def test_what_is_remembered_is_bounded() -> None:
    complaints = Complaints("m", lambda event: None)
    for number in range(3 * REMEMBERED):
        complaints.take(of(f"{number}.ini"), number * 100.0)
        complaints.take(of("always.ini", str(number)), number * 100.0 + 50)
    assert len(complaints._said) == REMEMBERED
    assert len(complaints._said["always.ini"]) == OF_ONE_NAME
