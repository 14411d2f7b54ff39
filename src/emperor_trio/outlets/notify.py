"""What the service manager is told of the emperor's life, as ``sd_notify(3)`` has it: systemd's ``Type=notify``.

Owns the words and when they are said. Saying never waits and never fails: what the socket does not take now is said
again within a second. That the watchdog is fed means that the supervisor has taken a turn, not that a timer went off.
"""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import trio

from emperor_trio.events import Event, Notice, counted
from emperor_trio.masking import masked
from emperor_trio.outlets.text import printable
from emperor_trio.ports import MonitorStatistics

FIRST_ANSWERS = 10.0
"""Seconds for the monitors to answer or fail for the first time: no boot waits longer for a database that is away."""

LOOK = 0.05
"""Seconds between two looks for those answers."""

PERIOD = 1.0
"""Seconds between two looks at what the status says, and between two tries to say what could not be said."""

EXTENSION = 20.0
"""Seconds by which a stop that takes longer than the unit's TimeoutStopSec= is prolonged, as long as the loop lives."""

LONGEST = 400
"""Characters of a status: with a monitor's error in it, it is as long as a server likes."""

MOST_UNSAID = 32
LONGEST_PATH = 107


class Court(Protocol):
    """What this needs of an emperor."""

    def monitors(self) -> Sequence[MonitorStatistics]: ...

    async def take_turn(self) -> None: ...

    async def wait_stopping(self) -> None: ...


def notify_address(text: str) -> str:
    """The address that ``NOTIFY_SOCKET`` names: a path, or a name in the abstract namespace behind an ``@``.

    Raises ValueError, which says what is wrong with it.
    """
    if not text.startswith(("/", "@")):
        raise ValueError("it is neither a path nor @NAME")
    abstract = text.startswith("@")
    if len(os.fsencode(text)) > LONGEST_PATH + abstract:  # a path is followed by a NUL
        raise ValueError(f"it is longer than a unix socket's address can be, {LONGEST_PATH} bytes")
    return "\0" + text[1:] if abstract else text


def status(monitors: Sequence[MonitorStatistics]) -> str:
    """``governing 12 vassals, 1 monitor failing: NAME: ERROR``: one line, whatever an error holds."""
    parts = [f"governing {counted(sum(monitor.vassals for monitor in monitors), 'vassal')}"]
    silent = [monitor for monitor in monitors if not _has_answered(monitor)]
    failing = [monitor for monitor in monitors if _has_answered(monitor) and not monitor.healthy]
    if silent:
        parts.append(f"{counted(len(silent), 'monitor')} without an answer yet")
    if failing:
        errors = "; ".join(f"{monitor.name}: {monitor.error}" for monitor in failing)
        parts.append(f"{counted(len(failing), 'monitor')} failing: {errors}")
    text = printable(masked(", ".join(parts)))
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _has_answered(monitor: MonitorStatistics) -> bool:
    """Whether it has answered, or failed, at least once."""
    return monitor.healthy or bool(monitor.last_error)


class NotifyOutlet:
    """Tells the service manager at ``address`` (``NOTIFY_SOCKET``) how ``court`` is.

    ``watchdog`` is the time in seconds within which it wants a sign of life, 0 for none. ``publish`` is the bus: that
    nobody can be told is said there once. Raises ValueError for an address that can be none.
    """

    def __init__(self, address: str, court: Court, publish: Callable[[Event], None], *, watchdog: float = 0.0) -> None:
        self._address = notify_address(address)
        self._shown_address = address
        self._court = court
        self._publish = publish
        self._watchdog = watchdog
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._unsaid: deque[str] = deque(maxlen=MOST_UNSAID)
        self._status = ""
        self._ready = False
        self._stopping = False
        self._complained = False
        self._reloaded = trio.Event()

    def close(self) -> None:
        """Give back the descriptor. Idempotent."""
        self._socket.close()

    async def reload(self, command: Callable[[], Awaitable[None]]) -> None:
        """Carry out what reloads all vassals, and tell when it begins and when it has been decided on."""
        if self._ready:
            # systemd compares the time with that of its signal, to know that it was this one which was heard.
            self._say(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
        await command()
        self._reloaded.set()

    async def run(self) -> None:
        """Tell until cancelled, which is at the emperor's end."""
        async with trio.open_nursery() as life:
            life.start_soon(self._live)
            async with trio.open_nursery() as reign:
                reign.start_soon(self._reign)
                await self._court.wait_stopping()
                self._stopping = True
                self._say("STOPPING=1\nSTATUS=stopping all vassals")
                reign.cancel_scope.cancel()
            while True:
                self._send(f"EXTEND_TIMEOUT_USEC={_microseconds(EXTENSION)}")
                await trio.sleep(EXTENSION / 4)

    async def _live(self) -> None:
        """Feed the watchdog twice as often as it wants to be."""
        while self._watchdog:
            await self._court.take_turn()
            self._send("WATCHDOG=1")
            await trio.sleep(self._watchdog / 2)

    async def _reign(self) -> None:
        with trio.move_on_after(FIRST_ANSWERS):
            while not all(map(_has_answered, self._court.monitors())):  # noqa: ASYNC110 - asked for some moments only
                await trio.sleep(LOOK)
        await self._court.take_turn()
        if self._stopping:
            return
        self._ready = True
        self._status = status(self._court.monitors())
        self._say(f"READY=1\nSTATUS={self._status}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell_reloads)
            nursery.start_soon(self._tell_status)

    async def _tell_reloads(self) -> None:
        while True:
            await self._reloaded.wait()
            self._reloaded = trio.Event()
            await self._court.take_turn()
            if not self._stopping:
                self._say("READY=1")

    async def _tell_status(self) -> None:
        while not self._stopping:
            now = status(self._court.monitors())
            if self._say_rest() and now != self._status and self._deliver(f"STATUS={now}"):
                self._status = now
            await trio.sleep(PERIOD)

    # --- saying ---

    def _say(self, words: str) -> None:
        """Say what must not be lost, now or later, in this order."""
        self._unsaid.append(words)
        self._say_rest()

    def _send(self, words: str) -> bool:
        """Say what will be said again anyway; whether it was taken."""
        return self._say_rest() and self._deliver(words)

    def _say_rest(self) -> bool:
        while self._unsaid and self._deliver(self._unsaid[0]):
            self._unsaid.popleft()
        return not self._unsaid

    def _deliver(self, words: str) -> bool:
        try:
            self._socket.sendto(words.encode("utf-8", "replace"), self._address)
        except BlockingIOError:
            return False
        except OSError as error:
            if not self._complained:
                self._complained = True
                self._publish(
                    Notice(f"NOTIFY_SOCKET {self._shown_address}: the service manager can't be told: {error.strerror}")
                )
            return False
        return True


def _microseconds(seconds: float) -> int:
    return int(seconds * 1_000_000)
