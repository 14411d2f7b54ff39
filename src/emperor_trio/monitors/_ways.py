"""Ways to files, and whose links they lead over. Runs in worker threads.

In Tyrant mode, whoever owns a link on the way could turn it between the look at a file's owner and the start of a
vassal as that owner.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

MOST_LINKS = 40
"""Links in a row that are followed, as in the kernel."""

_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def walked(path: str, start: int | None = None) -> Iterator[tuple[int, frozenset[int]]]:
    """Go a way step by step, from the folder ``start`` where it is relative: a descriptor (O_PATH) of its end, and the
    owners of all links that were followed. What is exchanged meanwhile can't make the two disagree. Raises OSError.
    """
    here = os.open("/", _STEP) if start is None else os.dup(start)
    try:
        owners: set[int] = set()
        links = 0
        waiting = path.split("/")[::-1]
        if path.startswith("/"):
            here = _exchange(here, os.open("/", _STEP))
        while waiting:
            part = waiting.pop()
            if part in ("", "."):
                continue
            there = os.open(part, _STEP, dir_fd=here)
            status = os.fstat(there)
            if not stat.S_ISLNK(status.st_mode):
                here = _exchange(here, there)
                continue
            try:
                target = os.readlink("", dir_fd=there)
            finally:
                os.close(there)
            owners.add(status.st_uid)
            links += 1
            if links > MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if target.startswith("/"):
                here = _exchange(here, os.open("/", _STEP))
            waiting += target.split("/")[::-1]
        yield here, frozenset(owners)
    finally:
        os.close(here)


def _exchange(old: int, new: int) -> int:
    os.close(old)
    return new
