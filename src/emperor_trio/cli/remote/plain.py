"""Messages as JSON for programs: as on the channel, but without passwords and for strict readers, too."""

from __future__ import annotations

import json
from dataclasses import fields
from enum import Enum
from typing import Any

from emperor_trio.cli.output import stdout
from emperor_trio.masking import masked
from emperor_trio.outlets.text import well_formed


def document(data: dict[str, Any]) -> str:
    """JSON text: on one line for programs, on several for eyes."""
    return json.dumps(data, indent=2 if stdout().isatty() else None)


def json_of(message: Any) -> dict[str, Any]:
    """A frozen class of :mod:`~emperor_trio.control.messages` as a dictionary. Bytes of a name that are no UTF-8 are
    spelled ``\\xNN``."""
    return {item.name: _value(item.name, getattr(message, item.name)) for item in fields(message)}


def _value(name: str, value: Any) -> Any:
    match value:
        case str():
            return well_formed(value) if name == "name" else masked(well_formed(value))
        case Enum():
            return value.value
        case tuple() | list():
            return [_value(name, item) for item in value]
        case dict():
            return {well_formed(str(key)): _value(str(key), item) for key, item in value.items()}
        case bool() | int() | float() | None:
            return value
        case _:
            return json_of(value)
