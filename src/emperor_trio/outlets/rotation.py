"""Rotates the logs of vassals (``--vassal-logs DIR``) by size and age: copied, then cut.

A vassal keeps its log open for as long as it lives, so the file stays and what is in it goes: ``NAME.log`` is copied to
``NAME.log.1``, those before it move up, and the file is cut to nothing. Owns that order, which loses nothing that was
copied, whenever it is interrupted. Runs in a thread; of the emperor's memory it takes a number a log, and none without
``--vassal-log-age``. ``docs/vassal-logs.md`` tells people.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import trio

from emperor_trio.events import Event, LogOutran, LogsNotRotated
from emperor_trio.vassal_logs import is_log, open_folder, open_log, rotated

SHORTEST_PAUSE = 2.0
"""Seconds between two looks at the folder at least."""

SHARE = 0.001
"""The part of one processor that looks may take: ten thousand logs take some 40 ms, so they wait 40 s for the next."""

CHUNK = 1024 * 1024
"""Bytes that are copied at once."""

CATCH_UPS = 8
"""How often what was written during the copying is copied, too, until it is cut all the same."""

SINCE = "user.emperor-trio.since"
"""The extended attribute in which a log keeps when its oldest line came, in seconds since the epoch."""


GoOn = Callable[[], None]
"""Raises where what is going on is to end."""


@dataclass(frozen=True, slots=True)
class RotationRules:
    """When a log is rotated: above ``size`` bytes, or once its oldest line is ``age`` seconds old; 0 is never.

    ``keep`` copies of it are kept; with an age, none longer than ``keep`` times that. ``extra`` holds the extensions
    added by ``--emperor-extra-extension``, by which logs of vassals are known.
    """

    size: int = 10 * 2**20
    age: float = 0.0
    keep: int = 5
    extra: frozenset[str] = frozenset()

    @property
    def ever(self) -> bool:
        """Whether anything is ever to be done."""
        return self.size > 0 or self.age > 0


def is_due(rules: RotationRules, size: int, since: float | None, now: float) -> bool:
    """Whether a log of this size is to be rotated, whose oldest line came at ``since`` (``None``: not known)."""
    if size == 0:
        return False
    return (0 < rules.size < size) or (rules.age > 0 and since is not None and now - since > rules.age)


def shifts(numbers: Iterable[int], keep: int) -> tuple[list[int], list[int]]:
    """What makes room for a new copy number 1: those to delete, and those to move up by one, in this order."""
    ordered = sorted(numbers, reverse=True)
    return [number for number in ordered if number >= keep], [number for number in ordered if number < keep]


@dataclass(slots=True)
class _Found:
    """One look at the folder: logs with their sizes and times, and the numbers of their copies."""

    logs: dict[str, os.stat_result] = field(default_factory=dict)
    copies: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    drafts: set[str] = field(default_factory=set)


class LogRotation:
    """Looks at the folder again and again. Implements :class:`emperor_trio.ports.Outlet`.

    ``wall`` gives the time in seconds since the epoch.
    """

    def __init__(
        self,
        directory: str,
        rules: RotationRules,
        publish: Callable[[Event], None],
        *,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._rules = rules
        self._publish = publish
        self._wall = wall
        self._since: dict[str, float] = {}
        self._failing = False
        self._thread = trio.CapacityLimiter(1)

    async def run(self) -> None:
        while True:
            # Not abandoned where it is cancelled: what is half done would go on beside the next emperor's.
            cost, events = await trio.to_thread.run_sync(
                self.look, trio.from_thread.check_cancelled, limiter=self._thread
            )
            for event in events:
                self._publish(event)
            await trio.sleep(max(SHORTEST_PAUSE, cost / SHARE))

    def look(self, go_on: GoOn = lambda: None) -> tuple[float, list[Event]]:
        """Rotate what is due, and delete what is not to be kept; blocks. The CPU seconds of the look alone, and news.

        ``go_on`` is called now and then, and may raise: what is half copied is given up.
        """
        events: list[Event] = []
        failed: dict[str, OSError] = {}
        began = time.thread_time()
        try:
            folder = open_folder(self._directory)
        except OSError as error:
            return time.thread_time() - began, self._judge({self._directory: error})
        try:
            found = self._find(folder)
            now = self._wall()
            due = {log for log, status in found.logs.items() if self._is_due(folder, log, status, now)}
            self._tidy(folder, found, now)
            cost = time.thread_time() - began
            for log in sorted(found.drafts | due):
                go_on()
                try:
                    if log in found.drafts:
                        self._finish(folder, log, found.copies[log])
                    if log in due and (lost := self._rotate(folder, log, found.copies[log], go_on)):
                        events.append(LogOutran(log, lost))
                except OSError as error:
                    failed[log] = error
        finally:
            os.close(folder)
        return cost, [*events, *self._judge(failed)]

    def _judge(self, failed: dict[str, OSError]) -> list[Event]:
        """What could not be done, said once until everything can."""
        news: list[Event] = []
        if failed and not self._failing:
            log, error = next(iter(failed.items()))
            news.append(LogsNotRotated(log, error.strerror or str(error), len(failed)))
        self._failing = bool(failed)
        return news

    # --- the look ---

    def _find(self, folder: int) -> _Found:
        found, extra = _Found(), self._rules.extra
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name.endswith(".log"):
                    if is_log(name, extra):
                        with suppress(FileNotFoundError):
                            status = entry.stat(follow_symlinks=False)
                            if stat.S_ISREG(status.st_mode):
                                found.logs[name] = status
                elif (copy := rotated(name)) is not None:
                    if is_log(copy[0], extra):
                        found.copies[copy[0]].add(copy[1])
                elif (log := _log_of_draft(name)) and is_log(log, extra):
                    found.drafts.add(log)
        self._since = {log: since for log, since in self._since.items() if log in found.logs}
        return found

    def _is_due(self, folder: int, log: str, status: os.stat_result, now: float) -> bool:
        since = None
        if self._rules.age > 0:
            if status.st_size == 0:
                self._since.pop(log, None)
            else:
                since = self._since.get(log)
                if since is None:
                    since = self._since[log] = _remembered(folder, log, min(now, status.st_mtime))
        return is_due(self._rules, status.st_size, since, now)

    def _tidy(self, folder: int, found: _Found, now: float) -> None:
        """Delete copies beyond the number, as after a smaller ``--vassal-log-keep``, and those that are too old."""
        oldest = now - self._rules.keep * self._rules.age
        for log, numbers in found.copies.items():
            for number in sorted(numbers):
                with suppress(OSError):
                    if number > self._rules.keep or (
                        self._rules.age > 0
                        and os.stat(f"{log}.{number}", dir_fd=folder, follow_symlinks=False).st_mtime < oldest
                    ):
                        os.unlink(f"{log}.{number}", dir_fd=folder)
                        numbers.discard(number)

    # --- one rotation ---

    def _rotate(self, folder: int, log: str, copies: set[int], go_on: GoOn) -> int:
        """Copy and cut one log; how many bytes are lost because they came too fast. Raises OSError: it is not cut then.

        A kill in between leaves the copy as a draft, which the next look finds and keeps.
        """
        source = open_log(folder, log, os.O_RDWR)
        try:
            if self._rules.keep == 0:
                self._cut(source, log)
                return 0
            self._drop(folder, log, copies)  # first: on a full disk its room is the copy's
            draft = _draft(log)
            target = os.open(
                draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder
            )
            try:
                status = os.fstat(source)
                _dress(target, status)
                position = copy_all(source, target, go_on)
                os.utime(target, ns=(status.st_atime_ns, os.fstat(source).st_mtime_ns))
            except BaseException:
                os.unlink(draft, dir_fd=folder)
                raise
            finally:
                os.close(target)
            lost = os.fstat(source).st_size - position
            self._cut(source, log)
        finally:
            os.close(source)
        self._finish(folder, log, copies)
        return max(lost, 0)

    def _cut(self, source: int, log: str) -> None:
        os.ftruncate(source, 0)
        self._since.pop(log, None)
        with suppress(OSError):
            os.removexattr(source, SINCE)

    def _drop(self, folder: int, log: str, copies: set[int]) -> None:
        for number in shifts(copies, self._rules.keep)[0]:
            os.unlink(f"{log}.{number}", dir_fd=folder)
            copies.discard(number)

    def _finish(self, folder: int, log: str, copies: set[int]) -> None:
        """Make the draft number 1."""
        self._drop(folder, log, copies)
        for number in shifts(copies, self._rules.keep)[1]:
            os.rename(f"{log}.{number}", f"{log}.{number + 1}", src_dir_fd=folder, dst_dir_fd=folder)
            copies.discard(number)
            copies.add(number + 1)
        os.rename(_draft(log), f"{log}.1", src_dir_fd=folder, dst_dir_fd=folder)
        copies.add(1)


def copy_all(source: int, target: int, go_on: GoOn = lambda: None) -> int:
    """Copy a log that may be growing, until nothing more comes: the offset up to which it is copied, and on the disk.

    Holes, which a vassal can make of any size, stay holes. Raises OSError.
    """
    position = _copy(source, target, 0, go_on)
    os.fdatasync(target)
    for _ in range(CATCH_UPS):
        before, position = position, _copy(source, target, position, go_on)
        if position == before:
            break
    os.ftruncate(target, position)
    return position


def _copy(source: int, target: int, position: int, go_on: GoOn) -> int:
    """Copy up to what is the end now; the offset behind it."""
    end = os.fstat(source).st_size
    while position < end:
        try:
            data = os.lseek(source, position, os.SEEK_DATA)
            hole = min(os.lseek(source, data, os.SEEK_HOLE), end)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole up to the end
                return end
            raise
        if data >= end:
            return end
        position = os.lseek(target, data, os.SEEK_SET)
        while position < hole:
            go_on()
            sent = os.sendfile(target, source, position, min(CHUNK, hole - position))
            if sent == 0:  # it was cut meanwhile, by someone else
                return position
            position += sent
    return position


def _dress(target: int, status: os.stat_result) -> None:
    """Give the copy the owner and the mode of the log."""
    found = os.fstat(target)
    if (found.st_uid, found.st_gid) != (status.st_uid, status.st_gid):
        os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))


def _draft(log: str) -> str:
    return f".{log}.copy"


def _log_of_draft(name: str) -> str:
    """The log that a file is a draft of; "" where it is none."""
    return name[1:-5] if name.startswith(".") and name.endswith(".log.copy") else ""


def _remembered(folder: int, log: str, otherwise: float) -> float:
    """When a log's oldest line came, as it is kept with the log; kept now where it is not yet."""
    try:
        source = open_log(folder, log, os.O_RDONLY)
    except OSError:
        return otherwise
    try:
        try:
            return float(os.getxattr(source, SINCE))
        except (OSError, ValueError):
            with suppress(OSError):
                os.setxattr(source, SINCE, str(otherwise).encode())
            return otherwise
    finally:
        os.close(source)
