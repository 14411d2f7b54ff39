"""The kinds of values that options take: how each is read from text, and what is said where it can't be.

Nothing here knows which option a value is for, or where it stood.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from emperor_trio.model import CAPABILITIES, NAMESPACES, NOBODY

_LARGEST_COUNT = 2**31 - 1
_LONGEST = 10 * 365 * 24 * 3600.0
"""Times are shorter than this many seconds, ten years: no clock overflows."""


class Unreadable(ValueError):
    """A value is not of its kind; the text says more where there is more to say than what is expected."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value: ``metavar`` for ``--help``, ``expected`` for errors, ``read`` from text (``Unreadable``).

    ``bare`` is the text that stands for no value at all, where none is needed. ``unit`` is for people. ``verbatim``
    says that ``$(NAME)`` may be left in it, for a shell or a vassal.
    """

    metavar: str
    expected: str
    read: Callable[[str], object]
    bare: str | None = None
    unit: str = ""
    verbatim: bool = False


@dataclass(frozen=True, slots=True)
class Priority:
    """The start order of the vassals whose name matches a shell pattern: lower numbers go first."""

    pattern: str
    number: int


def _text(value: str) -> str:
    if not value:
        raise Unreadable
    try:
        encoded = os.fsencode(value)
    except UnicodeEncodeError:
        raise Unreadable("it holds characters that can't be encoded") from None
    if b"\0" in encoded:
        raise Unreadable("it holds a NUL")
    return value


def _flag(value: str) -> bool:
    match value.lower():
        case "true" | "on" | "yes" | "1":
            return True
        case "false" | "off" | "no" | "0":
            return False
    raise Unreadable


def _integer(smallest: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        if not re.fullmatch(r"[0-9]{1,10}", value) or not smallest <= int(value) <= _LARGEST_COUNT:
            raise Unreadable
        return int(value)

    return read


def _seconds(value: str) -> float:
    if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{0,12})?|\.[0-9]{1,12}", value) or float(value) > _LONGEST:
        raise Unreadable
    return float(value)


def _positive_seconds(value: str) -> float:
    seconds = _seconds(value)
    if seconds <= 0:
        raise Unreadable
    return seconds


def _octal(pattern: str) -> Callable[[str], int]:
    def read(value: str) -> int:
        if not re.fullmatch(pattern, value):
            raise Unreadable
        return int(value, 8)

    return read


def _mode(value: str) -> int:
    return 0o666 if value == "1" else _octal(r"0?[0-7]{3}")(value)


def _pair(value: str) -> str:
    name, equals, _ = _text(value).partition("=")
    if not name or not equals:
        raise Unreadable
    return value


def _environment(value: str) -> str:
    if not _text(value).partition("=")[0]:
        raise Unreadable
    return value


def _priority(value: str) -> Priority:
    pattern, _, number = _text(value).rpartition("=")
    if not pattern or not re.fullmatch(r"[+-]?[0-9]{1,9}", number):
        raise Unreadable
    return Priority(pattern, int(number))


def _words(value: str) -> list[str]:
    words = [word.strip().lower() for word in _text(value).split(",")]
    words = [word for word in words if word]
    if not words:
        raise Unreadable
    return words


def _namespaces(value: str) -> tuple[str, ...]:
    words = _words(value)
    for word in words:
        if word not in NAMESPACES:
            raise Unreadable(f"{word!r} is no namespace")
    return tuple(dict.fromkeys(NAMESPACES[word] for word in words))


def _capabilities(value: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_capability(word) for word in _words(value)))


def _capability(word: str) -> str:
    if re.fullmatch(r"[0-9]{1,3}", word) and int(word) < len(CAPABILITIES):
        return CAPABILITIES[int(word)]
    if word.removeprefix("cap_") in CAPABILITIES:
        return word.removeprefix("cap_")
    raise Unreadable(f"{word!r} is no capability")


def _address(value: str) -> str:
    host, colon, port = _text(value).rpartition(":")
    if colon and "/" not in host and not (re.fullmatch(r"[0-9]{1,5}", port) and int(port) < 65536):
        raise Unreadable
    return value


def _gateway(value: str) -> str:
    host, colon, _ = _address(value).rpartition(":")
    if not colon or "/" in host:
        raise Unreadable("it takes a port, since browsers reach no unix socket")
    return value if host else f"127.0.0.1{value}"


def _scaled(units: Mapping[str, int]) -> Callable[[str], int]:
    """A whole number with the letter of a unit behind it, or with none."""

    def read(value: str) -> int:
        found = re.fullmatch(r"([0-9]{1,12})([A-Z]?)", value.upper())
        if found is None or found[2] not in units:
            raise Unreadable
        return int(found[1]) * units[found[2]]

    return read


_size = _scaled({"": 1, "K": 2**10, "M": 2**20, "G": 2**30})


def _age(value: str) -> float:
    return _seconds(str(_scaled({"": 1, "S": 1, "M": 60, "H": 3600, "D": 86_400, "W": 604_800})(value)))


def _http_host(value: str) -> str:
    host = re.fullmatch(
        r"(?ai)(?:\*\.)?(?:\[[0-9a-f:.]+\]|[\w-]+(?:\.[\w-]+)*)\.?(?::(\d{1,5}))?", _text(value).strip()
    )
    if host is None or not 0 < int(host[1] or 1) < 65_536:
        raise Unreadable
    return value


def _user(value: str) -> str:
    return _known(_text(value), lambda: pwd.getpwnam(value), "user")


def _group(value: str) -> str:
    return _known(_text(value), lambda: grp.getgrnam(value), "group")


def _known(value: str, look: Callable[[], object], what: str) -> str:
    """A name of the system's, or a number, which need not have a name."""
    if re.fullmatch(r"[0-9]{1,10}", value):
        if int(value) >= NOBODY:
            raise Unreadable(f"no {what} can have this number")
        return value
    try:
        look()
    except KeyError:
        raise Unreadable(f"this system has no such {what}") from None
    return value


def _owner(value: str) -> str:
    user, colon, group = _text(value).partition(":")
    _user(user)
    if colon:
        _group(group)
    return value


def _one_of(choices: Collection[str]) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value not in choices:
            raise Unreadable
        return value

    return read


FLAG = Kind("", "true or false", _flag, bare="true")
TEXT = Kind("TEXT", "a text", _text)
MONITOR = Kind("MONITOR", "a folder, a pattern or SCHEME://…", _text)
FILE = Kind("FILE", "a path", _text)
DIRECTORY = Kind("DIR", "the path of a folder", _text)
COMMAND = Kind("COMMAND", "a command", _text, verbatim=True)
ADDRESS = Kind("ADDRESS", "HOST:PORT, :PORT or the path of a unix socket", _address)
HTTP_HOST = Kind("HOST", "HOST, HOST:PORT or *.DOMAIN, without http://", _http_host)
COUNT = Kind("N", "a whole number, 0 or more", _integer(0))
POSITIVE = Kind("N", "a whole number, 1 or more", _integer(1))
SECONDS = Kind("S", "a number of seconds, 0 or more, such as 30 or 0.5", _seconds, unit="s")
POSITIVE_SECONDS = Kind("S", "a number of seconds above 0, such as 30 or 0.5", _positive_seconds, unit="s")
MILLISECONDS = Kind("MS", "a whole number of milliseconds, 0 or more", _integer(0), unit="ms")
MODE = Kind("MODE", "three octal digits, such as 660", _mode, bare="666")
UMASK = Kind("MASK", "octal digits, such as 022", _octal(r"0?[0-7]{1,3}"))
PAIR = Kind("NAME=VALUE", "NAME=VALUE", _pair, verbatim=True)
ENVIRONMENT = Kind("NAME=VALUE", "NAME=VALUE, or NAME to remove it", _environment, verbatim=True)
PRIORITY = Kind("PATTERN=N", "PATTERN=N, such as 'db-*.ini=-10'", _priority)
NAMESPACE_LIST = Kind("NS,…", "names with commas between: fs, ipc, net, pid, uts, user", _namespaces)
CAPABILITY_LIST = Kind("CAP,…", "names or numbers with commas between, such as net_bind_service,setuid", _capabilities)
SIZE = Kind("SIZE", "a size, such as 500K, 10M or 1G, or 0", _size)
AGE = Kind("AGE", "a time, such as 90, 30m, 12h or 7d, or 0", _age)
VASSAL_LOGS = Kind("DIR|-", "the path of a folder, or -", _text)
CONTROL = Kind("PATH|none", "the path of a unix socket, or none", _text)
GATEWAY = Kind("HOST:PORT", "HOST:PORT, or :PORT for 127.0.0.1", _gateway)
USER = Kind("USER", "a user's name or number", _user)
GROUP = Kind("GROUP", "a group's name or number", _group)
OWNER = Kind("USER[:GROUP]", "USER or USER:GROUP, by name or number", _owner)
LOG_FORMAT = Kind("text|json", "text or json", _one_of(("text", "json")))
LOG_LEVEL = Kind("LEVEL", "debug, info, warning or error", _one_of(("debug", "info", "warning", "error")))
