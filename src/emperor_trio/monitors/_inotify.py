"""The one inotify instance of a Trio run, shared by all monitors: a user may have no more than 128 of them.

It is opened with the first :class:`Inbox` and closed with the last. What an event means is not known here.
"""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from contextlib import suppress
from dataclasses import dataclass

import inotify_simple  # type: ignore[import-untyped]
import trio
from inotify_simple import INotify, flags

# Found by inotify_simple itself, it would be looked for by starting ldconfig: a stray child in an emperor that reaps
# its own.
inotify_simple._libc = ctypes.CDLL(None, use_errno=True)

MOST_UNREAD = 16_384
"""Events that may wait in an inbox, as many as the kernel's own queue has by default; more are an overflow."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One event: in which folder (as it was given to :meth:`Inbox.watch`), its mask, and the name, if it has one."""

    folder: str
    mask: int
    name: str


class Inbox:
    """One monitor's share of the inotify instance. Only :meth:`watch` may be called outside the Trio thread."""

    def __init__(self, hub: _Hub) -> None:
        self._hub = hub
        self._events: list[Seen] = []
        self._overflowed = False
        self._wake = trio.Event()

    def watch(self, folder: str, mask: int) -> None:
        """Watch a folder for ``mask``, too. May block where the file system does: call it in a worker thread.

        Raises :class:`OSError`: ENOSPC where the user's limit of watches is reached.
        """
        self._hub.add(self, folder, mask)

    def unwatch(self, folder: str) -> None:
        """Watch a folder no more; harmless where it is not watched."""
        self._hub.remove(self, folder)

    def watches(self, folder: str) -> bool:
        return self._hub.has(self, folder)

    def take(self) -> list[Seen] | None:
        """All that happened up to now, in order; ``None`` where events were lost, so that anything may have."""
        self._hub.drain()
        events, self._events = self._events, []
        overflowed, self._overflowed = self._overflowed, False
        self._wake = trio.Event()
        return None if overflowed else events

    async def wait(self) -> None:
        """Wait until there is something to take."""
        await self._wake.wait()

    def close(self) -> None:
        """Give back every watch, and with the last inbox the descriptor. Idempotent."""
        self._hub.leave(self)

    def deliver(self, event: Seen) -> None:
        """For the hub."""
        if len(self._events) < MOST_UNREAD:
            self._events.append(event)
            self._wake.set()
        else:
            self.overflow()

    def overflow(self) -> None:
        """For the hub."""
        self._events.clear()
        self._overflowed = True
        self._wake.set()


def open_inbox() -> Inbox:
    """A new inbox in the running Trio loop. Raises :class:`OSError`: EMFILE where no instance is left to be had."""
    hub = _hub.get()
    if hub is None:
        hub = _Hub()
        _hub.set(hub)
        trio.lowlevel.spawn_system_task(hub.listen)
    return hub.join()


class _Hub:
    """The instance. Watches are added in worker threads, events are read in the Trio thread; the lock is held only for
    the tables, never during a system call that could block."""

    def __init__(self) -> None:
        self._inotify = INotify(nonblocking=True)
        self._lock = threading.Lock()
        self._folders: dict[Inbox, dict[str, int]] = {}
        self._users: dict[int, set[tuple[Inbox, str]]] = {}
        self._adding = 0
        self._ended_early: set[int] = set()
        self._left = False

    def join(self) -> Inbox:
        inbox = Inbox(self)
        self._folders[inbox] = {}
        return inbox

    def leave(self, inbox: Inbox) -> None:
        with self._lock:
            for folder, watch in self._folders.pop(inbox, {}).items():
                self._release(inbox, folder, watch)
            if self._folders or self._left:
                return
            self._left = True
            trio.lowlevel.notify_closing(self._inotify.fileno())
            _hub.set(None)
            self._close_if_unused()

    def add(self, inbox: Inbox, folder: str, mask: int) -> None:
        with self._lock:
            if inbox not in self._folders:
                raise OSError(errno.ECANCELED, "the monitor has ended", folder)
            self._adding += 1
        watch = None
        try:
            watch = self._inotify.add_watch(folder, mask | flags.ONLYDIR | flags.MASK_ADD)
        finally:
            with self._lock:
                ended = watch in self._ended_early
                if watch is not None and not ended:
                    self._register(inbox, folder, watch)
                self._adding -= 1
                if not self._adding:
                    self._ended_early.clear()
                    self._close_if_unused()
        if ended:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), folder)

    def remove(self, inbox: Inbox, folder: str) -> None:
        with self._lock:
            watch = self._folders.get(inbox, {}).pop(folder, None)
            if watch is not None:
                self._release(inbox, folder, watch)

    def has(self, inbox: Inbox, folder: str) -> bool:
        return folder in self._folders.get(inbox, {})

    def drain(self) -> None:
        if self._left:
            return
        for watch, mask, _, name in self._inotify.read(timeout=0):
            if mask & flags.Q_OVERFLOW:
                for inbox in self._folders:
                    inbox.overflow()
                continue
            with self._lock:
                users = list(self._users.get(watch, ()))
                if mask & flags.IGNORED:
                    self._end(watch)
            for inbox, folder in users:
                inbox.deliver(Seen(folder, mask, name))

    async def listen(self) -> None:
        with suppress(trio.ClosedResourceError):
            while not self._left:
                await trio.lowlevel.wait_readable(self._inotify.fileno())
                self.drain()

    # --- with the lock held ---

    def _register(self, inbox: Inbox, folder: str, watch: int) -> None:
        folders = self._folders.get(inbox)
        if folders is None:
            self._release(inbox, folder, watch)
            return
        old = folders.get(folder)
        folders[folder] = watch
        self._users.setdefault(watch, set()).add((inbox, folder))
        if old is not None and old != watch:
            self._release(inbox, folder, old)

    def _release(self, inbox: Inbox, folder: str, watch: int) -> None:
        users = self._users.get(watch, set())
        users.discard((inbox, folder))
        if not users:
            self._users.pop(watch, None)
            with suppress(OSError):  # the folder may be gone, and with it the watch
                self._inotify.rm_watch(watch)

    def _end(self, watch: int) -> None:
        """The kernel ended a watch: with its folder, its file system, or because we asked."""
        for inbox, folder in self._users.pop(watch, ()):
            del self._folders[inbox][folder]
        if self._adding:
            self._ended_early.add(watch)

    def _close_if_unused(self) -> None:
        """A thread that outlived its monitor may still be adding a watch: the descriptor stays until it is through."""
        if self._left and not self._adding:
            self._inotify.close()


_hub: trio.lowlevel.RunVar[_Hub | None] = trio.lowlevel.RunVar("emperor_trio.inotify", default=None)
