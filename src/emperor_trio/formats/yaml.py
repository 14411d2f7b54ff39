"""Reads yaml. Only its structure: a value is the text that was written, for uWSGI's reader knows no types either."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emperor_trio.errors import UsageError
from emperor_trio.formats.items import Item, decode

if TYPE_CHECKING:
    from yaml import Node


def read_yaml(data: bytes, name: str, section: str | None = None) -> list[Item] | None:
    """The keys of the mapping ``uwsgi``, or of another one; a sequence is a repeated key."""
    import yaml  # here, because most starts don't need it

    wanted = "uwsgi" if section is None else section
    text = decode(data, name)
    # Yaml lets no plain value begin with a percent sign, but uWSGI replaces %d and the like before it parses.
    percent = _stand_in(text, name)
    root = _compose(text.replace("%", percent), name, percent)
    for key, value in root:
        if isinstance(key, yaml.ScalarNode) and key.value == wanted:
            return [
                Item(inner.replace(percent, "%"), scalar.replace(percent, "%"), place)
                for inner, scalar, place in _scalars(_pairs(value, name), name)
            ]
    return None


def _stand_in(text: str, name: str) -> str:
    """A character for private use that the text has no use for."""
    for code in range(0xE000, 0xF900):
        if chr(code) not in text:
            return chr(code)
    raise UsageError(f"{name}: not a config: it holds every character for private use")


_Pairs = list[tuple["Node", "Node"]]


def _compose(text: str, name: str, percent: str) -> _Pairs:
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        what = (error.problem or "syntax error").replace(percent, "%")
        raise UsageError(f"{name}:{line}: not yaml: {what}") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise UsageError(f"{name}: not yaml: {str(error).replace(percent, '%')}") from None
    except RecursionError:
        raise UsageError(f"{name}: not a config: nested too deeply") from None
    return [] if root is None else _pairs(root, name)


def _pairs(node: Node, name: str) -> _Pairs:
    from yaml import MappingNode

    if not isinstance(node, MappingNode):
        raise UsageError(f"{_place(node, name)}: a mapping is expected: KEY: VALUE")
    pairs: _Pairs = node.value
    return pairs


def _scalars(pairs: _Pairs, name: str) -> list[tuple[str, str, str]]:
    from yaml import ScalarNode, SequenceNode

    found = []
    for key, value in pairs:
        if not isinstance(key, ScalarNode):
            raise UsageError(f"{_place(key, name)}: a key must be a text")
        for node in value.value if isinstance(value, SequenceNode) else [value]:
            place = _place(node, name)
            if not isinstance(node, ScalarNode):
                raise UsageError(f"{place}: {key.value}: a text or a sequence of texts is expected")
            if not node.value and node.style is None:
                raise UsageError(f"{place}: {key.value} has no value; write one, or true")
            found.append((key.value, node.value, place))
    return found


def _place(node: Node, name: str) -> str:
    return f"{name}:{node.start_mark.line + 1}"
