"""The quick start of docs/monitors/pg.md, as it stands there, with another port; the server wants passwords."""

from __future__ import annotations

import re
from pathlib import Path

import trio

from tests.monitors.pg.support import watching_rows
from tests.support.servers.postgres import USER, Postgres

PAGE = Path(__file__).parents[3] / "docs/monitors/pg.md"


async def test_the_quick_start_starts_reloads_and_stops_a_vassal(server: Postgres) -> None:
    page = PAGE.read_text()
    made, *steps = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    (argument,) = re.findall(r'emperor-trio --emperor "pg://(\S+ \S+ password=[^"]+)"', page)
    assert len(steps) == 3

    async def psql(sql: str, database: str) -> None:
        where = ["-h", "127.0.0.1", "-p", str(server.port), "-U", USER, "-d", database, "-v", "ON_ERROR_STOP=1"]
        await trio.run_process(["psql", "-q", *where], stdin=sql.encode())

    await trio.to_thread.run_sync(server.let_in, "scram-sha-256")
    try:
        await psql(made, "postgres")
        async with watching_rows(f"port={server.port} {argument}", frequency=0.1) as watched:
            await watched.until_there()
            for step, answer in zip(steps, (b"first", b"second", b""), strict=True):
                await psql(step, "emperor")
                if answer:
                    await watched.until_there("hello.ini")
                    await watched.until(lambda answer=answer: answer in (watched.vassals["hello.ini"].config or b""))  # type: ignore[misc]
            await watched.until_there()
            assert not watched.failures
    finally:
        for rest in ("DATABASE IF EXISTS emperor WITH (FORCE)", "ROLE IF EXISTS foobar"):
            await trio.to_thread.run_sync(server.sql, f"DROP {rest}")
        await trio.to_thread.run_sync(server.let_in, "trust")
