"""Which changes of documents are changes of vassals, seen over a real server."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import trio

from emperor_trio.events import Event, MonitorNotice, VassalRefused
from emperor_trio.model import Destroy, Owner, Snapshot, Touch
from emperor_trio.testing.conformance import watching
from tests.monitors.mongodb.support import CONFIG, Vassals, document, now, until_failed, watching_argument
from tests.support.servers.mongodb import mongodb


@pytest.fixture(params=["pushed", "polled"])
def either(request: pytest.FixtureRequest) -> Vassals:
    """Vassals on a server with change streams, or on one without."""
    found: Vassals = request.getfixturevalue("vassals" if request.param == "pushed" else "polled")
    found.frequency = 3600 if request.param == "pushed" else found.frequency
    return found


def refused(events: list[Event]) -> list[VassalRefused]:
    return [event for event in events if isinstance(event, VassalRefused)]


async def test_a_document_may_enter_and_leave_the_filter(either: Vassals) -> None:
    either.filter = "{enabled:1, tier: {$in: ['a', 'b']}}"
    either.put("one.ini", enabled=1, tier="a")
    either.put("two.ini", enabled=0, tier="a")
    async with watching(either) as watched:
        await watched.until_there("one.ini")
        either.collection.update_one({"name": "two.ini"}, {"$set": {"enabled": 1}})
        await watched.until_there("one.ini", "two.ini")
        either.collection.update_one({"name": "one.ini"}, {"$set": {"tier": "c"}})
        await watched.until_there("two.ini")
        either.put("three.ini", enabled=1, tier="c")
        either.put("four.ini", enabled=1, tier="b")
        await watched.until_there("two.ini", "four.ini")
    assert watched.failures == []


async def test_a_renamed_document_is_another_vassal(either: Vassals) -> None:
    either.put("one.ini")
    async with watching(either) as watched:
        await watched.until_there("one.ini")
        either.collection.update_one({}, {"$set": {"name": "two.ini"}})
        await watched.until_there("two.ini")


async def test_of_two_documents_with_one_name_the_newest_counts(either: Vassals) -> None:
    first, second = document("one.ini", config="first"), document("one.ini", config="second")
    either.collection.insert_many([second, first])
    async with watching(either) as watched:
        await watched.until(lambda: "one.ini" in watched.vassals)
        assert watched.vassals["one.ini"].config == b"second"
        either.collection.delete_one({"config": "second"})
        await watched.until(lambda: watched.vassals["one.ini"].config == b"first")
        either.collection.insert_one({**second, "ts": now()})
        await watched.until(lambda: watched.vassals["one.ini"].config == b"second")
        either.collection.delete_many({"config": "first"})
        either.put("two.ini")
        await watched.until_there("one.ini", "two.ini")
    assert not any(isinstance(seen, Destroy) for seen in watched.observations)


async def test_what_is_wrong_is_said_once_and_keeps_its_vassal(either: Vassals) -> None:
    either.put("one.ini")
    async with watching(either) as watched:
        await watched.until_there("one.ini")
        either.collection.update_one({}, {"$set": {"ts": "soon"}})
        await watched.until(lambda: refused(watched.events))
        for number in range(3):
            either.put(f"n{number}.ini")
            await watched.until(lambda name=f"n{number}.ini": name in watched.vassals)  # type: ignore[misc]
        assert "one.ini" in watched.names
        assert [(event.name, event.field, event.value) for event in refused(watched.events)] == [
            ("one.ini", "ts", "'soon'")
        ]
        either.collection.delete_one({"name": "one.ini"})
        await watched.until(lambda: "one.ini" not in watched.vassals)


async def test_a_change_of_a_foreign_field_is_none(either: Vassals) -> None:
    either.put("one.ini")
    async with watching(either) as watched:
        await watched.until_there("one.ini")
        said = len(watched.observations)
        either.collection.update_one({}, {"$set": {"visits": 5}})
        either.put("two.ini")
        await watched.until_there("one.ini", "two.ini")
        assert all(not isinstance(seen, Touch) or seen.spec.name == "two.ini" for seen in watched.observations[said:])


async def test_a_dropped_collection_is_believed_when_it_is_still_empty(vassals: Vassals) -> None:
    vassals.put("one.ini")
    async with watching(vassals) as watched:
        await watched.until_there("one.ini")
        vassals.collection.drop()
        started = trio.current_time()
        await watched.until_there()
        assert trio.current_time() > started + 0.9, "the first empty answer was believed"
        vassals.put("two.ini")
        await watched.until_there("two.ini")
    assert watched.failures == []


async def test_an_empty_answer_of_a_polled_server_is_believed_twice(polled: Vassals) -> None:
    polled.put("one.ini")
    async with watching(polled) as watched:
        await watched.until_there("one.ini")
        polled.collection.delete_many({})
        await trio.sleep(0.6)
        assert watched.names == {"one.ini"}
        await watched.until_there()


async def test_polling_is_told_once_with_its_reason(polled: Vassals) -> None:
    async with watching(polled) as watched:
        await watched.until_there()
        watched.bell.ring()
        await watched.until(lambda: len(watched.observations) > 1)
    notices = [event.message for event in watched.events if isinstance(event, MonitorNotice)]
    assert len(notices) == 1
    assert "standalone" in notices[0]
    assert "every 0.2 s" in notices[0]


async def test_in_tyrant_mode_owners_come_with_documents_and_missing_ones_are_refused(vassals: Vassals) -> None:
    vassals.put("one.ini", uid=1000, gid=1001, socket="127.0.0.1:4000")
    vassals.put("two.ini", uid=1000)
    vassals.put("three.ini")
    async with watching_argument(f"mongodb://{vassals.argument}", tyrant=True) as watched:
        await watched.until(lambda: len(refused(watched.events)) == 1 and len(watched.vassals) == 2)
        assert [(event.name, event.field) for event in refused(watched.events)] == [("two.ini", "gid")]
        assert watched.vassals["one.ini"].owner == Owner(1000, 1001)
        assert watched.vassals["one.ini"].socket == "127.0.0.1:4000"
        assert watched.vassals["three.ini"].owner is None, "the law refuses it, by name"


async def test_ten_thousand_documents_at_once() -> None:
    names = [f"v{number:05}.ini" for number in range(10_000)]
    # To drop so many takes this kind of server long: it goes as a whole.
    with mongodb() as server, Vassals(server, frequency=3600, patience=90.0, kept=True) as vassals:
        async with watching(vassals) as watched:
            await watched.until_there()
            for start in range(0, len(names), 1000):
                batch = [document(name, config=CONFIG) for name in names[start : start + 1000]]
                await trio.to_thread.run_sync(vassals.collection.insert_many, batch)
            await watched.until(lambda: len(watched.vassals) == len(names))
            before = len(watched.observations)
            vassals.put(names[5])
            await watched.until(lambda: len(watched.observations) > before)
            assert isinstance(watched.observations[-1], Touch)


async def test_mongodb2_reads_the_same(vassals: Vassals) -> None:
    vassals.put("one.ini", enabled=1, tier="a")
    vassals.put("two.ini", enabled=1)
    text = f"mongodb2://addr=127.0.0.1:{vassals.server.port},coll={vassals.namespace},json={{enabled:1,tier:'a'}},"
    async with watching_argument(text + "defaults={x:'y'}") as watched:
        await watched.until_there("one.ini")
        vassals.put("two.ini", enabled=1, tier="a")
        await watched.until_there("one.ini", "two.ini")
    assert [event.text for event in watched.events] == [
        "defaults gives values to attributes that are collected, and none is; it has no effect"
    ]


async def test_a_connection_string_finds_the_replica_set(vassals: Vassals) -> None:
    vassals.put("one.ini", enabled=1)
    vassals.put("two.ini")
    text = f"mongodb://127.0.0.1:{vassals.server.port}/{vassals.namespace}?replicaSet=secantus;{{enabled:1}}"
    async with watching_argument(text, frequency=3600) as watched:
        await watched.until_there("one.ini")
        vassals.put("two.ini", enabled=1)
        await watched.until_there("one.ini", "two.ini")


@pytest.mark.parametrize("code", [286])
async def test_lost_history_is_read_anew(vassals: Vassals, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """A server whose log of changes no longer reaches back ends the stream; no server here can be made to."""
    from pymongo.change_stream import CollectionChangeStream
    from pymongo.errors import OperationFailure

    lost: list[int] = []
    try_next = CollectionChangeStream.try_next

    def lose(self: Any) -> Any:
        change = try_next(self)
        if change is not None and not lost:
            lost.append(code)
            raise OperationFailure("the change stream's history is lost", code)
        return change

    monkeypatch.setattr(CollectionChangeStream, "try_next", lose)
    vassals.put("one.ini")
    async with watching(vassals) as watched:
        await watched.until_there("one.ini")
        vassals.put("two.ini")
        await watched.until_there("one.ini", "two.ini")
        assert lost == [code]
        assert isinstance(watched.observations[-1], Snapshot)
        vassals.put("three.ini")
        await watched.until_there("one.ini", "two.ini", "three.ini")
        assert isinstance(watched.observations[-1], Touch)
    assert watched.failures == []


@pytest.mark.parametrize("limit", ["MOST_DOCUMENTS", "MOST_BYTES"])
async def test_too_many_documents_change_nothing(vassals: Vassals, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    vassals.put("one.ini")
    vassals.put("two.ini", config="x" * 10_000_000)
    async with watching(vassals) as watched:
        await watched.until_there("one.ini")
        monkeypatch.setattr(f"emperor_trio.monitors._mongo_connection.{limit}", 1)
        watched.bell.ring()
        assert "narrow it" in await until_failed(watched)
        vassals.collection.delete_many({"name": "two.ini"})
        assert watched.names == {"one.ini"}


async def test_no_thread_of_trios_common_ones_is_held(vassals: Vassals) -> None:
    async with watching(vassals) as watched:
        await watched.until_there()
        await trio.sleep(0.1)
        assert trio.to_thread.current_default_thread_limiter().borrowed_tokens == 0


async def test_a_cancellation_is_quick(either: Vassals, caplog: pytest.LogCaptureFixture) -> None:
    either.put("one.ini")
    with caplog.at_level(logging.ERROR):
        async with watching(either) as watched:
            await watched.until_there("one.ini")
            started = trio.current_time()
        assert trio.current_time() - started < 2, "the limits for a server that hangs were used up"
    assert caplog.records == []
