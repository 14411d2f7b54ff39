"""``emperor-trio monitors``: the health of the running emperor's monitors, or which there are to be used."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from emperor_trio.cli.commands import installed_monitors
from emperor_trio.cli.exits import EXIT_FAILED, EXIT_OK, NoEmperor
from emperor_trio.cli.output import print_text
from emperor_trio.cli.remote.flags import Given
from emperor_trio.errors import UsageError

if TYPE_CHECKING:
    from emperor_trio.cli.remote.link import Link
    from emperor_trio.cli.remote.paint import Ink
    from emperor_trio.control.messages import Monitor


def run(given: Given) -> int:
    if given["--installed"]:
        if given.names or given["--json"]:
            raise UsageError("monitors: --installed is not for the monitors of an emperor, and takes nothing else")
        return installed_monitors()
    from emperor_trio.cli.remote.link import complain, converse  # here, because it imports Trio

    try:
        return converse(given, lambda link: _monitors(link, given))
    except NoEmperor as error:
        if given.names or given["--json"] or given["--control"] or os.environ.get("EMPEROR_TRIO_CONTROL"):
            raise  # an emperor was meant
        complain(f"{error}\nthese monitors are installed:")
        return installed_monitors()


async def _monitors(link: Link, given: Given) -> int:
    from emperor_trio.cli.remote.link import complain, ink_of
    from emperor_trio.cli.remote.plain import document, json_of
    from emperor_trio.cli.remote.select import matches, no_monitor, unmatched
    from emperor_trio.control.messages import Selection

    seen = await link.look(Selection(("",), exact=True))  # no vassal has this name: only the monitors are told
    names = [monitor.name for monitor in seen.monitors]
    missing = unmatched(given.names, names)
    for pattern in missing:
        complain(no_monitor(pattern, names))
    shown = [
        monitor
        for monitor in seen.monitors
        if not given.names or any(matches(monitor.name, pattern) for pattern in given.names)
    ]
    if given["--json"]:
        print_text(document({"at": seen.at, "monitors": [json_of(monitor) for monitor in shown]}))
    elif shown:
        print_text("\n".join(screen(shown, seen.at, ink_of(os.environ))))
    return EXIT_FAILED if missing or not all(monitor.healthy for monitor in shown) else EXIT_OK


def screen(monitors: Sequence[Monitor], now: float, ink: Ink) -> Iterator[str]:
    """One line each, the failing ones first."""
    from emperor_trio.cli.remote.paint import Cell, Column, lasting, safe, span, table

    columns = (
        Column("HEALTH"), Column("MONITOR", least=20), Column("VASSALS", right=True), Column("FOR", right=True),
        Column("ERROR", least=16),
    )  # fmt: skip
    rows: list[Sequence[Cell]] = []
    for monitor in sorted(monitors, key=lambda monitor: monitor.healthy):
        again = f"; next try in {lasting(monitor.next_try - now)}" if monitor.next_try > now else ""
        past = f"(over now) {safe(monitor.last_error)}" if monitor.last_error else ""
        rows.append((
            ("● works", "green") if monitor.healthy else ("✖ fails", "alarm"),
            (safe(monitor.name), ""),
            (f"{monitor.vassals:,}", ""),
            (span(now - monitor.since) if monitor.since else "", ""),
            (past, "dim") if monitor.healthy else (safe(monitor.error) + again, "alarm"),
        ))  # fmt: skip
    yield from table(columns, rows, ink)
