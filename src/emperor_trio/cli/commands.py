"""The words that may stand first on the command line in place of options, and what they do."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emperor_trio.cli.help import help_text, width_and_colour
from emperor_trio.cli.output import print_text, stdout
from emperor_trio.cli.remote.orders import ORDERS
from emperor_trio.cli.remote.pages import PAGES
from emperor_trio.errors import UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

MONITORS = "emperor_trio.monitors"
"""The group of entry points in which monitors are found, by their scheme."""


@dataclass(frozen=True, slots=True)
class Command:
    """``run`` takes the words behind the command, prints its answer and gives the exit code."""

    help: str
    run: Callable[[Sequence[str]], int]


def _help(words: Sequence[str]) -> int:
    width, colour = width_and_colour(stdout(), os.environ)
    word = " ".join(words) or None
    commands = {name: command.help for name, command in COMMANDS.items()}
    text = help_text(width, colour, word, commands, _schemes() if word else None)
    if not text:
        raise UsageError(f"no option, command or monitor has to do with {word!r}; see --help for all there are")
    print_text(text)
    return 0


def _schemes() -> dict[str, str]:
    """Every monitor's scheme with what its module's first line says of it. Nothing is imported for that."""
    from importlib.metadata import entry_points

    return {entry.name: _first_line(entry.module) for entry in sorted(entry_points(group=MONITORS))}


def _first_line(module: str) -> str:
    """What stands behind the colon of a module's first line; empty where it can't be read."""
    import ast
    from importlib.util import find_spec

    package, *inner = module.split(".")
    try:
        spec = find_spec(package)
        folders = (spec.submodule_search_locations or ()) if spec else ()
        path = os.path.join(next(iter(folders)), *inner) + ".py" if inner else spec.origin if spec else None
        with open(path or "", encoding="utf-8") as file:
            text = ast.get_docstring(ast.parse(file.read())) or ""
    except (OSError, StopIteration, SyntaxError, ValueError):
        return ""
    return text.partition("\n")[0].partition(": ")[2].replace("`", "")


def _version(words: Sequence[str]) -> int:
    _no_words("version", words)
    print_text(f"emperor-trio {version()}")
    return 0


def installed_monitors(words: Sequence[str] = ()) -> int:
    """Print which SCHEME:// there are, and what each needs."""
    from importlib.metadata import entry_points

    _no_words("imperial-monitor-list", words)
    entries = sorted(entry_points(group=MONITORS), key=lambda entry: entry.name)
    column = max((len(entry.name) for entry in entries), default=0) + len("://  ")
    for entry in entries:
        print_text(f"{entry.name}://".ljust(column) + _state(entry))
    return 0


def _state(entry: EntryPoint) -> str:
    """Whether a monitor can be loaded. A broken one costs only its own line."""
    try:
        entry.load()
    except ModuleNotFoundError as error:
        extras = (entry.dist.metadata.get_all("Provides-Extra") if entry.dist else None) or []
        extra = entry.module.rpartition(".")[2]
        hint = f": pip install '{entry.dist.name}[{extra}]'" if entry.dist and extra in extras else ""
        return f"not installed, needs {error.name}{hint}"
    except Exception as error:
        return f"broken: {error}"
    return "installed"


def _pg_trigger(words: Sequence[str]) -> int:
    from emperor_trio.cli.pg_trigger import read_words, trigger_sql

    print_text(trigger_sql(*read_words(words)))
    return 0


def _ldap_schema(words: Sequence[str]) -> int:
    from emperor_trio.cli.ldap_schema import schema, schema_ldif

    match list(words):
        case []:
            print_text(schema().rstrip())
        case ["--ldif"]:
            print_text(schema_ldif().rstrip())
        case _:
            raise UsageError(f"ldap-schema: nothing but --ldif may follow it: {' '.join(words)}")
    return 0


def _completion(words: Sequence[str]) -> int:
    from emperor_trio.cli.completion import run

    return run(words, COMMANDS)


def _check(words: Sequence[str]) -> int:
    from emperor_trio.cli.check import run

    return run(words, version())


def version() -> str:
    """The version of emperor-trio."""
    from importlib.metadata import version as of_distribution  # takes a third of the time that a whole start takes

    return of_distribution("emperor-trio")


def _remote(name: str) -> Callable[[Sequence[str]], int]:
    """A command that talks to a running emperor; what it needs is loaded only when it runs."""

    def run(words: Sequence[str]) -> int:
        from emperor_trio.cli.remote.start import start

        return start(name, words)

    return run


def _no_words(command: str, words: Sequence[str]) -> None:
    if words:
        raise UsageError(f"{command}: nothing may follow it: {' '.join(words)}")


COMMANDS: Mapping[str, Command] = {
    "check": Command("Check vassals' configs without starting anything: 'check FOLDER', 'check FILE…'.", _check),
    "completion": Command(
        "Print what makes a shell complete commands, options and names: 'completion bash', zsh or fish.", _completion
    ),
    "help": Command("This text; 'help WORD' shows what has to do with WORD, monitors and commands, too.", _help),
    "ldap-schema": Command("Print uWSGI's LDAP schema for slapd, with --ldif for cn=config.", _ldap_schema),
    "pg-trigger": Command(
        "Print the SQL that makes a table of PostgreSQL tell pg:// of every change at once:"
        " 'pg-trigger TABLE [--channel NAME] | psql'.",
        _pg_trigger,
    ),
    "version": Command("Show the version.", _version),
    **{page.name: Command(page.line, _remote(page.name)) for page in (*PAGES.values(), *ORDERS)},
}
"""Every command. A new one needs an entry here, and nothing else."""

OPTIONS_OF_COMMANDS: Mapping[str, tuple[str, ...]] = {
    "help": ("help",),
    "version": ("version",),
    "imperial-monitor-list": ("monitors", "--installed"),
}
"""Options that do what a command with its words does, as in uWSGI."""
