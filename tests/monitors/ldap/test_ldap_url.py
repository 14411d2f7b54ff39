"""The argument: RFC 4516's parts, what is wrong in words, and no password in any of them."""

# python-ldap makes its names only when it is loaded.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from contextlib import suppress
from typing import Any

import ldap  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emperor_trio.errors import UsageError
from emperor_trio.masking import masked
from emperor_trio.monitors._ldap_url import parse_url
from emperor_trio.monitors.ldap import LdapMonitor, LdapsMonitor
from emperor_trio.ports import MonitorContext
from emperor_trio.testing.conformance import Ring

OURS = "(objectClass=uWSGIConfig)"
BASE = "ou=vassals,dc=example,dc=org"


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        (f"127.0.0.1/{BASE}", {"host": "127.0.0.1", "port": 389, "base": BASE, "scope": ldap.SCOPE_SUBTREE}),
        (f"/{BASE}", {"host": "localhost"}),
        (f"ldap.example.org:3389/{BASE}", {"host": "ldap.example.org", "port": 3389}),
        (f"[::1]:3389/{BASE}", {"host": "[::1]", "port": 3389, "server": "ldap://[::1]:3389"}),
        (f"h:/{BASE}", {"port": 389}),
        ("h/", {"base": ""}),
        ("h/o=An%20Example%5C2C%20Inc.,c=US", {"base": r"o=An Example\2C Inc.,c=US"}),
        ("h/ou=k%C3%B6nig", {"base": "ou=könig"}),
        (f"h/{BASE}?", {"attributes": None, "filter": OURS}),
        (f"h/{BASE}?*", {"attributes": None}),
        (f"h/{BASE}?uWSGImodule,uWSGIsocket", {"attributes": frozenset({"uwsgimodule", "uwsgisocket"})}),
        (f"h/{BASE}??one", {"scope": ldap.SCOPE_ONELEVEL}),
        (f"h/{BASE}??BASE", {"scope": ldap.SCOPE_BASE}),
        (f"h/{BASE}??sub?(ou=web)", {"scope": ldap.SCOPE_SUBTREE, "filter": f"(&{OURS}(ou=web))"}),
        (f"h/{BASE}???ou=web", {"filter": f"(&{OURS}(ou=web))"}),
        (f"h/{BASE}???(%7C(a=1)(b=2%3F))", {"filter": f"(&{OURS}(|(a=1)(b=2?)))"}),
        (f"h/{BASE}????bindname=cn=a%2Cdc=b,x-bindpw=p%2Cw%3F", {"bind_dn": "cn=a,dc=b", "password": "p,w?"}),
        (f"h/{BASE}????!bindname=cn=a", {"bind_dn": "cn=a", "password": None}),
    ],
)
def test_parts(argument: str, expected: dict[str, Any]) -> None:
    target = parse_url("ldap", argument)
    assert {name: getattr(target, name) for name in expected} == expected


def test_ldaps_has_another_port() -> None:
    assert parse_url("ldaps", "h/dc=x").server == "ldaps://h:636"


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("", "names no base"),
        ("host", "names no base"),
        ("a b/dc=x", "names no host"),
        ("user:secret@h/dc=x", "--emperor-ldap-bind-dn"),
        ("h:0/dc=x", "port"),
        ("h:70000/dc=x", "port"),
        ("h:x/dc=x", "names no host"),
        ("::1/dc=x", "names no host"),
        ("h/vassals", "no distinguished name"),
        ("h/ou=%FF", "no UTF-8"),
        ("h/ou=%00", "NUL"),
        ("h/dc=x?a b", "attribute"),
        ("h/dc=x??tree", "none of base, one and sub"),
        ("h/dc=x???(a=1", "parentheses"),
        ("h/dc=x???(a=1)(b=2)", "parentheses"),
        ("h/dc=x???a=1)(b=2", "parentheses"),
        ("h/dc=x????bindname=cn=a,dc=secret", "%2C"),
        ("h/dc=x????x-bindpw=secret", "bindname"),
        ("h/dc=x????bindname=cn=a,x-bindpwd=secret", "unknown extension 'x-bindpwd' (did you mean x-bindpw?)"),
        ("h/dc=x????colour=secret", "unknown extension 'colour';"),
        ("h/dc=x????bindname=cn=a,x-bindpw=a,secret=b", "unknown extension as number 3;"),
        ("h/dc=x????bindname=cn=a,x-bindpw=", "x-bindpw"),
        ("h/dc=x????bindname=cn=a,x-bindpw=sec?ret", "%3F"),
        ("h/dc=x????bindname=cn=a", "--emperor-ldap-password-file"),
    ],
)
def test_errors_say_what_is_wrong_and_no_password(argument: str, complaint: str) -> None:
    with pytest.raises(UsageError) as error:
        make(f"ldap://{argument}")
    assert complaint in str(error.value)
    assert str(error.value).startswith("--emperor ldap://")
    assert "secret" not in str(error.value).partition(": ")[2]
    assert "\n" not in str(error.value)


def test_options_that_do_not_go_together() -> None:
    with pytest.raises(UsageError, match="--emperor-ldap-password-file"):
        make("ldap://h/dc=x", ldap_bind_dn="cn=a")
    with pytest.raises(UsageError, match="--emperor-ldap-bind-dn"):
        make("ldap://h/dc=x", ldap_password_file="/etc/secret")
    make("ldap://h/dc=x", ldap_bind_dn="cn=a", ldap_password_file="/not/there/yet")
    make("ldaps://h/dc=x????bindname=cn=a", ldap_password_file="/not/there/yet")


def test_the_password_is_in_no_name_and_no_repr() -> None:
    argument = "h/dc=x????bindname=cn=a,x-bindpw=s3cret"
    assert "s3cret" not in masked(f"ldap://{argument}")
    assert "s3cret" not in masked(f"ldap://{argument}".replace("bindname=cn=a,x-bindpw=s3cret", "x-bindpw=s3cret,b=1"))
    assert "s3cret" not in repr(parse_url("ldap", argument))


@given(st.text() | st.text("ldap/?:(),=%[]@!&|0123 bindname"))
def test_any_text_parses_or_is_refused_in_words(text: str) -> None:
    with suppress(ValueError):
        parse_url("ldap", text)


def make(text: str, **options: Any) -> LdapMonitor:
    scheme, _, argument = text.partition("://")
    kind = LdapsMonitor if scheme == "ldaps" else LdapMonitor
    return kind(MonitorContext(masked(text), argument, lambda _: None, Ring(), **options))
