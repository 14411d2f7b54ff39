"""What should run: observations of the monitors, held against the table of desired states.

Owns the desired state of every vassal, and which entries of a source are refused. It does not know processes: each
change comes out as a :class:`Change`, for the supervisor to hand on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum

from emperor_trio.model import (
    MAX_CONFIG,
    NOBODY,
    Desired,
    Destroy,
    Observation,
    Snapshot,
    Touch,
    VassalId,
    VassalSpec,
    config_option,
)

ROOT = 0

STOPPED = "by a command; 'emperor-trio start' starts it"
UNBIDDEN = "it waits for its first command; 'emperor-trio start' starts it"
"""Why a vassal is held."""

REPEATED = "several entries have it; the last one counts"
"""Why an entry is refused whose vassal runs all the same."""


class What(Enum):
    """How a vassal's desired state changed; the value is what people read."""

    ADDED = "added"
    CHANGED = "config changed"
    TOUCHED = "asked to reload"
    OWNER = "owner changed"
    SOCKET = "socket changed"
    REMOVED = "removed at its source"
    REFUSED = "refused"
    STOPPED = "stopped by a command"
    STARTED = "started by a command"
    RESTARTED = "restarted by a command"
    ENDED = "its process ended"


@dataclass(frozen=True, slots=True)
class Change:
    """One vassal's new desired state."""

    vassal: VassalId
    desired: Desired
    what: What


@dataclass(frozen=True, slots=True)
class Refusal:
    """One entry of a source that may not run: which field, its value, and why. Said once until the entry changes."""

    name: str
    field: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class FleetRules:
    """With ``wait_for_command`` every vassal begins held, but for those whose names are in ``unbidden``."""

    tyrant: bool = False
    extra_extensions: frozenset[str] = frozenset()
    wait_for_command: bool = False
    unbidden: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Monitor:
    """One monitor's part: ``zergs`` are by the vassal's name, each ordinal with the life that it began with;
    ``repeated`` are the names that its last snapshot gave to several entries; ``held`` those that an operator stopped,
    whether they are at the source now or not; ``bidden`` those that one started which would wait for that."""

    name: str
    wanted: dict[str, Desired] = field(default_factory=dict)
    zergs: dict[str, dict[int, int]] = field(default_factory=dict)
    refused: dict[str, tuple[VassalSpec | None, Refusal]] = field(default_factory=dict)
    repeated: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    bidden: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Outcome:
    changes: list[Change] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)


@dataclass(slots=True)
class Fleet:
    """The table. Revisions and lives are numbers of one counter, so that both only rise, even over a removal."""

    rules: FleetRules
    _monitors: dict[str, _Monitor] = field(default_factory=dict)
    _count: int = 0

    def observe(self, monitor: str, seen: Observation) -> tuple[list[Change], list[Refusal]]:
        """Take in one observation of one monitor. Linear in the size of the observation.

        An entry that breaks a rule is refused, and its vassal stops. One that can't even be judged is refused, too, but
        what was desired stays; and where it has no name, nothing counts as missing in its snapshot. Of several entries
        of one name the last one counts, and the others are refused. Raises TypeError where ``seen`` is no observation.
        """
        table = self._monitors.setdefault(monitor, _Monitor(monitor))
        outcome = _Outcome()
        match seen:
            case Snapshot(specs):
                self._take_all(table, specs, outcome)
            case Touch(spec, force):
                self._judge(table, spec, force, outcome)
            case Destroy(name):
                table.refused.pop(name, None)
                self._remove(table, name, What.REMOVED, outcome)
            case _:
                raise TypeError(f"a monitor sees a Snapshot, Touch or Destroy, not {seen!r:.100}")
        return outcome.changes, outcome.refusals

    def reload_all(self) -> list[Change]:
        """Raise every vassal's revision."""
        changes: list[Change] = []
        for table in self._monitors.values():
            for name, desired in table.wanted.items():
                table.wanted[name] = replace(desired, revision=self._next())
                changes += self._changes(table, name, What.TOUCHED)
        return changes

    def desired(self, vassal: VassalId) -> Desired | None:
        """What is desired of a vassal (not of its zergs); ``None`` where it is not at its source."""
        table = self._monitors.get(vassal.monitor)
        return table.wanted.get(vassal.name) if table else None

    def reload(self, vassal: VassalId) -> list[Change]:
        """Raise one vassal's revision, and that of its zergs. It must be at its source, as for the next two."""
        table = self._monitors[vassal.monitor]
        table.wanted[vassal.name] = replace(table.wanted[vassal.name], revision=self._next())
        return list(self._changes(table, vassal.name, What.TOUCHED))

    def restart(self, vassal: VassalId) -> list[Change]:
        """Want another process of a vassal, and of its zergs."""
        return self._renew(vassal, What.RESTARTED)

    def start(self, vassal: VassalId) -> list[Change]:
        """Let a vassal have a process again, whatever kept it from one; released even where it is not at its source."""
        table = self._monitors.setdefault(vassal.monitor, _Monitor(vassal.monitor))
        table.held.discard(vassal.name)
        if vassal.name not in table.wanted:
            return []
        table.bidden.add(vassal.name)
        return self._renew(vassal, What.STARTED)

    def hold(self, vassal: VassalId) -> list[Change]:
        """Let a vassal have no process until :meth:`start`, whatever its source says and also where it is not there."""
        table = self._monitors.setdefault(vassal.monitor, _Monitor(vassal.monitor))
        table.held.add(vassal.name)
        desired = table.wanted.get(vassal.name)
        if desired is None or desired.held == STOPPED:
            return []
        table.wanted[vassal.name] = replace(desired, held=STOPPED)
        zergs = table.zergs.pop(vassal.name, {})
        return [
            Change(vassal, table.wanted[vassal.name], What.STOPPED),
            *(Change(replace(vassal, ordinal=ordinal), Desired(None), What.STOPPED) for ordinal in zergs),
        ]

    def is_held(self, vassal: VassalId) -> bool:
        """Whether an operator stopped it and nobody has started it since."""
        table = self._monitors.get(vassal.monitor)
        return table is not None and vassal.name in table.held

    def absent(self) -> Iterator[VassalId]:
        """Those that are held, but not at their source."""
        for table in self._monitors.values():
            for name in table.held - table.wanted.keys():
                yield VassalId(table.name, name)

    def _renew(self, vassal: VassalId, what: What) -> list[Change]:
        table = self._monitors[vassal.monitor]
        number = self._next()
        old = table.wanted[vassal.name]
        table.wanted[vassal.name] = replace(old, revision=number, life=number, held=self._why_held(table, vassal.name))
        return list(self._changes(table, vassal.name, what))

    def _why_held(self, table: _Monitor, name: str) -> str:
        if name in table.held:
            return STOPPED
        waits = self.rules.wait_for_command and name not in self.rules.unbidden and name not in table.bidden
        return UNBIDDEN if waits else ""

    def add_zerg(self, vassal: VassalId, most: int) -> Change | None:
        """One more instance of a vassal; ``None`` where all ``most`` zergs of the empire run, or its config is gone."""
        table = self._monitors.get(vassal.monitor)
        desired = table.wanted.get(vassal.name) if table else None
        if table is None or desired is None or desired.held or self.count_zergs() >= most:
            return None
        lives = table.zergs.setdefault(vassal.name, {})
        ordinal = next(n for n in range(1, len(lives) + 2) if n not in lives)
        lives[ordinal] = self._next()
        return Change(VassalId(vassal.monitor, vassal.name, ordinal), _zerg(desired, lives[ordinal]), What.ADDED)

    def end_zerg(self, vassal: VassalId) -> Change | None:
        """A zerg's process ended: it is wanted no more. ``None`` where it was not wanted already."""
        zergs = self._monitors[vassal.monitor].zergs
        lives = zergs.get(vassal.name, {})
        if lives.pop(vassal.ordinal, None) is None:
            return None
        if not lives:
            del zergs[vassal.name]
        return Change(vassal, Desired(None), What.ENDED)

    def count_zergs(self) -> int:
        return sum(len(lives) for table in self._monitors.values() for lives in table.zergs.values())

    def count(self, monitor: str) -> int:
        """How many vassals a monitor has, without zergs."""
        table = self._monitors.get(monitor)
        return len(table.wanted) if table else 0

    def _take_all(self, table: _Monitor, entries: tuple[VassalSpec, ...], outcome: _Outcome) -> None:
        newest: dict[str, VassalSpec] = {}
        unnamed: list[VassalSpec] = []
        repeated: set[str] = set()
        for entry in entries:
            name = _name(entry)
            if name is None:
                unnamed.append(entry)
            else:
                if name in newest:
                    repeated.add(name)
                newest[name] = entry
        for name in sorted(repeated - table.repeated):
            outcome.refusals.append(Refusal(name, "name", repr(name), REPEATED))
        table.repeated = repeated
        if not unnamed:
            for name in [name for name in table.wanted if name not in newest]:
                self._remove(table, name, What.REMOVED, outcome)
            for name in [name for name in table.refused if name not in newest]:
                del table.refused[name]
        for entry in [*unnamed, *newest.values()]:
            self._judge(table, entry, False, outcome)

    def _judge(self, table: _Monitor, entry: VassalSpec, force: bool, outcome: _Outcome) -> None:
        """Take in one entry; whatever is wrong with it stays its own."""
        try:
            self._take(table, entry, force, outcome)
        except Exception as error:
            kind = type(entry).__name__
            name = _name(entry) or f"an entry without a name ({kind})"
            wrong = Refusal(name, "entry", kind, f"it can't be judged ({type(error).__name__}: {error!s:.200})")
            self._refuse(table, None, wrong, outcome)

    def _take(self, table: _Monitor, spec: VassalSpec, force: bool, outcome: _Outcome) -> None:
        if not isinstance(spec, VassalSpec):
            raise TypeError("it is no VassalSpec")
        if not self.rules.tyrant and spec.owner is not None:
            spec = replace(spec, owner=None)
        refusal = self._check(spec)
        if refusal is not None:
            self._refuse(table, spec, refusal, outcome)
            self._remove(table, spec.name, What.REFUSED, outcome)
            return
        table.refused.pop(spec.name, None)
        old = table.wanted.get(spec.name)
        what = _compare(old.spec if old else None, spec, force)
        if what is None:
            if old is not None and old.spec != spec:
                table.wanted[spec.name] = replace(old, spec=spec)
            return
        number = self._next()
        life = old.life if old and what in (What.CHANGED, What.TOUCHED) else number
        held = old.held if old else self._why_held(table, spec.name)
        table.wanted[spec.name] = Desired(spec, number, life, held=held)
        outcome.changes += self._changes(table, spec.name, what)

    def _changes(self, table: _Monitor, name: str, what: What) -> Iterator[Change]:
        """What is desired now of a vassal and its zergs."""
        desired = table.wanted[name]
        yield Change(VassalId(table.name, name), desired, what)
        for ordinal, life in table.zergs.get(name, {}).items():
            yield Change(VassalId(table.name, name, ordinal), _zerg(desired, life), what)

    def _remove(self, table: _Monitor, name: str, what: What, outcome: _Outcome) -> None:
        if table.wanted.pop(name, None) is None:
            return
        table.bidden.discard(name)
        for ordinal in (0, *table.zergs.pop(name, ())):
            outcome.changes.append(Change(VassalId(table.name, name, ordinal), Desired(None), what))

    def _refuse(self, table: _Monitor, spec: VassalSpec | None, refusal: Refusal, outcome: _Outcome) -> None:
        if table.refused.get(refusal.name) != (spec, refusal):
            outcome.refusals.append(refusal)
        table.refused[refusal.name] = (spec, refusal)

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _check(self, spec: VassalSpec) -> Refusal | None:
        if config_option(spec.name, self.rules.extra_extensions) is None:
            return Refusal(spec.name, "name", repr(spec.name), "its ending is no config's, or it has 255 bytes or more")
        if "\0" in spec.name:
            return Refusal(spec.name, "name", repr(spec.name), "no name may hold a NUL")
        if spec.config is not None and not isinstance(spec.config, bytes):
            return Refusal(spec.name, "config", type(spec.config).__name__, "a config is bytes")
        if spec.config is not None and len(spec.config) > MAX_CONFIG:
            size = f"{len(spec.config):,} bytes"
            return Refusal(spec.name, "config", size, f"the emperor protocol carries {MAX_CONFIG:,} bytes at most")
        if not self.rules.tyrant:
            return None
        if spec.owner is None:
            return Refusal(spec.name, "uid and gid", "missing", "Tyrant mode runs no vassal without an owner")
        if not all(ROOT < number < NOBODY for number in (spec.owner.uid, spec.owner.gid)):
            reason = "Tyrant mode runs nothing as root, or as a number that is nobody's; give the config away"
            return Refusal(spec.name, "owner", str(spec.owner), reason)
        return None


def _compare(old: VassalSpec | None, new: VassalSpec, force: bool) -> What | None:
    """What a newer spec asks for; ``None`` for nothing."""
    if old is None:
        return What.ADDED
    if old.owner != new.owner:
        return What.OWNER
    if (old.socket, old.ask_socket) != (new.socket, new.ask_socket):
        return What.SOCKET
    if old.version != new.version:
        return What.CHANGED
    return What.TOUCHED if force else None


def _name(entry: object) -> str | None:
    try:
        name = getattr(entry, "name", None)
    except Exception:
        return None
    return name if isinstance(name, str) else None


def _zerg(desired: Desired, life: int) -> Desired:
    """A vassal's zerg: the same config, never on demand, and a process as new as either of them asks for."""
    spec = desired.spec and replace(desired.spec, socket=None, ask_socket=False)
    return Desired(spec, desired.revision, max(desired.life, life))
