"""Whatever bytes a reader is given, it answers with items or raises UsageError, and never anything else."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emperor_trio.errors import UsageError
from emperor_trio.formats import (
    Entry,
    Expander,
    Item,
    Magic,
    Reader,
    read_ini,
    read_json,
    read_toml,
    read_xml,
    read_yaml,
)

PIECES = st.sampled_from([
    "uwsgi", "[uwsgi]", "[", "]", "{", "}", "<uwsgi>", "</uwsgi>", "<a", ">", "=", ":", " ", "\n", "  - ", "\t", "%",
    '"', "'", "\\", "\\u", "\\ud800", "&", "&amp;", "*a", "&a", "!!int", "---", "#", "//", "/*", "1e999", "nan", "\0",
    "<![CDATA[", "]]>", "<!DOCTYPE", "<?xml", "true", "null", ",", "a", "é", "\ue000", "\ufeff", "|", "? ", "<<:",
])  # fmt: skip
GARBAGE = st.one_of(
    st.binary(max_size=200),
    st.lists(PIECES, max_size=40).map(lambda pieces: "".join(pieces).encode("utf-8", "surrogatepass")),
)


@pytest.mark.parametrize("reader", [read_ini, read_yaml, read_json, read_toml, read_xml])
@settings(deadline=None)  # the machine may be busy
@given(data=GARBAGE, section=st.sampled_from([None, "uwsgi", "a"]))
def test_readers_raise_nothing_else(reader: Reader, data: bytes, section: str | None) -> None:
    with contextlib.suppress(UsageError):
        for item in reader(data, "a.conf", section) or []:
            assert isinstance(item.key, str)
            assert isinstance(item.value, str)


PLACEHOLDERS = st.lists(
    st.sampled_from(
        ["$(", "@(", "%(", ")", "(", "%", "%n", "$", "a", "b", "c", " ", "+", "++", "-", "*", "/", "7", ":-"]
    ),
    max_size=25,
).map("".join)


@settings(deadline=None)  # the machine may be busy
@given(a=PLACEHOLDERS, b=PLACEHOLDERS, c=PLACEHOLDERS)
def test_expanding_raises_nothing_else(a: str, b: str, c: str) -> None:
    def read_file(name: str) -> str:
        return name

    expander = Expander({"a": "1", "b": ""}, read_file)
    entries = [
        Entry(Item(key, value, "x.ini:1"), Magic({"n": "%(a)"})) for key, value in [("a", a), ("b", b), ("c", c)]
    ]
    for entry in entries:
        expander.define(entry)
    for entry in entries:
        with contextlib.suppress(UsageError):
            assert isinstance(expander.expand(entry), str)
