"""Addresses without their passwords: the one rule for what logs, statistics, errors and ``ps`` show of a source."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from functools import lru_cache
from urllib.parse import unquote

_KEYS_OF_PG = frozenset({
    "application_name", "channel_binding", "client_encoding", "connect_timeout", "dbname",
    "fallback_application_name", "gssdelegation", "gssencmode", "gsslib", "host", "hostaddr", "keepalives",
    "keepalives_count", "keepalives_idle", "keepalives_interval", "krbsrvname", "listen", "load_balance_hosts",
    "max_protocol_version", "min_protocol_version", "options", "passfile", "port", "replication", "require_auth",
    "requirepeer", "requiressl", "service", "servicefile", "ssl", "ssl_max_protocol_version",
    "ssl_min_protocol_version", "sslcert", "sslcertmode", "sslcompression", "sslcrl", "sslcrldir", "sslkey",
    "sslmode", "sslnegotiation", "sslrootcert", "sslsni", "target_session_attrs", "tcp_user_timeout", "user",
})  # fmt: skip
_KEYS_OF_MONGODB2 = "addr|address|server|coll|collection|json|db|database|username|replica|defaults"
_SECRET_KEYS = frozenset({"password", "predigest", "sslpassword", "x-bindpw"})

# A password may hold a slash, though it should not. What looks like a port is none, unless it is all there is.
_USERINFO = re.compile(r"(://[^/@\s:]*):(?:[^/\s]*@|(?!//|\d{1,5}[/?,;])\S*@)")
_KEYWORD = (
    r"\b(pas+w\w*|pwd|predigest|sslpassword|bindpw|x-bindpw|secret|token"
    r"|tlsCertificateKeyFilePassword|authMechanismProperties|proxyPassword)\s*=\s*"
)
_IN_QUERY = re.compile(rf"(?i)(?<=[?&]){_KEYWORD}[^&\s;]*")
_NEXT_KEY = rf",(?=\s*(?:{_KEYS_OF_MONGODB2})\s*=)"
_ITEM = re.compile(
    r"(?is)(?P<before>(?:(?<=^mongodb2://)|,)\s*)"
    rf"(?:(?:json|defaults)\s*=(?:\\.|(?!{_NEXT_KEY}|(?<=[}}\]\s]),\s*[\w-]+\s*=).)*"  # commas of JSON end nothing
    rf"|(?:{_KEYS_OF_MONGODB2})\s*=(?:\\.|[^,\\])*"
    rf"|(?P<key>[^=,]*)=(?:\\.|(?!{_NEXT_KEY}).)*)"  # a comma in a password may lack its backslash
)
_PG_WORD = re.compile(r"(\s*)([^=\s;']+)\s*=\s*('(?:[^'\\]|\\.)*'|(?!')(?:[^\s;\\]|\\.)*)", re.DOTALL)
_PG_URI = re.compile(r"pg://postgres(?:ql)?://")
_OPTION = re.compile(r"([?&])([^=&;?]*)=([^&;]*)")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_MONGODB_USERINFO = re.compile(r"^(mongodb://[^/@\s:]*):[^;{]*@")  # a slash in a password may lack its %2F
_NO_PORT = r"(?!\d{1,5}(?:[/?,;]|$))"
_SPACED_USERINFO = re.compile(  # nor may a password hold white space
    rf"(?s)^((?:amqps?|zoo)://[^/@\s:]*):{_NO_PORT}.*@|^(pg://postgres(?:ql)?://[^/@\s:]*):{_NO_PORT}[^;]*@"
)
_LDAP_PASSWORD = re.compile(r"(?is)^(ldaps?://.*?\bx-bindpw)=[^,]*")  # nothing but a comma ends it
_WORD = re.compile(r"\S+")
_IN_WORDS = re.compile(rf"(?i)(?<![?&]){_KEYWORD}('(?:[^'\\]|\\.)*'|[^\s;]*)")


@lru_cache(maxsize=1024)
def masked(text: str) -> str:
    """The text with passwords replaced by ``***``: in URLs, in libpq's ``key=value`` words and in comma lists.

    In an address of pg, mongodb2 and ldap so are the values of keys that are unknown: a password's may be misspelt.
    It takes time in proportion to the text, whoever wrote it.
    """
    text = _MONGODB_USERINFO.sub(r"\1:***@", text)
    text = _SPACED_USERINFO.sub(r"\1\2:***@", text)
    if text.startswith("pg://"):
        text = _mask_pg_uri(text) if _PG_URI.match(text) else _mask_pg_words(text)
    elif text.startswith(("ldap://", "ldaps://")):
        text = _mask_ldap(text)
    text = _LDAP_PASSWORD.sub(r"\1=***", text)
    text = _WORD.sub(_mask_userinfo, text)
    hide = _hide if _ADDRESS.match(text) else _hide_once
    text = _IN_QUERY.sub(hide, text)
    if text.startswith("mongodb2://"):
        return _ITEM.sub(_mask_item, text)
    return _IN_WORDS.sub(hide, text)


def nearest_key(key: str, known: Collection[str]) -> str | None:
    """The key that a misspelt one was meant to be, if any is similar."""
    return next(iter(difflib.get_close_matches(key.lower()[:40], known, 1, 0.7)), None)


def _hide(found: re.Match[str]) -> str:
    return f"{found[1]}=***"


def _hide_once(found: re.Match[str]) -> str:
    """In a sentence, an address may have been masked already, and what stands behind it is the sentence's own."""
    return found[0] if re.search(r"=\s*\*{3}(?![\w*])", found[0]) else _hide(found)


def _mask_userinfo(word: re.Match[str]) -> str:
    """Beyond a word's last @ nothing is sought: it would be, in vain, from each place anew."""
    head, at, tail = word[0].rpartition("@")
    return _USERINFO.sub(r"\1:***@", head + at) + tail


def _mask_pg_words(text: str) -> str:
    """``key=value`` up to the query. What follows an unquoted secret without being a key may be the rest of it."""
    shown, at, doubtful = ["pg://"], len("pg://"), False
    while word := _PG_WORD.match(text, at):
        space, key, value = word.groups()
        if key in _KEYS_OF_PG:
            shown.append(word[0])
            doubtful = False
        else:
            shown.append(f"{space}{_mask_key(key, doubtful)}=***")
            doubtful = not value.startswith("'")
        at = word.end()
    rest, semicolon, query = text[at:].partition(";")
    if doubtful and rest.strip():
        rest = " ***"
    elif "=" in rest:  # a quote that is not closed, beyond which there is no query
        return "".join(shown) + rest.partition("=")[0] + "=***"
    return "".join(shown) + rest + semicolon + query


def _mask_pg_uri(text: str) -> str:
    uri, semicolon, query = text.partition(";")
    return _OPTION.sub(_mask_option, uri) + semicolon + query


def _mask_option(found: re.Match[str]) -> str:
    return found[0] if unquote(found[2]) in _KEYS_OF_PG else f"{found[1]}{found[2]}=***"


def _mask_item(found: re.Match[str]) -> str:
    return found[0] if found["key"] is None else f"{found['before']}{found['key']}=***"


def _mask_ldap(text: str) -> str:
    """The extensions of an LDAP URL. A comma in a password may lack its %2C."""
    *rest, extensions = text.split("?", 4)
    if len(rest) < 4:
        return text
    shown, doubtful = [], False
    for part in extensions.split(","):
        key, equals, _ = part.partition("=")
        if key.removeprefix("!").lower() == "bindname":
            shown.append(part)
            doubtful = False
        elif equals:
            shown.append(f"{_mask_key(key, doubtful)}=***")
            doubtful = True
        else:
            shown.append("***" if doubtful else part)
    return "?".join([*rest, ",".join(shown)])


def _mask_key(key: str, doubtful: bool) -> str:
    """A key that is none may be a piece of the password before it."""
    return "***" if doubtful and key not in _SECRET_KEYS else key
