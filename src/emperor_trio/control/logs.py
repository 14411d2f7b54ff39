"""What vassals print, for clients: out of their files, or as it comes through the emperor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing

import trio

from emperor_trio.errors import ControlError
from emperor_trio.model import VassalId
from emperor_trio.ports import LineSource
from emperor_trio.vassal_logs import Follower, log_path, tail

PAUSE = 0.25
"""Seconds between two looks at a file that is followed."""

MOST_LINES = 10_000
"""Lines of the past at most."""

PIECE = 32 * 1024
"""Bytes of lines that are told at once; the rest waits until those are taken."""

Lines = tuple[Sequence[str], int]


class FileLogs:
    """Reads ``DIR/NAME.log``. ``first`` is as in :func:`~emperor_trio.vassal_logs.file_name`."""

    def __init__(self, directory: str, first: str) -> None:
        self._directory = directory
        self._first = first

    def path(self, vassal: VassalId) -> str:
        """Where a vassal's log is."""
        return log_path(self._directory, vassal, self._first)

    async def __call__(self, vassal: VassalId, lines: int, follow: bool) -> AsyncIterator[Lines]:
        """The last lines, and then what comes; see :data:`~emperor_trio.control.session.LogReader`."""
        path = self.path(vassal)
        with closing(await trio.to_thread.run_sync(Follower, path)) as follower:
            for some in pieces(await trio.to_thread.run_sync(tail, path, max(min(lines, MOST_LINES), 0))):
                yield some, 0
            while follow:
                found = await trio.to_thread.run_sync(follower.read)
                for some in pieces(found):
                    yield some, 0
                if not found:
                    await trio.sleep(PAUSE)


class PipedLogs:
    """Follows what comes through the emperor (``--vassal-logs -``), which keeps nothing of it."""

    def __init__(self, source: LineSource) -> None:
        self._source = source

    async def __call__(self, vassal: VassalId, lines: int, follow: bool) -> AsyncIterator[Lines]:
        """What comes from now on; there are no last lines."""
        if not follow:
            raise ControlError(
                "with --vassal-logs - what vassals print is kept by nobody: follow it (-f), or give --vassal-logs DIR"
            )
        with self._source.subscribe(vassal) as news:
            async for news_ in news:
                dropped = news_.dropped
                for some in pieces(news_.data.splitlines()):
                    yield some, dropped
                    dropped = 0


def pieces(lines: Sequence[bytes]) -> Iterator[list[str]]:
    """The same lines as text, in pieces of :data:`PIECE` bytes or so. Without lines, none."""
    piece: list[str] = []
    size = 0
    for line in lines:
        piece.append(line.decode("utf-8", "replace"))
        size += len(line)
        if size >= PIECE:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece
