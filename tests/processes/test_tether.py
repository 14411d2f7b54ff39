"""The short way to a child: which launches may go it, and what the program does."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emperor_trio.model import Owner
from emperor_trio.processes.launch import Launch
from emperor_trio.processes.tether import PROGRAM, can_tether, open_tether, tether, tether_path

PLAIN = Launch(commands=(("/bin/uwsgi", "--ini", "one.ini"),), environment={"A": "b"}, directory="/etc")
SHOW = ("/bin/grep", "-E", "^(Sig(Blk|Ign)|Cap(Eff|Prm)|Uid|Gid|Groups):", "/proc/self/status")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become someone else")


@pytest.mark.parametrize(
    ("changes", "may"),
    [
        ({}, True),
        ({"owner": Owner(1, 2)}, True),
        ({"descriptor_limit": 5}, True),
        ({"owner": Owner(1, 2), "initgroups": True}, False),
        ({"namespaces": frozenset({"pid"})}, False),
        ({"capabilities": ()}, False),
        ({"umask": 0}, False),
        ({"start_hook": ("/bin/true",)}, False),
        ({"checks": ("true",)}, False),
        ({"commands": (("/bin/a",), ("/bin/b",))}, False),
        ({"commands": (("looked-up-in-path",),)}, False),
    ],
)
def test_what_is_rare_goes_through_the_chain(changes: dict[str, Any], may: bool) -> None:
    assert can_tether(replace(PLAIN, **changes)) is may


def test_the_words() -> None:
    command = ["/bin/uwsgi", "--ini", "one.ini"]
    assert tether(PLAIN, "/t", 77) == ["/t", "77", "/etc", "-", "-", "-", *command]
    launch = replace(PLAIN, owner=Owner(1, 2), descriptor_limit=5, directory=None)
    assert tether(launch, "/t", 77) == ["/t", "77", ".", "5", "1", "2", *command]


def run(*command: str, parent: int | None = None, **changes: Any) -> subprocess.CompletedProcess[str]:
    launch = replace(PLAIN, commands=(command,), directory="/", **changes)
    words = tether(launch, str(PROGRAM), os.getpid() if parent is None else parent)
    return subprocess.run(words, env=launch.environment, capture_output=True, text=True, timeout=60, check=False)


def status(**changes: Any) -> dict[str, list[str]]:
    """Some lines of the child's /proc/self/status."""
    lines = run(*SHOW, **changes).stdout.splitlines()
    return {key: value.split() for key, _, value in (line.partition(":") for line in lines)}


@pytest.fixture
def altered_signals() -> Iterator[None]:
    former = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    signal.signal(signal.SIGUSR1, former)


@pytest.mark.usefixtures("altered_signals")
def test_signals_are_at_their_defaults_and_none_is_blocked() -> None:
    found = status()
    assert [int(found[key][0], 16) for key in ("SigBlk", "SigIgn")] == [0, 0]


@needs_root
def test_privileges_and_other_groups_are_dropped() -> None:
    found = status(owner=Owner(1234, 4321))
    assert found["Uid"] == ["1234"] * 4
    assert found["Gid"] == ["4321"] * 4
    assert found["Groups"] in ([], ["4321"])
    assert [int(found[key][0], 16) for key in ("CapEff", "CapPrm")] == [0, 0]


def test_the_soft_limit_of_descriptors() -> None:
    assert run("/bin/sh", "-c", "ulimit -S -n", descriptor_limit=321).stdout == "321\n"
    assert run("/bin/true", descriptor_limit=2**40).returncode == 1


def test_the_environment_and_the_arguments_arrive_as_they_are() -> None:
    found = run(
        "/usr/bin/env", "A=", "/usr/bin/printf", "[%s]", "", "a b", "$(x)", environment={"a.b": "1", "IFS": "x"}
    )
    assert found.stdout == "[][a b][$(x)]"
    assert run("/usr/bin/env", environment={"a.b": "1", "IFS": "x"}).stdout == "a.b=1\nIFS=x\n"


def test_a_child_that_lost_its_emperor_leaves() -> None:
    assert run("/bin/true", parent=1).returncode == 125


def test_what_can_not_be_executed(tmp_path: Path) -> None:
    missing = run("/nowhere/uwsgi")
    assert missing.returncode == 127
    why = "there is no such program, or none that it names as its interpreter"
    assert missing.stderr == f"emperor-trio: /nowhere/uwsgi: {why}\n"
    script, loop = tmp_path / "script", tmp_path / "loop"
    script.write_text("#!/nowhere/python\n")
    script.chmod(0o755)
    loop.symlink_to("loop")
    assert (run(str(script)).returncode, run(str(script)).stderr) == (127, f"emperor-trio: {script}: {why}\n")
    for program, reason in (
        ("/etc/passwd", "permission denied"),
        ("/etc", "permission denied"),
        ("/etc/passwd/x", "not a folder"),
        (str(loop), "too many symbolic links"),
        ("/" + "x" * 300, "the name is too long"),
    ):
        found = run(program)
        assert found.returncode == 126
        assert found.stderr == f"emperor-trio: {program}: can't be executed: {reason}\n"


def test_a_folder_a_limit_and_an_owner_that_are_refused_say_why() -> None:
    def refused(*words: str, **how: Any) -> str:
        words = (str(PROGRAM), str(os.getpid()), *words, "/usr/bin/id")
        done: subprocess.CompletedProcess[str] = subprocess.run(
            words, env={}, capture_output=True, text=True, timeout=60, check=False, **how
        )
        assert (done.returncode, done.stdout) == (1, "")
        return done.stderr

    assert refused("/nowhere", "-", "-", "-") == "emperor-trio: /nowhere: can't be entered: it does not exist\n"
    assert refused("/etc/passwd", "-", "-", "-") == "emperor-trio: /etc/passwd: can't be entered: not a folder\n"
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < 2**31:
        limit = "emperor-trio: the limit of descriptors: can't be set: invalid argument\n"
        assert refused("/", str(hard + 1), "-", "-") == limit
    nobody = {"user": 65534} if os.geteuid() == 0 else {}
    owner = "emperor-trio: the owner: can't become it: operation not permitted\n"
    assert refused("/", "-", "1234", "4321", **nobody) == owner


def test_a_script_that_does_not_say_whose_it_is(tmp_path: Path) -> None:
    script = tmp_path / "wrapper"
    script.write_text('echo "$0" "$@"\n')
    script.chmod(0o755)
    assert run(str(script), "a b", "c").stdout == f"{script} a b c\n"


def test_without_enough_words_it_says_what_it_wants() -> None:
    found = subprocess.run([PROGRAM, "1"], capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 1
    assert "EMPEROR FOLDER" in found.stderr


def test_an_upgrade_does_not_change_the_program_of_a_running_emperor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "tether"
    program.write_bytes(PROGRAM.read_bytes())
    program.chmod(0o755)
    monkeypatch.setattr("emperor_trio.processes.tether.PROGRAM", program)
    number = open_tether()
    assert number is not None
    try:
        program.unlink()
        program.write_text("something else")
        words = tether(replace(PLAIN, commands=(("/bin/echo", "still here"),)), "tether", os.getpid())
        read, write = os.pipe()
        child = os.posix_spawn(tether_path(number), words, {}, file_actions=[(os.POSIX_SPAWN_DUP2, write, 1)])
        os.close(write)
        with open(read) as output:
            assert output.read() == "still here\n"
        assert os.waitpid(child, 0) == (child, 0)
    finally:
        os.close(number)


def test_without_the_program_there_is_the_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emperor_trio.processes.tether.PROGRAM", tmp_path / "tether")
    assert open_tether() is None


@pytest.mark.parametrize(
    ("limit", "uid", "gid"),
    [
        ("-", "True", "True"),
        ("-", "", ""),
        ("-", "1x", "2"),
        ("-", "1", "0x5"),
        ("-", "1", "-"),
        ("-", "-", "2"),
        ("-", "-1", "-1"),
        ("-", "1.5", "2"),
        ("-", str(2**32 - 1), "2"),
        ("-", "1", str(2**32)),
        ("-", str(2**64), str(2**64)),
        ("-", " 1", "2"),
        ("many", "1", "2"),
    ],
)
def test_what_is_no_number_makes_nobody_root(limit: str, uid: str, gid: str) -> None:
    words = [str(PROGRAM), str(os.getpid()), "/", limit, uid, gid, "/usr/bin/id"]
    done = subprocess.run(words, env={}, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("emperor-trio: ")
