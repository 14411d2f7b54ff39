"""``emperor-trio show NAME``: all about one vassal, in plain words."""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Iterator, Sequence

from emperor_trio.cli.exits import EXIT_FAILED, EXIT_OK
from emperor_trio.cli.output import print_text
from emperor_trio.cli.remote import rows
from emperor_trio.cli.remote.flags import Given
from emperor_trio.cli.remote.happened import event_line
from emperor_trio.cli.remote.link import Link, choose, converse, ink_of
from emperor_trio.cli.remote.paint import Ink, lasting, moment, safe, share, size
from emperor_trio.cli.remote.plain import document, json_of
from emperor_trio.cli.remote.status import used_json
from emperor_trio.cli.remote.words import SIGNS, advice, ending, meaning, restarts, soon, title, why
from emperor_trio.control.messages import Details, Event, Greeting, Show, State, Vassal
from emperor_trio.errors import ControlError
from emperor_trio.events import counted
from emperor_trio.outlets.text import printable

COLUMN = 14
"""Where the values begin."""

SAID = (State.WAITING, State.BLACKLISTED)
"""States of which all is said without the reason."""

EVENTS = 12
"""Events shown at most."""


def run(given: Given) -> int:
    return converse(given, lambda link: _show(link, given))


async def _show(link: Link, given: Given) -> int:
    found, missing = await choose(link, given)
    used = rows.measure(found.vassals, link.greeting)
    shown: list[Details] = []
    for vassal in sorted(found.vassals, key=lambda vassal: (vassal.name, vassal.ordinal, vassal.monitor)):
        try:
            shown.append(await link.ask(Show(0, vassal.key), Details))
        except ControlError as error:
            if type(error) is not ControlError:
                raise
            missing = True  # gone since we looked
            link.complain(str(error))
    if given["--json"]:
        data = [details_json(details, used.get(details.vassal.pid)) for details in shown]
        print_text(document({"at": found.at, "vassals": data, "absent": [json_of(key) for key in found.absent]}))
    else:
        ink = ink_of(os.environ)
        pages = [
            "\n".join(page(details, used.get(details.vassal.pid), link.greeting, found.at, ink)) for details in shown
        ]
        for key in found.absent:
            there = f"It is held stopped, and is not at its source: 'emperor-trio start {shlex.quote(title(key))}' lets"
            pages.append(f"{ink(title(key), 'bold')}  {ink('■ stopped', 'dim')}\n{there} it run when it is back.")
        if pages:
            print_text("\n\n".join(pages))
    return EXIT_FAILED if missing else EXIT_OK


def details_json(details: Details, use: rows.Used | None) -> dict[str, object]:
    """See ``docs/cli.md``."""
    return json_of(details) | {"vassal": json_of(details.vassal) | used_json(use)}


def page(details: Details, use: rows.Used | None, greeting: Greeting, now: float, ink: Ink) -> Iterator[str]:
    """All lines about one vassal."""
    vassal = details.vassal
    sign, style = SIGNS[vassal.state]
    reason = why(vassal, now)
    yield f"{ink(title(vassal), 'bold')}  {ink(f'{sign} {vassal.state.value}', style)}"
    sentence = meaning(vassal, now) + (f" Now: {reason}." if reason and vassal.state not in SAID else "")
    yield from _wrapped(sentence, ink)
    for hint in advice(vassal, now, greeting.logs):
        yield from _wrapped(f"→ {hint}", ink, "  ")
    for name, lines in _sections(details, use, greeting, now):
        if lines:
            yield ""
            yield ink(name, "bold")
            for label, value in lines:
                yield from _field(label, value, ink)
    if details.events:
        yield ""
        yield ink("Recent events", "bold")
        for event in details.events[-EVENTS:]:
            yield from ("  " + line for line in _lines_of(event, now, ink))


def _sections(
    details: Details, use: rows.Used | None, greeting: Greeting, now: float
) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    vassal = details.vassal
    yield "Process", list(_process(vassal, use, now))
    yield "History", list(_history(vassal, now))
    config = [("monitor", safe(vassal.monitor)), ("modified", _when(vassal.modified, now))]
    if vassal.revision < vassal.wanted:
        config.append(("revision", f"{vassal.revision}, and {vassal.wanted} is wanted"))
    config += [("on demand", safe(vassal.on_demand)), ("owner", vassal.owner)]
    command = " ".join(shlex.quote(word) if word.isprintable() else repr(word) for word in details.command)
    config += [("command", printable(command)), ("log", safe(details.log) or _log(greeting))]
    yield "Config", [(label, value) for label, value in config if value]
    yield "Attributes", [(printable(key), safe(value)) for key, value in sorted(details.attributes.items())]


def _process(vassal: Vassal, use: rows.Used | None, now: float) -> Iterator[tuple[str, str]]:
    if not vassal.pid:
        return
    yield "pid", str(vassal.pid)
    yield "up", f"{lasting(now - vassal.last_run)}, since {moment(vassal.last_run, now)}"
    answers = (
        "ready" if vassal.ready else "not ready yet",
        "accepting" if vassal.accepting else "",
    )
    yield "says", ", ".join(filter(None, (*answers, "loyal" if vassal.loyal else "")))
    if vassal.last_heartbeat:
        yield "heartbeat", f"{lasting(now - vassal.last_heartbeat)} ago"
    if use:
        yield (
            "uses",
            f"{share(use.cpu)} CPU, {size(use.memory)} memory, {counted(use.processes, 'process')}".replace(
                "processs", "processes"
            ),
        )


def _history(vassal: Vassal, now: float) -> Iterator[tuple[str, str]]:
    yield "state", f"for {lasting(now - vassal.since)}, since {moment(vassal.since, now)}" if vassal.since else ""
    if vassal.first_run:
        yield "first run", _when(vassal.first_run, now)
    yield "restarts", f"{restarts(vassal)}, of these {counted(vassal.deaths, 'death')} that nobody asked for"
    yield "reloads", str(vassal.reloads)
    if vassal.exit_code is not None:
        yield "last exit", ending(vassal.exit_code)
    if vassal.next_spawn:
        yield "next spawn", f"{soon(vassal.next_spawn - now)}, at {moment(vassal.next_spawn, now)}"


def _lines_of(event: Event, now: float, ink: Ink) -> list[str]:
    return event_line(event, now, Ink(ink.colour, ink.width and ink.width - 2), named=False).split("\n")


def _log(greeting: Greeting) -> str:
    if greeting.logs == "-":
        return "the emperor's own stdout, with the name before each line"
    return "" if greeting.logs else "where the emperor's goes; --vassal-logs DIR keeps one of each vassal"


def _when(at: float, now: float) -> str:
    return f"{moment(at, now)}, {lasting(now - at)} ago" if at else ""


def _field(label: str, value: str, ink: Ink) -> Sequence[str]:
    if not value:
        return []
    margin = " " * COLUMN
    lines = _wrap(value, ink.width and ink.width - COLUMN)
    head = f"  {label}".ljust(COLUMN - 1) + " "
    return [ink(head, "dim") + lines[0], *(margin + line for line in lines[1:])]


def _wrapped(text: str, ink: Ink, indent: str = "") -> list[str]:
    return [line if at == 0 else indent + line for at, line in enumerate(_wrap(text, ink.width and ink.width - 2))]


def _wrap(text: str, width: int | None) -> list[str]:
    if not width:
        return [text]
    return textwrap.wrap(text, max(width, 30), break_on_hyphens=False) or [""]
