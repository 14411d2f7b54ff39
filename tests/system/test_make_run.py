"""``make run`` as a person has it: four real applications from four formats, reloaded under load, gone after Ctrl-C."""

from __future__ import annotations

import http.client
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.vassal import children_of, is_alive, wait_until

PROJECT = Path(__file__).parents[2]
VENV = Path(sys.prefix)
PORTS = range(3030, 3035)
WORKERS_AND_THREADS = {"werkzeug.xml": (4, 2), "django.ini": (2, 8), "hello.yml": (2, 2), "time.json": (2, 2)}


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


@dataclass
class Terminal:
    """`make run` on a terminal of its own, in a copy of the examples whose ports are free ones."""

    make: subprocess.Popen[bytes]
    fd: int
    ports: list[int]
    vassals: Path
    seen: bytes = b""
    reader: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        with suppress(OSError):  # the other side is gone
            while part := os.read(self.fd, 65536):
                self.seen += part

    @property
    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;]*m", "", self.seen.decode(errors="replace"))

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.text, 60, lambda: self.text)

    def statistics(self) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[0], timeout=20)
        connection.request("GET", "/")
        with connection.getresponse() as answer:
            vassals = json.load(answer)["vassals"]
        connection.close()
        return {entry["id"]: entry for entry in vassals}


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    ports = free_ports(len(PORTS))
    renamed = {str(old): str(new) for old, new in zip(PORTS, ports, strict=True)}
    shutil.copytree(PROJECT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("*.log", "__pycache__"))
    for path in [tmp_path / "examples" / "run.py", *(tmp_path / "examples" / "vassals").iterdir()]:
        path.write_text(re.sub(r"(?<=127\.0\.0\.1:)\d+", lambda found: renamed[found[0]], path.read_text()))
    # The stamp is said to be old: what it stands for is installed, or this test would not run.
    make: list[str | Path] = ["make", "-C", tmp_path, "-f", PROJECT / "Makefile", f"VENV={VENV}"]
    make += ["-o", VENV / ".installed-run", "run"]
    fd, side = pty.openpty()
    process = subprocess.Popen(["setsid", "--ctty", *make], stdin=side, stdout=side, stderr=side)
    os.close(side)
    started = Terminal(process, fd, ports, tmp_path / "examples" / "vassals")
    yield started
    for left in {process.pid, *descendants(process.pid)}:
        with suppress(ProcessLookupError):
            os.kill(left, signal.SIGKILL)
    process.wait(20)
    started.reader.join(20)
    os.close(fd)


def descendants(pid: int) -> list[int]:
    return [found for child in children_of(pid) for found in (child, *descendants(child))]


@contextmanager
def load(ports: list[int]) -> Iterator[list[str]]:
    """Two clients an application, each asking again and again; gives the list of what went wrong."""
    wrong: list[str] = []
    over = threading.Event()

    def ask(port: int) -> None:
        while not over.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                if answer.status != 200 or not answer.read():
                    wrong.append(f"{port}: {answer.status}")
            except (OSError, http.client.HTTPException) as error:
                wrong.append(f"{port}: {error!r}")
            finally:
                connection.close()
            time.sleep(0.002)  # leaves the machine some time for the applications

    clients = [threading.Thread(target=ask, args=(port,)) for port in ports for _ in range(2)]
    for client in clients:
        client.start()
    try:
        yield wrong
    finally:
        over.set()
        for client in clients:
            client.join(60)


def settled(terminal: Terminal) -> dict[str, Any]:
    """The statistics, once every worker has all its threads: before, uWSGI may lose a signal that ends a worker."""
    found: dict[str, Any] = {}

    def all_are() -> bool:
        found.clear()
        found.update(terminal.statistics())
        return found.keys() == WORKERS_AND_THREADS.keys() and all(
            entry["accepting"] and threads_of_workers(entry["pid"]) == [threads] * workers
            for entry, (workers, threads) in ((found[name], WORKERS_AND_THREADS[name]) for name in found)
        )

    wait_until(all_are, 60, lambda: terminal.text)
    return found


def threads_of_workers(master: int) -> list[int]:
    with suppress(FileNotFoundError):
        return [len(os.listdir(f"/proc/{worker}/task")) for worker in children_of(master)]
    return []


def reload_all(terminal: Terminal) -> None:
    """Touch every config and wait until each application has other workers, and is ready with them."""
    masters = {name: entry["pid"] for name, entry in settled(terminal).items()}
    workers = {name: set(children_of(master)) for name, master in masters.items()}
    for name in masters:
        os.utime(terminal.vassals / name)
    wait_until(
        lambda: all(workers[name].isdisjoint(children_of(master)) for name, master in masters.items()),
        60,
        lambda: terminal.text,
    )


def test_four_applications_reload_under_load_and_end_with_ctrl_c(terminal: Terminal) -> None:
    terminal.wait_for("All four answer")
    before = settled(terminal)
    with load(terminal.ports[1:]) as wrong:
        reload_all(terminal)
        reload_all(terminal)
        after = settled(terminal)
    assert not wrong
    assert {name: entry["pid"] for name, entry in after.items()} == {
        name: entry["pid"] for name, entry in before.items()
    }
    assert all(entry["respawns"] == 2 for entry in after.values())

    everything = descendants(terminal.make.pid)
    os.write(terminal.fd, b"\x03")
    assert terminal.make.wait(60) == 0, terminal.text
    wait_until(lambda: not any(is_alive(pid) for pid in everything), 20, lambda: terminal.text)


def test_what_the_terminal_offers_works(terminal: Terminal) -> None:
    """A killed worker and a killed master are back, a removed file stops its vassal, Ctrl-Z stops and fg goes on."""
    terminal.wait_for("Ctrl-C stops everything")
    worker, master = map(int, re.findall(r"kill -9 (\d+)", terminal.text))
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not is_alive(worker) and len(children_of(master)) == 2)
    os.kill(master, signal.SIGKILL)
    wait_until(lambda: terminal.statistics()["hello.yml"]["pid"] not in (-1, master), 60, lambda: terminal.text)

    (terminal.vassals / "hello.yml").rename(terminal.vassals.parent / "hello.yml")
    wait_until(lambda: "hello.yml" not in terminal.statistics(), 60, lambda: terminal.text)
    (terminal.vassals.parent / "hello.yml").rename(terminal.vassals / "hello.yml")
    settled(terminal)

    os.write(terminal.fd, b"\x1a")
    wait_until(lambda: state(terminal.make.pid) == "T", 20)
    os.killpg(terminal.make.pid, signal.SIGCONT)
    assert terminal.statistics().keys() == WORKERS_AND_THREADS.keys()
    os.write(terminal.fd, b"\x03")
    assert terminal.make.wait(60) == 0, terminal.text


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
