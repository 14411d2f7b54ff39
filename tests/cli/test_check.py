"""``check``: what is found in vassals' configs, on which line, and that nothing is started for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from emperor_trio.cli.main import main


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, *lines: str) -> None:
    Path(name).write_text("[uwsgi]\n" + "".join(f"{line}\n" for line in lines))


def check(capsys: pytest.CaptureFixture[str], *words: str, code: int) -> list[str]:
    assert main(["check", *words]) == code
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["processes = 2", "vacuum = true"], []),
        (["procesess = 2"], ["warning: a.ini:2: procesess: no option of uWSGI", "did you mean processes?"]),
        (["strict = true", "procesess = 2"], ["error: a.ini:3: procesess", "the vassal leaves"]),
        (["base = 1", "processes = %(base)"], []),
        (["http-socket = 127.0.0.1:9001", "socket = :9001"], ["error: a.ini:3: socket = :9001", "is bound twice"]),
        (["socket = /run/" + "x" * 120], ["error: a.ini:2: socket = /run/x", "has 107 bytes at most"]),
        (["socket = /no/such/folder/a.sock"], ["warning: a.ini:2: socket", "there is no folder /no/such/folder"]),
        (["wsgi-file = /no/app.py"], ["warning: a.ini:2: wsgi-file = /no/app.py", "there is no such file"]),
        (["chdir = /no/where"], ["warning: a.ini:2: chdir = /no/where", "there is no such folder"]),
        (["pass = %(nobody)"], []),
        (["ini = missing.ini"], ["a.ini:2: ini = missing.ini"]),
    ],
)
def test_findings(folder: Path, capsys: pytest.CaptureFixture[str], lines: list[str], found: list[str]) -> None:
    write("a.ini", *lines)
    said = "\n".join(check(capsys, "a.ini", code=int(any(part.startswith("error") for part in found))))
    for part in found:
        assert part in said
    if not found:
        assert "error: " not in said


def test_sockets_of_two_vassals_clash_whatever_they_are_called(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write("a.ini", "http-socket = 127.0.0.1:9001")
    write("b.ini", "uwsgi-socket = :9001")
    write("c.ini", f"socket = {folder}/x.sock")
    write("d.ini", f"socket = {folder}/./x.sock")
    write("e.ini", "http-socket = 127.0.0.1:9002")
    said = check(capsys, str(folder), code=1)
    assert [line.partition(" = ")[0] for line in said[:-1]] == [
        f"error: {folder}/b.ini:2: uwsgi-socket",
        f"error: {folder}/d.ini:2: socket",
    ]
    assert said[-1] == "5 vassals, 2 errors, 0 warnings"


def test_an_on_demand_vassal_that_binds_its_socket_itself(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vassals = folder / "vassals"
    vassals.mkdir()
    (vassals / "a.ini").write_text(f"[uwsgi]\nsocket = {folder}/a.socket\n")
    said = check(capsys, str(vassals), "--emperor-on-demand-directory", str(folder), code=1)
    assert "write fd://0 instead" in said[0]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.yaml", "uwsgi: {a: [", "a.yaml"),
        ("a.json", '{"uwsgi": {', "a.json"),
        ("a.xml", "<uwsgi><a>", "a.xml"),
        ("a.ini", "\0", "a.ini"),
    ],
)
def test_what_can_not_be_read_is_told_with_its_place(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, words: str
) -> None:
    Path(name).write_text(text)
    said = check(capsys, str(folder), code=0 if name == "a.ini" else 1)
    assert words in said[0]


def test_hostile_files_harm_only_their_own_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo("fifo.ini")
    Path("huge.ini").write_bytes(b"x" * 1_000_000)
    Path("deep.yaml").write_text("uwsgi: " + "[" * 5000)
    Path("laugh.ini").write_text(
        "[uwsgi]\na = x\n" + "".join(f"{chr(98 + n)} = {f'%({chr(97 + n)})' * 10}\n" for n in range(20))
    )
    Path("\033[31m.ini").write_text("[uwsgi]\nnosuch = 1\n")
    write("good.ini", "processes = 1")
    said = check(capsys, str(folder), "fifo.ini", code=1)
    assert all(line.isprintable() for line in said)
    assert not [line for line in said if "good.ini" in line]
    assert any("huge.ini" in line and "larger than" in line for line in said)


def test_json_and_strict(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("a.ini", "procesess = 2", "password = pg://u:word@h/")
    assert main(["check", "--json", "a.ini"]) == 0
    text = capsys.readouterr().out
    assert "word@" not in text
    found: dict[str, Any] = json.loads(text)
    assert found["summary"] == {"vassals": 1, "errors": 0, "warnings": 2}
    assert {key: found["findings"][0][key] for key in ("level", "vassal", "place")} == {
        "level": "warning", "vassal": "a.ini", "place": "a.ini:2",
    }  # fmt: skip
    assert main(["check", "--strict", "a.ini"]) == 1


def test_names_and_owners_are_judged_as_at_a_start(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("a.ini")
    said = check(capsys, str(folder), "--emperor-tyrant", code=1)
    assert "Tyrant mode runs nothing as root" in said[0] or os.geteuid() != 0


def test_sources_that_hold_nothing_and_those_that_are_down(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = check(capsys, "zmq://tcp://127.0.0.1:5999", code=0)
    assert "tells of changes only" in said[0]
    said = check(capsys, "zoo://127.0.0.1:9/x", "--timeout", "3", code=1)
    assert said[0].startswith("error: zoo://127.0.0.1:9/x: ")


@pytest.mark.parametrize(
    ("words", "text"),
    [([], "there is nothing to watch"), (["--timeout", "x", "a.ini"], "--timeout x"), (["--nope"], "--nope: unknown")],
)
def test_a_wrong_command_line(folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], text: str) -> None:
    assert main(["check", *words]) == 2
    assert text in capsys.readouterr().err


def test_nothing_is_started(folder: Path) -> None:
    write("a.ini", "http-socket = 127.0.0.1:9001")
    script = (
        "import sys, os\n"
        "def hook(event, args):\n"
        "    if event == 'subprocess.Popen' and args[0] == '/sbin/ldconfig':\n"
        "        return\n"  # ctypes looks for the C library so
        "    if event in ('subprocess.Popen', 'os.posix_spawn', 'os.fork', 'os.exec', 'socket.bind'):\n"
        "        print(event, args, file=sys.stderr, flush=True); os._exit(99)\n"
        "sys.addaudithook(hook)\n"
        "from emperor_trio.cli.main import main\n"
        "sys.exit(main(['check', sys.argv[1]]))\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(folder)], timeout=60).returncode == 0


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Examples" in "\n".join(check(capsys, "--help", code=0))
