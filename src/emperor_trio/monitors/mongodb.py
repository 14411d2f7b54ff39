"""``mongodb://`` and ``mongodb2://``: a document of a MongoDB collection is a vassal.

A change stream tells which documents changed; they are then read again, through the filter, so that nothing depends on
what the stream itself says of them. Where there is none the whole collection is read every ``--emperor-freq``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from math import inf

import trio
from pymongo.errors import PyMongoError

from emperor_trio.errors import MonitorError, UsageError
from emperor_trio.events import MonitorNotice
from emperor_trio.monitors._answers import REPEAT, Answers
from emperor_trio.monitors._mongo_argument import BadArgument, Target, explain_driver, parse_argument, parse_keys
from emperor_trio.monitors._mongo_connection import Connection, connected, make_client
from emperor_trio.monitors._mongo_documents import Documents
from emperor_trio.monitors._rows import RowRules
from emperor_trio.monitors._wait import Alarm, alarm
from emperor_trio.ports import Emit, MonitorContext

REOPEN = 1.0
"""Seconds at least between two openings of a change stream."""


class MongoMonitor:
    """``mongodb://host:port,db.collection,{filter}``, or a connection string ``…/db.collection?options;{filter}``."""

    parse: Callable[[str], Target] = staticmethod(parse_argument)

    def __init__(self, context: MonitorContext) -> None:
        self._context = context
        try:
            self._target: Target = self.parse(context.argument)
            make_client(self._target).close()  # judges the options; it has connected to nothing yet
        except BadArgument as error:
            raise UsageError(f"--emperor {context.name}: {error}") from None
        except (PyMongoError, ValueError, TypeError, OSError) as error:
            raise UsageError(f"--emperor {context.name}: an option is wrong: {explain_driver(error)}") from None
        self._rules = RowRules.of(context)
        self._answers = Answers(context.name, context.publish)
        self._documents = Documents()
        self._said: set[str] = set()

    async def run(self, emit: Emit) -> None:
        """Watch until cancelled. Raises :class:`~emperor_trio.errors.MonitorError` where the source fails."""
        self._answers.restart()
        if self._target.ignored:
            self._say(self._target.ignored)
        async with alarm(self._context.doorbell) as bell:
            changes = _Changes(bell)
            async with connected(self._target, self._rules, changes.note_all) as connection:
                refusal = await connection.open_stream()  # before the first look, so that nothing falls between
                if refusal:
                    every = self._context.frequency
                    self._say(f"{self._target.shown}: {refusal}; it is asked every {every:g} s instead")
                    await self._keep_up(emit, connection, changes, bell, every)
                else:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(_follow, connection, changes)
                        await self._keep_up(emit, connection, changes, bell, REPEAT)

    async def _keep_up(
        self, emit: Emit, connection: Connection, changes: _Changes, bell: Alarm, interval: float
    ) -> None:
        """Read what changed, and everything every ``interval`` seconds, at a ring, or where an answer is doubted."""
        next_look = -inf
        while True:
            everything, keys = changes.take()
            if everything or trio.current_time() >= min(next_look, self._answers.due):
                await self._look(emit, connection)
                next_look = trio.current_time() + interval
            elif keys:
                await self._look_again(emit, connection, keys)
            elif await bell.wait(min(next_look, self._answers.due)):
                self._answers.restart()
                next_look = -inf

    async def _look(self, emit: Emit, connection: Connection) -> None:
        """Read everything. What is suddenly missing is asked for once more: a query may overlook what changes."""
        missing = self._documents.replace(await connection.find(self._documents))
        if missing and self._documents.remembered:
            self._documents.update((), await connection.find_again(missing))
        snapshot = self._answers.take_all(self._documents.entries(), trio.current_time())
        if snapshot is not None:
            await emit(snapshot)

    async def _look_again(self, emit: Emit, connection: Connection, keys: set[bytes]) -> None:
        """Read documents that were changed; those that are not there any more, or left the filter, are gone."""
        names = self._documents.update(keys, await connection.find_again(keys))
        for name in names:
            told = self._answers.take_named(name, self._documents.named(name))
            await trio.lowlevel.checkpoint()
            if told is not None:
                await emit(told)

    def _say(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            self._context.publish(MonitorNotice(self._context.name, message))


class Mongo2Monitor(MongoMonitor):
    """``mongodb2://key=value,…``, as uWSGI has it."""

    parse: Callable[[str], Target] = staticmethod(parse_keys)


class _Changes:
    """What the stream's thread saw and nobody has read yet: documents, each once, or that all may have changed."""

    def __init__(self, bell: Alarm) -> None:
        self._bell = bell
        self._trio = trio.lowlevel.current_trio_token()
        self._lock = threading.Lock()
        self._keys: set[bytes] = set()
        self._all = False

    def note(self, key: bytes | None) -> None:
        """A document changed; ``None``: all may have. From any thread."""
        with self._lock:
            if key is None:
                self._all = True
            else:
                self._keys.add(key)
        with suppress(trio.RunFinishedError):  # a server that hung until now told the driver of it
            self._trio.run_sync_soon(self._bell.ring, idempotent=True)

    def note_all(self) -> None:
        self.note(None)

    def take(self) -> tuple[bool, set[bytes]]:
        """Whether all may have changed, and the keys of the documents that did."""
        with self._lock:
            taken = self._all, self._keys
            self._all, self._keys = False, set()
        return taken


async def _follow(connection: Connection, changes: _Changes) -> None:
    """Note every change, for ever. A stream that was lost is opened anew, and then everything is to be read."""
    while True:
        opened_at = trio.current_time()
        await connection.follow(changes.note)
        await trio.sleep_until(opened_at + REOPEN)
        refusal = await connection.open_stream()
        if refusal:
            raise MonitorError(refusal)
        changes.note_all()
