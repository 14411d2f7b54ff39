"""``emperor-trio config``: the running emperor's settings, and which of them would be others now."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from emperor_trio.cli.arguments import parse_arguments
from emperor_trio.cli.commands import version
from emperor_trio.cli.effective import DEFAULT, compared, effective
from emperor_trio.cli.exits import EXIT_FAILED, EXIT_OK
from emperor_trio.cli.output import print_text
from emperor_trio.cli.remote.flags import Given
from emperor_trio.cli.remote.link import Link, complain, converse, ink_of
from emperor_trio.cli.remote.paint import Ink, safe
from emperor_trio.cli.remote.plain import document, json_of
from emperor_trio.cli.resolve import resolve
from emperor_trio.control.messages import Setting, SettingList, Settings
from emperor_trio.errors import EmperorError


def run(given: Given) -> int:
    return converse(given, lambda link: _config(link, given))


async def _config(link: Link, given: Given) -> int:
    told = await link.ask(Settings(0), SettingList)
    settings, problem = _compare(told, link.greeting.pid)
    shown = [setting for setting in settings if _is_meant(setting, given.names, all_of_them=given["--all"])]
    if given["--json"]:
        print_text(document({"settings": [json_of(setting) for setting in shown], "problem": problem}))
        return EXIT_OK
    if given.names and not shown:
        complain(f"no setting has to do with {', '.join(given.names)}; 'emperor-trio config --all' shows all")
        return EXIT_FAILED
    print_text("\n".join(_lines(shown, ink_of(os.environ))))
    if problem:
        complain(problem)
    return EXIT_OK


def _compare(told: SettingList, pid: int) -> tuple[list[Setting], str]:
    """The settings with what they would be now, or why that can't be said.

    The command line is read again here, in the emperor's folder and with its environment.
    """
    before = os.getcwd()
    try:
        os.chdir(told.directory)
        _, origins = resolve(parse_arguments(told.arguments), version, _environment(pid), {})
    except (OSError, EmperorError) as error:
        return list(told.settings), f"whether it would be the same now can't be said: {error}"
    finally:
        os.chdir(before)
    return list(compared(told.settings, effective(origins))), ""


def _environment(pid: int) -> Mapping[str, str]:
    with open(f"/proc/{pid}/environ", "rb") as file:
        words = file.read().split(b"\0")
    return {
        os.fsdecode(name): os.fsdecode(value) for name, _, value in (word.partition(b"=") for word in words if word)
    }


def _is_meant(setting: Setting, words: Sequence[str], *, all_of_them: bool) -> bool:
    if words:
        return any(word.lower().lstrip("-") in setting.name for word in words)
    return all_of_them or setting.origin != DEFAULT or setting.now is not None


def _lines(settings: Sequence[Setting], ink: Ink) -> list[str]:
    column = max((len(setting.name) for setting in settings), default=0) + 2
    lines = []
    for setting in settings:
        lines.append(f"{setting.name.ljust(column)}{safe(setting.value) or '-'}  {ink(safe(setting.origin), 'dim')}")
        if setting.now is not None:
            lines.append(" " * column + ink(f"now: {safe(setting.now) or '-'}", "yellow"))
    return lines
