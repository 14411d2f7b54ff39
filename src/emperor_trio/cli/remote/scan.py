"""``emperor-trio scan``: monitors look at their sources now."""

from __future__ import annotations

import os
import sys

from emperor_trio.cli.exits import EXIT_FAILED, EXIT_OK
from emperor_trio.cli.output import print_text
from emperor_trio.cli.remote.flags import Given
from emperor_trio.cli.remote.link import Link, complain, converse, ink_of
from emperor_trio.cli.remote.paint import safe
from emperor_trio.cli.remote.plain import document, json_of
from emperor_trio.cli.remote.select import no_monitor
from emperor_trio.control.messages import Done, Scan, Selection

NOBODY = Selection(("",), exact=True)
"""No vassal has this name: only the monitors are told."""


def run(given: Given) -> int:
    return converse(given, lambda link: _scan(link, given))


async def _scan(link: Link, given: Given) -> int:
    name = given["--monitor"]
    if name is not None and name not in link.greeting.monitors:
        complain(no_monitor(name, link.greeting.monitors))
        return EXIT_FAILED
    await link.ask(Scan(0, name), Done)
    seen = await link.look(NOBODY)
    monitors = [monitor for monitor in seen.monitors if name in (None, monitor.name)]
    well = all(monitor.healthy for monitor in monitors)
    if given["--json"]:
        print_text(document({"ok": well, "monitors": [json_of(monitor) for monitor in monitors]}))
        return EXIT_OK if well else EXIT_FAILED
    ink = ink_of(os.environ)
    for monitor in monitors:
        if monitor.healthy:
            print_text(f"{safe(monitor.name)}: {ink(f'{monitor.vassals:,}', 'bold')} vassals")
        else:
            print(f"{safe(monitor.name)}: {safe(monitor.error)}", file=sys.stderr, flush=True)
    return EXIT_OK if well else EXIT_FAILED
