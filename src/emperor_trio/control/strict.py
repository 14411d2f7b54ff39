"""From JSON to the dataclasses of a schema, strictly: an int is no bool and no text, a list is no string.

Owns how single values are taken; the schema is :mod:`emperor_trio.control.messages`.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from typing import Any, get_args, get_origin

from cattrs import Converter
from cattrs.gen import make_dict_structure_fn
from cattrs.strategies import configure_tagged_union

MOST_ITEMS = 20_000
"""Texts in one list of a request at most; more than one message has room for, but for tiny ones."""

MOST_OBJECTS = 200
"""Objects in one list of a request at most: to take one apart costs some microseconds."""

MOST_INTEGER = 2**53
"""Beyond it, JavaScript has no whole numbers any more."""


def converter_of(union: Any, tag: Callable[[type], str], *, request: bool) -> Converter:
    """Takes and makes the members of a union, told apart by their ``type``.

    A request has bounds, and no field that we don't know: it may be a misspelt one, and what it was to narrow would be
    everything. An answer may come from a later version and have some.
    """
    converter = Converter(forbid_extra_keys=request)
    converter.register_structure_hook(bool, lambda value, _: _of(value, bool))
    converter.register_structure_hook(str, lambda value, _: _nameable(_of(value, str)) if request else _of(value, str))
    converter.register_structure_hook(float, lambda value, _: float(_of(value, float, int)))
    converter.register_structure_hook(int, lambda value, _: _bounded(_of(value, int)) if request else _of(value, int))

    def tuple_hook(kind: Any) -> Callable[[Any, Any], Any]:
        item = get_args(kind)[0]
        hook = converter.get_structure_hook(item)
        most = MOST_OBJECTS if dataclasses.is_dataclass(item) else MOST_ITEMS

        def take(values: Any, _: Any) -> Any:
            _of(values, list)
            if request and len(values) > most:
                raise ValueError
            return tuple([hook(value, item) for value in values])

        return take

    def dict_hook(kind: Any) -> Callable[[Any, Any], Any]:
        item = get_args(kind)[1]
        hook = converter.get_structure_hook(item)
        return lambda values, _: {key: hook(value, item) for key, value in _of(values, dict).items()}

    def object_hook(kind: Any) -> Callable[[Any, Any], Any]:
        take = make_dict_structure_fn(kind, converter)
        return lambda value, _: take(_of(value, dict), kind)

    converter.register_structure_hook_factory(lambda kind: get_origin(kind) is tuple, tuple_hook)  # type: ignore[comparison-overlap]
    converter.register_structure_hook_factory(lambda kind: get_origin(kind) is dict, dict_hook)  # type: ignore[comparison-overlap]
    converter.register_structure_hook_factory(dataclasses.is_dataclass, object_hook)
    configure_tagged_union(union, converter, tag_name="type", tag_generator=tag)
    return converter


def parse(text: str) -> Any:
    """JSON as its standard has it. Raises ValueError or RecursionError."""
    return json.loads(text, parse_constant=_no_number)


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _of(value: Any, *kinds: type) -> Any:
    if type(value) not in kinds:
        raise TypeError
    return value


def _nameable(text: Any) -> Any:
    """No text that the system could not take for a name: what is no UTF-8 in one comes as Python's surrogateescape."""
    if not text.isascii():
        os.fsencode(text)  # raises UnicodeEncodeError, which is a ValueError
    return text


def _bounded(value: int) -> int:
    if abs(value) > MOST_INTEGER:
        raise ValueError
    return value
