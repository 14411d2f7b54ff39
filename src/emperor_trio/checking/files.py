"""Opens configs that anyone may have written: nothing but plain files, never waiting, with the caller's rights."""

from __future__ import annotations

import os
import stat

from emperor_trio.model import Owner

LARGEST_FILE = 256 << 10
"""Bytes of a config that is looked at. An honest one has a few thousand; a yaml of this size takes seconds."""


class Unreadable(Exception):
    """Why a config is not read. ``missing`` where there is none."""

    def __init__(self, reason: str, *, missing: bool = False) -> None:
        super().__init__(reason)
        self.missing = missing


def read_config(path: str, owner: Owner | None) -> bytes:
    """The content of a file, by its absolute path. Raises :class:`Unreadable`.

    With ``owner``, only what that user may read is read: what a tenant's config includes is shown in what is found, and
    the tenant's vassal could not include it. (Further groups and access lists are not looked at.)
    """
    try:
        # To open a device may do something, and a FIFO may wait: what it is, is asked before.
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _explain(error) from None
    try:
        status = os.fstat(place)
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable("it is not a file; put one in its place")
        if owner is not None and not _may_read(status, owner):
            raise Unreadable(f"its vassal runs as {owner}, who may not read it; give it to that user")
        descriptor = os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise _explain(error) from None
    finally:
        os.close(place)
    if len(data) > LARGEST_FILE:
        raise Unreadable(f"it is larger than {LARGEST_FILE >> 10} KiB, which no config needs")
    return data


def _explain(error: OSError | ValueError) -> Unreadable:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return Unreadable("there is no such file", missing=True)
    reason = os.strerror(error.errno or 0) if isinstance(error, OSError) else "a path holds no NUL"
    return Unreadable(f"it can't be read: {reason}")


def _may_read(status: os.stat_result, owner: Owner) -> bool:
    if status.st_uid == owner.uid:
        return bool(status.st_mode & stat.S_IRUSR)
    if status.st_gid == owner.gid:
        return bool(status.st_mode & stat.S_IRGRP)
    return bool(status.st_mode & stat.S_IROTH)
