"""The options of uWSGI that are not the emperor's: which there are, and why one is refused.

Names, arity and classes come from ``uwsgi_options.txt``, which ``tools/uwsgi_options.py`` makes out of uWSGI's source.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

OURS, IGNORED = "ours", "ignored"
"""The classes of options that are taken over, and of those that mean nothing to an emperor."""

_NO_FRONT_DOOR = "the emperor opens no {} of its own; put the option into the config of a vassal"

REASONS: Mapping[str, str] = {
    "socket": _NO_FRONT_DOOR.format("socket"),
    "router": _NO_FRONT_DOOR.format("router, subscription or cluster")
    + "; the emperor's own page and metrics are --gateway",
    "app": "the emperor runs no application itself; put the option into the config of a vassal",
    "process": "the emperor starts vassals only; put the option into the config of a vassal",
    "stats": "these are the statistics of an instance; for the emperor's use --emperor-stats",
    "fifo": "the emperor takes signals: HUP reloads all, TERM stops, WINCH scans, USR1 logs the status",
    "command": "the emperor runs no commands for itself; use the init system's unit (systemd: ExecStartPre=)"
    ", or --exec-as-vassal and --exec-as-emperor",
    "hook": "uWSGI's hooks are not there yet; use --exec-as-vassal, --exec-as-emperor, --vassals-start-hook"
    " or --vassals-stop-hook",
    "mount": "mounting is not there yet; use the init system's units, or mount(8) in --exec-as-vassal",
    "symbol": "a symbol of uWSGI's binary can't be called; use --exec-as-vassal or --exec-as-emperor",
    "tool": "this is a tool of the uwsgi binary; run uwsgi for it, or send the emperor a signal (HUP reloads all)",
    "lock": "use flock(1) before the command, or let the init system care that there is one",
    "identity": "it changes as whom or in which jail vassals run, so it is not ignored; use the init system's unit,"
    " or --uid, --gid, --emperor-tyrant, --emperor-cap and --emperor-use-clone",
    "limit": "it changes the limits that vassals inherit, so it is not ignored; use the init system's unit"
    " (systemd: LimitNOFILE=, LimitNPROC=, LimitAS=, Nice=), or the config of a vassal",
    "environment": "it changes the environment that vassals inherit, so it is not ignored; use --env NAME=VALUE,"
    " or --env NAME to remove it",
    "logic": "logic in configs is not supported; write out what it would come to, or generate the file",
    "source": "configs are read from ini, xml, yaml, json and toml files only; save it to a file",
    "fork-server": "fork servers are not supported; without it, the emperor starts each vassal itself",
    "proxy": "an emperor as a proxy for another is not supported; start each emperor on its own",
    "trigger": "triggers are not supported; vassals can wait for a connection (--emperor-on-demand-directory)",
    "zeus": "Zeus is not supported; start each emperor on its own",
    "daemonize": "the init system does it better; start emperor-trio in the foreground (systemd: Type=exec), with"
    " --logto FILE for the log",
}
"""Why the options of a class are refused, and what to use instead."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """An option of uWSGI: ``arity`` is no, required or optional; ``short`` its letter or empty; ``kind`` its class."""

    name: str
    arity: str
    short: str
    kind: str


@cache
def uwsgi_options() -> Mapping[str, Foreign]:
    """All options that uWSGI knows, by name; those that are ours, too, are of the class ``ours``."""
    path = os.path.join(os.path.dirname(__file__), "uwsgi_options.txt")
    with open(path, encoding="ascii") as file:
        rows = (line.split() for line in file if not line.startswith("#"))
        return {name: Foreign(name, arity, short.strip("-"), kind) for name, arity, short, kind in rows}
