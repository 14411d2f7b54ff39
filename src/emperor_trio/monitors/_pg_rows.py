"""From the parts of an answer of PostgreSQL to judged entries, each row that did not change judged only once. Pure.

Values come as PostgreSQL writes them, in bytes; the column's type says which of them are times or bytes. What makes a
good vassal is :mod:`._rows`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from hashlib import blake2b

from psycopg import pq

from emperor_trio.model import MAX_CONFIG, MAX_NAME
from emperor_trio.monitors._answers import Entry
from emperor_trio.monitors._rows import RowRules, read_row

COLUMNS = range(3, 7)
"""How many columns an answer may have: name, config, ts, uid, gid, socket."""

MOST_ROWS = 100_000
MOST_BYTES = 256 * 2**20
"""What is kept of one answer at most; one that is larger is an error, and changes nothing."""

BYTEA = 17
TIMES = frozenset({1082, 1114, 1184})
"""The numbers of PostgreSQL's types: bytea; date, timestamp, timestamptz."""

Value = bytes | None
Row = tuple[Value, ...]
_Judged = tuple[Row, Entry]
"""A row as it was when it was judged: its config is the very bytes that the vassal's spec holds."""


class AnswerRefused(Exception):
    """An answer as a whole can't be used; the text says why, and what to do."""


class Reader:
    """Reads answer after answer: :meth:`begin`, :meth:`take` for each of its parts, :meth:`finish`."""

    def __init__(self, rules: RowRules) -> None:
        self._rules = rules
        self._types: tuple[int, ...] = ()
        self._before: dict[Row, _Judged] = {}
        self._types_before: tuple[int, ...] = ()
        self.begin()

    def begin(self) -> None:
        """Forget what was taken since the last :meth:`finish`."""
        self._rows: dict[Row, _Judged] = {}
        self._count = self._bytes = 0
        self._whole = self._answered = False

    def take(self, types: tuple[int, ...], rows: Iterable[Row], *, last: bool) -> None:
        """Take in some rows; ``last`` ends a statement. Of several statements the last one with rows counts.

        Raises :class:`AnswerRefused` for too many or too large ones.
        """
        if self._whole:
            self.begin()
        self._answered, self._whole = True, last
        self._types = types
        before = self._before if types == self._types_before else {}
        if len(types) not in COLUMNS:
            return
        for row in rows:
            self._count += 1
            key = _shorten(row)
            judged = before.get(key) or (key, judge(self._rules, row, types, self._count))
            self._rows[judged[0]] = judged
            self._bytes += sum(len(value) for value in key if value is not None)
        if self._count > MOST_ROWS or self._bytes > MOST_BYTES:
            raise AnswerRefused(
                f"the query answers with more than {MOST_ROWS:,} rows or {MOST_BYTES // 2**20} MB;"
                " let it select only this emperor's vassals"
            )

    def finish(self) -> Collection[Entry]:
        """What the whole answer comes to. Raises :class:`AnswerRefused` where its columns are not a vassal's."""
        if not self._answered:
            raise AnswerRefused("the query answers with no rows at all; it must be a SELECT, or end in one")
        if len(self._types) not in COLUMNS:
            raise AnswerRefused(
                f"the query answers with {len(self._types)} columns, but a vassal has 3 to 6:"
                " name, config, ts, and uid, gid, socket where needed"
            )
        self._before, self._types_before = self._rows, self._types
        return [entry for _, entry in self._rows.values()]


def judge(rules: RowRules, row: Row, types: Sequence[int], number: int) -> Entry:
    """One row, the ``number``-th of its answer, columns by position. Never raises, whatever is in it."""
    values = [_decode(value, kind) for value, kind in zip(row, types, strict=True)]
    values += [None] * (COLUMNS.stop - 1 - len(values))
    name, config, version, uid, gid, socket = values
    return read_row(
        rules,
        name=_read_name(name),
        config=config,
        version=version,
        uid=uid,
        gid=gid,
        socket=socket,
        label=f"row {number}",
    )


def _decode(value: Value, kind: int) -> object:
    if value is None:
        return None
    if kind == BYTEA:
        return pq.Escaping().unescape_bytea(value)
    if kind in TIMES:
        try:
            return datetime.fromisoformat(value.decode())
        except ValueError:  # infinity, BC, a year of five digits: no time of a vassal
            return value
    return value


def _read_name(value: object) -> object:
    """Text where it may be a name, so that a wrong row is still told by it."""
    if isinstance(value, bytes) and len(value) < MAX_NAME:
        try:
            return value.decode()
        except UnicodeDecodeError:
            pass
    return value


def _shorten(row: Row) -> Row:
    """The row as it is remembered: values that no vassal can have by their digest alone."""
    if any(value is not None and len(value) > MAX_CONFIG for value in row):
        return tuple(
            blake2b(value).digest() if value is not None and len(value) > MAX_CONFIG else value for value in row
        )
    return row
