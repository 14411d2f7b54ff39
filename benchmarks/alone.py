"""One monitor without an emperor: ``python -m benchmarks.alone MONITOR``, for what a source costs by itself.

Says on stdout, a JSON line each: ``{"at": seconds since the epoch, "seen": number of vassals, "changed": [names]}``,
after every observation, with at most ten names. Ends with SIGTERM.
"""

from __future__ import annotations

import json
import signal
import sys
import time

import trio

from emperor_trio.events import Event
from emperor_trio.model import Destroy, Observation, Snapshot, Touch
from emperor_trio.monitors import find_monitor
from emperor_trio.ports import MonitorContext


class Silence:
    """A doorbell that nobody rings."""

    async def wait(self) -> None:
        await trio.sleep_forever()


async def watch(text: str) -> None:
    found = find_monitor(text)
    monitor = found.factory(MonitorContext(text, found.argument, complain, Silence()))
    versions: dict[str, int] = {}

    async def emit(seen: Observation) -> None:
        at = time.time()
        changed = []
        match seen:
            case Snapshot(specs):
                changed = [spec.name for spec in specs if versions.get(spec.name) != spec.version]
                versions.clear()
                versions.update((spec.name, spec.version) for spec in specs)
            case Touch(spec):
                changed = [spec.name]
                versions[spec.name] = spec.version
            case Destroy(name):
                versions.pop(name, None)
        print(json.dumps({"at": at, "seen": len(versions), "changed": changed[:10]}), flush=True)
        await trio.lowlevel.checkpoint()

    with trio.open_signal_receiver(signal.SIGTERM) as told:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(monitor.run, emit)
            async for _ in told:
                nursery.cancel_scope.cancel()
                return


def complain(event: Event) -> None:
    print(event.text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    trio.run(watch, sys.argv[1])
