"""Writes ``docs/options.md`` out of the options' declaration: ``python tools/options_reference.py``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from emperor_trio.cli.commands import COMMANDS
from emperor_trio.cli.foreign import IGNORED, OURS, REASONS, uwsgi_options
from emperor_trio.cli.help import default_of, heading
from emperor_trio.settings import OPTIONS, Group, Option

TARGET = Path(__file__).parents[1] / "docs/options.md"

INTRODUCTION = """\
# Options

<!-- Made by tools/options_reference.py; don't edit. -->

Everything can be said on the command line, or in the emperor's own config, named with `--ini`, `--xml`, `--yaml`,
`--json` or `--config`, or simply as `emperor-trio FILE`. A key there is an option without its dashes:

```ini
[uwsgi]
emperor = /etc/uwsgi/vassals
emperor = /srv/*/uwsgi.ini
emperor-freq = 1
```

```toml
emperor = ["/etc/uwsgi/vassals", "/srv/*/uwsgi.ini"]
emperor-freq = 1
```

Of an option that is given several times the last one counts, unless it is repeatable. As in uWSGI, an option may be
shortened as far as it stays unambiguous, a config counts at the place where it is named, and one that is named
without an option counts last. In configs `%n`, `%d`, `%p` and the other magic variables, `$(ENV)`, `$(ENV:-default)`,
`@(file)`, `%(key)`, `include`, `inherit`, `ini = :section`, `set` and `set-placeholder` work as in uWSGI; write `%%`
for a percent sign. Logic (`if-env`, `for`, …) is refused. Times are in seconds (S), but for those in milliseconds
(MS).

Options marked with ✚ are emperor-trio's own.
"""


def reference() -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *_commands(), *_ours(), *_theirs()]) + "\n"


def _commands() -> Iterator[str]:
    yield "## Commands\n"
    yield "A word that stands first, in place of options: `emperor-trio monitors`.\n"
    yield "| command | |"
    yield "|---|---|"
    for name, command in COMMANDS.items():
        text = command.help.replace("|", "\\|")
        yield f"| `{name}` | {text} |"
    yield ""


def _ours() -> Iterator[str]:
    for group in Group:
        yield f"## {group.value}\n"
        yield "| option | default | |"
        yield "|---|---|---|"
        for option in OPTIONS:
            if option.group is group:
                yield _row(option)
        yield ""


def _row(option: Option) -> str:
    mark = " ✚" if option.ours else ""
    notes = ["Repeatable."] if option.many else []
    if option.aliases:
        notes.append("Also " + ", ".join(f"`--{alias}`" for alias in option.aliases) + ".")
    cells = (f"`{heading(option)}`{mark}", default_of(option), " ".join([option.help, *notes]))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _theirs() -> Iterator[str]:
    yield "## Options of uWSGI that are not the emperor's\n"
    yield "Refused, since dropping them would take something away, or change what vassals are given:\n"
    yield "| options | why, and what to use instead |"
    yield "|---|---|"
    for kind, reason in REASONS.items():
        names = [f"`{option.name}`" for option in uwsgi_options().values() if option.kind == kind]
        yield f"| {' '.join(names)} | {reason} |"
    kinds = [option.kind for option in uwsgi_options().values()]
    yield ""
    yield f"{kinds.count(OURS)} of uWSGI's names are taken over. The other {kinds.count(IGNORED)}, which this page does"
    yield "not name, mean nothing to an emperor: they are ignored, with one warning. What uWSGI doesn't know"
    yield "either is a mistake, and the answer has the nearest name."


if __name__ == "__main__":
    TARGET.write_text(reference())
