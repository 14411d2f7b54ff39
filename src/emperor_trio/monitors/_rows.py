"""What one row, document, message, znode or entry of a server comes to: a vassal's spec, or what is wrong. Pure.

It judges values of any type, since whoever fills the source may be anybody. It does not know drivers; what was there
before, and what is said of it, is :mod:`._answers`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from math import floor, isfinite

from emperor_trio.model import MAX_CONFIG, NOBODY, Owner, VassalSpec, config_option
from emperor_trio.ports import MonitorContext

MICRO = 1_000_000
"""Versions made of times count microseconds, which is what PostgreSQL keeps; MongoDB's milliseconds fit in."""

SHOWN = 80
"""Characters of a wrong value that are shown."""

SHOWN_NAME = 300
"""Characters of a wrong entry's name that are kept and shown; names of vassals are shorter."""

_RAW_BYTE = re.compile(r"\\\\|\\udc([89a-f][0-9a-f])")  # as repr writes what "surrogateescape" made of a byte


@dataclass(frozen=True, slots=True)
class Wrong:
    """One entry that can't be a vassal: which field, its value as shown ("" for none), and why.

    ``name`` is the vassal's where the entry has one, else whatever tells the entry from others (a row's number, a key).
    """

    name: str
    field: str
    value: str
    reason: str


class BadField(Exception):
    """A field of an entry is wrong. ``args`` are the field, its value and the reason."""

    def __init__(self, field: str, value: object, reason: str) -> None:
        super().__init__(field, value, reason)
        self.field, self.value, self.reason = field, value, reason

    def of(self, name: str) -> Wrong:
        return Wrong(cut_name(name), self.field, "" if _is_missing(self.value) else show(self.value), self.reason)


@dataclass(frozen=True, slots=True)
class RowRules:
    """Uid and gid mean something in Tyrant mode only, and are not even looked at elsewhere (as in uWSGI)."""

    extra_extensions: frozenset[str] = frozenset()
    tyrant: bool = False
    attributes: frozenset[str] = frozenset()

    @classmethod
    def of(cls, context: MonitorContext) -> RowRules:
        return cls(context.extra_extensions, context.tyrant, context.attributes)


def read_row(
    rules: RowRules,
    *,
    name: object,
    config: object,
    version: object,
    uid: object = None,
    gid: object = None,
    socket: object = None,
    attributes: Mapping[str, object] | None = None,
    label: str = "",
) -> VassalSpec | Wrong:
    """Judge one entry whose ``version`` is a time (see :func:`read_time`). Never raises, whatever the values are.

    ``label`` names the entry where its name can't: a row's number, a document's key.
    """
    try:
        moment, modified = read_time(version)
        return make_spec(rules, name=name, config=config, version=moment, modified=modified,
                         uid=uid, gid=gid, socket=socket, attributes=attributes)  # fmt: skip
    except BadField as bad:
        return bad.of(name if isinstance(name, str) and name else label or show(name))


def make_spec(
    rules: RowRules,
    *,
    name: object,
    config: object,
    version: int,
    modified: int,
    uid: object = None,
    gid: object = None,
    socket: object = None,
    attributes: Mapping[str, object] | None = None,
) -> VassalSpec:
    """The same where the version is known already. Raises :class:`BadField`."""
    return VassalSpec(
        name=read_name(name, rules),
        version=version,
        modified=modified,
        config=read_config(config),
        owner=read_owner(uid, gid) if rules.tyrant else None,
        socket=read_socket(socket),
        attributes=read_attributes(attributes or {}),
    )


def read_attributes(values: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Attributes, each a text without NUL, or missing."""
    found = []
    for name, value in sorted(values.items()):
        if not _is_missing(value):
            text = read_text(value, name)
            if "\0" in text:
                raise BadField(name, value, "no attribute may hold a NUL")
            found.append((name, text))
    return tuple(found)


def read_name(value: object, rules: RowRules) -> str:
    """A vassal's name: text, or bytes of UTF-8, that ends as configs do and is shorter than 255 bytes."""
    text = read_text(value, "name")
    if not text:
        raise BadField("name", value, "is missing")
    if "\0" in text:
        raise BadField("name", value, "no name may hold a NUL")
    if config_option(text, rules.extra_extensions) is None:
        raise BadField(
            "name",
            value,
            "its ending is no config's (.ini, .xml, .yaml, .json, …), or it has 255 bytes or more",
        )
    return text


def read_config(value: object) -> bytes:
    """A config: text, or bytes of UTF-8, of 65,535 bytes at most (what one chunk of the config pipe carries)."""
    text = read_text(value, "config")
    config = value if isinstance(value, bytes) else text.encode()  # thousands of them need not be there twice
    if not config.strip():
        raise BadField("config", value, "is missing")
    if len(config) > MAX_CONFIG:
        raise BadField("config", f"{len(config):,} bytes", f"the emperor protocol carries {MAX_CONFIG:,} bytes at most")
    if b"\0" in config:
        raise BadField("config", value, "no config may hold a NUL")
    return config


def read_owner(uid: object, gid: object) -> Owner | None:
    """Whom a vassal runs as; ``None`` where neither is given. Root is for the law to refuse, not for here."""
    if _is_missing(uid) and _is_missing(gid):
        return None
    return Owner(read_id(uid, "uid"), read_id(gid, "gid"))


def read_id(value: object, field: str) -> int:
    """A user's or group's number, also as decimal text or as a whole floating-point number (MongoDB's shell)."""
    if _is_missing(value):
        raise BadField(field, value, "is missing, and Tyrant mode needs uid and gid")
    number: int | None = None
    match value:
        case bool():
            pass
        case int():
            number = value
        case float() | Decimal() if _is_finite(value) and -1 < value < NOBODY and value == int(value):
            number = int(value)
        case str() | bytes():
            text = read_text(value, field).strip()
            number = int(text) if text.isascii() and text.isdecimal() and len(text) <= 10 else None
        case _:
            pass
    if number is None:
        raise BadField(field, value, "is no number")
    if not 0 <= number < NOBODY:
        raise BadField(field, value, "is no number of a user or group")
    return number


def read_socket(value: object) -> str | None:
    """The address of an on-demand vassal; missing or empty, there is none."""
    if _is_missing(value):
        return None
    text = read_text(value, "socket").strip()
    if "\0" in text:
        raise BadField("socket", value, "no address may hold a NUL")
    return text or None


def read_time(value: object, field: str = "ts") -> tuple[int, int]:
    """The version (microseconds since the epoch) and the whole seconds of a time.

    Takes seconds since the epoch as a number or as decimal text, both with or without a fraction, and datetimes; one
    without a zone is UTC.
    """
    match value:
        case bool() | None:
            seconds = None
        case int() | float() | Decimal():
            seconds = Decimal(value) if _is_finite(value) else None
        case datetime():
            try:
                whole = value if value.tzinfo else value.replace(tzinfo=UTC)
                seconds = Decimal(int(whole.timestamp())) + Decimal(whole.microsecond) / MICRO
            except (OverflowError, ValueError):
                seconds = None
        case str() | bytes():
            seconds = _decimal(read_text(value, field))
        case _:
            seconds = None
    if seconds is None or seconds.adjusted() > 15 or abs(seconds) > 2**53:
        reason = "is missing" if _is_missing(value) else "is no time: seconds since 1970, or a timestamp"
        raise BadField(field, value, reason)
    return round(seconds * MICRO), floor(seconds)


def read_text(value: object, field: str) -> str:
    """Text, also from bytes of UTF-8; ``None`` is "". Raises :class:`BadField` for anything else."""
    match value:
        case None:
            return ""
        case str():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise BadField(field, value, "is no valid Unicode") from None
            return value
        case bytes() | bytearray() | memoryview():
            try:
                return bytes(value).decode()
            except UnicodeDecodeError:
                raise BadField(field, value, "is no UTF-8") from None
        case _:
            raise BadField(field, value, f"is {_kind_of(value)}, not text")


def show(value: object) -> str:
    """A value on one line as its source has it, cut where it is long. Bytes are text, those that are none ``\\xNN``."""
    try:
        text = _write(value)
    except Exception:
        text = f"a {type(value).__name__}"
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _write(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case str():
            return _RAW_BYTE.sub(lambda found: f"\\x{found[1]}" if found[1] else found[0], repr(value[: SHOWN + 1]))
        case bytes() | bytearray() | memoryview():
            return _write(bytes(value[: 4 * SHOWN]).decode("utf-8", "surrogateescape"))
        case Decimal() | datetime():
            return str(value)
        case dict() | list():
            return json.dumps(value, default=show)
        case _:
            return repr(value)


def _kind_of(value: object) -> str:
    match value:
        case bool():
            return "true or false"
        case int() | float() | Decimal():
            return "a number"
        case list() | tuple():
            return "a list"
        case dict():
            return "an object"
        case datetime():
            return "a time"
        case _:
            return f"of type {type(value).__name__}"


def cut_name(name: str) -> str:
    """A name as it is told, which nobody may have limited where it came from."""
    return name if len(name) <= SHOWN_NAME else f"{name[:SHOWN_NAME]}…"


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, str | bytes | bytearray | memoryview) and not _has_text(value))


def _has_text(value: str | bytes | bytearray | memoryview) -> bool:
    """Whether there is anything in it but white space."""
    return bool(value.strip() if isinstance(value, str) else bytes(value).strip())


def _is_finite(value: int | float | Decimal) -> bool:
    return isinstance(value, int) or (value.is_finite() if isinstance(value, Decimal) else isfinite(value))


def _decimal(text: str) -> Decimal | None:
    try:
        number = Decimal(text.strip()) if len(text) <= 40 else None
    except InvalidOperation:
        return None
    return number if number is not None and number.is_finite() else None
