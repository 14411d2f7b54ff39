"""The short way to a child: one tiny program of our own in place of the chain, for launches that ask for nothing rare.

It was compiled where emperor-trio was built (``tether.c``); without it every launch goes through the chain. Pure, but
for :func:`open_tether`.
"""

from __future__ import annotations

import os
from pathlib import Path

from emperor_trio.processes.launch import Launch

PROGRAM = Path(__file__).with_name("tether")


def open_tether() -> int | None:
    """A descriptor of the program, close-on-exec, to be executed by :func:`tether_path`; ``None`` where there is none.

    It stays the one that this emperor was started with, whatever an upgrade puts in its place.
    """
    return os.open(PROGRAM, os.O_PATH | os.O_CLOEXEC) if os.access(PROGRAM, os.X_OK) else None


def tether_path(number: int) -> str:
    """The path by which a child of this process executes a descriptor."""
    return f"/proc/self/fd/{number}"


def can_tether(launch: Launch) -> bool:
    """Whether the program can do all that the launch asks for."""
    groups = launch.owner is not None and launch.initgroups
    rare = launch.namespaces or launch.capabilities is not None or launch.umask is not None or groups
    return (
        not (rare or launch.start_hook or launch.checks) and len(launch.commands) == 1 and "/" in launch.commands[0][0]
    )


def tether(launch: Launch, program: str, emperor: int) -> list[str]:
    """The words that start ``launch``. ``emperor`` is the process id of the one who starts it."""
    owner, limit = launch.owner, launch.descriptor_limit
    uid, gid = (str(owner.uid), str(owner.gid)) if owner is not None else ("-", "-")
    return [
        program,
        str(emperor),
        launch.directory or ".",
        "-" if limit is None else str(limit),
        uid,
        gid,
        *launch.commands[0],
    ]
