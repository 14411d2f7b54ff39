"""What the monitors see now: each is run until it has said all that its source holds. Nothing is started.

It is what a check needs of them. The law judges what they say, as it does for a running emperor.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import trio

from emperor_trio import events
from emperor_trio.app import make_monitors
from emperor_trio.checking import CheckRules, Finding, Level
from emperor_trio.errors import MonitorError
from emperor_trio.law.fleet import REPEATED, Fleet, FleetRules, Refusal
from emperor_trio.masking import masked
from emperor_trio.model import Destroy, Observation, Snapshot, Touch, VassalSpec
from emperor_trio.monitors import find_monitor
from emperor_trio.monitors._files import FileMonitor
from emperor_trio.monitors._one_file import look_at_file
from emperor_trio.ports import Monitor, MonitorContext
from emperor_trio.settings import Settings

MOST_HEARD = 100_000
"""How many events of one monitor are kept."""

AFTER_A_NOTICE = 1.0
"""Seconds in which a monitor of files, having told of trouble, says what it saw, or will not at all."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one source holds. ``monitor`` is "" for files that were named themselves.

    ``refusals`` are entries that will not run, ``skipped`` names that are no vassals', with the reason. ``failure``
    says why the source could not be looked at; with it, ``specs`` are what was told so far. ``untold`` says that the
    source tells of changes only, so that there is nothing to look at.
    """

    monitor: str
    specs: tuple[VassalSpec, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    failure: str = ""
    untold: bool = False

    @property
    def refused(self) -> frozenset[str]:
        """The names of the entries that will not run; of several entries of one name, the last one does."""
        return frozenset(refusal.name for refusal in self.refusals if refusal.reason != REPEATED)


def survey(settings: Settings, limit: float) -> Iterator[Seen]:
    """Look at every ``--emperor``, all at once, for ``limit`` seconds at most.

    Raises :class:`~emperor_trio.errors.UsageError` for monitors that can't be made.
    """
    rules = FleetRules(settings.emperor_tyrant, frozenset(settings.emperor_extra_extension))
    looks: list[_Look] = []
    for text, (name, make) in zip(settings.emperor, make_monitors(settings).items(), strict=True):
        look = _Look(name)
        look.monitor = make(_NeverRings(), look.hear)
        factory = find_monitor(text, rules.extra_extensions).factory
        look.untold = bool(getattr(factory, "only_announced", False))
        looks.append(look)
    trio.run(_run_all, [look for look in looks if not look.untold], limit)
    return (look.seen(rules) for look in looks)


def survey_files(settings: Settings, paths: Iterable[str]) -> Seen:
    """What ``--emperor PATH`` would see of each of these files."""
    rules = FleetRules(settings.emperor_tyrant, frozenset(settings.emperor_extra_extension))
    context = MonitorContext(
        name="",
        argument="",
        publish=lambda event: None,
        doorbell=_NeverRings(),
        nofollow=settings.emperor_nofollow,
        extra_extensions=rules.extra_extensions,
        magic_exec=settings.emperor_magic_exec,
        tyrant=settings.emperor_tyrant,
        tyrant_nofollow=settings.emperor_tyrant_nofollow,
        on_demand_extension=settings.emperor_on_demand_extension,
        on_demand_directory=settings.emperor_on_demand_directory,
        on_demand_exec=settings.emperor_on_demand_exec,
    )
    look = _Look("")
    specs = []
    for path in dict.fromkeys(paths):
        found = look_at_file(context, path)
        if isinstance(found, VassalSpec):
            specs.append(found)
        else:
            look.refusals.append(Refusal(found.name, found.field, found.value, found.reason))
    look.take(Snapshot(tuple(specs)))
    return look.seen(rules)


def check_rules(settings: Settings, options: Collection[str], version: str) -> CheckRules:
    """What the settings mean to a check. ``options`` are all that uWSGI and the emperor know."""
    addresses = (("emperor-stats", settings.emperor_stats), ("gateway", settings.gateway))
    return CheckRules(
        options=options,
        directory=os.path.abspath(settings.chdir or os.getcwd()),
        version=version,
        tyrant=settings.emperor_tyrant,
        separate_networks="net" in settings.emperor_use_clone,
        inherit_before=settings.vassals_inherit_before,
        include_before=settings.vassals_include_before,
        sets=settings.vassal_set,
        inherit=settings.vassals_inherit,
        include=settings.vassals_include,
        reserved=tuple((key, address) for key, address in addresses if address is not None),
    )


def findings_of(source: Seen) -> Iterator[Finding]:
    """What is wrong with the source itself, and with what it holds before any config is read."""
    if source.untold:
        text = "it tells of changes only, and holds nothing to look at: check the files that are sent to it"
        yield Finding(Level.WARNING, source.monitor, "", source.monitor, "", "", text)
    elif source.failure:
        yield Finding(Level.ERROR, source.monitor, "", source.monitor, "", "", source.failure)
    for refusal in source.refusals:
        level = Level.WARNING if refusal.name not in source.refused else Level.ERROR
        place = refusal.name if not source.monitor else f"{source.monitor} {refusal.name}"
        blamed = f"{refusal.field} {refusal.value}".rstrip()
        yield Finding(level, source.monitor, refusal.name, place, "", "", f"{blamed}: {refusal.reason}")


class _NeverRings:
    async def wait(self) -> None:
        await trio.sleep_forever()


@dataclass(slots=True)
class _Look:
    """One monitor being run."""

    name: str
    monitor: Monitor | None = None
    observations: list[Observation] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    complete: bool = False
    failure: str = ""
    untold: bool = False

    def hear(self, event: events.Event) -> None:
        """Take an event of the monitor's."""
        if len(self.refusals) + len(self.skipped) + len(self.notices) >= MOST_HEARD:
            return
        match event:
            case events.VassalRefused(_, name, field_, value, reason):
                self.refusals.append(Refusal(name, field_, value, reason))
            case events.NameSkipped(_, name, reason):
                self.skipped.append((name, reason))
            case events.MonitorNotice(_, message):
                self.notices.append(message)
                if isinstance(self.monitor, FileMonitor):
                    self.scope.deadline = min(self.scope.deadline, trio.current_time() + AFTER_A_NOTICE)

    def take(self, seen: Observation) -> None:
        self.observations.append(seen)
        self.complete = self.complete or isinstance(seen, Snapshot)

    async def run(self, monitor: Monitor, limit: float) -> None:
        """Until the first snapshot, a failure, or the end of the time."""

        async def emit(seen: Observation) -> None:
            self.take(seen)
            if self.complete:
                self.scope.cancel()
            await trio.lowlevel.checkpoint()

        self.scope.deadline = trio.current_time() + limit
        with self.scope:
            try:
                await monitor.run(emit)
                self.failure = "it ended without saying what it sees"
            except Exception as error:
                self.failure = _explain(error)
        if not self.complete and not self.failure:
            said = "; ".join(dict.fromkeys(self.notices)) or f"no complete answer within {limit:g} s; see --timeout"
            self.failure = said

    def seen(self, rules: FleetRules) -> Seen:
        """What the law says of it."""
        fleet = Fleet(rules)
        newest: dict[str, VassalSpec] = {}
        refusals = list(self.refusals)
        for observation in self.observations:
            try:
                refusals += fleet.observe(self.name, observation)[1]
            except TypeError as error:
                return Seen(self.name, failure=str(error))
            for spec in _specs(observation):
                newest[spec.name] = spec
            if isinstance(observation, Destroy):
                newest.pop(observation.name, None)
        specs = tuple(newest[name] for name in sorted(newest))
        failure = "" if self.complete else self.failure
        return Seen(self.name, specs, tuple(refusals), tuple(self.skipped), failure, self.untold)


def _specs(observation: Observation) -> Sequence[VassalSpec]:
    """Those that the law took for specs: a monitor of somebody else's may say anything."""
    found: Sequence[object] = observation.specs if isinstance(observation, Snapshot) else ()
    found = (observation.spec,) if isinstance(observation, Touch) else found
    return [spec for spec in found if isinstance(spec, VassalSpec)]


async def _run_all(looks: list[_Look], limit: float) -> None:
    async with trio.open_nursery() as nursery:
        for look in looks:
            if look.monitor is not None:
                nursery.start_soon(look.run, look.monitor, limit)


def _explain(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text = str(error) or type(error).__name__
    return masked(text if isinstance(error, MonitorError) else f"{type(error).__name__}: {text}")
