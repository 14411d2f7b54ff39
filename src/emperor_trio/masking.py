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
_IN_WORDS = re.compile(rf"(?i)(?<![?&]){_KEYWORD}('(?:[^'\\]|\\.)*'|[^\s;]*)")


@lru_cache(maxsize=1024)
def masked(text: str) -> str:
    """The text with passwords replaced by ``***``: in URLs, in libpq's ``key=value`` words and in comma lists."""
    text = _USERINFO.sub(r"\1:***@", _MONGODB_USERINFO.sub(r"\1:***@", text))
    text = _IN_QUERY.sub(r"\1=***", text)
    if text.startswith("mongodb2://"):
        return _IN_COMMAS.sub(r"\1=***", text)
    return _IN_WORDS.sub(r"\1=***", text)
