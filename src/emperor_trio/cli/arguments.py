"""Takes a command line apart as getopt_long does for uWSGI: which options and values, and what stands besides them.

What the values mean is not known here. (argparse is no help: it would need all 1,300 options of uWSGI declared.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from emperor_trio.cli.foreign import IGNORED, uwsgi_options
from emperor_trio.errors import UsageError
from emperor_trio.masking import masked
from emperor_trio.settings import NAMES, OPTIONS


@dataclass(frozen=True, slots=True)
class Argument:
    """One option by its long name, with its value if it has one; or, without a name, a word besides all options."""

    name: str | None
    value: str | None


def parse_arguments(argv: Sequence[str]) -> list[Argument]:
    """Options and words in their order.

    Raises :class:`~emperor_trio.errors.UsageError` for what neither we nor uWSGI know, and for missing values.
    """
    parsed: list[Argument] = []
    rest = iter(argv)
    for argument in rest:
        if argument == "--":
            parsed.extend(Argument(None, word) for word in rest)
        elif argument.startswith("--"):
            parsed.append(_long(argument[2:], rest))
        elif argument.startswith("-") and argument != "-":
            parsed.extend(_letters(argument[1:], rest))
        else:
            parsed.append(Argument(None, argument))
    return parsed


def nearest(word: str, among: Iterable[str]) -> str | None:
    """The most similar word, if any is similar."""
    from difflib import get_close_matches  # only where there is an error to explain

    return next(iter(get_close_matches(word, list(among), 1, 0.6)), None)


def unknown_option(name: str, dashes: str = "") -> str:
    """What to say about an option that nobody knows; a guess is never one that would be refused. ``dashes`` are for
    where options have them."""
    guess = nearest(name, [*NAMES, *_ignored(uwsgi_options())])
    return "unknown option" + (f"; did you mean {dashes}{guess}?" if guess else "; see --help for all there are")


def _long(text: str, rest: Iterator[str]) -> Argument:
    typed, equals, value = text.partition("=")
    name = _completed(typed)
    if equals:
        if _arity(name) == "no" and name not in NAMES:
            raise UsageError(f"--{name} takes no value: {masked(value)}")
        return Argument(name, value)
    return Argument(name, _value(name, f"--{name}", rest))


def _letters(letters: str, rest: Iterator[str]) -> Iterator[Argument]:
    """``-M``, ``-p4``, ``-p 4``, and several in one word."""
    names = _names_of_letters()
    for position, letter in enumerate(letters):
        name = names.get(letter)
        if name is None:
            raise UsageError(f"-{letter}: unknown option; see --help for all there are")
        following = letters[position + 1 :]
        if following and _arity(name) != "no":
            yield Argument(name, following)
            return
        yield Argument(name, _value(name, f"-{letter}", rest))


def _value(name: str, typed: str, rest: Iterator[str]) -> str | None:
    if _arity(name) != "required":
        return None
    value = next(rest, None)
    if value is None:
        expected = f": {NAMES[name].kind.expected}" if name in NAMES else ""
        raise UsageError(f"{typed} needs a value{expected}")
    return value


def _completed(typed: str) -> str:
    """The whole name: as typed, or begun so that only one option can be meant.

    Where uWSGI has options that begin so, ours besides them are not considered: what was unambiguous there stays so.
    """
    if typed in NAMES or typed in uwsgi_options():
        return typed
    for names in (uwsgi_options(), NAMES):
        fitting = [name for name in names if name.startswith(typed)]
        meant = {NAMES[name].name if name in NAMES else name for name in fitting}
        if typed and len(meant) == 1:
            return fitting[0]
        if typed and meant:
            raise UsageError(f"--{typed} is ambiguous: {_choice(sorted(meant))}")
    raise UsageError(f"--{typed}: {unknown_option(typed, '--')}")


def _choice(names: Sequence[str]) -> str:
    """The options among these that mean something here, where there are such; else those that are ignored, if any."""
    return _some([name for name in names if name in NAMES] or _ignored(names) or names)


def _ignored(names: Iterable[str]) -> list[str]:
    return [name for name in names if name in uwsgi_options() and uwsgi_options()[name].kind == IGNORED]


def _some(names: Sequence[str]) -> str:
    return ", ".join(f"--{name}" for name in names[:6]) + (", …" if len(names) > 6 else "")


def _arity(name: str) -> str:
    if name in NAMES:
        kind = NAMES[name].kind
        return "required" if kind.bare is None else "optional" if kind.metavar else "no"
    return uwsgi_options()[name].arity


def _names_of_letters() -> dict[str, str]:
    """Of several names with one letter it is the first; ours go before all others."""
    names = {option.short: option.name for option in OPTIONS if option.short}
    for option in uwsgi_options().values():
        if option.short:
            names.setdefault(option.short, option.name)
    return names
