"""Every command that changes something in a running emperor, declared as those that look are in :mod:`.pages`."""

from __future__ import annotations

from emperor_trio.cli.remote.flags import Flag, Page
from emperor_trio.cli.remote.pages import CONTROL, JSON, MONITOR, TIMEOUT, count, seconds

_PATTERNS = (
    "NAME is a vassal's name or a shell pattern (in quotes, so that your shell leaves it alone); there may be several."
)

_ALL = Flag("--all", "Every vassal, or every one of --monitor.", short="-a")
_WAIT = Flag("--wait", "Wait until it is really so, and fail where it does not come true.", short="-w")
_WITHIN = Flag(
    "--within", "How long to wait at most, for each batch. [default 60 seconds]", "S", read=seconds, default=60.0
)
_BATCH = Flag(
    "--batch",
    "N at a time, each N only once those before are as they should be; stops at the first that does not get there.",
    "N",
    "-b",
    count,
)
_SHARED = (_ALL, _WAIT, _BATCH, _WITHIN, MONITOR, JSON, CONTROL, TIMEOUT)


def _page(name: str, line: str, about: str, examples: tuple[tuple[str, str], ...]) -> Page:
    about = f"{about}\n\n{_PATTERNS}"
    return Page(name, f"{name} NAME… | --all [OPTIONS]", line, about, "act", _SHARED, examples)


ORDERS = (
    _page(
        "reload",
        "Have vassals reload: uWSGI keeps its process and its sockets, and loses no request.",
        "Sends each vassal its reload byte, as a touch of its config does. One that waits on the blacklist, failed or"
        " asked not to be started again gets another try; one that is stopped is left alone.",
        (
            ("blog.ini", "one"),
            ("'shop-*' --wait", "some, and wait until they are ready"),
            ("--all --batch 10", "all, ten at a time"),
        ),
    ),
    _page(
        "restart",
        "Give vassals a new process: rolling with --batch.",
        "Stops each vassal's process and starts another one. With --batch N it goes on only once the N before are"
        " ready, and stops at the first that does not get ready, so that a broken release does not take all down.",
        (
            ("blog.ini --wait", "one"),
            ("--all --batch 5", "all, five at a time"),
            ("'shop-*' -b 1 --within 30", "one by one"),
        ),
    ),
    _page(
        "stop",
        "Stop vassals, and keep them stopped until 'start'.",
        "Stopped means stopped: neither a touch, nor SIGHUP, a scan or a connection starts the vassal, nor a restart of"
        " the emperor where it has --emperor-state. 'emperor-trio start' does.",
        (("blog.ini", "one"), ("--all --monitor /srv/vassals --wait", "all of one monitor")),
    ),
    _page(
        "start",
        "Start vassals: stopped ones, failed ones, and those that wait on the blacklist.",
        "Ends whatever keeps a vassal from running: a 'stop', too many deaths, an exile, the blacklist,"
        " --emperor-wait-for-command. A vassal that runs is left as it is.",
        (("blog.ini --wait", "one"), ("--all", "all that are kept from running")),
    ),
    _page(
        "forgive",
        "Take vassals off the blacklist: they start again at once.",
        "A vassal that dies before it is loyal waits longer each time; that is forgotten.",
        (("blog.ini", "one"), ("--all", "all")),
    ),
    Page(
        "scan",
        "scan [OPTIONS]",
        "Have monitors look at their sources now.",
        "Monitors see changes by themselves as a rule; this is for those whose source can't tell. It waits until each"
        " has looked. The exit code is 1 where one fails.",
        "scan",
        (Flag("--monitor", "Only this monitor, as typed after --emperor.", "MONITOR"), JSON, CONTROL, TIMEOUT),
        (("", "all monitors"), ("--monitor pg://host=127.0.0.1", "one of them")),
        most=0,
    ),
    Page(
        "shutdown",
        "shutdown [OPTIONS]",
        "Stop every vassal and the emperor.",
        "As SIGTERM does: each vassal is told to stop, and what is left after --reload-mercy is killed. Where a service"
        " manager keeps the emperor, it may start it again: use systemctl stop.",
        "shutdown",
        (Flag("--wait", "Wait until the emperor is gone.", short="-w"), _WITHIN, JSON, CONTROL, TIMEOUT),
        (("--wait", "and wait for its end"),),
        most=0,
    ),
    Page(
        "config",
        "config [OPTION…] [OPTIONS]",
        "Show the running emperor's settings, where each came from, and which would be others now.",
        "Shows what was given on the command line and in files, with its place; --all shows defaults, too. Values that"
        " would be others if the emperor were started now (a file was changed since) are marked. Passwords are masked,"
        " so a changed password does not show. OPTION is the name of a setting, or a part of it.",
        "config",
        (Flag("--all", "Defaults, too.", short="-a"), JSON, CONTROL, TIMEOUT),
        (("", "what was set"), ("throttle --all", "some, with defaults"), ("--json", "for programs")),
    ),
)
"""In the order in which they are taught."""
