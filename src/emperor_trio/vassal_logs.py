"""The logs of vassals as files (``--vassal-logs DIR``): their names, how they are opened, and how they are read.

One scheme of names for all: who writes a log, who rotates it and who reads it. Nothing here is followed through a link,
and nothing waits: a name that is no plain file of ours is refused. ``docs/vassal-logs.md`` tells people.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emperor_trio.errors import UsageError
from emperor_trio.model import CONFIG_OPTIONS, VassalId

SUFFIX = ".log"

LONGEST_NAME = 160
"""Bytes of a quoted name at most; what is longer is cut, and told apart by a hash. A name of a file has 255."""

MODE = 0o640

BLOCK = 64 * 1024
"""Bytes that are read at once."""

LONGEST_LINE = 64 * 1024
"""Bytes; what is longer comes in pieces."""

MOST_READ = 1024 * 1024
"""Bytes of logs that one call reads at most, whatever it is asked for."""

_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-+=,:")
_NAME = re.compile(
    r"(?P<quoted>(?![.-])(?:[A-Za-z0-9._+=,:-]|%[0-9A-F]{2})+)(?P<hash>~[0-9a-f]{32})?(?:@[0-9a-f]{12})?(?:@zerg[0-9]+)?\.log"
)
_ROTATED = re.compile(r"(?P<log>.+\.log)\.(?P<number>[1-9][0-9]{0,9})")


# --- names -----------------------------------------------------------------------------------------------------------


def file_name(vassal: VassalId, first: str) -> str:
    """The name of a vassal's log: no two vassals have the same one.

    ``first`` is the first monitor of the command line (its name, passwords masked): its vassals' logs are named after
    them alone, those of the others have the monitor's hash behind the name. Letters, digits and ``._-+=,:`` stand for
    themselves, every other byte is ``%XX``, as is a dot or a dash at the beginning.

    Raises UnicodeEncodeError for a name that no process can be given either.
    """
    raw = vassal.name.encode("utf-8", "surrogateescape")
    name = quoted(raw)
    if len(name) > LONGEST_NAME:
        name = re.sub("%.?$", "", name[:LONGEST_NAME]) + "~" + hashlib.sha256(raw).hexdigest()[:32]
    if vassal.monitor != first:
        name += "@" + hashlib.sha256(vassal.monitor.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    if vassal.ordinal:
        name += f"@zerg{vassal.ordinal}"
    return name + SUFFIX


def quoted(raw: bytes) -> str:
    """Bytes as they stand in the name of a log."""
    text = "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in raw)
    return f"%{raw[0]:02X}{text[1:]}" if text.startswith((".", "-")) else text


def log_path(directory: str, vassal: VassalId, first: str) -> str:
    """Where a vassal's log is; see :func:`file_name`."""
    return os.path.join(directory, file_name(vassal, first))


def is_log(name: str, extra: frozenset[str] = frozenset()) -> bool:
    """Whether a file of this name can be a vassal's log; other programs' logs are none of ours, wherever they lie.

    ``extra`` holds the extensions added by ``--emperor-extra-extension``.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        return False
    endings = (*CONFIG_OPTIONS, *(quoted(b"x" + os.fsencode(ending))[1:] for ending in extra if ending))
    return found["hash"] is not None or found["quoted"].endswith(endings)


def rotated(name: str) -> tuple[str, int] | None:
    """The log that a file is a rotated copy of, and its number (1 is the newest); ``None`` where it is none."""
    found = _ROTATED.fullmatch(name)
    return (found["log"], int(found["number"])) if found else None


# --- opening ---------------------------------------------------------------------------------------------------------


def check_folder(directory: str) -> None:
    """See that nobody but root and us can put anything into the folder, or another in its place.

    Raises :class:`~emperor_trio.errors.UsageError`.
    """
    option = f"--vassal-logs {directory}"
    try:
        os.close(open_folder(directory))
        for path in (Path(os.path.abspath(directory)), Path(directory).resolve()):
            for above in path.parents:
                found = above.stat()
                if complaint := _complaint(found, sticky=True):
                    raise UsageError(f"{option}: {above} {complaint}, so its logs could be anyone's")
    except FileNotFoundError:
        raise UsageError(f"{option}: there is no such folder: install -d -m 750 {directory}") from None
    except OSError as error:
        raise UsageError(f"{option}: {error.strerror}") from error
    if not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        raise UsageError(f"{option}: user {os.geteuid()}, whom the emperor runs as, can't write there")


def open_folder(directory: str) -> int:
    """A descriptor of the folder. Raises OSError, too where others than root and us may write into it."""
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK | os.O_CLOEXEC)
    if complaint := _complaint(os.fstat(folder)):
        os.close(folder)
        raise OSError(errno.EPERM, f"it {complaint}: name a folder of its own", directory)
    return folder


def _complaint(found: os.stat_result, *, sticky: bool = False) -> str:
    """What is wrong with a folder, "" for nothing. ``sticky`` lets pass what others may only add to."""
    user = os.geteuid()
    if found.st_uid not in (0, user):
        return f"belongs to user {found.st_uid}, but the emperor runs as user {user}"
    if found.st_mode & 0o022 and not (sticky and found.st_mode & stat.S_ISVTX):
        return "can be written by others"
    return ""


def open_log(folder: int, name: str, flags: int = os.O_WRONLY | os.O_APPEND | os.O_CREAT) -> int:
    """A blocking descriptor, close-on-exec, of a log in an open folder, made where it is missing and ``flags`` say so.

    Raises OSError, too where it is a link, has another name elsewhere, is no plain file, or belongs to someone else.
    """
    cautious = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        log = os.open(name, flags | cautious, MODE, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a link, and no log is written through one", name) from None
        if error.errno == errno.ENXIO:
            raise OSError(errno.ENXIO, "it is no plain file", name) from None
        raise
    try:
        found = os.fstat(log)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no plain file", name)
        if found.st_nlink != 1:
            raise OSError(
                errno.EMLINK, f"it has {found.st_nlink} names: whoever has another one sees what it holds", name
            )
        if found.st_uid not in (0, os.geteuid()):
            raise OSError(errno.EPERM, f"it belongs to user {found.st_uid}", name)
        os.set_blocking(log, True)  # plain files never wait, but what a program is given is to look as usual
    except BaseException:
        os.close(log)
        raise
    return log


# --- reading ---------------------------------------------------------------------------------------------------------


@contextmanager
def _reading(path: str) -> Iterator[int | None]:
    """A descriptor of a log to read; ``None`` where there is none that may be read."""
    log = _open_to_read(path)
    try:
        yield log
    finally:
        if log is not None:
            os.close(log)


def _open_to_read(path: str) -> int | None:
    try:
        log = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(log).st_mode):
        return log
    os.close(log)
    return None


def tail(path: str, lines: int) -> list[bytes]:
    """The last lines of a log, oldest first, without their ends; from its rotated copies where it has too few.

    Blocks for the disk, reads :data:`MOST_READ` bytes at most, and so may give less than ``lines``. No file, no lines.
    """
    found: list[bytes] = []
    room, number, name = MOST_READ, 0, path
    while len(found) < lines and room > 0:
        with _reading(name) as log:
            if log is None and number:
                break
            if log is not None:
                older, read = _last_lines(log, lines - len(found), room)
                found[:0] = older
                room -= read
        number += 1
        name = f"{path}.{number}"
    return found


def _last_lines(log: int, lines: int, room: int) -> tuple[list[bytes], int]:
    """The last lines of one file, and how many bytes of it were read for them."""
    end = start = os.fstat(log).st_size
    data = b""
    while start > 0 and end - start < room and data.count(b"\n", 0, -1) < lines:
        size = min(BLOCK, start, room - (end - start))
        start -= size
        data = os.pread(log, size, start) + data
    found = data.split(b"\n")
    if found[-1] == b"":
        found.pop()
    if start > 0 and len(found) > 1:
        found.pop(0)  # its beginning was not read
    return [line[-LONGEST_LINE:] for line in found[-lines:]] if lines > 0 else [], end - start


class Follower:
    """What comes into a log from now on, over its rotations; :meth:`read` again and again, in one thread at a time.

    It may be made before there is a log. :meth:`close` it.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._log = _open_to_read(path)
        self._offset = os.fstat(self._log).st_size if self._log is not None else 0
        self._part = b""
        self._newest = _copy_identity(f"{path}.1")
        self._waited = False

    def read(self) -> list[bytes]:
        """The whole lines that came since, without their ends, :data:`MOST_READ` bytes at most. Blocks for the disk."""
        if self._log is None:
            self._log = _open_to_read(self._path)
            if self._log is None:
                return []
        data = b"".join(self._new_data(self._log))
        *lines, self._part = (self._part + data).split(b"\n")
        found = [piece for line in lines for piece in _pieces(line)]
        while len(self._part) >= LONGEST_LINE:
            found.append(self._part[:LONGEST_LINE])
            self._part = self._part[LONGEST_LINE:]
        return found

    def close(self) -> None:
        if self._log is not None:
            os.close(self._log)
            self._log = None

    def _new_data(self, log: int) -> Iterator[bytes]:
        room = MOST_READ
        for copy in self._new_copies():
            with _reading(copy) as former:
                if former is None:
                    continue
                data, self._offset = _read_from(former, self._offset, room)
                yield data
                room -= len(data)
                if self._offset < os.fstat(former).st_size:
                    return  # the rest of this copy comes first, next time
            self._newest, self._offset = _copy_identity(copy), 0
        if os.fstat(log).st_size < self._offset:
            # Cut, and there is no copy of what it held: it comes in a moment, or not at all.
            if not self._waited:
                self._waited = True
                return
            self._offset = 0
        self._waited = False
        data, self._offset = _read_from(log, self._offset, room)
        yield data
        if not data and room > 0 and _identity(self._path) not in (None, _identity(log)):
            self.close()  # another file has this name now; all of the former one is read
            self._offset = 0
            if self._part:
                yield b"\n"

    def _new_copies(self) -> list[str]:
        """The copies that were made since the last look, oldest first."""
        found: list[str] = []
        while True:
            copy = f"{self._path}.{len(found) + 1}"
            identity = _copy_identity(copy)
            if identity is None or identity == self._newest:
                return found[::-1]
            found.append(copy)


def _pieces(line: bytes) -> list[bytes]:
    return [line[start : start + LONGEST_LINE] for start in range(0, max(len(line), 1), LONGEST_LINE)]


def _identity(log: str | int) -> tuple[int, int] | None:
    try:
        found = os.stat(log) if isinstance(log, int) else os.lstat(log)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _copy_identity(copy: str) -> tuple[int, int, int] | None:
    """A copy is never written again, and a file system gives the number of one that went to the next."""
    try:
        found = os.lstat(copy)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


def _read_from(log: int, offset: int, room: int) -> tuple[bytes, int]:
    """What stands behind an offset, and the offset behind it. Holes, which can be of any size, are nothing."""
    try:
        offset = os.lseek(log, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing but a hole, or the end
            return b"", max(offset, os.fstat(log).st_size)
        raise
    data = os.pread(log, max(room, 0), offset)
    return data, offset + len(data)
