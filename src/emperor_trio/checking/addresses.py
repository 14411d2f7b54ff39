"""Which sockets a config binds, and which of them two configs can't both have. Pure.

How uWSGI 2.0.31 reads an address: what holds a colon is TCP, everything else a path, ``@NAME`` an abstract one; ``=N``
and ``fd://N`` are sockets that are there already. Of two listening TCP sockets with one port, one that is bound to
every address shuts the other out; ``[::]`` takes IPv4 along.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field

MAX_PATH = 107
"""Bytes of a unix socket's path."""

EVERY_V4, EVERY_V6 = "0.0.0.0", "::"  # noqa: S104

_SOCKETS = frozenset({
    "socket", "uwsgi-socket", "suwsgi-socket", "puwsgi-socket", "ssl-socket", "http-socket", "http11-socket",
    "https-socket", "fastcgi-socket", "fastcgi-nph-socket", "scgi-socket", "scgi-nph-socket", "raw-socket",
    "shared-socket", "undeferred-shared-socket", "http", "httprouter", "https", "https2", "fastrouter", "rawrouter",
    "scgirouter", "sslrouter", "forkptyrouter", "forkpty-router", "zerg-server", "stats", "stats-server",
    "emperor-stats", "emperor-stats-server",
})  # fmt: skip
_DATAGRAMS = frozenset({"udp"})
_WITH_CERTIFICATE = frozenset({
    "https", "https2", "https-socket", "ssl-socket", "suwsgi-socket", "sslrouter", "shared-socket",
    "undeferred-shared-socket",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Inet:
    """``host`` is an address without brackets, or a name, which is not looked up."""

    protocol: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Unix:
    """A path as it was written, or an abstract name, which begins with ``@``."""

    path: str

    @property
    def abstract(self) -> bool:
        return self.path.startswith("@")

    def __str__(self) -> str:
        return self.path


def binds(key: str) -> bool:
    """Whether the value of an option is the address of a socket that the vassal binds."""
    return key in _SOCKETS or key in _DATAGRAMS or key.endswith(("-stats", "-stats-server", "-subscription-server"))


def read_address(key: str, text: str) -> Inet | Unix | None:
    """The address that an option's value names; ``None`` where it binds nothing, or nothing that could clash."""
    text = text.strip()
    if key in _WITH_CERTIFICATE:
        text = text.partition(",")[0].removeprefix("addr=")
    if not text or text.startswith("=") or "://" in text:
        return None
    if text.startswith("@"):
        return Unix(text)
    if ":" not in text:
        return Unix(text)
    host, _, digits = text.rpartition(":")
    if not (digits.isascii() and digits.isdecimal() and 0 < int(digits[:6]) < 2**16):
        return None  # a port for the kernel to choose, or a pattern
    datagrams = key in _DATAGRAMS or key.endswith("-subscription-server")
    return Inet("udp" if datagrams else "tcp", _host(host), int(digits))


def _host(text: str) -> str:
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return str(ipaddress.ip_address({"": EVERY_V4, "localhost": "127.0.0.1"}.get(bare, bare)))
    except ValueError:
        return bare.lower()


@dataclass(frozen=True, slots=True)
class Binder:
    """Who binds an address: the vassal (its monitor and name), and the option with its place."""

    monitor: str
    vassal: str
    place: str
    key: str
    shares: bool = False
    """Whether it lets others bind the same TCP port (``reuse-port``)."""

    def __str__(self) -> str:
        return f"{self.place}: {self.key}" if self.place else self.key


@dataclass(slots=True)
class Bound:
    """All addresses that are taken, and by whom. One more costs the same however many there are."""

    _ports: dict[tuple[str, int], dict[str, Binder]] = field(default_factory=dict)
    _paths: dict[str, Binder] = field(default_factory=dict)

    def take_port(self, address: Inet, binder: Binder) -> Binder | None:
        """Bind it; who has it already, if it can't be had."""
        hosts = self._ports.setdefault((address.protocol, address.port), {})
        first = self._find_host(hosts, address.host)
        hosts.setdefault(address.host, binder)
        return None if first is None or (first.shares and binder.shares) else first

    def take_path(self, path: str, binder: Binder) -> Binder | None:
        """The same with the real path of a unix socket, or with an abstract name."""
        first = self._paths.setdefault(path, binder)
        return None if first is binder else first

    def _find_host(self, hosts: dict[str, Binder], host: str) -> Binder | None:
        first = hosts.get(host) or hosts.get(EVERY_V6)
        if first is not None:
            return first
        if host == EVERY_V6:
            return next(iter(hosts.values()), None)
        if host == EVERY_V4:
            return next((binder for other, binder in hosts.items() if ":" not in other), None)
        return hosts.get(EVERY_V4) if ":" not in host else None


def real_path(path: str) -> str:
    """An absolute path with the links in its folders followed; a socket is no link itself where it is bound anew."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)
