"""Hooks: in the vassal's process before it starts, and as the emperor after its spawn and death."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

from emperor_trio.errors import SpawnError
from emperor_trio.model import VassalId
from emperor_trio.ports import HookPoint
from tests.processes.conftest import MakeCourt
from tests.processes.support import ALICE, PATIENCE, Court, descriptors
from tests.support.vassal import is_alive, wait_until

ONE = VassalId("m", "one.ini")


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


async def test_hooks_in_the_child_run_as_the_vassal_in_order(make_court: MakeCourt, folder: Path) -> None:
    say = 'id -u >> said; pwd >> said; echo "$UWSGI_VASSALS_DIR" >> said'
    hook = script(folder / "hook", f'echo "start $# $1" >> said; {say}; exit 3')
    court = await make_court(tyrant=True, start_hook=hook, exec_as_vassal=("echo first >> said", "echo second >> said"))
    await court.start(court.spec())
    said = (folder / "said").read_text().splitlines()
    assert said == ["start 1 one.ini", str(ALICE.uid), str(folder), str(folder), "first", "second"]
    assert (folder / "said").stat().st_uid == ALICE.uid


async def test_hooks_in_the_child_run_in_its_namespaces(make_court: MakeCourt, folder: Path) -> None:
    court = await make_court(namespaces=("uts",), exec_as_vassal=("readlink /proc/self/ns/uts > said",))
    start = await court.start(court.spec())
    assert (folder / "said").read_text().strip() == start["namespaces"]["uts"] != os.readlink("/proc/self/ns/uts")


async def test_a_failing_exec_as_vassal_fails_the_start(make_court: MakeCourt) -> None:
    court = await make_court(exec_as_vassal=("exit 26",))
    assert await court.spawn(court.spec()).ear.exit_code() == 1
    assert court.report.of("start") == []


async def test_a_vassal_that_is_killed_in_its_hook_dies_with_the_hook(make_court: MakeCourt, folder: Path) -> None:
    court = await make_court(
        start_hook=script(folder / "hook", "sleep 1000 & echo $$ $! > pids.new; mv pids.new pids; wait")
    )
    subject = court.spawn(court.spec())
    pids = folder / "pids"
    await trio.to_thread.run_sync(wait_until, pids.exists)
    hook = [int(pid) for pid in pids.read_text().split()]
    assert all(map(is_alive, hook))
    subject.process.kill()
    assert await subject.ear.exit_code() == -9
    await trio.to_thread.run_sync(wait_until, lambda: not any(map(is_alive, hook)))


async def run_hook(court: Court, point: HookPoint) -> str | None:
    with trio.fail_after(PATIENCE):
        return await court.spawner.run_hook(point, ONE, court.spec(), 42)


async def test_no_hooks(court: Court) -> None:
    for point in HookPoint:
        assert not court.spawner.has_hook(point)
        assert await run_hook(court, point) is None


async def test_the_stop_hook(make_court: MakeCourt, folder: Path) -> None:
    hook = script(folder / "hook", 'echo "$# $1 $UWSGI_VASSALS_DIR $(id -u) $(pwd)" > said; cat >> said')
    court = await make_court(stop_hook=hook, tyrant=True)
    assert court.spawner.has_hook(HookPoint.AFTER_DEATH)
    assert await run_hook(court, HookPoint.AFTER_DEATH) is None
    assert (folder / "said").read_text() == f"1 one.ini {folder} 0 {folder}\n"


async def test_exec_as_emperor(make_court: MakeCourt, folder: Path) -> None:
    variables = " ".join(f"$UWSGI_VASSAL_{name}" for name in ("CONFIG", "PID", "UID", "GID"))
    court = await make_court(
        exec_as_emperor=(f'echo "{variables}" > said', "exit 3", "no-such-command", "echo b >> said")
    )
    assert court.spawner.has_hook(HookPoint.AFTER_SPAWN)
    assert await run_hook(court, HookPoint.AFTER_SPAWN) == (
        "exit 3: it ended with code 3; no-such-command: it ended with code 127"
    )
    assert (folder / "said").read_text() == "one.ini 42 0 0\nb\n"


async def test_a_hook_that_hangs_is_killed_whole(make_court: MakeCourt, folder: Path) -> None:
    court = await make_court(exec_as_emperor=("sleep 1000 & echo $$ $! > pids; wait",), hook_timeout=3)
    before = descriptors()
    wrong = await run_hook(court, HookPoint.AFTER_SPAWN)
    assert wrong is not None
    assert wrong.endswith("it took longer than 3 s and was killed")
    pids = [int(pid) for pid in (folder / "pids").read_text().split()]
    assert len(pids) == 2
    await trio.to_thread.run_sync(wait_until, lambda: not any(map(is_alive, pids)))
    with trio.fail_after(PATIENCE):
        while descriptors() != before:
            await trio.sleep(0.01)


async def test_a_cancelled_hook_is_killed(make_court: MakeCourt, folder: Path) -> None:
    court = await make_court(stop_hook=script(folder / "hook", "echo $$ > pid.new; mv pid.new pid; sleep 1000"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_hook, court, HookPoint.AFTER_DEATH)
        with trio.fail_after(PATIENCE):
            while not (folder / "pid").exists():
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    pid = int((folder / "pid").read_text())
    await trio.to_thread.run_sync(wait_until, lambda: not is_alive(pid))


async def test_a_hook_that_can_not_be_started_is_told(make_court: MakeCourt) -> None:
    court = await make_court(stop_hook="/nowhere/hook")
    assert await run_hook(court, HookPoint.AFTER_DEATH) == "one.ini: it ended with code 127"


async def ask(court: Court) -> str | None:
    with trio.fail_after(PATIENCE):
        return await court.spawner.ask_socket(ONE, court.spec())


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('echo "/run/$1.socket"', "/run/one.ini.socket"),
        ("printf ':3031\\r\\nmore\\n'", ":3031"),
        ("printf 127.0.0.1:3031", "127.0.0.1:3031"),
        ("echo", None),
        ("true", None),
        ("head -c 4096 /dev/zero | tr '\\0' x", "x" * 4096),
        ("echo $#", "1"),
        ("pwd", "FOLDER"),
    ],
)
async def test_the_command_names_the_socket(make_court: MakeCourt, folder: Path, text: str, answer: str | None) -> None:
    court = await make_court(on_demand_exec=script(folder / "ask", text))
    before = descriptors()
    assert await ask(court) == (str(folder) if answer == "FOLDER" else answer)
    assert descriptors() == before


async def test_no_shell_is_between(make_court: MakeCourt, folder: Path) -> None:
    show = script(folder / "show me", 'printf "%s|" "$@"')
    court = await make_court(on_demand_exec=f"'{show}' a 'b c' $HOME;x")
    assert await ask(court) == "a|b c|$HOME;x|one.ini|"


async def test_without_a_command_there_is_no_socket(court: Court) -> None:
    assert await ask(court) is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("exit 3", "it ended with code 3"),
        ("kill -9 $$", "it was killed by signal 9"),
        ("head -c 4097 /dev/zero", "it prints more than 4,096 bytes"),
        ("yes", "it prints more than 4,096 bytes"),
        ("exec >/dev/null; sleep 1000", "it took longer than 1 s"),
        ("sleep 1000", "it took longer than 1 s"),
    ],
)
async def test_a_command_that_fails(make_court: MakeCourt, folder: Path, text: str, complaint: str) -> None:
    court = await make_court(
        on_demand_exec=script(folder / "ask", text), on_demand_exec_timeout=1 if "sleep" in text else 60
    )
    with pytest.raises(SpawnError, match=complaint):
        await ask(court)


async def test_many_at_once(make_court: MakeCourt, folder: Path) -> None:
    court = await make_court(stop_hook=script(folder / "hook", "exit 7"))
    wrong: list[str | None] = []

    async def one() -> None:
        wrong.append(await run_hook(court, HookPoint.AFTER_DEATH))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(one)
    assert wrong == ["one.ini: it ended with code 7"] * 20
