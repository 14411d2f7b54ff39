"""Whatever the server or the network does, no vassal changes by it, it shows, and afterwards the newest state holds.

Limits are shortened where they are long; the shape of what happens is the same.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import pytest
import trio

from emperor_trio.monitors import _pg_link
from emperor_trio.monitors._pg_link import LinkFailed, connect
from emperor_trio.testing.conformance import Watched
from tests.monitors.pg.support import PATIENCE, Table, watching_rows
from tests.support.servers.proxy import Proxy, proxy

FAST = 0.1

LISTENING = pytest.mark.parametrize("listening", [False, True], ids=["polling", "notify"])


def options(table: Table, listening: bool) -> tuple[str, float]:
    """What to add to the connection string, and how often to poll: hardly ever where NOTIFY has to do it."""
    return (f"listen={table.name} connect_timeout=1", 60.0) if listening else ("connect_timeout=1", FAST)


@pytest.fixture
def short_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pg_link, "ANSWER_LIMIT", 0.5)


@pytest.fixture
def middle(table: Table) -> Iterator[Proxy]:
    """A proxy in front of the server."""
    with proxy(table.server.port) as middle:
        yield middle


def tell(table: Table) -> None:
    table.put("two.ini")
    table.put("three.ini")
    table.remove("four.ini")
    table.notify()


async def until_failed(watched: Watched, words: str = "", more: int = 1) -> None:
    """Wait for failures that are not there yet: the outage shows."""
    before = len(watched.failures)
    await watched.until(lambda: len(watched.failures) >= before + more, "a failure")
    said = "\n".join(map(str, watched.failures[before:]))
    assert words in said
    assert all("127.0.0.1:" in line for line in said.splitlines())


async def until_newest(watched: Watched, before: Mapping[str, object]) -> None:
    """What was changed holds, and what was not is as it was."""
    await watched.until_there("one.ini", "two.ini", "three.ini")
    await watched.until(lambda: watched.vassals["two.ini"] != before["two.ini"], "a newer two.ini")
    assert watched.vassals["one.ini"] == before["one.ini"], "reloaded, though nothing changed"


def fill(table: Table) -> None:
    for name in ("one.ini", "two.ini", "four.ini"):
        table.put(name)


@LISTENING
async def test_killed_and_started_again(table: Table, listening: bool) -> None:
    fill(table)
    more, frequency = options(table, listening)
    async with watching_rows(table.argument(more=more), frequency=frequency) as watched:
        await watched.until_there("one.ini", "two.ini", "four.ini")
        before = dict(watched.vassals)
        await trio.to_thread.run_sync(table.server.kill)
        await until_failed(watched, more=2)
        assert watched.vassals == before
        await trio.to_thread.run_sync(table.server.start)
        tell(table)
        await until_newest(watched, before)


async def test_started_again_with_other_data(table: Table) -> None:
    """A table that is gone is a failure; an empty one is believed when it is empty twice."""
    fill(table)
    async with watching_rows(table.argument(), frequency=FAST) as watched:
        await watched.until_there("one.ini", "two.ini", "four.ini")
        before = dict(watched.vassals)
        await trio.to_thread.run_sync(table.server.stop)
        await trio.to_thread.run_sync(table.server.start)
        table.sql(f"DROP TABLE {table.name}")
        await until_failed(watched, "does not exist")
        assert watched.vassals == before
        said = len(watched.observations)
        table.create()
        await trio.sleep(0.5)
        assert watched.vassals == before
        table.put("five.ini")
        await watched.until_there("five.ini")
        table.remove("five.ini")
        await watched.until_there()
        assert len(watched.observations) <= said + 3


@pytest.mark.usefixtures("short_answers")
async def test_frozen(table: Table) -> None:
    fill(table)
    more, frequency = options(table, listening=True)
    async with watching_rows(table.argument(more=more), frequency=frequency) as watched:
        await watched.until_there("one.ini", "two.ini", "four.ini")
        before = dict(watched.vassals)
        table.server.freeze()
        watched.bell.ring()
        await until_failed(watched, "said nothing for 0.5 s")
        await until_failed(watched, "no connection within 1 s")
        assert watched.vassals == before
        table.server.thaw()
        tell(table)
        await until_newest(watched, before)


async def test_frozen_for_a_moment(table: Table) -> None:
    """It goes on on the same connection."""
    fill(table)
    more, frequency = options(table, listening=True)
    async with watching_rows(table.argument(more=more), frequency=frequency) as watched:
        await watched.until_there("one.ini", "two.ini", "four.ini")
        before = dict(watched.vassals)
        table.server.freeze()
        watched.bell.ring()
        await trio.sleep(0.3)
        table.server.thaw()
        tell(table)
        await until_newest(watched, before)
        assert not watched.failures


@pytest.mark.parametrize("method", ["reject", "scram-sha-256"])
async def test_logins_are_refused(table: Table, method: str) -> None:
    fill(table)
    table.sql("DROP ROLE IF EXISTS guest")
    table.sql("CREATE ROLE guest LOGIN PASSWORD 'another'")
    table.sql(f"GRANT SELECT ON {table.name} TO guest")
    argument = table.argument(more="password=s3cret").replace("user=postgres", "user=guest")
    try:
        async with watching_rows(argument, frequency=FAST) as watched:
            await watched.until_there("one.ini", "two.ini", "four.ini")
            before = dict(watched.vassals)
            table.server.let_in(method)
            await trio.sleep(FAST)
            table.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'guest'")
            await until_failed(watched, more=3, words="pg_hba.conf" if method == "reject" else "password")
            assert watched.vassals == before
            table.server.let_in("trust")
            tell(table)
            await until_newest(watched, before)
            assert "s3cret" not in repr((watched.failures, watched.events, watched.observations))
    finally:
        table.server.let_in("trust")
        table.sql(f"REVOKE ALL ON {table.name} FROM guest")
        table.sql("DROP ROLE guest")


async def test_an_answer_that_drips_arrives(table: Table, middle: Proxy) -> None:
    fill(table)
    table.put("large.ini", "[uwsgi]\n" + "x" * 5000)
    more, frequency = options(table, listening=True)
    async with watching_rows(table.argument(port=middle.port, more=more), frequency=frequency) as watched:
        await watched.until_there("one.ini", "two.ini", "four.ini", "large.ini")
        middle.drip = 0.05
        table.remove("large.ini")
        table.put("large-2.ini", "[uwsgi]\n" + "x" * 9000)
        table.notify()
        await watched.until_there("one.ini", "two.ini", "four.ini", "large-2.ini")
        assert not watched.failures


async def test_cut_off_in_the_midst_of_an_answer(table: Table, middle: Proxy) -> None:
    fill(table)
    for number in range(300):
        table.put(f"many-{number}.ini", "[uwsgi]\n" + "x" * 200)
    more, frequency = options(table, listening=True)
    async with watching_rows(table.argument(port=middle.port, more=more), frequency=frequency) as watched:
        await watched.until(lambda: len(watched.vassals) == 303)
        before = dict(watched.vassals)
        for cut in (1, 300, 30_000, 60_000):
            middle.cut_after = cut
            watched.bell.ring()
            await until_failed(watched)
            assert watched.vassals == before
        table.sql(f"DELETE FROM {table.name} WHERE name LIKE 'many%%'", *())
        tell(table)
        await until_newest(watched, before)


@LISTENING
async def test_connections_are_reset(table: Table, middle: Proxy, listening: bool) -> None:
    fill(table)
    more, frequency = options(table, listening)
    async with watching_rows(table.argument(port=middle.port, more=more), frequency=frequency) as watched:
        await watched.until_there("one.ini", "two.ini", "four.ini")
        before = dict(watched.vassals)
        middle.refuse = True
        middle.reset_all()
        await until_failed(watched, more=2)
        assert watched.vassals == before
        tell(table)
        middle.refuse = False
        await until_newest(watched, before)


@pytest.mark.usefixtures("short_answers")
async def test_everything_is_held_back(table: Table, middle: Proxy) -> None:
    fill(table)
    more, frequency = options(table, listening=True)
    async with watching_rows(table.argument(port=middle.port, more=more), frequency=frequency) as watched:
        await watched.until_there("one.ini", "two.ini", "four.ini")
        before = dict(watched.vassals)
        middle.held = True
        watched.bell.ring()
        await until_failed(watched, more=2)
        assert watched.vassals == before
        tell(table)
        middle.held = False
        await until_newest(watched, before)


@contextmanager
def cut(port: int) -> Iterator[None]:
    """No packet from or to a port of loopback gets through."""
    rules = [["INPUT", "-i", "lo", "-p", "tcp", side, str(port), "-j", "DROP"] for side in ("--dport", "--sport")]
    done: list[list[str]] = []
    try:
        for rule in rules:
            subprocess.run(["iptables", "-w", "-I", *rule], check=True, timeout=20)
            done.append(rule)
        yield
    finally:
        for rule in done:
            subprocess.run(["iptables", "-w", "-D", *rule], check=True, timeout=20)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may cut a network")
async def test_a_network_that_is_cut_shows_by_itself(table: Table, middle: Proxy) -> None:
    """Without a question too: keepalive notices it, where only NOTIFY is waited for."""
    fill(table)
    more, frequency = options(table, listening=True)
    more += " tcp_user_timeout=1000 keepalives_idle=1 keepalives_count=1"
    async with watching_rows(table.argument(port=middle.port, more=more), frequency=frequency) as watched:
        await watched.until_there("one.ini", "two.ini", "four.ini")
        before = dict(watched.vassals)
        with cut(middle.port):
            tell(table)
            await until_failed(watched)
            await until_failed(watched, "no connection within 1 s")
            assert watched.vassals == before
        healed = trio.current_time()
        await until_newest(watched, before)
        assert trio.current_time() - healed < PATIENCE


def ask_for_a_long_login(server: socket.socket, rounds: int) -> None:
    """A server of one connection, that has whoever logs in compute a hash very often."""
    with server, server.accept()[0] as client:

        def take() -> bytes:
            return client.recv(struct.unpack("!I", client.recv(4))[0] - 4)

        def say(kind: int, text: bytes) -> None:
            client.sendall(b"R" + struct.pack("!II", len(text) + 8, kind) + text)

        take()
        say(10, b"SCRAM-SHA-256\0\0")
        client.recv(1)
        nonce = take().partition(b"r=")[2]
        say(11, b"r=" + nonce + b"more,s=QUJDREVGR0g=,i=%d" % rounds)
        with suppress(ConnectionError):
            client.recv(1)


async def test_a_login_of_endless_computing_stops_nobody_else() -> None:
    """psycopg's own ``connect_poll`` would stop everything that runs in this process."""
    server = socket.create_server(("127.0.0.1", 0))
    to = {
        "host": "127.0.0.1",
        "port": str(server.getsockname()[1]),
        "user": "me",
        "password": "x",
        "sslmode": "disable",
    }
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await trio.sleep(0.01)
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, ask_for_a_long_login, server, 2_000_000)
        nursery.start_soon(take_turns)
        with pytest.raises(LinkFailed, match=r"no connection within 0\.5 s"):
            await connect(to, 0.5, trio.CapacityLimiter(1))
        assert turns > 5
        nursery.cancel_scope.cancel()


@pytest.mark.usefixtures("short_answers")
async def test_a_statement_without_end_is_left_in_time(table: Table) -> None:
    argument = f"{table.server.dsn};SELECT name,config,ts FROM {table.name}, pg_sleep(1)"
    table.put("a.ini")
    async with watching_rows(argument) as watched:
        await until_failed(watched, "said nothing for 0.5 s", more=2)
        assert not watched.observations


async def test_an_answer_that_drips_without_end_is_left(
    table: Table, middle: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(table)
    table.put("large.ini", "[uwsgi]\n" + "x" * 60_000)
    monkeypatch.setattr(_pg_link, "WHOLE_LIMIT", 0.5)
    async with watching_rows(table.argument(port=middle.port)) as watched:
        await watched.until_there("one.ini", "two.ini", "four.ini", "large.ini")
        before = dict(watched.vassals)
        middle.drip = 0.1
        watched.bell.ring()
        await until_failed(watched, "not complete after 0.5 s")
        assert watched.vassals == before


async def test_an_older_libpq_gives_its_rows_one_by_one(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pg_link, "_CAN_PART", False)
    table.sql(f"INSERT INTO {table.name} SELECT 'v' || n || '.ini', 'x', now() FROM generate_series(1, 250) AS n")
    async with watching_rows(table.argument()) as watched:
        await watched.until(lambda: len(watched.vassals) == 250)


async def test_names_that_can_not_be_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "nobody knows it")

    limiter = trio.CapacityLimiter(1)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(LinkFailed, match=r"failed to resolve host .db.: .*nobody knows it"):
        await connect({"host": "db"}, PATIENCE, limiter)

    def dawdle(_: Mapping[str, str]) -> list[dict[str, str]]:
        time.sleep(0.5)
        return []

    monkeypatch.setattr(_pg_link, "conninfo_attempts", dawdle)
    with pytest.raises(LinkFailed, match="could not be resolved within"):
        await connect({"host": "db"}, 0.1, limiter)
