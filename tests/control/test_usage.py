"""CPU and memory of a vassal's processes, against processes that really run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from emperor_trio.control import usage
from emperor_trio.control.usage import Meter, Reading, read
from tests.system.empire import wait_until

GRANDCHILD = "import sys, time; data = bytearray(40_000_000); print('there', flush=True); time.sleep(1000)"
FAMILY = f"""
import subprocess, sys, threading, time
def fork():
    subprocess.Popen([sys.executable, "-c", {GRANDCHILD!r}])
thread = threading.Thread(target=fork)
thread.start()
thread.join()
while True:
    pass
"""


@pytest.fixture
def family() -> Iterator[int]:
    """A busy process whose child, forked by another thread, holds 40 MB."""
    with subprocess.Popen([sys.executable, "-c", FAMILY], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(params=["children", "pass"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels that tell children, and those that don't."""
    monkeypatch.setattr(usage, "_tells_children", lambda: request.param == "children")


@pytest.mark.usefixtures("way")
def test_a_whole_family_is_one_vassal(family: int) -> None:
    found = read([family])[family]
    assert found.processes == 2
    assert found.memory_bytes > 40_000_000
    assert found.started > 0


@pytest.mark.usefixtures("way")
def test_time_passes_for_a_busy_one(family: int) -> None:
    before = read([family])[family].cpu_seconds
    wait_until(lambda: read([family])[family].cpu_seconds >= before + 0.1)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("pid", [0, -1, 2**22 + 1, 2**40])
def test_who_is_not_there_is_missing(pid: int) -> None:
    assert read([pid]) == {}


@pytest.mark.usefixtures("way")
def test_a_dead_one_nobody_waited_for_is_missing() -> None:
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert read([process.pid]) == {}


@pytest.mark.usefixtures("way")
def test_time_of_children_that_are_gone_stays() -> None:
    burn = "import os, time\nwhile time.process_time() < 0.2: pass"
    script = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\nprint(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = read([process.pid])[process.pid]
        assert (found.processes, found.cpu_seconds > 0.1) == (1, True)


@pytest.mark.parametrize("name", ["a) R 1 1 1 (b", "spaces in it"])
def test_names_of_processes_mislead_nobody(name: str, tmp_path: Path) -> None:
    program = tmp_path / name
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "1000"]) as process:
        wait_until(lambda: Path(f"/proc/{process.pid}/comm").read_text().strip() == name[:15])
        assert read([process.pid])[process.pid].processes == 1
        process.kill()


def test_shares_of_a_processor() -> None:
    meter = Meter()
    assert meter.shares({7: Reading(10.0, 1, 1, 5), 8: Reading(1.0, 1, 1, 6)}, 100.0) == {}
    later = {7: Reading(13.0, 1, 1, 5), 8: Reading(0.5, 1, 1, 6), 9: Reading(4.0, 1, 1, 7)}
    assert meter.shares(later, 102.0) == {7: 1.5, 8: 0.0}


def test_a_new_process_of_the_same_number_starts_anew() -> None:
    meter = Meter()
    meter.shares({7: Reading(10.0, 1, 1, 5)}, 100.0)
    assert meter.shares({7: Reading(90.0, 1, 1, 6)}, 101.0) == {}


def test_what_is_out_of_view_is_forgotten() -> None:
    meter = Meter()
    meter.shares({7: Reading(10.0, 1, 1, 5)}, 100.0)
    meter.shares({}, 101.0)
    assert meter.shares({7: Reading(11.0, 1, 1, 5)}, 102.0) == {}
