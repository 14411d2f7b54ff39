"""A small emperor of its own, for tests that kill it: spawns vassals and prints one JSON line about each.

Usage: ``python -m tests.processes.empire FOLDER COUNT POLICY``, with the policy's fields as JSON; a COUNT of 0 spawns
for ever. The vassals ignore everything but SIGKILL.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import trio

from emperor_trio.model import VassalId
from emperor_trio.ports import Process
from emperor_trio.processes import LaunchPolicy, SystemSpawner
from tests.processes.support import ALICE, Court, Ear
from tests.support.vassal import Report


async def reign(spawner: SystemSpawner, folder: Path, count: int) -> None:
    court = Court(spawner, folder, Report(folder / "report.jsonl"))
    spec = court.spec(owner=ALICE, ignore_eof=True, ignore_signals=True, ignore_stop=True)
    processes: list[Process] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(spawner.run)
        while count == 0 or len(processes) < count:
            processes.append(spawner.spawn(VassalId("m", "one.ini"), spec, 0, None, Ear()))
            sys.stdout.write(f"{processes[-1].pid}\n")
            sys.stdout.flush()
            await trio.lowlevel.checkpoint()
            if count == 0 and len(processes) == 30:
                for process in processes:
                    process.kill()
                processes.clear()


def main() -> None:
    folder, count, policy = sys.argv[1:]
    trio.run(reign, SystemSpawner(LaunchPolicy(**json.loads(policy)), reap="sigchld"), Path(folder), int(count))


if __name__ == "__main__":
    main()
