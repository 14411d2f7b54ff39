"""Where the control channel is: the path of its socket, for the emperor that makes it and the client that looks for it.

What finds it needs the standard library alone, so that a command which finds no emperor is quick.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from emperor_trio.errors import ControlError

if TYPE_CHECKING:
    from emperor_trio.listening import Listening

OPTION = "--control"
VARIABLE = "EMPEROR_TRIO_CONTROL"
"""The variable that names the socket for clients."""

NONE = "none"
FOLDER = "emperor-trio"
ROOTS = f"/run/{FOLDER}/control.sock"


def default_path(environ: Mapping[str, str]) -> str | None:
    """Where an emperor of this user has its socket; ``None`` where there is no place for it."""
    if os.geteuid() == 0:
        return ROOTS
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    return os.path.join(runtime, FOLDER, "control.sock") if os.path.isabs(runtime) else None


def find_socket(explicit: str | None, environ: Mapping[str, str]) -> str:
    """The socket that a client is to use: the one that is named, else this user's own, else root's.

    Raises :class:`~emperor_trio.errors.ControlError` where none is named and none is there.
    """
    named = explicit or environ.get(VARIABLE)
    if named:
        return named
    places = [place for place in (default_path(environ), ROOTS) if place is not None]
    there = next((place for place in places if os.path.lexists(place)), None)
    if there is None:
        raise ControlError(
            f"no emperor is to be found: there is no {' or '.join(dict.fromkeys(places))}. Start one (emperor-trio"
            f" --help), or name its socket with {OPTION} PATH or {VARIABLE}"
        )
    return there


def bind_control(address: str | socket.socket, owner: tuple[int, int] | None = None) -> Listening:
    """Listen on a path, which nobody but its owner may use, or on a socket that somebody else has opened.

    ``owner`` (uid, gid) is whom the emperor becomes. Raises :class:`~emperor_trio.errors.UsageError`.
    """
    from emperor_trio.listening import adopt, listen_on_path

    if isinstance(address, socket.socket):
        return adopt(address)
    path = os.path.abspath(address)
    with suppress(OSError):  # what is wrong with the folder is told when the socket can't be made in it
        _make_folder(os.path.dirname(path), owner)
    bound = listen_on_path(OPTION, path, 0o600)
    if owner is not None:
        os.chown(path, *owner, follow_symlinks=False)
    return bound


def _make_folder(folder: str, owner: tuple[int, int] | None) -> None:
    """Only the one that is meant for it: no other folder is made by mistake."""
    if os.path.basename(folder) == FOLDER and not os.path.isdir(folder):
        os.mkdir(folder, 0o755 if os.geteuid() == 0 else 0o700)
        if owner is not None:
            os.chown(folder, *owner)
