"""Looking at files that were announced by their path: what one is now, and which changed. Runs in worker threads.

Only their metadata is asked for; no config is opened. FIFOs, devices and what /proc shows are no files here. In Tyrant
mode it counts whose links lead to a file, also those among the folders on its way.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress

from emperor_trio.model import Owner
from emperor_trio.monitors._amqp_messages import NOT_FILES
from emperor_trio.monitors._entries import ABSENT, Absent, Entry, Failed, Found, Outcome, Refused, Rules, examine
from emperor_trio.monitors._ways import walked

CURRENT_FOLDER = -100
"""AT_FDCWD: with an absolute path the folder does not matter."""

Links = dict[str, frozenset[int]]
"""Whose links lead to a folder, by its path."""


def look_at(paths: Iterable[str], rules: Rules) -> dict[str, Outcome]:
    """What each of these is now. One that is not there is surely gone only where its folder is there."""
    pretenders = _find_pretenders()
    return {path: _look(path, rules, pretenders) for path in paths}


def find_changed(expected: Mapping[str, Owner | None], rules: Rules) -> list[str]:
    """Those that are no files any more, can't be looked at, or (where an owner is given) have another one, or are
    reached over the link of a stranger."""
    links: Links = {}
    return [path for path, owner in expected.items() if not _is_as_before(path, owner, rules, links)]


def _is_as_before(path: str, owner: Owner | None, rules: Rules, links: Links) -> bool:
    try:
        status = os.stat(path, follow_symlinks=not rules.nofollow)
        if not (stat.S_ISREG(status.st_mode) or (rules.nofollow and stat.S_ISLNK(status.st_mode))):
            return False
        if owner is None:
            return True
        own = os.lstat(path)
        source = own if rules.tyrant_nofollow else status
        followed = stat.S_ISLNK(own.st_mode) and not rules.nofollow and not rules.tyrant_nofollow
        strangers = _owners_of_links(path, followed, links) - {0, os.geteuid(), owner.uid}
    except OSError:
        return False
    return not strangers and Owner(source.st_uid, source.st_gid) == owner


def _owners_of_links(path: str, followed: bool, links: Links) -> frozenset[int]:
    """Whose links lead to a file, itself among them where it is ``followed``. Each folder is walked to once."""
    if followed:
        with walked(path) as (_, owners):
            return owners
    folder = os.path.dirname(path)
    if folder not in links:
        with walked(folder) as (_, links[folder]):
            pass
    return links[folder]


def _look(path: str, rules: Rules, pretenders: frozenset[int]) -> Outcome:
    try:
        with _folder_of(path, rules) as (folder, file, links):
            own = os.stat(file, dir_fd=folder, follow_symlinks=False)
            outcome = examine(Entry(path, file, folder, None, links), own, rules, tuple, None)
    except OSError as error:
        if error.errno in ABSENT:
            return Absent("there is no such file", sure=os.path.isdir(os.path.dirname(path)))
        return Failed(os.strerror(error.errno or 0))
    if isinstance(outcome, Found) and _device_of(path) in pretenders:
        return Refused("path", repr(path), f"it leads into one of {', '.join(NOT_FILES)}", outcome.spec.owner)
    return outcome


@contextmanager
def _folder_of(path: str, rules: Rules) -> Iterator[tuple[int, str, frozenset[int]]]:
    """From where to look at a file, by which name, and in Tyrant mode whose links lead to there."""
    if not rules.tyrant:
        yield CURRENT_FOLDER, path, frozenset()
        return
    folder, name = os.path.split(path)
    with walked(folder) as (end, owners):
        yield end, name, owners


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
