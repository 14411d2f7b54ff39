"""How things look on a terminal: colours, text that is safe and fits, numbers in few letters, tables. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from emperor_trio.masking import masked
from emperor_trio.outlets.text import printable

GAP = 2
"""Spaces before a column; before one that is right-aligned, where there mostly are more, it is one."""

_CODES = {
    "bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "magenta": "35", "cyan": "36",
    "alarm": "1;31", "reverse": "7",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ink:
    """Colours text, or leaves it as it is. ``width`` is that of the terminal, ``None`` where nothing has to fit."""

    colour: bool
    width: int | None = 80

    def __call__(self, text: str, style: str) -> str:
        return f"\033[{_CODES[style]}m{text}\033[0m" if self.colour and style and text else text


# --- texts -----------------------------------------------------------------------------------------------------------


def safe(text: str) -> str:
    """On one line, without passwords and without anything that a terminal might obey: errors, addresses, reasons."""
    return printable(masked(text))


def cut(text: str, width: int) -> str:
    """The text in so many cells at most; what is missing is an ellipsis."""
    if len(text) <= width and text.isascii():
        return text
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…" if width > 0 else ""


def fit(text: str, width: int, right: bool = False) -> str:
    """The text in exactly so many cells."""
    text = cut(text, width)
    pad = " " * (width - cell_len(text))
    return pad + text if right else text + pad


# --- numbers ---------------------------------------------------------------------------------------------------------


def span(seconds: float) -> str:
    """A time in six letters at most: ``12s``, ``4m12s``, ``3h04m``, ``12d4h``, ``123d``."""
    whole = int(max(seconds, 0.0))
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days >= 100:
        return f"{days}d"
    if days:
        return f"{days}d{hour}h"
    if hours:
        return f"{hours}h{minute:02d}m"
    return f"{minutes}m{second:02d}s" if minutes else f"{second}s"


def lasting(seconds: float) -> str:
    """A time in a sentence: ``12 s``, ``4 min``, ``3 h``, ``12 days``."""
    seconds = max(seconds, 0.0)
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 72 * 3600 else f"{seconds / 86400:.0f} days"


def size(number: float) -> str:
    """Bytes in four letters: ``4.5M``, ``45M``, ``450M``."""
    for unit in ("B", "K", "M", "G", "T"):
        if number < 1000 or unit == "T":
            break
        number /= 1024
    return f"{number:.1f}{unit}" if number < 9.95 and unit not in "BK" else f"{number:.0f}{unit}"


def share(processors: float) -> str:
    """A share of one processor in four letters: ``0.3%``, ``12%``, ``230%``."""
    percent = processors * 100
    return f"{percent:.1f}%" if percent < 9.95 else f"{percent:.0f}%"


def moment(at: float, now: float) -> str:
    """When it was, in local time, without the date where it is today's: ``23:59:59``."""
    then = time.localtime(at)
    today = time.localtime(now)[:3] == then[:3]
    return time.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S", then)


# --- tables ----------------------------------------------------------------------------------------------------------

Cell = tuple[str, str]
"""Text that is safe, and its style or ""."""


@dataclass(frozen=True, slots=True)
class Column:
    """``least`` is how narrow it may become where the table is too wide, 0 for not at all; those with the highest
    ``drop`` go first where that does not help, 0 never."""

    title: str
    right: bool = False
    least: int = 0
    drop: int = 0


def widths(columns: Sequence[Column], natural: Sequence[int], width: int | None) -> list[int]:
    """The width of each column, 0 for one that is left out: the last one that may shrink does so first."""
    found = list(natural)
    for rank in (None, *sorted({column.drop for column in columns if column.drop}, reverse=True)):
        for at, column in enumerate(columns):
            if rank is not None and column.drop == rank:
                found[at] = 0
        if width is None:
            return found
        excess = _total(columns, found) - width
        narrowed = list(found)
        for at in reversed(range(len(columns))):
            least = columns[at].least
            if excess > 0 and least and narrowed[at] > least:
                taken = min(excess, narrowed[at] - least)
                narrowed[at] -= taken
                excess -= taken
        if excess <= 0:
            return narrowed
    return narrowed


def _total(columns: Sequence[Column], found: Sequence[int]) -> int:
    gaps = [_gap(column) for width, column in zip(found, columns, strict=True) if width]
    return sum(found) + sum(gaps[1:])


def _gap(column: Column) -> int:
    return 1 if column.right else GAP


def natural_widths(columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> list[int]:
    """As wide as the widest cell; 0 where there is nothing in the whole column."""
    found = [0] * len(columns)
    for row in rows:
        for at, (text, _) in enumerate(row):
            if text and len(text) * 2 > found[at]:
                found[at] = max(found[at], cell_len(text))
    return [max(width, len(column.title)) if width else 0 for width, column in zip(found, columns, strict=True)]


def line(columns: Sequence[Column], found: Sequence[int], row: Sequence[Cell], ink: Ink) -> str:
    """One row; what is at its end is not padded."""
    shown = [at for at, width in enumerate(found) if width]
    laid_out = ""
    for at in shown:
        text, style = row[at]
        fitted = fit(text, found[at], columns[at].right)
        if at == shown[-1] and not columns[at].right:
            fitted = fitted.rstrip()
        gap = " " * _gap(columns[at]) if at != shown[0] else ""
        laid_out += gap + ink(fitted, style)
    return laid_out.rstrip()


def heading(columns: Sequence[Column], found: Sequence[int], ink: Ink) -> str:
    """The line of titles."""
    return ink(line(columns, found, [(column.title, "") for column in columns], Ink(False)), "dim")


def table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], ink: Ink) -> Iterator[str]:
    """Titles and rows, in the ink's width; columns with nothing in them are left out."""
    found = widths(columns, natural_widths(columns, rows), ink.width)
    yield heading(columns, found, ink)
    yield from (line(columns, found, row, ink) for row in rows)
