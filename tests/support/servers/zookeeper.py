"""A private ZooKeeper: one server on a free port of loopback, its data in a folder of its own, killed at the end."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from select import select
from typing import Any

from kazoo.client import KazooClient  # type: ignore[import-untyped]
from kazoo.handlers.threading import SequentialThreadingHandler  # type: ignore[import-untyped]

from tests.support.servers.common import end, folder, free_port, until

CLASSES = ":".join(f"/usr/share/java/{name}.jar" for name in ("zookeeper", "slf4j-nop", "snappy-java", "metrics-core"))

SETTINGS = """\
tickTime=500
dataDir={folder}/data
clientPort={port}
clientPortAddress=127.0.0.1
maxClientCnxns=0
admin.enableServer=false
4lw.commands.whitelist=*
"""


class SteadyHandler(SequentialThreadingHandler):  # type: ignore[misc]
    """kazoo's threads, but for the descriptor that each of its waits takes and gives back: tests count descriptors."""

    def select(self, *arguments: Any) -> Any:
        return select(*arguments)


class ZooKeeper:
    """It listens on ``port``, and keeps its data in ``folder`` over its ends and starts."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "zoo.cfg").write_text(SETTINGS.format(folder=folder, port=self.port))

    def start(self) -> None:
        """Start it over the data that are there, and wait until it answers."""
        with (self.folder / "out").open("ab") as out:
            self.process = subprocess.Popen(
                [
                    *("java", "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
                    *("-Dzookeeper.forceSync=no", "-Djava.io.tmpdir=" + str(self.folder)),
                    *("-cp", CLASSES, "org.apache.zookeeper.server.ZooKeeperServerMain", self.folder / "zoo.cfg"),
                ],
                cwd=self.folder,
                stdout=out,
                stderr=out,
            )
        until(lambda: "Mode: standalone" in self.ask("srvr", 0.3), "ZooKeeper", self.process)

    def kill(self) -> None:
        assert self.process is not None
        end(self.process, signal.SIGKILL)

    def revive(self) -> None:
        """Have it run and answer, whatever was done to it."""
        assert self.process is not None
        if self.process.poll() is None:
            self.send_signal(signal.SIGCONT)
        else:
            self.start()

    def wipe(self) -> None:
        """Forget everything. Only while it does not run."""
        shutil.rmtree(self.folder / "data")

    def send_signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def ask(self, word: str, patience: float = 20.0) -> str:
        """The answer to one of the four-letter words, "" where there is none."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), patience) as connection:
            connection.sendall(word.encode())
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        return ""

    def count_connections(self) -> int:
        """How many clients are connected, the one that asks not among them."""
        (line,) = (line for line in self.ask("mntr").splitlines() if line.startswith("zk_num_alive_connections"))
        return int(line.split("\t")[1]) - 1

    def connect(self, login: str = "") -> KazooClient:
        """A client of kazoo's, which the monitor is not. To be stopped and closed."""
        client = KazooClient(
            f"127.0.0.1:{self.port}", handler=SteadyHandler(), auth_data=[("digest", login)] if login else None
        )
        client.start(60)
        return client


@contextmanager
def zookeeper() -> Iterator[ZooKeeper]:
    """A server that runs, for as long as the block lasts."""
    with folder("zoo") as path:
        server = ZooKeeper(path)
        server.start()
        try:
            yield server
        finally:
            server.kill()
