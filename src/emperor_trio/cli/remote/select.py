"""Which vassals and monitors the names of a command mean, and what to say of those that mean none. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase

from emperor_trio.cli.arguments import nearest
from emperor_trio.cli.remote.paint import safe
from emperor_trio.outlets.text import printable


def matches(name: str, pattern: str) -> bool:
    """As on the channel: the name itself, or a shell pattern for it."""
    return name == pattern or fnmatchcase(name, pattern)


def unmatched(patterns: Iterable[str], names: Collection[str]) -> list[str]:
    """The patterns that mean none of the names."""
    there = set(names)
    return [pattern for pattern in patterns if pattern not in there and not any(fnmatchcase(n, pattern) for n in there)]


def no_vassal(pattern: str, names: Collection[str], monitor: str | None) -> str:
    """What to say of a name that means no vassal; ``names`` are all there are."""
    where = f" of {safe(monitor)}" if monitor else ""
    if not names:
        return f"there is no vassal{where} at all"
    return f"there is no vassal {printable(pattern)!r}{where}{_instead(pattern, names, 'emperor-trio status')}"


def no_monitor(pattern: str, monitors: Collection[str]) -> str:
    """The same of a monitor."""
    return f"there is no monitor {safe(pattern)!r}{_instead(pattern, monitors, 'emperor-trio monitors')}"


def _instead(pattern: str, names: Sequence[str] | Collection[str], command: str) -> str:
    guess = nearest(pattern, names)
    return f"; did you mean {safe(guess)}?" if guess else f"; '{command}' shows which there are"
