"""Addresses without their passwords: the one rule for what logs, statistics, errors and ``ps`` show of a source."""

from __future__ import annotations

import re
from functools import lru_cache

# A password may hold a slash, though it should not. What looks like a port is none, unless it is all there is.
_USERINFO = re.compile(r"(://[^/@\s:]*):(?:[^/\s]*@|(?!//|\d{1,5}[/?,;])\S*@)")
_KEYWORD = (
    r"\b(password|passwd|pwd|predigest|sslpassword|bindpw|x-bindpw|secret|token"
    r"|tlsCertificateKeyFilePassword|authMechanismProperties|proxyPassword)\s*=\s*"
)
_IN_QUERY = re.compile(rf"(?i)(?<=[?&]){_KEYWORD}[^&\s;]*")
_NEXT_KEY = r",(?=\s*(?:addr|address|server|coll|collection|json|db|database|username|replica|defaults)\s*=)"
_IN_COMMAS = re.compile(rf"(?is){_KEYWORD}(?:\\.|(?!{_NEXT_KEY}).)*")  # a comma in a password may lack its backslash
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

    It takes time in proportion to the text, whoever wrote it.
    """
    text = _MONGODB_USERINFO.sub(r"\1:***@", text)
    text = _SPACED_USERINFO.sub(r"\1\2:***@", text)
    text = _LDAP_PASSWORD.sub(r"\1=***", text)
    text = _WORD.sub(_mask_userinfo, text)
    text = _IN_QUERY.sub(r"\1=***", text)
    if text.startswith("mongodb2://"):
        return _IN_COMMAS.sub(r"\1=***", text)
    return _IN_WORDS.sub(r"\1=***", text)


def _mask_userinfo(word: re.Match[str]) -> str:
    """Beyond a word's last @ nothing is sought: it would be, in vain, from each place anew."""
    head, at, tail = word[0].rpartition("@")
    return _USERINFO.sub(r"\1:***@", head + at) + tail
