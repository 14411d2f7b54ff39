"""What a vassal's rules ask of its actor. Each says which stimulus is its answer, where it has one."""

from __future__ import annotations

from dataclasses import dataclass

from emperor_trio.events import Event
from emperor_trio.law.protocol import Order
from emperor_trio.law.state import Blame
from emperor_trio.model import VassalSpec


@dataclass(frozen=True, slots=True)
class Publish:
    event: Event


@dataclass(frozen=True, slots=True)
class AskLeave:
    """Ask the supervisor for the leave to spawn. Comes back as ``Leave`` of the same number, or as ``Park``."""

    number: int


@dataclass(frozen=True, slots=True)
class Withdraw:
    """The leave, asked for or granted, is not needed any more."""


@dataclass(frozen=True, slots=True)
class ReportReady:
    """The spawn that was granted is over, well, or has taken so long that nobody waits for it any more."""


@dataclass(frozen=True, slots=True)
class ReportLoyal:
    """The vassal leaves the blacklist."""


@dataclass(frozen=True, slots=True)
class ReportDeath:
    """``repeated``: of the same cause as the last one, which was told of already."""

    blame: Blame
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class ReportShortage:
    """The system had no room for the spawn that was granted."""

    error: str


@dataclass(frozen=True, slots=True)
class AskReinforcement:
    """Broodlord: one more instance, please."""


@dataclass(frozen=True, slots=True)
class EndZerg:
    """This zerg's process ended, and it is not to be spawned again."""


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start process number ``generation``. Comes back as ``Spawned`` or ``SpawnRefused``."""

    generation: int
    spec: VassalSpec


@dataclass(frozen=True, slots=True)
class Send:
    """One byte to the process, after one config chunk where there is a ``config``."""

    order: Order
    config: bytes | None = None


@dataclass(frozen=True, slots=True)
class AnswerConfig:
    """The process asks for its config: send it, unless a chunk lies unread in the pipe already."""

    config: bytes


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL to the whole process group."""


@dataclass(frozen=True, slots=True)
class Release:
    """Give back the descriptors of the process that ended."""


@dataclass(frozen=True, slots=True)
class RunSpawnHook:
    pid: int
    spec: VassalSpec


@dataclass(frozen=True, slots=True)
class RunStopHook:
    """Comes back as ``HookDone``."""

    generation: int
    pid: int
    spec: VassalSpec


@dataclass(frozen=True, slots=True)
class AskSocket:
    """Comes back as ``SocketTold`` or ``SocketFailed``."""

    ticket: int
    spec: VassalSpec


@dataclass(frozen=True, slots=True)
class Bind:
    """Comes back as ``Bound`` or ``SocketFailed``."""

    ticket: int
    spec: VassalSpec
    address: str


@dataclass(frozen=True, slots=True)
class AbandonHook:
    """Kill the stop hook that runs."""


@dataclass(frozen=True, slots=True)
class Arm:
    """Wait for a connection. Comes back as ``Connection``."""


@dataclass(frozen=True, slots=True)
class Disarm:
    pass


@dataclass(frozen=True, slots=True)
class CloseListener:
    """Close the on-demand socket, or drop the one that is being asked for or bound."""


@dataclass(frozen=True, slots=True)
class Vanish:
    """The last effect of all: out of the table with this vassal."""


Effect = (
    Publish
    | AskLeave
    | Withdraw
    | ReportReady
    | ReportLoyal
    | ReportDeath
    | ReportShortage
    | AskReinforcement
    | EndZerg
    | Spawn
    | Send
    | AnswerConfig
    | Kill
    | Release
    | RunSpawnHook
    | RunStopHook
    | AbandonHook
    | AskSocket
    | Bind
    | Arm
    | Disarm
    | CloseListener
    | Vanish
)
