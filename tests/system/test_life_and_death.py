"""Whoever dies, in whatever phase and order: nobody is left behind, and whoever should come back does."""

from __future__ import annotations

import os
import pty
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.vassal import is_alive
from tests.system.empire import EmperorUnderTest, ask, wait_until

OWNER = (12_001, 13_001)


def listening_below(folder: Path) -> list[str]:
    """Every unix socket of the system that is bound to a path in this folder."""
    return [line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines() if f" {folder}/" in line]


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def script(path: Path, *lines: str) -> Path:
    path.write_text("#!/bin/sh\n" + "".join(f"{line}\n" for line in lines))
    path.chmod(0o755)
    return path


# --- SIGTERM in every phase ------------------------------------------------------------------------------------------

Reach = Callable[[EmperorUnderTest], None]


def starting(emperor: EmperorUnderTest) -> None:
    emperor.add("a.ini", ready_after="never")
    emperor.start()
    emperor.wait_reported("start", "a.ini")


def running_with_workers(emperor: EmperorUnderTest) -> None:
    emperor.add("a.ini", workers=2, loyal_after=0)
    emperor.start()
    emperor.wait_vassal("a.ini", loyal=1)
    os.kill(emperor.reported("worker")[0]["worker"], 0)


def reloading(emperor: EmperorUnderTest) -> None:
    emperor.add("a.ini", reload_after=60_000)
    emperor.start()
    emperor.wait_vassal("a.ini", ready=1, accepting=1)
    emperor.touch("a.ini")
    emperor.wait_reported("order", "a.ini", byte=1)


def waiting_to_reload_again(emperor: EmperorUnderTest) -> None:
    reloading(emperor)
    emperor.touch("a.ini")
    emperor.pass_scans()


def cursed(emperor: EmperorUnderTest) -> None:
    emperor.add("a.ini", ignore_stop=True, ignore_signals=True, workers=1)
    emperor.start("--reload-mercy", "1")
    emperor.wait_vassal("a.ini", ready=1, accepting=1)
    emperor.remove("a.ini")
    emperor.wait_reported("order", "a.ini", byte=0)


def deaf(emperor: EmperorUnderTest) -> None:
    """It has closed its pipe, and lives on."""
    emperor.add("a.ini", close_after=50, ignore_signals=True)
    emperor.start("--reload-mercy", "1")
    emperor.wait_vassal("a.ini", cursed=lambda since: since > 0)


def on_demand(emperor: EmperorUnderTest) -> None:
    (emperor.vassals / "a.ini.socket").write_text(str(emperor.folder / "a.sock"))
    emperor.add("a.ini")
    emperor.start("--emperor-on-demand-extension", ".socket")
    emperor.wait_vassal("a.ini", pid=-1)
    emperor.wait((emperor.folder / "a.sock").exists)


def on_demand_and_serving(emperor: EmperorUnderTest) -> None:
    (emperor.vassals / "a.ini.socket").write_text(str(emperor.folder / "a.sock"))
    emperor.add("a.ini", serve=9)
    emperor.start("--emperor-on-demand-extension", ".socket")
    emperor.wait((emperor.folder / "a.sock").exists)
    assert ask(emperor.folder / "a.sock")


def asking_for_its_socket(emperor: EmperorUnderTest) -> None:
    asked = emperor.folder / "asked"
    command = script(emperor.folder / "command", f"touch {asked}", "sleep 600 & sleep 600")
    emperor.add("a.ini")
    emperor.start("--emperor-on-demand-exec", command)
    emperor.wait(asked.exists)
    asked.unlink()


def blacklisted(emperor: EmperorUnderTest) -> None:
    emperor.add("a.ini", exit_after=0)
    emperor.start("--emperor-throttle", "600000", "--emperor-max-throttle", "600000")
    emperor.wait_reported("exit", "a.ini", count=2)
    emperor.wait(lambda: (emperor.blacklisted("a.ini") or {"attempt": 0})["attempt"] >= 1)


def exiled(emperor: EmperorUnderTest) -> None:
    emperor.add("a.ini", exit_after=0, exit_code=26)
    emperor.start()
    emperor.wait_logged("exiled")


def parked(emperor: EmperorUnderTest) -> None:
    emperor.add("a.ini", exit_after=0, loyal_after=0)
    emperor.start("--emperor-max-restarts", "2")
    emperor.wait_logged("parked")


def in_its_start_hook(emperor: EmperorUnderTest) -> None:
    begun = emperor.folder / "begun"
    hook = script(emperor.folder / "hook", f"touch {begun}", "sleep 600")
    emperor.add("a.ini")
    emperor.start("--vassals-start-hook", hook, "--reload-mercy", "1")
    emperor.wait(begun.exists)
    begun.unlink()


def in_its_stop_hook(emperor: EmperorUnderTest) -> None:
    begun = emperor.folder / "begun"
    hook = script(emperor.folder / "hook", f"touch {begun}", "sleep 600 & sleep 600")
    emperor.add("a.ini")
    emperor.start("--vassals-stop-hook", hook, "--reload-mercy", "1")
    emperor.wait_vassal("a.ini", ready=1)
    emperor.remove("a.ini")
    emperor.wait(begun.exists)
    begun.unlink()


def in_the_emperors_hook(emperor: EmperorUnderTest) -> None:
    begun = emperor.folder / "begun"
    emperor.add("a.ini")
    emperor.start("--exec-as-emperor", f"touch {begun}; sleep 600 & sleep 600", "--reload-mercy", "1")
    emperor.wait(begun.exists)
    begun.unlink()


def reinforced(emperor: EmperorUnderTest) -> None:
    text = f"[uwsgi]\nreport = {emperor.report.path}\nreinforce_after = 10\n[zerg]\nreport = {emperor.report.path}\n"
    emperor.add("a.ini", text=text)
    emperor.start("--emperor-broodlord", "2")
    emperor.wait_vassal("a.ini:zerg", ready=1)


def without_a_binary(emperor: EmperorUnderTest) -> None:
    binary = emperor.folder / "uwsgi"
    binary.symlink_to(emperor.binary)
    emperor.start(binary=binary)
    binary.unlink()
    emperor.add("a.ini")
    emperor.wait_logged("could not be spawned")


def in_namespaces(emperor: EmperorUnderTest) -> None:
    emperor.add("a.ini")
    emperor.start("--emperor-use-clone", "pid,fs,ipc,net,uts")
    emperor.wait_vassal("a.ini", ready=1)


def as_tyrant(emperor: EmperorUnderTest) -> None:
    os.chown(emperor.add("a.ini", workers=1), *OWNER)
    emperor.start("--emperor-tyrant")
    emperor.wait_vassal("a.ini", ready=1)


def with_a_missing_folder(emperor: EmperorUnderTest) -> None:
    emperor.start(monitors=[emperor.folder / "missing"])


def spawning_many(emperor: EmperorUnderTest) -> None:
    for number in range(150):
        emperor.add(f"{number}.ini")
    emperor.start()
    emperor.wait_reported("start", count=10)


PHASES: list[Reach] = [
    starting, running_with_workers, reloading, waiting_to_reload_again, cursed, deaf, on_demand, on_demand_and_serving,
    asking_for_its_socket, blacklisted, exiled, parked, in_its_start_hook, in_its_stop_hook, in_the_emperors_hook,
    reinforced, without_a_binary, in_namespaces, as_tyrant, with_a_missing_folder, spawning_many,
]  # fmt: skip


@pytest.mark.parametrize("reach", PHASES, ids=lambda reach: reach.__name__)
def test_sigterm_ends_every_phase_with_nothing_left(emperor: EmperorUnderTest, reach: Reach) -> None:
    reach(emperor)
    own = {"stats", "control", "a.sock"}
    before = files_below(emperor.folder) - own
    assert emperor.stop() == 0, emperor.describe()
    assert emperor.processes() == []
    assert listening_below(emperor.folder) == []
    assert files_below(emperor.folder) == before
    assert "Traceback" not in emperor.log()


@pytest.mark.parametrize("milliseconds", [0, 30, 60, 90, 120, 160, 200, 300, 400])
def test_sigterm_while_the_emperor_itself_starts(emperor: EmperorUnderTest, milliseconds: int) -> None:
    """Before its first line of code the system's own rule holds: dead by the signal. Afterwards it ends with 0."""
    emperor.add("a.ini")
    emperor.start(wait=False)
    assert emperor.process is not None
    time.sleep(milliseconds / 1000)  # there is nothing to be seen from outside that could be waited for instead
    assert emperor.stop() in (0, -signal.SIGTERM)
    assert emperor.processes() == []
    assert listening_below(emperor.folder) == []
    assert "Traceback" not in emperor.log()


# --- once more, and from the terminal --------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_second_signal_kills_at_once(emperor: EmperorUnderTest, number: int) -> None:
    for name in ("a.ini", "b.ini"):
        emperor.add(name, ignore_stop=True, ignore_signals=True, workers=2)
    emperor.start("--reload-mercy", "600", "--emperor-curse-tolerance", "600")
    emperor.wait_running("a.ini", "b.ini")
    emperor.send_signal(signal.SIGTERM)
    emperor.wait_reported("order", count=2, byte=0)
    emperor.wait(lambda: len(emperor.processes()) == 7, "not all processes are there")
    assert emperor.stop(number) == 0
    assert emperor.processes() == []


def test_ctrl_c_reaches_the_emperor_alone(emperor: EmperorUnderTest) -> None:
    emperor.add("a.ini", stop_after=300)
    emperor.add("b.ini", workers=1)
    ours, theirs = pty.openpty()
    try:
        emperor.start(terminal=theirs)
        emperor.wait_running("a.ini", "b.ini")
        assert os.tcgetpgrp(ours) == emperor.pid
        os.write(ours, b"\x03")
        assert emperor.exit_code() == 0
    finally:
        os.close(ours)
        os.close(theirs)
    assert emperor.orders("a.ini") == emperor.orders("b.ini") == [0]
    assert [entry["code"] for entry in emperor.reported("exit")] == [0, 0]
    assert emperor.processes() == []


def test_a_terminal_that_closes_is_a_reload_like_any_hup(emperor: EmperorUnderTest) -> None:
    """The system sends SIGHUP then, which is for the emperor the order to reload all."""
    emperor.add("a.ini")
    ours, theirs = pty.openpty()
    emperor.start(terminal=theirs)
    emperor.wait_running("a.ini")
    os.close(theirs)
    os.close(ours)
    emperor.wait_vassal("a.ini", respawns=1, ready=1)
    assert emperor.stop() == 0


# --- kill -9 of the emperor ------------------------------------------------------------------------------------------


def add_stubborn(emperor: EmperorUnderTest, name: str) -> Path:
    """A vassal that nothing but SIGKILL ends."""
    return emperor.add(name, ignore_stop=True, ignore_eof=True, ignore_signals=True)


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--emperor-tyrant",),
        ("--emperor-use-clone", "pid,fs,ipc,net,uts"),
        ("--emperor-tyrant", "--emperor-use-clone", "pid,net"),
        ("--emperor-cap", "net_raw"),
        ("--emperor-magic-exec",),
    ],
    ids=" ".join,
)
def test_a_killed_emperor_leaves_no_vassal(emperor: EmperorUnderTest, options: tuple[str, ...]) -> None:
    names = [f"{number}.ini" for number in range(5)]
    for name in names:
        os.chown(add_stubborn(emperor, name), *OWNER)
    emperor.start(*options)
    emperor.wait_running(*names)
    emperor.wait(lambda: len(emperor.processes()) >= 6, "not all processes are there")
    emperor.send_signal(signal.SIGKILL)
    emperor.exit_code()
    wait_until(lambda: not emperor.processes(), emperor.describe)


@pytest.mark.parametrize("started", [1, 10, 40, 80])
def test_an_emperor_killed_while_it_spawns_leaves_no_vassal(emperor: EmperorUnderTest, started: int) -> None:
    for number in range(100):
        add_stubborn(emperor, f"{number}.ini")
    emperor.start(wait=False)
    emperor.wait_reported("start", count=started)
    emperor.send_signal(signal.SIGKILL)
    emperor.exit_code()
    wait_until(lambda: not emperor.processes(), emperor.describe)


def test_a_killed_emperor_leaves_no_hook(emperor: EmperorUnderTest) -> None:
    begun = emperor.folder / "begun"
    hook = script(emperor.folder / "hook", f"echo $1 >> {begun}", "exec sleep 600")
    emperor.add("a.ini")
    emperor.add("b.ini")
    emperor.start("--vassals-stop-hook", hook, "--exec-as-emperor", f"echo up >> {begun}; exec sleep 600")
    emperor.wait_running("a.ini", "b.ini")
    emperor.remove("a.ini")
    emperor.wait(lambda: begun.exists() and sorted(begun.read_text().split()) == ["a.ini", "up", "up"])
    emperor.send_signal(signal.SIGKILL)
    emperor.exit_code()
    wait_until(lambda: not emperor.processes(), emperor.describe)


def test_the_next_emperor_takes_over_after_a_kill(emperor: EmperorUnderTest) -> None:
    """What a killed one leaves in the file system (sockets, pid file) is in nobody's way."""
    pid_file = emperor.folder / "pid"
    (emperor.vassals / "a.ini.socket").write_text(str(emperor.folder / "a.sock"))
    emperor.add("a.ini", serve=1)
    emperor.add("b.ini")
    for _ in range(3):
        emperor.start("--emperor-on-demand-extension", ".socket", "--emperor-pidfile", pid_file)
        emperor.wait_vassal("b.ini", ready=1)
        emperor.wait_vassal("a.ini", pid=-1, on_demand=str(emperor.folder / "a.sock"))
        emperor.wait(lambda: listening_below(emperor.folder).count(str(emperor.folder / "a.sock")) == 1)
        assert int(pid_file.read_text()) == emperor.pid
        emperor.send_signal(signal.SIGKILL)
        emperor.exit_code()
        wait_until(lambda: not emperor.processes(), emperor.describe)


# --- kill -9 of vassals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loyal", [True, False])
def test_fifty_vassals_killed_at_once_are_all_back(emperor: EmperorUnderTest, loyal: bool) -> None:
    names = {f"{number}.ini" for number in range(50)}
    for name in names:
        emperor.add(name, loyal_after=0 if loyal else "never")
    emperor.start()
    emperor.wait_running(*names)
    first = {vassal["id"]: vassal["pid"] for vassal in emperor.stats()["vassals"]}
    for pid in first.values():
        os.kill(pid, signal.SIGKILL)

    def all_are_back() -> bool:
        now = {vassal["id"]: vassal["pid"] for vassal in emperor.stats()["vassals"] if vassal["ready"]}
        return now.keys() == names and not set(now.values()) & {*first.values(), -1}

    emperor.wait(all_are_back)
    assert len(emperor.stats()["blacklist"]) == (0 if loyal else 50)
    assert not any(is_alive(pid) for pid in first.values())
    emperor.wait(lambda: len(emperor.processes()) == 51, "not all processes are there")


def test_each_death_before_loyalty_waits_longer(emperor: EmperorUnderTest) -> None:
    emperor.add("a.ini", ready_after="never", exit_after=0)
    emperor.start("--emperor-throttle", "300")
    emperor.wait_reported("start", "a.ini", count=4)
    at = [entry["at"] for entry in emperor.reported("start", "a.ini")]
    waits = [later - earlier for earlier, later in pairwise(at)]
    assert all(wait >= 0.3 * number for number, wait in enumerate(waits)), waits


def test_a_killed_vassals_workers_go_with_it(emperor: EmperorUnderTest) -> None:
    emperor.add("a.ini", workers=3, loyal_after=0)
    emperor.start()
    first = emperor.wait_vassal("a.ini", loyal=1)["pid"]
    workers = [entry["worker"] for entry in emperor.reported("worker")]
    os.kill(first, signal.SIGKILL)
    emperor.wait_vassal("a.ini", loyal=1, pid=lambda pid: pid not in (first, -1))
    emperor.wait(lambda: not any(is_alive(worker) for worker in workers), "workers of the dead live on")


def test_nothing_leaks_over_many_lives(emperor: EmperorUnderTest) -> None:
    """Descriptors and processes of the emperor are the same after many spawns, reloads, deaths and removals."""
    hook = script(emperor.folder / "hook", "exit 0")
    address = emperor.folder / "d.sock"
    (emperor.vassals / "d.ini.socket").write_text(str(address))
    emperor.start("--vassals-stop-hook", hook, "--exec-as-emperor", "true", "--emperor-on-demand-extension", ".socket")

    def live() -> None:
        emperor.add("a.ini", loyal_after=0, workers=1)
        emperor.add("b.ini", exit_after=0, exit_code=3)
        emperor.add("c.ini", exit_after=0, exit_code=26)
        emperor.add("d.ini", serve=1, leave_after_serve=True)
        first = emperor.wait_vassal("a.ini", loyal=1)["pid"]
        emperor.touch("a.ini")
        emperor.wait_vassal("a.ini", respawns=1, ready=1)
        os.kill(first, signal.SIGKILL)
        emperor.wait_vassal("a.ini", loyal=1, pid=lambda pid: pid not in (first, -1))
        emperor.wait(lambda: emperor.blacklisted("b.ini"))
        emperor.wait_vassal("d.ini", pid=-1)
        assert ask(address)
        emperor.wait_vassal("d.ini", pid=-1)
        for name in ("a.ini", "b.ini", "c.ini", "d.ini"):
            emperor.remove(name)
        emperor.wait(lambda: not emperor.stats()["vassals"])

    def descriptors() -> Counter[str]:
        emperor.wait(lambda: len(emperor.processes()) == 1)
        folder = Path(f"/proc/{emperor.pid}/fd")
        kinds: Counter[str] = Counter()
        for link in folder.iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                kinds[os.readlink(link).split("[")[0]] += 1
        return kinds

    live()
    before = descriptors()  # perhaps with the connection by which statistics were just asked for
    for _ in range(8):
        live()
    emperor.wait(lambda: not descriptors() - before, f"there were {before}")
    assert emperor.stop() == 0
