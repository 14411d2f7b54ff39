"""A private RabbitMQ with an epmd of its own, for one session of tests. It takes six to eight seconds to start."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tests.support.servers.common import answers, end, folder, free_port, until

PROGRAMS = "/usr/lib/rabbitmq/bin"
USER = "rabbitmq"


@dataclass
class RabbitMQ:
    """A broker on ``port`` (and on ``tls_port`` where it has a certificate), user ``guest``, its data in ``home``."""

    port: int
    tls_port: int
    home: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        with (self.home / "out").open("ab") as out:
            self.process = self.run([f"{PROGRAMS}/rabbitmq-server"], out)
        until(lambda: answers(self.port), "rabbitmq", self.process)

    def stop(self) -> None:
        """End it for good: with an exclusive queue, nothing of it stays."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGCONT)
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stopped by SIGSTOP while the block lasts: the system still takes connections for it."""
        os.killpg(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.process.pid, signal.SIGCONT)

    def control(self, *arguments: str) -> str:
        """Run rabbitmqctl. Takes about two seconds."""
        command = [f"{PROGRAMS}/rabbitmqctl", "-n", self.environment["RABBITMQ_NODENAME"], *arguments]
        output: bytes = subprocess.run(command, check=True, capture_output=True, timeout=60, **self.how()).stdout
        return output.decode()

    def run(self, command: list[str], out: IO[bytes] | int) -> subprocess.Popen[bytes]:
        """Start one of its programs, with its output in a file."""
        return subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True, **self.how())

    def how(self) -> dict[str, Any]:
        """As Debian's own user where we are root."""
        privileges = {"user": USER, "group": USER, "extra_groups": []} if os.geteuid() == 0 else {}
        return {"cwd": self.home, "env": self.environment, **privileges}


@contextmanager
def rabbitmq(certificate: Callable[[Path], tuple[Path, Path]] | None = None) -> Iterator[RabbitMQ]:
    """A broker for as long as the block lasts. ``certificate`` puts one (and its key) into a folder, for TLS."""
    port, tls_port, distribution, names = free_port(), free_port(), free_port(), free_port()
    with folder("rmq", USER) as home:
        config = f"listeners.tcp.1 = 127.0.0.1:{port}\nloopback_users = none\n"
        if certificate is not None:
            chain, key = certificate(home)
            config += f"listeners.ssl.1 = 127.0.0.1:{tls_port}\nssl_options.verify = verify_none\n"
            config += f"ssl_options.certfile = {chain}\nssl_options.keyfile = {key}\n"
        (home / "rabbitmq.conf").write_text(config)
        (home / "enabled_plugins").write_text("[].\n")
        environment = {
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "ERL_EPMD_PORT": str(names),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"emperor{port}@localhost",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": f"{home}/mnesia",
            "RABBITMQ_LOG_BASE": f"{home}/log",
            "RABBITMQ_PID_FILE": f"{home}/pid",
            "RABBITMQ_CONFIG_FILE": f"{home}/rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/enabled_plugins",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +S 2:2 -kernel inet_dist_use_interface {127,0,0,1}",
        }
        broker = RabbitMQ(port, tls_port, home, environment)
        # Not there yet, Erlang would start an epmd as a daemon, and leave it behind.
        epmd = broker.run(["epmd", "-port", str(names), "-address", "127.0.0.1"], subprocess.DEVNULL)
        try:
            until(lambda: answers(names), "epmd", epmd)
            broker.start()
            yield broker
        finally:
            if hasattr(broker, "process"):
                broker.stop()
            end(epmd)
