"""``emperor-trio reload``, ``restart``, ``stop``, ``start`` and ``forgive``: commanded, and waited for if asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from emperor_trio.cli.exits import EXIT_FAILED, EXIT_OK
from emperor_trio.cli.output import print_text
from emperor_trio.cli.remote.awaited import End, Wait
from emperor_trio.cli.remote.flags import Given
from emperor_trio.cli.remote.link import Link, chosen, converse, ink_of
from emperor_trio.cli.remote.paint import Ink, safe
from emperor_trio.cli.remote.plain import document, json_of
from emperor_trio.cli.remote.progress import Progress, progress
from emperor_trio.control.messages import Command, Key, Outcome, Selection, Snapshot, Subscribe, Vassal, Verdicts
from emperor_trio.errors import UsageError
from emperor_trio.model import Verb

SHOWN = 20
"""Of more vassals than this, those for which all went well are only counted."""


@dataclass(slots=True)
class Report:
    """What became of all of it. ``ends`` are there only for what was waited for; ``left`` was not even commanded."""

    outcomes: list[Outcome] = field(default_factory=list)
    ends: dict[Key, End] = field(default_factory=dict)
    left: Sequence[Vassal | Key] = ()

    def failed(self, outcome: Outcome) -> bool:
        end = self.ends.get(_key(outcome))
        return not outcome.ok or (end is not None and not end.reached)

    @property
    def well(self) -> bool:
        return not self.left and not any(map(self.failed, self.outcomes))


def run(given: Given) -> int:
    if not given.names and not given["--all"]:
        raise UsageError(f"{given.page.name}: name the vassals, or give --all\nusage: emperor-trio {given.page.usage}")
    if given.names and given["--all"]:
        raise UsageError(f"{given.page.name}: --all and names exclude each other")
    return converse(given, lambda link: _act(link, given), whole=False)


async def _act(link: Link, given: Given) -> int:
    verb = Verb(given.page.name)
    found, missing = await chosen(link, Selection(given.names, given["--monitor"]))
    targets = targets_of(verb, found, given.names)
    batch = given["--batch"] or len(targets) or 1
    waits = given["--wait"] or given["--batch"] is not None
    report = Report()
    with progress(len(targets), verb.value, shown=waits and not given["--json"]) as bar:
        for first in range(0, len(targets), batch):
            now = targets[first : first + batch]
            await _command(link, verb, now, report, bar, given["--within"] if waits else None)
            if given["--batch"] is not None and not report.well:
                report.left = targets[first + batch :]
                break
    if given["--json"]:
        print_text(_as_json(verb, report))
    elif targets or not missing:
        _show(verb, report, waits, ink_of(os.environ))
    return EXIT_OK if report.well and not missing else EXIT_FAILED


def targets_of(verb: Verb, found: Snapshot, names: Sequence[str]) -> list[Vassal | Key]:
    """Whom a command is for, by name. Zergs come and go with their vassals. A pattern for a reload or a restart does
    not mean those that are held stopped; who is held and away can still be started."""
    away: Sequence[Key] = found.absent if verb is Verb.START else ()
    renews = verb in (Verb.RELOAD, Verb.RESTART)
    meant = [row for row in found.vassals if not row.ordinal and not (renews and row.held and row.name not in names)]
    return [*sorted(meant, key=lambda row: (row.name, row.monitor)), *away]


async def _command(
    link: Link, verb: Verb, targets: Sequence[Vassal | Key], report: Report, bar: Progress, within: float | None
) -> None:
    """Command some, and wait for them where ``within`` says how long."""
    for monitor in dict.fromkeys(target.monitor for target in targets):
        names = tuple(target.name for target in targets if target.monitor == monitor)
        answer = await link.ask(Command(0, verb, Selection(names, monitor, exact=True)), Verdicts)
        report.outcomes += [outcome for outcome in answer.verdicts if not outcome.ordinal]
        if within is None:
            bar.advance(len(names))
            continue
        wait = Wait(verb, answer.verdicts, (target for target in targets if isinstance(target, Vassal)))
        bar.advance(len(names) - len(wait.pending))
        await _wait(link, wait, Selection(names, monitor, exact=True), bar, within)
        report.ends |= wait.ends


async def _wait(link: Link, wait: Wait, which: Selection, bar: Progress, within: float) -> None:
    if not wait.pending:
        return
    with trio.move_on_after(within) as limit:
        async with link.client.subscribe(Subscribe(0, which, events=False)) as messages:
            async for message in messages:
                before = len(wait.pending)
                wait.take(message)
                bar.advance(before - len(wait.pending))
                if not wait.pending:
                    return
    if limit.cancelled_caught:
        wait.give_up(f"not within {within:g} s")


def _show(verb: Verb, report: Report, waited: bool, ink: Ink) -> None:
    wrong = [outcome for outcome in report.outcomes if report.failed(outcome)]
    well = [outcome for outcome in report.outcomes if not report.failed(outcome)]
    if not report.outcomes:
        print_text(f"{verb.value}: there is no vassal")
    elif len(well) > SHOWN:
        print_text(f"{verb.value}: {len(well):,} vassals{' done' if waited else ', told so; --wait waits for it'}")
    else:
        for outcome in well:
            print_text(f"{safe(outcome.name)}: {safe(outcome.text)}{', done' if waited else ''}")
    for outcome in wrong:
        end = report.ends.get(_key(outcome))
        text = f"{outcome.text}, but {end.text}" if end is not None else outcome.text
        print(f"{safe(outcome.name)}: {safe(text)}", file=sys.stderr, flush=True)
    if report.left:
        names = ", ".join(safe(target.name) for target in report.left[:5])
        more = ", …" if len(report.left) > 5 else ""
        print(
            f"{verb.value}: stopped there; left alone: {names}{more} ({len(report.left)})", file=sys.stderr, flush=True
        )


def _as_json(verb: Verb, report: Report) -> str:
    """One document; see ``docs/cli.md``."""
    vassals = []
    for outcome in report.outcomes:
        end = report.ends.get(_key(outcome))
        reached = {"reached": end.reached if end else None, "why": end.text if end else ""}
        vassals.append(json_of(outcome) | reached)
    left = [{"monitor": target.monitor, "name": target.name} for target in report.left]
    return document({"verb": verb.value, "ok": report.well, "vassals": vassals, "left": left})


def _key(outcome: Outcome) -> Key:
    return Key(outcome.monitor, outcome.name, outcome.ordinal)
