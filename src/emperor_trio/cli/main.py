"""The entry point: from the words of the command line to a running emperor, or to a clear text and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from emperor_trio.cli.arguments import Argument, parse_arguments
from emperor_trio.cli.commands import COMMANDS, OPTIONS_OF_COMMANDS, version
from emperor_trio.cli.exits import EXIT_FAILED, EXIT_NO_EMPEROR, EXIT_USAGE, NoEmperor
from emperor_trio.cli.resolve import resolve
from emperor_trio.errors import EmperorError, UsageError
from emperor_trio.masking import masked
from emperor_trio.settings import NAMES, Origins

if TYPE_CHECKING:
    from emperor_trio.control.messages import SettingList


def main(argv: Sequence[str] | None = None) -> int:
    """Run what ``argv`` asks for (without the program's name; by default that of the process).

    The exit code: 0 where all went as asked, 2 for a wrong command line or config, 3 where no emperor answers,
    1 for anything else.
    """
    try:
        return _run(sys.argv[1:] if argv is None else argv)
    except UsageError as error:
        _complain(str(error))
        return EXIT_USAGE
    except NoEmperor as error:
        _complain(str(error))
        return EXIT_NO_EMPEROR
    except EmperorError as error:
        _complain(str(error))
        return EXIT_FAILED
    except BrokenPipeError:
        return EXIT_FAILED  # whoever read our answer had enough of it


def _run(argv: Sequence[str]) -> int:
    if argv and argv[0] in COMMANDS:
        return COMMANDS[argv[0]].run(argv[1:])
    arguments = parse_arguments(argv)
    for argument in arguments:
        words = _command_of(argument)
        if words is not None:
            return COMMANDS[words[0]].run(words[1:])
    directory = os.getcwd()
    settings, origins = resolve(arguments, version, os.environ, COMMANDS)
    from emperor_trio.app import main as reign  # here, because it imports Trio

    return reign(settings, partial(_tell, origins, argv, directory))


def _tell(origins: Origins, argv: Sequence[str], directory: str) -> SettingList:
    """The settings, as the control channel tells them."""
    from emperor_trio.cli.effective import effective, masked_words
    from emperor_trio.control.messages import SettingList

    return SettingList(0, effective(origins), masked_words(argv), directory)


def _command_of(argument: Argument) -> tuple[str, ...] | None:
    option = NAMES.get(argument.name or "")
    return OPTIONS_OF_COMMANDS.get(option.name) if option else None


def _complain(text: str) -> None:
    """Whoever quotes an option's value masks it; what else may hold a password (a stray word, say) is masked here."""
    print("\n".join(f"emperor-trio: {masked(line)}" for line in text.splitlines()), file=sys.stderr)
