"""The text of ``--help``: made of the options' declaration, wrapped at the terminal's width, coloured there only."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TextIO

from emperor_trio.cli.resolve import USAGE
from emperor_trio.settings import OPTIONS, Group, Option

_INTRODUCTION = (
    "An Emperor for your vassals: watches folders and other sources for configs, and starts, reloads and stops one"
    " process for each. A drop-in for the uWSGI Emperor: its options, configs and tools stay as they are."
)

_EXAMPLES = (
    ("emperor-trio /etc/uwsgi/vassals", "a vassal for each config in a folder"),
    ("emperor-trio '/srv/*/uwsgi.ini'", "a vassal for each file that matches"),
    ("emperor-trio --ini /etc/uwsgi/emperor.ini", "with the emperor's own config"),
    ("emperor-trio --emperor /srv/vassals --emperor-tyrant", "each as the owner of its config"),
    ("emperor-trio help on-demand", "only what has to do with a word"),
)

_OUTRO = (
    "Each option is a key in configs, too: 'emperor-freq = 1' in [uwsgi] of an ini file, likewise in xml, yaml, json"
    " and toml. Options of uWSGI that are not here are ignored with a warning, or refused with the reason."
)

_INDENT = 2
_COLUMN = 30
_NARROWEST = 60
_WIDEST = 100


def help_text(
    width: int,
    colour: bool,
    word: str | None = None,
    commands: Mapping[str, str] | None = None,
    monitors: Mapping[str, str] | None = None,
) -> str:
    """All of it, or only what has to do with ``word`` (an empty text where there is nothing).

    ``commands`` are the words that may stand in place of options, with what they do; ``monitors`` the schemes there
    are, with what is a vassal there: those are for the search only.
    """
    width = max(_NARROWEST, min(width, _WIDEST))
    paint = Paint(colour)
    if word is not None:
        sought = word.lower().lstrip("-").removesuffix("://")
        found = [
            *_chapter("Commands", [row for row in (commands or {}).items() if _holds(row, sought)], width, paint),
            *_chapter(
                "Monitors",
                # Whoever asks for zookeeper finds zoo.
                [
                    (f"{scheme}://", text)
                    for scheme, text in (monitors or {}).items()
                    if _holds((scheme, text), sought) or (sought.isalpha() and sought.startswith(scheme))
                ],
                width,
                paint,
            ),
            *_chapters(width, paint, sought),
        ]
        return "\n".join(found).lstrip("\n")
    usage = textwrap.wrap(USAGE, width - 7, subsequent_indent=" " * 7)
    lines = [
        paint.bold("Usage: ") + usage[0],
        *usage[1:],
        "",
        *textwrap.wrap(_INTRODUCTION, width),
        "",
        paint.bold("Examples"),
    ]
    lines += table(_EXAMPLES, 6, width, paint)
    lines += _chapter("Commands", [*(commands or {}).items()], width, paint)
    lines += _chapters(width, paint, "")
    return "\n".join([*lines, "", *textwrap.wrap(_OUTRO, width)])


def width_and_colour(stream: TextIO, environ: Mapping[str, str]) -> tuple[int, bool]:
    """What a stream asks for: ``COLUMNS`` or the terminal's width; colour on terminals, unless ``NO_COLOR`` is set."""
    colour = stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    return shutil.get_terminal_size((80, 24)).columns, colour


class Paint:
    """Makes titles and names stand out, where colour is wanted."""

    def __init__(self, colour: bool) -> None:
        self.colour = colour

    def bold(self, text: str) -> str:
        return f"\033[1m{text}\033[0m" if self.colour else text

    def name(self, text: str) -> str:
        return f"\033[36m{text}\033[0m" if self.colour else text


def _chapters(width: int, paint: Paint, word: str) -> Iterator[str]:
    for group in Group:
        options = [option for option in OPTIONS if option.group is group and _concerns(option, word)]
        yield from _chapter(group.value, [(heading(option), explanation(option)) for option in options], width, paint)


def _chapter(title: str, rows: Sequence[tuple[str, str]], width: int, paint: Paint) -> Iterator[str]:
    if rows:
        yield ""
        yield paint.bold(title)
        yield from table(rows, _COLUMN, width, paint)


def _concerns(option: Option, word: str) -> bool:
    return _holds((option.name, *option.aliases, option.help, option.group.value), word)


def _holds(texts: Iterable[str], word: str) -> bool:
    return any(word in text.lower() for text in texts)


def heading(option: Option) -> str:
    """``-l, --listen N``."""
    letter = f"-{option.short}, " if option.short else ""
    metavar = option.kind.metavar
    value = "" if not metavar else f"[={metavar}]" if option.kind.bare is not None else f" {metavar}"
    return f"{letter}--{option.name}{value}"


def explanation(option: Option) -> str:
    """The help, with the default, other names, and whether it may be given many times."""
    notes = []
    if default_of(option):
        notes.append(f"default {default_of(option)}")
    if option.many:
        notes.append("repeatable")
    if option.aliases:
        notes.append("also " + ", ".join(f"--{alias}" for alias in option.aliases))
    return option.help + (f" [{'; '.join(notes)}]" if notes else "")


def default_of(option: Option) -> str:
    """The default as one would write it, with its unit; empty where there is none worth telling."""
    if option.default is None or isinstance(option.default, bool | tuple):
        return ""
    number = f"{option.default:g}" if isinstance(option.default, float) else str(option.default)
    return f"{number} {option.kind.unit}".strip()


def table(rows: Iterable[tuple[str, str]], column: int, width: int, paint: Paint) -> Iterator[str]:
    """Two columns; a left side that is too long has its line to itself, and so has each where the text is narrow."""
    column = column if column < width - 20 else _INDENT + 4
    for left, right in rows:
        lines = textwrap.wrap(right, width - column, break_on_hyphens=False) or [""]
        margin = " " * _INDENT
        if _INDENT + len(left) + 2 <= column:
            gap = " " * (column - _INDENT - len(left))
            yield margin + paint.name(left) + gap + lines.pop(0)
        else:
            yield margin + paint.name(left)
        yield from (" " * column + line for line in lines)
