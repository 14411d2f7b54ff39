"""The faults of uWSGI's Emperor that ours must never have, each by name, with real processes."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import trio

from emperor_trio.actors.emperor import Emperor
from emperor_trio.app import make_launch_policy, make_policy
from emperor_trio.model import VassalSpec
from emperor_trio.processes import SystemSpawner
from emperor_trio.settings import Settings
from emperor_trio.testing import ScriptedMonitor
from tests.support.vassal import Report, is_alive, vassal_config
from tests.system.empire import PATIENCE, EmperorUnderTest, ask, free_port, wait_until

OWNER = (12_001, 13_001)


# --- which change counts ---------------------------------------------------------------------------------------------


def test_a_second_edit_within_one_second_reloads(emperor: EmperorUnderTest) -> None:
    path = emperor.add("a.ini")
    emperor.start()
    emperor.wait_running("a.ini")
    second = path.stat().st_mtime_ns // 10**9 * 10**9
    for number in (1, 2, 3):
        path.write_text(vassal_config({"report": emperor.report.path, "edit": number}))
        os.utime(path, ns=(second, second + number))
        emperor.wait_reported("config", count=number + 1)
        emperor.wait_running("a.ini")
    assert f"edit = {number}" in emperor.reported("config")[-1]["text"]


def test_a_restored_older_file_reloads(emperor: EmperorUnderTest) -> None:
    path = emperor.add("a.ini", edit=1)
    backup = emperor.folder / "backup"
    backup.write_bytes(path.read_bytes())
    os.utime(backup, (1_000_000_000, 1_000_000_000))
    emperor.start()
    emperor.wait_running("a.ini")
    emperor.add("a.ini", edit=2)
    emperor.wait_reported("config", count=2)
    emperor.wait_running("a.ini")
    backup.rename(path)
    emperor.wait_reported("config", count=3)
    assert "edit = 1" in emperor.reported("config")[-1]["text"]


# --- configs that are sent -------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def reigning(binary: str | Path) -> AsyncIterator[ScriptedMonitor]:
    """An emperor of real processes inside this test, over a source that says what the test says."""
    monitor = ScriptedMonitor()
    settings = Settings(binary_path=str(binary))
    spawner = SystemSpawner(make_launch_policy(settings), reap="pidfd")
    emperor = Emperor({"scripted": monitor.make}, spawner, make_policy(settings), services=[spawner.run])
    async with trio.open_nursery() as nursery:
        await nursery.start(emperor.run)
        yield monitor
        emperor.stop()


async def until(holds: Callable[[], object], complaint: Callable[[], object] = lambda: "") -> None:
    with trio.move_on_after(PATIENCE):
        while not holds():
            await trio.sleep(0.01)
        return
    raise AssertionError(f"did not come true: {complaint()}")


UWSGI = """
[uwsgi]
plugin = notfound
http-socket = 127.0.0.1:{port}
master = true
add-header = X-Config: {number}
"""


def served(port: int) -> str | None:
    """Which config answers there; ``None`` while nobody does."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/")
        return connection.getresponse().getheader("X-Config")
    return None


async def test_real_uwsgi_serves_each_of_five_configs_as_sent() -> None:
    port = free_port()
    async with reigning("/usr/bin/uwsgi-core") as monitor:
        for number in range(1, 6):
            await monitor.show(VassalSpec("a.ini", number, config=UWSGI.format(port=port, number=number).encode()))
            seen: list[str | None] = []
            with trio.fail_after(PATIENCE):
                while seen[-3:] != [str(number)] * 3:
                    seen.append(await trio.to_thread.run_sync(served, port))
                    await trio.sleep(0.02)
            assert set(seen) <= {str(number), str(number - 1), None}, "served an older config"


async def test_a_vassal_reads_each_config_once_and_in_order(vassal_binary: Path, report: Report) -> None:
    def spec(number: int) -> VassalSpec:
        text = vassal_config({"report": report.path, "number": number, "loyal_after": 0})
        return VassalSpec("a.ini", number, config=text.encode())

    def read() -> list[str]:
        return re.findall(r"number = (\d+)", "".join(entry["text"] for entry in report.of("config")))

    async with reigning(vassal_binary) as monitor:
        for number in range(1, 6):
            await monitor.show(spec(number))
            await until(lambda number=number: len(report.of("sent", byte=1)) >= number, report.all)  # type: ignore[misc]
        assert read() == ["1", "2", "3", "4", "5"]
        for number in range(6, 60):
            await monitor.show(spec(number))
        await until(lambda: read()[-1] == "59", read)
        assert read() == sorted(read(), key=int)
        assert len(report.of("start")) == 1, "was replaced"
    exits = report.of("exit")
    assert [entry["code"] for entry in exits] == [0], exits


async def test_a_config_that_would_be_truncated_is_refused(vassal_binary: Path, report: Report) -> None:
    text = vassal_config({"report": report.path})
    large = text + "#" * (65_536 - len(text))
    async with reigning(vassal_binary) as monitor:
        await monitor.show(
            VassalSpec("large.ini", 1, config=large.encode()), VassalSpec("fits.ini", 1, config=large[:-1].encode())
        )
        await until(lambda: report.of("sent", byte=5), report.all)
    assert [(entry["name"]) for entry in report.of("start")] == ["emperor://fits.ini"]
    assert [entry["size"] for entry in report.of("config")] == [65_535]


# --- shutdown --------------------------------------------------------------------------------------------------------


def test_a_stop_hook_does_not_break_the_shutdown(emperor: EmperorUnderTest) -> None:
    out = emperor.folder / "out"
    hook = emperor.folder / "hook"
    hook.write_text(f"#!/bin/sh\nsleep 0.2\necho $1 >> {out}\n")
    hook.chmod(0o755)
    names = [f"{number}.ini" for number in range(5)]
    for name in names:
        emperor.add(name, stop_after=50)
    emperor.start("--vassals-stop-hook", hook)
    emperor.wait_running(*names)
    assert emperor.stop() == 0
    assert [emperor.orders(name) for name in names] == [[0]] * 5
    assert sorted(out.read_text().split()) == names
    assert emperor.processes() == []


# --- descriptors -----------------------------------------------------------------------------------------------------


def test_the_limit_of_descriptors_costs_nothing(emperor: EmperorUnderTest) -> None:
    """uWSGI closes every possible descriptor one by one: at 2^30 of them, a start takes minutes."""
    trace = emperor.folder / "trace"
    names = [f"{number}.ini" for number in range(5)]
    for name in names:
        emperor.add(name)
    emperor.start(prefix=["strace", "-f", "-o", trace, "-e", "trace=close,execve"])
    emperor.wait_running(*names)
    children = children_of_strace(trace, str(emperor.binary))
    closes = Counter(line.split(maxsplit=1)[0] for line in trace.read_text().splitlines() if " close(" in line)
    assert len(children) == 5
    assert all(closes[pid] < 100 for pid in children), closes
    limit = int(Path(f"/proc/{children[0]}/limits").read_text().split("Max open files")[1].split()[0])
    assert limit > 1000, "the test means nothing with so low a limit"


def children_of_strace(trace: Path, program: str) -> list[str]:
    return re.findall(rf'^(\d+) +execve\("{re.escape(program)}"', trace.read_text(), re.MULTILINE)


# --- on demand -------------------------------------------------------------------------------------------------------


def test_a_slow_on_demand_command_delays_nobody_else(emperor: EmperorUnderTest) -> None:
    command = emperor.folder / "command"
    go, address = emperor.folder / "go", emperor.folder / "slow.sock"
    command.write_text(
        f'#!/bin/sh\n[ "$1" = slow.ini ] || exit 0\nwhile [ ! -e {go} ]; do sleep 0.02; done\necho {address}\n'
    )
    command.chmod(0o755)
    emperor.add("slow.ini")
    emperor.add("quick.ini")
    emperor.start("--emperor-on-demand-exec", command)
    emperor.wait_vassal("quick.ini", ready=1)
    emperor.touch("quick.ini")
    emperor.wait_vassal("quick.ini", respawns=1, ready=1)
    emperor.add("later.ini")
    emperor.wait_vassal("later.ini", ready=1)
    emperor.remove("later.ini")
    emperor.wait_gone("later.ini")
    assert not address.exists()
    go.touch()
    emperor.wait_vassal("slow.ini", pid=-1, on_demand=str(address))
    emperor.wait(address.exists)
    assert emperor.reported("start", "slow.ini") == []


# --- the parent-death signal -----------------------------------------------------------------------------------------


def test_a_change_of_uid_keeps_the_parent_death_signal(emperor: EmperorUnderTest) -> None:
    os.chown(emperor.add("a.ini", ignore_eof=True, ignore_signals=True), *OWNER)
    emperor.start("--emperor-tyrant")
    pid = emperor.wait_vassal("a.ini", ready=1)["pid"]
    assert [(start["uid"], start["pdeathsig"]) for start in emperor.reported("start")] == [(OWNER[0], signal.SIGKILL)]
    emperor.send_signal(signal.SIGKILL)
    emperor.exit_code()
    wait_until(lambda: not is_alive(pid), lambda: "it outlives its emperor")


def test_no_thread_but_the_main_one_starts_vassals(emperor: EmperorUnderTest) -> None:
    """The signal comes when the *thread* that forked ends, and Trio's worker threads end after 10 idle seconds."""
    trace = emperor.folder / "trace"
    (emperor.vassals / "b.ini.socket").write_text(str(emperor.folder / "b.sock"))
    emperor.add("a.ini")
    emperor.add("b.ini", serve=1)
    emperor.start(
        "--emperor-on-demand-extension", ".socket",
        prefix=["strace", "-f", "-s", "200", "-o", trace, "-e", "trace=fork,vfork,clone,clone3,execve"],
    )  # fmt: skip
    first = emperor.wait_vassal("a.ini", ready=1)["pid"]
    os.kill(first, signal.SIGKILL)
    emperor.wait_vassal("a.ini", ready=1, pid=lambda pid: pid not in (first, -1))
    assert ask(emperor.folder / "b.sock")
    reigns = emperor.stats()["pid"]
    text = trace.read_text()
    forked = {int(child): int(parent) for parent, child in _forks(text)}
    started = [forked[entry["pid"]] for entry in emperor.reported("start")]
    assert started == [reigns] * 3


def _forks(trace: str) -> list[tuple[str, str]]:
    """(who forked, the child) of every new process, threads left out."""
    found = re.findall(r"^(\d+) +(?:v?fork|clone3?)\((?![^\n]*CLONE_THREAD)[^\n]*\) += (\d+)$", trace, re.MULTILINE)
    resumed = re.findall(r"^(\d+) +<\.\.\. (?:v?fork|clone3?) resumed>[^\n]*\) += (\d+)$", trace, re.MULTILINE)
    return found + resumed
