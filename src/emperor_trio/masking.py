"""Addresses without their passwords: the one rule for what logs, statistics, errors and ``ps`` show of a source."""

from __future__ import annotations

import re
from functools import lru_cache

_USERINFO = re.compile(r"(://[^/@\s:]*):[^/\s]*@")
_KEYWORD = r"\b(password|passwd|pwd|predigest|sslpassword|bindpw|x-bindpw|secret|token)\s*=\s*"
_IN_QUERY = re.compile(rf"(?i)(?<=[?&]){_KEYWORD}[^&\s;]*")
_IN_COMMAS = re.compile(rf"(?i){_KEYWORD}[^,]*")
_IN_WORDS = re.compile(rf"(?i)(?<![?&]){_KEYWORD}('(?:[^'\\]|\\.)*'|[^\s;]*)")


@lru_cache(maxsize=1024)
def masked(text: str) -> str:
    """The text with passwords replaced by ``***``: in URLs, in libpq's ``key=value`` words and in comma lists."""
    text = _USERINFO.sub(r"\1:***@", text)
    text = _IN_QUERY.sub(r"\1=***", text)
    if text.startswith("mongodb2://"):
        return _IN_COMMAS.sub(r"\1=***", text)
    return _IN_WORDS.sub(r"\1=***", text)
