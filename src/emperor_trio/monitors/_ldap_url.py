"""The argument of ldap:// and ldaps://: an LDAP URL as in RFC 4516, taken apart. Pure.

Texts of errors never quote the URL, as there may be a password in it, but an extension that is unknown.
"""

# python-ldap makes its names only when it is loaded.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

import ldap  # type: ignore[import-untyped]
import ldap.dn  # type: ignore[import-untyped]

from emperor_trio.masking import masked, nearest_key

OBJECT_CLASS = "uWSGIConfig"

PORTS = {"ldap": 389, "ldaps": 636}

_SCOPES = {"": ldap.SCOPE_SUBTREE, "sub": ldap.SCOPE_SUBTREE, "one": ldap.SCOPE_ONELEVEL, "base": ldap.SCOPE_BASE}
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\[\]:@\s]*)(?::(\d*))?")
_ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9-]*|\d+(\.\d+)+")
_SHAPE = "HOST[:PORT]/BASE[?ATTRIBUTES[?SCOPE[?FILTER[?EXTENSIONS]]]]"


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked for, and where.

    ``attributes`` are the only ones that count, in lower case; ``None`` is all. ``filter`` holds the object class, too.
    The scope is libldap's number. ``bind_dn`` and ``password`` are those of the URL's extensions.
    """

    scheme: str
    host: str
    port: int
    base: str
    attributes: frozenset[str] | None
    scope: int
    filter: str
    bind_dn: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        """``host:port`` for people."""
        return f"{self.host}:{self.port}"

    @property
    def server(self) -> str:
        """What libldap connects to."""
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine, as far as its name says."""
        return self.host in ("localhost", "[::1]") or self.host.startswith("127.")


def parse_url(scheme: str, argument: str) -> Target:
    """Take apart what stands behind ``scheme://``. Raises ValueError with what is wrong, and the way out."""
    authority, slash, rest = argument.partition("/")
    if not slash:
        raise ValueError(f"names no base to search below: it is {scheme}://{_SHAPE}")
    host, port = _parse_authority(authority, PORTS[scheme])
    parts = rest.split("?")
    if len(parts) > 5:
        raise ValueError(f"has more than five parts: it is {scheme}://{_SHAPE}, and a ? within a part is written %3F")
    base, attributes, scope, wanted, extensions = [*parts, "", "", "", ""][:5]
    known = _parse_extensions(extensions)
    return Target(
        scheme,
        host,
        port,
        _parse_dn(_decode(base, "base")),
        _parse_attributes(_decode(attributes, "list of attributes")),
        _parse_scope(scope),
        _parse_filter(_decode(wanted, "filter")),
        known.get("bindname"),
        known.get("x-bindpw"),
    )


def _parse_authority(text: str, default: int) -> tuple[str, int]:
    if "@" in text:
        raise ValueError("may hold no user: use --emperor-ldap-bind-dn and --emperor-ldap-password-file")
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        raise ValueError("names no host: it is a name, an IPv4 address or an IPv6 address in brackets, then :PORT")
    port = int(found[2]) if found[2] and len(found[2]) < 6 else default if not found[2] else 0
    if not 0 < port < 65536:
        raise ValueError("names a port that is none: 1 to 65535")
    return found[1] or "localhost", port


def _decode(text: str, what: str) -> str:
    try:
        decoded = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise ValueError(f"has a {what} that is no UTF-8") from None
    if "\0" in decoded:
        raise ValueError(f"has a {what} with a NUL")
    return decoded


def _parse_dn(text: str) -> str:
    try:
        ldap.dn.str2dn(text)
    except ldap.LDAPError:
        raise ValueError("has a base that is no distinguished name, such as ou=vassals,dc=example,dc=org") from None
    return text


def _parse_attributes(text: str) -> frozenset[str] | None:
    names = {name.strip().lower() for name in text.split(",") if name.strip()}
    if not names or "*" in names:
        return None
    for name in names:
        if not _ATTRIBUTE.fullmatch(name):
            raise ValueError("lists an attribute whose name is none: letters, digits and hyphens")
    return frozenset(names)


def _parse_scope(text: str) -> int:
    try:
        return int(_SCOPES[text.lower()])
    except KeyError:
        raise ValueError("has a scope that is none of base, one and sub (sub where it is left out)") from None


def _parse_filter(text: str) -> str:
    ours = f"(objectClass={OBJECT_CLASS})"
    if not text:
        return ours
    if not text.startswith("("):
        text = f"({text})"
    if not _is_balanced(text):
        raise ValueError(r"has a filter whose parentheses do not match; within a value they are written \28 and \29")
    return f"(&{ours}{text})"


def _is_balanced(text: str) -> bool:
    """Whether it is one pair of parentheses with all else in it, so that it can't reach beyond our own."""
    depth = 0
    for position, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if depth <= 0 and position < len(text) - 1:
            return False
    return depth == 0


def _parse_extensions(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, part in enumerate(text.split(",") if text else (), 1):
        name, _, value = part.removeprefix("!").partition("=")
        name = name.lower()
        if name not in ("bindname", "x-bindpw"):
            near = nearest_key(name, ("bindname", "x-bindpw"))
            meant = f" (did you mean {near}?)" if near else ""
            named = repr(name) if near or _may_be_named(part, text) else f"as number {number}"
            raise ValueError(
                f"has an unknown extension {named}{meant}; there are bindname and x-bindpw"
                " (a comma in a value is written %2C)"
            )
        found[name] = _decode(value, name)
    if "x-bindpw" in found and not (found["x-bindpw"] and found.get("bindname")):
        raise ValueError("has an x-bindpw that is empty, or no bindname to go with it")
    return found


def _may_be_named(part: str, extensions: str) -> bool:
    """Whether it is an extension and no piece of a password with a comma, which is for the one rule to say."""
    return f"{part.partition('=')[0]}=***" in masked(f"ldap://????{extensions}").partition("????")[2].split(",")
