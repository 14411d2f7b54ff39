"""No emperor where commands look for one by themselves: each says how to find or start one, and exits with 3."""

from __future__ import annotations

import pytest

from emperor_trio.cli.main import main
from emperor_trio.control import place


@pytest.fixture(autouse=True)
def nowhere(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "ROOTS", f"{tmp_path}/emperor-trio/control.sock")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv(place.VARIABLE, raising=False)


@pytest.mark.parametrize(
    "words",
    [
        "status", "show a.ini", "events", "events -f", "logs a.ini", "logs a.ini -f", "reload a.ini", "restart --all",
        "stop a.ini --wait", "start a.ini", "forgive --all", "scan", "monitors --json", "monitors 'dir://*'", "config",
        "shutdown", "shutdown --wait",
    ],
)  # fmt: skip
def test_commands_to_no_emperor(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.replace("'", "").split()) == 3
    told = capsys.readouterr()
    assert not told.out
    assert told.err.count("\n") == 1
    assert "no emperor is to be found: there is no " in told.err
    assert "Start one (emperor-trio --help), or name its socket with --control PATH" in told.err


def test_monitors_lists_those_that_are_installed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["monitors"]) == 0
    told = capsys.readouterr()
    assert "no emperor is to be found" in told.err
    assert "dir://" in told.out
