"""Finds uWSGI: which program vassals are, and what it must be told to find itself again when it reloads."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from emperor_trio.errors import SpawnError, UsageError
from emperor_trio.processes.launch import NO_UWSGI, LaunchPolicy

SCRIPT_HEAD = 512


def find_binary(policy: LaunchPolicy) -> tuple[str, ...] | None:
    """The path of uWSGI, and options of its own: ``--binary-path``, else PATH, else beside the running Python.

    ``None`` where there is none, and where ``--emperor-wrapper`` stands in its place. Raises
    :class:`~emperor_trio.errors.SpawnError` where ``--binary-path`` names no program and nothing can stand in for it.
    """
    if policy.wrapper is not None:
        return None
    path = policy.environment.get("PATH")
    if policy.binary is not None:
        named = shutil.which(policy.binary, path=path)
        if named is None and (policy.wrapper_override or policy.wrapper_fallback):
            return None
        if named is None:
            raise SpawnError(_fault("binary-path", policy.binary))
        return _with_options(os.path.abspath(named), path)
    found = shutil.which("uwsgi", path=path) or shutil.which(str(Path(sys.executable).parent / "uwsgi"))
    return _with_options(os.path.abspath(found), path) if found is not None else None


def choose_programs(policy: LaunchPolicy) -> tuple[str, ...]:
    """What vassals run, in the order in which it is tried, up to the first that is sure to be there: one, as a rule.

    Raises :class:`~emperor_trio.errors.UsageError` where nothing can be executed now, by whom this process runs as.
    """
    binary = None if policy.wrapper or policy.binary else find_binary(policy)
    main = policy.wrapper or policy.binary or (binary[0] if binary else None)
    heads = (*policy.wrapper_override, *([main] if main else ()), *policy.wrapper_fallback)
    programs = []
    for head in heads:
        relative = "/" in head and not os.path.isabs(head)
        if relative and head is not policy.binary:  # each vassal's own folder decides
            programs.append(head)
            continue
        found = shutil.which(head, path=policy.environment.get("PATH"))
        if found is not None:
            return (*programs, os.path.abspath(found))
    if programs:
        return tuple(programs)
    if policy.wrapper is not None:
        raise UsageError(_fault("emperor-wrapper", policy.wrapper))
    raise UsageError(_fault("binary-path", policy.binary) if policy.binary is not None else NO_UWSGI)


def _fault(option: str, program: str) -> str:
    """Why a program that an option names can't be executed, and what to do."""
    if "/" not in program:
        reason = "there is no such program in PATH; give its whole path"
    elif os.path.isdir(program):
        reason = "it is a folder; name the program in it"
    elif os.path.exists(program):
        reason = "it is not executable for the user whom the emperor runs as; see chmod(1), or name another"
    else:
        reason = "there is no such program; name one that exists"
    return f"--{option} {program}: {reason}, or leave it out for the uwsgi in PATH"


def _with_options(program: str, path: str | None) -> tuple[str, ...]:
    """uWSGI reloads by executing /proc/self/exe again. For a console script (pyuwsgi) that is a Python outside of the
    virtual environment, which does not know the module: so it is told the right one.
    """
    interpreter = _interpreter(program, path)
    return (program,) if interpreter is None else (program, "--set", f"binary-path={interpreter}")


def _interpreter(program: str, path: str | None) -> str | None:
    """The Python that executes a script; ``None`` where it is another kind of program."""
    try:
        with open(program, "rb") as file:
            lines = os.fsdecode(file.read(SCRIPT_HEAD)).split("\n")
    except OSError:  # executable, though not readable
        return None
    if not lines[0].startswith("#!"):
        return None
    words = lines[0][2:].split()
    names = [os.path.basename(word) for word in words]
    if names[:1] == ["env"]:
        python = next((word for word in words[1:] if not word.startswith("-")), "")
        return shutil.which(python, path=path) if _is_python(python) else None
    if names and _is_python(names[0]):
        return words[0]
    if len(lines) > 1 and lines[1].startswith("'''exec'"):  # installers do so where the path is too long, or has spaces
        return shutil.which("python3", path=os.path.dirname(os.path.realpath(program)))
    return None


def _is_python(name: str) -> bool:
    return os.path.basename(name).startswith(("python", "pypy"))
