"""``python -m benchmarks.watched``: how fast an emperor reacts to a changed file while it is watched, and attacked.

Each crowd of clients does its worst at the control channel or the gateway; meanwhile one config after another is
changed, and the time until the vassal has its reload byte is taken. All in turns, several times, over one emperor.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import crowd
from benchmarks.empire import Empire
from benchmarks.peers import OURS
from tests.support.vassal import build_vassal

STORMY = 500
"""Vassals that are reloaded all the time in a storm: each is left alone for half a second after it came up."""

STILL = 50
"""Vassals that nobody but the measurement touches."""

RELOADS = 350
"""Files changed a second in a storm. Each makes three events: it changed, it is told, it is ready."""


@dataclass(frozen=True, slots=True)
class Doors:
    """Where the emperor under test can be reached."""

    control: str
    gateway: tuple[str, int]


Crowd = tuple[Callable[..., None], Callable[[Doors], crowd.Address], int]


@dataclass(frozen=True, slots=True)
class Weather:
    """What goes on while reactions are measured."""

    name: str
    storm: bool = False
    crowd: Crowd | None = None


def _control(doors: Doors) -> crowd.Address:
    return doors.control


def _gateway(doors: Doors) -> crowd.Address:
    return doors.gateway


WEATHERS = (
    Weather("nobody, nothing"),
    Weather("1,000 events/s", True),
    Weather("1,000 events/s, 200 subscribers", True, (crowd.readers, _control, 200)),
    Weather("1,000 events/s, 200 that read nothing", True, (crowd.deaf, _control, 200)),
    Weather("1,000 half-open connections, gateway", False, (crowd.half_open, _gateway, 1000)),
    Weather("1,000 half-open connections, socket", False, (crowd.half_open, _control, 1000)),
    Weather("20 messages without an end", False, (crowd.huge, _gateway, 20)),
    Weather("20 asking for all vassals, again and again", False, (crowd.askers, _gateway, 20)),
    Weather("20 fetching metrics, again and again", False, (crowd.scrapers, _gateway, 20)),
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Taken:
    """Of one weather: milliseconds from each change to the reload byte and to the watcher's screen; the emperor's share
    of a processor in percent."""

    reload: list[float]
    shown: list[float]
    busy: float


def reactions(empire: Empire, watcher: crowd.Watcher, count: int) -> Iterator[tuple[float, float]]:
    for number in range(count):
        name = empire.names[number % STILL]
        changed = empire.touch(name)
        told = empire.wait_reload(name, changed)
        yield 1000 * (told - changed), 1000 * (watcher.reloaded(name, changed) - changed)
        time.sleep(0.05)


def measure(weather: Weather, empire: Empire, doors: Doors, count: int) -> Taken:
    with ExitStack() as stack:
        if weather.storm:
            stack.enter_context(crowd.gathered(crowd.storm, empire.configs, empire.names[STILL:], RELOADS))
        if weather.crowd:
            who, where, many = weather.crowd
            stack.enter_context(crowd.gathered(who, where(doors), many))
        time.sleep(2)
        watcher = stack.enter_context(closing(crowd.Watcher(doors.control, empire.names[:STILL])))
        moment, used = time.monotonic(), empire.cpu_time()
        taken = list(reactions(empire, watcher, count))
        busy = 100 * (empire.cpu_time() - used) / (time.monotonic() - moment)
    time.sleep(1)
    return Taken([reload for reload, _ in taken], [shown for _, shown in taken], busy)


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.watched", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (%(default)s)")
    parser.add_argument("--changes", type=int, default=30, help="changes in each (%(default)s)")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="watched-")))
        doors = Doors(str(folder / "control"), ("127.0.0.1", free_port()))
        gateway = f"127.0.0.1:{doors.gateway[1]}"
        peer = replace(OURS, options=("--control", doors.control, "--gateway", gateway))
        size = STILL + STORMY
        empire = stack.enter_context(Empire(peer, size, size, build_vassal(folder), descriptors=16_384))
        empire.start()
        empire.wait_ready()
        results: dict[Weather, list[Taken]] = {weather: [] for weather in WEATHERS}
        print(f"{f'{size} vassals':44} {'reload byte':>24}   {'shown':>24} {'CPU':>7} {'memory':>8}")
        for number in range(options.rounds):
            for weather in WEATHERS:
                results[weather].append(measure(weather, empire, doors, options.changes))
                show(f"{number + 1}: {weather.name}", results[weather][-1:], empire)
        print("\nall rounds")
        for weather, measured in results.items():
            show(weather.name, measured, empire)


def show(name: str, measured: list[Taken], empire: Empire) -> None:
    """Median, 95 % and the worst of both, in milliseconds."""
    both = [
        sorted(value for taken in measured for value in taken.reload),
        sorted(value for taken in measured for value in taken.shown),
    ]
    columns = [
        f"{statistics.median(some):6.1f} {some[min(len(some) - 1, int(len(some) * 0.95))]:6.1f} {some[-1]:6.1f} ms"
        for some in both
    ]
    busy = statistics.median(taken.busy for taken in measured)
    print(f"{name:44} {columns[0]:>24}   {columns[1]:>24} {busy:5.0f} % {empire.resident():5.0f} MB", flush=True)


if __name__ == "__main__":
    main()
