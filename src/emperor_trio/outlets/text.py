"""Text that is safe to show: names and errors may come from tenants, and sources' addresses may hold passwords.

Owns no layout: that is each outlet's own.
"""

from __future__ import annotations

import re
from functools import lru_cache

_USERINFO = re.compile(r"(://[^/@\s:]*):[^/\s]*@")
_SURROGATE = re.compile("[\ud800-\udfff]")
_KEYWORD = r"\b(password|passwd|pwd|predigest|sslpassword|bindpw|x-bindpw|secret|token)\s*=\s*"
_IN_QUERY = re.compile(rf"(?i)(?<=[?&]){_KEYWORD}[^&\s;]*")
_IN_COMMAS = re.compile(rf"(?i){_KEYWORD}[^,]*")
_IN_WORDS = re.compile(rf"(?i)(?<![?&]){_KEYWORD}('(?:[^'\\]|\\.)*'|[^\s;]*)")


def printable(text: str) -> str:
    """The text on one line, with everything that a terminal might obey or that could look like another line escaped.

    Bytes that are no UTF-8 (lone surrogates here) are shown as ``\\xNN``.
    """
    if text.isprintable():
        return text
    whole = well_formed(text)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in whole)


def well_formed(text: str) -> str:
    """The text without lone surrogates, which strict readers of JSON refuse: bytes of a name are spelled ``\\xNN``."""
    if text.isascii():
        return text
    return _SURROGATE.sub(_spelled, text)


def _spelled(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


@lru_cache(maxsize=1024)
def masked(text: str) -> str:
    """The text with passwords replaced by ``***``: in URLs, in libpq's ``key=value`` words and in comma lists."""
    text = _USERINFO.sub(r"\1:***@", text)
    text = _IN_QUERY.sub(r"\1=***", text)
    if text.startswith("mongodb2://"):
        return _IN_COMMAS.sub(r"\1=***", text)
    return _IN_WORDS.sub(r"\1=***", text)
