"""One emperor under test, ours or uWSGI's, as a black box: seen through its statistics, reports and log.

Owns the emperor's process, its folder and everything that came out of it; knows nothing of what is inside. Waiting is
always for something that can be seen, and always bounded.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.vassal import Report, Setting, is_alive, vassal_config

PATIENCE = 30.0
"""Seconds after which what was waited for is taken to come never. Generous, since the machine may be busy."""

RELOAD_PAUSE = 0.6
"""Seconds, and some more, for which ours leaves a vassal that came up alone before it reloads it."""

TOKEN = "EMPEROR_UNDER_TEST"
"""The variable that marks every process that comes out of one emperor."""

Json = dict[str, Any]


class Kind(Enum):
    """Which emperor."""

    UWSGI = "uwsgi"
    OURS = "emperor-trio"


def command_of(kind: Kind) -> list[str]:
    match kind:
        case Kind.UWSGI:
            return [shutil.which("uwsgi-core") or "uwsgi"]
        case Kind.OURS:
            return [str(Path(sys.executable).parent / "emperor-trio")]


class EmperorUnderTest:
    """``folder`` holds ``vassals/`` (watched unless said otherwise), the log, the report and the statistics' socket.

    It is open to every user, short enough for the path of a socket, and goes with everything in it at the end.
    """

    def __init__(self, kind: Kind, vassal_binary: Path) -> None:
        self.kind = kind
        self.binary = vassal_binary
        self.folder = Path(tempfile.mkdtemp(prefix="emperor-"))
        self.folder.chmod(0o777)
        self.vassals = self.folder / "vassals"
        self.vassals.mkdir()
        self.vassals.chmod(0o755)
        self.report = Report(self.folder / "report")
        self.report.path.touch()
        self.report.path.chmod(0o666)
        self.log_path = self.folder / "log"
        self.stats_path = self.folder / "stats"
        self.control_path = self.folder / "control"
        self.token = uuid.uuid4().hex
        self.process: subprocess.Popen[bytes] | None = None
        self._tick = int(time.time()) - 1_000_000

    def __enter__(self) -> EmperorUnderTest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.processes(), lambda: f"can't be killed: {self.processes()}")
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- the emperor -------------------------------------------------------------------------------------------------

    def start(
        self,
        *options: str | Path,
        monitors: Sequence[str | Path] | None = None,
        binary: str | Path | None = "",
        frequency: float = 1,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        prefix: Sequence[str | Path] = (),
        terminal: int | None = None,
        wait: bool = True,
    ) -> None:
        """Start it, and wait until it serves statistics. ``binary`` is ``--binary-path``; else the test vassal."""
        arguments: list[str | Path] = [*prefix, *command_of(self.kind)]
        for monitor in [self.vassals] if monitors is None else monitors:
            arguments += ["--emperor", monitor]
        arguments += ["--emperor-freq", f"{frequency:g}", "--emperor-stats", self.stats_path]
        if self.kind is Kind.OURS and "--control" not in options:
            arguments += ["--control", self.control_path]
        if binary is not None:
            arguments += ["--binary-path", binary or self.binary]
        self.launch([*arguments, *options], environment, cwd, terminal)
        if wait:
            self.wait_started()

    def launch(
        self,
        arguments: Sequence[str | Path],
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        terminal: int | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a process as the emperor, with nothing of our own environment; on a ``terminal`` if one is given."""
        clean = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/", "LANG": "C.UTF-8"}
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                arguments if terminal is None else ["setsid", "--ctty", *arguments],
                env=clean | {TOKEN: self.token} | dict(environment or {}),
                cwd=cwd or self.folder,
                stdin=subprocess.DEVNULL if terminal is None else terminal,
                stdout=log,
                stderr=log,
                umask=0o022,
                start_new_session=terminal is None,
            )
        return self.process

    def wait_started(self) -> None:
        def answers() -> bool:
            try:
                self.stats()
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            return True

        self.wait(answers, "it serves no statistics")

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def send_signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def exit_code(self) -> int:
        """Wait for its end."""
        assert self.process is not None
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end\n{self.describe()}") from None

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal it and wait for its end: its exit code."""
        self.send_signal(number)
        return self.exit_code()

    # --- configs -----------------------------------------------------------------------------------------------------

    def add(self, name: str, folder: Path | None = None, text: str | None = None, **settings: Setting) -> Path:
        """Put a config in place in one step, with a time that is whole seconds later than all before."""
        path = (folder or self.vassals) / name
        draft = path.with_name(f".{path.name[:200]}.draft")
        draft.write_text(vassal_config({"report": self.report.path, **settings}) if text is None else text)
        os.utime(draft, (self.next_time(), self._tick))
        return draft.rename(path)

    def touch(self, name: str, folder: Path | None = None, *, follow: bool = True) -> int:
        """Give a config a time that is whole seconds later than all before; it is returned."""
        os.utime((folder or self.vassals) / name, (self.next_time(), self._tick), follow_symlinks=follow)
        return self._tick

    def remove(self, name: str, folder: Path | None = None) -> None:
        ((folder or self.vassals) / name).unlink()

    def next_time(self) -> int:
        self._tick += 10
        return self._tick

    # --- what can be seen --------------------------------------------------------------------------------------------

    def stats(self) -> Json:
        """The statistics now."""
        with _connect(self.stats_path) as connection:
            text = b"".join(iter(lambda: connection.recv(65536), b""))
        found: Json = json.loads(text)
        return found

    def vassal(self, name: str) -> Json | None:
        """One vassal's statistics, ``None`` where there is none of this name."""
        return next((vassal for vassal in self.stats()["vassals"] if vassal["id"] == name), None)

    def blacklisted(self, name: str) -> Json | None:
        return next((entry for entry in self.stats()["blacklist"] if entry["id"] == name), None)

    def log(self) -> str:
        """What is written by now. It comes after what the statistics tell; all of it is there after :meth:`stop`."""
        return self.log_path.read_text(errors="surrogateescape")

    def reported(self, event: str, name: str = "", **fields: object) -> list[Json]:
        """What vassals reported, oldest first; all where ``name`` is empty."""
        return self.report.of(event, **({"name": name} if name else {}), **fields)

    def orders(self, name: str) -> list[int]:
        """Every byte that vassals of this name got, oldest first."""
        return [entry["byte"] for entry in self.reported("order", name)]

    def processes(self) -> list[int]:
        """Every live process that came out of this emperor, itself included."""
        return processes_with(f"{TOKEN}={self.token}")

    # --- waiting -----------------------------------------------------------------------------------------------------

    def wait(self, holds: Callable[[], object], complaint: str = "did not come true") -> None:
        """Wait until it holds, for as long as the emperor lives."""

        def settled() -> bool:
            if self.process is not None and self.process.poll() is not None:
                assert holds(), f"the emperor ended with {self.process.returncode}: {complaint}\n{self.describe()}"
            return bool(holds())

        wait_until(settled, lambda: f"{complaint}\n{self.describe()}")

    def wait_reported(self, event: str, name: str = "", count: int = 1, **fields: object) -> Json:
        """Wait until vassals reported this ``count`` times: the ``count``-th report."""
        self.wait(lambda: len(self.reported(event, name, **fields)) >= count, f"no {count} times {event} of {name}")
        return self.reported(event, name, **fields)[count - 1]

    def wait_vassal(self, name: str, **fields: object) -> Json:
        """Wait until a vassal's statistics have these values; a function is asked, anything else is compared."""
        found: list[Json] = []

        def matches() -> bool:
            vassal = self.vassal(name)
            if vassal is None:
                return False
            found[:] = [vassal]
            return all(want(vassal[key]) if callable(want) else vassal[key] == want for key, want in fields.items())

        self.wait(matches, f"{name} never became {fields}, but {found}")
        return found[0]

    def wait_running(self, *names: str) -> None:
        """Wait until these are all there is, each of them ready and accepting."""
        self.wait(
            lambda: (
                sorted((v["id"], v["ready"], v["accepting"]) for v in self.stats()["vassals"])
                == sorted((name, 1, 1) for name in names)
            ),
            f"not running: {names}",
        )

    def wait_gone(self, name: str) -> None:
        self.wait(lambda: self.vassal(name) is None, f"{name} is still there")

    def wait_logged(self, text: str, count: int = 1) -> None:
        self.wait(lambda: self.log().count(text) >= count, f"{text!r} is not in the log")

    def pass_scans(self, owner: tuple[int, int] | None = None) -> None:
        """Let the emperor look at its source again: a vassal that comes now is seen after all that came before."""
        name = f"scan-{self.next_time()}.ini"
        path = self.add(name)
        if owner is not None:
            os.chown(path, *owner)
        self.wait_vassal(name, ready=1)
        self.remove(name)
        self.wait_gone(name)
        time.sleep(RELOAD_PAUSE)  # what is to be reloaded may be left alone until then

    def describe(self) -> str:
        """Everything a reader of a failed test wants to see."""
        try:
            stats = json.dumps(self.stats())
        except OSError as error:
            stats = str(error)
        reports = "\n".join(
            str({k: v for k, v in entry.items() if k not in ("env", "status", "namespaces", "text")})
            for entry in self.report.all()
        )
        return f"{self.kind.value}\n{stats}\n{reports[-6000:]}\n{self.log()[-6000:]}"


def wait_until(
    holds: Callable[[], object], complaint: Callable[[], str] = lambda: "", timeout: float = PATIENCE
) -> None:
    """Wait (blocking) for what other processes do: looked at often at first, ten times a second later."""
    deadline = time.monotonic() + timeout
    pause = 0.005
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(complaint() or f"did not come true within {timeout} s")
        time.sleep(pause)
        pause = min(pause * 1.3, 0.1)


def processes_with(variable: str) -> list[int]:
    """Every live process that was started with ``NAME=value`` in its environment."""
    wanted, found = variable.encode(), []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if wanted in Path(entry.path, "environ").read_bytes().split(b"\0") and is_alive(int(entry.name)):
                    found.append(int(entry.name))
    return found


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def connect(address: Path | int) -> socket.socket:
    """A connection to a path, or to a port of loopback, on which somebody listens now or will in a moment."""
    found: list[socket.socket] = []

    def connected() -> bool:
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            found.append(_connect(address))
        return bool(found)

    wait_until(connected, lambda: f"nobody listens on {address}")
    return found[0]


def _connect(address: Path | int) -> socket.socket:
    connection = socket.socket(socket.AF_INET if isinstance(address, int) else socket.AF_UNIX)
    # A full queue makes a socket with Python's timeout fail at once, and one without wait for ever.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(PATIENCE), 0))
    try:
        connection.connect(("127.0.0.1", address) if isinstance(address, int) else str(address))
    except BaseException:
        connection.close()
        raise
    connection.settimeout(PATIENCE)
    return connection


def ask(address: Path | int) -> int:
    """Connect to a test vassal on demand: the process id with which it answers."""
    with connect(address) as connection:
        connection.sendall(b"who are you?\n")
        return int(connection.recv(64))
