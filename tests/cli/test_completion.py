"""Completion in real shells, with the names of a running emperor's vassals."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from emperor_trio.cli.completion import SCRIPTS, candidates
from emperor_trio.cli.main import main
from tests.system.conftest import emperor as emperor
from tests.system.empire import PATIENCE, EmperorUnderTest, Kind, command_of

OURS = command_of(Kind.OURS)[0]
COMMANDS = ("status", "start", "stop", "reload", "help", "completion")


def names(prefix: str) -> Iterable[str]:
    return [name for name in ("blog.ini", "shop one.ini", "bad\n.ini") if name.startswith(prefix)]


@pytest.mark.parametrize(
    ("before", "current", "expected"),
    [
        ([], "st", ["status", "start", "stop"]),
        ([], "--emperor-thr", ["--emperor-throttle"]),
        (["--emperor"], "/s", []),
        (["stop"], "", ["blog.ini", "shop one.ini"]),
        (["stop", "blog.ini"], "sh", ["shop one.ini"]),
        (["stop"], "--wa", ["--wait"]),
        (["stop"], "--he", ["--help"]),
        (["status", "--sort"], "m", ["memory"]),
        (["status", "--state"], "fa", ["failed"]),
        (["events", "--level"], "w", ["warning"]),
        (["events", "-n"], "", []),
        (["scan"], "", []),
        (["help"], "re", ["reload"]),
        (["completion"], "", ["bash", "zsh", "fish"]),
    ],
)
def test_candidates(before: list[str], current: str, expected: list[str]) -> None:
    assert list(candidates(before, current, COMMANDS, names)) == expected


def test_no_emperor_means_no_names(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMPEROR_TRIO_CONTROL", "/nowhere")
    assert main(["completion", "--words", "2", "stop", ""]) == 0
    assert capsys.readouterr() == ("", "")
    assert main(["completion"]) == 2
    assert "completion bash" in capsys.readouterr().err


BASH = """
source {script}
COMP_WORDS=(emperor-trio {words}) COMP_CWORD={at}
_emperor_trio
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
ZSH = """
autoload -U compinit; compinit -u -d {dump}
compadd() {{ shift 2; print -l -- ${{(Q)@}} }}
_files() {{ print FILES }}
source {script}
words=(emperor-trio {words}) CURRENT=$(({at} + 1))
_emperor_trio
"""
FISH = "source {script}; complete -C 'emperor-trio {line}'"


@pytest.mark.parametrize("shell", SCRIPTS)
@pytest.mark.parametrize(("line", "expected"), [("stop bl", {"blog.ini", "blot.ini"}), ("sca", {"scan"})])
def test_shells(emperor: EmperorUnderTest, tmp_path: Path, shell: str, line: str, expected: set[str]) -> None:
    for name in ("blog.ini", "blot.ini", "shop.ini"):
        emperor.add(name)
    emperor.start()
    emperor.wait_running("blog.ini", "blot.ini", "shop.ini")
    script = tmp_path / f"script.{shell}"
    script.write_text(SCRIPTS[shell])
    text = {"bash": BASH, "zsh": ZSH, "fish": FISH}[shell].format(
        script=script, words=line, line=line, at=len(line.split()), dump=tmp_path / "dump"
    )
    done = subprocess.run(
        [shell, "-c", text],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={
            "PATH": f"{os.path.dirname(OURS)}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "EMPEROR_TRIO_CONTROL": str(emperor.control_path),
            "LANG": "C.UTF-8",
        },
    )
    assert {word.partition("\t")[0] for word in done.stdout.splitlines()} == expected, done
