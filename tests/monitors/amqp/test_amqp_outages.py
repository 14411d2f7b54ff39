"""Whatever broker and network do: nothing stops, it shows, and soon after they are back the newest state holds."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import trio

from emperor_trio.errors import MonitorError
from emperor_trio.model import Snapshot
from emperor_trio.monitors._wait import ANSWER_LIMIT
from emperor_trio.testing.conformance import Watched
from tests.monitors.amqp.support import EXCHANGE, Publisher, config_of, eventually, watching
from tests.monitors.support import write
from tests.support.servers.common import free_port
from tests.support.servers.http import Pages
from tests.support.servers.proxy import Proxy, proxy
from tests.support.servers.rabbitmq import RabbitMQ

SOON = 5.0
"""Seconds after the source is back within which the newest state holds."""


async def until_failed(watched: Watched, count: int = 1) -> str:
    """Wait for a failure: its text."""
    await eventually(lambda: len(watched.failures) >= count, "the outage does not show")
    error = watched.failures[-1]
    assert isinstance(error, MonitorError), repr(error)
    assert "\n" not in str(error)
    return str(error)


async def check_back(watched: Watched, publisher: Publisher, *names: str) -> None:
    """Who publishes now is heard, within the time that there is.

    It is published until then: the broker may still have the queue of the connection that was lost.
    """
    with trio.fail_after(SOON):
        while "news.ini" not in watched.vassals:
            publisher.try_publish("news.ini", config_of())
            await trio.sleep(0.1)
        await watched.until_there("news.ini", *names)


async def test_the_broker_is_killed_and_started_again(
    broker: RabbitMQ, publisher: Publisher, pages: Pages, tmp_path: Path
) -> None:
    """Also what was announced meanwhile is found out, where it can be looked at: files and URLs, but not configs."""
    same, newer, gone = (write(tmp_path / name) for name in ("same.ini", "newer.ini", "gone.ini"))
    url, url_gone = pages.url("/a.ini"), pages.url("/gone.ini")
    pages.at["/a.ini"], pages.at["/gone.ini"] = config_of(), config_of()
    async with watching(broker.port) as watched:
        await publisher.publish("key.ini", config_of())
        for name in (same, newer, gone, url, url_gone):
            await publisher.publish("", name)
        await watched.until_there("key.ini", same, newer, gone, url, url_gone)
        before = dict(watched.vassals)
        broker.stop()
        assert "127.0.0.1" in await until_failed(watched)
        write(Path(newer))
        os.unlink(gone)
        pages.at["/a.ini"], pages.at["/gone.ini"] = config_of(), 404
        await until_failed(watched, 3)
        assert watched.vassals == before
        await trio.to_thread.run_sync(broker.start)
        again = Publisher(broker.port)
        await check_back(watched, again, "key.ini", same, newer, url)
        again.close()
        assert watched.vassals["key.ini"] == before["key.ini"]
        assert watched.vassals[same] == before[same]
        assert watched.vassals[newer].version != before[newer].version
        assert watched.vassals[url].config == pages.at["/a.ini"]


async def test_the_broker_freezes_and_thaws(broker: RabbitMQ, publisher: Publisher) -> None:
    async with watching(broker.port) as watched:
        await publisher.publish("a.ini", config_of())
        await watched.until_there("a.ini")
        said = len(watched.observations)
        with broker.frozen():
            with trio.fail_after(ANSWER_LIMIT + 3):
                assert "heartbeat" in await until_failed(watched)
            assert len(watched.observations) == said
        await check_back(watched, publisher, "a.ini")


async def test_a_short_freeze_is_survived(broker: RabbitMQ, publisher: Publisher) -> None:
    async with watching(broker.port) as watched:
        await publisher.publish("a.ini", config_of())
        await watched.until_there("a.ini")
        with broker.frozen():
            await trio.sleep(1)
        await check_back(watched, publisher, "a.ini")
        assert not watched.failures


@pytest.mark.parametrize("after", [0, 10, 400, 700])
async def test_connections_break_in_mid_answer(
    broker: RabbitMQ, publisher: Publisher, middle: Proxy, after: int
) -> None:
    middle.cut_after = after
    async with watching(middle.port) as watched:
        await until_failed(watched)
        await check_back(watched, publisher)


async def test_a_connection_breaks_in_the_middle_of_a_message(publisher: Publisher, middle: Proxy) -> None:
    async with watching(middle.port) as watched:
        await publisher.publish("a.ini", config_of())
        await watched.until_there("a.ini")
        middle.cut_after = 20_000
        await publisher.publish("b.ini", config_of("x" * 60_000))
        await until_failed(watched)
        await check_back(watched, publisher, "a.ini")


async def test_a_slow_broker_is_waited_for(publisher: Publisher, middle: Proxy) -> None:
    async with watching(middle.port) as watched:
        await watched.until_there()
        middle.drip = 0.01
        await publisher.publish("a.ini", config_of("x" * 60_000))
        await watched.until_there("a.ini")
        assert not watched.failures


async def test_a_broker_that_does_not_greet_is_given_up_and_comes_back(publisher: Publisher, middle: Proxy) -> None:
    middle.held = True
    async with watching(middle.port) as watched:
        assert "no answer in time" in await until_failed(watched)
        middle.held = False
        await check_back(watched, publisher)


async def test_logins_that_are_refused(broker: RabbitMQ) -> None:
    for argument, reason in (
        (f"me:secret-word@127.0.0.1:{broker.port}", "refuses user and password"),
        (f"127.0.0.1:{broker.port}/nowhere", "virtual host"),
        (f"127.0.0.1:{broker.tls_port}", "greeting"),
        ("127.0.0.1:1", "refused"),
        ("no-such-host.invalid", "resolved"),
    ):
        async with watching(0, argument=argument) as watched:
            text = await until_failed(watched)
            assert reason in text
            assert "secret-word" not in text
            assert not watched.observations


async def test_an_exchange_that_may_not_be_used(broker: RabbitMQ) -> None:
    broker.control("add_user", "weak", "word")
    broker.control("set_permissions", "weak", "^amq.gen", "^amq.gen", "^nothing$")
    async with watching(0, argument=f"weak:word@127.0.0.1:{broker.port}") as watched:
        text = await until_failed(watched)
        assert "ACCESS_REFUSED" in text
        assert EXCHANGE in text


async def test_something_that_is_no_broker(pages: Pages) -> None:
    async with watching(pages.port) as watched:
        await until_failed(watched)
        assert not watched.observations


@pytest.mark.parametrize(
    "flood", [b"\x01\x00\x00\xff\xff\xff\xff" + b"x" * 100_000, b"garbage\n" * 20_000, b"AMQP\x00\x00\x08\x00"]
)
async def test_a_peer_that_means_harm(flood: bytes) -> None:
    """Whatever it sends, little of it is kept, and the connection ends with an error that says so."""
    sent = 0

    async def harm(stream: trio.SocketStream) -> None:
        nonlocal sent
        try:
            for _ in range(200):
                await stream.send_all(flood)
                sent += len(flood)
        except trio.BrokenResourceError:
            pass

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, harm, [listener])
        async with watching(listener.socket.getsockname()[1]) as watched:
            await eventually(lambda: watched.failures, "nothing shows")
            assert not watched.observations
        nursery.cancel_scope.cancel()
    assert sent < 20_000_000


async def test_a_deleted_queue_is_made_anew(broker: RabbitMQ, publisher: Publisher) -> None:
    async with watching(broker.port) as watched:
        await publisher.publish("a.ini", config_of())
        await watched.until_there("a.ini")
        (queue,) = [
            line for line in broker.control("-q", "list_queues", "name", "--no-table-headers").split() if "amq" in line
        ]
        broker.control("delete_queue", queue)
        assert "queue" in await until_failed(watched)
        await check_back(watched, publisher, "a.ini")


@pytest.mark.skipif(os.geteuid() != 0, reason="iptables")
async def test_the_network_is_cut_and_healed(broker: RabbitMQ, publisher: Publisher) -> None:
    with proxy(broker.port) as middle:
        rule = ["INPUT", "-i", "lo", "-p", "tcp", "--dport", str(middle.port), "-j", "DROP"]
        back = ["INPUT", "-i", "lo", "-p", "tcp", "--sport", str(middle.port), "-j", "DROP"]
        async with watching(middle.port) as watched:
            await publisher.publish("a.ini", config_of())
            await watched.until_there("a.ini")
            said = len(watched.observations)
            try:
                for one in (rule, back):
                    subprocess.run(["iptables", "-I", *one], check=True)
                with trio.fail_after(12):
                    await until_failed(watched)
                assert len(watched.observations) == said
            finally:
                for one in (rule, back):
                    subprocess.run(["iptables", "-D", *one], check=False)
            await check_back(watched, publisher, "a.ini")
            assert isinstance(watched.observations[said], Snapshot)


async def test_connected_and_closed_many_times(broker: RabbitMQ) -> None:
    """Nothing of it stays at the broker, either."""
    for _ in range(30):
        async with watching(broker.port) as watched:
            await watched.until_there()
    await trio.sleep(0.2)
    assert not broker.control("-q", "list_connections", "pid", "--no-table-headers").split()


async def test_nobody_there_at_all() -> None:
    async with watching(free_port()) as watched:
        await until_failed(watched, 2)
