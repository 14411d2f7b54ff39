"""The page about the control channel names every message, and its examples are understood."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

from emperor_trio.control.messages import (
    AnyAnswer,
    AnyRequest,
    Greeting,
    Selection,
    Vassal,
    decode_answer,
    decode_request,
)

PAGE = (Path(__file__).parents[2] / "docs/control.md").read_text()
EXAMPLES = re.findall(r"```json\n(.*?)\n```", PAGE, re.DOTALL)


def test_every_message_has_its_row() -> None:
    for kind in (*get_args(AnyRequest), *get_args(AnyAnswer)):
        assert f"| `{kind.__name__.lower()}` |" in PAGE, kind


def test_every_field_of_a_request_is_named() -> None:
    for kind in get_args(AnyRequest):
        (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{kind.__name__.lower()}` |")]
        assert [item.name for item in fields(kind) if item.name != "id" and f"`{item.name}`" not in row] == [], kind
    assert [item.name for item in fields(Selection) if f"`{item.name}`" not in PAGE] == []


def test_the_examples_are_understood() -> None:
    greeting, command, verdicts, vassal = EXAMPLES
    assert isinstance(decode_answer(greeting), Greeting)
    decode_request(command)
    decode_answer(verdicts)
    decode_answer(f'{{"type":"changes","id":1,"at":1,"vassals":[{vassal}]}}')
    assert [item.name for item in fields(Vassal) if f'"{item.name}"' not in vassal] == []
