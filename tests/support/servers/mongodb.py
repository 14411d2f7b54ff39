"""A private SecantusDB, a server that speaks MongoDB's protocol: with change streams, or as a standalone server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymongo

from tests.support.servers.common import answers, end, folder, free_port, until


@dataclass
class MongoServer:
    """One server on a port of its own, that can be killed, frozen and started again."""

    folder: Path
    port: int = field(default_factory=free_port)
    options: tuple[str, ...] = ()
    data: str = "data"
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "secantus", "--host", "127.0.0.1", "--port", str(self.port),
                 "--storage-path", self.folder / self.data, "--cache-size", "64M", *self.options],
                stdout=log, stderr=log, cwd=self.folder, env={**os.environ, "HOME": str(self.folder)},
            )  # fmt: skip
        until(lambda: answers(self.port), "SecantusDB", self.process)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            end(self.process, number)
            self.process = None

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    @property
    def certificate(self) -> Path:
        """What :meth:`guard` has the server show."""
        return self.folder / "certificate.pem"

    def guard(self) -> None:
        """From the next start on, want a login and TLS."""
        key = self.folder / "key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", self.certificate],
            check=True, capture_output=True,
        )  # fmt: skip
        self.options = ("--auth", "--tls-cert-file", str(self.certificate), "--tls-key-file", str(key))

    def client(self, **options: Any) -> pymongo.MongoClient[dict[str, Any]]:
        """A client of our own, to write with."""
        return pymongo.MongoClient(
            "127.0.0.1", self.port, directConnection=True, serverSelectionTimeoutMS=20_000, **options
        )


@contextmanager
def mongodb(*options: str) -> Iterator[MongoServer]:
    """A server for as long as the block lasts, with change streams unless ``--standalone`` is among the options.

    Without ``--sync-on-commit`` it forgets what was written last when it is killed.
    """
    with folder("mongo") as path:
        server = MongoServer(path, options=options)
        server.start()
        try:
            yield server
        finally:
            server.stop(signal.SIGKILL)
