"""``python -m benchmarks.monitors``: how soon changes of each source are acted on, and what costs where none are.

Whole emperors are compared where uWSGI has the monitor; what a source costs is measured on our monitor alone.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.empire import Empire, Stuck
from benchmarks.figures import Run, summarize
from benchmarks.peers import OURS, UWSGI, EmperorPeer
from benchmarks.report import as_json, describe_machine, table
from benchmarks.scenarios import SETTLE, Figure, Sample
from benchmarks.sources import SOURCES, Source, pg_on_demand
from tests.support.vassal import build_vassal, vassal_config

CONFIG = "[uwsgi]\nmaster = true\nprocesses = 4\n" + "env = A=0123456789\n" * 20
"""About 400 bytes, for entries that are not run."""

WHOLE = 10
"""Vassals in a whole emperor whose reactions are measured."""

HARD_LIMIT = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

FREQUENCY = 3.0
"""Seconds between two polls (``--emperor-freq``). Changes come at any time between them."""

READ = Figure("from the start until all are known", "s")
SEEN = Figure("change to observation, the monitor alone", "ms")
STILL = Figure("idle CPU, the monitor alone", "%")
MEMORY = Figure("resident memory, the monitor alone", "MB")
WAITING = Figure("idle CPU of the emperor, all on demand", "%")
WAITING_MEMORY = Figure("resident memory of the emperor, all on demand", "MB")
CHANGED = Figure("change to the vassal's reload byte", "ms")


class Court(Empire):
    """An emperor over a source in place of a folder."""

    def __init__(
        self, peer: EmperorPeer, source: Source, size: int, binary: Path, descriptors: int | None = None
    ) -> None:
        self._source = source
        self._emperor = peer
        super().__init__(peer, size if source.remembers else 0, size, binary, descriptors)
        self._later = 0 if source.remembers else size

    def add(self, size: int) -> float:
        text = vassal_config({"report": self._vassals.path, "brief": True})
        names = [f"{number:05}.ini" for number in range(len(self.names), len(self.names) + size)]
        moment = time.time()
        if names:
            self._source.fill(names, text)
        self.names += names
        return moment

    def touch(self, name: str) -> float:
        moment = time.time()
        self._source.change(name)
        return moment

    def start(self) -> float:
        moment = super().start()
        if self._later:
            time.sleep(SETTLE)  # messages that come before the queue is bound are nobody's
            self.add(self._later)
        return moment

    def _words(self) -> list[str]:
        own = ("--emperor", self._source.monitor)
        return self._emperor.command_of(own if self.peer is OURS else self._source.theirs, self.place.binary)


class Watcher:
    """Our monitor of a source, alone in a process."""

    def __init__(self, monitor: str) -> None:
        self.started = time.time()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.alone", monitor], stdout=subprocess.PIPE, text=True
        )

    def wait(self, size: int, changed: str = "") -> float:
        """Wait until it knows so many vassals, and saw this one change; the moment of that."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            if said["seen"] >= size and (not changed or changed in said["changed"]):
                return float(said["at"])
        raise Stuck(f"the monitor ended with {self._process.wait()}")

    def cpu_time(self) -> float:
        return time.clock_gettime((~self._process.pid << 3) | 2)

    def resident(self) -> float:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))) * 1024 / 1e6

    def end(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.communicate(timeout=60)


@contextmanager
def watching(source: Source) -> Iterator[Watcher]:
    watcher = Watcher(source.monitor)
    try:
        yield watcher
    finally:
        watcher.end()


def measure_alone(source: Source, size: int, changes: int, idle: float) -> Sample:
    """Our monitor over ``size`` entries: until it knows them, what they cost while nothing happens, and changes."""
    names = [f"{number:05}.ini" for number in range(size)]
    if source.remembers:
        source.fill(names, CONFIG)
    with watching(source) as watcher:
        began = watcher.started
        if not source.remembers:
            watcher.wait(0)
            time.sleep(SETTLE)
            began = time.time()
            source.fill(names, CONFIG)
        read = watcher.wait(size) - began
        time.sleep(SETTLE)
        moment, used = time.monotonic(), watcher.cpu_time()
        time.sleep(idle)
        still = 100 * (watcher.cpu_time() - used) / (time.monotonic() - moment)
        seen = []
        for number in range(changes):
            time.sleep(random.uniform(0, FREQUENCY))
            name = names[number * 7 % size]
            before = time.time()
            source.change(name)
            seen.append(1000 * (watcher.wait(size, name) - before))
        return {READ: [read], SEEN: seen, STILL: [still], MEMORY: [watcher.resident()]}


def measure_whole(peer: EmperorPeer, source: Source, changes: int, binary: Path) -> Sample:
    """A whole emperor over a few vassals that are changed one after another."""
    with Court(peer, source, WHOLE, binary) as court:
        court.start()
        court.wait_ready()
        time.sleep(SETTLE)
        times = []
        for number in range(changes):
            time.sleep(random.uniform(0, FREQUENCY))
            name = court.names[number % WHOLE]
            changed = court.touch(name)
            times.append(1000 * (court.wait_reload(name, changed) - changed))
        court.stop()
        return {CHANGED: times}


def measure_waiting(peer: EmperorPeer, size: int, idle: float, binary: Path) -> Sample:
    """A whole emperor over rows of PostgreSQL that all wait for their first connection."""
    with (
        tempfile.TemporaryDirectory() as folder,
        pg_on_demand(Path(folder), size) as source,
        Court(peer, source, 0, binary, descriptors=HARD_LIMIT) as court,
    ):
        court.start()
        court.wait(lambda: len(os.listdir(folder)) >= size, "not all sockets are there", pause=0.1)
        time.sleep(SETTLE + FREQUENCY)
        sample = {WAITING: [court.measure_idle(idle)], WAITING_MEMORY: [court.resident()]}
        court.stop()
        return sample


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.monitors", description="Measure the monitors of servers.")
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--size", type=int, default=10_000, help="entries that don't change (10000)")
    parser.add_argument("--waiting", type=int, default=9000, help="rows on demand under whole emperors (9000)")
    parser.add_argument("--changes", type=int, default=20, help="changes that are measured, each way (20)")
    parser.add_argument("--idle", type=float, default=15.0, help="seconds in which nothing happens (15)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write there all that was measured, run by run")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    machine = describe_machine() | {peer.name: peer.version() for peer in (OURS, UWSGI)}
    print("\n".join(f"{name}: {value}" for name, value in machine.items()))
    runs: list[Run] = []
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        binary = build_vassal(Path(folder))
        for name in options.sources:
            print(f"{name} …", end=" ", file=sys.stderr, flush=True)
            try:
                runs += measure(name, options, binary)
            except Stuck as stuck:
                failed += 1
                print(f"failed: {stuck}", file=sys.stderr)
            else:
                print("done", file=sys.stderr)
    peers = [OURS.name, UWSGI.name]
    rows = list(summarize(runs, peers))
    print(table(rows, peers))
    if options.json is not None:
        asked = {"sources": options.sources, "size": options.size, "changes": options.changes, "idle": options.idle}
        options.json.write_text(json.dumps(as_json(machine, asked, runs, rows), indent=1) + "\n")
    return 1 if failed else 0


def measure(name: str, options: argparse.Namespace, binary: Path) -> Iterator[Run]:
    """Every run of one source, each over a server of its own."""
    with SOURCES[name]() as source:
        sample = measure_alone(source, options.size, options.changes, options.idle)
        yield Run(name, options.size, 0, OURS.name, sample)
    for peer in (OURS, UWSGI):
        with SOURCES[name]() as source:
            if source.configs and (peer is OURS or source.theirs):
                yield Run(name, WHOLE, 0, peer.name, measure_whole(peer, source, options.changes, binary))
    if name == "pg":
        for peer in (OURS, UWSGI):
            sample = measure_waiting(peer, options.waiting, options.idle, binary)
            yield Run("pg, on demand", options.waiting, 0, peer.name, sample)


if __name__ == "__main__":
    sys.exit(main())
