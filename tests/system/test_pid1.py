"""As pid 1 of a container, and as a subreaper: orphans are reaped, signals obeyed, and exit codes tell how it went."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.vassal import children_of
from tests.system.empire import EmperorUnderTest, Kind, command_of

CONTAINER = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
"""What a container is to the first process in it. Ends with its code, or by its signal."""

ORPHANS = 20

ORPHAN = """#!/bin/sh
# A daemon as they were made of old: it lives on when its parent has ended, and is adopted then.
while read -r _ _ _ parent _ </proc/self/stat && [ "$parent" != "$1" ]; do sleep 0.01; done
echo "$$" >>"$2"
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a container")


def inner(emperor: EmperorUnderTest) -> int:
    """The emperor's own number, seen from outside of its container."""
    (pid,) = children_of(emperor.pid)
    return pid


def start_contained(emperor: EmperorUnderTest, *options: str | Path) -> int:
    emperor.start(*options, prefix=CONTAINER)
    assert emperor.stats()["pid"] == 1
    return inner(emperor)


def start_as_subreaper(emperor: EmperorUnderTest, *options: str | Path) -> int:
    emperor.start("--emperor-subreaper", *options)
    return emperor.pid


@pytest.mark.parametrize("start", [start_contained, start_as_subreaper], ids=["pid 1", "subreaper"])
def test_orphans_of_vassals_are_adopted_and_reaped(emperor: EmperorUnderTest, start: Callable[..., int]) -> None:
    orphan, adopted, own = (emperor.folder / name for name in ("orphan", "adopted", "pid"))
    orphan.write_text(ORPHAN)
    orphan.chmod(0o755)
    emperor.add("a.ini")
    hook = f"for n in $(seq {ORPHANS}); do {orphan} $(cat {own}) {adopted} </dev/null & done"
    pid = start(emperor, "--emperor-pidfile", own, "--exec-as-vassal", hook)
    emperor.wait_running("a.ini")
    emperor.wait(lambda: adopted.exists() and len(adopted.read_text().split()) == ORPHANS, "all orphans are adopted")
    emperor.wait(lambda: len(children_of(pid)) == 1, "of its children, the vassal alone is left")
    os.kill(pid, signal.SIGTERM)
    assert emperor.exit_code() == 0


def test_it_reloads_when_it_is_told_from_outside(emperor: EmperorUnderTest) -> None:
    emperor.add("a.ini")
    pid = start_contained(emperor)
    emperor.wait_running("a.ini")
    os.kill(pid, signal.SIGHUP)
    emperor.wait(lambda: emperor.orders("a.ini") == [1], "it is reloaded")
    os.kill(pid, signal.SIGTERM)
    assert emperor.exit_code() == 0
    assert emperor.log().splitlines()[-1].endswith("all vassals are gone; bye")
    assert emperor.processes() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT], ids=lambda number: number.name)
def test_it_stops_its_vassals_in_order_when_it_is_told_from_outside(emperor: EmperorUnderTest, number: int) -> None:
    emperor.add("a.ini", workers=2)
    pid = start_contained(emperor)
    emperor.wait_running("a.ini")
    os.kill(pid, number)
    assert emperor.exit_code() == 0
    assert emperor.orders("a.ini") == [0]
    assert "killed" not in emperor.log()
    assert emperor.processes() == []


def test_told_twice_it_waits_no_longer(emperor: EmperorUnderTest) -> None:
    emperor.add("a.ini", ignore_stop=True, ignore_eof=True)
    pid = start_contained(emperor)
    emperor.wait_running("a.ini")
    os.kill(pid, signal.SIGTERM)
    emperor.wait(lambda: emperor.orders("a.ini") == [0], "it is told to stop")
    os.kill(pid, signal.SIGTERM)
    assert emperor.exit_code() == 0
    assert emperor.processes() == []


def test_nothing_outlives_it_when_it_is_killed(emperor: EmperorUnderTest) -> None:
    emperor.add("a.ini", workers=2, ignore_eof=True)
    pid = start_contained(emperor)
    emperor.wait_running("a.ini")
    os.kill(pid, signal.SIGKILL)
    assert emperor.exit_code() != 0
    emperor.wait(lambda: not emperor.processes(), "all are gone")


def test_a_mistake_in_its_options_ends_with_2(emperor: EmperorUnderTest) -> None:
    emperor.launch([*CONTAINER, *command_of(Kind.OURS), "--emperor", "nowhere://x"])
    assert emperor.exit_code() == 2
    (line,) = emperor.log().splitlines()
    assert "nowhere" in line


def test_its_vassals_have_no_signal_blocked(emperor: EmperorUnderTest) -> None:
    emperor.add("a.ini")
    pid = start_contained(emperor)
    status = emperor.wait_reported("start")["status"]
    assert (int(status["SigIgn"], 16), int(status["SigBlk"], 16)) == (0, 0)
    os.kill(pid, signal.SIGTERM)
    assert emperor.exit_code() == 0


EARLY = """
import os, signal, sys
from emperor_trio import daemon
from emperor_trio.cli.main import main

prepare = daemon.prepare

def prepare_and_be_told(settings):
    prepare(settings)
    os.kill(os.getpid(), signal.Signals[os.environ["TOLD"]])

daemon.prepare = prepare_and_be_told
sys.exit(main())
"""


@pytest.mark.parametrize("told", ["SIGTERM", "SIGQUIT"])
def test_what_comes_before_it_reigns_is_not_lost(emperor: EmperorUnderTest, told: str) -> None:
    """To pid 1 the kernel delivers nothing that it has no handler for: a container would wait for its SIGKILL."""
    script = emperor.folder / "early.py"
    script.write_text(EARLY)
    emperor.launch([*CONTAINER, sys.executable, script, "--emperor", emperor.vassals], {"TOLD": told})
    assert emperor.exit_code() == 0
    assert f"{told}: stopping 0 vassals" in emperor.log()


def test_a_reload_that_comes_before_it_reigns_neither_ends_it_nor_is_lost(emperor: EmperorUnderTest) -> None:
    script = emperor.folder / "early.py"
    script.write_text(EARLY)
    arguments: list[str | Path] = ["--emperor", emperor.vassals, "--emperor-stats", emperor.stats_path]
    emperor.launch([*CONTAINER, sys.executable, script, *arguments], {"TOLD": "SIGHUP"})
    emperor.wait_started()
    emperor.wait_logged("reload of all vassals")
    os.kill(inner(emperor), signal.SIGTERM)
    assert emperor.exit_code() == 0
