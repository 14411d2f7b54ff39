"""The commands that look, at a real emperor with a vassal in each state; and ``top`` on a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator

import pyte
import pytest

from tests.system.empire import PATIENCE, EmperorUnderTest, free_port, wait_until
from tests.system.test_cli_orders import OURS, call, data


@pytest.fixture
def lively(emperor: EmperorUnderTest) -> EmperorUnderTest:
    """An emperor with a vassal in each state that lasts."""
    emperor.add("up.ini", loyal_after=0)
    emperor.add("starting.ini", ready_after="never")
    emperor.add("exiled.ini", exit_after=0, exit_code=26)
    emperor.add("blacklisted.ini", exit_after=0, exit_code=3)
    emperor.add("off.ini")
    emperor.add("deaf.ini", ignore_stop=True, ignore_signals=True)
    emperor.add("waiting.ini")
    (emperor.vassals / "waiting.ini.socket").write_text(f"127.0.0.1:{free_port()}")
    emperor.start(
        "--emperor-on-demand-extension", ".socket", "--emperor-throttle", "600000", "--emperor-max-throttle", "600000",
        "--emperor-curse-tolerance", "600", "--reload-mercy", "1",
    )  # fmt: skip
    emperor.wait_vassal("up.ini", loyal=1)
    emperor.wait_vassal("deaf.ini", ready=1)
    call(emperor, "stop", "off.ini", "--wait")
    emperor.remove("deaf.ini")
    expected = {
        "up.ini": "up", "starting.ini": "starting", "exiled.ini": "exiled", "blacklisted.ini": "blacklisted",
        "off.ini": "stopped", "deaf.ini": "stopping", "waiting.ini": "on demand",
    }  # fmt: skip
    emperor.wait(lambda: states(emperor) == expected, "not every vassal is in its state")
    return emperor


def states(emperor: EmperorUnderTest) -> dict[str, str]:
    return {vassal["name"]: vassal["state"] for vassal in data(emperor, "status")["vassals"]}


def test_every_state_is_told_shown_and_commanded(lively: EmperorUnderTest) -> None:
    text = call(lively, "status").stdout
    for word in ("up", "starting", "exiled", "blacklisted", "stopped", "stopping", "on demand"):
        assert f" {word}" in text
    (up,) = data(lively, "status", "up.ini")["vassals"]
    assert up["memory"] > 0
    for name, verb in [(name, verb) for name in states(lively) for verb in ("reload", "forgive", "start")]:
        said = call(lively, verb, name, code=None)
        assert said.returncode in (0, 1)
        assert name in said.stdout + said.stderr
    shown = data(lively, "show", "blacklisted.ini")["vassals"]
    assert shown[0]["command"][-2:] == ["--ini", "blacklisted.ini"]
    kinds = {event["kind"] for event in shown[0]["events"]}
    assert {"VassalSpawned", "VassalExited", "VassalBlacklisted"} <= kinds
    assert "exit code 3" in call(lively, "show", "blacklisted.ini").stdout
    assert call(lively, "monitors").stdout.count("● works") == 1


def test_events_of_the_past_and_as_they_come(lively: EmperorUnderTest) -> None:
    past = [json.loads(line) for line in call(lively, "events", "up.ini", "--json").stdout.splitlines()]
    assert "VassalLoyal" in [event["kind"] for event in past]
    words = [OURS, "events", "-f", "-n", "0", "--json", "up.ini", "--control", str(lively.control_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        time.sleep(1)  # until it listens; what comes before is not for it
        lively.touch("up.ini")
        kinds = [json.loads(follower.stdout.readline())["kind"] for _ in range(2)]
        follower.send_signal(signal.SIGINT)
        assert follower.wait(PATIENCE) == 130
    assert kinds == ["ReloadSent", "VassalReady"]


# --- top, on a terminal ----------------------------------------------------------------------------------------------


class Screen:
    """A program on a terminal of its own, and what is to be seen there."""

    def __init__(self, words: list[str], columns: int = 80, lines: int = 24) -> None:
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.ByteStream(self.screen)
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", lines, columns, 0, 0))
        self.before = termios.tcgetattr(theirs)
        self.theirs = theirs
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *words], stdin=theirs, stdout=theirs, stderr=theirs,
            env={"PATH": os.environ["PATH"], "TERM": "xterm-256color", "LANG": "C.UTF-8"},
        )  # fmt: skip
        os.set_blocking(self.ours, False)
        self.raw = b""

    def press(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def text(self) -> str:
        try:
            while data := os.read(self.ours, 65536):
                self.raw += data
                self.stream.feed(data)
        except BlockingIOError:
            pass
        return "\n".join(line.rstrip() for line in self.screen.display)

    def wait(self, words: str) -> str:
        wait_until(lambda: words in self.text(), lambda: f"{words!r} is not to be seen:\n{self.text()}")
        return self.text()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def top(lively: EmperorUnderTest) -> Iterator[Screen]:
    screen = Screen([OURS, "top", "--control", str(lively.control_path)])
    yield screen
    screen.close()


def test_top_follows_what_happens_and_leaves_the_terminal_as_it_was(lively: EmperorUnderTest, top: Screen) -> None:
    top.wait("blacklisted.ini")
    lively.add("fresh.ini")
    top.wait("fresh.ini")
    top.press("/fresh\r")
    wait_until(lambda: "blacklisted.ini" not in top.text(), top.text)
    top.press("q")
    assert top.process.wait(PATIENCE) == 0
    top.text()
    assert top.raw.count(b"\033[?1049h") == top.raw.count(b"\033[?1049l") == 1
    assert termios.tcgetattr(top.theirs)[:4] == top.before[:4]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_top_gives_the_terminal_back_whatever_ends_it(top: Screen, number: int) -> None:
    top.wait("up.ini")
    (child,) = [int(pid) for pid in _children(top.process.pid)] or [top.process.pid]
    os.kill(child, number)
    top.process.wait(PATIENCE)
    top.text()
    assert b"\033[?1049l" in top.raw
    assert termios.tcgetattr(top.theirs)[:4] == top.before[:4]


def _children(pid: int) -> list[str]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return file.read().split()


def test_top_tells_of_a_lost_emperor_and_finds_the_next_one(lively: EmperorUnderTest, top: Screen) -> None:
    top.wait("up.ini")
    assert lively.stop() == 0
    top.wait("trying again")
    lively.add("second-life.ini")
    lively.start()
    top.wait("second-life.ini")


def test_top_needs_a_terminal(emperor: EmperorUnderTest) -> None:
    emperor.start()
    assert "it needs a terminal" in call(emperor, "top", code=2).stderr
