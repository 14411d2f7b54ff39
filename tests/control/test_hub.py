"""What changes reaches everyone who follows it, whole or with the word that something was lost."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from emperor_trio import events
from emperor_trio.control.history import MOST_GONE, MOST_OF_ALL, MOST_OF_ONE, History
from emperor_trio.control.hub import INTERVAL, MOST_EVENTS, Filter, Hub, Selector
from emperor_trio.control.messages import Selection
from emperor_trio.events import Event, Level
from emperor_trio.model import VassalId
from emperor_trio.ports import Occurrence
from tests.control.realm import MONITOR, FakeRealm, vassal_id


@dataclass(eq=False)
class Listener:
    heard: list[dict[str, Any]] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    lost: int = 0

    def offer(self, body: str, events: int) -> None:
        message = json.loads("{" + body)
        assert len(message["events"]) == events
        self.heard.append(message)
        self.at.append(trio.current_time())

    def lose(self, events: int) -> None:
        self.lost += events

    @property
    def names(self) -> list[list[str]]:
        return [[row["name"] for row in message["vassals"]] for message in self.heard]

    @property
    def kinds(self) -> list[str]:
        return [event["kind"] for message in self.heard for event in message["events"]]


@asynccontextmanager
async def running(realm: FakeRealm) -> AsyncIterator[Hub]:
    hub = Hub(realm, wall=trio.current_time)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hub.run)
        await trio.testing.wait_all_tasks_blocked()
        yield hub
        nursery.cancel_scope.cancel()


ALL = Filter(Selection())


@pytest.mark.parametrize(
    ("which", "meant"),
    [
        (Selection(), "a.ini ab.ini [x].ini"),
        (Selection(("a.ini",)), "a.ini"),
        (Selection(("a*",)), "a.ini ab.ini"),
        (Selection(("a*",), exact=True), ""),
        (Selection(("[x].ini",)), "[x].ini"),
        (Selection(("?.ini", "ab.ini")), "a.ini ab.ini"),
        (Selection(monitor="elsewhere"), ""),
        (Selection(("a.ini",), MONITOR), "a.ini"),
        (Selection(("",), exact=True), ""),
    ],
)
def test_selections(which: Selection, meant: str) -> None:
    selector = Selector(which)
    names = ["a.ini", "ab.ini", "[x].ini"]
    assert [name for name in names if selector(vassal_id(name))] == meant.split()


async def test_a_hundred_changes_within_a_moment_are_one_row(autojump_clock: MockClock) -> None:
    realm, listener = FakeRealm("a.ini", "b.ini"), Listener()
    async with running(realm) as hub:
        with hub.follow(ALL, listener):
            for number in range(100):
                realm.change("a.ini", reloads=number)
            await trio.sleep(1)
    assert listener.names == [["a.ini"]]
    assert listener.heard[0]["vassals"][0]["reloads"] == 99


async def test_frames_keep_their_distance(autojump_clock: MockClock) -> None:
    realm, listener = FakeRealm("a.ini"), Listener()
    async with running(realm) as hub:
        with hub.follow(ALL, listener):
            for number in range(100):
                realm.change("a.ini", reloads=number)
                await trio.sleep(0.01)
            await trio.sleep(1)
    gaps = [later - earlier for earlier, later in zip(listener.at, listener.at[1:], strict=False)]
    assert min(gaps) >= INTERVAL * 0.99
    assert listener.heard[-1]["vassals"][0]["reloads"] == 99


async def test_equal_filters_share_one_encoding_and_others_get_their_own(autojump_clock: MockClock) -> None:
    realm, one, two, other = FakeRealm("a.ini", "b.ini"), Listener(), Listener(), Listener()
    async with running(realm) as hub:
        with hub.follow(ALL, one), hub.follow(Filter(Selection()), two), hub.follow(Filter(Selection(("b*",))), other):
            assert len(hub._feeds) == 2
            realm.change("a.ini")
            await trio.sleep(1)
            realm.change("b.ini")
            await trio.sleep(1)
        assert not hub._feeds
    assert one.names == two.names == [["a.ini"], ["b.ini"]]
    assert other.names == [["b.ini"]]


async def test_who_is_gone_is_told_and_nothing_else_of_it(autojump_clock: MockClock) -> None:
    realm, listener = FakeRealm("a.ini"), Listener()
    async with running(realm) as hub:
        with hub.follow(ALL, listener):
            realm.change("a.ini")
            realm.remove("a.ini")
            await trio.sleep(1)
    (message,) = listener.heard
    assert (message["vassals"], message["gone"]) == ([], [{"monitor": MONITOR, "name": "a.ini", "ordinal": 0}])
    assert message["monitors"][0]["vassals"] == 0


async def test_events_are_filtered_by_level_and_subject(autojump_clock: MockClock) -> None:
    realm, listener = FakeRealm("a.ini", "b.ini"), Listener()
    told: list[Event] = [
        events.VassalAdded(vassal_id("a.ini")),
        events.VassalLoyal(vassal_id("a.ini")),
        events.VassalLoyal(vassal_id("b.ini")),
        events.MonitorReady(MONITOR, 2),
        events.MonitorReady("elsewhere", 2),
        events.Notice("listen"),
    ]
    async with running(realm) as hub:
        with hub.follow(Filter(Selection(("a.ini",), MONITOR), vassals=False, level=Level.INFO), listener):
            for event in told:
                realm.publish(event)
            await trio.sleep(1)
    assert listener.kinds == ["VassalLoyal", "MonitorReady", "Notice"]
    assert listener.names == [[]]


async def test_too_many_events_at_once_are_a_loss_that_is_counted(autojump_clock: MockClock) -> None:
    realm, listener = FakeRealm("a.ini"), Listener()
    async with running(realm) as hub:
        with hub.follow(ALL, listener):
            for _ in range(MOST_EVENTS + 1):
                realm.publish(events.VassalLoyal(vassal_id("a.ini")))
            await trio.sleep(1)
    assert (listener.heard, listener.lost) == ([], MOST_EVENTS + 1)


async def test_who_is_held_and_away_is_told_when_it_changes(autojump_clock: MockClock) -> None:
    realm, listener = FakeRealm("a.ini"), Listener()
    async with running(realm) as hub:
        with hub.follow(ALL, listener):
            realm.away = (vassal_id("gone.ini"),)
            realm.publish(events.CommandReceived("stop of gone.ini"))
            await trio.sleep(1)
            realm.publish(events.CommandReceived("something else"))
            await trio.sleep(1)
    assert [message["absent"] for message in listener.heard] == [
        [{"monitor": MONITOR, "name": "gone.ini", "ordinal": 0}],
        None,
    ]


# --- history ---


def occurrence(number: int, event: Event) -> Occurrence:
    return Occurrence(float(number), event)


def test_of_each_vassal_and_of_all_the_newest_are_kept() -> None:
    history = History()
    for number in range(MOST_OF_ALL + 100):
        history.note(occurrence(number, events.VassalLoyal(vassal_id(f"{number % 2}.ini"))))
    kept = history.of(vassal_id("1.ini"))
    assert (len(kept), kept[-1].at) == (MOST_OF_ONE, MOST_OF_ALL + 99)
    assert len(history.recent(lambda event: True, 10_000)) == MOST_OF_ALL
    assert [found.at for found in history.recent(lambda event: True, 2)] == [MOST_OF_ALL + 98, MOST_OF_ALL + 99]
    assert history.recent(lambda event: True, 0) == []


def test_a_quiet_vassals_events_survive_the_noise_of_others() -> None:
    history = History()
    history.note(occurrence(0, events.VassalLoyal(vassal_id("quiet.ini"))))
    for number in range(1, MOST_OF_ALL + 1):
        history.note(occurrence(number, events.VassalLoyal(vassal_id("noisy.ini"))))

    def quiet(vassal: VassalId) -> bool:
        return vassal.name == "quiet.ini"

    def about_it(event: Event) -> bool:
        return isinstance(event, events.VassalEvent) and quiet(event.vassal)

    assert [found.at for found in history.recent(about_it, 10, quiet)] == [0]


def test_removed_vassals_are_remembered_for_a_while_and_bounded() -> None:
    history = History()
    for number in range(MOST_GONE + 10):
        history.note(occurrence(number, events.VassalAdded(vassal_id(f"{number}.ini"))))
        history.note(occurrence(number, events.VassalRemoved(vassal_id(f"{number}.ini"))))
    assert history.of(vassal_id("0.ini")) == ()
    assert len(history.of(vassal_id(f"{MOST_GONE + 9}.ini"))) == 2
    history.note(occurrence(1, events.VassalAdded(vassal_id("50.ini"))))
    assert len(history.of(vassal_id("50.ini"))) == 3
