"""Makes :class:`Settings` out of options as they were given, and keeps where each value came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from emperor_trio.errors import UsageError
from emperor_trio.masking import masked
from emperor_trio.settings.options import OPTIONS, Option, Settings
from emperor_trio.settings.values import Unreadable

if TYPE_CHECKING:
    from cattrs import Converter

COMMAND_LINE = ""
"""The place of what was given on the command line."""


@dataclass(frozen=True, slots=True)
class Given:
    """One option as it was given: its value as text (``None`` where it was given without one), and where that stands.

    ``place`` is a file with its line, where the format has lines, or :data:`COMMAND_LINE`.
    """

    option: Option
    value: str | None
    place: str = COMMAND_LINE

    def __str__(self) -> str:
        """As it was given but for passwords, for errors."""
        value = masked(self.value or "")
        if self.place == COMMAND_LINE:
            return f"--{self.option.name} {value}".rstrip()
        return f"{self.place}: {self.option.name} = {value}".rstrip()


Origins = Mapping[str, tuple[Given, ...]]
"""Attribute of :class:`Settings` to all that was given for it, the one that counts last; defaults are not in it."""


def settle(given: Iterable[Given], ignored: Iterable[str] = ()) -> tuple[Settings, Origins]:
    """Make the settings out of all that was given, in its order, and say where each value came from.

    Raises :class:`~emperor_trio.errors.UsageError` naming every wrong value, its place and what is expected.
    """
    from cattrs import ClassValidationError

    origins: dict[str, tuple[Given, ...]] = {}
    for item in given:
        name = item.option.attribute
        origins[name] = (*origins.get(name, ()), item)
    raw: dict[str, object] = {**origins, "ignored": tuple(dict.fromkeys(ignored))}
    try:
        return _converter().structure(raw, Settings), origins
    except ClassValidationError as error:
        wrong = [str(cause) for cause in error.exceptions if isinstance(cause, UsageError)]
        if len(wrong) < len(error.exceptions):
            raise
        raise UsageError("\n".join(wrong)) from None


@cache
def _converter() -> Converter:
    """A converter that reads each attribute by its option's kind. cattrs is imported late: ``--help`` needs none."""
    from cattrs import Converter
    from cattrs.gen import make_dict_structure_fn, override

    converter = Converter()
    hooks: dict[str, Any] = {
        option.attribute: override(struct_hook=lambda items, _: _attribute(items))
        for option in OPTIONS
        if option.is_setting
    }
    hooks["ignored"] = override(struct_hook=lambda names, _: names)
    converter.register_structure_hook(Settings, make_dict_structure_fn(Settings, converter, **hooks))
    return converter


def _attribute(items: tuple[Given, ...]) -> object:
    """The value of one attribute: of the last item, or of all where the option may be given many times."""
    read = [_read(item) for item in items]
    if not items[0].option.many:
        return read[-1]
    flat: list[Any] = []
    for value in read:
        flat.extend(value if isinstance(value, tuple) else (value,))
    return tuple(flat)


def _read(item: Given) -> object:
    kind = item.option.kind
    text = kind.bare if item.value in (None, "") else item.value
    try:
        if text is None:
            raise Unreadable("it needs a value")
        return kind.read(text)
    except Unreadable as error:
        reason = f" ({error})" if str(error) else ""
        raise UsageError(f"{item}: expected {kind.expected}{reason}") from None
