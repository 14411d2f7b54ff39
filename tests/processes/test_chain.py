"""The words that prepare a child, as tables; and the script in them, run by every shell that is here."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emperor_trio.errors import UsageError
from emperor_trio.model import Owner
from emperor_trio.processes.chain import LOST_PARENT, Tools, chain, find_tools, shell_environment
from emperor_trio.processes.launch import Launch

TOOLS = Tools(setpriv="setpriv", unshare="unshare", env="env", timeout="timeout", shell="sh")
PLAIN = Launch(commands=(("uwsgi", "--ini", "one.ini"),), environment={"A": "b"})
ARM = ["--pdeathsig", "KILL", "--"]
ALICE = ["--reuid", "1", "--regid", "2", "--clear-groups"]


def words(**changes: Any) -> list[str]:
    """The chain in front of the shell."""
    found = chain(replace(PLAIN, **changes), TOOLS, 77)
    return found[: found.index("sh")]


def script(**changes: Any) -> tuple[list[str], list[str]]:
    """The lines of the shell, and its parameters."""
    found = chain(replace(PLAIN, **changes), TOOLS, 77)
    start = found.index("sh")
    assert found[start + 1] == "-c"
    assert found[start + 3] == "emperor-trio"
    return found[start + 2].splitlines(), found[start + 4 :]


def test_privileges_are_dropped_before_the_signal_is_armed() -> None:
    assert words() == ["setpriv", *ARM]
    assert words(owner=Owner(1, 2)) == ["setpriv", *ALICE, *ARM]


def test_capabilities() -> None:
    kept = "--bounding-set=-all,+setpcap,+net_raw,+cap_10"
    assert words(owner=Owner(1, 2), capabilities=("net_raw", "10")) == ["setpriv", *ALICE, kept, *ARM]


@pytest.mark.parametrize(
    ("namespaces", "expected"),
    [
        ({"ipc", "net"}, ["unshare", "--ipc", "--net", "--", "setpriv", *ALICE, *ARM]),
        (
            {"pid"},
            ["setpriv", *ARM, "unshare", "--pid", "--fork", "--kill-child=KILL", "--", "setpriv", *ALICE, *ARM],
        ),
        ({"user"}, ["setpriv", *ALICE, *ARM, "unshare", "--user", "--map-root-user", "--", "setpriv", *ARM]),
    ],
)
def test_namespaces(namespaces: set[str], expected: list[str]) -> None:
    assert words(owner=Owner(1, 2), namespaces=frozenset(namespaces)) == expected


def test_signals_are_reset_where_the_emperors_are_altered() -> None:
    assert chain(PLAIN, TOOLS, 77, reset_signals=True)[:3] == ["env", "--default-signal", "setpriv"]


def test_the_script_knows_numbers_only() -> None:
    lines, parameters = script()
    assert lines == ['[ "$PPID" = "${1}" ] || exit 125', 'exec "${2}" "${3}" "${4}"']
    assert parameters == ["77", "uwsgi", "--ini", "one.ini"]


def test_nothing_is_ever_part_of_the_script() -> None:
    evil = "$(reboot)`reboot`';\"\n"
    lines, parameters = script(
        commands=((evil, evil), (evil,)),
        environment={evil: evil},
        start_hook=(evil, evil),
        checks=(evil,),
        descriptor_limit=5,
        namespaces=frozenset({"pid"}),
    )
    assert "reboot" not in "\n".join(lines)
    assert parameters.count(evil) >= 6


def test_variables_that_a_shell_would_drop_go_around_it() -> None:
    lines, parameters = script(environment={"A": "1", "a.b": "x y", "c-d": "", "9": "e"})
    assert parameters[1:6] == ["env", "--", "a.b=x y", "c-d=", "9=e"]
    assert lines[-1] == "exec " + " ".join(f'"${{{n}}}"' for n in range(2, 10))


def test_variables_by_which_shells_live_go_around_it() -> None:
    launch = replace(PLAIN, environment={"A": "1", "IFS": "x", "OPTIND": "y", "a.b": "z"})
    assert shell_environment(launch) == {"A": "1"}
    assert script(environment=launch.environment)[1][1:6] == ["env", "--", "IFS=x", "OPTIND=y", "a.b=z"]


def test_missing_tools_name_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Path(find_tools().setpriv).is_absolute()
    monkeypatch.setattr(shutil, "which", lambda name, path: None)
    with pytest.raises(UsageError, match="install util-linux"):
        find_tools()


SHELLS = [shell for shell in ("dash", "bash") if shutil.which(shell)]


@pytest.fixture(params=SHELLS)
def tools(request: pytest.FixtureRequest, tmp_path: Path) -> Tools:
    """The real tools, and one shell under the name ``sh``, so that it is as POSIX as it would be there."""
    shell = tmp_path / "sh"
    found = shutil.which(request.param)
    assert found is not None
    shell.symlink_to(found)
    return replace(find_tools(), shell=str(shell))


def run(launch: Launch, tools: Tools, parent: int | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        chain(launch, tools, os.getpid() if parent is None else parent),
        env=launch.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def launch_of(*commands: tuple[str, ...], **changes: Any) -> Launch:
    environment = {"PATH": os.environ["PATH"]}
    return replace(Launch(commands=commands, environment=environment), **changes)


SHOW = (
    "python3",
    "-c",
    "import os,sys; print(sys.argv[1:], sorted(i for i in os.environ.items() if i[0][0] in 'ab9'))",
)


def test_words_and_variables_arrive_as_they_are(tools: Tools) -> None:
    strange = {"a": 'it\'s "$HOME"\n*', "a.b": "x\ty", "9": "-n", "b-": "=="}
    argument = "-x $(id) '\" ;\n\\ *"
    environment = {"PATH": os.environ["PATH"], **strange}
    result = run(launch_of((*SHOW, argument, "", "-"), environment=environment), tools)
    assert result.stdout == f"{[argument, '', '-']} {sorted(strange.items())}\n"


def test_an_orphan_leaves_at_once(tools: Tools) -> None:
    assert run(launch_of(("echo", "alive")), tools, parent=1).returncode == LOST_PARENT
    in_namespace = launch_of(("echo", "alive"), namespaces=frozenset({"pid"}))
    assert run(in_namespace, tools).stdout == "alive\n"
    assert run(in_namespace, tools, parent=2**22 + 1).returncode == LOST_PARENT


def test_a_dead_emperor_that_nobody_has_reaped_is_dead(tools: Tools) -> None:
    dead = os.posix_spawn("/bin/true", ["true"], {})
    os.waitid(os.P_PID, dead, os.WEXITED | os.WNOWAIT)
    result = run(launch_of(("echo", "alive"), namespaces=frozenset({"pid"})), tools, parent=dead)
    os.waitpid(dead, 0)
    assert (result.returncode, result.stdout) == (LOST_PARENT, "")


@pytest.mark.parametrize("first", ["/nowhere/uwsgi", "no-such-command", "/etc/passwd", "/etc"])
def test_the_next_command_is_tried(tools: Tools, first: str) -> None:
    assert run(launch_of((first,), (first, "x"), ("echo", "second")), tools).stdout == "second\n"
    assert run(launch_of(("echo", "first"), (first,)), tools).stdout == "first\n"
    assert run(launch_of((first,), (first,)), tools).returncode in (126, 127)


def test_a_command_is_executed_never_a_builtin(tools: Tools) -> None:
    assert run(launch_of(("[", "-e", "/etc/passwd", "]"), ("echo", "no")), tools).stdout == ""
    assert run(launch_of(("set", "-e"), ("echo", "set is a builtin only")), tools).returncode == 127


def test_the_soft_limit_is_restored(tools: Tools) -> None:
    limited = launch_of(("/bin/sh", "-c", "ulimit -Sn; ulimit -Hn"), descriptor_limit=123)
    hard = subprocess.run(["/bin/sh", "-c", "ulimit -Hn"], capture_output=True, text=True, check=True).stdout
    assert run(limited, tools).stdout == f"123\n{hard}"


def test_a_start_hook_runs_and_its_result_is_ignored(tools: Tools, tmp_path: Path) -> None:
    hook = tmp_path / "hook"
    hook.write_text('#!/bin/sh\necho "hook: $# $1"; cat; exit 26\n')
    hook.chmod(0o755)
    assert run(launch_of(("echo", "on"), start_hook=(str(hook), "a b.ini")), tools).stdout == "hook: 1 a b.ini\non\n"
    assert run(launch_of(("echo", "on"), start_hook=("/nowhere", "a")), tools).stdout == "on\n"


def test_checks_run_in_order_and_fail_the_launch(tools: Tools) -> None:
    good = launch_of(("echo", "on"), checks=("echo 1; cat", 'echo "2 $PATH" | cut -c1'))
    assert run(good, tools).stdout == "1\n2\non\n"
    bad = run(launch_of(("echo", "on"), checks=("echo 1", "echo 2; exit 26", "echo 3")), tools)
    assert (bad.returncode, bad.stdout) == (1, "1\n2\n")
    assert bad.stderr == "exec-as-vassal: echo 2; exit 26: ended with 26\n"


def test_hooks_have_a_time_limit(tools: Tools) -> None:
    slow = launch_of(("echo", "on"), start_hook=("sleep", "100"), hook_timeout=0.1)
    assert run(slow, tools).stdout == "on\n"
    assert run(launch_of(("echo", "on"), checks=("exec sleep 100",), hook_timeout=0.1), tools).returncode == 1
