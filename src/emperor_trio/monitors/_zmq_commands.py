"""What the frames of one message to ``zmq://`` ask for, and what an endpoint is. Pure: it opens nothing.

Frames are bytes from whoever may connect, so everything is judged here; what becomes of a command is for the monitor.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from emperor_trio.model import Owner
from emperor_trio.monitors._rows import BadField, RowRules, Wrong, read_config, read_id, read_name, read_socket, show

MOST_FRAMES = 6
"""command, name, config, uid, gid, socket."""

LONGEST_PATH = 107
"""Bytes that the path of a unix socket may have."""

SHOWN_NAME = 254
"""Bytes of a wrong name that are kept; names of vassals are never longer."""


@dataclass(frozen=True, slots=True)
class TouchCommand:
    """Add a vassal, or reload it. Without a ``config`` it is the file of that name in the emperor's folder."""

    name: str
    config: bytes | None = None
    owner: Owner | None = None
    socket: str | None = None


@dataclass(frozen=True, slots=True)
class DestroyCommand:
    """Remove a vassal."""

    name: str


def read_command(frames: Sequence[bytes], count: int, rules: RowRules) -> TouchCommand | DestroyCommand | Wrong:
    """Judge one message, whose number of frames is ``count``; of many, some may be missing. Never raises."""
    if not 2 <= count <= MOST_FRAMES:
        return Wrong("message", "frames", str(count), "there are 2 to 6: command, name, config, uid, gid, socket")
    command, name, config, uid, gid, socket = [*frames, *[b""] * (MOST_FRAMES - len(frames))]
    try:
        match command:
            case b"touch":
                return TouchCommand(
                    name=read_name(name, rules),
                    config=_read_optional_config(name, config),
                    owner=Owner(read_id(uid, "uid"), read_id(gid, "gid")) if rules.tyrant else None,
                    socket=read_socket(socket),
                )
            case b"destroy":
                return DestroyCommand(read_name(name, rules))
            case _:
                raise BadField("command", command, "is neither 'touch' nor 'destroy'")
    except BadField as bad:
        return bad.of(name[:SHOWN_NAME].decode("utf-8", "replace"))


def _read_optional_config(name: bytes, config: bytes) -> bytes | None:
    if config:
        return read_config(config)
    if b"://" in name:  # the vassal would take it for something to fetch or to execute
        raise BadField("config", config, f"is missing, and {show(name)} is no file's name")
    return None


_ENDPOINT = re.compile(r"(tcp|ipc)://(.+)", re.DOTALL)
_TCP = re.compile(r"(\[[0-9A-Fa-f:.]+(?:%[^\]]+)?\]|[^:\[\]]+):([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where commands are received: ``path`` of a unix socket, or the ``host`` (an address, ``*``, an interface)."""

    text: str
    host: str = ""
    path: str = ""

    @property
    def is_ipv6(self) -> bool:
        return self.host.startswith("[")

    @property
    def is_public(self) -> bool:
        """Whether it can be reached from other machines."""
        if not self.host or self.host in ("localhost", "lo"):
            return False
        try:
            return not ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return True


def read_endpoint(text: str) -> Endpoint:
    """Judge an endpoint. Raises ValueError with what is wrong and what it should be."""
    found = _ENDPOINT.fullmatch(text)
    if found is None or "\0" in text:
        raise ValueError("names no endpoint: zmq://tcp://127.0.0.1:5252 or zmq://ipc:///run/emperor.socket")
    transport, address = found.groups()
    if transport == "ipc":
        if len(address.encode("utf-8", "surrogateescape")) > LONGEST_PATH:
            raise ValueError(f"the path of a unix socket has {LONGEST_PATH} bytes at most")
        if address == "*":
            raise ValueError("nobody would know the path: name one, as in zmq://ipc:///run/emperor.socket")
        return Endpoint(text, path=address)
    parts = _TCP.fullmatch(address)
    if parts is None or not 0 < int(parts[2]) < 65536:
        raise ValueError("needs an address and a port from 1 to 65535: zmq://tcp://127.0.0.1:5252")
    return Endpoint(text, host=parts[1])
