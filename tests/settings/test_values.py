"""What each kind of option takes, and what is said of a value that it doesn't take."""

from __future__ import annotations

import contextlib
import getpass
import grp
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emperor_trio.errors import UsageError
from emperor_trio.settings import NAMES, OPTIONS, Given, Option, Priority, Settings, settle


def value_of(name: str, *texts: str | None) -> object:
    settled, _ = settle([Given(NAMES[name], text) for text in texts])
    return getattr(settled, NAMES[name].attribute)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("emperor-tyrant", None, True),
        ("emperor-tyrant", "", True),
        ("emperor-tyrant", "true", True),
        ("emperor-tyrant", "On", True),
        ("emperor-tyrant", "1", True),
        ("emperor-tyrant", "no", False),
        ("emperor-tyrant", "0", False),
        ("emperor-freq", "1", 1.0),
        ("emperor-freq", "0.25", 0.25),
        ("emperor-freq", ".5", 0.5),
        ("emperor-curse-tolerance", "0", 0.0),
        ("emperor-throttle", "0", 0),
        ("emperor-max-throttle", "2000", 2000),
        ("listen", "1024", 1024),
        ("chmod-socket", "660", 0o660),
        ("chmod-socket", "0660", 0o660),
        ("chmod-socket", None, 0o666),
        ("chmod-socket", "1", 0o666),
        ("umask", "022", 0o022),
        ("umask", "0077", 0o077),
        ("umask", "7", 0o007),
        ("chown-socket", "root", "root"),
        ("chown-socket", "0:0", "0:0"),
        ("uid", "4294967294", "4294967294"),
        ("gid", "0", "0"),
        ("emperor-cap", "net_bind_service, CAP_SETUID,6", ("net_bind_service", "setuid", "setgid")),
        ("emperor-use-clone", "mnt,pid,fs", ("mount", "pid")),
        ("emperor-priority", "db-*=ini=-10", (Priority("db-*=ini", -10),)),
        ("vassal-set", "a=b=c", ("a=b=c",)),
        ("env", "A=", ("A=",)),
        ("env", "A", ("A",)),
        ("emperor-stats", "127.0.0.1:9191", "127.0.0.1:9191"),
        ("emperor-stats", ":9191", ":9191"),
        ("emperor-stats", "[::1]:9191", "[::1]:9191"),
        ("emperor-stats", "/run/stats.sock", "/run/stats.sock"),
        ("emperor-stats", "/run/a:b", "/run/a:b"),
        ("log-format", "json", "json"),
        ("log-level", "debug", "debug"),
        ("emperor", "/srv/\udce9", ("/srv/\udce9",)),
    ],
)
def test_good_values(name: str, text: str | None, expected: object) -> None:
    assert value_of(name, text) == expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("emperor-tyrant", "maybe", "true or false"),
        ("emperor-freq", "fast", "a number of seconds above 0"),
        ("emperor-freq", "0", "a number of seconds above 0"),
        ("emperor-freq", "-1", "a number of seconds above 0"),
        ("emperor-freq", "nan", "a number of seconds above 0"),
        ("emperor-freq", "1e9", "a number of seconds above 0"),
        ("emperor-freq", "30s", "a number of seconds above 0"),
        ("emperor-curse-tolerance", "99999999999", "a number of seconds, 0 or more"),
        ("emperor-throttle", "1.5", "a whole number of milliseconds"),
        ("emperor-max-starting", "-1", "a whole number, 0 or more"),
        ("emperor-max-starting", "١", "a whole number, 0 or more"),
        ("listen", "0", "a whole number, 1 or more"),
        ("listen", "2147483648", "a whole number, 1 or more"),
        ("chmod-socket", "66", "three octal digits"),
        ("chmod-socket", "999", "three octal digits"),
        ("umask", "8", "octal digits"),
        ("uid", "no-such-user-here", "this system has no such user"),
        ("gid", "no-such-group-here", "this system has no such group"),
        ("uid", "4294967295", "no user can have this number"),
        ("chown-socket", "root:no-such-group-here", "this system has no such group"),
        ("emperor-cap", "fly", "'fly' is no capability"),
        ("emperor-cap", "99", "'99' is no capability"),
        ("emperor-cap", ",", "names or numbers with commas"),
        ("emperor-use-clone", "time", "'time' is no namespace"),
        ("emperor-http-host", "http://x/", "HOST, HOST:PORT or *.DOMAIN, without http://"),
        ("emperor-http-host", "a b", "HOST, HOST:PORT or *.DOMAIN"),
        ("emperor-http-host", "x:99999", "HOST, HOST:PORT or *.DOMAIN"),
        ("emperor-http-host", "x:0", "HOST, HOST:PORT or *.DOMAIN"),
        ("emperor-priority", "db-*", "PATTERN=N"),
        ("emperor-priority", "=1", "PATTERN=N"),
        ("vassal-set", "novalue", "NAME=VALUE"),
        ("env", "=x", "NAME=VALUE"),
        ("emperor-stats", "host:port", "HOST:PORT"),
        ("emperor-stats", ":65536", "HOST:PORT"),
        ("emperor-pidfile", "", "it needs a value"),
        ("emperor", None, "it needs a value"),
        ("emperor-pidfile", "a\0b", "it holds a NUL"),
        ("emperor-pidfile", "\ud800", "characters that can't be encoded"),
        ("log-format", "xml", "text or json"),
        ("log-level", "loud", "debug, info, warning or error"),
    ],
)
def test_wrong_values_name_option_value_and_what_is_expected(name: str, text: str | None, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        value_of(name, text)
    message = str(caught.value)
    assert message.startswith(f"--{name}")
    assert expected in message
    assert not text or text in message


def test_a_wrong_value_from_a_file_names_its_place() -> None:
    with pytest.raises(UsageError, match=r"^emperor\.ini:7: emperor-freq = x: expected a number of seconds above 0"):
        settle([Given(NAMES["emperor-freq"], "x", "emperor.ini:7")])


def test_all_wrong_values_are_named_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        settle([Given(NAMES["emperor-freq"], "x"), Given(NAMES["listen"], "y"), Given(NAMES["uid"], "0")])
    assert len(str(caught.value).splitlines()) == 2


def test_the_last_value_counts_and_repeatable_ones_add_up() -> None:
    assert value_of("emperor-freq", "1", "2") == 2.0
    assert value_of("emperor", "/b", "/a", "/b") == ("/b", "/a", "/b")
    assert value_of("emperor-use-clone", "fs", "pid,net") == ("mount", "pid", "net")
    assert value_of("emperor-cap", "setuid", "setgid") == ("setgid",)


def test_an_earlier_wrong_value_is_not_hidden_by_a_later_one() -> None:
    with pytest.raises(UsageError):
        value_of("emperor-freq", "x", "2")


def test_known_names_of_this_system() -> None:
    user, group = getpass.getuser(), grp.getgrgid(os.getgid()).gr_name
    assert value_of("chown-socket", f"{user}:{group}") == f"{user}:{group}"


@settings(deadline=None)  # the machine may be busy
@given(option=st.sampled_from([option for option in OPTIONS if option.is_setting]), text=st.text(max_size=20))
def test_no_text_raises_anything_else(option: Option, text: str) -> None:
    with contextlib.suppress(UsageError):
        settle([Given(option, text)])


def test_defaults_are_uwsgis() -> None:
    default = Settings()
    assert (default.emperor_freq, default.emperor_throttle, default.emperor_max_throttle) == (3.0, 1000, 180_000)
    assert (default.emperor_required_heartbeat, default.emperor_curse_tolerance) == (30.0, 30.0)
    assert (default.reload_mercy, default.listen) == (30.0, 100)
