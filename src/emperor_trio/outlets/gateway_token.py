"""The token that lets whoever has it command vassals through the gateway: read from a file, and hard to guess."""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from emperor_trio.errors import UsageError
from emperor_trio.events import Event, Notice

OPTION = "--gateway-token-file"

SHORTEST = 16
"""Characters of a token at least."""

LARGEST = 4096
"""Bytes of its file at most."""

FREE_GUESSES = 10
"""Wrong tokens in a row, from wherever, before every further one has to wait."""

PAUSE = 1.0
"""Seconds by which the answer to a wrong token is late, and in which one guess more becomes free."""

MOST_WAITING = 32
"""Wrong tokens whose answers wait for their turn; more are answered after one pause."""

BURST = 60.0
"""Seconds without a wrong token after which one is news again."""

_OTHERS = stat.S_IRWXO | stat.S_IWGRP
_Identity = tuple[int, int, int, int, int]


class TokenFile:
    """The token in a file, as it is now. A file that became wrong, or is gone, holds none: nobody may command then."""

    def __init__(self, path: str, publish: Callable[[Event], None]) -> None:
        self._path = path
        self._publish = publish
        self._digest: bytes | None = None
        self._seen: _Identity | None = None
        self._one = trio.CapacityLimiter(1)

    def open(self) -> None:
        """Read it for the first time. Raises :class:`~emperor_trio.errors.UsageError` where that is impossible."""
        try:
            self._digest, self._seen = _read(self._path)
        except (OSError, ValueError) as error:
            raise UsageError(f"{OPTION} {self._path}: {_reason(error)}") from error

    async def matches(self, token: bytes) -> bool:
        """Whether this is the token. The time that takes says nothing about how much of it is right."""
        # In a thread: the file may be where a server that hangs has it.
        with trio.move_on_after(PAUSE):
            try:
                changed = await trio.to_thread.run_sync(
                    _look, self._path, self._seen, abandon_on_cancel=True, limiter=self._one
                )
                self._digest, self._seen = changed or (self._digest, self._seen)
            except (OSError, ValueError) as error:
                self._forget(_reason(error))
        return self._digest is not None and hmac.compare_digest(_digest(token), self._digest)

    def _forget(self, why: str) -> None:
        if self._digest is not None:
            self._publish(Notice(f"{OPTION} {self._path}: {why}; until then nobody may command through the gateway"))
        self._digest = self._seen = None


def _look(path: str, seen: _Identity | None) -> tuple[bytes, _Identity] | None:
    """What the file holds where it is not the one that was seen, else ``None``. Errors are those of :func:`_read`."""
    try:
        if _identity(os.stat(path)) == seen:
            return None
    except PermissionError:
        return None  # the user we have become may not even see it: what root has read holds
    return _read(path)


def _read(path: str) -> tuple[bytes, _Identity]:
    """Digest and identity of a token. Raises OSError or ValueError, whose text says what is wrong with the file."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is no plain file")
        if found.st_uid not in (0, os.geteuid()):
            raise ValueError("it belongs to another user; make it root's or the emperor's own")
        if found.st_mode & _OTHERS:
            raise ValueError(f"others may read or change it (mode {found.st_mode & 0o777:03o}); run chmod 600 on it")
        content = os.read(file, LARGEST + 1)
    finally:
        os.close(file)
    token = content.strip()
    if len(content) > LARGEST or len(token.splitlines()) > 1 or not all(0x20 < byte < 0x7F for byte in token):
        raise ValueError("it must hold one line of plain characters without spaces, such as: openssl rand -hex 32")
    if len(token) < SHORTEST:
        raise ValueError(f"its token is shorter than {SHORTEST} characters; make one with: openssl rand -hex 32")
    return _digest(token), _identity(found)


def _identity(found: os.stat_result) -> _Identity:
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)


@dataclass(slots=True)
class Guesses:
    """How fast wrong tokens are answered, all clients together: a few at once, then one a second, as they came.

    The right one waits for none of them: whoever floods the gateway with wrong ones keeps nobody out. So what bounds
    guessing is how many connections there may be at once, each of which has one answer in a second at best.
    """

    publish: Callable[[Event], None]
    _spare: float = FREE_GUESSES
    _counted_at: float = 0.0
    _last_wrong: float = -BURST
    _line: trio.StrictFIFOLock = field(default_factory=trio.StrictFIFOLock)

    async def check(self, token: bytes, file: TokenFile, peer: str) -> bool:
        """Whether it is the right token. A wrong one is answered late."""
        if await file.matches(token):
            return True
        if self._line.statistics().tasks_waiting >= MOST_WAITING:
            await trio.sleep(PAUSE)
            return False
        async with self._line:
            await trio.sleep(max(1 - self._refill(), 0.0) * PAUSE)
            self._spare = self._refill() - 1
            self._tell(peer)
        await trio.sleep(PAUSE)
        return False

    def _refill(self) -> float:
        now = trio.current_time()
        self._spare = min(self._spare + (now - self._counted_at) / PAUSE, float(FREE_GUESSES))
        self._counted_at = now
        return self._spare

    def _tell(self, peer: str) -> None:
        now = trio.current_time()
        news, self._last_wrong = now - self._last_wrong >= BURST, now
        if news:
            self.publish(
                Notice(f"a wrong token for the gateway came from {peer}; more of them within {BURST:g} s are not told")
            )
