"""What goes over the control channel: JSON objects in websocket text messages, each with its ``type``.

Owns the schema, and nothing else: :func:`encode` and :func:`decode_request` / :func:`decode_answer` are the only way
in and out. A client sends requests, each with an ``id`` of its own choice; every answer to it carries that ``id``.
Times are seconds since the epoch, 0.0 for never. ``docs/control.md`` explains it to people.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, get_args

from emperor_trio import events as happened
from emperor_trio.control.strict import MOST_INTEGER, parse
from emperor_trio.errors import ControlError
from emperor_trio.masking import masked
from emperor_trio.model import VassalId, Verb
from emperor_trio.ports import MonitorStatistics, Occurrence, VassalStatistics

if TYPE_CHECKING:
    from cattrs import Converter

PROTOCOL = 1
"""Raised with every change that a client written for an earlier one would trip over; new fields are no such change."""

MOST_ROWS = 100
"""Vassals in one :class:`Snapshot` at most: what is larger comes in several, and a client that is slow to take it holds
no more memory of the emperor than one of them."""

MAX_REQUEST = 256 * 1024
"""The largest request, in bytes."""


class State(Enum):
    """A vassal's state in one word, for tables and colours."""

    UP = "up"
    RELOADING = "reloading"
    STARTING = "starting"
    WAITING = "on demand"
    STOPPING = "stopping"
    QUEUED = "queued"
    BLACKLISTED = "blacklisted"
    FAILED = "failed"
    EXILED = "exiled"
    STOPPED = "stopped"


_STATES = {
    "starting": State.STARTING,
    "on demand": State.WAITING,
    "stopping": State.STOPPING,
    "running its stop hook": State.STOPPING,
    "gone": State.STOPPING,
    "exiled": State.EXILED,
    "failed": State.FAILED,
    "stopped": State.STOPPED,
}


def state_of(vassal: VassalStatistics) -> State:
    """The one rule for what state is shown, out of the phase and the flags."""
    if vassal.phase == "running":
        return State.UP if vassal.ready else State.RELOADING
    if vassal.phase == "queued" and vassal.next_spawn:
        return State.BLACKLISTED
    return _STATES.get(vassal.phase, State.QUEUED)


# --- what both sides speak of ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Vassal:
    """One vassal. ``pid`` is 0 where there is no process, ``ordinal`` above 0 for a zerg.

    ``generation`` numbers its processes, ``deaths`` counts those that nobody asked for, ``exit_code`` is that of its
    last process (−N for signal N). ``revision`` is the newest that its process can be running, ``wanted`` the one that
    is desired. ``held`` is why it stays stopped, "" where it doesn't. ``owner`` is ``uid:gid``.
    """

    monitor: str
    name: str
    ordinal: int
    state: State
    phase: str
    pid: int
    ready: bool
    accepting: bool
    loyal: bool
    held: str
    since: float
    first_run: float
    last_run: float
    last_ready: float
    last_heartbeat: float
    cursed_at: float
    generation: int
    reloads: int
    deaths: int
    exit_code: int | None
    next_spawn: float
    reason: str
    revision: int
    wanted: int
    modified: int
    on_demand: str
    owner: str

    @classmethod
    def of(cls, seen: VassalStatistics) -> Vassal:
        """As it goes over the channel."""
        return cls(
            monitor=seen.vassal.monitor,
            name=seen.vassal.name,
            ordinal=seen.vassal.ordinal,
            state=state_of(seen),
            phase=seen.phase,
            pid=max(seen.pid, 0),
            ready=seen.ready,
            accepting=seen.accepting,
            loyal=seen.loyal,
            held=seen.held,
            since=seen.since,
            first_run=seen.first_run,
            last_run=seen.last_run,
            last_ready=seen.last_ready,
            last_heartbeat=seen.last_heartbeat,
            cursed_at=seen.cursed_at,
            generation=seen.generation,
            reloads=seen.reloads,
            deaths=seen.deaths,
            exit_code=seen.exit_code,
            next_spawn=seen.next_spawn,
            reason=seen.reason,
            revision=seen.revision,
            wanted=seen.wanted,
            modified=seen.modified,
            on_demand=seen.on_demand or "",
            owner=str(seen.owner or ""),
        )

    @property
    def key(self) -> Key:
        return Key(self.monitor, self.name, self.ordinal)


@dataclass(frozen=True, slots=True)
class Key:
    """Which vassal: :class:`~emperor_trio.model.VassalId` on the channel."""

    monitor: str
    name: str
    ordinal: int = 0

    @classmethod
    def of(cls, vassal: VassalId) -> Key:
        return cls(vassal.monitor, vassal.name, vassal.ordinal)

    @property
    def vassal(self) -> VassalId:
        return VassalId(self.monitor, self.name, self.ordinal)


@dataclass(frozen=True, slots=True)
class Monitor:
    """The health of one monitor; see :class:`~emperor_trio.ports.MonitorStatistics`."""

    name: str
    healthy: bool
    since: float
    error: str
    last_error: str
    next_try: float
    vassals: int

    @classmethod
    def of(cls, seen: MonitorStatistics) -> Monitor:
        return cls(seen.name, seen.healthy, seen.since, seen.error, seen.last_error, seen.next_try, seen.vassals)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: ``kind`` is the class in :mod:`emperor_trio.events`, ``fields`` its own fields.

    ``monitor`` and ``name`` are "" where it is about neither; ``level`` is debug, info, warning or error.
    """

    at: float
    level: str
    kind: str
    monitor: str
    name: str
    ordinal: int
    text: str
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which vassals: every one whose name is, or matches as a shell pattern, one of ``names``; all where there is none.

    With ``exact`` nothing is a pattern. ``monitor`` narrows it, as typed after ``--emperor`` (passwords masked).
    """

    names: tuple[str, ...] = ()
    monitor: str | None = None
    exact: bool = False


# --- requests --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Request:
    """The root of all requests."""

    id: int


@dataclass(frozen=True, slots=True)
class Command(Request):
    """Reload, restart, stop, start or forgive vassals. Answered by :class:`Verdicts`, before the effect is there."""

    verb: Verb
    which: Selection


@dataclass(frozen=True, slots=True)
class Scan(Request):
    """Have one monitor, or all, look at their source now. Answered by :class:`Done` once they have (or failed to)."""

    monitor: str | None = None


@dataclass(frozen=True, slots=True)
class Shutdown(Request):
    """Stop every vassal and the emperor. Answered by :class:`Done`; the channel closes at the end of it."""


@dataclass(frozen=True, slots=True)
class Look(Request):
    """Answered by :class:`Snapshot`, once or more."""

    which: Selection = Selection()


@dataclass(frozen=True, slots=True)
class Show(Request):
    """All about one vassal. Answered by :class:`Details`."""

    vassal: Key


@dataclass(frozen=True, slots=True)
class Subscribe(Request):
    """What is, and then what changes, until :class:`Unsubscribe` or the end of the connection.

    Answered by :class:`Snapshot` (where ``vassals``), and one :class:`Changes` with the ``recent`` events of the past,
    if there are any; then by :class:`Changes` with this ``id`` at most every 50 ms, and a :class:`Tick` where a second
    brings none. ``level`` is the least of the events that are sent; ``events`` are those of the selected vassals, of
    their monitors and of the emperor itself.
    """

    which: Selection = Selection()
    vassals: bool = True
    events: bool = True
    level: str = "info"
    recent: int = 0


@dataclass(frozen=True, slots=True)
class Unsubscribe(Request):
    """Answered by :class:`Done`. Ends a :class:`Subscribe`, :class:`Measure` or :class:`Tail` by its ``id``."""

    subscription: int


@dataclass(frozen=True, slots=True)
class Measure(Request):
    """CPU and memory of vassals in view, :data:`MOST_MEASURED` at most. Answered by :class:`Usage` every two seconds.

    A client has one of these at a time; a newer one replaces it.
    """

    vassals: tuple[Key, ...]


MOST_MEASURED = 200


@dataclass(frozen=True, slots=True)
class Tail(Request):
    """The last ``lines`` of a vassal's log, and with ``follow`` what comes. Answered by :class:`LogLines`."""

    vassal: Key
    lines: int = 100
    follow: bool = False


@dataclass(frozen=True, slots=True)
class Settings(Request):
    """The emperor's effective settings. Answered by :class:`SettingList`."""


@dataclass(frozen=True, slots=True)
class Names(Request):
    """The names of vassals that begin so, for completion. Answered by :class:`NameList`, ``most`` names at most."""

    prefix: str = ""
    monitor: str | None = None
    most: int = 1000


AnyRequest = Command | Scan | Shutdown | Look | Show | Subscribe | Unsubscribe | Measure | Tail | Settings | Names


# --- answers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Greeting:
    """The first message of all. ``commands`` says whether this connection may command; ``logs`` where vassals' logs
    are: a folder, "-" for the emperor's stdout, or "" where they share its stderr."""

    version: str
    pid: int
    started: float
    at: float
    commands: bool
    monitors: tuple[str, ...]
    logs: str = ""
    host: str = ""
    protocol: int = PROTOCOL


@dataclass(frozen=True, slots=True)
class Answer:
    """The root of all answers to a request."""

    id: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a command for one vassal. With ``ok``, it is carried out, or is so already.

    ``revision`` is what the vassal has to reach (see :class:`Vassal`): for reload, restart and start it is done when
    the vassal is ready with that revision or a later one; for stop when its state is ``stopped``.
    """

    monitor: str
    name: str
    ordinal: int
    ok: bool
    text: str
    revision: int


@dataclass(frozen=True, slots=True)
class Verdicts(Answer):
    verdicts: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class Refused(Answer):
    """The request as a whole can't be answered, and why; nothing was done. ``id`` is 0 where it had none."""

    error: str


@dataclass(frozen=True, slots=True)
class Done(Answer):
    text: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot(Answer):
    """Vassals and monitors as they are. ``last`` says that it is whole now; until then more of it follows."""

    at: float
    vassals: tuple[Vassal, ...]
    monitors: tuple[Monitor, ...] = ()
    absent: tuple[Key, ...] = ()
    """Vassals that are held stopped, but not at their source now."""
    last: bool = True


@dataclass(frozen=True, slots=True)
class Changes(Answer):
    """What changed since the last message: vassals whole as they are now, those that are gone, and events in order."""

    at: float
    vassals: tuple[Vassal, ...] = ()
    gone: tuple[Key, ...] = ()
    monitors: tuple[Monitor, ...] = ()
    events: tuple[Event, ...] = ()
    absent: tuple[Key, ...] | None = None
    """As in :class:`Snapshot`, all of them, where that changed."""


@dataclass(frozen=True, slots=True)
class Lagged(Answer):
    """This client was too slow: so many events were dropped. A new :class:`Snapshot` follows, which replaces all, where
    the subscription is for vassals."""

    events: int


@dataclass(frozen=True, slots=True)
class Details(Answer):
    """``command`` is what its process was started with, passwords masked; ``log`` the path of its own log or ""."""

    vassal: Vassal
    events: tuple[Event, ...]
    command: tuple[str, ...]
    log: str = ""
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measured:
    """``cpu`` is the share of one processor since the last message (1.0 is a whole one), ``memory`` in bytes, both over
    all ``processes`` of the vassal."""

    monitor: str
    name: str
    ordinal: int
    cpu: float
    memory: int
    processes: int


@dataclass(frozen=True, slots=True)
class Usage(Answer):
    at: float
    vassals: tuple[Measured, ...]


@dataclass(frozen=True, slots=True)
class LogLines(Answer):
    """``dropped`` lines were lost before these. ``last`` says that no more will come."""

    lines: tuple[str, ...]
    dropped: int = 0
    last: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """One option: its value as text, masked, and where it came from: a place in a file, "command line" or "default".

    ``now`` is for clients: what the same command line and files would give if the emperor were started now, where that
    differs.
    """

    name: str
    value: str
    origin: str
    now: str | None = None


@dataclass(frozen=True, slots=True)
class SettingList(Answer):
    """``arguments`` is the emperor's command line, passwords masked, and ``directory`` the folder in which it was read:
    so that a client can read the same files again."""

    settings: tuple[Setting, ...]
    arguments: tuple[str, ...] = ()
    directory: str = ""


@dataclass(frozen=True, slots=True)
class NameList(Answer):
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing changed, and the emperor lives."""

    at: float


AnyAnswer = (
    Greeting
    | Verdicts
    | Refused
    | Done
    | Snapshot
    | Changes
    | Lagged
    | Details
    | Usage
    | LogLines
    | SettingList
    | NameList
    | Tick
)


# --- in and out ------------------------------------------------------------------------------------------------------


def encode(message: AnyRequest | AnyAnswer) -> str:
    """One message as JSON text, pure ASCII: names that are no UTF-8 go as escaped surrogates."""
    union: Any = AnyRequest if isinstance(message, Request) else AnyAnswer
    return dumps(_converter(union).unstructure(message, unstructure_as=union))


def encode_part(part: Vassal | Monitor | Event | Key) -> str:
    """What stands within answers, encoded for itself: to be put together by whoever sends the same to many."""
    return dumps(_converter(AnyAnswer).unstructure(part))


def decode_request(text: str) -> AnyRequest:
    """Raises :class:`~emperor_trio.errors.ControlError` whose text says what is wrong with it."""
    found: AnyRequest = _decode(text, AnyRequest)
    return found


def decode_answer(text: str) -> AnyAnswer:
    """As :func:`decode_request`; fields that a later version added are passed over."""
    found: AnyAnswer = _decode(text, AnyAnswer)
    return found


def readable_id(text: str) -> int:
    """The ``id`` of a message that is wrong otherwise, 0 where there is none."""
    try:
        found = parse(text)
    except (ValueError, RecursionError):
        return 0
    number = found.get("id") if isinstance(found, dict) else None
    return number if type(number) is int and abs(number) <= MOST_INTEGER else 0


def event_of(occurrence: Occurrence) -> Event:
    """An event of the bus, as it goes over the channel: passwords masked, numbers that JSON can't say left out."""
    event = occurrence.event
    vassal = event.vassal if isinstance(event, happened.VassalEvent) else None
    monitor = vassal.monitor if vassal else event.monitor if isinstance(event, happened.MonitorEvent) else ""
    names = [item.name for item in fields(event) if item.name not in ("vassal", "monitor")]
    return Event(
        occurrence.at,
        event.level.name.lower(),
        type(event).__name__,
        monitor,
        vassal.name if vassal else "",
        vassal.ordinal if vassal else 0,
        masked(event.text),
        {name: _plain(getattr(event, name)) for name in names},
    )


def _plain(value: object) -> object:
    match value:
        case bool() | int() | None:
            return value
        case float():
            return value if math.isfinite(value) else None
        case str():
            return masked(value)
        case tuple() | list():
            return [_plain(item) for item in value]
        case _:
            return str(value)


def _decode(text: str, union: Any) -> Any:
    try:
        found = parse(text)
    except (ValueError, RecursionError) as error:
        raise ControlError(f"no JSON: {error}") from None
    kind = found.get("type") if isinstance(found, dict) else None
    if not isinstance(kind, str):
        raise ControlError("a message is a JSON object with a type")
    known = {tag_of(member) for member in get_args(union)}
    if kind not in known:
        raise ControlError(f"there is no {kind[:40]!r} here; there are {', '.join(sorted(known))}")
    try:
        return _converter(union).structure(found, union)
    except Exception as error:
        from cattrs import transform_error

        raise ControlError(f"{kind}: {'; '.join(transform_error(error))[:500]}") from None


def tag_of(kind: type) -> str:
    """The ``type`` of a message."""
    return kind.__name__.lower()


dumps: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


@cache
def _converter(union: Any) -> Converter:
    from emperor_trio.control.strict import converter_of

    return converter_of(union, tag_of, request=union is AnyRequest)
