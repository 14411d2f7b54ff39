"""What happened, one frozen class a fact. Actors publish these on the bus; outlets show them.

``text`` is the line that a person reads; the fields are what a machine reads. ``level`` is for filtering and colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from emperor_trio.model import VassalId


class Level(IntEnum):
    """How much an event matters, with the numbers of :mod:`logging`."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


@dataclass(frozen=True, slots=True)
class Event:
    """The root of all events."""

    level: ClassVar[Level] = Level.INFO

    @property
    def text(self) -> str:
        """One line for people, without the vassal's or monitor's name."""
        return type(self).__name__


def counted(number: int, noun: str) -> str:
    """``1 vassal``, ``2 vassals``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# --- the emperor -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EmperorStarted(Event):
    pid: int
    version: str
    monitors: tuple[str, ...]

    @property
    def text(self) -> str:
        return f"emperor-trio {self.version} governs {', '.join(self.monitors)} (pid {self.pid})"


@dataclass(frozen=True, slots=True)
class ProgramChosen(Event):
    """What vassals run: paths in the order in which they are tried, one as a rule."""

    programs: tuple[str, ...]

    @property
    def text(self) -> str:
        return f"vassals run {', else '.join(self.programs)}"


@dataclass(frozen=True, slots=True)
class EmperorStopping(Event):
    reason: str
    vassals: int

    @property
    def text(self) -> str:
        return f"{self.reason}: stopping {counted(self.vassals, 'vassal')}"


@dataclass(frozen=True, slots=True)
class EmperorStopped(Event):
    """``left_behind`` processes could not even be killed: they hang in the kernel."""

    left_behind: int = 0

    @property
    def text(self) -> str:
        if self.left_behind:
            hang = "hangs" if self.left_behind == 1 else "hang"
            return f"{counted(self.left_behind, 'vassal')} {hang} in the kernel and could not be killed; bye"
        return "all vassals are gone; bye"


@dataclass(frozen=True, slots=True)
class CommandReceived(Event):
    """A signal or a command asked for something that is for the whole empire."""

    command: str

    @property
    def text(self) -> str:
        return self.command


@dataclass(frozen=True, slots=True)
class Notice(Event):
    """Something about the emperor itself that an operator should know: an ignored option, a limit, a fallback."""

    level: ClassVar[Level] = Level.WARNING
    message: str

    @property
    def text(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class ObservationFailed(Event):
    """Deciding on one observation or report raised: the old desired state was kept."""

    level: ClassVar[Level] = Level.ERROR
    what: str
    error: str

    @property
    def text(self) -> str:
        return f"could not decide on {self.what}: {self.error}; nothing was changed"


@dataclass(frozen=True, slots=True)
class OutletFailed(Event):
    level: ClassVar[Level] = Level.ERROR
    outlet: str
    error: str
    retry_in: float

    @property
    def text(self) -> str:
        return f"{self.outlet} failed: {self.error}; again in {self.retry_in:.1f} s"


@dataclass(frozen=True, slots=True)
class LogsNotRotated(Event):
    """Vassals' logs could not be rotated, and were left as they are. Said once, until all can be rotated again."""

    level: ClassVar[Level] = Level.ERROR
    log: str
    error: str
    logs: int

    @property
    def text(self) -> str:
        others = f", and {self.logs - 1} more" if self.logs > 1 else ""
        return f"the log {self.log}{others} could not be rotated: {self.error}; left as it is, and tried again"


@dataclass(frozen=True, slots=True)
class LogOutran(Event):
    """A vassal wrote its log faster than it could be copied: so many bytes went with the cut, in no copy."""

    level: ClassVar[Level] = Level.WARNING
    log: str
    lost: int

    @property
    def text(self) -> str:
        return f"the log {self.log} grows faster than it can be copied: {counted(self.lost, 'byte')} of it are lost"


@dataclass(frozen=True, slots=True)
class Lagged(Event):
    """A subscriber of the bus was too slow: this many events were dropped before the next one it gets."""

    level: ClassVar[Level] = Level.WARNING
    dropped: int

    @property
    def text(self) -> str:
        were = "was" if self.dropped == 1 else "were"
        return f"{counted(self.dropped, 'event')} {were} dropped here, not taken fast enough"


# --- monitors --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MonitorEvent(Event):
    monitor: str


@dataclass(frozen=True, slots=True)
class MonitorReady(MonitorEvent):
    """The first successful answer since the start or since a failure."""

    vassals: int

    @property
    def text(self) -> str:
        return f"watching, {counted(self.vassals, 'vassal')}"


@dataclass(frozen=True, slots=True)
class MonitorFailed(MonitorEvent):
    """The source can't be read. Nothing changes for its vassals."""

    level: ClassVar[Level] = Level.ERROR
    error: str
    retry_in: float

    @property
    def text(self) -> str:
        return f"{self.error}; vassals stay as they are, again in {self.retry_in:.1f} s"


@dataclass(frozen=True, slots=True)
class MonitorNotice(MonitorEvent):
    """Something about the source that an operator should know, said once: a fallback to scanning, a folder awaited."""

    level: ClassVar[Level] = Level.WARNING
    message: str

    @property
    def text(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class FolderFound(MonitorEvent):
    """A folder that was awaited is there."""

    folder: str

    @property
    def text(self) -> str:
        return f"the folder {self.folder!r} is there now"


@dataclass(frozen=True, slots=True)
class NameSkipped(MonitorEvent):
    """A name in the source that is no vassal's, said once."""

    level: ClassVar[Level] = Level.DEBUG
    name: str
    reason: str

    @property
    def text(self) -> str:
        return f"{self.name!r} is no vassal: {self.reason}"


@dataclass(frozen=True, slots=True)
class VassalRefused(MonitorEvent):
    """One entry of a source is wrong or not allowed; it costs only itself, and is said once until it changes.

    ``value`` is as shown to people, "" where there is none.
    """

    level: ClassVar[Level] = Level.ERROR
    name: str
    field: str
    value: str
    reason: str

    @property
    def text(self) -> str:
        if self.value:
            return f"{self.name!r} refused: {self.field} {self.value}: {self.reason}"
        goes_on = self.reason.startswith(("is ", "has ", "holds "))  # as in "config is missing"
        return f"{self.name!r} refused: {self.field}{' ' if goes_on else ': '}{self.reason}"


# --- vassals ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VassalEvent(Event):
    vassal: VassalId


@dataclass(frozen=True, slots=True)
class VassalAdded(VassalEvent):
    level: ClassVar[Level] = Level.DEBUG

    @property
    def text(self) -> str:
        return "added"


@dataclass(frozen=True, slots=True)
class VassalChanged(VassalEvent):
    """A reason to reload or replace arrived. ``what`` says which."""

    level: ClassVar[Level] = Level.DEBUG
    what: str

    @property
    def text(self) -> str:
        return self.what


@dataclass(frozen=True, slots=True)
class VassalMoved(VassalEvent):
    """The vassal is in another phase, or no longer ready, of which nothing else tells."""

    level: ClassVar[Level] = Level.DEBUG
    phase: str

    @property
    def text(self) -> str:
        return self.phase


@dataclass(frozen=True, slots=True)
class VassalRemoved(VassalEvent):
    """The vassal is gone, with its process, its socket and its descriptors."""

    @property
    def text(self) -> str:
        return "removed"


@dataclass(frozen=True, slots=True)
class VassalSpawned(VassalEvent):
    pid: int
    generation: int

    @property
    def text(self) -> str:
        return f"spawned, pid {self.pid}"


@dataclass(frozen=True, slots=True)
class SpawnFailed(VassalEvent):
    """It is tried again. Said once until the error or the config changes, or the vassal comes up."""

    level: ClassVar[Level] = Level.ERROR
    error: str

    @property
    def text(self) -> str:
        return f"could not be spawned: {self.error} (tried again; said again when it changes)"


@dataclass(frozen=True, slots=True)
class SpawnPostponed(VassalEvent):
    """The system had no room for one more process; ``retry_in`` in seconds."""

    level: ClassVar[Level] = Level.WARNING
    error: str
    retry_in: float

    @property
    def text(self) -> str:
        return f"no room to spawn: {self.error}; again in {self.retry_in:.1f} s"


@dataclass(frozen=True, slots=True)
class LogUnavailable(VassalEvent):
    """This process prints to the emperor's own stdout and stderr, until it is started again."""

    level: ClassVar[Level] = Level.ERROR
    error: str

    @property
    def text(self) -> str:
        return f"its log can't be written: {self.error}; it prints to the emperor's own stdout and stderr"


@dataclass(frozen=True, slots=True)
class VassalReady(VassalEvent):
    """Byte 1: the vassal was spawned, or reloaded. ``revision`` is the newest it can be running."""

    revision: int

    @property
    def text(self) -> str:
        return "ready"


@dataclass(frozen=True, slots=True)
class VassalAccepting(VassalEvent):
    level: ClassVar[Level] = Level.DEBUG

    @property
    def text(self) -> str:
        return "accepting requests"


@dataclass(frozen=True, slots=True)
class VassalLoyal(VassalEvent):
    @property
    def text(self) -> str:
        return "now loyal"


@dataclass(frozen=True, slots=True)
class ReloadSent(VassalEvent):
    revision: int

    @property
    def text(self) -> str:
        return "told to reload"


@dataclass(frozen=True, slots=True)
class StopSent(VassalEvent):
    reason: str

    @property
    def text(self) -> str:
        return f"told to stop: {self.reason}"


@dataclass(frozen=True, slots=True)
class VassalCursed(VassalEvent):
    """The vassal closed its pipe or left; it is killed if it is still there after ``tolerance`` seconds."""

    level: ClassVar[Level] = Level.WARNING
    reason: str
    tolerance: float

    @property
    def text(self) -> str:
        return f"cursed: {self.reason}; killed in {self.tolerance:g} s unless it ends"


@dataclass(frozen=True, slots=True)
class VassalKilled(VassalEvent):
    level: ClassVar[Level] = Level.WARNING
    reason: str

    @property
    def text(self) -> str:
        return f"killed: {self.reason}"


@dataclass(frozen=True, slots=True)
class VassalExited(VassalEvent):
    """The process ended. ``code`` is −N for signal N; ``expected`` where the emperor had asked for it."""

    pid: int
    code: int
    expected: bool
    loyal: bool

    @property
    def text(self) -> str:
        how = f"signal {-self.code}" if self.code < 0 else f"exit code {self.code}"
        return f"stopped, pid {self.pid}" if self.expected else f"died, pid {self.pid}, {how}"


@dataclass(frozen=True, slots=True)
class VassalBlacklisted(VassalEvent):
    """Died before it was loyal; ``delay`` is the time in seconds until its next spawn."""

    level: ClassVar[Level] = Level.WARNING
    attempt: int
    delay: float

    @property
    def text(self) -> str:
        again = f"next spawn in {self.delay:.1f} s" if self.delay > 0 else "spawned again at once"
        return f"blacklisted, death {self.attempt} before loyalty: {again}"


@dataclass(frozen=True, slots=True)
class VassalExiled(VassalEvent):
    level: ClassVar[Level] = Level.WARNING
    reason: str

    @property
    def text(self) -> str:
        return f"exiled: {self.reason}; stays away until its config changes or a command starts it"


@dataclass(frozen=True, slots=True)
class VassalHeld(VassalEvent):
    """It has no process, though its source wants one, until a command starts it."""

    reason: str

    @property
    def text(self) -> str:
        return f"stays stopped: {self.reason}"


@dataclass(frozen=True, slots=True)
class VassalParked(VassalEvent):
    """Restart intensity was reached: no more spawns until its config changes or a command starts it."""

    level: ClassVar[Level] = Level.ERROR
    restarts: int
    window: float

    @property
    def text(self) -> str:
        often = f"{counted(self.restarts, 'restart')} within {self.window:g} s"
        return f"failed: {often}; parked until its config changes or a command starts it"


@dataclass(frozen=True, slots=True)
class VassalListening(VassalEvent):
    address: str

    @property
    def text(self) -> str:
        return f"on demand, waiting for the first connection on {self.address}"


@dataclass(frozen=True, slots=True)
class VassalWoken(VassalEvent):
    @property
    def text(self) -> str:
        return "first connection"


@dataclass(frozen=True, slots=True)
class ReinforcementAsked(VassalEvent):
    granted: bool
    reason: str

    @property
    def text(self) -> str:
        return f"asks for reinforcement: {self.reason}"


@dataclass(frozen=True, slots=True)
class ProtocolSurprise(VassalEvent):
    """A byte that no version of the emperor protocol knows; said once a process."""

    level: ClassVar[Level] = Level.WARNING
    byte: int

    @property
    def text(self) -> str:
        return f"sent an unknown byte {self.byte}; ignored"


@dataclass(frozen=True, slots=True)
class HookFailed(VassalEvent):
    level: ClassVar[Level] = Level.WARNING
    hook: str
    error: str

    @property
    def text(self) -> str:
        return f"{self.hook}: {self.error}"


@dataclass(frozen=True, slots=True)
class ActorCrashed(VassalEvent):
    """A fault of ours in this vassal's actor: its process group was killed and it starts over."""

    level: ClassVar[Level] = Level.ERROR
    error: str
    retry_in: float

    @property
    def text(self) -> str:
        return f"internal error, starting over in {self.retry_in:.1f} s: {self.error}"


@dataclass(frozen=True, slots=True)
class VassalStatus(VassalEvent):
    """One vassal's status, asked for by SIGUSR1."""

    phase: str
    pid: int
    uptime: float
    loyal: bool

    @property
    def text(self) -> str:
        if self.pid <= 0:
            return f"status: {self.phase}, no process"
        loyalty = "loyal" if self.loyal else "not yet loyal"
        return f"status: {self.phase}, pid {self.pid}, up {self.uptime:.0f} s, {loyalty}"
