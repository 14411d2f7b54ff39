"""What the actors need of the outside, as protocols: monitors, spawner, process, listener, outlets.

The real ones live in ``monitors/``, ``processes/`` and ``outlets/``; the fakes ship in :mod:`emperor_trio.testing`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from emperor_trio.events import Event
from emperor_trio.model import Observation, Owner, VassalId, VassalSpec, Verb, Verdict

Emit = Callable[[Observation], Awaitable[None]]
"""Hands one observation to the supervisor; waits while its bounded channel is full."""


class Monitor(Protocol):
    """An imperial monitor: watches one source and says what it sees.

    ``run`` goes on until it is cancelled. It raises :class:`~emperor_trio.errors.MonitorError` (or anything) where the
    source fails: nothing changes for the vassals then, and ``run`` is called again after a growing delay. The same
    object is run again, so what it learned may be kept.
    """

    async def run(self, emit: Emit) -> None: ...


class Doorbell(Protocol):
    """Wakes a monitor for an immediate look at its source (SIGWINCH, a command). Rings coalesce."""

    async def wait(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Kept:
    """A vassal as a monitor wants to find it again after a restart of the emperor.

    ``origin`` is where its config came from, in the monitor's own words (a path, a URL), ``validators`` what a next
    question there may quote (an ETag, say), both "" where there is none.
    """

    spec: VassalSpec
    origin: str = ""
    validators: str = ""


class Memory(Protocol):
    """What one monitor keeps over restarts of the emperor (``--emperor-state``). Newest wins, by the vassal's name."""

    async def recall(self) -> tuple[Kept, ...]:
        """All that was kept. Raises :class:`~emperor_trio.errors.MonitorError` where it can't be read."""
        ...

    def keep(self, kept: Kept) -> None:
        """Have it written soon. Never waits."""
        ...

    def forget(self, name: str) -> None:
        """Have it removed soon. Never waits."""
        ...

    async def settle(self) -> None:
        """Wait until all that was kept and forgotten so far is committed.

        Raises :class:`~emperor_trio.errors.MonitorError` where that fails; it is tried again with the next call.
        """
        ...


class Holds(Protocol):
    """Which vassals an operator has stopped, kept over restarts of the emperor (``--emperor-state``)."""

    async def recall(self) -> tuple[VassalId, ...]:
        """All that are held. Raises :class:`~emperor_trio.errors.MonitorError` where that can't be read."""
        ...

    def put(self, vassal: VassalId, *, held: bool) -> None:
        """Have it written soon. Never waits."""
        ...

    async def settle(self) -> None:
        """Wait until all that was put so far is committed; as :meth:`Memory.settle`."""
        ...


@dataclass(frozen=True, slots=True)
class MonitorContext:
    """What a monitor is given: ``argument`` is the text behind ``scheme://``, ``name`` its identity, passwords masked.

    Times in seconds. ``publish`` puts an event on the bus, without waiting. ``doorbell`` asks for a scan. ``memory`` is
    for what a source does not keep itself, ``None`` without ``--emperor-state``. ``attributes`` names those to collect.
    The rest are the options of that name.
    """

    name: str
    argument: str
    publish: Callable[[Event], None]
    doorbell: Doorbell
    frequency: float = 3.0
    nofollow: bool = False
    extra_extensions: frozenset[str] = frozenset()
    magic_exec: bool = False
    tyrant: bool = False
    tyrant_nofollow: bool = False
    on_demand_extension: str | None = None
    on_demand_directory: str | None = None
    on_demand_exec: str | None = None
    memory: Memory | None = None
    http_hosts: tuple[str, ...] = ()
    http_timeout: float = 10.0
    ldap_bind_dn: str | None = None
    ldap_password_file: str | None = None
    ldap_starttls: bool = False
    zmq_curve_key: str | None = None
    zmq_curve_clients: str | None = None
    attributes: frozenset[str] = frozenset()


MonitorFactory = Callable[[MonitorContext], Monitor]
"""What an entry point of the group ``emperor_trio.monitors`` names; the entry point's name is the URL scheme."""


@dataclass(frozen=True, slots=True)
class Received:
    """Bytes came from the vassal over its emperor pipe."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PipeClosed:
    """The vassal closed its end of the emperor pipe. Comes once at most, before or after ``Exited``, or not at all."""


@dataclass(frozen=True, slots=True)
class Exited:
    """The process ended and was reaped. ``code`` is as in :attr:`subprocess.Popen.returncode`: −N for signal N."""

    code: int


ProcessEvent = Received | PipeClosed | Exited
Deliver = Callable[[ProcessEvent], None]


class Process(Protocol):
    """One live vassal process. Nothing here waits; nothing raises once the process is gone."""

    @property
    def pid(self) -> int: ...

    def send(self, order: int) -> bool:
        """Write one byte of the emperor protocol. False where the pipe is closed or full (the vassal is stuck)."""
        ...

    def send_config(self, config: bytes) -> bool:
        """Write one config chunk. False where it did not fit whole (nothing was written) or the pipe is closed."""
        ...

    def has_unread_config(self) -> bool:
        """Whether a chunk lies in the config pipe that the vassal did not read."""
        ...

    def kill(self) -> None:
        """SIGKILL to the vassal's whole process group."""
        ...

    def close(self) -> None:
        """Give back every descriptor. Idempotent. Nothing more is delivered; a live process is still reaped."""
        ...


class Listener(Protocol):
    """The listening socket of an on-demand vassal, kept open by the emperor over all its processes."""

    @property
    def address(self) -> str: ...

    def arm(self, notify: Callable[[], None]) -> None:
        """Call ``notify`` once, when a connection waits. Arming again replaces the callback."""
        ...

    def disarm(self) -> None: ...

    def close(self) -> None:
        """Close, and unlink the socket's path where it is still ours. Idempotent."""
        ...


class HookPoint(Enum):
    """When a hook of the emperor's side runs."""

    AFTER_SPAWN = "exec-as-emperor"
    AFTER_DEATH = "vassals-stop-hook"


class Spawner(Protocol):
    """Turns a spec into a process. The one door to the operating system for vassals' actors."""

    def spawn(
        self, vassal: VassalId, spec: VassalSpec, zergs: int, listener: Listener | None, deliver: Deliver
    ) -> Process:
        """Start one process, at once, from the main thread.

        ``zergs`` is the value of ``UWSGI_BROODLORD_NUM`` for a zerg. ``deliver`` is called in the Trio thread, never
        from inside ``spawn``. A config is sent before this returns.

        Raises :class:`~emperor_trio.errors.SpawnDeferred` or :class:`~emperor_trio.errors.SpawnError`.
        """
        ...

    def command_line(self, vassal: VassalId, spec: VassalSpec) -> tuple[str, ...]:
        """What the process of such a vassal is executed with; empty where it can't be."""
        ...

    async def listen(self, vassal: VassalId, spec: VassalSpec, address: str) -> Listener:
        """Bind and listen. Raises :class:`~emperor_trio.errors.ListenError`."""
        ...

    async def ask_socket(self, vassal: VassalId, spec: VassalSpec) -> str | None:
        """Run ``--emperor-on-demand-exec`` for the vassal: its socket, or ``None`` for none.

        Raises :class:`~emperor_trio.errors.SpawnError` where the command fails or takes too long.
        """
        ...

    def has_hook(self, point: HookPoint) -> bool: ...

    async def run_hook(self, point: HookPoint, vassal: VassalId, spec: VassalSpec, pid: int) -> str | None:
        """Run a hook to its end or its time limit; the text says what went wrong, ``None`` is success. Never raises."""
        ...


class Outputs(Protocol):
    """Where what vassals print goes, where it is not the emperor's own stdout and stderr."""

    def open(self, vassal: VassalId) -> int | None:
        """A descriptor for stdout and stderr of one process, the caller's to close; ``None``: the emperor's own ones.

        Never waits and never raises: a vassal is not lost for its log.
        """
        ...


@dataclass(frozen=True, slots=True)
class Lines:
    """Whole lines that a vassal printed, each with its end. ``dropped`` more were lost before, not taken in time."""

    data: bytes
    dropped: int = 0


class LineSubscription(Protocol):
    """What one vassal prints from now on, bounded; ends with the emperor."""

    def __aiter__(self) -> AsyncIterator[Lines]: ...


class LineSource(Protocol):
    """What vassals print, where it comes through the emperor (``--vassal-logs -``)."""

    def subscribe(self, vassal: VassalId) -> AbstractContextManager[LineSubscription]: ...


class LineSink(Protocol):
    """Takes all that vassals print."""

    async def room(self) -> None:
        """Wait until there is room for more."""
        ...

    def put(self, vassal: VassalId, data: bytes) -> None:
        """Take whole lines, each with its end. Never waits."""
        ...

    def end(self) -> None:
        """Nothing more will come."""
        ...


@dataclass(frozen=True, slots=True)
class Occurrence:
    """An event and its time, in seconds since the epoch, as the bus hands it out."""

    at: float
    event: Event


class Subscription(Protocol):
    """One bounded view of the bus. A :class:`~emperor_trio.events.Lagged` in it says how many events were dropped."""

    def __aiter__(self) -> AsyncIterator[Occurrence]: ...


class Outlet(Protocol):
    """Shows what happened: reads a subscription or the emperor's statistics, and slows nobody down.

    ``run`` goes on until it is cancelled. Where it raises, it is run again after a growing delay.
    """

    async def run(self) -> None: ...


@dataclass(frozen=True, slots=True)
class VassalStatistics:
    """One vassal at one moment. Times in seconds since the epoch, 0.0 for never.

    ``wanted`` is the revision that is desired, ``held`` why it stays stopped. ``since`` is when its phase began.
    ``deaths`` counts those that nobody asked for, ``exit_code`` is that of its last process (−N for signal N).
    ``next_spawn`` is when a blacklisted vassal may start again, 0.0 where it may now.
    The shape of uWSGI's statistics comes out of this one; see ``outlets/stats.py``.
    """

    vassal: VassalId
    name: str
    phase: str
    pid: int
    generation: int
    revision: int
    born: int
    modified: int
    first_run: float
    last_run: float
    last_ready: float
    last_accepting: float
    last_loyal: float
    last_heartbeat: float
    ready: bool
    accepting: bool
    loyal: bool
    cursed_at: float
    reloads: int
    on_demand: str | None
    owner: Owner | None
    reason: str
    wanted: int = 0
    held: str = ""
    since: float = 0.0
    deaths: int = 0
    exit_code: int | None = None
    next_spawn: float = 0.0
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class BlacklistStatistics:
    """One blacklisted vassal: ``delay`` in seconds, ``attempt`` the number of deaths, times since the epoch."""

    vassal: VassalId
    delay: float
    attempt: int
    first_attempt: float
    last_attempt: float


@dataclass(frozen=True, slots=True)
class MonitorStatistics:
    """The health of one monitor: ``error`` is empty while it works; ``since`` is when that state began.

    ``last_error`` stays after the recovery. ``next_try`` is the time of the next try while it fails, else 0.0.
    ``answered`` says that its source has answered once, whatever came later.
    """

    name: str
    healthy: bool
    since: float
    error: str
    vassals: int
    last_error: str = ""
    next_try: float = 0.0
    answered: bool = False


@dataclass(frozen=True, slots=True)
class EmperorStatistics:
    """The whole empire at one moment."""

    monitors: tuple[MonitorStatistics, ...] = ()
    vassals: tuple[VassalStatistics, ...] = ()
    blacklist: tuple[BlacklistStatistics, ...] = ()
    counters: dict[str, int] = field(default_factory=dict)


class Realm(Protocol):
    """An emperor as those see it who show and steer it. Only :meth:`order` and :meth:`scan` wait."""

    def statistics(self) -> EmperorStatistics: ...

    def monitors(self) -> tuple[MonitorStatistics, ...]:
        """The health of every monitor; cheap."""
        ...

    def vassal(self, vassal: VassalId) -> VassalStatistics | None:
        """One vassal now, ``None`` where there is none of this name."""
        ...

    def vassal_ids(self) -> tuple[VassalId, ...]:
        """Every vassal that there is, in no order."""
        ...

    def absent(self) -> tuple[VassalId, ...]:
        """Those that are held stopped, but are not at their source now."""
        ...

    def command_line(self, vassal: VassalId) -> tuple[str, ...]:
        """What its process was or would be started with, without masking; empty where there is no such vassal."""
        ...

    def attributes(self, vassal: VassalId) -> Mapping[str, str]:
        """What its source says of it besides its config (``--emperor-collect-attribute``)."""
        ...

    def subscribe(self, limit: int = ...) -> AbstractContextManager[Subscription]: ...

    async def order(self, verb: Verb, vassals: Sequence[VassalId]) -> tuple[Verdict, ...]:
        """Command vassals. A verdict for each, in their order; it does not wait for the effect."""
        ...

    async def scan(self, monitor: str | None = None) -> None:
        """Have a monitor, or all, look at its source now, and wait until it has, or has failed to."""
        ...

    def stop(self, reason: str = ...) -> None: ...
