"""Who may ask the gateway, and as whom: names, origins and tokens in the headers of a request. Pure rules.

A browser asks for whatever any site's page tells it to. Names are checked because a site may let its own name point to
this machine (DNS rebinding), origins because a websocket may be opened to anywhere.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from emperor_trio.control.messages import PROTOCOL
from emperor_trio.outlets.http_head import Refusal, Request

SUBPROTOCOL = f"emperor-trio.v{PROTOCOL}"
"""What a websocket on the gateway speaks; browsers that send a token need one that is accepted."""

TOKEN_PREFIX = "emperor-trio.token."  # noqa: S105
"""Behind it a token in base64url, without padding: browsers give a websocket no other header, and a URL is logged."""

_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9A-Za-z_.-]{1,255}))(?::([0-9]{1,5}))?")
_ORIGIN = re.compile(r"(https?)://(\S+)", re.IGNORECASE)
_KEY = re.compile(r"[0-9A-Za-z+/]{22}==")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Authority:
    """A host and, where there is one, a port: names in lower case without the root's dot, addresses as they are."""

    host: str
    port: int | None
    is_address: bool

    @classmethod
    def of(cls, text: str) -> Authority | None:
        """``None`` where it is none."""
        found = _AUTHORITY.fullmatch(text)
        if found is None or int(found[3] or 0) > 65_535:
            return None
        port = int(found[3]) if found[3] else None
        try:
            return cls(str(ipaddress.ip_address(found[1] or found[2])), port, True)
        except ValueError:
            name = (found[2] or "").lower().removesuffix(".")
            return cls(name, port, False) if name else None


class Hosts:
    """The names by which the gateway may be asked: localhost, addresses, the name it was told to listen on, and others.

    ``names`` are as typed after ``--gateway-host``: NAME, NAME:PORT or ``*.DOMAIN``; without a port, any will do.
    """

    def __init__(self, bound: str, names: Iterable[str] = ()) -> None:
        self._exact: set[tuple[str, int | None]] = {("localhost", None)}
        self._domains: set[tuple[str, int | None]] = set()
        for text in (bound, *names):
            wanted = Authority.of(text.strip().removeprefix("*."))
            if wanted is not None:
                domain = text.strip().startswith("*.")
                (self._domains if domain else self._exact).add((wanted.host, None if text == bound else wanted.port))

    def allow(self, host: str) -> bool:
        """Whether a Host header may be answered. An address can't be rebound, so every one is fine."""
        asked = Authority.of(host)
        if asked is None:
            return False
        if asked.is_address:
            return True
        ports = (None, asked.port)
        parents = [asked.host[at + 1 :] for at, character in enumerate(asked.host) if character == "."]
        return any((asked.host, port) in self._exact for port in ports) or any(
            (parent, port) in self._domains for parent in parents for port in ports
        )


def check_host(request: Request, hosts: Hosts) -> None:
    """Raises :class:`Refusal` (421) for a name that is not ours. Only HTTP/1.0, which no browser speaks, needs none."""
    host = request.one("host")
    if host is None and request.version == "1.0":
        return
    if host is None or not hosts.allow(host):
        shown = f" {host}" if host is not None and Authority.of(host) else " of that name"
        raise Refusal(
            421,
            f"the gateway does not answer for a host{shown}; if it should, start the emperor with --gateway-host NAME",
        )


def same_origin(origin: str, host: str) -> bool:
    """Whether a page of ``origin`` may open a websocket to ``host``: it must have come from there itself.

    A proxy in front may speak TLS for us, so that either scheme will do.
    """
    found = _ORIGIN.fullmatch(origin)
    theirs, ours = Authority.of(found[2]) if found else None, Authority.of(host)
    if found is None or theirs is None or ours is None:
        return False
    default = _DEFAULT_PORTS[found[1].lower()]
    return (theirs.host, theirs.port or default) == (ours.host, ours.port or default)


@dataclass(frozen=True, slots=True)
class Opening:
    """A websocket that may be opened. ``token`` is what was offered; ``by_header`` says that a script offered it."""

    host: str
    key: str
    subprotocols: tuple[str, ...]
    token: bytes | None
    by_header: bool


def check_websocket(request: Request) -> Opening:
    """Raises :class:`Refusal` for what is no websocket, or another site's."""
    if "websocket" not in map(str.lower, request.words("upgrade")) or request.method != "GET":
        raise Refusal(426, "here is the control channel: a websocket", ("Upgrade", "websocket"))
    if request.one("sec-websocket-version") != "13":
        raise Refusal(426, "only version 13 of websockets is spoken here", ("Sec-WebSocket-Version", "13"))
    host, key = request.one("host"), request.one("sec-websocket-key")
    upgrades = "upgrade" in map(str.lower, request.words("connection"))
    if host is None or key is None or not _KEY.fullmatch(key) or not upgrades or request.version != "1.1":
        raise Refusal(400, "this is no websocket's handshake", close=True)
    origin = request.one("origin")
    if origin is not None and not same_origin(origin, host):
        raise Refusal(403, "a page of another origin may not open the control channel")
    offered = request.words("sec-websocket-protocol")
    if offered and SUBPROTOCOL not in offered:
        raise Refusal(400, f"only the subprotocol {SUBPROTOCOL} is spoken here")
    token, by_header = _token(request, offered)
    return Opening(host, key, (SUBPROTOCOL,) if offered else (), token, by_header)


def _token(request: Request, offered: Iterable[str]) -> tuple[bytes | None, bool]:
    header = request.one("authorization")
    if header is not None:
        scheme, _, token = header.partition(" ")
        if scheme.lower() == "bearer":
            return token.strip().encode("latin-1"), True
        # Another scheme is for a proxy in front of us, which asks for a password and passes it on.
    encoded = [word.removeprefix(TOKEN_PREFIX) for word in offered if word.startswith(TOKEN_PREFIX)]
    if not encoded:
        return None, False
    try:
        padding = "=" * (-len(encoded[0]) % 4)
        return base64.b64decode(encoded[0] + padding, altchars=b"-_", validate=True), False
    except (binascii.Error, ValueError):
        return b"", False
