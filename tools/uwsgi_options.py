"""Writes ``src/emperor_trio/cli/uwsgi_options.txt``: every option that uWSGI knows, and what the emperor does with it.

    python tools/uwsgi_options.py REPOSITORY [REVISION…]

REPOSITORY is a clone of https://github.com/unbit/uwsgi. Names, arity and letters are read off the source of its core
and of all plugins; where revisions differ, the first one that knows an option counts. The classes below are ours; what
each one means is said in ``emperor_trio.cli.foreign``.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from emperor_trio.settings import NAMES

TARGET = Path(__file__).parents[1] / "src/emperor_trio/cli/uwsgi_options.txt"
REVISIONS = ("uwsgi-2.0", "master")

DECLARATION = re.compile(
    r"""\{\s*(?:\(char\s?\*\)\s?)?"(?P<name>[A-Za-z0-9_-]+)",\s*"""
    r"""(?P<arity>no|required|optional)_argument,\s*(?:'(?P<short>.)'|0)\s*,"""
)

CLASSES: dict[str, tuple[str, ...]] = {
    "fork-server": (r"emperor-(use-fork-server|fork-server-attr)|vassal-fork-base|fork-(socket|server)",),
    "proxy": (r"emperor-proxy-socket",),
    "trigger": (r"emperor-trigger-socket",),
    "zeus": (r"zeus",),
    "daemonize": (r"daemonize2?",),
    "logic": (
        r"if.*|for(-.*)?|end(-?(for|if|blacklist|whitelist))?|else|declare-option2?|resolve|mode",
        r"blacklist|whitelist|inject-(before|after)",
    ),
    "source": (r"fallback-config|ldap(-.*)?|sqlite3?",),
    "symbol": (r"call-.*|symcall.*|after-request-.*|dlopen",),
    "hook": (r"hook-.*",),
    "mount": (r"u?mount-(?!check).*|(glusterfs|gridfs|rados|webdav)-mount",),
    "command": (r"exec-.*|file-write|touch-exec",),
    "stats": (r"stats|stats-(server|push)|carbon|rrdtool|udp|snmp",),
    "fifo": (r"master-fifo|notify-socket|subscription-notify-socket",),
    "socket": (
        r"((u|su)?wsgi-|ssl-|https?-|http11-|(fastcgi|scgi)-(nph-)?|raw-|puwsgi-|(zeromq|zmq)-)?socket",
        r"(undeferred-)?shared-socket|zeromq|zmq|mongrel2|cache-udp-server|setns-socket|zerg(-server)?|zerg-?pool",
    ),
    "router": (
        r"(https?|fastrouter|rawrouter|sslrouter|forkpty-?u?router|tuntap)2?(-(?!socket-).*)?|httprouter",
        r"subscribe|subscribe-to|subscribe2|st|legion(-(mcast|node))?",
    ),
    "process": (
        r"(legion-)?(smart-)?attach-(control-)?daemon2?|(unique-)?(legion-)?cron2?|(unique-)?cron-legion",
        r"(legion-)?(curl-cron|cron-curl)|(curl-cron|cron-curl)-legion|mules?|farm|spooler(-external)?",
        r"worker-exec2?|pty-.*",
    ),
    "app": (
        r"(worker-)?mount|app|wsgi(-file|-lite)?|file|module|callable|eval|pecan|paste|ini-paste(-logged)?|web3|pump",
        r"(shared-|spooler-|early-)?(py-?|python-)?import|pyrun|py|python|pyshell(-oneshot)?",
        r"pypy-(wsgi|wsgi-file|ini-paste|paste|eval|exec).*|(early-)?psgi|(early-)?perl-exec.*|plshell.*",
        r"rack|rails|(shared-)?(rb-?|ruby-?)?require|rbshell.*|lua|lua-load|lua-?shell.*|lua-post.*",
        r"jvm-(main-)?class|jwsgi|(ring|clojure)-load|ring-app|mono-(app|exec)|php-(app|docroot|mount|exec-.*)",
        r"cgi|(gcc)?go-load|v8-(load|jsgi)|xslt-docroot|dumbloop-code",
    ),
    "tool": (
        r"stop|reload|pause|suspend|resume|connect-and-read|extract|signal|print-sym(bol)?|get|exit|test|ping|nagios",
        r"zabbix-template|dump-options|show-config|cflags|dot-h|config-py|build-plugin|binary-append-data",
        r"(plugins?|loops?|loggers?|cheaper|cheaper-algos?|routers?|clocks?|alarms?)-list",
    ),
    "lock": (r"flock.*",),
    "identity": (
        r"immediate-[ug]id|add-gid|no-initgroups|chroot|pivot[-_]root|unshare2?|setns(-preopen)?|cap|re-?fork.*",
        r"pam(-user)?|jail(ed|-.*|2)?|libjail|jid-?file|(namespace|ns)(-keep-mount|-net)?|cgroup.*",
        r"(un)?privileged-binary-patch.*",
    ),
    "limit": (r"limit-(as|nproc)|max-fd|prio",),
    "environment": (r"unenv|envdir|early-envdir",),
}
"""The class of an option is the first one with a pattern that matches the whole name; without any it is ignored."""


def git(repository: str, *arguments: str) -> str:
    ran = subprocess.run(["git", "-C", repository, *arguments], capture_output=True, check=True)
    return ran.stdout.decode("utf-8", "replace")


def declarations(repository: str, revision: str) -> Iterator[tuple[str, str, str]]:
    """Name, arity and letter (``-`` where there is none) of each option in the source."""
    listed = git(repository, "grep", "-lE", "(no|required|optional)_argument", revision, "--", "core", "plugins")
    for place in listed.splitlines():
        for found in DECLARATION.finditer(git(repository, "show", place)):
            yield found["name"], found["arity"], found["short"] or "-"


def class_of(name: str) -> str:
    if name in NAMES:
        return "ours"
    matching = (kind for kind, patterns in CLASSES.items() if any(re.fullmatch(pattern, name) for pattern in patterns))
    return next(matching, "ignored")


def main(repository: str, *revisions: str) -> None:
    options: dict[str, tuple[str, str]] = {}
    sources = []
    for revision in revisions or REVISIONS:
        sources.append(git(repository, "describe", "--always", "--abbrev=12", "--exclude=*", revision).strip())
        for name, arity, short in declarations(repository, revision):
            options.setdefault(name, (arity, short))
    lines = [
        f"# Made by tools/uwsgi_options.py from uWSGI {' and '.join(sources)}: name, arity, letter, class.",
        *(f"{name} {arity} {short} {class_of(name)}" for name, (arity, short) in sorted(options.items())),
    ]
    TARGET.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
