"""``emperor-trio pg-trigger TABLE``: the SQL by which a table of PostgreSQL tells ``pg://`` of its changes. Pure text.

It connects to nothing. Names are read as SQL reads them and written so that nothing in them can be anything else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from emperor_trio.errors import UsageError

DEFAULT_CHANNEL = "vassals"

NAME_LIMIT = 64
"""PostgreSQL's names are shorter than this many bytes; it cuts longer ones, and then nothing fits together."""

_PART = r'("(?:[^"]|"")+"|[A-Za-z_\u0080-\U0010ffff][\w$]*)'
_NAME = re.compile(rf"(?:{_PART}\.)?{_PART}")

_SQL = """\
-- Every change of {table} is told on the channel {channel}, once a transaction.
-- emperor-trio hears of it with this in its connection string, as in pg://host=127.0.0.1 dbname=emperor KEY;SELECT …
--   {listen}
-- PostgreSQL 11 or newer. It may be applied again, and to several tables of a schema.
BEGIN;

CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM pg_catalog.pg_notify(TG_ARGV[0], '');
    RETURN NULL;
END
$body$;

DROP TRIGGER IF EXISTS emperor_trio ON {table};
CREATE TRIGGER emperor_trio
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION {function}({literal});

COMMIT;"""


def read_words(words: Sequence[str]) -> tuple[str, str]:
    """The table and the channel. Raises :class:`~emperor_trio.errors.UsageError`."""
    rest, channel = list(words), DEFAULT_CHANNEL
    tables: list[str] = []
    while rest:
        word = rest.pop(0)
        if word == "--channel" and rest:
            channel = rest.pop(0)
        elif word.startswith("--channel="):
            channel = word.partition("=")[2]
        elif word.startswith("-"):
            raise UsageError(f"pg-trigger: {word} is no option, or lacks its value; there is --channel NAME")
        else:
            tables.append(word)
    if len(tables) != 1:
        raise UsageError("pg-trigger: name one table: emperor-trio pg-trigger [SCHEMA.]TABLE [--channel NAME]")
    return tables[0], channel


def trigger_sql(table: str, channel: str = DEFAULT_CHANNEL) -> str:
    """The SQL for a table, named as in SQL: ``vassals``, ``my_schema.vassals``, ``"My Schema"."My Table"``.

    The channel is taken exactly as it is. Raises :class:`~emperor_trio.errors.UsageError` for what can be no name.
    """
    parts = _read_name(table)
    _check(channel, "channel")
    named = [_quote(part) for part in parts]
    return _SQL.format(
        table=".".join(named),
        function=".".join([*named[:-1], "emperor_trio_notify"]),
        channel=_quote(channel),
        literal=_quote_literal(channel),
        listen=f"listen={_quote_value(channel)}",
    )


def _read_name(table: str) -> list[str]:
    """The parts of a name, folded to small letters where they are not quoted, as SQL does."""
    found = _NAME.fullmatch(table)
    if found is None:
        raise UsageError(
            f"pg-trigger: {table!r} is no name of a table; write TABLE or SCHEMA.TABLE, and "
            '"…" around a part that is more than letters, digits and underscores: \'"my table"\''
        )
    parts = [part[1:-1].replace('""', '"') if part.startswith('"') else _fold(part) for part in found.groups() if part]
    for part in parts:
        _check(part, "table")
    return parts


def _fold(name: str) -> str:
    return "".join(letter.lower() if letter.isascii() else letter for letter in name)


def _check(name: str, what: str) -> None:
    if not name or not name.isprintable() or len(name.encode("utf-8", "surrogateescape")) >= NAME_LIMIT:
        raise UsageError(
            f"pg-trigger: {name!r} can't name a {what}: from 1 to {NAME_LIMIT - 1} bytes, all of them printable"
        )


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _quote_literal(text: str) -> str:
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _quote_value(text: str) -> str:
    """As a value of a connection string."""
    if re.fullmatch(r"[\w.-]+", text):
        return text
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
