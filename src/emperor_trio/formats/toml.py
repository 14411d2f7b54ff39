"""Reads toml, which uWSGI does not know: options stand at the top level, or in a table that is asked for by name."""

from __future__ import annotations

import tomllib

from emperor_trio.errors import UsageError
from emperor_trio.formats.items import Item, decode, typed_items


def read_toml(data: bytes, name: str, section: str | None = None) -> list[Item] | None:
    """The keys at the top level, or those of the table ``section``; an array is a repeated key."""
    table: object = _parse(decode(data, name), name)
    if section is not None and isinstance(table, dict):
        if section not in table:
            return None
        table = table[section]
    if not isinstance(table, dict):
        raise UsageError(f"{name}: {section} must be a table: [{section}]")
    for key, value in table.items():
        if isinstance(value, dict):
            raise UsageError(f"{name}: [{key}] is a table; write options at the top level, or name it: {name}:{key}")
    return [item for key, value in table.items() for item in typed_items(key, value, name)]


def _parse(text: str, name: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise UsageError(f"{name}: not a config: nested too deeply") from None
    except ValueError as error:
        raise UsageError(f"{name}: not toml: {error}") from None
