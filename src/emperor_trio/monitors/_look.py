"""Looking at folders and files, in a worker thread: it may block where the file system does, and nothing waits for it
but its own monitor. Every folder is first watched and then read, so that nothing falls between.

What is to be looked at comes as a :class:`Job`; what was seen goes back as a :class:`Look`. Nothing is kept in between.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from emperor_trio.monitors._entries import (
    ABSENT,
    Absent,
    Entry,
    Failed,
    Found,
    Outcome,
    Point,
    Rules,
    Unfinished,
    examine,
)
from emperor_trio.monitors._filesystems import is_local
from emperor_trio.monitors._inotify import Inbox
from emperor_trio.monitors._patterns import Plan, Step, join
from emperor_trio.monitors._points import own_key
from emperor_trio.monitors._sight import Glance, Job, Look, Place, Visit
from emperor_trio.monitors._signs import BRANCH, CONTENT, OWN, REACH, STRUCTURE
from emperor_trio.monitors._ways import MOST_LINKS, walked

MOST_TARGETS = 4096
"""Folders outside the watched ones, into which links lead, that one monitor watches; tenants can make any number."""

_NO_CONFIG = "its ending is no config's, or it has 255 bytes or more"

_SHORTAGE = frozenset({errno.ENOSPC, errno.ENOMEM, errno.EMFILE})


class Looker:
    """Carries out one job. ``known`` are the vassals as they were; ``targets`` the folders watched for links alone.

    ``inbox`` is ``None`` where inotify is not to be had; without ``more`` no further watch is tried.
    """

    def __init__(
        self,
        plan: Plan,
        rules: Rules,
        inbox: Inbox | None,
        known: Mapping[str, Found],
        targets: frozenset[str] = frozenset(),
        *,
        more: bool = True,
    ) -> None:
        self._plan = plan
        self._rules = rules
        self._inbox = inbox
        self._known = known
        self._targets = set(targets)
        self._more = more
        self._local: dict[int, bool] = {}

    def carry_out(self, job: Job) -> Look:
        self._look = Look(job)
        for place in job.places:
            self._walk(place)
        for glance in job.glances:
            self._look.glances[glance] = self._glance(glance)
        return self._look

    # --- watching ---

    def _watch(self, folder: str, mask: int) -> bool:
        """Whether inotify tells of this folder now."""
        if self._inbox is None:
            return False
        if not self._more:
            return self._inbox.watches(folder)
        try:
            self._look.watched.add(folder)
            self._inbox.watch(folder, mask)
        except OSError as error:
            if error.errno in _SHORTAGE:
                self._look.shortage = os.strerror(error.errno)
                self._more = False
            return False
        return True

    def _watch_point(self, folder: str, mask: int, *, bounded: bool) -> None:
        if bounded and folder not in self._targets and len(self._targets) >= MOST_TARGETS:
            return
        if self._watch(folder, mask) and bounded:
            self._targets.add(folder)

    def _watches(self, points: tuple[Point, ...]) -> bool:
        """Whether all is done about what a link leads over, as far as it can be."""
        inbox = self._inbox
        return inbox is None or all(inbox.watches(folder) for folder, _ in points)

    # --- folders ---

    def _walk(self, start: Place) -> None:
        waiting = [start]
        while waiting:
            place = waiting.pop()
            points = self._follow_folder(place)
            visit = self._visit(place, waiting)
            if visit is not None:
                visit.points = points
                self._look.visits[place.path] = visit
            elif place is start and place.parent is not None:
                self._notice(place.parent)

    def _is_local(self, device: int, descriptor: int) -> bool:
        if device not in self._local:
            self._local[device] = is_local(descriptor)
        return self._local[device]

    def _notice(self, path: str) -> None:
        """That a folder is there, and which one, without reading it."""
        with suppress(OSError):
            status = os.stat(path)
            self._look.visits.setdefault(path, Visit(Place(path), (status.st_dev, status.st_ino)))

    def _visit(self, place: Place, below: list[Place]) -> Visit | None:
        """Watch a folder, then read it; ``None`` where there is none. What is to be walked next goes ``below``."""
        step = self._plan.steps[place.level]
        last = place.level == len(self._plan.steps) - 1
        visit = Visit(place)
        watched = self._watch(place.path, CONTENT if last else BRANCH)
        how = os.O_PATH if step.literal is not None else os.O_RDONLY | os.O_NONBLOCK
        try:
            with self._opened(place.path, how) as (descriptor, links):
                status = os.fstat(descriptor)
                visit.identity = (status.st_dev, status.st_ino)
                visit.local = self._is_local(status.st_dev, descriptor)
                visit.covered = watched and visit.local
                if last:
                    self._read_configs(visit, descriptor, links)
                elif step.literal is not None:
                    below.append(place.below(step.literal, step))
                else:
                    below += [place.below(name, step) for name in _list_folders(descriptor, step)]
                visit.read = True
        except OSError as error:
            if error.errno in ABSENT and not visit.identity:
                return None
            visit.error = os.strerror(error.errno or 0)
        return visit

    # --- configs ---

    @contextmanager
    def _opened(self, folder: str, how: int) -> Iterator[tuple[int, frozenset[int]]]:
        """A folder, and in Tyrant mode the owners of the links that lead to it."""
        if not self._rules.tyrant:
            with _opened(folder, how) as descriptor:
                yield descriptor, frozenset()
            return
        with walked(folder) as (end, owners), _opened(".", how, end) as descriptor:
            yield descriptor, owners

    def _read_configs(self, visit: Visit, descriptor: int, links: frozenset[int]) -> None:
        step = self._plan.steps[visit.place.level]
        if step.literal is not None:
            glance = Glance(visit.place.shown + step.literal, visit.place.path, step.literal)
            if self._rules.is_config(glance.name):
                self._add(visit, glance.name, self._glance_at(glance, descriptor, links, self._known.get(glance.name)))
            else:
                visit.skipped[glance.name] = _NO_CONFIG
            return
        with os.scandir(descriptor) as scan:
            entries = {entry.name: entry for entry in scan}
        extension = self._rules.socket_extension
        for file, entry in entries.items():
            if not step.matches(file):
                continue
            name = visit.place.shown + file
            known = self._known.get(name)
            if known is None and not self._rules.is_config(name):
                if self._rules.config_of(file) not in entries:
                    visit.skipped[name] = _NO_CONFIG
                continue
            companion = extension is None or file + extension in entries
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError as error:
                self._add(visit, name, _explain(error))
                continue
            if known is not None and not links and known.is_unchanged(status):
                visit.outcomes[name] = known
                continue
            glance = Glance(name, visit.place.path, file)
            self._add(visit, name, self._examine(glance, descriptor, links, status, known, companion))

    def _add(self, visit: Visit, name: str, outcome: Outcome) -> None:
        if isinstance(outcome, Absent):
            visit.absent[name] = outcome
            if outcome.reason:
                visit.skipped[name] = outcome.reason
        else:
            visit.outcomes[name] = outcome

    def _glance(self, glance: Glance) -> Outcome:
        try:
            if glance.created is not None and _is_unfinished(glance.created):
                return Unfinished()
            with self._opened(glance.folder, os.O_PATH) as (descriptor, links):
                return self._glance_at(glance, descriptor, links, None)
        except OSError as error:
            return Absent(sure=False) if error.errno in ABSENT else _explain(error)

    def _glance_at(self, glance: Glance, descriptor: int, links: frozenset[int], known: Found | None) -> Outcome:
        try:
            status = os.stat(glance.file, dir_fd=descriptor, follow_symlinks=False)
        except OSError as error:
            return _explain(error)
        return self._examine(glance, descriptor, links, status, known, companion=True)

    def _examine(
        self,
        glance: Glance,
        descriptor: int,
        links: frozenset[int],
        status: os.stat_result,
        known: Found | None,
        companion: bool,
    ) -> Outcome:
        entry = Entry(glance.name, glance.file, descriptor, self._plan.directory, links)
        if known is not None and not self._watches(known.points):
            known = None

        def follow() -> tuple[Point, ...]:
            return self._follow(os.path.realpath(glance.folder), os.readlink(glance.file, dir_fd=descriptor), CONTENT)

        return examine(entry, status, self._rules, follow, known, companion=companion)

    # --- links ---

    def _follow_folder(self, place: Place) -> tuple[Point, ...]:
        """What the way to a folder leads over: all of it for the first one, and links for those below."""
        if place.parent is None:
            points = self._look.base_points = self._follow("/", place.path, STRUCTURE, every=True)
            return points
        try:
            target = os.readlink(place.path)
        except OSError:
            return ()
        return self._follow(os.path.realpath(place.parent), target, STRUCTURE)

    def _follow(self, folder: str, path: str, mask: int, *, every: bool = False) -> tuple[Point, ...]:
        """Go along a path from a folder (free of links), and watch the links on the way and its end: each is a point at
        which it may come to lead elsewhere. With ``every``, folders on the way are, too, for what befalls them. It ends
        early at what is not there."""
        points: list[Point] = []
        links = 0
        waiting = path.split("/")[::-1]
        if path.startswith("/"):
            folder = "/"
        while waiting and links < MOST_LINKS:
            part = waiting.pop()
            if part == "..":
                folder = os.path.dirname(folder)
            if part in ("", ".", ".."):
                continue
            last = not any(waiting)
            there, link = _is_link(join(folder, part))
            point = (folder, part)
            if every and there and not link:
                itself = own_key(join(folder, part))
                if self._watch(itself, OWN | REACH if last else OWN):
                    point = (itself, "")
            if (every or last or link or not there) and point not in points:
                points.append(point)
                if point == (folder, part):
                    self._watch_point(folder, mask if last else STRUCTURE, bounded=not every)
                waiting.append(part)  # again: first the watch, then the look
            elif link:
                links += 1
                target = _read_link(join(folder, part))
                folder = "/" if target.startswith("/") else folder
                waiting += target.split("/")[::-1]
            elif there:
                folder = join(folder, part)
            else:
                break
        return tuple(points)


@contextmanager
def _opened(folder: str, how: int, start: int | None = None) -> Iterator[int]:
    descriptor = os.open(folder, how | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=start)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _list_folders(descriptor: int, step: Step) -> Iterator[str]:
    """The names that match and may be folders; those that are none are found out when they are opened."""
    with os.scandir(descriptor) as entries:
        for entry in entries:
            if step.matches(entry.name) and (entry.is_symlink() or entry.is_dir(follow_symlinks=False)):
                yield entry.name


def _is_link(path: str) -> tuple[bool, bool]:
    """Whether there is something, and whether that is a link."""
    try:
        return True, stat.S_ISLNK(os.lstat(path).st_mode)
    except OSError:
        return False, False


def _read_link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""  # exchanged since; whoever did that is seen by the watch


def _is_unfinished(path: str) -> bool:
    """Whether a path that was just created is a file on its first write. Links, hard ones too, are made complete."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def _explain(error: OSError) -> Outcome:
    return Absent() if error.errno in ABSENT else Failed(os.strerror(error.errno or 0))
