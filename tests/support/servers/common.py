"""What all private servers need: a free port, a folder, a start that waits until it answers, and an end."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

START_LIMIT = 60.0

_FIRST = 20_000 + 2_000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
"""Workers that run tests side by side look for free ports in ranges of their own."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, out of the range from which the system gives ports to clients."""
    for port in range(_FIRST + os.getpid() % 1_500, _FIRST + 2_000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port
    raise RuntimeError("no free port")


_given: set[int] = set()


def until(ready: Callable[[], object], what: str, process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait until something holds. Raises RuntimeError where the process ended or it takes over a minute."""
    end = time.monotonic() + START_LIMIT
    while not ready():
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"{what}: the server ended with {process.returncode}")
        if time.monotonic() > end:
            raise RuntimeError(f"{what}: not within {START_LIMIT:g} s")
        time.sleep(0.01)


def answers(port: int) -> bool:
    """Whether something accepts connections on a port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def end(process: subprocess.Popen[bytes], number: int = signal.SIGTERM, patience: float = 20.0) -> None:
    """End a server that we started, also a frozen one; kill it where it does not go."""
    if process.poll() is None:
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def folder(name: str, user: str | None = None) -> Iterator[Path]:
    """A folder of its own, short enough for sockets in it, that belongs to ``user`` where we are root."""
    path = Path(tempfile.mkdtemp(prefix=f"et-{name}-"))
    path.chmod(0o755)
    if user is not None and os.geteuid() == 0:
        owner = pwd.getpwnam(user)
        os.chown(path, owner.pw_uid, owner.pw_gid)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
