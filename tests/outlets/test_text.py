"""What tenants name and say can neither forge lines nor reach the terminal."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emperor_trio.outlets.text import printable, well_formed


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("shop.ini", "shop.ini"),
        ("caffè naïve 東京.ini", "caffè naïve 東京.ini"),
        ("a\nb", r"a\nb"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("\x9b31m", r"\x9b31m"),
        ("abc\u202egpj.ini", r"abc\u202egpj.ini"),
        ("line\u2028line", r"line\u2028line"),
        ("latin-\udce91.ini", r"latin-\xe91.ini"),
        ("tab\there", r"tab\there"),
    ],
)
def test_what_a_terminal_might_obey_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters(codec=None)))
def test_printable_text_is_one_line_of_what_can_be_encoded(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    shown.encode()


@given(st.text(st.characters(codec=None)))
def test_well_formed_text_passes_strict_readers_of_json(name: str) -> None:
    text = well_formed(name)
    assert json.loads(json.dumps(text).encode()) == text
    text.encode()
