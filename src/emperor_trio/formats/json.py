"""Reads json, with the comments that uWSGI's reader allows."""

from __future__ import annotations

import json
import re

from emperor_trio.errors import UsageError
from emperor_trio.formats.items import Item, decode, typed_items

_STRING_OR_COMMENT = re.compile(r'"(?:\\.|[^"\\])*+"?|//[^\n]*|/\*.*?(?:\*/|\Z)', re.DOTALL)
"""Possessive, and never without a match once begun: garbage takes no more than linear time."""


class _Object(tuple[tuple[str, object], ...]):
    """A json object that keeps its order and repeated keys."""

    __slots__ = ()


def read_json(data: bytes, name: str, section: str | None = None) -> list[Item] | None:
    """The keys of the object named ``uwsgi``, or of another one; a list is a repeated key."""
    text = _STRING_OR_COMMENT.sub(_without_comment, decode(data, name))
    wanted = "uwsgi" if section is None else section
    for key, value in _parse(text, name):
        if key == wanted:
            if not isinstance(value, _Object):
                raise UsageError(f'{name}: "{key}" must be an object: {{"{key}": {{"KEY": "VALUE", …}}}}')
            return [item for inner, element in value for item in typed_items(inner, element, name)]
    return None


def _parse(text: str, name: str) -> _Object:
    try:
        # Numbers are handed on as they were written.
        root = json.loads(text, object_pairs_hook=_Object, parse_int=str, parse_float=str, parse_constant=str)
    except json.JSONDecodeError as error:
        raise UsageError(f"{name}:{error.lineno}: not json: {error.msg}") from None
    except RecursionError:
        raise UsageError(f"{name}: not a config: nested too deeply") from None
    if not isinstance(root, _Object):
        raise UsageError(f'{name}: an object is expected: {{"uwsgi": {{"KEY": "VALUE", …}}}}')
    return root


def _without_comment(match: re.Match[str]) -> str:
    """A string as it is; of a comment nothing but its lines, so that errors name the right one."""
    found = match[0]
    return found if found[0] == '"' else "\n" * found.count("\n")
