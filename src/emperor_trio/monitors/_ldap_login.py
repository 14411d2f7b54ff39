"""As whom we log in, and when a login that was refused may be tried again.

Directories lock accounts after a few wrong passwords: whoever asks once a second locks out everybody who uses the
account. So the same password is tried twice, then once in a quarter of an hour; another one is tried at once.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from math import inf

from emperor_trio.errors import MonitorError

SOON = 4.0
"""Seconds after which a password that was refused is tried a second time: the server may have had a bad moment."""

LATER = 900.0
"""Seconds between all further tries of a password that was refused."""

MAX_PASSWORD = 4096
"""Bytes that a file with a password may hold."""


@dataclass(frozen=True, slots=True)
class Login:
    """``dn`` and ``password`` are empty for an anonymous one."""

    dn: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class LoginSource:
    """Where the login comes from. The password is in a file, or else is given."""

    dn: str = ""
    password: str = field(default="", repr=False)
    file: str | None = None

    def read(self) -> Login:
        """The login as of now: a file may get a new password at any time. Blocks.

        Raises :class:`~emperor_trio.errors.MonitorError`.
        """
        if self.file is None:
            return Login(self.dn, self.password)
        where = f"--emperor-ldap-password-file {self.file}"
        try:
            with open(self.file, "rb") as file:
                content = file.read(MAX_PASSWORD + 1)
            password = content.decode().rstrip("\r\n")
        except OSError as error:
            raise MonitorError(f"{where}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise MonitorError(f"{where}: is no UTF-8") from None
        if len(content) > MAX_PASSWORD or "\0" in password:
            raise MonitorError(f"{where}: holds no password of one line")
        if not password:
            raise MonitorError(f"{where}: is empty, and servers take an empty password for no login at all")
        return Login(self.dn, password)


class Refusals:
    """Remembers the login that was refused. Times are seconds on any clock that only rises."""

    def __init__(self) -> None:
        self._refused = b""
        self._times = 0
        self._due = -inf

    def due(self, login: Login) -> float:
        """From when on this login may be tried."""
        return self._due if self._refused == _digest(login) else -inf

    def refuse(self, login: Login, now: float) -> None:
        digest = _digest(login)
        self._times = self._times + 1 if digest == self._refused else 1
        self._refused = digest
        self._due = now + (SOON if self._times == 1 else LATER)

    def accept(self) -> None:
        self._refused, self._times, self._due = b"", 0, -inf

    def hurry(self) -> None:
        """Somebody asked for it: the next try may be made now."""
        self._due = -inf


def _digest(login: Login) -> bytes:
    return hashlib.sha256(f"{login.dn}\0{login.password}".encode()).digest()
