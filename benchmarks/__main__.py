"""The command ``python -m benchmarks``: what is asked for, the order of the runs, and progress on the terminal."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.empire import Stuck
from benchmarks.figures import Run, summarize
from benchmarks.peers import PEERS, Peer
from benchmarks.report import as_json, describe_machine, table
from benchmarks.scenarios import SCENARIOS, Plan
from tests.support.vassal import build_vassal

EMPERORS = ("emperor-trio", "uwsgi", "C limit")
ALL = tuple(PEERS)

Agenda = dict[str, dict[int, Sequence[str]]]
"""By scenario and number of vassals: who is measured."""

AGENDA: Agenda = {
    "reign": {10: ALL, 1000: ALL, 9000: EMPERORS},
    "grow": {1000: EMPERORS},
    "revolt": {1000: ALL, 9000: EMPERORS},
    "renew": {1000: EMPERORS, 9000: EMPERORS},
    "beat": {1000: EMPERORS, 9000: EMPERORS},
    "ask": {1000: EMPERORS, 9000: EMPERORS},
    "throng": {10_000: EMPERORS},
}
"""What ``make bench`` does, in under fifteen minutes."""

FULL: Agenda = {
    scenario: {size: ALL if size <= 1000 else (*EMPERORS, "s6") for size in sizes}
    for scenario, sizes in {
        "reign": (10, 100, 1000, 4000, 9000),
        "grow": (1000, 4000),
        "revolt": (100, 1000, 4000, 9000),
        "renew": (100, 1000, 4000, 9000),
        "beat": (1000, 3000, 9000),
        "ask": (10, 100, 1000, 4000, 9000),
        "throng": (10_000,),
    }.items()
}

QUICK: Agenda = {scenario: {200: EMPERORS} for scenario in ("reign", "grow", "revolt", "renew", "ask")}


ASKED = ("agenda", "repeat", "changes", "idle", "descriptors", "realtime")
"""The options that are kept with what was measured."""


@dataclass(frozen=True, slots=True)
class Depth:
    """How much is measured; see the options of the same names."""

    agenda: Agenda
    repeat: int
    changes: int
    idle: float


DEPTHS = {
    "--quick": Depth(QUICK, 1, 3, 3.0),
    "": Depth(AGENDA, 1, 5, 8.0),
    "--full": Depth(FULL, 3, 20, 15.0),
}


@dataclass(frozen=True, slots=True)
class Turn:
    """One run that is to be done."""

    scenario: str
    size: int
    number: int
    peer: Peer


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description="Measure supervisors side by side.")
    depth = parser.add_mutually_exclusive_group()
    depth.add_argument("--quick", action="store_true", help="a look in two minutes: 200 vassals, the emperors alone")
    depth.add_argument("--full", action="store_true", help="all sizes, three runs of each: hours")
    parser.add_argument("--peers", nargs="+", choices=PEERS, help="the others are compared with the first")
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS)
    parser.add_argument("--sizes", nargs="+", type=int, help="numbers of vassals, whatever the scenario")
    parser.add_argument("--repeat", type=int, help="runs of each")
    parser.add_argument("--changes", type=int, help="changes in each run")
    parser.add_argument("--idle", type=float, help="seconds of idleness in each run")
    parser.add_argument("--descriptors", type=int, help="the soft limit of descriptors (that of this shell)")
    parser.add_argument("--realtime", action="store_true", help="go before whatever else this machine does (as root)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write there all that was measured, run by run")
    options = parser.parse_args(arguments)
    depth_ = DEPTHS["--quick" if options.quick else "--full" if options.full else ""]
    for name in ("repeat", "changes", "idle"):
        if getattr(options, name) is None:
            setattr(options, name, getattr(depth_, name))
    options.agenda = chosen(depth_.agenda, options.scenarios, options.sizes, options.peers)
    return options


def chosen(
    agenda: Agenda, scenarios: Sequence[str] | None, sizes: Sequence[int] | None, peers: Sequence[str] | None
) -> Agenda:
    """What is left of an agenda, or comes to it, by what was asked for."""
    found: Agenda = {}
    for scenario in scenarios or agenda:
        usual = agenda.get(scenario) or {1000: EMPERORS}
        widest = max(usual.values(), key=len)
        found[scenario] = {size: peers or usual.get(size, widest) for size in sizes or usual}
    return found


def turns(agenda: Agenda, repeat: int, missing: Collection[str] = ()) -> Iterator[Turn]:
    """All peers right after each other, the next time the other way round: what disturbs one disturbs all. Those that
    lack what the scenario needs, or are too small for it, are left out."""
    for number in range(repeat):
        for scenario, sizes in agenda.items():
            needed = SCENARIOS[scenario][1]
            for size, names in sizes.items():
                peers = [PEERS[name] for name in names if name not in missing]
                able = [peer for peer in peers if needed <= peer.skills and size <= peer.most]
                for peer in able if number % 2 == 0 else reversed(able):
                    yield Turn(scenario, size, number, peer)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    names = list(dict.fromkeys(name for sizes in options.agenda.values() for some in sizes.values() for name in some))
    missing = [name for name in names if not PEERS[name].installed]
    for name in missing:
        print(f"{name}: there is no {PEERS[name].program}: {PEERS[name].hint}", file=sys.stderr)
    if missing and options.peers:
        return 2
    names = [name for name in names if name not in missing]
    if options.realtime:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))  # inherited by the supervisors and their vassals
    machine = describe_machine() | {name: PEERS[name].version() for name in names}
    print("\n".join(f"{name}: {value}" for name, value in machine.items()))
    agenda = list(turns(options.agenda, options.repeat, missing))
    runs: list[Run] = []
    failed = 0
    asked = {
        name: getattr(options, name) for name in ("agenda", "descriptors", "realtime", "repeat", "changes", "idle")
    }
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # vassals run as somebody else
        plan = Plan(build_vassal(Path(folder)), options.changes, options.idle, options.descriptors)
        for number, turn in enumerate(agenda, 1):
            run = measure(turn, plan, f"{number}/{len(agenda)}")
            failed += run is None
            runs += [run] if run is not None else []
            if options.json is not None:  # each time: a long run that is broken off keeps what it has
                options.json.write_text(json.dumps(as_json(machine, asked, runs, list(summarize(runs, names)))) + "\n")
    print(table(list(summarize(runs, names)), names))
    return 1 if failed else 0


def measure(turn: Turn, plan: Plan, position: str) -> Run | None:
    """One run. Where it fails, that is told, and the others go on."""
    began = time.monotonic()
    print(f"{position} {turn.scenario} {turn.size:,} {turn.peer.name} …", end=" ", file=sys.stderr, flush=True)
    try:
        sample = SCENARIOS[turn.scenario][0](turn.peer, turn.size, plan)
    except Stuck as stuck:
        print(f"failed: {stuck}", file=sys.stderr)
        return None
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    return Run(turn.scenario, turn.size, turn.number, turn.peer.name, sample)


if __name__ == "__main__":
    sys.exit(main())
