"""One supervisor that is measured: its vassals, its processes, and what the vassals report.

Owns what it started, by process id, and leaves nothing behind. What is measured, and when, is for
:mod:`benchmarks.scenarios`. Moments are seconds since the epoch: one clock for the vassals and for us.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from benchmarks.peers import Peer, Place
from tests.support.vassal import Setting, is_alive, vassal_config

PATIENCE = 300.0
"""Seconds after which what was waited for is taken to come never."""

SPARE_DESCRIPTORS = 1024
"""What an emperor may need beside two descriptors a vassal."""

NOBODY = 65534
"""The user whom vassals run as, where we are root."""


class Stuck(Exception):
    """What was waited for did not come; the text says what, and how the emperor's log ends."""


@dataclass
class Seen:
    """What one vassal has reported: the moments (seconds since the epoch) of its byte 1, and its pid."""

    first: float
    """Its first byte 1, of all its processes."""
    pid: int
    up: float
    """The newest byte 1."""
    started: float
    """The first byte 1 of the process that it has now."""
    told: float = 0.0
    """When it was told to reload for the last time."""


@dataclass
class Vassals:
    """What all have reported so far: read again and again, each line once."""

    path: Path
    seen: dict[str, Seen] = field(default_factory=dict)
    pids: set[int] = field(default_factory=set)
    """Of every process that there ever was."""
    _position: int = 0

    def __post_init__(self) -> None:
        self.path.touch()
        self.path.chmod(0o666)

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
                seen = self.seen.setdefault(_plain(name), Seen(at, pid, at, at))
                if seen.pid != pid:
                    seen.pid, seen.started = pid, at
                seen.up = at
            case {"event": "order", "byte": 1, "name": str(name), "at": float(at)}:
                if _plain(name) in self.seen:
                    self.seen[_plain(name)].told = at


def _plain(name: str) -> str:
    """The config's name, from whatever words it was started with."""
    return name.rpartition("/")[2]


class Empire:
    """``size`` configs that are there before the start; more may come. A context manager: at its end all is gone.

    ``descriptors`` is the soft limit that the supervisor is started with (``None``: ours, or more if ``most`` vassals
    at once need more). ``settings`` are what vassals do, in the words of ``tests/support/vassal.c``. Where we are root,
    vassals run as nobody.
    """

    def __init__(
        self,
        peer: Peer,
        size: int,
        most: int,
        binary: Path,
        descriptors: int | None = None,
        **settings: Setting,
    ) -> None:
        self.peer = peer
        self.names: list[str] = []
        self._descriptors = descriptors or max(
            2 * most + SPARE_DESCRIPTORS, resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        )
        self._folder = Path(tempfile.mkdtemp(prefix="benchmark-"))
        self._folder.chmod(0o755)
        self.configs = self._folder / "vassals"
        self.configs.mkdir()
        self._log = self._folder / "log"
        self._vassals = Vassals(self._folder / "report")
        self._text = vassal_config({"report": self._vassals.path, "brief": True, **settings})
        self._tick = int(time.time()) - 1_000_000
        self._process: subprocess.Popen[bytes] | None = None
        self.add(size)
        owner = NOBODY if os.geteuid() == 0 else None
        self.place = Place(self._folder, self.configs, binary, tuple(self.names), owner)

    def __enter__(self) -> Empire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            for pid in supervisors_of(self._process.pid):
                _kill(pid)
            self._process.kill()
            self._process.wait()
        self._vassals.update()
        for pid in filter(is_alive, self._vassals.pids):
            _kill(pid)  # of those without an emperor: its vassals leave of themselves
        self._wait_gone(self._vassals.pids)
        shutil.rmtree(self._folder)

    # --- the supervisor ----------------------------------------------------------------------------------------------

    def start(self) -> float:
        """Start it; the moment before."""
        self.peer.prepare(self.place)
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
        """End it by its signal; seconds until it has ended, and all that it had started."""
        self._vassals.update()
        others = {*self._vassals.pids, *supervisors_of(self._running.pid)} - {self._running.pid}
        moment = time.monotonic()
        self._running.send_signal(self.peer.stop)
        try:
            self._running.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise self._stuck("it does not end") from None
        self._wait_gone(others)
        return time.monotonic() - moment

    def signal(self, number: signal.Signals) -> float:
        """The moment before."""
        moment = time.time()
        self._running.send_signal(number)
        return moment

    def cpu_time(self) -> float:
        """Seconds of CPU that all supervising processes, with all their threads, have used up to now."""
        return sum(map(_cpu_clock, supervisors_of(self._running.pid)))

    def measure_idle(self, seconds: float) -> float:
        """Percent of one CPU that it uses in that time."""
        pids = supervisors_of(self._running.pid)
        moment, used = time.monotonic(), sum(map(_cpu_clock, pids))
        time.sleep(seconds)
        return 100 * (sum(map(_cpu_clock, pids)) - used) / (time.monotonic() - moment)

    def resident(self) -> float:
        """Megabytes of memory that all supervising processes have now; what several share is counted once."""
        return sum(map(_share_of_memory, supervisors_of(self._running.pid))) * 1024 / 1e6

    def read_statistics(self) -> float:
        """Milliseconds until all of them were read; they are one JSON object with an entry for each vassal."""
        moment, text = time.monotonic(), b""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(str(self.place.statistics))
            while part := client.recv(1 << 20):
                text += part
        taken = 1000 * (time.monotonic() - moment)
        if len(json.loads(text)["vassals"]) != len(self.names):
            raise self._stuck("its statistics are not about all vassals")
        return taken

    # --- vassals -----------------------------------------------------------------------------------------------------

    def add(self, size: int) -> float:
        """Put more configs into the folder, each by renaming; the moment before the first."""
        names = [f"{number:05}.ini" for number in range(len(self.names), len(self.names) + size)]
        drafts = Path(tempfile.mkdtemp(dir=self._folder))
        for name in names:
            (drafts / name).write_text(self._text)
            os.utime(drafts / name, (self._tick, self._tick))
            if os.geteuid() == 0:
                os.chown(drafts / name, NOBODY, NOBODY)
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

    def kill_all(self) -> float:
        """SIGKILL for every vassal; the moment before the first."""
        self._vassals.update()
        moment = time.time()
        for seen in self._vassals.seen.values():
            _kill(seen.pid)
        return moment

    def all_ready(self) -> bool:
        """Whether every vassal has said, by now, that it is spawned."""
        self._vassals.update()
        return len(self._vassals.seen) >= len(self.names)

    def ready(self) -> int:
        """How many have said so."""
        self._vassals.update()
        return len(self._vassals.seen)

    def alive(self) -> int:
        """How many have a living process."""
        self._vassals.update()
        return sum(is_alive(seen.pid) for seen in self._vassals.seen.values())

    def wait_ready(self) -> tuple[float, float]:
        """Wait for all vassals; the moments at which the first and the last one said for the first time that it is
        spawned."""
        self.wait(self.all_ready, "not all vassals are ready", pause=0.01)
        firsts = [seen.first for seen in self._vassals.seen.values()]
        return min(firsts), max(firsts)

    def wait_added(self, name: str) -> float:
        """Wait for one; the moment at which it said for the first time that it is spawned."""
        self.wait(lambda: self.all_ready() or name in self._vassals.seen, f"{name} is not ready", pause=0.002)
        return self._vassals.seen[name].first

    def wait_replaced(self, since: float) -> float:
        """Wait until every vassal has a process that began after that moment; when the last one was spawned."""
        return self._wait_all(lambda seen: seen.started, since, "not all vassals are started again")

    def wait_renewed(self, since: float) -> float:
        """Wait until every vassal was told to reload after that moment and is up again; when the last one was."""
        self._wait_all(lambda seen: seen.told, since, "not all vassals are told to reload")
        return self._wait_all(lambda seen: seen.up, since, "not all vassals are up again")

    def wait_reload(self, name: str, since: float) -> float:
        """Wait until a vassal has been told to reload; the moment of that."""

        def told() -> bool:
            self._vassals.update()
            return self._vassals.seen[name].told >= since

        self.wait(told, f"{name} is not reloaded", pause=0.002)
        return self._vassals.seen[name].told

    def _wait_all(self, moment: Callable[[Seen], float], since: float, complaint: str) -> float:
        def done() -> bool:
            self._vassals.update()
            return all(moment(seen) >= since for seen in self._vassals.seen.values())

        self.wait(done, complaint, pause=0.01)
        return max(moment(seen) for seen in self._vassals.seen.values())

    def _words(self) -> list[str]:
        """The command that starts the supervisor."""
        return self.peer.command(self.place)

    # --- small change ------------------------------------------------------------------------------------------------

    def wait(self, holds: Callable[[], bool], what: str, pause: float) -> None:
        """Wait until it holds, for as long as the supervisor lives. Raises :class:`Stuck`."""
        deadline = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > deadline or self._running.poll() is not None:
                raise self._stuck(what)
            time.sleep(pause)

    def lives(self) -> bool:
        return self._running.poll() is None

    def _limit_descriptors(self) -> None:
        """In the child."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(self._descriptors, hard), hard))

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise Stuck("the emperor is not started")
        return self._process

    def _wait_gone(self, pids: Iterable[int]) -> None:
        left, deadline = list(pids), time.monotonic() + PATIENCE
        while left := [pid for pid in left if is_alive(pid)]:
            if time.monotonic() > deadline:
                raise self._stuck(f"{len(left)} processes do not end")
            time.sleep(0.01)

    def _stuck(self, what: str) -> Stuck:
        return Stuck(f"{self.peer.name}: {what}\n{self._log.read_text(errors='replace')[-2000:]}")


# --- processes -------------------------------------------------------------------------------------------------------


def supervisors_of(pid: int) -> list[int]:
    """A process and all that came of it, but for vassals and what is on its way to become one."""
    children: dict[int, list[int]] = {}
    names: dict[int, str] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                head, _, rest = Path(entry.path, "stat").read_text().rpartition(")")
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(int(rest.split()[1]), []).append(int(entry.name))
            names[int(entry.name)] = head.partition("(")[2]
    found = [pid] if pid in names else []
    for one in found:
        found += [child for child in children.get(one, ()) if names[child] != "vassal"]
    return found


def _cpu_clock(pid: int) -> float:
    """Seconds that it has used. The number of another process' CPU clock is made as clock_getcpuclockid(3) does it; it
    counts nanoseconds."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0  # it has ended


def _share_of_memory(pid: int) -> int:
    """Kilobytes: its own, and its part of what it shares."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
