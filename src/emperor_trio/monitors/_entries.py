"""What one file is to the emperor: a vassal, an entry that is refused, or nothing. Runs in worker threads.

It asks for the metadata of configs; FIFOs, sockets and devices are not touched. What is read is the socket's name
beside a config (``--emperor-on-demand-extension``) and, of configs themselves, nothing but the section ``[emperor]``,
where attributes are collected (``--emperor-collect-attribute``).
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from emperor_trio.formats.ini import read_ini
from emperor_trio.model import Owner, VassalSpec, config_option
from emperor_trio.monitors._ways import walked
from emperor_trio.ports import MonitorContext

MAX_SOCKET_NAME = 4096
"""The most bytes that a file with a socket's name may have."""

MAX_READ = 1024 * 1024
"""The most bytes of a config that are searched for attributes."""

RACY = 20_000_000
"""Nanoseconds: a file that was written so shortly before it was looked at may be written again within the same tick of
the file system's clock, and keep its time."""

ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
"""Errors that are an answer: there is nothing of this name. All others are a source that fails."""

Point = tuple[str, str]
"""A folder and a name in it that a link leads over."""


@dataclass(frozen=True, slots=True)
class Found:
    """A vassal. ``key`` is all that it was made from; ``points`` are what it depends on beyond its own name."""

    spec: VassalSpec
    key: tuple[Hashable, ...]
    racy: bool
    points: tuple[Point, ...] = ()

    def is_unchanged(self, status: os.stat_result) -> bool:
        """Whether a file with this status is sure to be the same vassal: one that depends on nothing but itself."""
        return self.key == _key(status) and not self.racy

    def rewritten(self, newer: Found) -> bool:
        """Whether a newer look saw another content under the same time (size and inode are the key's 2nd and 3rd)."""
        return self.racy and self.spec.version == newer.spec.version and self.key[1:3] != newer.key[1:3]


@dataclass(frozen=True, slots=True)
class Refused:
    """The entry is there, and wrong or not allowed. ``owner`` is whom it belongs to, in Tyrant mode."""

    field: str
    value: str
    reason: str
    owner: Owner | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The entry can't be looked at now."""

    error: str


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no vassal of this name; ``reason`` says what is there instead.

    Where not even its folder is there, it is not ``sure`` that the config is gone, and not only out of sight.
    ``points`` are where a link that leads nowhere may come to lead somewhere.
    """

    reason: str = ""
    sure: bool = True
    points: tuple[Point, ...] = ()


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The file was just created, and its first write goes on."""


Outcome = Found | Refused | Failed | Absent | Unfinished

Follow = Callable[[], tuple[Point, ...]]
"""Finds, and watches, what a link leads over."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the options say about files."""

    nofollow: bool = False
    extra_extensions: frozenset[str] = frozenset()
    magic_exec: bool = False
    tyrant: bool = False
    tyrant_nofollow: bool = False
    socket_extension: str | None = None
    socket_directory: str | None = None
    ask_socket: bool = False
    attributes: frozenset[str] = frozenset()

    @classmethod
    def of(cls, context: MonitorContext) -> Rules:
        return cls(
            nofollow=context.nofollow,
            extra_extensions=context.extra_extensions,
            magic_exec=context.magic_exec,
            tyrant=context.tyrant,
            tyrant_nofollow=context.tyrant_nofollow,
            socket_extension=context.on_demand_extension or None,
            socket_directory=context.on_demand_directory or None,
            ask_socket=bool(context.on_demand_exec),
            attributes=context.attributes,
        )

    def is_config(self, name: str) -> bool:
        return config_option(name, self.extra_extensions) is not None

    def config_of(self, name: str) -> str | None:
        """The config whose socket's name is in the file ``name``, if it is such a file."""
        extension = self.socket_extension
        if extension is None or not name.endswith(extension) or name == extension:
            return None
        return name[: -len(extension)]


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in an open folder. ``name`` is the vassal's, ``file`` the one in the folder ``descriptor``.

    ``links`` are the owners of the links on the way to the folder, in Tyrant mode.
    """

    name: str
    file: str
    descriptor: int
    directory: str | None
    links: frozenset[int] = frozenset()


def examine(
    entry: Entry, status: os.stat_result, rules: Rules, follow: Follow, known: Found | None, *, companion: bool = True
) -> Outcome:
    """What an entry is, by its own ``status`` (a link's own, where it is one).

    ``known`` is what it was before: it comes back as it is where nothing changed. Without ``companion`` there is no
    file with the socket's name. Raises nothing for what a tenant can do.
    """
    try:
        return _examine(entry, status, rules, follow, known, companion)
    except OSError as error:
        return Failed(os.strerror(error.errno or 0))


def _examine(
    entry: Entry, own: os.stat_result, rules: Rules, follow: Follow, known: Found | None, companion: bool
) -> Outcome:
    link = stat.S_ISLNK(own.st_mode)
    points: tuple[Point, ...] = ()
    status, key, links = own, _key(own), entry.links
    if link and not rules.nofollow:
        target, owners = _stat_target(entry, rules)
        if known is not None and target is not None and known.key[:13] == _link_key(own, target):
            points = known.points
        else:
            points = follow()
            target, owners = _stat_target(entry, rules)  # again: first the watch, then the look
        if target is None:
            return Absent("a link that leads nowhere", points=points)
        status, key = target, _link_key(own, target)
        links |= owners
    if not stat.S_ISREG(status.st_mode) and not (link and rules.nofollow):
        return Absent(f"{_name_kind(status.st_mode)}, not a file")
    owner = None
    if rules.tyrant:
        source = own if rules.tyrant_nofollow else status
        owner = Owner(source.st_uid, source.st_gid)
        strangers = links - {0, os.geteuid(), owner.uid}
        if strangers:
            return _refuse_link(min(strangers), owner)
    if rules.socket_extension is not None and companion:
        key += _companion_key(entry, rules.socket_extension)
    if known is not None and known.key == key and not known.racy:
        return known
    if not link and os.geteuid() and not os.access(entry.file, os.R_OK, dir_fd=entry.descriptor, effective_ids=True):
        mode = stat.filemode(status.st_mode)
        return Refused("mode", mode, "the emperor may not read it: change its mode, or the emperor's user", owner)
    socket = _find_socket(entry, rules, owner, companion)
    if isinstance(socket, Refused):
        return socket
    spec = VassalSpec(
        name=entry.name,
        version=status.st_mtime_ns,
        modified=status.st_mtime_ns // 1_000_000_000,
        owner=owner,
        socket=socket,
        ask_socket=rules.ask_socket and not rules.socket_extension and not rules.socket_directory,
        directory=entry.directory,
        executable=rules.magic_exec and _may_execute(entry, status),
        attributes=_collect(entry, status, rules),
    )
    return Found(spec, key, abs(time.time_ns() - status.st_mtime_ns) < RACY, points)


def _key(status: os.stat_result) -> tuple[Hashable, ...]:
    return (status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode, status.st_uid, status.st_gid)


def _link_key(own: os.stat_result, target: os.stat_result) -> tuple[Hashable, ...]:
    return (*_key(target), *_key(own), target.st_dev)


def _refuse_link(uid: int, owner: Owner) -> Refused:
    """Whoever owns a link could turn it to another file while a vassal starts, and have that run as the first one's
    owner. A vassal that was there before stops."""
    reason = f"a link of user {uid} leads to it, who could turn it: give the link to root or to user {owner.uid}"
    return Refused("owner", str(owner), reason)


def _stat_target(entry: Entry, rules: Rules) -> tuple[os.stat_result | None, frozenset[int]]:
    """What a link leads to, if anything; where its owner counts, the owners of all links on the way, too."""
    try:
        if not rules.tyrant or rules.tyrant_nofollow:
            return os.stat(entry.file, dir_fd=entry.descriptor), frozenset()
        with walked(entry.file, entry.descriptor) as (end, owners):
            return os.fstat(end), owners
    except OSError as error:
        if error.errno in ABSENT:
            return None, frozenset()
        raise


def _companion_key(entry: Entry, extension: str) -> tuple[Hashable, ...]:
    try:
        return _key(os.stat(entry.file + extension, dir_fd=entry.descriptor, follow_symlinks=False))
    except OSError as error:
        return (error.errno,)


def _may_execute(entry: Entry, status: os.stat_result) -> bool:
    """Whether anyone may execute the file: the vassal's user is not ours, so the bits count and not our own right."""
    if stat.S_ISLNK(status.st_mode):
        status = os.stat(entry.file, dir_fd=entry.descriptor)
    return bool(status.st_mode & 0o111) and stat.S_ISREG(status.st_mode)


def _collect(entry: Entry, status: os.stat_result, rules: Rules) -> tuple[tuple[str, str], ...]:
    """The attributes in the section ``[emperor]`` of an ini file, as in uWSGI; of a name that comes twice, the first.

    It is opened only once it is known to be the very file that was looked at: to open a device may do something.
    """
    if not rules.attributes or not entry.file.endswith(".ini"):
        return ()
    held = os.open(entry.file, os.O_PATH | os.O_CLOEXEC, dir_fd=entry.descriptor)
    try:
        found = os.fstat(held)
        if (found.st_dev, found.st_ino) != (status.st_dev, status.st_ino) or not stat.S_ISREG(found.st_mode):
            return ()  # exchanged since; the next look sees it
        descriptor = os.open(f"/proc/self/fd/{held}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    finally:
        os.close(held)
    with os.fdopen(descriptor, "rb") as file:
        items = read_ini(file.read(MAX_READ), entry.name, "emperor") or ()
    attributes = {item.key: item.value or "" for item in reversed(items) if item.key in rules.attributes}
    return tuple(sorted(attributes.items()))


def _find_socket(entry: Entry, rules: Rules, owner: Owner | None, companion: bool) -> str | Refused | None:
    """The way is the extension, else the directory; see ``emperor_check_on_demand_socket`` in uWSGI."""
    if rules.socket_extension is not None:
        return _read_socket(entry, entry.file + rules.socket_extension, owner) if companion else None
    if rules.socket_directory is not None:
        stem, dot, _ = entry.file.rpartition(".")
        return os.path.join(rules.socket_directory, f"{stem}.socket") if dot else None
    return None


def _read_socket(entry: Entry, file: str, owner: Owner | None) -> str | Refused | None:
    """The socket's name beside a config. A tenant's FIFO can't block it, nor a link lead it elsewhere."""
    try:
        status = os.stat(file, dir_fd=entry.descriptor, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            return Refused("socket file", repr(file), f"{_name_kind(status.st_mode)}, not a file", owner)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
        descriptor = os.open(file, flags, dir_fd=entry.descriptor)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Refused("socket file", repr(file), os.strerror(error.errno or 0), owner)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return Refused("socket file", repr(file), "was exchanged while it was looked at", owner)
        if owner is not None and Owner(status.st_uid, status.st_gid) != owner:
            theirs = f"belongs to {status.st_uid}:{status.st_gid}, but its vassal to {owner}"
            return Refused("socket file", repr(file), theirs, owner)
        content = os.read(descriptor, MAX_SOCKET_NAME + 1)
    except OSError as error:
        return Refused("socket file", repr(file), os.strerror(error.errno or 0), owner)
    finally:
        os.close(descriptor)
    if len(content) > MAX_SOCKET_NAME:
        return Refused("socket file", repr(file), f"more than {MAX_SOCKET_NAME} bytes", owner)
    text = os.fsdecode(content).strip()
    end = next((position for position, char in enumerate(text) if ord(char) < 32), len(text))
    return text[:end].rstrip() or None


def _name_kind(mode: int) -> str:
    kinds = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISLNK, "a link"),
    )
    return next((kind for test, kind in kinds if test(mode)), "a device")
