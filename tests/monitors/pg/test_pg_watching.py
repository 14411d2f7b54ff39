"""What ``pg://`` makes of a real table: rows that come, change, are wrong and go, told by polling and by NOTIFY."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import psycopg
import pytest
import trio
from psycopg import generators, pq
from psycopg.conninfo import conninfo_attempts
from psycopg.waiting import Ready, Wait

from emperor_trio.cli.pg_trigger import trigger_sql
from emperor_trio.events import MonitorNotice, VassalRefused
from emperor_trio.model import Owner, Snapshot
from emperor_trio.testing.conformance import Watched
from tests.monitors.pg.support import Table, watching_rows
from tests.support.servers.postgres import Postgres

FAST = 0.05


def refused(watched: Watched) -> list[tuple[str, str]]:
    return [(event.name, event.field) for event in watched.events if isinstance(event, VassalRefused)]


async def test_the_default_query(table: Table) -> None:
    table.sql("CREATE SCHEMA of_its_own")
    try:
        table.sql("CREATE TABLE of_its_own.vassals (name text, config text, ts timestamp)")
        table.sql("INSERT INTO of_its_own.vassals VALUES ('a.ini', '[uwsgi]', '2026-01-02 03:04:05.678901')")
        conninfo = table.argument(more="options='-c search_path=of_its_own'").partition(";")[0]
        async with watching_rows(conninfo) as watched:
            await watched.until_there("a.ini")
            assert watched.vassals["a.ini"].version == 1_767_323_045_678_901
    finally:
        table.sql("DROP SCHEMA of_its_own CASCADE")


async def test_all_six_columns_in_tyrant_mode(table: Table) -> None:
    table.put("a.ini", uid=1000, gid=1001, socket="127.0.0.1:8000")
    table.put("b.ini", uid=1000, gid=None)
    async with watching_rows(table.argument("name,config,ts,uid,gid,socket"), tyrant=True) as watched:
        await watched.until_there("a.ini")
        assert watched.vassals["a.ini"].owner == Owner(1000, 1001)
        assert watched.vassals["a.ini"].socket == "127.0.0.1:8000"
        assert refused(watched) == [("b.ini", "gid")]


async def test_any_other_time_is_a_change_an_older_one_too(table: Table) -> None:
    table.put("a.ini", ts="2026-01-02 03:04:05.000000+00")
    async with watching_rows(table.argument(), frequency=FAST) as watched:
        await watched.until_there("a.ini")
        for moment in ("2026-01-02 03:04:05.000001+00", "2020-01-01 00:00:00+00"):
            version = watched.vassals["a.ini"].version
            table.put("a.ini", ts=moment)
            await watched.until_newer("a.ini", version)


async def test_the_times_notation_is_settled_whatever_the_session_says(table: Table) -> None:
    table.put("a.ini", ts="2026-03-02 03:04:05.5+00")
    more = "options='-c datestyle=German -c timezone=Asia/Kolkata'"
    async with watching_rows(table.argument(more=more)) as watched:
        await watched.until_there("a.ini")
        assert watched.vassals["a.ini"].version == 1_772_420_645_500_000


async def test_a_row_that_turns_wrong_keeps_its_vassal_and_is_told_once(table: Table) -> None:
    table.put("a.ini")
    table.put("b.ini")
    async with watching_rows(table.argument(), frequency=FAST) as watched:
        await watched.until_there("a.ini", "b.ini")
        before = watched.vassals["a.ini"]
        table.put("a.ini", None)
        await watched.until(lambda: refused(watched))
        table.put("c.ini")
        await watched.until_there("a.ini", "b.ini", "c.ini")
        assert watched.vassals["a.ini"] == before
        table.remove("a.ini")
        await watched.until_there("b.ini", "c.ini")
        assert refused(watched) == [("a.ini", "config")]


async def test_of_two_rows_with_one_name_the_newest_counts(table: Table) -> None:
    values = "('a.ini', 'old', to_timestamp(1)), ('a.ini', 'new', to_timestamp(3)), ('a.ini', 'mid', to_timestamp(2))"
    table.sql(f"INSERT INTO {table.name} (name, config, ts) VALUES {values}")
    async with watching_rows(table.argument(), frequency=FAST) as watched:
        await watched.until_there("a.ini")
        assert watched.vassals["a.ini"].config == b"new"
        watched.bell.ring()
        await watched.until(lambda: len(watched.observations) > 1)
        assert refused(watched) == [("a.ini", "name")]


async def test_what_does_not_change_is_not_told_again(table: Table) -> None:
    table.put("a.ini")
    table.sql("CREATE SEQUENCE asked")
    query = f"SELECT name,config,ts FROM {table.name}, (SELECT nextval('asked')) counted"
    try:
        async with watching_rows(f"{table.server.dsn};{query}", frequency=FAST) as watched:
            await watched.until_there("a.ini")
            with trio.fail_after(watched.patience):
                while table.sql("SELECT last_value FROM asked")[0][0] < 6:
                    await trio.sleep(FAST)
            assert len(watched.observations) == 1
    finally:
        table.sql("DROP SEQUENCE asked")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT 'a.ini','x'", "answers with 2 columns"),
        ("SELECT 1,2,3,4,5,6,7", "answers with 7 columns"),
        ("SELECT name,config,ts FROM nowhere", 'relation "nowhere" does not exist (SQLSTATE 42P01)'),
        ("SELEKT", 'syntax error at or near "SELEKT"'),
        ("SELECT 'a.ini','x',1/0", "division by zero"),
        ("SELECT name,config,ts FROM {t}; SELECT 1/0", "division by zero"),
        ("COPY (SELECT 1) TO STDOUT", "a COPY is no query"),
        ("COPY {t} FROM STDIN", "a COPY is no query"),
        ("SET search_path TO nowhere", "must be a SELECT"),
        ("--", "must be a SELECT"),
        ("SELECT 'a.ini','x',1 FROM pg_sleep(30)", "statement timeout"),
    ],
)
async def test_a_query_that_fails_is_one_clear_error(table: Table, query: str, words: str) -> None:
    more = "options='-c statement_timeout=100'"
    argument = table.argument(more=more).partition(";")[0] + ";" + query.format(t=table.name)
    async with watching_rows(argument, frequency=FAST) as watched:
        await watched.until(lambda: len(watched.failures) > 1)
        text = str(watched.failures[0])
        assert f"127.0.0.1:{table.server.port}: " in text
        assert words in text
        assert "\n" not in text
        assert not watched.observations


async def test_several_statements(table: Table) -> None:
    table.put("a.ini")
    query = f"BEGIN; SELECT 1; SET LOCAL enable_seqscan TO off; {table.query()}; COMMIT"
    async with watching_rows(f"{table.server.dsn};{query}", frequency=FAST) as watched:
        await watched.until_there("a.ini")
        table.put("b.ini")
        await watched.until_there("a.ini", "b.ini")
        assert not watched.failures


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "unix"])
async def test_ways_to_the_server(table: Table, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table.put("a.ini")
    monkeypatch.setenv("PGPASSFILE", "/nonexistent")
    place = str(table.server.folder) if host == "unix" else host
    uri = f"postgresql://postgres@/postgres?host={place}&port={table.server.port}"
    for conninfo in (f"host={place} port={table.server.port} user=postgres", uri):
        async with watching_rows(f"{conninfo};{table.query()}") as watched:
            await watched.until_there("a.ini")


async def test_the_first_of_several_servers_that_answers(table: Table) -> None:
    table.put("a.ini")
    uri = f"postgresql://postgres@127.0.0.1:1,127.0.0.1:{table.server.port}/postgres"
    async with watching_rows(f"{uri};{table.query()}") as watched:
        await watched.until_there("a.ini")
        assert not watched.failures


async def test_what_the_server_sees_of_the_session(table: Table) -> None:
    table.put("a.ini")
    settings = "current_setting('application_name') || ' ' || current_setting('statement_timeout')"
    for more, said in (
        ("", b"emperor-trio 1min"),
        ("application_name=mine", b"mine 1min"),
        ("options='-c statement_timeout=7000'", b"emperor-trio 7s"),
    ):
        async with watching_rows(f"{table.server.dsn} {more};SELECT name, {settings}, ts FROM {table.name}") as watched:
            await watched.until_there("a.ini")
            assert watched.vassals["a.ini"].config == said


async def test_tls_is_libpqs(table: Table, tmp_path: Path) -> None:
    data = table.server.folder / "data"
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run([*make.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=60)
    for path, name in ((key, "server.key"), (certificate, "server.crt")):
        (data / name).write_bytes(path.read_bytes())
        (data / name).chmod(0o600)
        if (data / "PG_VERSION").owner() != (data / name).owner():
            subprocess.run(["chown", (data / "PG_VERSION").owner(), data / name], check=True, timeout=60)
    table.sql("ALTER SYSTEM SET ssl TO on")
    table.sql("SELECT pg_reload_conf()")
    try:
        query = "SELECT 'a.ini', version, 1 FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl"
        secure = f"host=localhost port={table.server.port} user=postgres sslmode=verify-full listen=c"
        async with watching_rows(f"{secure} sslrootcert={certificate};{query}") as watched:
            await watched.until_there("a.ini")
            assert (watched.vassals["a.ini"].config or b"").startswith(b"TLSv1")
            said = len(watched.observations)
            watched.bell.ring()
            await watched.until(lambda: len(watched.observations) > said)
        async with watching_rows(f"{secure} sslrootcert=/nonexistent;{query}") as watched:
            await watched.until(lambda: watched.failures)
            assert "root certificate" in str(watched.failures[0])
    finally:
        table.sql("ALTER SYSTEM RESET ssl")
        table.sql("SELECT pg_reload_conf()")


# --- NOTIFY ----------------------------------------------------------------------------------------------------------


def apply(server: Postgres, sql: str) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(sql.encode())


async def test_the_printed_trigger_tells_of_every_change(table: Table) -> None:
    channel = 'it\'s a "channel"; $body$ \\ é'
    for _ in range(2):  # it may be applied again
        apply(table.server, trigger_sql(f"public.{table.name}", channel))
    more = "listen='" + channel.replace("\\", "\\\\").replace("'", "\\'") + "'"
    async with watching_rows(table.argument(more=more)) as watched:
        await watched.until_there()
        table.put("a.ini")
        await watched.until_there("a.ini")
        version = watched.vassals["a.ini"].version
        table.sql(f"UPDATE {table.name} SET ts = ts - interval '1 second'")
        await watched.until_newer("a.ini", version)
        table.put("b.ini")
        await watched.until_there("a.ini", "b.ini")
        table.remove("a.ini")
        await watched.until_there("b.ini")
        table.sql(f"TRUNCATE {table.name}")
        await watched.until_there()


async def test_the_trigger_for_strange_names(table: Table) -> None:
    schema, name = '"my ""schema; --"', '"it\'s $body$"'
    table.sql(f"CREATE SCHEMA {schema}")
    try:
        table.sql(f"CREATE TABLE {schema}.{name} (name text, config text, ts int)")
        apply(table.server, trigger_sql(f"{schema}.{name}"))
        query = f"SELECT * FROM {schema}.{name}"
        async with watching_rows(f"{table.server.dsn} listen=vassals;{query}") as watched:
            await watched.until_there()
            table.sql(f"INSERT INTO {schema}.{name} VALUES ('a.ini', 'x', 1)")
            await watched.until_there("a.ini")
    finally:
        table.sql(f"DROP SCHEMA {schema} CASCADE")


async def test_a_storm_of_notifications_is_one_question_or_few(table: Table) -> None:
    table.sql("CREATE SEQUENCE storm_asked")
    query = f"SELECT name,config,ts FROM {table.name}, (SELECT nextval('storm_asked')) counted"
    try:
        async with watching_rows(f"{table.server.dsn} listen={table.name};{query}") as watched:
            await watched.until_there()
            table.put("first.ini")
            for _ in range(1000):
                table.notify()
                await trio.lowlevel.checkpoint()
            table.put("last.ini")
            table.notify()
            await watched.until_there("first.ini", "last.ini")
            assert table.sql("SELECT last_value FROM storm_asked")[0][0] < 500
    finally:
        table.sql("DROP SEQUENCE storm_asked")


async def test_where_listen_is_refused_the_table_is_polled(table: Table) -> None:
    """A standby refuses LISTEN."""
    server = table.server
    table.put("a.ini")
    server.stop()
    standby = server.folder / "data" / "standby.signal"
    standby.touch()
    try:
        server.start()
        async with watching_rows(table.argument(more="listen=c"), frequency=FAST) as watched:
            await watched.until_there("a.ini")
            server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name='emperor-trio'")
            await watched.until(lambda: len(watched.observations) > 1)
            notices = [event.message for event in watched.events if isinstance(event, MonitorNotice)]
            assert len(notices) == 1, "said once"
            assert "LISTEN" in notices[0]
            assert "asked every 0.05 s instead" in notices[0]
    finally:
        server.stop()
        standby.unlink()
        server.start()


def test_what_is_used_of_psycopg_is_there() -> None:
    """``psycopg.pq`` is documented, the two functions are not: a change of any of them shows here."""
    (attempt,) = conninfo_attempts({"host": "127.0.0.1", "port": "5432", "user": "me"})
    assert attempt == {"host": "127.0.0.1", "hostaddr": "127.0.0.1", "port": "5432", "user": "me"}
    two = conninfo_attempts({"host": "127.0.0.1,127.0.0.2", "port": "1,2"})
    assert [(attempt["hostaddr"], attempt["port"]) for attempt in two] == [("127.0.0.1", "1"), ("127.0.0.2", "2")]
    for name in (
        "socket", "status", "nonblocking", "send_query", "flush", "is_busy", "consume_input", "get_result", "notifies",
        "finish", "set_single_row_mode", "set_chunked_rows_mode",
    ):  # fmt: skip
        assert hasattr(pq.PGconn, name)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        steps = generators.connect(f"host=127.0.0.1 port={mute.getsockname()[1]} sslmode=disable")
        descriptor, wait = next(steps)
        assert (descriptor > 2, wait) == (True, Wait.W)
        assert steps.send(Ready.W) == (descriptor, Wait.R)
        steps.close()
    for name in ("status", "nfields", "ntuples", "ftype", "get_value", "error_field", "error_message"):
        assert hasattr(pq.PGresult, name)


async def test_the_first_observation_comes_after_listen(table: Table) -> None:
    """What changes between the first answer and LISTEN would be missed until the next poll."""
    async with watching_rows(table.argument(more=f"listen={table.name}")) as watched:
        await watched.until(lambda: watched.observations)
        table.put("a.ini")
        table.notify()
        await watched.until_there("a.ini")
        assert isinstance(watched.observations[0], Snapshot)
