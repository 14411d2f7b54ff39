"""Turns a command line, the configs that it names, and the environment into :class:`Settings`.

Here it is decided what becomes of each option: ours, refused, ignored, or a mistake.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping

from emperor_trio.cli.arguments import Argument, nearest, unknown_option
from emperor_trio.cli.foreign import IGNORED, REASONS, uwsgi_options
from emperor_trio.errors import UsageError
from emperor_trio.formats import READERS, Configuration, Entry, Item, Magic, is_config, references
from emperor_trio.settings import COMMAND_LINE, NAMES, Given, Group, Option, Origins, Settings, settle

USAGE = "emperor-trio [OPTIONS] FOLDER | PATTERN | SCHEME://… | CONFIG"

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_UNRESOLVED = re.compile(r"[$%]\(([A-Za-z_][A-Za-z0-9_-]*)\)")


def resolve(
    arguments: Iterable[Argument],
    version: Callable[[], str],
    environ: Mapping[str, str],
    commands: Mapping[str, object],
    *,
    watching: bool = True,
) -> tuple[Settings, Origins]:
    """The settings and where each comes from. Raises :class:`~emperor_trio.errors.UsageError`.

    As in uWSGI, configs that are named without an option come after all options; of an option that is given several
    times the last one counts. ``version`` and ``environ`` are what ``%V`` and ``$(NAME)`` stand for; ``commands`` are
    for hints only. Without ``watching`` there need be no monitor.
    """
    configuration = Configuration(lambda: Magic().of_process(version()), environ)
    configs: list[str] = []
    watched: list[str] = []  # files that a pattern may have become
    for argument in arguments:
        if argument.name == "emperor" and is_config(argument.value or "") and os.path.isfile(argument.value or ""):
            watched.append(argument.value or "")
        if argument.name is not None:
            configuration.add(Item(argument.name, argument.value, COMMAND_LINE))
        elif _is_own_config(argument.value or "", commands):
            configs.append(argument.value or "")
        else:
            configuration.add(Item("emperor", argument.value, COMMAND_LINE))
    try:
        for path in configs:
            configuration.load(path, COMMAND_LINE)
        configuration.finish()
        settings, origins = _settle(configuration)
        if watching and not settings.emperor:
            raise UsageError(
                f"there is nothing to watch\nusage: {USAGE}\nfor example: emperor-trio --emperor /etc/uwsgi/vassals"
            )
    except UsageError as error:
        if not configs or len(configs) + len(watched) < 2:
            raise
        raise UsageError(f"{error}\n{_explain_many(configs[0])}") from None
    return settings, origins


def _explain_many(config: str) -> str:
    """What may be behind it where several configs stand on the command line, which is seldom meant."""
    pattern = os.path.join(os.path.dirname(config), "*" + os.path.splitext(config)[1])
    return (
        f"{config} was read as the emperor's own config, and it is not the only one: "
        f"did your shell expand a pattern? put it in quotes, as in '{pattern}'"
    )


def _is_own_config(word: str, commands: Mapping[str, object]) -> bool:
    """Whether a word besides the options is the emperor's own config; otherwise it is a monitor, or a mistake."""
    if _SCHEME.match(word) or os.path.isdir(word):
        return False
    if is_config(word) and (os.path.lexists(word) or os.path.lexists(word.rpartition(":")[0])):
        return True
    if any(character in word for character in "*?["):
        return False
    if is_config(word):
        raise UsageError(f"{word}: there is no such config")
    if os.path.lexists(word):
        raise UsageError(f"{word}: a config's name must end in one of {' '.join(READERS)}; or give --ini {word}")
    if "/" in word:
        raise UsageError(f"{word}: there is no such folder; make it, or give --emperor {word} to wait for it")
    guess = nearest(word, commands)
    hint = f"did you mean {guess}?" if guess else f"commands are {', '.join(commands)}"
    raise UsageError(f"{word}: neither a folder, a pattern, SCHEME://… nor a config; {hint}")


def _settle(configuration: Configuration) -> tuple[Settings, Origins]:
    """Sort the entries; every mistake is named, not only the first one."""
    given: list[Given] = []
    ignored: list[str] = []
    wrong: list[str] = []
    named = {key for entry in configuration.entries for key in references(entry.item.value or "")}
    for entry in configuration.entries:
        key = entry.item.key
        foreign = uwsgi_options().get(key)
        try:
            if key in configuration.placeholders:
                _check_placeholder(entry)
            elif key in NAMES and not _is_request_log_format(entry):
                given.append(_given(NAMES[key], entry, configuration))
            elif key in NAMES or (foreign and foreign.kind == IGNORED):
                ignored.append(key)
            elif foreign:
                raise UsageError(f"{entry.item}: {REASONS[foreign.kind]}")
            elif key not in named:
                raise UsageError(f"{entry.item}: {unknown_option(key)} (and no %({key}) uses it as a placeholder)")
        except UsageError as error:
            wrong.append(str(error))
    try:
        settings, origins = settle(given, ignored)
    except UsageError as error:
        wrong.append(str(error))
    if wrong:
        raise UsageError("\n".join(wrong))
    return settings, origins


def _given(option: Option, entry: Entry, configuration: Configuration) -> Given:
    if option.group is Group.SHOW:
        raise UsageError(f"{entry.item}: this belongs on the command line")
    value = configuration.expand(entry)
    missing = _UNRESOLVED.search(value or "")
    if missing and not option.kind.verbatim and not _SCHEME.match(value or ""):
        raise UsageError(f"{entry.item}: {missing[1]} is not set; set it, or give a default: $({missing[1]}:-DEFAULT)")
    return Given(option, value, entry.item.place)


def _check_placeholder(entry: Entry) -> None:
    if entry.item.key in NAMES or entry.item.key in uwsgi_options():
        raise UsageError(f"{entry.item}: an option's name can't be a placeholder; choose another")


def _is_request_log_format(entry: Entry) -> bool:
    """uWSGI's own ``log-format`` is about requests, of which an emperor has none; it is full of ``%``, ours never."""
    return entry.item.key == "log-format" and "%" in (entry.item.value or "")
