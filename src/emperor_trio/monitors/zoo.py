"""``zoo://host:port/path``: every child of one znode is a vassal, its data the config, its ``mzxid`` the version.

Watches only say where to look. What there is, is always read anew: the names, and the data of what changed. So it does
not matter how many watches fired in between, nor whether a session was lost.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Set
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import Any

import trio

from emperor_trio.errors import MonitorError
from emperor_trio.events import MonitorNotice, NameSkipped
from emperor_trio.model import config_option
from emperor_trio.monitors._answers import REPEAT, Answers, Entry
from emperor_trio.monitors._rows import RowRules, Wrong, cut_name
from emperor_trio.monitors._wait import Alarm, alarm
from emperor_trio.monitors._zoo_address import parse_address
from emperor_trio.monitors._zoo_nodes import Stamp, read_node
from emperor_trio.monitors._zoo_session import Session, open_session
from emperor_trio.monitors._zoo_signs import Signs
from emperor_trio.monitors._zoo_wire import Exists, GetChildren, GetData, NoAuthError, NoNodeError, Sync, ZookeeperError
from emperor_trio.ports import Emit, MonitorContext

WINDOW = 64
"""Requests in flight. Data have a megabyte at most, so this bounds what is held at a time."""

PAUSE = 0.001
"""Seconds between two looks, whatever a server says."""

LISTED_PER_SECOND = 100_000
"""Names listed a second: where many znodes come one by one, they are not listed anew for each of them."""

RETRIED_PER_SECOND = 100
"""Znodes that may not be read, asked for again a second. No watch tells that the rights changed."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a znode came to when it was last read; ``stamp`` is None where it may not be read."""

    stamp: Stamp | None
    entry: Entry


@dataclass(frozen=True, slots=True)
class _Run:
    """What lasts as long as one session."""

    session: Session
    signs: Signs
    emit: Emit


class ZooMonitor:
    """``context.argument`` is ``[user:password@]host[:port][,host[:port]…]/path``.

    Raises :class:`~emperor_trio.errors.UsageError` for an argument that is something else.
    """

    def __init__(self, context: MonitorContext) -> None:
        self._context = context
        self._address = parse_address(context.argument, context.name)
        self._rules = RowRules.of(context)
        self._answers = Answers(context.name, context.publish)
        self._seen: dict[str, _Seen] = {}
        self._unreadable: set[str] = set()
        self._skipped: Set[str] = frozenset()
        self._parent_missing = False

    async def run(self, emit: Emit) -> None:
        """Tell everything, then what changes. Raises MonitorError where the session ends."""
        self._answers.restart()
        async with alarm(self._context.doorbell) as bell:
            signs = Signs(self._address, bell.ring)
            async with open_session(self._address, signs.fired) as session:
                await session.ask([Sync(self._address.path)])  # a server that lags behind catches up with its leader
                await self._watch(_Run(session, signs, emit), bell)

    async def _watch(self, run: _Run, bell: Alarm) -> None:
        all_due = retry_due = -inf
        while True:
            now = trio.current_time()
            everything = now >= min(all_due, self._answers.due)
            retried = self._unreadable if now >= retry_due else frozenset[str]()
            if everything or retried or run.signs:
                await self._look(run, everything, retried)
            now = trio.current_time()
            if everything:
                all_due = now + REPEAT
            if everything or retried:
                retry_due = now + max(self._context.frequency, len(self._unreadable) / RETRIED_PER_SECOND)
            until = min(all_due, self._answers.due, retry_due if self._unreadable else inf)
            if run.signs:
                await trio.sleep(PAUSE + (len(run.signs.names) / LISTED_PER_SECOND if run.signs.listing else 0))
                until = -inf
            if await bell.wait(until):
                self._answers.restart()
                all_due = -inf

    async def _look(self, run: _Run, everything: bool, also: Set[str]) -> None:
        """Read what the signs name, or everything, and tell what came of it."""
        changed = run.signs.take_changed() | also
        gone: set[str] = set()
        if everything or run.signs.listing:
            listed = await self._list(run)
            changed |= listed - self._seen.keys()
            gone = self._seen.keys() - listed
        names = run.signs.names
        if everything:
            changed |= await self._find_changed(run, [name for name in names if name in self._seen])
        changed &= names
        await self._read(run, changed)
        for name in gone:
            del self._seen[name]
        self._unreadable -= gone
        if everything or gone - run.signs.deleted:
            snapshot = self._answers.take_all([seen.entry for seen in self._seen.values()], trio.current_time())
            if snapshot is not None:
                await run.emit(snapshot)
        for name in gone & run.signs.deleted:
            if destroy := self._answers.lacks(name):
                await run.emit(destroy)
        run.signs.deleted &= names
        for name in changed & self._seen.keys():
            if touch := self._answers.take(self._seen[name].entry):
                await run.emit(touch)

    async def _list(self, run: _Run) -> Set[str]:
        """The children that may be vassals, watched from now on. A parent that is missing has none."""
        run.signs.listing = False
        path, server = self._address.path, run.session.server
        (answer,) = await run.session.ask([GetChildren(path, True)])
        if isinstance(answer, NoNodeError):
            (found,) = await run.session.ask([Exists(path, True)])  # watched though it is not there
            run.signs.listing = not isinstance(found, ZookeeperError)
            answer = []
            if not self._parent_missing:
                message = f"{server} has no znode {path} yet; it is waited for"
                self._context.publish(MonitorNotice(self._context.name, message))
            self._parent_missing = True
        elif isinstance(answer, NoAuthError):
            raise MonitorError(
                f"{server}: the children of {path} may not be listed with this login: it needs read permission there"
            )
        elif isinstance(answer, ZookeeperError):
            raise _failed(server, path, answer)
        else:
            self._parent_missing = False
        run.signs.names = self._sort(answer, run.signs.names)
        return run.signs.names

    def _sort(self, listed: Iterable[str | None], known: Set[str]) -> Set[str]:
        """Those of the children that may be vassals; each of the others is named once."""
        every = {name for name in listed if name}
        others = every & self._skipped
        for name in every - known - others:
            if config_option(name, self._context.extra_extensions) is None or "/" in name:
                others.add(name)
                reason = "its ending is no config's, it has 255 bytes or more, or it is no child's at all"
                self._context.publish(NameSkipped(self._context.name, cut_name(name), reason))
        self._skipped = others
        return every - others

    async def _find_changed(self, run: _Run, names: Collection[str]) -> set[str]:
        """Which of these are not what they were when they were last read. All are watched from now on."""
        changed = set()
        for window in _windows(names):
            stats = await run.session.ask([Exists(self._address.child(name), True) for name in window])
            for name, stat in zip(window, stats, strict=True):
                if isinstance(stat, NoNodeError):
                    run.signs.lacks(name)
                elif isinstance(stat, ZookeeperError):
                    raise _failed(run.session.server, self._address.child(name), stat)
                elif self._seen[name].stamp != _stamp(stat):
                    changed.add(name)
        return changed

    async def _read(self, run: _Run, names: Collection[str]) -> None:
        """Read znodes, watched from now on, into ``_seen``. One that is not there is a sign of its own."""
        for window in _windows(names):
            answers = await run.session.ask([GetData(self._address.child(name), True) for name in window])
            forbidden = []
            for name, answer in zip(window, answers, strict=True):
                match answer:
                    case NoNodeError():
                        run.signs.lacks(name)
                        continue
                    case NoAuthError():
                        forbidden.append(name)
                        self._seen[name] = _Seen(None, self._refuse_unreadable(name))
                    case ZookeeperError():
                        raise _failed(run.session.server, self._address.child(name), answer)
                    case data, stat:
                        stamp = _stamp(stat)
                        self._seen[name] = _Seen(stamp, read_node(self._rules, name, data, stamp))
                        self._unreadable.discard(name)
                run.signs.deleted.discard(name)
            self._unreadable.update(forbidden)
            await run.session.ask([Exists(self._address.child(name), True) for name in forbidden])  # needs no rights

    def _refuse_unreadable(self, name: str) -> Wrong:
        reason = "may not be read with this login: it needs read permission"
        return Wrong(name, "znode", self._address.child(name), reason)


def _stamp(stat: Any) -> Stamp:
    return Stamp(stat.czxid, stat.mzxid, stat.mtime, stat.version)


def _failed(server: str, path: str, error: ZookeeperError) -> MonitorError:
    return MonitorError(f"{server}: {path} can't be read: {type(error).__name__}")


def _windows(names: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(names)
    while window := list(islice(rest, WINDOW)):
        yield window
