"""One event as a line, as in the emperor's log."""

from __future__ import annotations

import textwrap
import time

from rich.cells import cell_len

from emperor_trio.cli.remote.paint import Ink, fit, safe
from emperor_trio.control.messages import Event
from emperor_trio.outlets.text import printable

LEVEL_STYLES = {"debug": "dim", "info": "green", "warning": "yellow", "error": "alarm"}

NAME = 24
"""Cells that a name has to itself; a longer one takes more."""

_WORDS = {"warning": "warn"}


def event_line(event: Event, now: float, ink: Ink, *, named: bool = True) -> str:
    """``23:59:59.123 info  blog.ini  ready``: time, level, whom it is about (where ``named``), what happened.

    With the date where that is not today's. What is wider than the ink goes on below; nothing is cut off.
    """
    moment = time.localtime(event.at)
    today = moment[:3] == time.localtime(now)[:3]
    stamp = time.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S", moment)
    stamp += f".{int(event.at * 1000) % 1000:03d}"
    style = LEVEL_STYLES.get(event.level, "")
    word = _WORDS.get(event.level, event.level)
    said = printable(event.text) if event.name else safe(event.text)
    head = f"{ink(stamp, 'dim')} {ink(fit(word, 5), style)} "
    margin = len(stamp) + 7
    if named:
        name = subject(event)
        name += " " * (NAME - cell_len(name))
        head += ink(name, "cyan" if event.name else "magenta" if event.monitor else "bold") + " "
        margin += len(name) + 1
    lines = [said] if ink.width is None else textwrap.wrap(said, max(ink.width - margin, 30)) or [""]
    return head + ("\n" + " " * margin).join(ink(line, "" if event.level == "info" else style) for line in lines)


def subject(event: Event) -> str:
    """Whom the event is about: a vassal, a monitor or the emperor."""
    if event.name:
        return printable(f"{event.name}:zerg#{event.ordinal}" if event.ordinal else event.name)
    return safe(event.monitor) if event.monitor else "emperor"
