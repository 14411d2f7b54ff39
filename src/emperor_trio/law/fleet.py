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
    Desired,
    Destroy,
    Observation,
    Snapshot,
    Touch,
    VassalId,
    VassalSpec,
    config_option,
)


class What(Enum):
    """How a vassal's desired state changed; the value is what people read."""

    ADDED = "added"
    CHANGED = "config changed"
    TOUCHED = "asked to reload"
    OWNER = "owner changed"
    SOCKET = "socket changed"
    RESTARTED = "asked to restart"
    REMOVED = "removed at its source"
    REFUSED = "refused"


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
    tyrant: bool = False
    extra_extensions: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Monitor:
    wanted: dict[str, Desired] = field(default_factory=dict)
    zergs: dict[str, list[int]] = field(default_factory=dict)
    refused: dict[str, tuple[VassalSpec, Refusal]] = field(default_factory=dict)


@dataclass(slots=True)
class Fleet:
    """The table. ``observe`` and the commands return changes in the order in which vassals are to start."""

    rules: FleetRules
    _monitors: dict[str, _Monitor] = field(default_factory=dict)
    _lives: int = 0

    def observe(self, monitor: str, seen: Observation) -> tuple[list[Change], list[Refusal]]:
        """Take in one observation of one monitor. Linear in the size of the observation."""
        table = self._monitors.setdefault(monitor, _Monitor())
        changes: list[Change] = []
        refusals: list[Refusal] = []
        match seen:
            case Snapshot(specs):
                newest = {spec.name: spec for spec in specs}
                for name in [name for name in table.wanted if name not in newest]:
                    changes += self._remove(monitor, table, name, What.REMOVED)
                for name in [name for name in table.refused if name not in newest]:
                    del table.refused[name]
                for spec in newest.values():
                    self._take(monitor, table, spec, False, changes, refusals)
            case Touch(spec, force):
                self._take(monitor, table, spec, force, changes, refusals)
            case Destroy(name):
                table.refused.pop(name, None)
                changes += self._remove(monitor, table, name, What.REMOVED)
        return changes, refusals

    def reload_all(self) -> list[Change]:
        """Raise every vassal's revision."""
        return [self._raise(vassal, desired) for vassal, desired in list(self.all())]

    def add_zerg(self, vassal: VassalId, most: int) -> Change | None:
        """One more instance of a vassal; ``None`` where all ``most`` zergs of the empire run, or its config is gone."""
        table = self._monitors.get(vassal.monitor)
        desired = table.wanted.get(vassal.name) if table else None
        if table is None or desired is None or desired.spec is None or self.count_zergs() >= most:
            return None
        ordinals = table.zergs.setdefault(vassal.name, [])
        ordinal = next(n for n in range(1, len(ordinals) + 2) if n not in ordinals)
        ordinals.append(ordinal)
        return Change(VassalId(vassal.monitor, vassal.name, ordinal), self._zerg(desired), What.ADDED)

    def end_zerg(self, vassal: VassalId) -> Change | None:
        """A zerg's process ended: it is wanted no more. ``None`` where it was not wanted already."""
        ordinals = self._monitors[vassal.monitor].zergs.get(vassal.name, [])
        if vassal.ordinal not in ordinals:
            return None
        ordinals.remove(vassal.ordinal)
        return Change(vassal, Desired(None), What.REMOVED)

    def count_zergs(self) -> int:
        return sum(len(ordinals) for table in self._monitors.values() for ordinals in table.zergs.values())

    def desired(self, vassal: VassalId) -> Desired | None:
        """What is wanted of a vassal now; ``None`` where nothing is."""
        table = self._monitors.get(vassal.monitor)
        desired = table.wanted.get(vassal.name) if table else None
        if table is None or desired is None or not vassal.ordinal:
            return desired
        return self._zerg(desired) if vassal.ordinal in table.zergs.get(vassal.name, ()) else None

    def all(self) -> Iterator[tuple[VassalId, Desired]]:
        """Every wanted vassal with its desired state, zergs too."""
        for monitor, table in self._monitors.items():
            for name, desired in table.wanted.items():
                yield VassalId(monitor, name), desired
                for ordinal in table.zergs.get(name, ()):
                    yield VassalId(monitor, name, ordinal), self._zerg(desired)

    def count(self, monitor: str) -> int:
        """How many vassals a monitor has, without zergs."""
        table = self._monitors.get(monitor)
        return len(table.wanted) if table else 0

    def _take(
        self,
        monitor: str,
        table: _Monitor,
        spec: VassalSpec,
        force: bool,
        changes: list[Change],
        refusals: list[Refusal],
    ) -> None:
        if not self.rules.tyrant and spec.owner is not None:
            spec = replace(spec, owner=None)
        refusal = self._refuse(spec)
        if refusal is not None:
            known = table.refused.get(spec.name)
            if known is None or known != (spec, refusal):
                refusals.append(refusal)
            table.refused[spec.name] = (spec, refusal)
            changes += self._remove(monitor, table, spec.name, What.REFUSED)
            return
        table.refused.pop(spec.name, None)
        old = table.wanted.get(spec.name)
        what = _compare(old.spec if old else None, spec, force)
        if what is None:
            if old is not None and old.spec != spec:
                table.wanted[spec.name] = replace(old, spec=spec)
            return
        revision, life = (old.revision, old.life) if old else (0, 0)
        if old is None or what in (What.OWNER, What.SOCKET):
            self._lives += 1
            life = self._lives
        desired = table.wanted[spec.name] = Desired(spec, revision + 1, life)
        changes.append(Change(VassalId(monitor, spec.name), desired, what))
        zerg = self._zerg(desired)
        changes += [Change(VassalId(monitor, spec.name, n), zerg, what) for n in table.zergs.get(spec.name, ())]

    def _remove(self, monitor: str, table: _Monitor, name: str, what: What) -> Iterator[Change]:
        if table.wanted.pop(name, None) is None:
            return
        yield Change(VassalId(monitor, name), Desired(None), what)
        for ordinal in table.zergs.pop(name, ()):
            yield Change(VassalId(monitor, name, ordinal), Desired(None), what)

    def _raise(self, vassal: VassalId, desired: Desired) -> Change:
        newer = replace(desired, revision=desired.revision + 1)
        if not vassal.ordinal:
            self._monitors[vassal.monitor].wanted[vassal.name] = newer
        return Change(vassal, newer, What.TOUCHED)

    def _zerg(self, desired: Desired) -> Desired:
        spec = desired.spec and replace(desired.spec, socket=None, ask_socket=False)
        return replace(desired, spec=spec)

    def _refuse(self, spec: VassalSpec) -> Refusal | None:
        if config_option(spec.name, self.rules.extra_extensions) is None:
            return Refusal(spec.name, "name", repr(spec.name), "its ending is no config's, or it has 255 bytes or more")
        if "\0" in spec.name:
            return Refusal(spec.name, "name", repr(spec.name), "no name may hold a NUL")
        if spec.config is not None and len(spec.config) > MAX_CONFIG:
            size = f"{len(spec.config):,} bytes"
            return Refusal(spec.name, "config", size, f"the emperor protocol carries {MAX_CONFIG:,} bytes at most")
        if not self.rules.tyrant:
            return None
        if spec.owner is None:
            return Refusal(spec.name, "uid and gid", "missing", "Tyrant mode runs no vassal without an owner")
        if spec.owner.uid <= 0 or spec.owner.gid <= 0:
            return Refusal(
                spec.name, "owner", str(spec.owner), "Tyrant mode runs nothing as root; give the config away"
            )
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
