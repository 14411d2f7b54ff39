"""``emperor-trio status``: the emperor, and every vassal in one line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from emperor_trio.cli.exits import EXIT_FAILED, EXIT_OK
from emperor_trio.cli.output import print_text, stdout
from emperor_trio.cli.remote import rows
from emperor_trio.cli.remote.flags import Given
from emperor_trio.cli.remote.link import Link, choose, converse, ink_of
from emperor_trio.cli.remote.paint import Ink, table
from emperor_trio.cli.remote.plain import document, json_of
from emperor_trio.control.messages import Greeting, Snapshot, State, Vassal

FRAME = 2
"""Lines that a terminal needs besides: the prompt before and after."""


def run(given: Given) -> int:
    return converse(given, lambda link: _status(link, given))


async def _status(link: Link, given: Given) -> int:
    found, missing = await choose(link, given)
    wanted = {State(name) for name in given["--state"] or ()}
    vassals = [vassal for vassal in found.vassals if not wanted or vassal.state in wanted]
    absent = found.absent if not wanted or State.STOPPED in wanted else ()
    found = replace(found, vassals=tuple(vassals), absent=absent)
    if given["--json"]:
        print_text(as_json(link.greeting, found, given["--sort"]))
    elif found.vassals or found.absent or not missing:
        lines = shutil.get_terminal_size().lines if stdout().isatty() and not given["--all"] else None
        print_text("\n".join(screen(link.greeting, found, given, ink_of(os.environ, wide=given["--wide"]), lines)))
    return EXIT_FAILED if missing else EXIT_OK


def screen(greeting: Greeting, found: Snapshot, given: Given, ink: Ink, height: int | None) -> Iterator[str]:
    """All lines; of the vassals, as many as fit where there is a ``height``."""
    now = found.at
    head = rows.summary(greeting, found.vassals, len(found.absent), now, ink)
    head += rows.complaints(found.monitors, now, ink)
    yield from head
    if not found.vassals and not found.absent:
        return
    yield ""
    by_use = given["--sort"] in ("cpu", "memory")
    used = rows.measure(found.vassals, greeting) if by_use else {}
    ordered = sorted(found.vassals, key=rows.order_of(given["--sort"], used, now))
    shown: Sequence[Vassal] = ordered
    if height is not None and len(ordered) + len(found.absent) + len(head) + 2 + FRAME > height:
        shown = ordered[: max(height - len(head) - 3 - FRAME, 5)]
    used = used if by_use else rows.measure(shown, greeting)
    names = rows.short_names({monitor.name for monitor in found.monitors} | {v.monitor for v in found.vassals})
    wide = given["--wide"]
    columns = rows.WIDE if wide else rows.COLUMNS
    cells = [rows.cells(vassal, used.get(vassal.pid), now, names, wide) for vassal in shown]
    if len(shown) == len(ordered):
        cells += [rows.absent_cells(key, names, wide) for key in found.absent]
    yield from table(columns, cells, ink)
    if len(shown) < len(ordered):
        yield ink(left_out([vassal.state for vassal in ordered[len(shown) :]], len(found.absent)), "dim")


def left_out(states: Collection[State], absent: int) -> str:
    """What to say of the rows that did not fit."""
    number = len(states) + absent
    alike = next(iter(set(states))) if len(set(states)) == 1 and not absent else None
    all_of_them = f", all {alike.value}" if alike else ""
    return f"… and {number:,} more{all_of_them}; --all shows them, or name some: 'emperor-trio status PATTERN'"


def as_json(greeting: Greeting, found: Snapshot, sort: str) -> str:
    """One document; see ``docs/cli.md``."""
    used = rows.measure(found.vassals, greeting)
    ordered = sorted(found.vassals, key=rows.order_of(sort, used, found.at))
    counts = {state.value: sum(vassal.state is state for vassal in found.vassals) for state in State}
    data = {
        "at": found.at,
        "emperor": json_of(greeting),
        "counts": counts,
        "monitors": [json_of(monitor) for monitor in found.monitors],
        "vassals": [json_of(vassal) | used_json(used.get(vassal.pid)) for vassal in ordered],
        "absent": [json_of(key) for key in found.absent],
    }
    return document(data)


def used_json(use: rows.Used | None) -> dict[str, object]:
    """``None`` for what can't be read."""
    if use is None:
        return {"cpu": None, "memory": None, "processes": None}
    return {"cpu": round(use.cpu, 4), "memory": use.memory, "processes": use.processes}
