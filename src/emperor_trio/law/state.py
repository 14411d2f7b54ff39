"""What is known of one vassal: its phase, its process, its deadlines; and the few numbers that rule its life.

Owns the nouns of :mod:`emperor_trio.law.lifecycle` and :mod:`emperor_trio.law.moves`, which own every way between them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum
from operator import attrgetter

from emperor_trio.model import Owner, VassalSpec

NEVER = float("inf")


class Phase(Enum):
    """Where a vassal is; the value is what people read."""

    NEW = "new"
    ASKING = "asking for its socket"
    BINDING = "binding its socket"
    WAITING = "on demand"
    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    ENDING = "running its stop hook"
    EXILED = "exiled"
    PARKED = "failed"
    HELD = "stopped"
    GONE = "gone"


ALIVE = frozenset({Phase.STARTING, Phase.RUNNING, Phase.STOPPING})
"""The phases with a process."""


class Leaving(Enum):
    """Why a process is on its way out."""

    ASKED = "asked to stop"
    REPLACED = "replaced by a new process"
    LEFT = "left of its own will"
    LOST = "closed its pipe"
    HUNG = "sent no heartbeat"


class Blame(Enum):
    """How an unasked death is judged."""

    LOYAL = "was loyal"
    DISLOYAL = "was not yet loyal"
    UNBORN = "came to no process"


@dataclass(frozen=True, slots=True)
class LifecycleRules:
    """Times in seconds. ``spawn_hook`` and ``stop_hook`` say whether there is one to be run.

    ``reload_pause`` is how long a vassal that came up is left alone before a reload.
    """

    curse_tolerance: float = 30.0
    required_heartbeat: float = 30.0
    reload_tolerance: float = 10.0
    reload_pause: float = 0.0
    graceful_shutdown: bool = False
    spawn_hook: bool = False
    stop_hook: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """All that is known of one vassal. Times are monotonic seconds; 0.0 is never, ``NEVER`` is no deadline.

    ``spec`` is what the live process (or the bound socket) was made from; ``revision`` and ``life`` are those of it.
    ``generation`` numbers the processes; what carries another one is of an earlier process and is dropped. ``ticket``
    does the same for a socket asked for or bound, ``asked`` for the leave to spawn. ``ready`` is false from a spawn or
    reload on until byte 1 or 5; ``came_up`` is when it, or ``accepting``, became true; ``chunk_sent`` says that a chunk
    of config went out for which no byte 2 was heard yet. ``failure`` is the last start that came to no process and was
    told of, with the revision that was wanted, until the vassal comes up.
    """

    phase: Phase = Phase.NEW
    spec: VassalSpec | None = None
    revision: int = 0
    life: int = 0
    generation: int = 0
    ticket: int = 0
    asked: int = 0
    pid: int = 0
    code: int = 0
    ready: bool = False
    accepting: bool = False
    loyal: bool = False
    surprised: bool = False
    chunk_sent: bool = False
    leaving: Leaving | None = None
    address: str | None = None
    bound_for: tuple[str | None, bool, Owner | None] | None = None
    reason: str = ""
    failure: tuple[str, int] | None = None
    reloads: int = 0
    kill_at: float = NEVER
    reload_until: float = NEVER
    heartbeat_until: float = NEVER
    reinforcement_from: float = 0.0
    first_run: float = 0.0
    last_run: float = 0.0
    last_ready: float = 0.0
    last_accepting: float = 0.0
    last_loyal: float = 0.0
    last_heartbeat: float = 0.0
    came_up: float = 0.0
    cursed_at: float = 0.0

    @property
    def deadline(self) -> float:
        """When a :class:`Tick` is due; ``NEVER`` where nothing is."""
        match self.phase:
            case Phase.STARTING | Phase.RUNNING:
                return min(self.reload_until, self.heartbeat_until)
            case Phase.STOPPING:
                return self.kill_at
            case _:
                return NEVER


def socket_key(spec: VassalSpec) -> tuple[str | None, bool, Owner | None]:
    """What a bound socket depends on: another key needs another socket."""
    return spec.socket, spec.ask_socket, spec.owner


def evolve(state: State, changes: Mapping[str, object]) -> State:
    """:func:`dataclasses.replace`, at half its price: nothing else is done as often in a large empire."""
    values = list(_values_of(state))
    for name, value in changes.items():
        values[_PLACES[name]] = value
    return State(*values)


_PLACES = {field.name: place for place, field in enumerate(fields(State))}
_values_of = attrgetter(*_PLACES)
