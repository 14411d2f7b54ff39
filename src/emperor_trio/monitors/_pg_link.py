"""One connection to PostgreSQL, driven by Trio through psycopg's wrapper of libpq (:mod:`psycopg.pq`).

It knows how to connect, to ask and to listen, and turns every failure into one line. What is asked, and what the answer
means, is the monitor's. One task may use a connection at a time.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import termios
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

import trio
from psycopg import Error, generators, pq
from psycopg.conninfo import conninfo_attempts, make_conninfo
from psycopg.waiting import Ready, Wait

from emperor_trio.monitors._plain import without_numbers
from emperor_trio.monitors._wait import ANSWER_LIMIT

WHOLE_LIMIT = 60.0
"""Seconds for a whole answer that comes bit by bit. The server is told, too, so that no statement is left behind."""

PART = 100
"""Rows that libpq collects before it hands them on."""

MOST_UNREAD = 256 * 2**20
"""Bytes that may come, by and large, without a row being complete: libpq itself would take gigabytes."""

_RECEIVED = struct.Struct("128xQ")
"""``tcpi_bytes_received`` in the kernel's ``tcp_info``, since Linux 4.1."""

SAID = 1000
"""Characters of an error that are told."""

_CAN_PART = pq.version() >= 170_000

Row = tuple[bytes | None, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of an answer: ``types`` are PostgreSQL's numbers of the columns' types, ``last`` ends a statement."""

    types: tuple[int, ...]
    rows: list[Row]
    last: bool


Take = Callable[[Part], None]
Step = Callable[..., Awaitable[tuple[int, Wait] | pq.abc.PGconn]]


class LinkFailed(Exception):
    """The connection is of no more use, or could not be made. The text is one line."""


class Refused(Exception):
    """The server refused a statement; the connection goes on. The text is one line."""


class Link:
    """A connection that is there. :meth:`close` it."""

    def __init__(self, pgconn: pq.abc.PGconn) -> None:
        self._pgconn = pgconn
        self._heard = False
        pgconn.nonblocking = 1

    def close(self) -> None:
        """Tell the server, as far as that goes without waiting, and give back the descriptor."""
        if self._pgconn.status == pq.ConnStatus.OK:
            trio.lowlevel.notify_closing(self._pgconn.socket)
        self._pgconn.finish()

    async def ask(self, statement: bytes, take: Take = lambda _: None) -> None:
        """Have a statement, or several, carried out. Notifications that came before are covered by it, and forgotten.

        Raises :class:`Refused` and :class:`LinkFailed`, and whatever ``take`` raises; the link is to be closed then.
        """
        progress = trio.move_on_after(ANSWER_LIMIT)
        try:
            with trio.fail_after(WHOLE_LIMIT), progress:
                self._pgconn.consume_input()
                self.heard()
                self._pgconn.send_query(statement)
                if _CAN_PART:
                    self._pgconn.set_chunked_rows_mode(PART)
                else:
                    self._pgconn.set_single_row_mode()
                while self._pgconn.flush():
                    await trio.lowlevel.wait_writable(self._pgconn.socket)
                await self._take_results(take, progress)
        except trio.TooSlowError:
            raise LinkFailed(f"the server's answer is not complete after {WHOLE_LIMIT:g} s") from None
        except (Error, OSError) as error:
            raise LinkFailed(_one_line(str(error)) or "the connection was lost") from None
        if progress.cancelled_caught:
            raise LinkFailed(f"the server said nothing for {ANSWER_LIMIT:g} s")

    async def hear(self) -> None:
        """Wait for a notification. Raises :class:`LinkFailed` when the connection ends."""
        try:
            while not self.heard():
                await trio.lowlevel.wait_readable(self._pgconn.socket)
                self._pgconn.consume_input()
        except (Error, OSError) as error:
            raise LinkFailed(_one_line(str(error)) or "the connection was lost") from None

    def heard(self) -> bool:
        """Whether notifications came; they are forgotten, so that many are one."""
        heard, self._heard = self._heard, False
        while self._pgconn.notifies() is not None:
            heard = True
        return heard

    async def _take_results(self, take: Take, progress: trio.CancelScope) -> None:
        """Every part until there are no more. An error counts after all that came before it was read off."""
        refused = ""
        while True:
            received = first = _count_received(self._pgconn.socket, 0)
            while self._pgconn.is_busy():
                await trio.lowlevel.wait_readable(self._pgconn.socket)
                received = _count_received(self._pgconn.socket, received)
                if received - first > MOST_UNREAD:
                    raise LinkFailed(f"the server sends a row of more than {MOST_UNREAD >> 20} MB, or no answer at all")
                self._pgconn.consume_input()
                self._heard = self.heard()  # lest they pile up; the answer may be older than they are
                progress.deadline = trio.current_time() + ANSWER_LIMIT
            result = self._pgconn.get_result()
            if result is None:
                break
            match result.status:
                case pq.ExecStatus.TUPLES_OK | pq.ExecStatus.TUPLES_CHUNK | pq.ExecStatus.SINGLE_TUPLE:
                    take(_read_part(result))
                case pq.ExecStatus.COMMAND_OK | pq.ExecStatus.EMPTY_QUERY:
                    pass
                case pq.ExecStatus.COPY_IN | pq.ExecStatus.COPY_OUT | pq.ExecStatus.COPY_BOTH:
                    raise LinkFailed("a COPY is no query for vassals; it must be a SELECT, or end in one")
                case _:
                    refused = _explain_error(result)
            await trio.lowlevel.checkpoint()  # what was received in one go may be thousands of parts
        if self._pgconn.status != pq.ConnStatus.OK:
            raise LinkFailed(refused or "the server closed the connection")
        if refused:
            raise Refused(refused)


def _count_received(descriptor: int, before: int) -> int:
    """Bytes that came over a connection: exactly, over TCP; else those before and what the system holds now, or more
    of which libpq takes at once."""
    with socket.socket(fileno=os.dup(descriptor)) as ours:
        if ours.family == socket.AF_UNIX:
            return before + int(struct.unpack("i", fcntl.ioctl(ours, termios.FIONREAD, bytes(4)))[0])
        told = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RECEIVED.size)
    return int(_RECEIVED.unpack(told)[0]) if len(told) == _RECEIVED.size else 0


def _read_part(result: pq.abc.PGresult) -> Part:
    columns = range(result.nfields)
    return Part(
        tuple(result.ftype(column) for column in columns),
        [tuple(result.get_value(row, column) for column in columns) for row in range(result.ntuples)],
        last=result.status == pq.ExecStatus.TUPLES_OK,
    )


async def connect(parameters: Mapping[str, str], limit: float, limiter: trio.CapacityLimiter) -> Link:
    """Connect to the first of the servers that takes us; ``limit`` in seconds for each of their addresses.

    What may block goes to a thread: names are resolved there, and the sums of a login, whose number the server
    chooses, are done there. Raises :class:`LinkFailed`.
    """
    in_thread = partial(trio.to_thread.run_sync, abandon_on_cancel=True, limiter=limiter)
    why: dict[str, None] = {}
    try:
        with trio.fail_after(limit):
            attempts = await in_thread(conninfo_attempts, parameters)
    except trio.TooSlowError:
        raise LinkFailed(f"the server's name could not be resolved within {limit:g} s") from None
    except Error as error:
        raise LinkFailed(_one_line(str(error))) from None
    for attempt in attempts:
        try:
            with trio.fail_after(limit):
                return Link(await _connect_once(make_conninfo("", **attempt), in_thread))
        except trio.TooSlowError:
            why[f"no connection within {limit:g} s"] = None
        except (Error, OSError, LinkFailed) as error:
            why[_one_line(str(error)).removeprefix("connection failed: ")] = None
    raise LinkFailed("; ".join(why))


async def _connect_once(conninfo: str, in_thread: Step) -> pq.abc.PGconn:
    """One attempt. Where it is cancelled a thread may still be at work, so that the last reference ends the connection.

    psycopg's generator lets other threads go on while libpq computes; ``PGconn.connect_poll`` does not.
    """
    attempt = generators.connect(conninfo)
    step: Callable[[], tuple[int, Wait]] = partial(next, attempt)
    while True:
        outcome = await in_thread(_take_step, step)
        if not isinstance(outcome, tuple):
            return outcome
        descriptor, wait = outcome
        if wait & Wait.R:
            await trio.lowlevel.wait_readable(descriptor)
        else:
            await trio.lowlevel.wait_writable(descriptor)
        step = partial(attempt.send, Ready.R if wait & Wait.R else Ready.W)


def _take_step(step: Callable[[], tuple[int, Wait]]) -> tuple[int, Wait] | pq.abc.PGconn:
    try:
        return step()
    except StopIteration as end:  # which no thread may hand on
        connection: pq.abc.PGconn = end.value
        return connection


def _explain_error(result: pq.abc.PGresult) -> str:
    """The error's own sentence and its code, without the piece of the query that PostgreSQL quotes along."""
    primary = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY)
    if primary is None:
        return _one_line(result.error_message.decode("utf-8", "replace"))
    code = result.error_field(pq.DiagnosticField.SQLSTATE) or b""
    return _one_line(f"{primary.decode('utf-8', 'replace')} (SQLSTATE {code.decode('ascii', 'replace')})")


def _one_line(text: str) -> str:
    """As libpq has it, but for what it asks back on a line of its own."""
    return " ".join(without_numbers(text[:SAID]).replace("\n\tIs the server", "; is the server").split())
