"""Replaces what stands for something else in a value: ``%n``, ``$(ENV)``, ``@(file)``, ``%(key)`` and sums in it.

uWSGI does this in four passes over all values; here it is one pass that goes inward, so that what is put in for a name
is never taken for a name again. What stands for nothing known is left as it is, except for a letter after ``%``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from emperor_trio.errors import UsageError
from emperor_trio.formats.items import Item
from emperor_trio.formats.magic import Magic

LARGEST_VALUE = 1 << 20
"""No value grows beyond this many characters: placeholders that double each other end there."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An item together with the magic variables of the file it stands in; ``None`` on the command line, without any."""

    item: Item
    magic: Magic | None


class Expander:
    """Expands the values of entries, which may name each other.

    ``environ`` is where ``$(NAME)`` looks, ``read_file`` is what ``@(NAME)`` calls. A config that someone else may have
    written gets an empty mapping and ``None``, and then reaches neither. ``budget`` is how many characters may be gone
    through and be made, all values together; ``None`` sets no limit.
    """

    def __init__(
        self, environ: Mapping[str, str], read_file: Callable[[str], str] | None, budget: int | None = None
    ) -> None:
        self._environ = environ
        self._read_file = read_file
        self._budget = budget
        self._first: dict[str, Entry] = {}
        self._done: dict[str, str] = {}
        self._open: list[str] = []

    def define(self, entry: Entry) -> None:
        """Let other values name this one. Of several with one key the first counts, as in uWSGI."""
        self._first.setdefault(entry.item.key, entry)

    def expand(self, entry: Entry) -> str | None:
        """The value with all replaced. Raises :class:`~emperor_trio.errors.UsageError` with the place."""
        item = entry.item
        if item.value is None:
            return None
        try:
            return self._expand(item.value, entry.magic)
        except UsageError as error:
            raise UsageError(f"{item}: {error}") from None
        except RecursionError:
            raise UsageError(f"{item}: nested too deeply") from None

    def _expand(self, text: str, magic: Magic | None) -> str:
        self._spend(text)
        closing = _parentheses(text)
        parts: list[str] = []
        position = 0
        while position < len(text):
            character = text[position]
            following = text[position + 1 : position + 2]
            end = position + 1
            if following == "(" and character in "$@%":
                close = closing.get(position + 1, -1)
                if close > position + 2:
                    parts.append(self._reference(character, text[position + 2 : close], magic))
                    end = close + 1
                else:
                    parts.append(character)
            elif character == "%" and magic is not None:
                parts.append(magic.letter(following))
                end += 1
            else:
                parts.append(character)
            position = end
        expanded = "".join(parts)
        if len(expanded) > LARGEST_VALUE:
            raise UsageError(f"it grows beyond {LARGEST_VALUE} characters")
        self._spend(expanded)
        return expanded

    def _spend(self, text: str) -> None:
        if self._budget is not None:
            self._budget -= len(text)
            if self._budget < 0:
                raise UsageError("the placeholders of this config come to too much")

    def _reference(self, kind: str, inner: str, magic: Magic | None) -> str:
        name = self._expand(inner, magic)
        match kind:
            case "$":
                found = self._variable(name)
            case "@":
                found = self._read_file(name) if self._read_file and name else None
            case _:
                found = self._calculated(name) if " " in name else self._value_of(name)
        return f"{kind}({name})" if found is None else found

    def _variable(self, name: str) -> str | None:
        """``NAME``, ``NAME-default`` where it may be unset, ``NAME:-default`` where it may be unset or empty."""
        found = re.fullmatch(r"([A-Za-z_][A-Za-z0-9_]*)(?:(:?)-(.*))?", name, re.DOTALL)
        if found is None:
            return None  # $(date -u) in a hook is for the shell
        value = self._environ.get(found[1])
        return found[3] if value is None or (value == "" and found[2]) else value

    def _value_of(self, key: str) -> str | None:
        if key in self._done:
            return self._done[key]
        entry = self._first.get(key)
        if entry is None or entry.item.value is None:
            return None
        if key in self._open:
            circle = " → ".join([*self._open[self._open.index(key) :], key])
            raise UsageError(f"placeholders that name each other in a circle: {circle}")
        self._open.append(key)
        try:
            self._done[key] = self._expand(entry.item.value, entry.magic)
        finally:
            self._open.pop()
        return self._done[key]

    def _calculated(self, formula: str) -> str:
        """uWSGI's little machine: words from left to right, joined, or with ``+ - * / ++ --`` between them counted."""
        result: str | None = None
        operator = ""
        for word in formula.split():
            match word:
                case "+" | "-" | "*" | "/":
                    operator = word
                case "++" | "--":
                    if result is not None:
                        result = str(_number(result) + (1 if word == "++" else -1))
                    operator = ""
                case _:
                    value = word if word.isascii() and word.isdigit() else self._value_of(word) or ""
                    result = _apply(operator, result or "", value)
                    operator = ""
        return result or ""


def references(text: str) -> Iterator[str]:
    """The keys that a value names in ``%(…)``."""
    for found in re.finditer(r"%\(([^()]*)\)", text):
        yield from found[1].split()


def _apply(operator: str, left: str, right: str) -> str:
    match operator:
        case "+":
            return str(_number(left) + _number(right))
        case "-":
            return str(_number(left) - _number(right))
        case "*":
            return str(_number(left) * _number(right))
        case "/":
            return str(_quotient(_number(left), _number(right)))
    return left + right


def _quotient(left: int, right: int) -> int:
    """Toward zero as in C; by zero it is zero, as in uWSGI."""
    if right == 0:
        return 0
    magnitude = abs(left) // abs(right)
    return magnitude if (left < 0) == (right < 0) else -magnitude


def _number(text: str) -> int:
    """The whole number that a text begins with, else 0; within 64 bits."""
    found = re.match(r"\s*([+-]?[0-9]{1,18})", text)
    return int(found[1]) if found else 0


def _parentheses(text: str) -> dict[int, int]:
    """Where each parenthesis that is opened is closed, for those that are."""
    closing: dict[int, int] = {}
    opened: list[int] = []
    for found in re.finditer(r"[()]", text):
        if found[0] == "(":
            opened.append(found.start())
        elif opened:
            closing[opened.pop()] = found.start()
    return closing
