"""Every command that looks at a running emperor, declared: its options, and what its ``--help`` teaches."""

from __future__ import annotations

from collections.abc import Callable

from emperor_trio.cli.remote.flags import Flag, Page

DEFAULT_TIMEOUT = 5.0
"""Seconds after which an emperor that does not answer is taken to hang."""

STATES = (
    "failed", "blacklisted", "exiled", "stopping", "reloading", "starting", "queued", "stopped", "up", "on demand",
)  # fmt: skip
"""The states of vassals (:class:`~emperor_trio.control.messages.State`) with trouble first; a test holds them equal."""

SORTS = ("trouble", "name", "cpu", "memory", "uptime", "restarts")

LEVELS = ("debug", "info", "warning", "error")


def seconds(text: str) -> float:
    """A flag's value as a time."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < 1e6:
        raise ValueError("expected seconds above 0, such as 5 or 0.5")
    return found


def count(text: str) -> int:
    """A flag's value as a number of things."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError("expected a whole number, 0 or more")
    return int(text)


def _one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        found = [choice for choice in choices if choice.startswith(text.lower())] if text else []
        if text.lower() in choices:
            return text.lower()
        if len(found) != 1:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return found[0]

    return read


def _states(text: str) -> tuple[str, ...]:
    read = _one_of(STATES)
    return tuple(read(part.strip().replace("-", " ")) for part in text.split(","))


CONTROL = Flag(
    "--control",
    "The emperor's socket. By default $EMPEROR_TRIO_CONTROL, else where an emperor of this user puts it.",
    "PATH",
)
TIMEOUT = Flag(
    "--timeout",
    f"Give up when the emperor does not answer for so long. [default {DEFAULT_TIMEOUT:g} seconds]",
    "S",
    read=seconds,
    default=DEFAULT_TIMEOUT,
)
JSON = Flag("--json", "Print one JSON document, for programs.")
MONITOR = Flag("--monitor", "Only vassals of this monitor, as typed after --emperor.", "MONITOR")

SHARED = (MONITOR, JSON, CONTROL, TIMEOUT)
"""What every command about vassals takes."""

_PATTERNS = "NAME is a vassal's name or a shell pattern (in quotes: your shell must leave it alone), and there may be"

_STATUS = Page(
    "status",
    "status [NAME…] [OPTIONS]",
    "Show every vassal: its state, process, uptime, restarts, CPU, memory, and why it is where it is.",
    "Shows the emperor in one line and each vassal in one more, those in trouble first. Where a terminal has too few"
    " lines for all, the last one says how many were left out; --all shows them, and so does a pipe.\n\n"
    f"{_PATTERNS} several. CPU is the share of one processor since the start of the process, as in ps; 'emperor-trio"
    " top' shows that of now. Both CPU and memory (MEM) are over all processes of a vassal."
    " RST is how often its process was started anew.",
    "status",
    (
        Flag("--state", "Only vassals in these states: failed,blacklisted", "STATE,…", read=_states),
        Flag("--sort", f"By {', '.join(SORTS)}. [default trouble]", "ORDER", read=_one_of(SORTS), default="trouble"),
        Flag("--all", "Every vassal, also where the terminal has too few lines.", short="-a"),
        Flag(
            "--wide", "Nothing is cut off, and all columns are there; lines may be too long for the terminal.", "", "-w"
        ),
        *SHARED,
    ),
    (
        ("", "all there is, trouble first"),
        ("'shop-*' blog.ini", "some vassals"),
        ("--state failed,blacklisted", "what needs a look"),
        ("--sort memory", "the largest first"),
        ("--json | jq '.vassals[].name'", "for programs"),
    ),
)

_SHOW = Page(
    "show",
    "show NAME… [OPTIONS]",
    "Show all about one vassal: state, process, config, command line, recent events, and what to do next.",
    "Says in plain words how a vassal is, why it is there, and what can be done about it; then its process, its config"
    f" and its recent events.\n\n{_PATTERNS} several.",
    "show",
    SHARED,
    (("blog.ini", "one vassal"), ("'blog*'", "each that matches"), ("blog.ini --json", "for programs")),
    least=1,
)

_TOP = Page(
    "top",
    "top [NAME…] [OPTIONS]",
    "Watch vassals live, sorted by CPU, memory or trouble; '?' there lists the keys.",
    "A live table of all vassals. It needs a terminal; a lost connection is told, and mends itself.\n\n"
    f"{_PATTERNS} several. CPU is the share of one processor now, over all processes of a vassal.\n\n"
    "Keys: c, m, n, s, r and u sort by CPU, memory, name, state, restarts and uptime, the same key again the other way"
    " round; arrows, PgUp, PgDn, Home and End move; / searches; Enter shows all about a vassal; ? helps; q ends.",
    "top",
    (
        Flag("--sort", f"By {', '.join(SORTS)}. [default trouble]", "ORDER", read=_one_of(SORTS), default="trouble"),
        *(flag for flag in SHARED if flag is not JSON),
    ),
    (("", "all vassals"), ("--sort cpu", "the busiest first"), ("'shop-*'", "some vassals")),
)

_EVENTS = Page(
    "events",
    "events [NAME…] [OPTIONS]",
    "Show what happened, with -f live: lines as in the log.",
    "Shows the newest events of vassals, monitors and the emperor, and with -f those that come, until Ctrl-C. A lost"
    " connection is told of and made again. An emperor keeps only its newest events; the log has them all.\n\n"
    f"{_PATTERNS} several.",
    "events",
    (
        Flag("--follow", "Go on with what happens from now on.", "", "-f"),
        Flag("--lines", "How many of the past at most. [default 50]", "N", "-n", count, 50),
        Flag("--level", "The least important to show: debug, info, warning or error. [default info]", "LEVEL",
             read=_one_of(LEVELS), default="info"),
        MONITOR,
        Flag("--json", "One JSON object a line, for programs."),
        CONTROL,
        TIMEOUT,
    ),
    (
        ("", "the newest events"),
        ("-f", "and those that come"),
        ("-f --level warning", "only what is out of the ordinary"),
        ("-f blog.ini -n 0", "what happens to one vassal from now on"),
        ("-f --json", "one object a line"),
    ),
)  # fmt: skip

_LOGS = Page(
    "logs",
    "logs NAME… [OPTIONS]",
    "Show what a vassal printed, with -f live.",
    "Shows the last lines of a vassal's log, and with -f those that come, until Ctrl-C. The emperor must keep logs of"
    " vassals: --vassal-logs DIR. Otherwise they print where the emperor does.\n\n"
    f"{_PATTERNS} several; then each line has the vassal's name before it.",
    "logs",
    (
        Flag("--follow", "Go on with what is printed from now on.", "", "-f"),
        Flag("--lines", "How many of the past at most, of each. [default 50]", "N", "-n", count, 50),
        MONITOR,
        Flag("--json", "One JSON object a line, for programs."),
        CONTROL,
        TIMEOUT,
    ),
    (
        ("blog.ini", "its last lines"),
        ("blog.ini -n 500", "more of them"),
        ("-f 'shop-*'", "of several, as they come"),
    ),
    least=1,
)

_MONITORS = Page(
    "monitors",
    "monitors [MONITOR…] [OPTIONS]",
    "Show the health of the running emperor's monitors; with --installed, which SCHEME:// there are.",
    "Shows each monitor of the running emperor: whether its source answers, since when, how many vassals it has, and"
    " the last error. Where no emperor runs it says so, and shows which monitors are installed.\n\n"
    "MONITOR is as typed after --emperor, or a shell pattern. The exit code is 1 where one of them fails.",
    "monitors",
    (Flag("--installed", "Show which SCHEME:// there are, and what each needs. No emperor is asked."),
     JSON, CONTROL, TIMEOUT),
    (("", "health of all"), ("--installed", "what could be typed after --emperor"), ("'pg://*'", "some of them")),
)  # fmt: skip

PAGES: dict[str, Page] = {page.name: page for page in (_STATUS, _SHOW, _TOP, _EVENTS, _LOGS, _MONITORS)}
"""Every command that only looks, in the order in which they are taught."""
