"""What vassals print: into a file for each (:class:`LogFolder`), or through a pipe for each (:class:`LogPipes`).

Both implement :class:`emperor_trio.ports.Outputs`. Neither rotates, tags or shows anything: that is for outlets.
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import trio

from emperor_trio.events import Event, LogUnavailable
from emperor_trio.model import VassalId
from emperor_trio.ports import Lines, LineSink
from emperor_trio.vassal_logs import check_folder, file_name, open_folder, open_log

READ = 32 * 1024
"""Bytes of one vassal at once."""

LONGEST_PART = 32 * 1024
"""Bytes without an end of line that wait for it; what is longer is cut. So no line is longer than this and one read."""

READS = 16
"""Vassals in one turn, in which the loop does nothing else: a millisecond, measured with lines of ten bytes."""

PAUSE = 0.01
"""Seconds between two turns. So one vassal gets 3 MB/s at most, and all together 50 MB/s; who has more to say waits."""

MOST_WAITING = 256 * 1024
"""Bytes that wait for one subscriber at most; beyond that it loses the oldest lines."""

Publish = Callable[[Event], None]


class LogFolder:
    """A file for each vassal. Nothing of it stays in the emperor: the process alone holds it open.

    ``first`` is the monitor whose vassals' logs are named after them alone, see
    :func:`~emperor_trio.vassal_logs.file_name`.
    """

    def __init__(self, directory: str, first: str, publish: Publish) -> None:
        self._directory = directory
        self._first = first
        self._publish = publish

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See that the folder is fit, before the first vassal. Raises :class:`~emperor_trio.errors.UsageError`."""
        await trio.to_thread.run_sync(check_folder, self._directory)
        task_status.started()

    def open(self, vassal: VassalId) -> int | None:
        """The folder is looked at anew each time, so that it may be moved away and made again."""
        try:
            folder = open_folder(self._directory)
            try:
                return open_log(folder, file_name(vassal, self._first))
            finally:
                os.close(folder)
        except OSError as error:
            name = os.path.join(self._directory, error.filename) if error.filename else self._directory
            self._publish(LogUnavailable(vassal, f"{name}: {error.strerror}"))
        except UnicodeError:
            pass  # a name that no process can be given: it is said where it is to be
        return None


class LogPipes:
    """A pipe for each process, whose lines go to ``sink`` and to subscribers. Implements ``LineSource``, too.

    A sink that has no room is waited for, and the vassals with it, as for any stdout that they share.
    """

    def __init__(self, sink: LineSink, publish: Publish) -> None:
        self._sink = sink
        self._publish = publish
        self._epoll = select.epoll()
        self._pipes: dict[int, _Pipe] = {}
        self._subscribers: dict[VassalId, list[LineSubscriber]] = {}
        self._ended = False

    def open(self, vassal: VassalId) -> int | None:
        if self._ended:
            return None
        try:
            ours, theirs = os.pipe()
            try:
                os.set_blocking(ours, False)
                self._epoll.register(ours, select.EPOLLIN)
            except BaseException:
                os.close(ours)
                os.close(theirs)
                raise
        except OSError as error:
            self._publish(LogUnavailable(vassal, f"a pipe: {error.strerror}"))
            return None
        self._pipes[ours] = _Pipe(vassal)
        return theirs

    @contextmanager
    def subscribe(self, vassal: VassalId) -> Iterator[LineSubscriber]:
        """What this vassal prints from now on: ``with pipes.subscribe(vassal) as news: async for lines in news: …``."""
        subscriber = LineSubscriber()
        if self._ended:
            subscriber.end()
        self._subscribers.setdefault(vassal, []).append(subscriber)
        try:
            yield subscriber
        finally:
            others = self._subscribers[vassal]
            others.remove(subscriber)
            if not others:
                del self._subscribers[vassal]

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read until cancelled; what lies in the pipes then is read, too. Once for each object."""
        task_status.started()
        try:
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                await self._sink.room()
                for descriptor, _ in self._epoll.poll(0, READS):  # whose turn it was comes last next time
                    self._read(descriptor)
                await trio.sleep(PAUSE)
        finally:
            self._end()

    def _read(self, descriptor: int) -> bool:
        """Take what is there, for one turn; whether there can be more."""
        pipe = self._pipes[descriptor]
        try:
            data = os.read(descriptor, READ)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._close(descriptor)
        elif lines := pipe.take(data):
            self._tell(pipe.vassal, lines)
        return bool(data)

    def _close(self, descriptor: int) -> None:
        pipe = self._pipes.pop(descriptor)
        self._epoll.unregister(descriptor)
        os.close(descriptor)
        if lines := pipe.take_last():
            self._tell(pipe.vassal, lines)

    def _tell(self, vassal: VassalId, lines: bytes) -> None:
        self._sink.put(vassal, lines)
        for subscriber in self._subscribers.get(vassal, ()):
            subscriber.put(lines)

    def _end(self) -> None:
        """The vassals are gone; what has escaped them may hold a pipe, but fills it once more at most."""
        for descriptor in list(self._pipes):
            for _ in range(4):  # a pipe holds 64 KiB, and its end
                if not self._read(descriptor):
                    break
            if descriptor in self._pipes:
                self._close(descriptor)
        self._epoll.close()
        self._ended = True
        self._sink.end()
        for subscribers in self._subscribers.values():
            for subscriber in subscribers:
                subscriber.end()


class _Pipe:
    """Makes whole lines of what comes through one pipe."""

    __slots__ = ("_part", "vassal")

    def __init__(self, vassal: VassalId) -> None:
        self.vassal = vassal
        self._part = b""

    def take(self, data: bytes) -> bytes:
        """The lines that are whole by now, each with its end; a part that is too long counts as one."""
        whole, end, self._part = (self._part + data).rpartition(b"\n")
        if len(self._part) >= LONGEST_PART:
            return whole + end + self.take_last()
        return whole + end

    def take_last(self) -> bytes:
        part, self._part = self._part, b""
        return part + b"\n" if part else b""


class LineSubscriber:
    """Implements :class:`emperor_trio.ports.LineSubscription`: who is too slow loses the oldest, and is told of it."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._dropped = 0
        self._news = trio.Event()
        self._ended = False

    def put(self, lines: bytes) -> None:
        self._waiting.append(lines)
        self._size += len(lines)
        while self._size > MOST_WAITING:
            oldest = self._waiting.popleft()
            self._size -= len(oldest)
            self._dropped += oldest.count(b"\n")
        self._news.set()

    def end(self) -> None:
        self._ended = True
        self._news.set()

    def __aiter__(self) -> AsyncIterator[Lines]:
        return self

    async def __anext__(self) -> Lines:
        while not self._waiting:
            if self._ended:
                raise StopAsyncIteration
            self._news = trio.Event()
            await self._news.wait()
        lines = Lines(b"".join(self._waiting), self._dropped)
        self._waiting.clear()
        self._size = self._dropped = 0
        return lines
