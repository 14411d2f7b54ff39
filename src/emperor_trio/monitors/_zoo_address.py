"""What stands behind ``zoo://``: the login, the servers of one ensemble, and the path whose children are vassals. Pure.

It shows no password: neither in its errors nor in the representation of what it made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from emperor_trio.errors import UsageError

DEFAULT_PORT = 2181

_HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|(?P<name>[^\s\[\]:/@,]+))(?::(?P<port>[^:]*))?")
_NEVER_IN_PATHS = re.compile("[\0-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\uffff]")


@dataclass(frozen=True, slots=True)
class ZooAddress:
    """``path`` begins with a slash and ends with none but where it is the root.

    ``login`` is ``user:password`` for digest authentication, "" for none.
    """

    hosts: tuple[tuple[str, int], ...]
    path: str
    login: str = field(default="", repr=False)

    def child(self, name: str) -> str:
        """The path of a child."""
        return f"{self.path.rstrip('/')}/{name}"


def parse_address(argument: str, monitor: str) -> ZooAddress:
    """Take ``[user:password@]host[:port][,host[:port]…]/path`` apart.

    Everything from the first slash on is the path, a chroot included. User and password may be percent-encoded.
    Raises :class:`~emperor_trio.errors.UsageError`, which names the ``monitor``.
    """
    try:
        servers, slash, path = argument.partition("/")
        userinfo, at, hosts = servers.rpartition("@")
        return ZooAddress(
            hosts=tuple(_read_host(text) for text in hosts.split(",")),
            path=_read_path(slash + path),
            login=_read_login(userinfo) if at else "",
        )
    except ValueError as error:
        raise UsageError(
            f"--emperor {monitor}: {error}; it is zoo://[user:password@]host[:port][,host[:port]...]/path, "
            "as in zoo://127.0.0.1:2181/emperor"
        ) from None


def _read_host(text: str) -> tuple[str, int]:
    match = _HOST.fullmatch(text)
    if match is None:
        raise ValueError("a server is none" if text else "a server is missing")
    port = match["port"]
    if port is None:
        return match["six"] or match["name"], DEFAULT_PORT
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65_536):
        raise ValueError("a port is no number from 1 to 65535")  # it may be a password with a slash
    return match["six"] or match["name"], int(port)


def _read_path(text: str) -> str:
    if not text:
        raise ValueError("the path whose children are the vassals is missing")
    path = text.rstrip("/")
    for part in path.split("/")[1:]:
        if part in ("", ".", ".."):
            raise ValueError(f"ZooKeeper has no paths with {part!r} between slashes")
    if _NEVER_IN_PATHS.search(path):
        raise ValueError("ZooKeeper has no paths with a character that is in this one")
    return path or "/"


def _read_login(text: str) -> str:
    user, colon, password = text.partition(":")
    try:
        user, password = unquote_to_bytes(user).decode(), unquote_to_bytes(password).decode()
    except ValueError:  # its text has bytes of the password
        raise ValueError("user and password are no UTF-8") from None
    if not user or not colon or not password:
        raise ValueError("a login needs user and password")
    if ":" in user:
        raise ValueError("the name of a user in a digest can hold no colon")
    return f"{user}:{password}"
