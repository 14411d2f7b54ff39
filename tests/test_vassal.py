"""The test vassal itself does what its table of keys says: what stands on it stands on this."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from emperor_trio.law.protocol import Order, Signal, config_chunk
from tests.support.vassal import Report, Setting, children_of, is_alive, vassal_config, wait_until, write_vassal


@dataclass
class Started:
    process: subprocess.Popen[bytes]
    pipe: socket.socket
    config_pipe: socket.socket | None = None

    def expect(self, *signals: Signal) -> None:
        for expected in signals:
            assert select.select([self.pipe], [], [], 20)[0], f"{expected.name} did not come"
            assert self.pipe.recv(1) == bytes([expected])

    def order(self, order: Order) -> None:
        self.pipe.send(bytes([order]))

    def ends(self) -> int:
        return self.process.wait(20)


@contextmanager
def started(
    binary: Path, *argv: str, stdin: int = subprocess.DEVNULL, config: bytes | None = None
) -> Iterator[Started]:
    ours, theirs = socket.socketpair()
    our_config, their_config = socket.socketpair()
    env = {"UWSGI_EMPEROR_FD": str(theirs.fileno())}
    if config is not None:
        env["UWSGI_EMPEROR_FD_CONFIG"] = str(their_config.fileno())
        our_config.send(config_chunk(config))
    fds = (theirs.fileno(), their_config.fileno())
    process = subprocess.Popen([binary, *argv], env=env, pass_fds=fds, stdin=stdin, start_new_session=True)
    theirs.close()
    their_config.close()
    try:
        yield Started(process, ours, our_config)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)
        ours.close()
        our_config.close()


@pytest.fixture
def config(tmp_path: Path, report: Report) -> Path:
    return write_vassal(tmp_path / "one.ini", report=report.path)


def rewrite(config: Path, report: Report, **settings: Setting) -> str:
    return str(write_vassal(config, report=report.path, **settings))


def test_ready_accepting_and_loyal_on_usr1(vassal_binary: Path, config: Path, report: Report) -> None:
    with started(vassal_binary, "--set", "a=b", "--ini", str(config)) as vassal:
        vassal.expect(Signal.READY, Signal.ACCEPTING)
        vassal.process.send_signal(signal.SIGUSR1)
        vassal.expect(Signal.LOYAL)
        start = report.wait_for("start")
        assert start["argv"] == [str(vassal_binary), "--set", "a=b", "--ini", str(config)]
        assert start["pid"] == start["sid"] == vassal.process.pid
        assert start["ppid"] == os.getpid()
        assert start["cwd"] == os.getcwd()
        assert start["fds"]["0"] == "/dev/null"
        assert int(start["status"]["SigBlk"], 16) == 0
        assert start["namespaces"]["pid"] == os.readlink("/proc/self/ns/pid")


@pytest.mark.parametrize("order", [Order.STOP, Order.STOP_GRACEFULLY])
def test_stops_when_told(vassal_binary: Path, config: Path, report: Report, order: Order) -> None:
    with started(vassal_binary, "--ini", rewrite(config, report, stop_code=7, stop_after=10)) as vassal:
        vassal.expect(Signal.READY, Signal.ACCEPTING)
        vassal.order(order)
        assert vassal.ends() == 7
    assert report.of("order", byte=int(order))


def test_ends_with_its_emperor(vassal_binary: Path, config: Path, report: Report) -> None:
    with started(vassal_binary, "--ini", str(config)) as vassal:
        vassal.expect(Signal.READY)
        vassal.pipe.shutdown(socket.SHUT_RDWR)
        assert vassal.ends() == 1
    assert report.of("eof")


def test_stubborn_in_every_way(vassal_binary: Path, config: Path, report: Report) -> None:
    stubborn = rewrite(config, report, ignore_stop=True, ignore_signals=True, ignore_eof=True, reload=False)
    with started(vassal_binary, "--ini", stubborn) as vassal:
        vassal.expect(Signal.READY, Signal.ACCEPTING)
        vassal.order(Order.STOP)
        vassal.order(Order.RELOAD)
        report.wait_for("order", byte=1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
            vassal.process.send_signal(number)
        vassal.pipe.shutdown(socket.SHUT_RDWR)
        report.wait_for("eof")
        assert vassal.process.poll() is None
    assert [entry["byte"] for entry in report.of("sent")] == [1, 5]


def test_reload_reads_the_file_again(vassal_binary: Path, config: Path, report: Report) -> None:
    with started(vassal_binary, "--ini", str(config)) as vassal:
        vassal.expect(Signal.READY, Signal.ACCEPTING)
        rewrite(config, report, accepting_after="never", loyal_after=1)
        vassal.order(Order.RELOAD)
        vassal.expect(Signal.READY, Signal.LOYAL)


def test_reload_asks_for_its_chunk(vassal_binary: Path, report: Report) -> None:
    settings: dict[str, Setting] = {"report": report.path, "accepting_after": "never"}
    with started(vassal_binary, "--ini", "emperor://x.ini", config=vassal_config(settings).encode()) as vassal:
        vassal.expect(Signal.READY)
        vassal.order(Order.RELOAD)
        vassal.expect(Signal.SEND_CONFIG)
        assert vassal.config_pipe is not None
        vassal.config_pipe.send(config_chunk(vassal_config({**settings, "heartbeat": 1, "heartbeats": 2}).encode()))
        vassal.expect(Signal.READY, Signal.HEARTBEAT, Signal.HEARTBEAT)
        assert [entry["name"] for entry in report.of("start")] == ["emperor://x.ini"]
        assert "heartbeats = 2" in report.of("config")[1]["text"]


def test_a_zerg_reads_its_section(vassal_binary: Path, config: Path, report: Report) -> None:
    config.write_text("[uwsgi]\nexit_after = 0\n" + vassal_config({"reinforce_after": 0}, "zerg"))
    with started(vassal_binary, "--ini", f"{config}:zerg") as vassal:
        vassal.expect(Signal.READY, Signal.ACCEPTING, Signal.REINFORCEMENT)


def test_magic_exec_runs_the_file(vassal_binary: Path, tmp_path: Path) -> None:
    program = tmp_path / "one.ini"
    program.write_text("#!/bin/sh\necho exit_after = 0\necho exit_code = 26\n")
    program.chmod(0o755)
    with started(vassal_binary, "--ini", f"exec://{program}") as vassal:
        assert vassal.ends() == 26


@pytest.mark.parametrize("code", [3, -9])
def test_dies_as_told(vassal_binary: Path, config: Path, report: Report, code: int) -> None:
    with started(
        vassal_binary, "--ini", rewrite(config, report, ready_after="never", exit_after=1, exit_code=code)
    ) as vassal:
        assert vassal.ends() == code
    assert not report.of("sent")


def test_missing_config_ends_with_1(vassal_binary: Path, tmp_path: Path) -> None:
    with started(vassal_binary, "--ini", str(tmp_path / "none.ini")) as vassal:
        assert vassal.ends() == 1


def test_closes_its_pipe_and_lives_on(vassal_binary: Path, config: Path, report: Report) -> None:
    with started(vassal_binary, "--ini", rewrite(config, report, close_after=1, send_after=0, send=77)) as vassal:
        vassal.pipe.settimeout(20)
        assert b"".join(iter(lambda: vassal.pipe.recv(16), b"")) == bytes([1, 5, 77])
        assert is_alive(vassal.process.pid)


def test_serves_on_demand_and_leaves(vassal_binary: Path, config: Path, report: Report) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        busy = rewrite(config, report, serve=2, leave_after_serve=True)
        with started(vassal_binary, "--ini", busy, stdin=listener.fileno()) as vassal:
            vassal.expect(Signal.READY, Signal.ACCEPTING)
            for _ in range(2):
                with socket.create_connection(listener.getsockname(), 20) as client:
                    client.send(b"hello")
                    assert client.recv(64) == b"%d\n" % vassal.process.pid
            vassal.expect(Signal.LOYAL, Signal.LOYAL, Signal.LEAVE)


def test_workers_are_its_children(vassal_binary: Path, config: Path, report: Report) -> None:
    with started(vassal_binary, "--ini", rewrite(config, report, workers=2)) as vassal:
        vassal.expect(Signal.READY)
        pids = [entry["worker"] for entry in report.of("worker")]
        assert pids == children_of(vassal.process.pid)
        os.killpg(vassal.process.pid, signal.SIGKILL)
        vassal.ends()
        wait_until(lambda: not any(is_alive(pid) for pid in pids))
