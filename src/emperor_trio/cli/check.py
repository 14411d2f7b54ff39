"""``emperor-trio check``: validates vassals' configs, and starts nothing."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from emperor_trio.checking import Checker, Finding, Level
from emperor_trio.cli.arguments import Argument, parse_arguments
from emperor_trio.cli.exits import EXIT_FAILED, EXIT_OK
from emperor_trio.cli.foreign import uwsgi_options
from emperor_trio.cli.help import width_and_colour
from emperor_trio.cli.output import print_text, stdout
from emperor_trio.cli.remote.flags import Flag, Page, page_text, read_words
from emperor_trio.cli.remote.pages import seconds
from emperor_trio.cli.resolve import resolve
from emperor_trio.events import counted
from emperor_trio.formats import is_config
from emperor_trio.masking import masked
from emperor_trio.outlets.text import printable, well_formed
from emperor_trio.settings import NAMES, Settings

DEFAULT_TIMEOUT = 15.0
"""Seconds for all sources to say what they hold."""

_STYLES = {Level.ERROR: "31", Level.WARNING: "33"}

OWN = (
    Flag("--strict", "Take warnings for errors."),
    Flag("--timeout", "How long sources may take to answer. [default 15 seconds]", "S", "", seconds, DEFAULT_TIMEOUT),
    Flag("--json", "Print one JSON document, for programs."),
)

PAGE = Page(
    "check",
    "check [MONITOR…|FILE…] [OPTIONS]",
    "Check vassals' configs without starting anything: names, syntax, keys, paths, sockets that clash.",
    "Looks at every vassal of each MONITOR (what --emperor takes), or at each FILE, and says what would go wrong. The"
    " emperor's own options may stand on the line, too, so that a start with 'check' before it checks just that start."
    " Nothing is started, bound or changed; files are read with your rights.\n\n"
    "An error keeps a vassal from running; a warning may be meant. zmq:// and amqp:// tell of changes only: they hold"
    " nothing that could be looked at.",
    "check",
    OWN,
    (
        ("/etc/uwsgi/vassals", "all vassals of a folder"),
        ("'/srv/*/uwsgi.ini' pg://host=127.0.0.1", "of several sources"),
        ("blog.ini shop.ini", "some files"),
        ("--ini /etc/uwsgi/emperor.ini", "what this emperor would run"),
        ("--json /etc/uwsgi/vassals | jq .summary", "for programs"),
    ),
)


@dataclass(slots=True)
class _Tally:
    """What was found so far."""

    vassals: list[tuple[str, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def count(self, level: Level) -> int:
        return Counter(finding.level for finding in self.findings)[level]


def run(words: Sequence[str], version: str) -> int:
    """Check what the words say. Raises :class:`~emperor_trio.errors.UsageError`."""
    own, rest = _split(words)
    given = read_words(PAGE, own)
    if given is None:
        print_text(page_text(PAGE, *width_and_colour(stdout(), os.environ)))
        return EXIT_OK
    files, arguments = _files(parse_arguments(rest))
    settings, _ = resolve(arguments, lambda: version, os.environ, {}, watching=not files)
    as_json, tally = given["--json"], _Tally()
    _, colour = width_and_colour(stdout(), os.environ)

    def tell(finding: Finding) -> None:
        tally.findings.append(finding)
        if not as_json:
            print_text(_line(finding, colour))

    _check(settings, files, given["--timeout"], version, tally, tell)
    wrong = tally.count(Level.ERROR) + (tally.count(Level.WARNING) if given["--strict"] else 0)
    print_text(_document(tally) if as_json else _summary(tally))
    return EXIT_FAILED if wrong else EXIT_OK


def _split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Our own flags, and all the rest, which is the emperor's."""
    own: list[str] = []
    rest: list[str] = []
    ours = {flag.name: flag for flag in OWN}
    waiting = iter(words)
    for word in waiting:
        name, equals, _ = word.partition("=")
        if word in ("--help", "-h") or name in ours:
            own.append(word)
            if name in ours and ours[name].metavar and not equals:
                own.extend(value for value in [next(waiting, None)] if value is not None)
        else:
            rest.append(word)
    return own, rest


def _files(arguments: Sequence[Argument]) -> tuple[list[str], list[Argument]]:
    """Words that name a vassal's config, and the rest: the emperor's own config is given by an option here."""
    files = [argument.value or "" for argument in arguments if argument.name is None and _is_file(argument.value or "")]
    return files, [argument for argument in arguments if argument.name is not None or argument.value not in files]


def _is_file(word: str) -> bool:
    return is_config(word) and "://" not in word and not any(character in word for character in "*?[")


def _check(
    settings: Settings,
    files: Sequence[str],
    limit: float,
    version: str,
    tally: _Tally,
    tell: Callable[[Finding], None],
) -> None:
    from emperor_trio.survey import check_rules, findings_of, survey, survey_files  # here, because it imports Trio

    checker = Checker(check_rules(settings, frozenset(uwsgi_options()) | frozenset(NAMES), version), tell)
    sources = [survey_files(settings, files)] if files else []
    if settings.emperor:
        if sys.stderr.isatty():
            print(f"emperor-trio: looking at {', '.join(map(masked, settings.emperor))} …", file=sys.stderr, flush=True)
        sources += survey(settings, limit)
    for source in sources:
        for finding in findings_of(source):
            tell(finding)
        for spec in source.specs:
            tally.vassals.append((source.monitor, spec.name))
            checker.check(source.monitor, spec, named=not source.monitor, runs=spec.name not in source.refused)


def _line(finding: Finding, colour: bool) -> str:
    text = printable(str(finding))
    level = finding.level.value
    return f"\033[{_STYLES[finding.level]}m{level}\033[0m{text.removeprefix(level)}" if colour else text


def _summary(tally: _Tally) -> str:
    errors, warnings = tally.count(Level.ERROR), tally.count(Level.WARNING)
    return f"{counted(len(tally.vassals), 'vassal')}, {counted(errors, 'error')}, {counted(warnings, 'warning')}"


def _document(tally: _Tally) -> str:
    """See ``docs/check.md``."""

    def safe(text: str) -> str:
        return masked(well_formed(text))

    findings = [
        {
            "level": finding.level.value,
            "monitor": safe(finding.monitor),
            "vassal": well_formed(finding.vassal),
            "place": safe(finding.place),
            "key": safe(finding.key),
            "value": safe(finding.value),
            "text": safe(finding.text),
        }
        for finding in tally.findings
    ]
    vassals = [{"monitor": safe(monitor), "name": well_formed(name)} for monitor, name in tally.vassals]
    summary = {
        "vassals": len(tally.vassals),
        "errors": tally.count(Level.ERROR),
        "warnings": tally.count(Level.WARNING),
    }
    return json.dumps({"vassals": vassals, "findings": findings, "summary": summary})
