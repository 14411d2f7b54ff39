"""uWSGI's magic variables: ``%n``, ``%d``, ``%p`` and the like, each a letter that stands for a fact.

Which facts there are was taken over from uWSGI 2.0.31 (``config_magic_table_fill``); ``%V`` is our version, ``%b``
stands for nothing.
"""

from __future__ import annotations

import grp
import os
import pwd
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from emperor_trio.errors import UsageError

_OF_FIRST_FILE = "osdpcenxij"
"""Letters whose capital stands for the same fact of the first file that was read."""


@dataclass(frozen=True, slots=True)
class Magic:
    """What each letter stands for: a fact of the process, or of the file that is being read."""

    letters: Mapping[str, str] = field(default_factory=dict)

    def of_process(self, version: str) -> Magic:
        """With the letters of this process and host: ``%v %V %h %t %T %k %u %U %g %G %[``."""
        uid, gid, now = os.getuid(), os.getgid(), time.time()
        facts = {
            "v": os.getcwd(),
            "V": version,
            "h": socket.gethostname(),
            "t": str(int(now)),
            "T": str(int(now * 1_000_000)),
            "k": str(os.cpu_count() or 1),
            "u": str(uid),
            "U": _name_of_user(uid),
            "g": str(gid),
            "G": _name_of_group(gid),
            "[": "\033",
        }
        return Magic({**self.letters, **facts})

    def of_file(self, path: str, section: str | None = None) -> Magic:
        """With the letters of a config file: ``%o %p %s %d %e %n %c %x %i %j`` and ``%0`` to ``%9``.

        The first file gives the capitals, too. A link is taken for itself, not for the file that it points at.
        """
        if path == "-":
            return Magic({**self.letters, "o": path})
        whole = os.path.join(os.getcwd(), path) if os.path.islink(path) else os.path.realpath(path)
        folder, _, base = whole.rpartition("/")
        stem, dot, extension = base.rpartition(".")
        facts = {
            "o": path,
            "p": whole,
            "s": base,
            "d": f"{folder}/",
            "e": extension if dot else "",
            "n": stem if dot else base,
            "c": folder.rpartition("/")[2],
            "x": section or "",
            "i": _inode(whole),
            "j": _hash(os.fsencode(whole)),
            **dict.fromkeys("0123456789", ""),
            **dict(zip("0123456789", (part for part in folder.split("/") if part), strict=False)),
        }
        first = {letter.upper(): facts[letter] for letter in _OF_FIRST_FILE} if "P" not in self.letters else {}
        return Magic({**self.letters, **facts, **first})

    def letter(self, letter: str) -> str:
        """What ``%letter`` stands for. Raises :class:`~emperor_trio.errors.UsageError` where that is nothing."""
        if letter == "%":
            return "%"
        try:
            return self.letters[letter]
        except KeyError:
            raise UsageError(f"%{letter} stands for nothing; write %% for a percent sign") from None


def _name_of_user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _name_of_group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _inode(path: str) -> str:
    try:
        return str(os.lstat(path).st_ino)
    except OSError:
        return ""


def _hash(data: bytes) -> str:
    """Bernstein's hash with xor, 32 bits, its bytes in hexadecimal with the lowest one first; bytes are signed."""
    value = 5381
    for byte in data:
        value = (value * 33 ^ (byte if byte < 128 else byte - 256)) & 0xFFFF_FFFF
    return value.to_bytes(4, "little").hex().upper()
