"""Real processes: what a vassal is given, what comes back from it, and what is left when it is gone."""

from __future__ import annotations

import os
import resource
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from emperor_trio.errors import SpawnDeferred, SpawnError, UsageError
from emperor_trio.law.protocol import Order
from emperor_trio.model import MAX_CONFIG, VassalId, VassalSpec
from emperor_trio.ports import Exited, PipeClosed, Received
from emperor_trio.processes import SystemSpawner
from tests.processes.conftest import MakeCourt
from tests.processes.support import ALICE, PATIENCE, Court, Ear, descriptors, environment_of, policy_for
from tests.support.vassal import Report, is_alive, wait_until


async def test_a_vassal_is_given_exactly_what_the_specification_says(court: Court, vassal_binary: Path) -> None:
    start = await court.start(court.spec(workers=1))
    assert start["argv"] == [str(vassal_binary), "--ini", "one.ini"]
    assert start["cwd"] == str(court.folder)
    assert start["ppid"] == os.getpid()
    assert start["sid"] == start["pgid"] == start["pid"]
    assert start["pdeathsig"] == signal.SIGKILL
    assert (start["uid"], start["gid"]) == (os.getuid(), os.getgid())
    slot = environment_of(start)["UWSGI_EMPEROR_FD"]
    assert start["fds"]["0"] == "/dev/null"
    assert start["fds"]["1"] == os.readlink("/proc/self/fd/1")
    assert start["fds"]["2"] == os.readlink("/proc/self/fd/2")
    assert start["fds"][slot].startswith("socket:")
    assert set(start["fds"]) - inherited() == {"0", "1", "2", slot}


def inherited() -> set[str]:
    """What the test runner itself was started with and hands on: the daemon marks such descriptors at its start."""
    return {str(number) for number in descriptors() if number > 2 and os.get_inheritable(number)}


async def test_signals_are_at_their_defaults_and_none_is_blocked(court: Court) -> None:
    old = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGTERM])
    try:
        start = await court.start(court.spec())
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1, signal.SIGTERM])
        signal.signal(signal.SIGUSR2, old)
    assert int(start["status"]["SigBlk"], 16) == 0
    assert int(start["status"]["SigIgn"], 16) == 0


async def test_a_config_is_sent_at_the_spawn_and_again_when_asked_for(court: Court) -> None:
    subject = court.spawn(court.sent())
    await subject.ear.bytes(b"\1")
    assert not subject.process.has_unread_config()
    (start,) = court.report.of("start")
    assert start["argv"][1:] == ["--ini", "emperor://one.ini"]
    assert set(start["fds"]) - inherited() == {
        "0", "1", "2", environment_of(start)["UWSGI_EMPEROR_FD"], environment_of(start)["UWSGI_EMPEROR_FD_CONFIG"]
    }  # fmt: skip
    assert subject.process.send_config(b"[uwsgi]\n")
    assert subject.process.has_unread_config()
    assert subject.process.send(Order.RELOAD)
    await subject.ear.bytes(b"\1\5\2\1")
    assert not subject.process.has_unread_config()


async def test_the_largest_config_arrives_whole(court: Court) -> None:
    spec = court.sent()
    assert spec.config is not None
    padding = b"#" * (MAX_CONFIG - len(spec.config) - 1) + b"\n"
    assert len(padding + spec.config) == MAX_CONFIG
    await court.start(replace(spec, config=padding + spec.config))  # it could not report if the last line were missing


async def test_a_chunk_that_does_not_fit_is_not_begun(court: Court) -> None:
    subject = court.spawn(court.sent(request_config=False, reload=False))
    await subject.ear.bytes(b"\1")
    while subject.process.send_config(b"x" * MAX_CONFIG):
        pass
    assert not subject.process.send_config(b"x" * MAX_CONFIG)
    assert not subject.process.send_config(b"x" * (MAX_CONFIG + 1))


async def test_a_config_that_is_too_large_is_refused_and_nothing_is_left(court: Court) -> None:
    before = descriptors()
    with pytest.raises(SpawnError, match="65,536 bytes"):
        court.spawn(replace(court.sent(), config=b"x" * (MAX_CONFIG + 1)))
    assert descriptors() == before


async def test_a_full_pipe_does_not_block(court: Court) -> None:
    subject = court.spawn(court.spec(ignore_stop=True))
    await subject.ear.bytes(b"\1")
    os.kill(subject.pid, signal.SIGSTOP)
    sent = 0
    while subject.process.send(Order.STOP):
        sent += 1
    assert sent > 10
    assert not subject.process.send(Order.RELOAD)


async def test_the_exit_code_is_told(court: Court) -> None:
    assert await court.spawn(court.spec(exit_after=0, exit_code=26)).ear.exit_code() == 26
    assert await court.spawn(court.spec(exit_after=0, exit_code=-15)).ear.exit_code() == -15


async def test_a_killed_vassal_dies_with_its_workers(court: Court) -> None:
    subject = court.spawn(court.spec(workers=3))
    await subject.ear.bytes(b"\1")
    workers = workers_of(subject.pid)
    assert len(workers) == 3
    subject.process.kill()
    assert await subject.ear.exit_code() == -9
    await trio.to_thread.run_sync(wait_until, lambda: not any(map(is_alive, workers)))


async def test_workers_that_are_left_behind_are_killed(court: Court) -> None:
    subject = court.spawn(court.spec(workers=2))
    await subject.ear.bytes(b"\1")
    workers = workers_of(subject.pid)
    os.kill(subject.pid, signal.SIGKILL)
    assert await subject.ear.exit_code() == -9
    await trio.to_thread.run_sync(wait_until, lambda: not any(map(is_alive, workers)))


def workers_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_last_words_come_before_the_exit(court: Court) -> None:
    subject = court.spawn(court.spec(accepting_after="never", leave_after=0, exit_after=0, exit_code=4))
    os.waitid(os.P_PID, subject.pid, os.WEXITED | os.WNOWAIT)
    assert await subject.ear.exit_code() == 4
    assert subject.ear.events == [Received(b"\1\x16"), Exited(4)]


async def test_children_that_die_at_once_are_not_lost(court: Court) -> None:
    spec = court.spec(exit_after=0, exit_code=3)
    subjects = [court.spawn(spec) for _ in range(20)]
    for subject in subjects:
        os.waitid(os.P_PID, subject.pid, os.WEXITED | os.WNOWAIT)
    for subject in subjects:
        assert await subject.ear.exit_code() == 3


async def test_a_closed_pipe_is_told_once(court: Court) -> None:
    subject = court.spawn(court.spec(close_after=0))
    await subject.ear.pipe_closed()
    assert not subject.process.send(Order.STOP)
    subject.process.kill()
    await subject.ear.exit_code()
    assert subject.ear.events.count(PipeClosed()) == 1


async def test_an_end_is_not_taken_for_a_closed_pipe(court: Court) -> None:
    for _ in range(10):
        subject = court.spawn(court.spec(exit_after=0))
        await subject.ear.exit_code()
        assert PipeClosed() not in subject.ear.events


async def test_nothing_is_delivered_after_close_and_the_process_is_still_reaped(court: Court) -> None:
    before = descriptors()
    subject = court.spawn(court.sent(ignore_eof=True))
    await subject.ear.bytes(b"\1")
    heard = list(subject.ear.events)
    subject.process.close()
    subject.process.close()
    assert not subject.process.send(Order.STOP)
    assert not subject.process.send_config(b"")
    assert not subject.process.has_unread_config()
    subject.process.kill()
    with trio.fail_after(20):
        while Path(f"/proc/{subject.pid}").exists():
            await trio.sleep(0.01)
    subject.process.kill()
    assert subject.ear.events == heard
    assert descriptors() == before


async def test_descriptors_are_as_many_as_promised(court: Court, reap: str) -> None:
    extra = 1 if reap == "pidfd" else 0
    before = descriptors()
    plain = court.spawn(court.spec())
    assert len(descriptors() - before) == 1 + extra
    sent = court.spawn(court.sent())
    assert len(descriptors() - before) == 3 + 2 * extra
    for subject in (plain, sent):
        subject.process.kill()
        await subject.ear.exit_code()
    assert descriptors() == before


async def test_no_descriptor_left_is_a_delay_and_leaks_nothing(court: Court) -> None:
    spec = court.sent()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = descriptors()
    free = [number for number in range(max(before) + 20) if number not in before]
    reasons = []
    try:
        for room in range(12):
            resource.setrlimit(resource.RLIMIT_NOFILE, (free[room], hard))
            try:
                subject = court.spawn(spec)
            except SpawnDeferred as error:
                reasons.append(str(error))
            else:
                subject.process.kill()
                await subject.ear.exit_code()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(reasons) >= 4
    assert set(reasons) == {"Too many open files"}
    assert descriptors() == before
    await court.start(court.spec())


async def test_no_process_left_is_a_delay_and_leaks_nothing(court: Court) -> None:
    spec = court.spec()
    before = descriptors()
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, hard))
    os.setresuid(ALICE.uid, ALICE.uid, 0)  # the limit does not hold for root
    try:
        with pytest.raises(SpawnDeferred, match="Resource temporarily unavailable"):
            court.spawn(spec)
    finally:
        os.setresuid(0, 0, 0)
        resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))
    assert descriptors() == before
    await court.start(spec)


async def test_a_missing_folder_is_named(court: Court) -> None:
    with pytest.raises(SpawnError, match="its folder /nowhere can't be entered: No such file"):
        court.spawn(replace(court.spec(), directory="/nowhere"))


async def test_what_no_process_can_be_given_is_refused(make_court: MakeCourt) -> None:
    court = await make_court(exec_as_vassal=("x" * 2**20,))
    before = descriptors()
    for name in ("a\0b.ini", "a\ud800.ini"):
        with pytest.raises(SpawnError, match="can't be handed to a process"):
            court.spawn(VassalSpec(name, 1))
    with pytest.raises(SpawnError, match="Argument list too long"):
        court.spawn(court.spec())
    assert descriptors() == before


@pytest.mark.parametrize(("wrapper", "code"), [("/nowhere/uwsgi", 127), ("/etc/passwd", 126)])
async def test_a_failed_exec_is_a_failed_start_and_never_an_exile(
    make_court: MakeCourt, wrapper: str, code: int
) -> None:
    court = await make_court(binary=None, wrapper=wrapper)
    assert await court.spawn(court.spec()).ear.exit_code() == code


async def test_wrappers_are_tried_in_order(make_court: MakeCourt, vassal_binary: Path) -> None:
    tried = {"wrapper_override": ("/nowhere/1", "no-such-command"), "wrapper": "/etc/passwd"}
    court = await make_court(**tried, wrapper_fallback=("/nowhere/2", str(vassal_binary), "/bin/false"))
    start = await court.start(court.spec())
    assert start["argv"] == [str(vassal_binary), "--ini", "one.ini"]


async def test_nothing_can_be_started_before_and_after_the_run(folder: Path, vassal_binary: Path) -> None:
    spawner = SystemSpawner(policy_for(folder, vassal_binary))
    spec, one = VassalSpec("one.ini", 1), VassalId("m", "one.ini")
    with pytest.raises(SpawnError, match="not running"):
        spawner.spawn(one, spec, 0, None, Ear())
    async with trio.open_nursery() as nursery:
        await nursery.start(spawner.run)
        nursery.cancel_scope.cancel()
    with pytest.raises(SpawnError, match="not running"):
        spawner.spawn(one, spec, 0, None, Ear())


async def test_the_end_of_the_run_leaves_nothing_behind(folder: Path, vassal_binary: Path, reap: str) -> None:
    before = descriptors()
    spawner = SystemSpawner(policy_for(folder, vassal_binary), reap=reap)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        await nursery.start(spawner.run)
        court = Court(spawner, folder, Report(folder / "report.jsonl"))
        spec = court.sent(workers=1, ignore_signals=True, ignore_eof=True)
        subjects = [court.spawn(spec) for _ in range(5)]
        for subject in subjects:
            await subject.ear.bytes(b"\1")
        workers = [worker for subject in subjects for worker in workers_of(subject.pid)]
        nursery.cancel_scope.cancel()
    assert len(workers) == 5
    assert not any(Path(f"/proc/{subject.pid}").exists() for subject in subjects)
    assert all(subject.ear.events[-1] == Exited(-9) for subject in subjects)
    await trio.to_thread.run_sync(wait_until, lambda: not any(map(is_alive, workers)))
    assert descriptors() == before


async def test_starting_off_the_main_thread_is_refused(folder: Path, vassal_binary: Path, court: Court) -> None:
    spawner = SystemSpawner(policy_for(folder, vassal_binary))
    spec = court.spec()
    with pytest.raises(UsageError, match="on the main thread"):
        await trio.to_thread.run_sync(lambda: trio.run(spawner.run))
    with pytest.raises(SpawnError, match="on the main thread"):
        await trio.to_thread.run_sync(court.spawn, spec)


async def test_orphans_are_reaped_by_the_daemon(folder: Path, vassal_binary: Path, nursery: trio.Nursery) -> None:
    spawner = SystemSpawner(policy_for(folder, vassal_binary), reap="sigchld")
    await nursery.start(spawner.run)
    orphan = os.posix_spawn("/bin/true", ["true"], {})
    with trio.fail_after(PATIENCE):
        while Path(f"/proc/{orphan}").exists():
            await trio.sleep(0.01)


async def test_children_of_others_are_left_alone_in_a_library(
    folder: Path, vassal_binary: Path, nursery: trio.Nursery
) -> None:
    handler = signal.getsignal(signal.SIGCHLD)
    spawner = SystemSpawner(policy_for(folder, vassal_binary), reap="pidfd")
    await nursery.start(spawner.run)
    court = Court(spawner, folder, Report(folder / "report.jsonl"))
    finished = await trio.run_process(["/bin/sh", "-c", "exit 5"], check=False)
    assert finished.returncode == 5
    assert await court.spawn(court.spec(exit_after=0)).ear.exit_code() == 0
    assert signal.getsignal(signal.SIGCHLD) is handler
    robbed = court.spawn(court.spec())
    await robbed.ear.bytes(b"\1")
    robbed.process.kill()
    os.waitpid(robbed.pid, 0)
    assert await robbed.ear.exit_code() == 255
