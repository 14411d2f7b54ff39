"""Who may send commands: the emperor's key, the certificates of its clients, and the answers to libzmq's questions.

libzmq asks about each client that knows our public key (ZAP, https://rfc.zeromq.org/spec/27/). Fails closed: where
nobody answers, nobody comes in.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import trio
import zmq
import zmq.auth
from zmq.utils import z85

from emperor_trio.errors import UsageError
from emperor_trio.monitors._rows import Wrong, show

DOOR = "inproc://zeromq.zap.01"
VERSION = b"1.0"
DOMAIN = b"emperor"

SIGNS = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
"""What libzmq tells of connections that speak no CurveZMQ."""

KEY_OPTION = "--emperor-zmq-curve-key"
CLIENTS_OPTION = "--emperor-zmq-curve-clients"


class Curve:
    """The keys of one monitor. Certificates that come into the folder of the clients, or go, count at once."""

    def __init__(self, key: tuple[bytes, bytes], clients: str | None) -> None:
        self._public, self._secret = key
        self._folder = clients
        self._read_at = -1
        self._clients: frozenset[bytes] = frozenset()

    def secure(self, pull: zmq.Socket[bytes]) -> None:
        """Let a socket take encrypted connections only; to be called before it is bound."""
        pull.curve_server = True
        pull.curve_publickey = self._public
        pull.curve_secretkey = self._secret
        if self._folder is not None:
            pull.set(zmq.ZAP_DOMAIN, DOMAIN)
            pull.set(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def open_door(self, library: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes] | None:
        """Where libzmq asks; ``None`` where it need not. To be opened before any socket is bound."""
        if self._folder is None:
            return None
        door = library.socket(zmq.REP)
        door.bind(DOOR)
        return door

    async def keep_door(
        self, door: zmq.Socket[bytes], complain: Callable[[Wrong], None], limiter: trio.CapacityLimiter
    ) -> None:
        """Say to libzmq which clients may come in, until cancelled."""
        while True:
            try:
                question = door.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                await trio.lowlevel.wait_readable(door.FD)
                continue
            await trio.to_thread.run_sync(self._refresh, limiter=limiter, abandon_on_cancel=True)
            door.send_multipart(self._answer(question, complain))

    async def watch_handshakes(self, signs: zmq.Socket[bytes], complain: Callable[[Wrong], None]) -> None:
        """Say that somebody came without keys, until cancelled. libzmq does not tell who it was."""
        while True:
            try:
                signs.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                await trio.lowlevel.wait_readable(signs.FD)
                continue
            complain(Wrong("a sender", "keys", "missing", f"{KEY_OPTION} is given, so commands have to be encrypted"))
            await trio.lowlevel.checkpoint()

    def _answer(self, question: list[bytes], complain: Callable[[Wrong], None]) -> list[bytes]:
        _, request, _, address, _, mechanism, *credentials = [*question, *[b""] * 6][: max(len(question), 6)]
        key = z85.encode(credentials[0]) if mechanism == b"CURVE" and len(credentials) == 1 else b""
        if key in self._clients:
            return [VERSION, request, b"200", b"OK", key, b""]
        reason = f"no certificate in {self._folder} has it"
        complain(Wrong(address.decode("ascii", "replace") or "a client", "curve key", show(key.decode()), reason))
        return [VERSION, request, b"400", b"unknown key", b"", b""]

    def _refresh(self) -> None:
        """Read the folder anew where it changed; where it can't be read, what is known stays. Blocks."""
        with suppress(OSError):
            self.read_clients()

    def read_clients(self) -> None:
        """Read the folder of the clients, if there is one and it changed. Blocks, and raises OSError."""
        if self._folder is None:
            return
        changed_at = os.stat(self._folder).st_mtime_ns
        if changed_at != self._read_at:
            found = [_public_key(path) for path in Path(self._folder).glob("*.key")]
            self._clients, self._read_at = frozenset(key for key in found if key), changed_at


def read_curve(key: str | None, clients: str | None) -> Curve | None:
    """The keys that the options name; ``None`` without any. Raises :class:`~emperor_trio.errors.UsageError`."""
    if key is None:
        if clients is not None:
            raise UsageError(f"{CLIENTS_OPTION} {clients}: needs the emperor's own key, too: {KEY_OPTION}")
        return None
    try:
        found = os.stat(key)
        public, secret = zmq.auth.load_certificate(key)
        if secret is None:
            raise UsageError(f"{KEY_OPTION} {key}: is the public key, for clients; give the one in .key_secret")
        if found.st_uid not in (0, os.geteuid()) or found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise UsageError(f"{KEY_OPTION} {key}: others can read or write it: chown {os.geteuid()}, chmod 600")
    except OSError as error:
        raise UsageError(f"{KEY_OPTION} {key}: {error.strerror}") from error
    except ValueError:
        form = "zmq.auth.create_certificates makes some that end in .key_secret"
        raise UsageError(f"{KEY_OPTION} {key}: is no secret certificate; {form}") from None
    try:
        curve = Curve((public, secret), clients)
        curve.read_clients()
    except OSError as error:
        raise UsageError(f"{CLIENTS_OPTION} {clients}: {error.strerror}") from error
    return curve


def _public_key(path: Path) -> bytes | None:
    """The key of a certificate; ``None`` where it is none, which keeps out that client alone."""
    try:
        return zmq.auth.load_certificate(path)[0]
    except (OSError, ValueError):
        return None
