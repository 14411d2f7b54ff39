"""A private PostgreSQL of Debian: its own folder and port, loopback only, fast and without care for its data."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import psycopg

from tests.support.servers.common import end, folder, free_port, until
from tests.support.vassal import children_of, is_alive

USER = "postgres"


def _binaries() -> Path:
    """Where Debian has the newest version's programs."""
    return max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))


class Postgres:
    """One server. ``dsn`` is for whoever administers it; everyone is let in, unless :meth:`let_in` says otherwise."""

    def __init__(self, place: Path) -> None:
        self.folder = place
        self.port = free_port()
        self.dsn = f"host=127.0.0.1 port={self.port} user={USER} dbname=postgres"
        self.process: subprocess.Popen[bytes] | None = None
        command: list[str | Path] = [
            _binaries() / "initdb",
            "-D",
            place / "data",
            "-U",
            USER,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
        ]
        self._launch(command, subprocess.DEVNULL).wait(60)

    def start(self, *settings: str) -> None:
        """Start it, and wait until it answers. Settings are ``NAME=VALUE``."""
        own = [f"port={self.port}", f"unix_socket_directories={self.folder}", "listen_addresses=127.0.0.1"]
        fast = ["fsync=off", "max_connections=80", "shared_buffers=16MB", "autovacuum=off", "max_wal_size=64MB"]
        words = [word for setting in [*own, *fast, *settings] for word in ("-c", setting)]
        with (self.folder / "log").open("ab") as log:
            self.process = self._launch([_binaries() / "postgres", "-D", self.folder / "data", *words], log)
        until(self._is_ready, "PostgreSQL", self.process)

    def stop(self) -> None:
        """End it in an orderly way; whoever is connected is thrown out."""
        if self.process is not None:
            self.thaw()
            end(self.process, signal.SIGINT)
            self.process = None

    def kill(self) -> None:
        """Kill it whole, as a power cut does."""
        assert self.process is not None
        processes = self._processes()
        _signal(processes, signal.SIGKILL)
        self.process.wait(20)
        self.process = None
        until(lambda: not any(map(is_alive, processes)), "PostgreSQL's end")

    def freeze(self) -> None:
        """Stop it in its tracks: connections stay, and new ones are taken by the kernel, but nothing is answered."""
        _signal(self._processes()[:1], signal.SIGSTOP)  # the first, so that no more come
        _signal(self._processes(), signal.SIGSTOP)

    def thaw(self) -> None:
        _signal(self._processes(), signal.SIGCONT)

    def revive(self) -> None:
        """Have it run and answer, whatever was done to it."""
        if self.process is None:
            self.start()
        self.thaw()

    def sql(self, statement: str, *values: object, dbname: str = "postgres") -> list[tuple[Any, ...]]:
        """Carry out one statement as the administrator: its rows, if it has any."""
        with psycopg.connect(f"{self.dsn} dbname={dbname}", autocommit=True, prepare_threshold=None) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def let_in(self, method: str) -> None:
        """How everyone but the administrator is let in from now on: ``trust``, ``scram-sha-256``, ``reject``, …"""
        rules = f"local all all trust\nhost all {USER} all trust\nhost all all all {method}\n"
        (self.folder / "data" / "pg_hba.conf").write_text(rules)
        self.sql("SELECT pg_reload_conf()")

    def _launch(self, command: list[str | Path], out: IO[bytes] | int) -> subprocess.Popen[bytes]:
        """Start one of PostgreSQL's programs, as its Debian user where we are root: it refuses to run as that."""
        root = os.geteuid() == 0
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=self.folder,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            user=USER if root else None,
            group=USER if root else None,
            extra_groups=[] if root else None,
        )

    def _processes(self) -> list[int]:
        assert self.process is not None
        return [self.process.pid, *children_of(self.process.pid)]

    def _is_ready(self) -> bool:
        command: list[str | Path] = [_binaries() / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, timeout=20).returncode == 0


def _signal(processes: list[int], number: int) -> None:
    for pid in processes:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A running server, for as long as the block lasts."""
    with folder("pg", USER) as place:
        server = Postgres(place)
        server.start()
        try:
            yield server
        finally:
            server.stop()
