"""Room for the gateway's clients: how many there may be, and who has to leave where one more comes. No I/O."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from enum import Enum

import trio

MOST = 256
"""Connections at once."""

MOST_OF_ONE = 64
"""Connections at once from one address (of IPv6: one network of 64 bits, which is what one client has).

Not from this machine, which has sixteen million addresses to come from, and proxies and tunnels that come for many.
"""

MOST_CHANNELS = 224
"""Websockets at once. They stay, so that there is room beside them for those who ask for a page or for metrics."""

MOST_HELD = 64 * 2**20
"""Bytes of answers that are on their way to readers, all together."""


class Stage(Enum):
    """What a client is at."""

    WAITING = "it has yet to ask, or asks"
    READING = "it reads an answer"
    CHANNEL = "it is a websocket"


@dataclass(slots=True, eq=False)
class Guest:
    """One connection. ``scope`` ends it, ``since`` is when its stage began, ``held`` its answer's size in bytes."""

    address: str
    network: str
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    stage: Stage = Stage.WAITING
    since: float = 0.0
    held: int = 0

    def enter(self, stage: Stage, held: int = 0) -> None:
        self.stage, self.held, self.since = stage, held, trio.current_time()


class Room:
    """Everyone who is here, in the order in which they came."""

    def __init__(self) -> None:
        self.guests: list[Guest] = []

    def admit(self, address: str) -> Guest | None:
        """Let one in. Where it is full, the one that has waited longest for its own request leaves, else the one that
        has read longest; ``None`` where there is neither: websockets are not ended for a newcomer."""
        newcomer = Guest(address, network_of(address), since=trio.current_time())
        neighbours = [guest for guest in self.guests if newcomer.network and guest.network == newcomer.network]
        if len(neighbours) >= MOST_OF_ONE and not self._dismiss_one(neighbours):
            return None
        if len(self.guests) >= MOST and not self._dismiss_one(self.guests):
            return None
        self.guests.append(newcomer)
        return newcomer

    def leave(self, guest: Guest) -> None:
        """Idempotent: who was dismissed has left already."""
        if guest in self.guests:
            self.guests.remove(guest)

    def has_channel(self) -> bool:
        """Whether one more may become a websocket."""
        return sum(guest.stage is Stage.CHANNEL for guest in self.guests) < MOST_CHANNELS

    def hold(self, guest: Guest, size: int) -> None:
        """Have ``guest`` read an answer of ``size`` bytes. Who has read longest leaves where it is too much."""
        guest.enter(Stage.READING)
        while size and sum(other.held for other in self.guests) + size > MOST_HELD:
            holders = [other for other in self.guests if other.held]
            if not holders:
                break
            self._dismiss(min(holders, key=_since))
        guest.held = size

    def _dismiss_one(self, guests: list[Guest]) -> bool:
        for stage in (Stage.WAITING, Stage.READING):
            if found := [guest for guest in guests if guest.stage is stage]:
                self._dismiss(min(found, key=_since))
                return True
        return False

    def _dismiss(self, guest: Guest) -> None:
        self.guests.remove(guest)
        guest.scope.cancel()


def _since(guest: Guest) -> float:
    return guest.since


def network_of(address: str) -> str:
    """What counts as one client; "" for this machine itself, which is not limited."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        found = found.ipv4_mapped or found
    if found.is_loopback:
        return ""
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
