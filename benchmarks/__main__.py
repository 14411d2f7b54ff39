"""The command ``python -m benchmarks``: what is asked for, the order of the runs, and progress on the terminal."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.empire import Stuck
from benchmarks.figures import Run, summarize
from benchmarks.peers import OURS, PEERS, UWSGI, Peer
from benchmarks.report import as_json, describe_machine, table
from benchmarks.scenarios import SCENARIOS, Plan
from tests.support.vassal import build_vassal

FULL = {"sizes": [10, 1000, 4000], "repeat": 3, "changes": 10, "idle": 15.0}
QUICK = {"sizes": [10, 200], "repeat": 1, "changes": 3, "idle": 4.0}


@dataclass(frozen=True, slots=True)
class Turn:
    """One run that is to be done."""

    scenario: str
    size: int
    number: int
    peer: Peer


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description="Measure emperors side by side.")
    parser.add_argument("--quick", action="store_true", help="a look in two minutes: fewer vassals, one run of each")
    parser.add_argument(
        "--peers",
        nargs="+",
        choices=PEERS,
        default=[OURS.name, UWSGI.name],
        help="the others are compared with the first",
    )
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--sizes", nargs="+", type=int, help="numbers of vassals (10 1000 4000)")
    parser.add_argument("--repeat", type=int, help="runs of each (3)")
    parser.add_argument("--changes", type=int, help="file changes in each run (10)")
    parser.add_argument("--idle", type=float, help="seconds of idleness in each run (15)")
    parser.add_argument("--descriptors", type=int, help="the emperors' soft limit of descriptors (that of this shell)")
    parser.add_argument("--realtime", action="store_true", help="go before whatever else this machine does (as root)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write there all that was measured, run by run")
    options = parser.parse_args(arguments)
    for name, default in (QUICK if options.quick else FULL).items():
        if getattr(options, name) is None:
            setattr(options, name, default)
    return options


def turns(options: argparse.Namespace, peers: Sequence[Peer]) -> Iterator[Turn]:
    """All peers right after each other, the next time the other way round: what disturbs one disturbs all."""
    for number in range(options.repeat):
        for scenario in options.scenarios:
            for size in options.sizes:
                for peer in peers if number % 2 == 0 else reversed(peers):
                    yield Turn(scenario, size, number, peer)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    peers = [PEERS[name] for name in options.peers]
    for peer in peers:
        if not peer.installed:
            print(f"{peer.name}: there is no program {peer.program}", file=sys.stderr)
            return 2
    if options.realtime:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))  # inherited by the emperors and their vassals
    machine = describe_machine() | {peer.name: peer.version() for peer in peers}
    print("\n".join(f"{name}: {value}" for name, value in machine.items()))
    agenda = list(turns(options, peers))
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(build_vassal(Path(folder)), options.changes, options.idle, options.descriptors)
        measured = [measure(turn, plan, f"{number}/{len(agenda)}") for number, turn in enumerate(agenda, 1)]
    runs = [run for run in measured if run is not None]
    rows = list(summarize(runs, options.peers))
    print(table(rows, options.peers))
    if options.json is not None:
        asked = {name: getattr(options, name) for name in ("peers", "scenarios", "descriptors", "realtime", *FULL)}
        options.json.write_text(json.dumps(as_json(machine, asked, runs, rows), indent=1) + "\n")
    return 0 if len(runs) == len(agenda) else 1


def measure(turn: Turn, plan: Plan, position: str) -> Run | None:
    """One run. Where it fails, that is told, and the others go on."""
    began = time.monotonic()
    print(f"{position} {turn.scenario} {turn.size:,} {turn.peer.name} …", end=" ", file=sys.stderr, flush=True)
    try:
        sample = SCENARIOS[turn.scenario](turn.peer, turn.size, plan)
    except Stuck as stuck:
        print(f"failed: {stuck}", file=sys.stderr)
        return None
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    return Run(turn.scenario, turn.size, turn.number, turn.peer.name, sample)


if __name__ == "__main__":
    sys.exit(main())
