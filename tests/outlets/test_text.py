"""What tenants name and say can neither forge lines nor reach the terminal, and no password is shown."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emperor_trio.outlets.text import masked, printable, well_formed


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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/etc/uwsgi/vassals", "/etc/uwsgi/vassals"),
        (
            "pg://host=db user=me password=s3cret dbname=x;SELECT 1",
            "pg://host=db user=me password=*** dbname=x;SELECT 1",
        ),
        ("pg://host=db password = 's 3\\'t' dbname=x;SELECT 1", "pg://host=db password=*** dbname=x;SELECT 1"),
        ("pg://postgresql://me:s3cret@db/x;SELECT 1", "pg://postgresql://me:***@db/x;SELECT 1"),
        ("pg://postgresql://db/x?user=me&password=s3cret&a=b", "pg://postgresql://db/x?user=me&password=***&a=b"),
        ("mongodb://me:p@ss@db/x.y", "mongodb://me:***@db/x.y"),
        ("mongodb2://addr=db,username=me,password=a b,db=x", "mongodb2://addr=db,username=me,password=***,db=x"),
        ("amqp://me:s3cret@rabbit:5672/vhost", "amqp://me:***@rabbit:5672/vhost"),
        ("no route to amqp://me:s3cret@rabbit", "no route to amqp://me:***@rabbit"),
    ],
)
def test_passwords_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown
