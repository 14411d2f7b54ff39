"""One thing that is wrong with a vassal, and how it is written on a line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from emperor_trio.masking import masked

LONGEST_VALUE = 200
"""Characters of a value that are kept: whoever wrote it may have meant to flood a terminal."""


class Level(Enum):
    """An error keeps a vassal from running; a warning may be meant, or mended by something that is not looked at."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, with all that came from a config as it stands there but for passwords.

    ``monitor`` is the ``--emperor`` that the vassal is of, "" for a file that was named itself; ``vassal`` is its name
    there, "" where the whole source is meant. ``place`` is the file, with its line where the format has lines; of a
    server's vassal, its name behind the monitor's. ``key`` and ``value`` are "" where none is to blame; ``text`` says
    what is wrong and the way out.
    """

    level: Level
    monitor: str
    vassal: str
    place: str
    key: str
    value: str
    text: str

    def __str__(self) -> str:
        blamed = f"{self.key} = {self.value}".rstrip() + ": " if self.key else ""
        return f"{self.level.value}: {self.place}: {blamed}{self.text}"


Note = Callable[..., None]
"""Takes ``(level, place, text, key="", value="")``: a finding of the vassal that is looked at."""


def shown(key: str, value: str) -> str:
    """A value for people: without its password, cut where it is long."""
    whole = masked(f"{key}={value}").partition("=")[2]
    return whole if len(whole) <= LONGEST_VALUE else f"{whole[:LONGEST_VALUE]}…"
