"""Regressions by the name of the fault: what uWSGI's emperor, or an obvious way to start children, gets wrong."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from emperor_trio.model import VassalId
from tests.processes.conftest import MakeCourt
from tests.processes.support import ALICE, Court, environment_of
from tests.support.vassal import Report, is_alive, wait_until

ROOT = Path(__file__).parents[2]


@contextmanager
def empire(folder: Path, binary: Path, count: int, *prefix: str, **policy: Any) -> Iterator[subprocess.Popen[str]]:
    """An emperor in a process of its own, which the test is to end."""
    fields = {"environment": {"PATH": os.environ["PATH"]}, "directory": str(folder), "binary": str(binary), **policy}
    command = [*prefix, sys.executable, "-m", "tests.processes.empire", str(folder), str(count), json.dumps(fields)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def pids_of(process: subprocess.Popen[str], count: int) -> list[int]:
    assert process.stdout is not None
    return [int(process.stdout.readline()) for _ in range(count)]


def vassals_of(binary: Path) -> list[int]:
    """Every living process of this session's test vassal."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and is_alive(int(entry.name)):
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if os.fsencode(binary) in words:
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize(
    "policy",
    [{}, {"tyrant": True}, {"namespaces": ["pid", "ipc"], "tyrant": True}, {"namespaces": ["user", "pid"]}],
    ids=["as the emperor", "after a change of uid", "in a PID namespace", "in a user namespace"],
)
def test_killing_the_emperor_leaves_no_vassal(folder: Path, vassal_binary: Path, policy: dict[str, Any]) -> None:
    """Parent-death signal lost after a uid change."""
    with empire(folder, vassal_binary, 5, **policy) as emperor:
        pids = pids_of(emperor, 5)
        Report(folder / "report.jsonl").wait_for("sent", 10)  # bytes 1 and 5 of each
        assert len(vassals_of(vassal_binary)) >= 5
        emperor.kill()
        emperor.wait()
    wait_until(lambda: not vassals_of(vassal_binary), complaint=lambda: f"{pids}: {vassals_of(vassal_binary)}")


@pytest.mark.parametrize("policy", [{"tyrant": True}, {"namespaces": ["pid"], "tyrant": True}], ids=["plain", "pid"])
def test_killing_the_emperor_while_it_spawns_leaves_no_vassal(
    folder: Path, vassal_binary: Path, policy: dict[str, Any]
) -> None:
    """The emperor dies between the fork and the arming of the parent-death signal."""
    for turn in range(8):
        with empire(folder, vassal_binary, 0, **policy) as emperor:
            pids_of(emperor, 20 + turn)
            emperor.kill()
            emperor.wait()
        wait_until(lambda: not vassals_of(vassal_binary), complaint=lambda: str(vassals_of(vassal_binary)))
        (folder / "report.jsonl").unlink(missing_ok=True)


async def test_the_end_of_a_thread_kills_no_vassal(court: Court) -> None:
    """PR_SET_PDEATHSIG fires at the end of the *thread* that forked: so none but the main thread may."""
    threads = [threading.Thread(target=trio.run, args=(trio.sleep, 0.01)) for _ in range(5)]
    for thread in threads:
        thread.start()
    subject = court.spawn(court.spec())
    await subject.ear.bytes(b"\1")
    for thread in threads:
        await trio.to_thread.run_sync(thread.join)
    with trio.move_on_after(0.2):
        await subject.ear.exit_code()
    assert is_alive(subject.pid)
    assert court.report.of("start")[0]["pdeathsig"] == signal.SIGKILL


async def test_a_vassal_gets_nothing_that_the_emperor_has_open(court: Court) -> None:
    """Listeners, other vassals' pipes, pidfds, files and sockets stay with the emperor."""
    others = [court.spawn(court.sent(f"{n}.ini")) for n in range(5)]
    listener = await court.spawner.listen(VassalId("m", "one.ini"), court.spec(), "127.0.0.1:0")
    start = await court.start(court.sent("last.ini"))
    environment = environment_of(start)
    ours = {environment["UWSGI_EMPEROR_FD"], environment["UWSGI_EMPEROR_FD_CONFIG"]}
    extra = {
        number
        for number in set(start["fds"]) - {"0", "1", "2"} - ours
        if not (os.path.exists(f"/proc/self/fd/{number}") and os.get_inheritable(int(number)))
    }
    assert extra == set()
    assert len(others) == 5
    listener.close()


def test_no_work_grows_with_the_limit_of_descriptors(folder: Path, vassal_binary: Path) -> None:
    """Hang at a huge descriptor limit: uWSGI closes every possible descriptor, one by one."""
    strace = shutil.which("strace")
    assert strace, "strace is needed here: apt-get install strace"
    counts = []
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for limit in (256, hard):
        trace = folder / f"trace-{limit}"
        prefix = ("prlimit", f"--nofile={limit}:{hard}", strace, "-D", "-f", "-o", str(trace))
        with empire(folder, vassal_binary, 3, *prefix) as emperor:
            pids_of(emperor, 3)
            wait_until(lambda trace=trace: trace.read_text().count("execve(") >= 7)  # type: ignore[misc]
            calls = Counter(line.split(None, 1)[1].split("(")[0] for line in trace.read_text().splitlines())
            counts.append(calls["close"] + calls["fcntl"] + calls["ioctl"])
            emperor.kill()
        wait_until(lambda: not vassals_of(vassal_binary))
    assert hard >= 4096
    assert abs(counts[1] - counts[0]) < 100


async def test_vassals_get_the_soft_limit_back(make_court: MakeCourt) -> None:
    court = await make_court(descriptor_limit=321)
    start = await court.start(court.spec())
    assert start["nofile"] == [321, resource.getrlimit(resource.RLIMIT_NOFILE)[1]]


async def test_a_terminal_reaches_the_emperor_alone(court: Court) -> None:
    """Ctrl-C goes to the whole foreground process group: vassals are in another one, and in another session."""
    start = await court.start(court.spec(workers=1))
    assert start["sid"] == start["pgid"] == start["pid"] != os.getsid(0)


async def test_a_vassal_in_tyrant_mode_has_nothing_of_root(make_court: MakeCourt) -> None:
    court = await make_court(tyrant=True)
    start = await court.start(court.spec())
    assert (start["uid"], start["euid"], start["gid"], start["egid"]) == (ALICE.uid, ALICE.uid, ALICE.gid, ALICE.gid)
    assert start["groups"] == []
    assert start["pdeathsig"] == signal.SIGKILL
    assert {start["status"][name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
