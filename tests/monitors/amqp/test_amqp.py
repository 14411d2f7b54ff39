"""amqp:// against a real RabbitMQ: its three kinds of message, its memory, Tyrant mode, and a flood."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika  # type: ignore[import-untyped]
import pytest
import trio

from emperor_trio.errors import UsageError
from emperor_trio.events import VassalRefused
from emperor_trio.model import Destroy, Owner, Snapshot, Touch, VassalSpec
from emperor_trio.monitors._amqp_trio import Delivery, subscribe
from emperor_trio.ports import Kept
from emperor_trio.testing.conformance import Watched
from tests.monitors.amqp.support import EXCHANGE, FakeMemory, Publisher, config_of, eventually, watching
from tests.monitors.support import make_monitor, write
from tests.support.servers.http import Pages
from tests.support.servers.rabbitmq import RabbitMQ


def refused(watched: Watched) -> list[VassalRefused]:
    return [event for event in watched.events if isinstance(event, VassalRefused)]


def touches(watched: Watched, name: str) -> list[Touch]:
    return [seen for seen in watched.observations if isinstance(seen, Touch) and seen.spec.name == name]


# --- configs by routing key ---


async def test_a_config_comes_is_repeated_and_goes(broker: RabbitMQ, publisher: Publisher) -> None:
    async with watching(broker.port) as watched:
        await publisher.publish("a.ini", b"[uwsgi]\n")
        await watched.until_there("a.ini")
        await publisher.publish("a.ini", b"[uwsgi]\n")
        await watched.until(lambda: len(touches(watched, "a.ini")) == 2)
        first, second = touches(watched, "a.ini")
        assert first.spec.config == second.spec.config == b"[uwsgi]\n"
        assert second.spec.version != first.spec.version, "published again it is to be reloaded"
        assert abs(second.spec.modified - time.time()) < 60
        await publisher.publish("a.ini", b"")
        await watched.until(lambda: watched.observations[-1] == Destroy("a.ini"))
        await publisher.publish("a.ini", b"")
        await publisher.publish("b.ini", config_of())
        await watched.until_there("b.ini")
        assert watched.observations.count(Destroy("a.ini")) == 1


async def test_the_newest_of_a_burst_counts(broker: RabbitMQ, publisher: Publisher) -> None:
    """20,000 messages for 200 vassals: none is lost, and the loop goes on meanwhile."""
    raw = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", broker.port, heartbeat=0))
    channel = raw.channel()
    longest = 0.0

    async def feel() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await trio.sleep(0)
            longest = max(longest, time.perf_counter() - before)
            await trio.sleep(0.002)

    def flood() -> None:
        for number in range(20_000):
            channel.basic_publish(EXCHANGE, f"v{number % 200}.ini", f"[uwsgi]\nset = n={number}\n")
        raw.close()

    async with watching(broker.port, memory=FakeMemory()) as watched:
        await watched.until_there()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(feel)
            await trio.to_thread.run_sync(flood)
            last = {f"v{n}.ini": f"[uwsgi]\nset = n={19_800 + n}\n".encode() for n in range(200)}
            await watched.until(lambda: {name: spec.config for name, spec in watched.vassals.items()} == last)
            nursery.cancel_scope.cancel()
        assert longest < 2, "the loop stood still"
        assert not watched.failures


async def test_wrong_messages_cost_only_themselves(broker: RabbitMQ, publisher: Publisher) -> None:
    async with watching(broker.port) as watched:
        await publisher.publish("good.ini", config_of())
        for _ in range(3):
            await publisher.publish("good.ini", b"x" * 70_000)
            await publisher.publish("good.txt", b"[uwsgi]")
            await publisher.publish("bytes.ini", b"\xff\xfe")
            await publisher.publish("", b"no path")
            await publisher.publish("", b"\xff")
        await publisher.publish("better.ini", config_of())
        await watched.until_there("good.ini", "better.ini")
        await watched.until(lambda: len(refused(watched)) >= 5)
        found = {(event.name, event.field) for event in refused(watched)}
        assert ("good.ini", "config") in found
        assert ("good.txt", "name") in found
        assert ("bytes.ini", "config") in found
        assert len(refused(watched)) == 5, "each is said once"


async def test_a_huge_message_costs_only_itself(broker: RabbitMQ, publisher: Publisher) -> None:
    async with watching(broker.port) as watched:
        await watched.until_there()
        await publisher.publish("huge.ini", b"x" * 5_000_000)
        await publisher.publish("a.ini", config_of())
        await watched.until_there("a.ini")
        await watched.until(lambda: refused(watched))
        assert refused(watched)[0].name == "huge.ini"
        assert "65,535" in refused(watched)[0].text


async def test_of_a_huge_message_only_the_beginning_is_kept(broker: RabbitMQ, publisher: Publisher) -> None:
    """It is pika's own assembler that is bounded, by what pika does not document: a change of that is noticed here."""
    async with subscribe(pika.ConnectionParameters("127.0.0.1", broker.port), EXCHANGE, 5.0) as subscription:
        for size in (3_000_000, 65_535, 0):
            await publisher.publish("a.ini", b"x" * size)
        deliveries: list[Delivery] = []
        with trio.fail_after(10):
            while len(deliveries) < 3:
                deliveries += await subscription.receive()
        assert [len(delivery.body) for delivery in deliveries] == [65_536, 65_535, 0]


# --- files ---


async def test_an_announced_file(broker: RabbitMQ, publisher: Publisher, tmp_path: Path) -> None:
    path = write(tmp_path / "app.xml", "<uwsgi/>")
    async with watching(broker.port) as watched:
        await publisher.publish("", path)
        await watched.until_there(path)
        spec = watched.vassals[path]
        assert spec.config is None
        assert spec.version == os.stat(path).st_mtime_ns
        await publisher.publish("", path)
        await watched.until(lambda: touches(watched, path)[-1].force and len(touches(watched, path)) == 2)
        said = len(watched.observations)
        write(Path(path), "<uwsgi></uwsgi>")
        await trio.sleep(0.6)
        assert len(watched.observations) == said, "only an announcement reloads"
        await publisher.publish("", path)
        await watched.until_newer(path, spec.version)
        os.unlink(path)
        await watched.until_there()


async def test_a_file_that_is_only_replaced_or_whose_folder_is_away_stays(
    broker: RabbitMQ, publisher: Publisher, tmp_path: Path
) -> None:
    path = write(tmp_path / "folder" / "app.ini")
    async with watching(broker.port) as watched:
        await publisher.publish("", path)
        await watched.until_there(path)
        said = len(watched.observations)
        os.unlink(path)
        await trio.sleep(0.5)
        write(Path(path))
        (tmp_path / "folder").rename(tmp_path / "away")
        await trio.sleep(1.8)
        assert len(watched.observations) == said
        await publisher.publish("", path)
        await watched.until_there()


async def test_what_is_no_file_is_not_taken(broker: RabbitMQ, publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "folder.ini").mkdir()
    os.mkfifo(tmp_path / "fifo.ini")
    (tmp_path / "status.ini").symlink_to("/proc/self/status")
    (tmp_path / "zero.ini").symlink_to("/dev/zero")
    (tmp_path / "loop.ini").symlink_to("loop.ini")
    names = ["folder.ini", "fifo.ini", "status.ini", "zero.ini", "loop.ini", "nothing.ini", "nowhere/a.ini"]
    async with watching(broker.port) as watched:
        for name in names:
            await publisher.publish("", str(tmp_path / name))
        await publisher.publish("", write(tmp_path / "good.ini"))
        await watched.until_there(str(tmp_path / "good.ini"))
        await watched.until(lambda: len(refused(watched)) == len(names))
        assert {event.name for event in refused(watched)} == {str(tmp_path / name) for name in names}


async def test_a_file_that_becomes_none_ends_its_vassal(broker: RabbitMQ, publisher: Publisher, tmp_path: Path) -> None:
    path = write(tmp_path / "app.ini")
    async with watching(broker.port) as watched:
        await publisher.publish("", path)
        await watched.until_there(path)
        os.unlink(path)
        os.mkfifo(path)
        await watched.until_there()


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
async def test_tyrant_mode(broker: RabbitMQ, publisher: Publisher, pages: Pages, tmp_path: Path) -> None:
    path = write(tmp_path / "app.ini")
    os.chown(path, 1001, 1002)
    pages.at["/a.ini"] = config_of()
    async with watching(broker.port, tyrant=True) as watched:
        await publisher.publish("key.ini", config_of())
        await publisher.publish("", pages.url("/a.ini"))
        await publisher.publish("", path)
        await watched.until_there(path)
        assert watched.vassals[path].owner == Owner(1001, 1002)
        assert {(event.name, event.field) for event in refused(watched)} == {
            ("key.ini", "uid and gid"),
            (pages.url("/a.ini"), "uid and gid"),
        }
        assert not pages.asked
        version = watched.vassals[path].version
        os.chown(path, 1003, 1002)
        await watched.until(lambda: watched.vassals[path].owner == Owner(1003, 1002))
        assert watched.vassals[path].version == version


# --- URLs ---


async def test_a_url_comes_changes_and_goes(broker: RabbitMQ, publisher: Publisher, pages: Pages) -> None:
    url = pages.url("/trac.ini")
    pages.at["/trac.ini"] = b"[uwsgi]\n"
    async with watching(broker.port) as watched:
        await publisher.publish("", url)
        await watched.until_there(url)
        first = watched.vassals[url]
        assert first.config == b"[uwsgi]\n"
        await publisher.publish("", url)  # 304
        await watched.until_newer(url, first.version)
        assert pages.asked[1][1] is not None, "the second question was not conditional"
        assert watched.vassals[url].config == b"[uwsgi]\n"
        version = watched.vassals[url].version
        pages.at["/trac.ini"] = b"[uwsgi]\nmaster = 1\n"
        await publisher.publish("", url)
        await watched.until_newer(url, version)
        assert watched.vassals[url].config == b"[uwsgi]\nmaster = 1\n"
        pages.at["/trac.ini"] = 500
        await publisher.publish("", url)
        await watched.until_there()
        await watched.until(lambda: refused(watched) and "500" in refused(watched)[-1].text)


async def test_no_answer_changes_nothing_and_is_retried(broker: RabbitMQ, publisher: Publisher, pages: Pages) -> None:
    url = pages.url("/a.ini")
    pages.at["/a.ini"] = config_of()
    async with watching(broker.port) as watched:
        await publisher.publish("", url)
        await watched.until_there(url)
        before = watched.vassals[url]
        pages.at["/a.ini"] = b"x" * 70_000
        await publisher.publish("", url)
        await watched.until(lambda: refused(watched))
        assert "65,535" in refused(watched)[0].text
        await eventually(lambda: pages.count("/a.ini") >= 3, "no other try")
        assert watched.vassals == {url: before}
        assert len(refused(watched)) == 1, "said once"
        pages.at["/a.ini"] = config_of()
        watched.bell.ring()
        await watched.until_newer(url, before.version)


async def test_wrong_content_of_a_url(broker: RabbitMQ, publisher: Publisher, pages: Pages) -> None:
    url = pages.url("/a.ini")
    async with watching(broker.port) as watched:
        for number, body in enumerate((b"\xff\xfe", b"", b"a\0b"), 1):
            pages.at["/a.ini"] = body
            await publisher.publish("", url)
            await eventually(lambda count=number: len(refused(watched)) == count, "not refused")  # type: ignore[misc]
        pages.at["/a.ini"] = config_of()
        await publisher.publish("", url)
        await watched.until_there(url)


async def test_the_policy_of_hosts(broker: RabbitMQ, publisher: Publisher, pages: Pages) -> None:
    pages.at["/a.ini"] = config_of()
    async with watching(broker.port, http_hosts=("config.example",)) as watched:
        await publisher.publish("", pages.url("/a.ini"))
        await watched.until(lambda: refused(watched))
        assert "--emperor-http-host" in refused(watched)[0].text
        assert not pages.asked
        assert not watched.vassals


async def test_a_removal_while_a_fetch_is_under_way_counts(
    broker: RabbitMQ, publisher: Publisher, pages: Pages
) -> None:
    url, slow = pages.url("/a.ini"), trio.Event()
    token = trio.lowlevel.current_trio_token()

    def wait(handler: object) -> None:
        token.run_sync_soon(slow.set)
        time.sleep(0.5)
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n[uwsgi]")  # type: ignore[attr-defined]

    pages.at["/a.ini"] = wait
    async with watching(broker.port) as watched:
        await publisher.publish("", url)
        await slow.wait()
        await publisher.publish(url, b"")
        await publisher.publish("b.ini", config_of())
        await watched.until_there("b.ini")
        await trio.sleep(1)
        assert watched.names == {"b.ini"}


# --- memory ---


async def test_what_was_received_survives_a_restart(
    broker: RabbitMQ, publisher: Publisher, pages: Pages, tmp_path: Path
) -> None:
    memory = FakeMemory()
    path, gone = write(tmp_path / "a.ini"), write(tmp_path / "gone.ini")
    url, late = pages.url("/u.ini"), pages.url("/late.ini")
    pages.at["/u.ini"] = config_of()
    async with watching(broker.port, memory=memory) as watched:
        await publisher.publish("key.ini", b"[uwsgi]\n")
        for body in (path, gone, url, late):
            await publisher.publish("", body)
        await watched.until_there("key.ini", path, gone, url)
        before = dict(watched.vassals)
    memory.keep(Kept(VassalSpec(late, 0), origin=late))  # as if the emperor had ended before it was fetched
    os.unlink(gone)
    pages.at["/late.ini"] = config_of()
    async with watching(broker.port, memory=memory) as watched:
        await watched.until_there("key.ini", path, url, late)
        first = watched.observations[0]
        assert isinstance(first, Snapshot)
        assert {spec.name: spec for spec in first.specs} == {n: before[n] for n in ("key.ini", path, url)}
        assert gone not in memory.kept
        await trio.sleep(0.3)
        assert [seen for seen in watched.observations if isinstance(seen, Touch)] == touches(watched, late)
        await publisher.publish("key.ini", b"")
        await watched.until_there(path, url, late)
        await eventually(lambda: set(memory.settled) == {path, url, late}, "not all was kept")


async def test_what_can_not_be_kept_is_not_acknowledged(broker: RabbitMQ, publisher: Publisher) -> None:
    memory = FakeMemory()
    async with watching(broker.port, memory=memory) as watched:
        memory.trouble = "--emperor-state /x: the disk is full"
        await publisher.publish("a.ini", config_of())
        await watched.until_there("a.ini")
        for number in range(600):
            publisher.try_publish(f"v{number}.ini", config_of())
        await watched.until(lambda: len(watched.vassals) == 500, "as many as may be unacknowledged")
        await trio.sleep(0.2)
        assert len(watched.vassals) == 500
        assert not memory.settled
        memory.trouble = ""
        await watched.until(lambda: len(watched.vassals) == 601)
        await eventually(lambda: len(memory.settled) == 601, "not all was kept")


@pytest.mark.skipif(os.geteuid() != 0, reason="Tyrant mode is for root")
async def test_what_was_kept_without_an_owner_is_refused_in_tyrant_mode(broker: RabbitMQ, tmp_path: Path) -> None:
    path = write(tmp_path / "a.ini")
    os.chown(path, 1001, 1001)
    memory = FakeMemory()
    memory.keep(Kept(VassalSpec("key.ini", 1, config=b"[uwsgi]")))
    memory.keep(Kept(VassalSpec(path, 1), origin=path))
    async with watching(broker.port, memory=memory, tyrant=True) as watched:
        await watched.until_there(path)
        assert watched.vassals[path].owner == Owner(1001, 1001)
        assert refused(watched)[0].name == "key.ini"


# --- exchanges ---


@pytest.fixture
def no_exchange(publisher: Publisher) -> Iterator[None]:
    publisher.delete_exchange()
    yield
    publisher.delete_exchange()


@pytest.mark.usefixtures("no_exchange")
@pytest.mark.parametrize("kind", ["fanout", "topic", "headers", "direct"])
@pytest.mark.parametrize("durable", [True, False])
async def test_an_exchange_that_is_there_is_taken_as_it_is(
    broker: RabbitMQ, publisher: Publisher, tmp_path: Path, kind: str, durable: bool
) -> None:
    publisher.channel.exchange_declare(EXCHANGE, kind, durable=durable)
    path = write(tmp_path / "a.ini")
    async with watching(broker.port) as watched:
        await publisher.publish("", path)
        await watched.until_there(path)
        assert publisher.try_publish("my.vassal.ini", config_of()) is (kind != "direct")
        if kind != "direct":
            await watched.until_there(path, "my.vassal.ini")
            assert len(touches(watched, "my.vassal.ini")) == 1


@pytest.mark.usefixtures("no_exchange")
async def test_an_exchange_that_is_not_there_is_declared_fanout_and_not_durable(
    broker: RabbitMQ, publisher: Publisher
) -> None:
    async with watching(broker.port) as watched:
        await watched.until_there()
        publisher.channel.exchange_declare(EXCHANGE, "fanout", durable=False)


async def test_two_emperors_hear_everything(broker: RabbitMQ, publisher: Publisher) -> None:
    async with watching(broker.port) as one, watching(broker.port) as other:
        await one.until_there()
        await other.until_there()
        await publisher.publish("a.ini", config_of())
        await one.until_there("a.ini")
        await other.until_there("a.ini")


# --- arguments ---


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("amqp://", {}),
        ("amqp://me:secret@host:x", {}),
        ("amqps://me:secret@host?cacertfile=/nowhere.pem", {}),
        ("amqp://me:secret@host", {"http_hosts": ("http://x/",)}),
    ],
)
def test_wrong_arguments(text: str, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        make_monitor(text, lambda event: None, Watched(1.0).bell, **options)
    assert "--emperor" in str(caught.value)


async def test_over_tls(broker: RabbitMQ, publisher: Publisher) -> None:
    ca = broker.home / "ca.pem"
    where = f"localhost:{broker.tls_port}"
    async with watching(0, scheme="amqps", argument=f"{where}?cacertfile={ca}") as watched:
        await publisher.publish("a.ini", config_of())
        await watched.until_there("a.ini")
    async with watching(0, scheme="amqps", argument=where) as watched:
        await watched.until(lambda: True)
        await trio.sleep(0.3)
        assert "certificate" in str(watched.failures[0])
    async with watching(0, scheme="amqps", argument=f"127.0.0.1:{broker.port}") as watched:
        await watched.until(lambda: watched.failures)
        assert "it speaks no TLS on this port: say amqp://" in str(watched.failures[0])
    async with watching(0, scheme="amqps", argument=f"127.0.0.2:{broker.tls_port}?cacertfile={ca}") as watched:
        await trio.sleep(0.3)
        assert watched.failures
        assert not watched.observations
