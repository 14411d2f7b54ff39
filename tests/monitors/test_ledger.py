"""What is made of folders that come, go, fail and become others; and in which order names and looks may meet."""

from __future__ import annotations

import pytest

from emperor_trio.events import FolderFound, MonitorNotice, NameSkipped
from emperor_trio.model import Destroy, Observation, Snapshot, Touch, VassalSpec
from emperor_trio.monitors._entries import Absent, Found, Outcome
from emperor_trio.monitors._ledger import REPEAT, Ledger
from emperor_trio.monitors._sight import Glance, Job, Look, Place, Visit

BASE = Place("/opt", 0, "/opt/")
APP = Place("/opt/app", 1, "/opt/app/", "/opt")


def found(name: str, version: int = 1) -> Found:
    return Found(VassalSpec(name, version), (version, 0, 0), False)


def visit(place: Place, *names: str | tuple[str, Outcome], identity: int = 1, error: str = "") -> Visit:
    outcomes: dict[str, Outcome] = {}
    absent: dict[str, Absent] = {}
    for name in names:
        key, outcome = (name, found(name)) if isinstance(name, str) else name
        if isinstance(outcome, Absent):
            absent[key] = outcome
        else:
            outcomes[key] = outcome
    return Visit(place, (1, identity), error, covered=True, read=not error, outcomes=outcomes, absent=absent)


def look(*visits: Visit, places: tuple[Place, ...] = (BASE,), full: bool = True) -> Look:
    return Look(Job(places, full), {item.place.path: item for item in visits})


class Teller:
    """A ledger, and what it said."""

    def __init__(self, base: Place = BASE) -> None:
        self.ledger = Ledger("m", base)
        self.said: list[Observation] = []
        self.notices: list[str] = []
        self.found: list[str] = []
        self.freed: list[str] = []

    def take(self, seen: Look, now: float, stale: set[str] | None = None, unfinished: set[str] | None = None) -> None:
        told = self.ledger.take(seen, now, stale or set(), unfinished or set())
        self.said += told.observations
        self.notices += [event.message for event in told.events if isinstance(event, MonitorNotice)]
        self.found += [event.text for event in told.events if isinstance(event, FolderFound)]
        self.freed += told.freed

    @property
    def names(self) -> set[str]:
        return set(self.ledger.vassals.known)


@pytest.fixture
def flat() -> Teller:
    """One folder with a and b."""
    teller = Teller()
    teller.take(look(visit(BASE, "a", "b")), 0.0)
    assert teller.said == [Snapshot((VassalSpec("a", 1), VassalSpec("b", 1)))]
    teller.said.clear()
    return teller


@pytest.fixture
def deep() -> Teller:
    """A folder in a folder, with a and b."""
    teller = Teller()
    teller.take(look(visit(BASE), visit(APP, "a", "b", identity=2)), 0.0)
    teller.said.clear()
    return teller


def test_a_look_without_news_says_nothing(flat: Teller) -> None:
    flat.take(look(visit(BASE, "a", "b")), 1.0)
    assert flat.said == []


def test_a_full_look_with_news_is_one_snapshot(flat: Teller) -> None:
    flat.take(look(visit(BASE, "a", ("b", found("b", 2)), "c")), 1.0)
    assert flat.said == [Snapshot((VassalSpec("a", 1), VassalSpec("b", 2), VassalSpec("c", 1)))]


def test_a_full_look_repeats_everything_now_and_then(flat: Teller) -> None:
    flat.take(look(visit(BASE, "a", "b")), REPEAT - 1)
    assert flat.said == []
    flat.take(look(visit(BASE, "a", "b")), REPEAT)
    assert [type(said) for said in flat.said] == [Snapshot]


def test_everything_is_said_where_it_is_asked_for_and_after_a_restart(flat: Teller) -> None:
    flat.said += flat.ledger.take(look(visit(BASE, "a", "b")), 1.0, say_all=True).observations
    flat.ledger.restart()
    flat.take(look(visit(BASE, "a", "b")), 2.0)
    assert [type(said) for said in flat.said] == [Snapshot, Snapshot]


def test_a_rewrite_under_the_same_time_is_a_forced_touch_beside_the_snapshot() -> None:
    teller = Teller()
    teller.take(look(visit(BASE, ("a", Found(VassalSpec("a", 1), (1, 0, 0), True)))), 0.0)
    teller.take(look(visit(BASE, ("a", Found(VassalSpec("a", 1), (1, 5, 0), False)), "b")), 1.0)
    assert teller.said[1:] == [
        Snapshot((VassalSpec("a", 1), VassalSpec("b", 1))),
        Touch(VassalSpec("a", 1), force=True),
    ]


def test_a_name_that_a_listing_lacks_has_its_time_to_return(flat: Teller) -> None:
    flat.take(look(visit(BASE, "a")), 1.0)
    assert flat.said == []
    assert flat.ledger.next_due() == 1.1
    assert flat.ledger.due(1.1) == ([Glance("b", "/opt", "b")], [])
    flat.take(look(visit(BASE, "a")), 1.1)
    assert flat.said == [Destroy("b")]


def test_what_can_not_be_read_changes_nothing_and_is_said_once(flat: Teller) -> None:
    for now in (1.0, 2.0):
        flat.take(look(visit(BASE, error="Permission denied")), now)
    assert flat.notices == ["'/opt' can't be read: Permission denied; its vassals stay as they are"]
    assert not flat.ledger.there
    flat.take(look(visit(BASE, "a", "b")), 3.0)
    assert flat.ledger.there
    flat.take(look(visit(BASE, error="Permission denied")), 4.0)
    assert len(flat.notices) == 2
    assert (flat.said, flat.names) == ([], {"a", "b"})


def test_a_missing_base_changes_nothing_and_is_said_once(flat: Teller) -> None:
    for now in (1.0, 2.0):
        flat.take(look(), now)
    assert flat.notices == [
        "there is no folder '/opt': waiting for it; vassals whose configs were not deleted stay as they are"
    ]
    assert (flat.said, flat.names) == ([], {"a", "b"})
    assert not flat.ledger.needs("/opt")
    assert "/opt" in flat.freed
    for now in (3.0, 4.0):
        flat.take(look(visit(BASE, "a", "b")), now)
    assert flat.found == ["the folder '/opt' is there now"]


def test_another_folder_in_its_place_is_believed_when_it_lacks_vassals_twice(flat: Teller) -> None:
    flat.take(look(visit(BASE, "a", identity=9)), 1.0)
    assert flat.said == []
    assert flat.ledger.next_due() == 2.0
    assert flat.ledger.due(2.0) == ([], [BASE])
    flat.take(look(visit(BASE, "a", identity=9)), 1.5)
    assert flat.ledger.next_due() == 2.0
    flat.take(look(visit(BASE, "a", identity=9)), 2.0)
    assert flat.ledger.due(2.1) == ([Glance("b", "/opt", "b")], [])
    flat.take(look(visit(BASE, "a", identity=9)), 2.1)
    assert flat.said == [Destroy("b")]
    assert flat.ledger.next_due() == float("inf")


def test_another_folder_with_all_vassals_is_the_folder_from_now_on(flat: Teller) -> None:
    flat.take(look(visit(BASE, "a", "b", identity=9)), 1.0)
    flat.take(look(visit(BASE, "a", identity=9)), 2.0)
    flat.take(look(visit(BASE, "a", identity=9)), 2.1)
    assert flat.said == [Destroy("b")]


def test_the_old_folder_that_is_back_ends_the_doubt(flat: Teller) -> None:
    flat.take(look(visit(BASE, identity=9)), 1.0)
    flat.take(look(visit(BASE, "a", "b")), 1.5)
    assert flat.ledger.next_due() == float("inf")
    flat.take(look(visit(BASE, identity=9)), 3.0)
    assert flat.ledger.next_due() == 4.0
    assert flat.said == []


@pytest.mark.parametrize("second", [look(), look(visit(BASE, error="Input/output error"))])
def test_no_answer_ends_the_doubt_so_that_nobody_waits_for_it(flat: Teller, second: Look) -> None:
    flat.take(look(visit(BASE, identity=9)), 1.0)
    flat.take(second, 2.0)
    assert flat.ledger.next_due() == float("inf")
    assert flat.said == []


def test_a_deletion_that_was_seen_needs_no_second_look(flat: Teller) -> None:
    flat.ledger.vassals.left("a", 1.0)
    flat.take(look(visit(BASE, identity=9)), 1.2)
    assert flat.said == [Destroy("a")]
    assert flat.names == {"b"}


def test_a_new_name_in_a_doubtful_folder_counts_at_once(flat: Teller) -> None:
    flat.take(look(visit(BASE, "a", "c", identity=9)), 1.0)
    assert flat.said == [Snapshot((VassalSpec("a", 1), VassalSpec("b", 1), VassalSpec("c", 1)))]


def test_a_folder_that_its_parent_lacks_takes_its_vassals_along(deep: Teller) -> None:
    deep.take(look(visit(BASE)), 1.0)
    assert not deep.ledger.needs("/opt/app")
    assert "/opt/app" in deep.freed
    deep.take(look(visit(BASE)), 1.1)
    assert set(deep.said) == {Destroy("a"), Destroy("b")}
    assert deep.names == set()


def test_a_folder_that_another_parent_lacks_is_believed_at_the_second_look(deep: Teller) -> None:
    deep.take(look(visit(BASE, identity=9)), 1.0)
    assert deep.ledger.due(2.0) == ([], [BASE])
    deep.take(look(visit(BASE, identity=9)), 2.0)
    deep.take(look(visit(BASE, identity=9)), 2.1)
    assert deep.names == set()


def test_an_unreadable_parent_says_nothing_of_its_folders(deep: Teller) -> None:
    deep.take(look(visit(BASE, error="Input/output error")), 1.0)
    deep.take(look(visit(BASE, error="Input/output error")), 9.0)
    assert deep.names == {"a", "b"}
    assert deep.ledger.needs("/opt/app")


def test_an_unreadable_folder_costs_only_itself(deep: Teller) -> None:
    deep.take(look(visit(BASE), visit(APP, error="Permission denied")), 1.0)
    assert deep.names == {"a", "b"}
    assert deep.ledger.uncovered is None


def test_a_walk_of_a_folder_that_is_gone_asks_its_parent(deep: Teller) -> None:
    seen = Visit(Place("/opt"), (1, 1))
    deep.take(look(seen, places=(APP,), full=False), 1.0)
    deep.take(look(seen, places=(APP,), full=False), 1.1)
    assert deep.names == set()
    assert deep.ledger.folders["/opt"].place == BASE


def test_a_walk_of_a_folder_that_is_gone_with_its_parent_changes_nothing(deep: Teller) -> None:
    for now in (1.0, 9.0):
        deep.take(look(places=(APP,), full=False), now)
    assert deep.names == {"a", "b"}


def test_a_walk_of_one_folder_says_nothing_of_the_others(deep: Teller) -> None:
    other = Place("/opt/other", 1, "/opt/other/", "/opt")
    for now in (1.0, 9.0):
        deep.take(look(visit(other, "c"), places=(other,), full=False), now)
    assert deep.names == {"a", "b", "c"}
    assert deep.said == [Touch(VassalSpec("c", 1))]


def test_a_folder_that_is_back_before_its_vassals_time_is_over(deep: Teller) -> None:
    deep.take(look(visit(BASE)), 1.0)
    deep.take(look(visit(BASE), visit(APP, "a", "b", identity=7)), 1.05)
    assert deep.said == []
    assert deep.ledger.next_due() == float("inf")


def test_a_vassal_in_a_folder_that_was_given_up_is_given_up_with_it(deep: Teller) -> None:
    """The folder was closed, the name was then found by a glance, and the next full look lacks both."""
    deep.take(look(visit(BASE)), 1.0)
    deep.ledger.vassals.returned("a")
    deep.take(look(visit(BASE)), 2.0)
    deep.take(look(visit(BASE)), 2.1)
    assert deep.names == set()


def test_what_changed_since_the_look_began_is_not_taken_in(flat: Teller) -> None:
    flat.ledger.vassals.left("a", 1.0)
    flat.take(look(visit(BASE, "a", ("b", found("b", 2)), "c")), 1.05, stale={"a", "b", "c"})
    assert flat.said == []
    assert flat.ledger.next_due() == 1.1
    flat.take(look(visit(BASE)), 9.0, stale={"a", "b"})
    assert flat.said == []


def test_what_is_being_written_is_there_but_not_read(flat: Teller) -> None:
    flat.ledger.vassals.left("a", 1.0)
    flat.take(look(visit(BASE, ("a", found("a", 2)), "b", "c")), 1.05, unfinished={"a", "c"})
    assert flat.said == []
    assert flat.ledger.next_due() == float("inf")
    assert flat.names == {"a", "b"}


def test_skipped_names_are_said_once() -> None:
    ledger = Ledger("m", BASE)
    seen = visit(BASE)
    seen.skipped = {"README": "no config"}
    assert ledger.take(look(seen), 0.0).events == [NameSkipped("m", "README", "no config")]
    assert ledger.take(look(seen), 1.0).events == []
    assert ledger.take(look(visit(BASE)), 2.0).events == []
    assert ledger.take(look(seen), 3.0).events == [NameSkipped("m", "README", "no config")]


def trouble(teller: Teller) -> tuple[str | None, str | None]:
    return teller.ledger.uncovered, teller.ledger.remote


def test_what_inotify_does_not_cover() -> None:
    teller = Teller()
    blind, far = visit(APP), visit(Place("/opt/far", 1, "/opt/far/", "/opt"))
    blind.covered = far.covered = far.local = False
    teller.take(look(visit(BASE), blind), 0.0)
    assert trouble(teller) == ("/opt/app", None)
    teller.take(look(visit(BASE), far), 1.0)
    assert trouble(teller) == ("/opt/far", "/opt/far")
    teller.take(look(visit(BASE)), 2.0)
    assert trouble(teller) == (None, None)


def test_what_the_way_to_a_folder_leads_over_is_watched_until_it_is_gone(deep: Teller) -> None:
    seen = visit(APP, "a", "b", identity=2)
    seen.points = (("/links", "current"),)
    whole = look(visit(BASE), seen)
    whole.base_points = (("/", "opt"),)
    deep.take(whole, 1.0)
    assert deep.ledger.needs("/links")
    assert deep.ledger.vassals.points.at("/links", "current") == (APP,)
    assert deep.ledger.vassals.points.at("/", "opt") == (BASE,)
    deep.take(look(visit(BASE)), 2.0)
    assert not deep.ledger.needs("/links")
    assert {"/links", "/"} <= set(deep.freed)


def test_absent_entries_are_not_said(flat: Teller) -> None:
    flat.take(look(visit(BASE, "a", "b", ("c", Absent("a FIFO, not a file")))), 1.0)
    assert flat.said == []
