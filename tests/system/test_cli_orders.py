"""Every command that changes something, against a real emperor with real processes in each state of a vassal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.system.empire import PATIENCE, EmperorUnderTest, Kind, command_of

OURS = command_of(Kind.OURS)[0]


def call(emperor: EmperorUnderTest, *words: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Run a command against this emperor, on no terminal. ``code`` is the exit code that it must have."""
    done = subprocess.run(
        [OURS, *words, "--control", str(emperor.control_path)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
    )
    assert code is None or done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def data(emperor: EmperorUnderTest, *words: str, code: int = 0) -> Any:
    return json.loads(call(emperor, *words, "--json", code=code).stdout)


def test_reload_restart_stop_and_start_wait_until_it_is_really_so(emperor: EmperorUnderTest) -> None:
    emperor.add("a.ini", ready_after=300)
    emperor.start()
    first = emperor.wait_vassal("a.ini", ready=1)["pid"]
    call(emperor, "reload", "a.ini", "--wait")
    assert emperor.wait_vassal("a.ini", ready=1, respawns=1)["pid"] == first
    call(emperor, "restart", "a.ini", "--wait")
    second = emperor.stats()["vassals"][0]
    assert (second["pid"] != first, second["ready"]) == (True, 1)
    call(emperor, "stop", "a.ini", "--wait")
    assert emperor.stats()["vassals"][0]["pid"] == -1
    call(emperor, "start", "a.ini", "--wait")
    assert emperor.stats()["vassals"][0]["ready"] == 1


def test_a_stop_holds_against_touch_hup_scan_and_a_restart_of_the_emperor(emperor: EmperorUnderTest) -> None:
    state = emperor.folder / "state folder"
    state.mkdir(mode=0o700)
    options = ("--emperor-state", str(state / "state"))
    emperor.add("a.ini")
    emperor.add("b.ini")
    emperor.start(*options)
    emperor.wait_running("a.ini", "b.ini")
    assert call(emperor, "stop", "a.ini", "--wait").stdout == "a.ini: told to stop, done\n"
    emperor.touch("a.ini")
    call(emperor, "scan")
    emperor.send_signal(signal.SIGHUP)
    emperor.wait_vassal("b.ini", ready=1, respawns=1)
    call(emperor, "reload", "a.ini", code=1)
    assert emperor.stop() == 0
    emperor.start(*options)
    emperor.wait_vassal("b.ini", ready=1)
    call(emperor, "scan")
    (held,) = data(emperor, "status", "a.ini")["vassals"]
    assert (held["state"], held["pid"]) == ("stopped", 0)
    assert len(emperor.reported("start", "a.ini")) == 1
    call(emperor, "start", "a.ini", "--wait")
    emperor.wait_running("a.ini", "b.ini")


def test_a_stop_holds_against_a_connection(emperor: EmperorUnderTest) -> None:
    socket_path = emperor.folder / "a.sock"
    emperor.add("a.ini", serve=1)
    (emperor.vassals / "a.ini.socket").write_text(str(socket_path))
    emperor.start("--emperor-on-demand-extension", ".socket")
    emperor.wait(socket_path.exists)
    call(emperor, "stop", "a.ini", "--wait")
    assert not socket_path.exists()
    answer = data(emperor, "start", "a.ini", "--wait")
    assert [(vassal["ok"], vassal["reached"]) for vassal in answer["vassals"]] == [(True, True)]
    emperor.wait(socket_path.exists)
    assert emperor.reported("start", "a.ini") == []


def test_a_rolling_restart_stops_at_the_first_that_does_not_get_ready(emperor: EmperorUnderTest) -> None:
    names = [f"{letter}.ini" for letter in "abcd"]
    for name in names:
        emperor.add(name)
    emperor.start()
    emperor.wait_running(*names)
    before = {vassal["id"]: vassal["pid"] for vassal in emperor.stats()["vassals"]}
    emperor.add("c.ini", ready_after="never", exit_after=0)
    emperor.wait_vassal("c.ini", ready=0)
    done = call(emperor, "restart", "--all", "--batch", "1", "--within", "20", code=1)
    assert "c.ini: " in done.stderr
    assert "left alone: d.ini (1)" in done.stderr
    after = {vassal["id"]: vassal["pid"] for vassal in emperor.stats()["vassals"]}
    assert after["d.ini"] == before["d.ini"]
    assert after["a.ini"] != before["a.ini"]


def test_the_blacklisted_are_forgiven_and_the_failed_started(emperor: EmperorUnderTest) -> None:
    emperor.add("a.ini", exit_after=0, exit_code=3)
    emperor.start("--emperor-throttle", "600000", "--emperor-max-throttle", "600000", "--emperor-max-restarts", "4")

    def state() -> str:
        (vassal,) = data(emperor, "status", "a.ini")["vassals"]
        return str(vassal["state"])

    emperor.wait(lambda: state() == "blacklisted", "it is not blacklisted")
    starts = len(emperor.reported("start", "a.ini"))
    call(emperor, "forgive", "a.ini")
    emperor.wait_reported("start", "a.ini", count=starts + 1)
    done = call(emperor, "start", "a.ini", "--wait", code=1)
    assert "it died, exit code 3" in done.stderr
    for _ in range(5):
        call(emperor, "start", "a.ini", code=None)
        if state() == "failed":
            break
        emperor.wait(lambda: state() in ("failed", "blacklisted"))
    emperor.wait(lambda: state() == "failed", "it is not parked")
    emperor.add("a.ini")
    emperor.wait_running("a.ini")


def test_names_patterns_and_monitors(emperor: EmperorUnderTest) -> None:
    other = emperor.folder / "other"
    other.mkdir()
    emperor.add("a.ini")
    emperor.add("ab.ini")
    emperor.add("c.ini", folder=other)
    emperor.start(monitors=[emperor.vassals, other])
    emperor.wait_running("a.ini", "ab.ini", "c.ini")
    names = {vassal["name"] for vassal in data(emperor, "reload", "a*")["vassals"]}
    assert names == {"a.ini", "ab.ini"}
    names = {vassal["name"] for vassal in data(emperor, "reload", "--all", "--monitor", str(other))["vassals"]}
    assert names == {"c.ini"}
    assert "did you mean ab.ini?" in call(emperor, "stop", "abb.ini", code=1).stderr
    assert "there is no monitor" in call(emperor, "scan", "--monitor", "/nowhere", code=1).stderr
    assert "name the vassals, or give --all" in call(emperor, "stop", code=2).stderr


def test_config_says_where_each_setting_came_from_and_what_would_be_another_now(emperor: EmperorUnderTest) -> None:
    config = emperor.folder / "emperor.ini"
    config.write_text("[uwsgi]\nemperor-throttle = 5\n")
    emperor.start("--ini", str(config), "--env", "SECRET=word")
    found = {setting["name"]: setting for setting in data(emperor, "config")["settings"]}
    assert found["emperor-throttle"] == {
        "name": "emperor-throttle", "value": "5", "origin": f"{config}:2", "now": None,
    }  # fmt: skip
    assert found["env"]["value"] == "SECRET=***"
    config.write_text("[uwsgi]\nemperor-throttle = 7\nemperor-nofollow = true\n")
    found = {setting["name"]: setting for setting in data(emperor, "config")["settings"]}
    assert found["emperor-throttle"]["now"] == "7"
    assert found["emperor-nofollow"]["now"] == "true"
    config.write_text("[uwsgi]\nno-such-option = 7\n")
    assert "no-such-option" in call(emperor, "config").stderr
    assert "now: " not in call(emperor, "config").stdout


def test_shutdown_waits_for_the_end(emperor: EmperorUnderTest) -> None:
    emperor.add("a.ini")
    emperor.start()
    emperor.wait_running("a.ini")
    call(emperor, "shutdown", "--wait")
    assert emperor.exit_code() == 0
    assert emperor.processes() == []


@pytest.mark.parametrize(
    "words",
    [("reload", "a.ini"), ("restart", "a.ini", "--wait"), ("stop", "--all"), ("start", "a.ini", "-w"),
     ("forgive", "a.ini"), ("scan",), ("shutdown",), ("config",)],
    ids=" ".join,
)  # fmt: skip
def test_a_missing_and_a_hung_emperor_are_told_of_in_one_line(
    emperor: EmperorUnderTest, words: tuple[str, ...]
) -> None:
    done = call(emperor, *words, code=3)
    assert "Start one" in done.stderr
    assert done.stderr.count("\n") == 1
    emperor.add("a.ini")
    emperor.start()
    emperor.wait_running("a.ini")
    emperor.send_signal(signal.SIGSTOP)
    try:
        done = call(emperor, *words, "--timeout", "0.5", code=3)
    finally:
        emperor.send_signal(signal.SIGCONT)
    assert "is stopped, and does not answer" in done.stderr
    assert done.stderr.count("\n") == 1


def test_other_users_are_not_let_in(emperor: EmperorUnderTest, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.fail("needs root to become somebody else")
    emperor.start()
    emperor.control_path.chmod(0o666)
    code = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
        "s.sendall(b'GET / HTTP/1.1\\r\\n\\r\\n'); print(s.recv(100))"
    )
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    done = subprocess.run(
        [*nobody, sys.executable, "-c", code, str(emperor.control_path)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.stdout.strip() in ("b''", "") or "ConnectionReset" in done.stderr
    emperor.wait(lambda: "user 65534" in emperor.log(), "it is not told of")
    call(emperor, "status")
