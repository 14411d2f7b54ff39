"""A query for MongoDB as text: JSON, Extended JSON, or what MongoDB's shell takes, into what the driver sends. Pure.

It knows values and their spellings, no operators: whether ``$gt`` or ``$gte`` is meant is for the server to judge.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import bson
from bson import json_util
from bson.errors import BSONError

DEPTH = 100
"""Levels of nesting that MongoDB takes."""

_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"[A-Za-z_$][\w$]*")
_KEY = re.compile(r"[\w$][\w$.-]*")
_NUMBER = re.compile(r"[-+]?(?:Infinity|NaN|(?:\d+(\.\d*)?|(\.\d+))([eE][-+]?\d+)?)(?![\w$])")
_STRING = re.compile(r""" "((?:[^"\\]|\\.)*)" | '((?:[^'\\]|\\.)*)' """, re.VERBOSE | re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "0": "\0"}
_REGEX = re.compile(r"/((?:[^/\\\n]|\\.)+)/([a-z]*)")

_WORDS: dict[str, Any] = {
    "true": True,
    "false": False,
    "null": None,
    "undefined": None,
    "NaN": float("nan"),
    "Infinity": float("inf"),
    "MinKey": bson.MinKey(),
    "MaxKey": bson.MaxKey(),
}


class FilterError(Exception):
    """The text is no query. The message says what is wrong, and where."""


def parse_filter(text: str) -> dict[str, Any]:
    """The query that a text means; none, where there is but white space, is ``{}``, and takes every document.

    Beside JSON and its extension (``{"$oid": …}``) it takes bare keys, single quotes, ``/regular expressions/i``,
    a comma behind the last item, ``ObjectId("…")``, ``ISODate("…")``, ``new Date(…)``, ``NumberInt``, ``NumberLong``,
    ``NumberDecimal``, ``Timestamp`` and ``UUID``. Raises :class:`FilterError`.
    """
    reader = _Reader(text)
    if reader.at_end():
        return {}
    if not reader.sees("{"):
        raise reader.wrong("a filter begins with {")
    found: dict[str, Any] = reader.value(0)
    if not isinstance(found, dict):
        raise FilterError("a filter is a document, and not one value")
    if not reader.at_end():
        raise reader.wrong("nothing may follow the filter's end")
    try:
        bson.encode(found)
    except (BSONError, OverflowError, ValueError, TypeError) as error:
        raise FilterError(f"it can't be sent to a server: {error}") from None
    return found


class _Reader:
    """Goes through a text once, from value to value."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def wrong(self, why: str) -> FilterError:
        rest = self._text[self._at : self._at + 20]
        return FilterError(f"at character {self._at + 1}, {rest!r}: {why}" if rest else f"it ends too early: {why}")

    def at_end(self) -> bool:
        self._skip()
        return self._at == len(self._text)

    def sees(self, mark: str) -> bool:
        """Whether ``mark`` is next; it is not taken."""
        self._skip()
        return self._text.startswith(mark, self._at)

    def value(self, depth: int) -> Any:
        if depth > DEPTH:
            raise self.wrong(f"MongoDB takes {DEPTH} levels at most")
        if self._takes("{"):
            return self._document(depth)
        if self._takes("["):
            return [self.value(depth + 1) for _ in self._items("]")]
        if found := self._match(_STRING):
            return self._unescape(found)
        if found := self._match(_NUMBER):
            whole = not any(found.groups()) and found[0].lstrip("+-").isdigit()
            return int(found[0]) if whole else float(found[0])
        if found := self._match(_REGEX):
            return bson.Regex(found[1].replace(r"\/", "/"), found[2])
        return self._word(depth)

    def _document(self, depth: int) -> Any:
        document: dict[str, Any] = {}
        for _ in self._items("}"):
            if found := self._match(_STRING):
                key = self._unescape(found)
            elif found := self._match(_KEY):
                key = found[0]
            else:
                raise self.wrong("a key is expected")
            self._expect(":")
            document[key] = self.value(depth + 1)
        try:
            return json_util.object_hook(document)
        except (BSONError, ValueError, TypeError, KeyError, ArithmeticError) as error:
            raise self.wrong(f"before it, a value of Extended JSON is wrong: {error}") from None

    def _word(self, depth: int) -> Any:
        found = self._match(_NAME)
        if found is not None and found[0] == "new":
            found = self._match(_NAME)
        if found is None:
            raise self.wrong("a value is expected")
        if found[0] in _WORDS and not self.sees("("):
            return _WORDS[found[0]]
        make = _MAKERS.get(found[0])
        if make is None:
            raise self.wrong(f"{found[0]!r} before it is no value (text stands in quotes)")
        self._expect("(")
        arguments = [self.value(depth + 1) for _ in self._items(")")]
        try:
            return make(*arguments)
        except (BSONError, ValueError, TypeError, ArithmeticError) as error:
            raise self.wrong(f"before it, {found[0]}(…) is wrong: {error}") from None

    def _items(self, end: str) -> Any:
        """Goes from item to item of a list, up to and beyond its end."""
        while not self._takes(end):
            yield
            if not self._takes(","):
                self._expect(end)
                return

    def _unescape(self, found: re.Match[str]) -> str:
        def replace(escape: re.Match[str]) -> str:
            code = escape[1] or escape[2]
            return chr(int(code, 16)) if code else _ESCAPES.get(escape[3], escape[3])

        text = _ESCAPE.sub(replace, found[1] if found[1] is not None else found[2])
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # pairs of \u become one character

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        self._skip()
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return found

    def _takes(self, mark: str) -> bool:
        seen = self.sees(mark)
        self._at += len(mark) if seen else 0
        return seen

    def _expect(self, mark: str) -> None:
        if not self._takes(mark):
            raise self.wrong(f"a {mark} is expected")

    def _skip(self) -> None:
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at


def _date(moment: object = None) -> datetime:
    if isinstance(moment, int | float):
        return datetime.fromtimestamp(moment / 1000, UTC)
    if not isinstance(moment, str):
        raise TypeError('a date in quotes, as "2024-05-01T12:00:00Z", or milliseconds')
    found = datetime.fromisoformat(moment)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _object_id(text: object) -> bson.ObjectId:
    if not isinstance(text, str):
        raise TypeError("24 hexadecimal digits in quotes")
    return bson.ObjectId(text)


def _uuid(text: object) -> bson.Binary:
    if not isinstance(text, str):
        raise TypeError("32 hexadecimal digits in quotes")
    return bson.Binary(bytes.fromhex(text.replace("-", "")), 4)


_MAKERS: dict[str, Callable[..., Any]] = {
    "ObjectId": _object_id,
    "ISODate": _date,
    "Date": _date,
    "NumberInt": int,
    "NumberLong": lambda number: bson.Int64(int(number)),
    "NumberDecimal": lambda number: bson.Decimal128(str(number)),
    "Timestamp": bson.Timestamp,
    "UUID": _uuid,
    "MinKey": bson.MinKey,
    "MaxKey": bson.MaxKey,
}
