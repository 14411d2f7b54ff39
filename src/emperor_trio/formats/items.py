"""The one shape that all config formats are read into, and what their readers share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from emperor_trio.errors import UsageError
from emperor_trio.masking import masked

_LONGEST_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Item:
    """One key of a config and its value, as text and before any ``%n`` or ``%(key)`` in it is replaced.

    ``value`` is ``None`` only on the command line, where an option came without one. ``place`` says where it stands:
    a file, with the line where the format has lines; it is empty on the command line.
    """

    key: str
    value: str | None
    place: str

    def __str__(self) -> str:
        """As it was written but for passwords, for errors; what is very long is cut off."""
        value = masked(self.value or "")
        if len(value) > _LONGEST_SHOWN:
            value = f"{value[:_LONGEST_SHOWN]}…"
        if not self.place:
            return f"--{self.key} {value}".rstrip()
        return f"{self.place}: {self.key} = {value}".rstrip()


Reader = Callable[[bytes, str, str | None], list[Item] | None]
"""Reads ``(data, name of the file, section)``. ``None`` is the format's usual section.

The answer is ``None`` where the section is absent. Garbage raises :class:`~emperor_trio.errors.UsageError`, nothing
else.
"""


def decode(data: bytes, name: str) -> str:
    """Strict UTF-8, for the formats that are defined so."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{name}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None


def typed_items(key: str, value: object, place: str) -> list[Item]:
    """The items of a value that has a type of its own (json, toml): one, or one for each element of a list.

    true and false are 1 and 0, and null is 0, as uWSGI has it.
    """
    return [Item(key, _text(key, element, place), place) for element in (value if isinstance(value, list) else [value])]


def _text(key: str, value: object, place: str) -> str:
    match value:
        case str():
            return value
        case bool() | None:
            return str(int(bool(value)))
        case int() | float():
            return str(value)
    raise UsageError(f"{place}: {key}: a text, a number, true or false, or a list of these is expected")
