"""What one LDAP entry comes to: a vassal with an ini config made of its ``uWSGI…`` attributes, or what is wrong. Pure.

It judges what anybody may have put into a directory. Which entries there are is :mod:`._ldap_mirror`'s.
"""

# python-ldap makes its names only when it is loaded.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import ldap  # type: ignore[import-untyped]
import ldap.dn  # type: ignore[import-untyped]

from emperor_trio.model import MAX_CONFIG, MAX_NAME
from emperor_trio.monitors._answers import Entry
from emperor_trio.monitors._rows import BadField, RowRules, Wrong, make_spec, read_text

PREFIX = "uwsgi"

Attributes = Mapping[str, Sequence[bytes]]

OPERATIONAL = ("entryUUID", "entryCSN", "modifyTimestamp")
"""What is asked for beside an entry's own attributes: who it is, and which version of it this is."""

NEEDED = ("cn", "uidNumber", "gidNumber")
"""What is asked for though an URL does not list it."""

_BEFORE_DIGITS = {
    "log4xx": "log-4xx",
    "log5xx": "log-5xx",
    "errorPage403": "error-page-403",
    "errorPage404": "error-page-404",
    "errorPage500": "error-page-500",
}
"""The options with a digit behind a hyphen: a digit has no capital that could say so."""

_WORDS = {b"TRUE": "true", b"FALSE": "false"}
_FORGING = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]")
_CSN = re.compile(rb"(\d{14})\.(\d{6})Z#([0-9a-fA-F]{6})#([0-9a-fA-F]{3})#([0-9a-fA-F]{6})")
_TIME = re.compile(rb"(\d{14})(?:[.,]\d+)?Z")
_FIELDS = {"uid": "uidNumber", "gid": "gidNumber", "name": "cn"}


@dataclass(frozen=True, slots=True)
class Mark:
    """Which version of which entry something is. ``key`` tells entries apart, over renames where servers permit.

    ``exact`` says that ``stamp`` changes with every change, which a time in whole seconds does not.
    """

    key: bytes
    dn: str
    stamp: bytes
    exact: bool

    @property
    def has_uuid(self) -> bool:
        """Whether the server told the entry's own id, and not only its name."""
        return self.key != self.dn.encode("utf-8", "surrogateescape")


def read_mark(dn: str, attributes: Attributes) -> Mark:
    """The mark of an entry. Never raises."""
    csn = _first(attributes, "entryCSN")
    uuid = _first(attributes, "entryUUID")
    return Mark(
        _read_uuid(uuid) or dn.encode("utf-8", "surrogateescape"),
        dn,
        csn or _first(attributes, "modifyTimestamp") or b"",
        csn is not None,
    )


def read_entry(rules: RowRules, dn: str, attributes: Attributes, wanted: frozenset[str] | None = None) -> Entry:
    """Judge one entry. Never raises, whatever is in it.

    ``wanted`` are the only attributes that count for the config, in lower case; ``None`` is all.
    """
    name = dn
    try:
        name = read_vassal_name(dn, attributes)
        config = render(attributes, wanted)
        uid, gid = _first(attributes, "uidNumber"), _first(attributes, "gidNumber")
        version, modified = _read_version(attributes, config, uid, gid)
        return make_spec(rules, name=name, config=config, version=version, modified=modified, uid=uid, gid=gid)
    except BadField as bad:
        return Wrong(name, _FIELDS.get(bad.field, bad.field), bad.of(name).value, bad.reason)


def read_vassal_name(dn: str, attributes: Attributes) -> str:
    """The first ``cn``, else the value of the RDN, with ``.ini`` behind it. Raises BadField."""
    value: object = _first(attributes, "cn")
    if value is None:
        try:
            value = ldap.dn.str2dn(dn)[0][0][1]
        except (ldap.LDAPError, LookupError, UnicodeError):
            raise BadField("name", dn, "has no cn, and a DN without a name") from None
    text = read_text(value, "name")
    if not 0 < len(text) < MAX_NAME:
        raise BadField("name", value, f"has {MAX_NAME} characters or more" if text else "is missing")
    if _FORGING.search(text):
        raise BadField("name", value, "holds a line break or another control character")
    return text if text.endswith(".ini") else f"{text}.ini"


def render(attributes: Attributes, wanted: frozenset[str] | None = None) -> str:
    """The config: one line for each value, attributes in the order of their names. Raises BadField."""
    lines = ["[uwsgi]"]
    size = 0
    for name in sorted(attributes):
        if name[:5].lower() != PREFIX or (wanted is not None and name.lower() not in wanted):
            continue
        option = read_option(name)
        if option == "null":
            continue
        for value in attributes[name]:
            lines.append(f"{option} = {read_value(name, value)}")
            size += len(value) + len(option)
            if size > MAX_CONFIG:
                raise BadField(
                    "config", None, f"is too large: the emperor protocol carries {MAX_CONFIG:,} bytes at most"
                )
    if len(lines) == 1:
        raise BadField("config", None, "is missing: the entry has no uWSGI… attribute that could be seen")
    return "\n".join(lines) + "\n"


def read_option(attribute: str) -> str:
    """The option that an attribute stands for: ``uWSGIfooBar`` is ``foo-bar``. Raises BadField."""
    name = attribute[len(PREFIX) :]
    if not name.isascii() or not name.isalnum():
        raise BadField(attribute[:80], None, "is no attribute that could stand for an option")
    return _BEFORE_DIGITS.get(name) or "".join(_spell(name))


def _spell(name: str) -> Iterator[str]:
    for char in name:
        yield f"-{char.lower()}" if char.isupper() else char


def read_value(attribute: str, value: bytes) -> str:
    """One value as it stands in the config: it can hold nothing that would begin another line. Raises BadField."""
    word = _WORDS.get(value)
    if word is not None:
        return word
    text = read_text(value, attribute)
    if _FORGING.search(text):
        raise BadField(attribute, value, "holds a line break or another control character")
    return text


def _read_version(attributes: Attributes, config: str, uid: bytes | None, gid: bytes | None) -> tuple[int, int]:
    """A number that is another one after each change, and the time of the last one in seconds.

    ``entryCSN`` alone does. A time in whole seconds is told from others within its second by the content.
    """
    csn = _CSN.fullmatch(_first(attributes, "entryCSN") or b"")
    modified = _read_seconds(_first(attributes, "modifyTimestamp"))
    if csn is not None:
        count, server, change = (int(part, 16) for part in csn.groups()[2:])
        number = int(csn[1] + csn[2]) << 60 | count << 36 | server << 24 | change
        return number, modified or _read_seconds(csn[1] + b"Z")
    content = b"\0".join((config.encode(), uid or b"", gid or b"", _first(attributes, "entryCSN") or b""))
    digest = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")
    return modified << 64 | digest, modified


def _read_seconds(value: bytes | None) -> int:
    found = _TIME.fullmatch(value or b"")
    if found is None:
        return 0
    try:
        moment = datetime.strptime(found[1].decode(), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return 0
    return max(0, int(moment.timestamp()))


def _read_uuid(value: bytes | None) -> bytes | None:
    try:
        return UUID(value.decode()).bytes if value else None
    except ValueError:
        return None


def _first(attributes: Attributes, name: str) -> bytes | None:
    """The first value of an attribute; servers may write its name as they like."""
    values = attributes.get(name)
    if values is None:
        lower = name.lower()
        values = next((values for other, values in attributes.items() if other.lower() == lower), None)
    return values[0] if values else None
