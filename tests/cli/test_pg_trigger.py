"""``emperor-trio pg-trigger``: names are read as SQL reads them, and nothing in them can be anything but a name."""

from __future__ import annotations

import pytest

from emperor_trio.cli.main import main
from emperor_trio.cli.pg_trigger import trigger_sql
from emperor_trio.errors import UsageError


@pytest.mark.parametrize(
    ("table", "written", "function"),
    [
        ("vassals", '"vassals"', "emperor_trio_notify"),
        ("Vassals", '"vassals"', "emperor_trio_notify"),
        ('"Vassals"', '"Vassals"', "emperor_trio_notify"),
        ("my_schema.vassals", '"my_schema"."vassals"', '"my_schema".emperor_trio_notify'),
        ('"My Schema"."a.b"', '"My Schema"."a.b"', '"My Schema".emperor_trio_notify'),
        ('"a""b"', '"a""b"', "emperor_trio_notify"),
        ('"; DROP TABLE x; --"', '"; DROP TABLE x; --"', "emperor_trio_notify"),
        ("Größe", '"größe"', "emperor_trio_notify"),
    ],
)
def test_names_of_tables(table: str, written: str, function: str) -> None:
    text = trigger_sql(table)
    assert f"ON {written}\n" in text
    assert f"EXECUTE FUNCTION {function}(E'vassals')" in text


@pytest.mark.parametrize(
    ("channel", "literal", "key"),
    [
        ("vassals", "E'vassals'", "listen=vassals"),
        ("it's", r"E'it''s'", r"listen='it\'s'"),
        ("a\\b c", r"E'a\\b c'", r"listen='a\\b c'"),
        ("$body$", "E'$body$'", "listen='$body$'"),
    ],
)
def test_channels(channel: str, literal: str, key: str) -> None:
    text = trigger_sql("vassals", channel)
    assert f"({literal})" in text
    assert f"--   {key}\n" in text


@pytest.mark.parametrize(
    ("table", "channel"),
    [
        *((table, "c") for table in ("", ".", "a.", ".a", "a.b.c", "my-table", '"a', '""', "a b", "a;b", '"a\nb"')),
        ("x" * 64, "c"),
        ("a", ""),
        ("a", "c" * 64),
        ("a", "c\nd"),
        ("a", "\udcff"),
    ],
)
def test_what_can_be_no_name(table: str, channel: str) -> None:
    with pytest.raises(UsageError, match="pg-trigger"):
        trigger_sql(table, channel)


@pytest.mark.parametrize("words", [["vassals", "--channel", "c"], ["--channel=c", "vassals"]])
def test_the_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pg-trigger", *words]) == 0
    assert capsys.readouterr().out == trigger_sql("vassals", "c") + "\n"


@pytest.mark.parametrize("words", [[], ["a", "b"], ["a", "--channel"], ["a", "--nonsense"], ["a b"]])
def test_a_wrong_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pg-trigger", *words]) == 2
    assert "pg-trigger" in capsys.readouterr().err
