"""What ``pg://CONNINFO;QUERY`` means: the parameters of the connection, the query, and the channel to listen on. Pure.

libpq reads connection strings; here is only what libpq does not know: where the string ends, and the key ``listen``,
which is ours. No text that is made here repeats a word of the string but a key that is unknown, and that only where it
can't be a piece of a password.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from psycopg import Error, pq
from psycopg.conninfo import conninfo_to_dict

from emperor_trio.masking import masked, nearest_key
from emperor_trio.monitors._wait import CONNECT_LIMIT, UNHEARD_LIMIT

DEFAULT_QUERY = "SELECT name,config,EXTRACT(epoch FROM ts) FROM vassals"
"""The query where the argument has none, as in uWSGI."""

EXAMPLE = (
    "write pg://host=127.0.0.1 user=me dbname=emperor;SELECT name,config,ts FROM vassals"
    " or pg://postgresql://me@127.0.0.1/emperor;SELECT …, values with spaces in 'quotes'"
)

DEFAULTS = {
    "fallback_application_name": "emperor-trio",
    "keepalives_idle": "2",
    "keepalives_interval": "1",
    "keepalives_count": "2",
    "tcp_user_timeout": str(round(UNHEARD_LIMIT * 1000)),
}
"""What is set unless the connection string says something else: a network that is cut shows within 5 s."""

CHANNEL_LIMIT = 64
"""PostgreSQL's identifiers are shorter than this many bytes."""

LONGEST_CONNECT = 60.0
"""Seconds for a connection where ``connect_timeout`` is 0, which is no limit to libpq."""

_URI = re.compile(r"postgres(?:ql)?://")
_WORD = re.compile(r"\s*([^=\s;']+)\s*=\s*('(?:[^'\\]|\\.)*'|(?!')(?:[^\s;\\]|\\.)*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class PgArgument:
    """``parameters`` are libpq's by keyword, the password among them: never show them. ``connect_limit`` in seconds."""

    parameters: Mapping[str, str] = field(repr=False)
    query: str = field(repr=False)
    channel: str | None
    connect_limit: float

    @property
    def where(self) -> str:
        """The servers for people: ``host:port``, or several of them."""
        if service := self.parameters.get("service"):
            return f"service {service}"
        hosts = self._ask("host", "PGHOST") or self._ask("hostaddr", "PGHOSTADDR") or "the local socket"
        ports = (self._ask("port", "PGPORT") or "5432").split(",")
        named = hosts.split(",")
        return ",".join(f"{host}:{ports[min(number, len(ports) - 1)] or '5432'}" for number, host in enumerate(named))

    def _ask(self, keyword: str, variable: str) -> str:
        return self.parameters.get(keyword) or os.environ.get(variable, "")


def read_argument(text: str) -> PgArgument:
    """Read what stands behind ``pg://``. Raises ValueError, whose text says what is wrong and the way out."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("is no UTF-8") from None
    if "\0" in text:
        raise ValueError("holds a NUL")
    conninfo, query, channel = _split_uri(text) if _URI.match(text) else _split_words(text)
    if channel is not None:
        _check_channel(channel)
    given = _ask_libpq(conninfo)
    _check_ports(given.get("port", ""))
    return PgArgument(
        parameters={**DEFAULTS, **given, "client_encoding": "UTF8"},
        query=query if query.strip() else DEFAULT_QUERY,
        channel=channel,
        connect_limit=_read_timeout(given),
    )


def quote_identifier(name: str) -> str:
    """A name as SQL has it, exactly as it is written."""
    return '"' + name.replace('"', '""') + '"'


def _split_words(text: str) -> tuple[str, str, str | None]:
    """The form ``key=value key='a value'``: the string without ``listen``, the query, and the channel."""
    kept: list[str] = []
    channel, at = None, 0
    while word := _WORD.match(text, at):
        if word[1] == "listen":
            channel = _unquote_value(word[2])
        else:
            kept.append(word[0])
        at = word.end()
    rest, _, query = text[at:].partition(";")  # rest is only white space, or what libpq will complain about
    return "".join(kept) + rest, query, channel


def _split_uri(text: str) -> tuple[str, str, str | None]:
    """The same of a URI, in which a ``;`` of a value is written ``%3B``, and quotes mean nothing."""
    uri, _, query = text.partition(";")
    base, _, options = uri.partition("?")
    kept: list[str] = []
    channel = None
    for option in options.split("&"):
        key, _, value = option.partition("=")
        if unquote(key) == "listen":
            channel = unquote(value)
        else:
            kept.append(option)
    return (f"{base}?{'&'.join(kept)}" if any(kept) else base), query, channel


def _unquote_value(value: str) -> str:
    inner = value[1:-1] if value.startswith("'") else value
    return re.sub(r"\\(.)", r"\1", inner, flags=re.DOTALL)


def _check_channel(channel: str) -> None:
    if not channel:
        raise ValueError("listen= names no channel; write listen=vassals, say")
    if len(channel.encode()) >= CHANNEL_LIMIT:
        raise ValueError(f"listen= names a channel of {CHANNEL_LIMIT} bytes or more, which PostgreSQL has not")


def _ask_libpq(conninfo: str) -> dict[str, str]:
    try:
        return {key: str(value) for key, value in conninfo_to_dict(conninfo).items()}
    except Error as error:
        raise ValueError(f"{_explain(str(error), conninfo)}; {EXAMPLE}") from None
    except UnicodeDecodeError:
        raise ValueError(f"a percent-encoded value is no UTF-8; {EXAMPLE}") from None


def _explain(complaint: str, conninfo: str) -> str:
    """libpq's complaint without what it quotes, but for an unknown key, with the one that it was meant to be."""
    what, _, quoted = " ".join(complaint.split()).replace('"="', "=").partition('"')
    if what.startswith(("invalid connection option", "invalid URI query parameter")):
        key = quoted.rpartition('"')[0]
        near = nearest_key(key, [option.keyword.decode() for option in pq.Conninfo.get_defaults()] + ["listen"])
        named = f"unknown key {key!r}" if near or _may_be_named(key, conninfo) else "there is an unknown key"
        return named + (f" (did you mean {near}?)" if near else "")
    return f"the connection string can't be read: {what.strip()}{' …' if quoted else ''}"


def _may_be_named(key: str, conninfo: str) -> bool:
    """Whether it is no piece of a password, which is for the one rule to say; where an @ follows, it may be one."""
    return f"{key}=***" in masked(f"pg://{conninfo}") and "@" not in conninfo.rpartition(key)[2]


def _check_ports(ports: str) -> None:
    """One for each host, or one for all; an empty one is the default. (libpq says so only when it connects.)"""
    for port in ports.split(","):
        if port.strip() and not (re.fullmatch(r"\s*[0-9]{1,5}\s*", port) and 0 < int(port) < 65_536):
            raise ValueError("port is no number from 1 to 65535")


def _read_timeout(given: Mapping[str, str]) -> float:
    value = given.get("connect_timeout") or os.environ.get("PGCONNECT_TIMEOUT")
    if value is None:
        return CONNECT_LIMIT
    try:
        seconds = int(value)
    except ValueError:
        raise ValueError("connect_timeout is no number of seconds") from None
    return min(float(seconds), LONGEST_CONNECT) if seconds > 0 else LONGEST_CONNECT
