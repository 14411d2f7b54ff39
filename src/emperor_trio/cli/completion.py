"""Completion for shells: the scripts, and the words that they ask for, names of vassals from the running emperor among
them. Whatever goes wrong, there is nothing to complete, and nothing is printed besides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from emperor_trio.cli.output import print_text
from emperor_trio.cli.remote.flags import Flag, Page
from emperor_trio.cli.remote.pages import LEVELS, SORTS, STATES
from emperor_trio.cli.remote.start import COMMANDS as REMOTE
from emperor_trio.errors import UsageError
from emperor_trio.settings import NAMES, OPTIONS

USAGE = """usage: emperor-trio completion bash|zsh|fish
for example: emperor-trio completion bash > /etc/bash_completion.d/emperor-trio"""

_BASH = """\
_emperor_trio() {
    local IFS=$'\\n'
    COMPREPLY=($(emperor-trio completion --words "$COMP_CWORD" "${COMP_WORDS[@]:1}" 2>/dev/null))
    compopt -o filenames 2>/dev/null
    [ ${#COMPREPLY[@]} -gt 0 ] || compopt -o default 2>/dev/null
}
complete -F _emperor_trio emperor-trio
"""

_ZSH = """\
#compdef emperor-trio
_emperor_trio() {
    local -a found
    found=("${(@f)$(emperor-trio completion --words $((CURRENT - 1)) "${(@)words[2,-1]}" 2>/dev/null)}")
    if [[ -n "$found[1]" ]]; then compadd -Q -- "${(@q)found}"; else _files; fi
}
if [[ "$funcstack[1]" = _emperor_trio ]]; then _emperor_trio "$@"; else compdef _emperor_trio emperor-trio; fi
"""

_FISH = """\
function __emperor_trio
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    emperor-trio completion --words (count $before) $before[2..-1] "$current" 2>/dev/null
end
complete -c emperor-trio -a '(__emperor_trio)'
"""

SCRIPTS: Mapping[str, str] = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}

Ask = Callable[[str], Iterable[str]]
"""The names of vassals that begin so."""


def run(words: Sequence[str], commands: Iterable[str]) -> int:
    """Print a shell's script, or the words for a line that is being typed."""
    match list(words):
        case ["--words", at, *typed] if at.isdigit():
            from emperor_trio.cli.remote.names import ask_emperor  # here, because it imports Trio

            number = int(at) - 1
            typed += [""] * (number + 1 - len(typed))
            found = list(candidates(typed[:number], typed[number], commands, ask_emperor(typed)))
            if found:
                print_text("\n".join(found))
            return 0
        case [shell] if shell in SCRIPTS:
            print_text(SCRIPTS[shell].rstrip())
            return 0
    raise UsageError(f"completion: {' '.join(words)}\n{USAGE}" if words else USAGE)


def candidates(before: Sequence[str], current: str, commands: Iterable[str], ask: Ask) -> Iterable[str]:
    """What may stand in the place of the word that is being typed, behind those ``before`` it."""
    page = REMOTE.get(before[0]) if before else None
    if page is not None:
        return _of_page(page, before[1:], current, ask)
    if before and before[0] == "help":
        return _beginning(commands, current)
    if before and before[0] == "completion":
        return _beginning(SCRIPTS, current)
    if current.startswith("-"):
        return _beginning((f"--{option.name}" for option in OPTIONS), current)
    if before and before[-1].removeprefix("--") in NAMES:
        return []  # its value, which the shell may know
    return [] if before else _beginning(commands, current)


def _of_page(page: Page, before: Sequence[str], current: str, ask: Ask) -> Iterable[str]:
    flags = {name: flag for flag in page.flags for name in (flag.name, flag.short) if name}
    awaited = flags.get(before[-1]) if before else None
    if awaited is not None and awaited.metavar:
        return _beginning(_values(awaited), current)
    if current.startswith("-"):
        return _beginning([*(flag.name for flag in page.flags), "--help"], current)
    if page.most == 0 or page.name in ("monitors", "config"):
        return []
    return [name for name in ask(current) if name.isprintable()]


def _values(flag: Flag) -> Sequence[str]:
    return {"--state": STATES, "--sort": SORTS, "--level": LEVELS}.get(flag.name, ())


def _beginning(words: Iterable[str], current: str) -> list[str]:
    return [word for word in words if word.startswith(current)]
