"""Text that is safe to show: names and errors may come from tenants.

Owns no layout: that is each outlet's own. Passwords are :mod:`emperor_trio.masking`'s.
"""

from __future__ import annotations

import re

_SURROGATE = re.compile("[\ud800-\udfff]")


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
