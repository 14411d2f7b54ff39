"""What the words behind a command may be, how they are read, and the text of its ``--help``. Pure; knows no command."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from emperor_trio.cli.arguments import nearest
from emperor_trio.cli.exits import MEANINGS
from emperor_trio.cli.help import Paint, table
from emperor_trio.errors import UsageError

_COLUMN = 26


@dataclass(frozen=True, slots=True)
class Flag:
    """One option of a command, written with its dashes. Without ``metavar`` it is a switch; else ``read`` makes the
    value out of the text, and raises ValueError with what is expected for what it can't be."""

    name: str
    help: str
    metavar: str = ""
    short: str = ""
    read: Callable[[str], object] = str
    default: object = None

    @property
    def heading(self) -> str:
        """``-n, --lines N``."""
        letter = f"{self.short}, " if self.short else ""
        return f"{letter}{self.name} {self.metavar}".rstrip()


@dataclass(frozen=True, slots=True)
class Page:
    """One command: what ``--help`` teaches, which options and how many names it takes, and where it is.

    ``module`` has a function ``run(given: Given) -> int``, which gives the exit code. ``line`` is what the list of all
    commands says; ``about`` has paragraphs; ``examples`` are pairs of words behind the command and what they do.
    """

    name: str
    usage: str
    line: str
    about: str
    module: str
    flags: tuple[Flag, ...]
    examples: tuple[tuple[str, str], ...]
    least: int = 0
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """The words of one call, read: the names, and each flag's value by its name (``False`` for a switch not given)."""

    page: Page
    names: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, flag: str) -> Any:
        return self.values[flag]


def read_words(page: Page, words: Sequence[str]) -> Given | None:
    """``None`` where ``--help`` was asked for. Raises :class:`~emperor_trio.errors.UsageError`.

    Options may stand anywhere, be shortened as far as they stay unambiguous, and have their value behind a ``=``; all
    that follows ``--`` is names.
    """
    values: dict[str, Any] = {flag.name: flag.default if flag.metavar else False for flag in page.flags}
    names: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            names.extend(rest)
        elif word in ("--help", "-h"):
            return None
        elif word.startswith("--"):
            typed, equals, text = word.partition("=")
            flag = _named(page, typed)
            if equals and not flag.metavar:
                raise UsageError(f"{page.name}: {flag.name} takes no value: {text}")
            values[flag.name] = _value(page, flag, typed, text if equals else None, rest)
        elif word.startswith("-") and word != "-":
            _read_letters(page, word, rest, values)
        else:
            names.append(word)
    if len(names) < page.least:
        raise UsageError(f"{page.name}: a name is missing\nusage: emperor-trio {page.usage}")
    if page.most is not None and len(names) > page.most:
        raise UsageError(f"{page.name}: {names[page.most]!r} is too much\nusage: emperor-trio {page.usage}")
    return Given(page, tuple(names), values)


def _read_letters(page: Page, word: str, rest: Iterator[str], values: dict[str, Any]) -> None:
    """``-f``, ``-n5``, ``-n 5``, and several in one word."""
    for position, letter in enumerate(word[1:], 1):
        flag = next((flag for flag in page.flags if flag.short == f"-{letter}"), None)
        if flag is None:
            raise UsageError(f"{page.name}: -{letter}: unknown option; see 'emperor-trio {page.name} --help'")
        following = word[position + 1 :]
        if flag.metavar:
            values[flag.name] = _value(page, flag, flag.short, following or None, rest)
            return
        values[flag.name] = True


def _named(page: Page, typed: str) -> Flag:
    known = {flag.name: flag for flag in page.flags}
    begun = [name for name in known if name.startswith(typed)]
    if typed in known:
        return known[typed]
    if len(begun) == 1 and len(typed) > 2:
        return known[begun[0]]
    if begun and len(typed) > 2:
        raise UsageError(f"{page.name}: {typed} may be {' or '.join(begun)}")
    guess = nearest(typed, [*known, "--help"])
    hint = f"did you mean {guess}?" if guess else f"see 'emperor-trio {page.name} --help'"
    raise UsageError(f"{page.name}: {typed}: unknown option; {hint}")


def _value(page: Page, flag: Flag, typed: str, text: str | None, rest: Iterator[str]) -> object:
    if not flag.metavar:
        return True
    if text is None:
        text = next(rest, None)
    if text is None:
        raise UsageError(f"{page.name}: {typed} needs a value: {flag.metavar}")
    try:
        return flag.read(text)
    except ValueError as error:
        raise UsageError(f"{page.name}: {flag.name} {text}: {error}") from None


def page_text(page: Page, width: int, colour: bool) -> str:
    """The text of ``--help``, at most 100 columns wide."""
    width = max(60, min(width, 100))
    paint = Paint(colour)
    usage = textwrap.wrap(f"emperor-trio {page.usage}", width - 7, subsequent_indent="    ", break_on_hyphens=False)
    lines = [paint.bold("Usage: ") + usage[0], *(" " * 7 + line for line in usage[1:])]
    for paragraph in page.about.split("\n\n"):
        lines += ["", *textwrap.wrap(" ".join(paragraph.split()), width, break_on_hyphens=False)]
    examples = [(f"emperor-trio {page.name} {words}".rstrip(), what) for words, what in page.examples]
    column = max((len(words) for words, _ in examples), default=0) + 4
    lines += ["", paint.bold("Examples"), *table(examples, column, width, paint)]
    rows = [(flag.heading, flag.help) for flag in page.flags]
    lines += ["", paint.bold("Options"), *table([*rows, ("-h, --help", "This text.")], _COLUMN, width, paint)]
    codes = [(str(code), meaning) for code, meaning in MEANINGS.items()]
    lines += ["", paint.bold("Exit codes"), *table(codes, 7, width, paint)]
    return "\n".join(lines)
