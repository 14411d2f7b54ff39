"""Looking at files that were announced by their path: what one is now, and which changed. Runs in worker threads.

Only their metadata is asked for; no config is opened. FIFOs, devices and what /proc shows are no files here.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress

from emperor_trio.model import Owner
from emperor_trio.monitors._amqp_messages import NOT_FILES
from emperor_trio.monitors._entries import ABSENT, Absent, Entry, Failed, Found, Outcome, Refused, Rules, examine

CURRENT_FOLDER = -100
"""AT_FDCWD: with an absolute path the folder does not matter."""


def look_at(paths: Iterable[str], rules: Rules) -> dict[str, Outcome]:
    """What each of these is now. One that is not there is surely gone only where its folder is there."""
    pretenders = _find_pretenders()
    return {path: _look(path, rules, pretenders) for path in paths}


def find_changed(expected: Mapping[str, Owner | None], rules: Rules) -> list[str]:
    """Those that are no files any more, can't be looked at, or (where one is given) have another owner."""
    return [path for path, owner in expected.items() if not _is_as_before(path, owner, rules)]


def _is_as_before(path: str, owner: Owner | None, rules: Rules) -> bool:
    try:
        status = os.stat(path, follow_symlinks=not rules.nofollow)
        if not (stat.S_ISREG(status.st_mode) or (rules.nofollow and stat.S_ISLNK(status.st_mode))):
            return False
        source = os.lstat(path) if owner and rules.tyrant_nofollow else status
    except OSError:
        return False
    return owner is None or Owner(source.st_uid, source.st_gid) == owner


def _look(path: str, rules: Rules, pretenders: frozenset[int]) -> Outcome:
    try:
        own = os.lstat(path)
    except OSError as error:
        if error.errno in ABSENT:
            return Absent("there is no such file", sure=os.path.isdir(os.path.dirname(path)))
        return Failed(os.strerror(error.errno or 0))
    outcome = examine(Entry(path, path, CURRENT_FOLDER, None), own, rules, tuple, None)
    if isinstance(outcome, Found) and _device_of(path) in pretenders:
        return Refused("path", repr(path), f"it leads into one of {', '.join(NOT_FILES)}", outcome.spec.owner)
    return outcome


def _device_of(path: str) -> int:
    try:
        return os.stat(path).st_dev
    except OSError:
        return -1


def _find_pretenders() -> frozenset[int]:
    """The file systems of the folders that hold no files, where they are ones of their own."""
    devices = set()
    for folder in NOT_FILES:
        with suppress(OSError):
            devices.add(os.stat(folder).st_dev)
    return frozenset(devices - {os.stat("/").st_dev})
