"""``pg://CONNINFO;QUERY``: every row that a query of PostgreSQL answers with is a vassal, columns by position.

The table is asked every ``--emperor-freq`` seconds, and at once when a NOTIFY comes on the channel ``listen=CHANNEL``.
The connection is :mod:`._pg_link`'s, the argument :mod:`._pg_argument`'s, the rows are :mod:`._pg_rows`'s.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing

import trio

from emperor_trio.errors import MonitorError, UsageError
from emperor_trio.events import MonitorNotice
from emperor_trio.masking import masked
from emperor_trio.monitors._answers import Answers, Entry
from emperor_trio.monitors._pg_argument import quote_identifier, read_argument
from emperor_trio.monitors._pg_link import WHOLE_LIMIT, Link, LinkFailed, Part, Refused, connect
from emperor_trio.monitors._pg_rows import AnswerRefused, Reader
from emperor_trio.monitors._rows import RowRules
from emperor_trio.monitors._wait import Alarm, alarm
from emperor_trio.ports import Emit, MonitorContext

REST, MOST_REST = 0.05, 1.0
"""Seconds between two questions at least: three times as long as the last answer took, within these bounds. For whoever
may NOTIFY may do it without end."""

SET_UP = f"""
    SET datestyle TO ISO;
    SELECT set_config('statement_timeout', '{WHOLE_LIMIT * 1000:.0f}', false)
        WHERE current_setting('statement_timeout') = '0'
"""
"""Times come in the one notation that is read here; no statement of ours lives on in a server that we gave up."""


class PgMonitor:
    """``context.argument`` is ``CONNINFO;QUERY``, CONNINFO in either form that libpq reads.

    Raises :class:`~emperor_trio.errors.UsageError` for one that can't be read.
    """

    def __init__(self, context: MonitorContext) -> None:
        try:
            self._argument = read_argument(context.argument)
        except ValueError as error:
            raise UsageError(f"--emperor {context.name}: {error}") from None
        self._context = context
        self._query = self._argument.query.encode()
        self._answers = Answers(context.name, context.publish)
        self._reader = Reader(RowRules.of(context))
        self._limiter = trio.CapacityLimiter(1)
        self._deaf = ""

    async def run(self, emit: Emit) -> None:
        """Watch until cancelled. Raises :class:`~emperor_trio.errors.MonitorError` when the server fails."""
        self._answers.restart()
        try:
            async with alarm(self._context.doorbell) as bell:
                link = await connect(self._argument.parameters, self._argument.connect_limit, self._limiter)
                with closing(link):
                    await link.ask(SET_UP.encode())
                    await self._subscribe(link)
                    await self._watch(link, bell, emit)
        except (LinkFailed, Refused, AnswerRefused) as error:
            raise MonitorError(masked(f"{self._argument.where}: {error}")) from None

    async def _subscribe(self, link: Link) -> None:
        """LISTEN before the first question, so that no change falls between the two. Without it there is polling."""
        if self._argument.channel is None:
            return
        try:
            await link.ask(f"LISTEN {quote_identifier(self._argument.channel)}".encode())
        except Refused as refused:
            if self._deaf != str(refused):
                self._deaf = str(refused)
                every = f"it is asked every {self._context.frequency:g} s instead"
                notice = f"{self._argument.where}: LISTEN is refused: {refused}; {every}"
                self._context.publish(MonitorNotice(self._context.name, masked(notice)))

    async def _watch(self, link: Link, bell: Alarm, emit: Emit) -> None:
        while True:
            asked_at = trio.current_time()
            snapshot = self._answers.take_all(await self._ask(link), trio.current_time())
            took = trio.current_time() - asked_at
            if snapshot is not None:
                await emit(snapshot)
            now = trio.current_time()
            if await self._wait(link, bell, min(now + self._context.frequency, self._answers.due)):
                self._answers.restart()
            else:
                await trio.sleep_until(asked_at + took + min(max(REST, 3 * took), MOST_REST))

    async def _ask(self, link: Link) -> Collection[Entry]:
        def take(part: Part) -> None:
            self._reader.take(part.types, part.rows, last=part.last)

        self._reader.begin()
        await link.ask(self._query, take)
        return self._reader.finish()

    async def _wait(self, link: Link, bell: Alarm, until: float) -> bool:
        """Wait for the doorbell (then it is true), a notification or the time; and notice when the server leaves."""
        failure: LinkFailed | None = None

        async def hear() -> None:
            nonlocal failure
            try:
                await link.hear()
            except LinkFailed as error:
                failure = error
            bell.ring()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hear)
            by_doorbell = await bell.wait(until)
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure
        return by_doorbell
