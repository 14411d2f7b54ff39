"""The chain of programs that prepares a child: from a :class:`Launch` to the words that are executed. Pure.

Each program changes one thing about itself and executes the next, so that the process id stays the same: ``env`` resets
signals, ``unshare`` makes namespaces, ``setpriv`` drops privileges and arms the parent-death signal, and a few lines of
``/bin/sh`` do the rest with the rights of the vassal. Nothing a tenant can write is ever part of the shell's script: it
reads positional parameters only. See ``docs/adr/0001-how-a-vassal-is-launched.md``.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass

from emperor_trio.errors import UsageError
from emperor_trio.model import CAPABILITIES, Owner
from emperor_trio.processes.launch import Launch

LOST_PARENT = 125
"""Exit code of a child whose emperor died before the two could be tied together."""

SYSTEM_FOLDERS = "/usr/sbin:/usr/bin:/sbin:/bin"

SHELL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""The variables that every shell hands on; dash drops the others."""

SHELL_OWN = frozenset({"BASHOPTS", "BASH_ENV", "ENV", "IFS", "LINENO", "OPTIND", "PPID", "PS4", "SHELLOPTS"})
"""Variables by which shells live: they would break a start, or come out changed."""

FOUND = """\
found() {
    case $1 in
    */*) [ -f "$1" ] && [ -x "$1" ] ;;
    *) command -v -- "$1" >/dev/null 2>&1 ;;
    esac
}"""

INIT_GROUPS = """\
groups=$(id -G "+$1" 2>/dev/null | tr ' ' ,)
gid=$2
setpriv=$3
shift 3
exec "$setpriv" --groups "${groups:-$gid}" "$@\""""
"""All groups of the user, its primary one included, as uWSGI's initgroups() sets them; who is not in the user database
has the config's group only. (setpriv's own ``--init-groups`` refuses the latter, and leaves the primary group out.)"""


@dataclass(frozen=True, slots=True)
class Tools:
    """Where the programs of the chain are."""

    setpriv: str
    unshare: str
    env: str
    timeout: str
    shell: str = "/bin/sh"


def find_tools() -> Tools:
    """Look the programs up in PATH and in the system's own folders.

    Raises :class:`~emperor_trio.errors.UsageError` naming the package of one that is missing.
    """
    path = f"{os.environ.get('PATH', '')}:{SYSTEM_FOLDERS}"

    def find(name: str, package: str) -> str:
        found = shutil.which(name, path=path)
        if found is None:
            raise UsageError(f"{name} is not installed, and vassals are started through it: install {package}")
        return os.path.abspath(found)

    return Tools(
        setpriv=find("setpriv", "util-linux"),
        unshare=find("unshare", "util-linux"),
        env=find("env", "coreutils"),
        timeout=find("timeout", "coreutils"),
    )


def chain(launch: Launch, tools: Tools, emperor: int, *, reset_signals: bool = False) -> list[str]:
    """The words that start ``launch``. ``emperor`` is the process id of the one who starts it.

    ``reset_signals`` is for an emperor that ignores or blocks signals, which children inherit.
    """
    words = [tools.env, "--default-signal"] if reset_signals else []
    bounding = _bounding_set(launch.capabilities)
    if not launch.namespaces:
        words += _setpriv(launch, tools, launch.owner, bounding)
    elif "user" in launch.namespaces:
        # Whoever makes a user namespace is root inside it, and owns it outside: so first become the owner.
        words += [
            *_setpriv(launch, tools, launch.owner),
            *_unshare(launch, tools),
            *_setpriv(launch, tools, None, bounding),
        ]
    else:
        # unshare stays as the parent in front of a new PID namespace, and has to die with the emperor, too.
        words += _setpriv(launch, tools, None) if "pid" in launch.namespaces else []
        words += [*_unshare(launch, tools), *_setpriv(launch, tools, launch.owner, bounding)]
    script, parameters = _script(launch, tools, emperor)
    return [*words, tools.shell, "-c", script, "emperor-trio", *parameters]


def _setpriv(launch: Launch, tools: Tools, owner: Owner | None, bounding: Iterable[str] = ()) -> list[str]:
    """Drop privileges, then arm the parent-death signal: in this order, for a change of uid clears it."""
    options = [*bounding, "--pdeathsig", "KILL", "--"]
    if owner is None:
        return [tools.setpriv, *options]
    uid, gid = str(owner.uid), str(owner.gid)
    identity = ["--reuid", uid, "--regid", gid]
    if launch.initgroups:
        return [tools.shell, "-c", INIT_GROUPS, "emperor-trio", uid, gid, tools.setpriv, *identity, *options]
    return [tools.setpriv, *identity, "--clear-groups", *options]


def _bounding_set(capabilities: tuple[str, ...] | None) -> list[str]:
    """Keep these and CAP_SETPCAP, as uWSGI does; drop all others from the bounding set."""
    if capabilities is None:
        return []
    names = (name if name in CAPABILITIES else f"cap_{name}" for name in capabilities)
    return ["--bounding-set=" + ",".join(["-all", "+setpcap", *(f"+{name}" for name in names)])]


def _unshare(launch: Launch, tools: Tools) -> list[str]:
    options = [f"--{name}" for name in sorted(launch.namespaces)]
    if "pid" in launch.namespaces:
        options += ["--fork", "--kill-child=KILL"]
    if "user" in launch.namespaces:
        options += ["--map-root-user"]
    return [tools.unshare, *options, "--"]


class _Parameters:
    """Collects positional parameters; each is known to the script by its number alone."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def __call__(self, word: str) -> str:
        self.words.append(word)
        return f'"${{{len(self.words)}}}"'

    def each(self, words: Iterable[str]) -> str:
        return " ".join(map(self, words))


def _script(launch: Launch, tools: Tools, emperor: int) -> tuple[str, list[str]]:
    """The lines that run as the vassal, and their parameters."""
    use = _Parameters()
    lines = _parent_check(use(str(emperor)), "pid" in launch.namespaces)
    if launch.descriptor_limit is not None:
        lines.append(f"ulimit -S -n {use(str(launch.descriptor_limit))}")
    # In the vassal's own process group, so that it is killed with the vassal; and each tied to its parent's life.
    tied = [tools.setpriv, "--pdeathsig", "KILL", "--"]
    limit = [*tied, tools.timeout, "--foreground", "-k", "1", f"{launch.hook_timeout:g}", *tied]
    if launch.start_hook is not None:
        lines.append(f"{use.each((*limit, *launch.start_hook))} </dev/null")
    for command in launch.checks:
        lines.append(f"{use.each((*limit, tools.shell, '-c', command))} </dev/null || {{")
        lines.append(f"    printf 'exec-as-vassal: %s: ended with %s\\n' {use(command)} $? >&2")
        lines += ["    exit 1", "}"]
    if len(launch.commands) > 1:
        lines.append(FOUND)
    through = _environment_command(launch, tools)
    *others, last = launch.commands
    lines += [f"found {use(command[0])} && exec {use.each((*through, *command))}" for command in others]
    lines.append(f"exec {use.each((*through, *last))}")
    return "\n".join(lines), use.words


def _parent_check(emperor: str, pid_namespace: bool) -> list[str]:
    """The parent-death signal is armed by now: leave if the emperor died before that, for nobody will send it."""
    if not pid_namespace:
        return [f'[ "$PPID" = {emperor} ] || exit {LOST_PARENT}']
    # In a new PID namespace the parent is always 0. /proc is still the emperor's; it may hide other users' processes.
    stat = f'"/proc/"{emperor}"/stat"'
    return [
        f"if [ -r /proc/1/stat ] && ! [ -r {stat} ]; then exit {LOST_PARENT}; fi",
        f"if read -r stat 2>/dev/null <{stat}; then case ${{stat##*) }} in [ZX]*) exit {LOST_PARENT} ;; esac; fi",
    ]


def shell_environment(launch: Launch) -> dict[str, str]:
    """The variables in which the chain is to be executed; the others go around the shell."""
    return {name: value for name, value in launch.environment.items() if _passes(name)}


def _passes(name: str) -> bool:
    return SHELL_NAME.fullmatch(name) is not None and name not in SHELL_OWN


def _environment_command(launch: Launch, tools: Tools) -> list[str]:
    """What brings the variables to the command that a shell would not hand on."""
    lost = [f"{name}={value}" for name, value in launch.environment.items() if not _passes(name)]
    return [tools.env, "--", *lost] if lost else []
