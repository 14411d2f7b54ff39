"""What ``config`` says of the settings: each value with its place, and nobody's password."""

from __future__ import annotations

from pathlib import Path

import pytest

from emperor_trio.cli.arguments import parse_arguments
from emperor_trio.cli.effective import compared, effective, masked_words
from emperor_trio.cli.resolve import resolve
from emperor_trio.control.messages import Setting
from emperor_trio.settings import OPTIONS


def told(*argv: str) -> dict[str, tuple[str, str]]:
    _, origins = resolve(parse_arguments(argv), lambda: "1", {}, {})
    return {setting.name: (setting.value, setting.origin) for setting in effective(origins)}


def test_every_setting_is_told_with_its_place(tmp_path: Path) -> None:
    config = tmp_path / "emperor.ini"
    config.write_text("[uwsgi]\nemperor = /a\nemperor-throttle = 5\nemperor-tyrant =\nemperor-throttle = 7\n")
    settings = told("--emperor", "/b", "--ini", str(config))
    assert settings["emperor"] == ("/b, /a", f"command line, {config}:2")
    assert settings["emperor-throttle"] == ("7", f"{config}:5")
    assert settings["emperor-tyrant"] == ("true", f"{config}:4")
    assert settings["emperor-freq"] == ("3 s", "default")
    assert settings["emperor-nofollow"] == ("false", "default")
    assert settings.keys() == {option.name for option in OPTIONS if option.is_setting}


def test_no_password_is_told() -> None:
    settings = told("--emperor", "pg://host=127.0.0.1 password=secret", "--env", "DB=secret", "--env", "GONE")
    assert not any("secret" in value for value, _ in settings.values())
    assert settings["env"][0] == "DB=***, GONE"


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--env", "A=b", "/srv"], ("--env", "A=***", "/srv")),
        (["--env=A=b"], ("--env=A=***",)),
        (["--env", "A"], ("--env", "A")),
        (["amqp://u:word@127.0.0.1/x"], ("amqp://u:***@127.0.0.1/x",)),
    ],
)
def test_command_lines_are_masked(words: list[str], shown: tuple[str, ...]) -> None:
    assert masked_words(words) == shown


def test_what_would_be_another_value_now_is_marked() -> None:
    then = [Setting("a", "1", "default"), Setting("b", "2", "x.ini:1"), Setting("c", "3", "default")]
    now = [Setting("a", "1", "default"), Setting("b", "5", "x.ini:1")]
    assert [setting.now for setting in compared(then, now)] == [None, "5", None]
