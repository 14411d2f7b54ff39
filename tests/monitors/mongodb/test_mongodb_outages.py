"""Servers that die, freeze, refuse and mumble, and networks that are cut: nothing stops, and the newest state comes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio

from emperor_trio.model import Destroy
from emperor_trio.monitors._wait import ANSWER_LIMIT
from emperor_trio.testing.conformance import Watched, watching
from tests.monitors.mongodb.support import IMPATIENT, Vassals, until_failed, watching_argument
from tests.support.servers.mongodb import MongoServer
from tests.support.servers.proxy import Proxy, proxy


@pytest.fixture(params=["pushed", "polled"])
def either(request: pytest.FixtureRequest) -> Vassals:
    found: Vassals = request.getfixturevalue("vassals" if request.param == "pushed" else "polled")
    found.frequency = 3600 if request.param == "pushed" else found.frequency
    return found


@pytest.fixture
def between(either: Vassals) -> Iterator[Proxy]:
    """A proxy between the monitor and the server, but not between us and the server."""
    with proxy(either.server.port) as middle:
        either.port = middle.port
        yield middle


@contextmanager
def cut(port: int) -> Iterator[None]:
    """The network to a port of loopback is cut: packets either way vanish."""
    rules = [["INPUT", "-i", "lo", "-p", "tcp", side, str(port), "-j", "DROP"] for side in ("--dport", "--sport")]
    done: list[list[str]] = []
    try:
        for rule in rules:
            subprocess.run(["iptables", "-w", "-A", *rule], check=True)
            done.append(rule)
        yield
    finally:
        for rule in done:
            subprocess.run(["iptables", "-w", "-D", *rule], check=True)


def assert_calm(watched: Watched, *untouched: str) -> None:
    """Nothing was stopped, and these never changed."""
    assert not [seen for seen in watched.observations if isinstance(seen, Destroy)]
    for name in untouched:
        versions = set()
        for seen in watched.observations:
            specs = getattr(seen, "specs", None) or [seen.spec]  # type: ignore[union-attr]
            versions |= {spec.version for spec in specs if spec.name == name}
        assert len(versions) == 1, name


async def test_reset_connections_are_taken_up_again(either: Vassals, between: Proxy) -> None:
    either.put("one.ini")
    either.put("two.ini")
    async with watching(either) as watched:
        await watched.until_there("one.ini", "two.ini")
        for number in range(3):
            version = watched.vassals["two.ini"].version
            between.reset_all()
            either.put("two.ini", number=number)
            await watched.until_newer("two.ini", version)
        assert_calm(watched, "one.ini")


async def test_a_connection_reset_in_mid_answer(either: Vassals, between: Proxy) -> None:
    for number in range(30):
        either.put(f"n{number}.ini", config="x" * 1000)
    between.cut_after = 20_000
    async with watching(either) as watched:
        await watched.until(lambda: len(watched.vassals) == 30)
        between.cut_after = 9_000
        watched.bell.ring()
        either.put("new.ini")
        await watched.until(lambda: len(watched.vassals) == 31)
        assert between.cut_after == -1
        assert_calm(watched, "n0.ini")


async def test_a_server_that_drips(either: Vassals, between: Proxy) -> None:
    for number in range(20):
        either.put(f"n{number}.ini", config="x" * 500)
    between.drip = 0.02
    async with watching(either) as watched:
        await watched.until(lambda: len(watched.vassals) == 20)
        either.put("new.ini")
        await watched.until(lambda: "new.ini" in watched.vassals)
        assert watched.failures == []


async def test_refused_connections(either: Vassals, between: Proxy) -> None:
    either.options = IMPATIENT
    either.put("one.ini")
    async with watching(either) as watched:
        await watched.until_there("one.ini")
        between.refuse = True
        between.reset_all()
        said = await until_failed(watched)
        assert f"127.0.0.1:{between.port}: can't be reached" in said
        assert "\n" not in said
        assert "Topology" not in said
        either.put("two.ini")
        between.refuse = False
        healed = trio.current_time()
        await watched.until_there("one.ini", "two.ini")
        assert trio.current_time() < healed + 5 + 10  # 5 s are promised; the rest is for a busy machine
        assert_calm(watched, "one.ini")


async def test_a_frozen_server_is_an_outage_and_goes_on_when_it_thaws(either: Vassals) -> None:
    if either.frequency < 60:  # our own limits once are enough
        either.options = IMPATIENT
    either.put("one.ini")
    async with watching(either) as watched:
        await watched.until_there("one.ini")
        either.server.freeze()
        try:
            await until_failed(watched, within=ANSWER_LIMIT + 5)  # the rest is for a busy machine
        finally:
            either.server.thaw()
        either.put("two.ini")
        await watched.until_there("one.ini", "two.ini")
        assert_calm(watched, "one.ini")


async def test_cancelled_while_the_server_is_frozen(vassals: Vassals) -> None:
    vassals.put("one.ini")
    try:
        async with watching(vassals) as watched:
            await watched.until_there("one.ini")
            vassals.server.freeze()
            await trio.sleep(0.3)
            started = trio.current_time()
        assert trio.current_time() - started < 5
    finally:
        vassals.server.thaw()


@pytest.mark.skipif(os.geteuid() != 0, reason="iptables needs root")
async def test_a_cut_network_shows_and_heals(either: Vassals, between: Proxy) -> None:
    either.options = IMPATIENT
    either.put("one.ini")
    async with watching(either) as watched:
        await watched.until_there("one.ini")
        with cut(between.port):
            await until_failed(watched)
            either.put("two.ini")
        healed = trio.current_time()
        await watched.until_there("one.ini", "two.ini")
        assert trio.current_time() < healed + 5 + 10
        assert_calm(watched, "one.ini")


async def test_a_server_restarted_with_other_data(either: Vassals) -> None:
    either.put("one.ini")
    either.put("two.ini")
    async with watching(either) as watched:
        await watched.until_there("one.ini", "two.ini")
        await trio.to_thread.run_sync(either.server.kill)
        either.server.data = "other"
        try:
            await trio.to_thread.run_sync(either.server.start)
            await trio.to_thread.run_sync(either.put, "three.ini")
            await watched.until_there("three.ini")
        finally:
            await trio.to_thread.run_sync(either.server.kill)
            either.server.data = "data"
            await trio.to_thread.run_sync(either.server.start)
        await watched.until_there("one.ini", "two.ini")


async def test_login_over_tls(guarded: MongoServer) -> None:
    options = f"?authSource=users&tls=true&tlsCAFile={guarded.certificate}"
    text = f"mongodb://reader:s3cret%2Fx@{guarded.address}/fleet.vassals{options};{{name:'one.ini'}}"
    async with watching_argument(text) as watched:
        await watched.until_there("one.ini")
        assert watched.failures == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mongodb://reader:wr0ng@{address}/fleet.vassals?authSource=users&tls=true&tlsCAFile={ca}", "refused"),
        ("mongodb://reader:wr0ng@{address}/fleet.vassals?tls=true&tlsCAFile={ca}", "refused"),
        ("mongodb://reader:s3cret%2Fx@{address}/other.vassals?authSource=users&tls=true&tlsCAFile={ca}", "refused"),
        ("mongodb://reader:s3cret%2Fx@{address}/fleet.vassals?authSource=users&tls=true&{soon}", "can't be reached"),
        ("mongodb2://addr={address},coll=fleet.vassals,db=users,username=reader,password=s3cret/x", "can't be reached"),
    ],
)
async def test_refused_logins_and_foreign_certificates(guarded: MongoServer, text: str, says: str) -> None:
    text = text.format(address=guarded.address, ca=guarded.certificate, soon=IMPATIENT)
    async with watching_argument(text) as watched:
        assert says in await until_failed(watched)
        assert watched.observations == []
        everything = repr([watched.events, watched.failures])
        assert "s3cret" not in everything
        assert "wr0ng" not in everything
