"""What a config says of itself in ``[emperor]``: which of it is taken, and what a hostile file can't do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from emperor_trio.monitors._entries import MAX_READ, Entry, Found, Outcome, Rules, examine
from emperor_trio.monitors._rows import RowRules, Wrong, read_row

RULES = Rules(attributes=frozenset({"team", "tier"}))


def look(path: Path, rules: Rules = RULES) -> Outcome:
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        entry = Entry(path.name, path.name, folder, str(path.parent))
        return examine(entry, os.lstat(path), rules, tuple, None)
    finally:
        os.close(folder)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[uwsgi]\nteam = no\n", ()),
        ("[emperor]\nteam = blue\nother = x\n[uwsgi]\ntier = no\n", (("team", "blue"),)),
        ("[uwsgi]\n[emperor]\ntier=1\nteam=a = b\nteam=c\n", (("team", "a = b"), ("tier", "1"))),
        ("[emperor]\nteam\n", (("team", ""),)),
        ("[emperor]\nteam = \udce9\n", (("team", "\udce9"),)),
        ("", ()),
        ("\0\n[emperor\nteam = x", ()),
        ("#" * MAX_READ + "\n[emperor]\nteam = too far\n", ()),
    ],
)
def test_what_is_taken(tmp_path: Path, text: str, expected: tuple[tuple[str, str], ...]) -> None:
    path = tmp_path / "a.ini"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    found = look(path)
    assert isinstance(found, Found)
    assert found.spec.attributes == expected


def test_nothing_is_opened_where_nothing_is_to_be_collected(tmp_path: Path) -> None:
    path = tmp_path / "a.ini"
    path.write_text("[emperor]\nteam = blue\n")
    found = look(path, Rules())
    assert isinstance(found, Found)
    assert found.spec.attributes == ()


def test_another_format_holds_none(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("[emperor]\nteam = blue\n")
    found = look(path)
    assert isinstance(found, Found)
    assert found.spec.attributes == ()


def test_what_was_exchanged_for_something_else_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.ini"
    path.write_text("")
    status = path.stat()
    path.rename(tmp_path / "kept")
    os.mkfifo(path)
    folder = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    try:
        found = examine(Entry("a.ini", "a.ini", folder, None), status, RULES, tuple, None)
    finally:
        os.close(folder)
    assert isinstance(found, Found)
    assert found.spec.attributes == ()


def test_attributes_of_rows_are_texts() -> None:
    rules = RowRules(attributes=RULES.attributes)
    row = {"name": "a.ini", "config": "[uwsgi]", "version": 1}
    spec = read_row(rules, **row, attributes={"tier": None, "team": "blue"})  # type: ignore[arg-type]
    assert not isinstance(spec, Wrong)
    assert spec.attributes == (("team", "blue"),)
    wrong = read_row(rules, **row, attributes={"team": "a\0b"})  # type: ignore[arg-type]
    assert isinstance(wrong, Wrong)
    assert (wrong.field, wrong.reason) == ("team", "no attribute may hold a NUL")
