"""One emperor that is measured: its folder of vassals, its process, and what the vassals report.

Owns what it started, by process id, and leaves nothing behind. What is measured, and when, is for
:mod:`benchmarks.scenarios`. Moments are seconds since the epoch: one clock for the vassals and for us.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from benchmarks.peers import Peer
from tests.support.vassal import is_alive, vassal_config

PATIENCE = 300.0
"""Seconds after which what was waited for is taken to come never."""

SPARE_DESCRIPTORS = 1024
"""What an emperor may need beside two descriptors a vassal."""


class Stuck(Exception):
    """What was waited for did not come; the text says what, and how the emperor's log ends."""


class Vassals:
    """What the vassals have reported so far: read again and again, each line once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pids: set[int] = set()
        self.ready: dict[str, float] = {}
        """When each vassal said for the first time that it is spawned."""
        self.reloaded: dict[str, float] = {}
        """When each vassal was told to reload for the last time."""
        self._position = 0
        path.touch()

    def update(self) -> None:
        with self.path.open("rb") as file:
            file.seek(self._position)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._position += len(line)
                self._take(json.loads(line))

    def _take(self, entry: dict[str, object]) -> None:
        match entry:
            case {"event": "sent", "byte": 1, "name": str(name), "at": float(at), "pid": int(pid)}:
                self.pids.add(pid)
                self.ready.setdefault(name.removeprefix("emperor://"), at)
            case {"event": "order", "byte": 1, "name": str(name), "at": float(at)}:
                self.reloaded[name.removeprefix("emperor://")] = at


class Empire:
    """``size`` configs that are there before the start; more may come. A context manager: at its end all is gone.

    ``descriptors`` is the soft limit that the emperor is started with (``None``: ours, or more if ``most`` vassals at
    once need more).
    """

    def __init__(self, peer: Peer, size: int, most: int, binary: Path, descriptors: int | None = None) -> None:
        self.peer = peer
        self.names: list[str] = []
        self._descriptors = descriptors or max(
            2 * most + SPARE_DESCRIPTORS, resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        )
        self._binary = binary
        self._folder = Path(tempfile.mkdtemp(prefix="benchmark-"))
        self.configs = self._folder / "vassals"
        self.configs.mkdir()
        self._log = self._folder / "log"
        self._vassals = Vassals(self._folder / "report")
        self._tick = int(time.time()) - 1_000_000
        self._process: subprocess.Popen[bytes] | None = None
        self.add(size)

    def __enter__(self) -> Empire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._vassals.update()
        deadline = time.monotonic() + PATIENCE
        while any(map(is_alive, self._vassals.pids)) and time.monotonic() < deadline:
            time.sleep(0.05)  # they leave of themselves, with the emperor's end of their pipe
        shutil.rmtree(self._folder)

    # --- the emperor -------------------------------------------------------------------------------------------------

    def start(self) -> float:
        """Start the emperor; the moment before."""
        with self._log.open("wb") as log:
            moment = time.time()
            self._process = subprocess.Popen(
                self._words(),
                cwd=self._folder,
                env={"PATH": os.environ["PATH"], "HOME": "/", "LANG": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=self._limit_descriptors,
            )
        return moment

    def stop(self) -> float:
        """End it with SIGTERM; seconds until it has ended, its vassals before it."""
        moment = time.monotonic()
        self._running.send_signal(signal.SIGTERM)
        try:
            self._running.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise self._stuck("it does not end") from None
        return time.monotonic() - moment

    def cpu_time(self) -> float:
        """Seconds of CPU that the emperor's own process, with all its threads, has used up to now."""
        # The number of another process' CPU clock, as clock_getcpuclockid(3) makes it. It counts nanoseconds.
        return time.clock_gettime((~self._running.pid << 3) | 2)

    def measure_idle(self, seconds: float) -> float:
        """Percent of one CPU that it uses in that time."""
        moment, used = time.monotonic(), self.cpu_time()
        time.sleep(seconds)
        return 100 * (self.cpu_time() - used) / (time.monotonic() - moment)

    def resident(self) -> float:
        """Megabytes of memory that the emperor's own process has now."""
        status = Path(f"/proc/{self._running.pid}/status").read_text()
        kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(kilobytes) * 1024 / 1e6

    # --- vassals -----------------------------------------------------------------------------------------------------

    def add(self, size: int) -> float:
        """Put more configs into the folder, each by renaming; the moment before the first."""
        text = vassal_config({"report": self._vassals.path, "brief": True})
        names = [f"{number:05}.ini" for number in range(len(self.names), len(self.names) + size)]
        drafts = Path(tempfile.mkdtemp(dir=self._folder))
        for name in names:
            (drafts / name).write_text(text)
            os.utime(drafts / name, (self._tick, self._tick))
        moment = time.time()
        for name in names:
            (drafts / name).rename(self.configs / name)
        self.names += names
        return moment

    def touch(self, name: str) -> float:
        """Give a config a time that is whole seconds later (uWSGI sees no other change); the moment before."""
        self._tick += 10
        moment = time.time()
        os.utime(self.configs / name, (self._tick, self._tick))
        return moment

    def all_ready(self) -> bool:
        """Whether every vassal has said, by now, that it is spawned."""
        self._vassals.update()
        return len(self._vassals.ready) >= len(self.names)

    def wait_ready(self) -> float:
        """Wait for all vassals; the moment at which the last one said that it is spawned."""
        self.wait(self.all_ready, "not all vassals are ready", pause=0.01)
        return max(self._vassals.ready.values())

    def wait_reload(self, name: str, since: float) -> float:
        """Wait until a vassal has been told to reload; the moment of that."""

        def told() -> bool:
            self._vassals.update()
            return self._vassals.reloaded.get(name, 0.0) >= since

        self.wait(told, f"{name} is not reloaded", pause=0.002)
        return self._vassals.reloaded[name]

    def _words(self) -> list[str]:
        """The command that starts the emperor."""
        return self.peer.command(self.configs, self._binary)

    # --- small change ------------------------------------------------------------------------------------------------

    def _limit_descriptors(self) -> None:
        """In the child."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(self._descriptors, hard), hard))

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise Stuck("the emperor is not started")
        return self._process

    def wait(self, holds: Callable[[], bool], what: str, pause: float) -> None:
        """Wait until it holds, for as long as the emperor lives. Raises :class:`Stuck`."""
        deadline = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > deadline or self._running.poll() is not None:
                raise self._stuck(what)
            time.sleep(pause)

    def _stuck(self, what: str) -> Stuck:
        return Stuck(f"{self.peer.name}: {what}\n{self._log.read_text(errors='replace')[-2000:]}")
