"""The argument of ``pg://``: where the connection string ends, what is ours in it, and mistakes without passwords."""

from __future__ import annotations

import string
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emperor_trio.errors import UsageError
from emperor_trio.masking import masked
from emperor_trio.monitors._pg_argument import DEFAULT_QUERY, read_argument
from emperor_trio.monitors.pg import PgMonitor
from emperor_trio.ports import MonitorContext
from emperor_trio.testing.conformance import Ring

SECRET = "s3cret-word"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGHOST", "PGHOSTADDR", "PGPORT", "PGCONNECT_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("text", "parameters", "query", "channel"),
    [
        ("", {}, DEFAULT_QUERY, None),
        ("host=a", {"host": "a"}, DEFAULT_QUERY, None),
        ("host=a;", {"host": "a"}, DEFAULT_QUERY, None),
        ("host=a; \n", {"host": "a"}, DEFAULT_QUERY, None),
        (";SELECT 1,2,3", {}, "SELECT 1,2,3", None),
        ("host=a user=b ;SELECT 1;SELECT ';'", {"host": "a", "user": "b"}, "SELECT 1;SELECT ';'", None),
        ("password='a;b' host=c;Q", {"password": "a;b", "host": "c"}, "Q", None),
        (r"password='a\';b' host=c;Q", {"password": "a';b", "host": "c"}, "Q", None),
        (r"password=a\;b host=c;Q", {"password": "a;b", "host": "c"}, "Q", None),
        ("password=it's;SELECT 'x'", {"password": "it's"}, "SELECT 'x'", None),
        ("password = 'a b'  host = c ; Q", {"password": "a b", "host": "c"}, " Q", None),
        ("password='' host=c;Q", {"password": "", "host": "c"}, "Q", None),
        ("host=a\nuser=b;Q", {"host": "a", "user": "b"}, "Q", None),
        ("host=a listen=c user=b;Q", {"host": "a", "user": "b"}, "Q", "c"),
        (r"listen='my \'channel\'; or so' host=a;Q", {"host": "a"}, "Q", "my 'channel'; or so"),
        ("listen=one listen=two;Q", {}, "Q", "two"),
        ("password=listen=x;Q", {"password": "listen=x"}, "Q", None),
        ("password='listen=x y';Q", {"password": "listen=x y"}, "Q", None),
        ("host=a;SELECT listen='x' FROM y", {"host": "a"}, "SELECT listen='x' FROM y", None),
        ("sslmode=verify-full sslrootcert=/ca host=a;Q", {"sslmode": "verify-full", "sslrootcert": "/ca"}, "Q", None),
        (
            "postgresql://u:p%3Bq@h:5433/d;Q",
            {"user": "u", "password": "p;q", "host": "h", "port": "5433", "dbname": "d"},
            "Q",
            None,
        ),
        ("postgres://h/d?sslmode=require;SELECT ';'", {"sslmode": "require", "host": "h"}, "SELECT ';'", None),
        ("postgresql://u:it's@h/d;SELECT 'a;b'", {"password": "it's"}, "SELECT 'a;b'", None),
        ("postgresql://h/d?listen=my%20channel;Q", {"host": "h", "dbname": "d"}, "Q", "my channel"),
        ("postgresql://h/d?listen=c&sslmode=disable;Q", {"sslmode": "disable"}, "Q", "c"),
        ("postgresql://h/d?sslmode=disable&listen=c", {"sslmode": "disable"}, DEFAULT_QUERY, "c"),
        ("postgresql://;Q", {}, "Q", None),
        ("postgresql://a:1,b:2/d?target_session_attrs=read-write;Q", {"host": "a,b", "port": "1,2"}, "Q", None),
    ],
)
def test_parts(text: str, parameters: dict[str, str], query: str, channel: str | None) -> None:
    read = read_argument(text)
    assert {key: read.parameters.get(key) for key in parameters} == parameters
    assert "listen" not in read.parameters
    assert (read.query, read.channel) == (query, channel)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("127.0.0.1/db", "can't be read"),
        ("user@127.0.0.1/db;Q", "pg://host=127.0.0.1"),
        (f"host=a password='{SECRET};Q", "unterminated"),
        (f"host=a password=my {SECRET};Q", "missing ="),
        (f"host=a password=my {SECRET}=1;Q", "unknown key"),
        ("hots=127.0.0.1;Q", "did you mean host?"),
        ("host=a tcp_user_timout=1;Q", "did you mean tcp_user_timeout?"),
        (f"postgresql://u:{SECRET}@[::1;Q", "can't be read"),
        (f"postgresql://u:{SECRET}%zz@h/d;Q", "percent"),
        (f"postgresql://u:%ff{SECRET}@h/d;Q", "no UTF-8"),
        (f"postgresql://u/x?{SECRET}=1@h/d;Q", "there is an unknown key"),
        (f"host=a passwort={SECRET}", "unknown key 'passwort' (did you mean password?)"),
        (f"host=a passwort=my {SECRET}=1", "unknown key 'passwort' (did you mean password?)"),
        ("host=a lisen=vassals", "unknown key 'lisen' (did you mean listen?)"),
        (f"host=a colour={SECRET}", "unknown key 'colour';"),
        (f"host=a password={SECRET} dbnam=x", "unknown key 'dbnam' (did you mean dbname?)"),
        (f"postgresql://h/d?pasword={SECRET}", "unknown key 'pasword' (did you mean password?)"),
        ("host=a listen=;Q", "names no channel"),
        ("host=a listen='';Q", "names no channel"),
        (f"host=a listen={'c' * 64};Q", "64 bytes"),
        ("postgresql://h/d?listen=;Q", "names no channel"),
        ("host=a connect_timeout=soon;Q", "connect_timeout"),
        ("host=a port=abc", "port is no number from 1 to 65535"),
        ("host=a,b port=1,99999", "port is no number from 1 to 65535"),
        ("postgresql://h:0/d", "port is no number from 1 to 65535"),
        ("host=a\0;Q", "NUL"),
        ("host=\udcff;Q", "UTF-8"),
        ("host=a;SELECT '\udcff'", "UTF-8"),
    ],
)
def test_mistakes_are_told_without_what_may_be_a_password(text: str, words: str) -> None:
    name = masked(f"pg://{text}") if SECRET not in text else "pg://…"
    with pytest.raises(UsageError) as error:
        PgMonitor(MonitorContext(name, text, lambda _: None, Ring()))
    assert words in str(error.value)
    assert str(error.value).startswith(f"--emperor {name}: ")
    assert SECRET not in str(error.value)


def test_no_repr_shows_a_password() -> None:
    assert SECRET not in repr(read_argument(f"host=a password={SECRET};SELECT '{SECRET}'"))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "the local socket:5432"),
        ("host=a", "a:5432"),
        ("host=a,b port=1,2", "a:1,b:2"),
        ("host=a,b port=1", "a:1,b:1"),
        ("host=/run/postgresql port=5433", "/run/postgresql:5433"),
        ("hostaddr=127.0.0.1", "127.0.0.1:5432"),
        ("service=emperor", "service emperor"),
        ("postgresql://[::1]:5433/d", "::1:5433"),
    ],
)
def test_where(text: str, where: str) -> None:
    assert read_argument(text).where == where


def test_what_is_set_unless_the_string_says_otherwise() -> None:
    read = read_argument("host=a").parameters
    assert read["tcp_user_timeout"] == "4000"
    assert read["fallback_application_name"] == "emperor-trio"
    assert (read["keepalives_idle"], read["keepalives_interval"], read["keepalives_count"]) == ("2", "1", "2")
    own = read_argument("host=a tcp_user_timeout=1 keepalives_idle=7 application_name=me client_encoding=LATIN1")
    assert own.parameters["tcp_user_timeout"] == "1"
    assert own.parameters["keepalives_idle"] == "7"
    assert own.parameters["application_name"] == "me"
    assert own.parameters["client_encoding"] == "UTF8", "everything is read as UTF-8"


@pytest.mark.parametrize(
    ("text", "variable", "limit"),
    [
        ("host=a", None, 3.0),
        ("host=a connect_timeout=10", None, 10.0),
        ("host=a connect_timeout=0", None, 60.0),
        ("host=a connect_timeout=600", None, 60.0),
        ("host=a", "7", 7.0),
    ],
)
def test_connect_timeout(text: str, variable: str | None, limit: float, monkeypatch: pytest.MonkeyPatch) -> None:
    if variable is not None:
        monkeypatch.setenv("PGCONNECT_TIMEOUT", variable)
    assert read_argument(text).connect_limit == limit


@given(st.text(alphabet=string.printable + "é\udcff\0", max_size=60) | st.text(max_size=60))
def test_any_argument_is_read_or_refused(text: str) -> None:
    for argument in (text, f"postgresql://{text}", f"host=a password={text};Q", f"postgresql://h/d?{text};Q"):
        with suppress(ValueError):
            read_argument(argument)


@given(
    st.dictionaries(
        st.sampled_from(["user", "password", "dbname", "options"]), st.text(alphabet="ab ;'\\=?", max_size=8)
    )
)
def test_quoted_values_come_through_whatever_is_in_them(values: dict[str, str]) -> None:
    escaped = {key: value.replace("\\", "\\\\").replace("'", "\\'") for key, value in values.items()}
    text = " ".join(f"{key}='{value}'" for key, value in escaped.items())
    read = read_argument(f"{text} listen=c;SELECT ';'")
    assert (read.query, read.channel) == ("SELECT ';'", "c")
    assert {key: read.parameters[key] for key in values} == values
