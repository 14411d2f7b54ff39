"""What can happen to a vassal, as its rules hear of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Look:
    """The desired state changed, or may have."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A deadline passed."""


@dataclass(frozen=True, slots=True)
class Leave:
    """The supervisor grants the spawn that was asked for with this number."""

    number: int


@dataclass(frozen=True, slots=True)
class Park:
    """The supervisor has had enough of this vassal's deaths: its answer to the leave asked for with this number."""

    number: int
    restarts: int
    window: float


@dataclass(frozen=True, slots=True)
class NoMercy:
    """The time for a graceful end of the whole empire is over."""


@dataclass(frozen=True, slots=True)
class Spawned:
    pid: int


@dataclass(frozen=True, slots=True)
class SpawnRefused:
    """The spawn failed. ``deferred``: for want of room, which blames nobody."""

    error: str
    deferred: bool = False


@dataclass(frozen=True, slots=True)
class Heard:
    """Bytes came from process number ``generation``."""

    generation: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """Process number ``generation`` closed its pipe."""

    generation: int


@dataclass(frozen=True, slots=True)
class Ended:
    """Process number ``generation`` ended; ``code`` is −N for signal N."""

    generation: int
    code: int


@dataclass(frozen=True, slots=True)
class OrderFailed:
    """An order could not be handed to the process: its pipe is full or closed, or holds a config that it never read."""

    generation: int


@dataclass(frozen=True, slots=True)
class SocketTold:
    """The answer to ``AskSocket``."""

    ticket: int
    address: str | None


@dataclass(frozen=True, slots=True)
class SocketFailed:
    """Asking for the socket, or binding it, failed."""

    ticket: int
    error: str


@dataclass(frozen=True, slots=True)
class Bound:
    ticket: int
    address: str


@dataclass(frozen=True, slots=True)
class Connection:
    """The first connection waits at the on-demand socket."""


@dataclass(frozen=True, slots=True)
class HookDone:
    """The stop hook of process number ``generation`` ended, or ran into its time limit."""

    generation: int


Stimulus = (
    Look
    | Tick
    | Leave
    | Park
    | NoMercy
    | Spawned
    | SpawnRefused
    | Heard
    | Lost
    | Ended
    | OrderFailed
    | SocketTold
    | SocketFailed
    | Bound
    | Connection
    | HookDone
)
