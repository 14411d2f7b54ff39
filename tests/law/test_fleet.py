"""What should run: what monitors saw, held against what was desired."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from emperor_trio.law.fleet import STOPPED, UNBIDDEN, Change, Fleet, FleetRules, Refusal, What
from emperor_trio.model import MAX_CONFIG, Desired, Destroy, Observation, Owner, Snapshot, Touch, VassalId, VassalSpec

DIR = "dir:///etc/vassals"
A, B = VassalId(DIR, "a.ini"), VassalId(DIR, "b.ini")
ALICE, BOB = Owner(1000, 1000), Owner(1001, 1001)
TYRANT = FleetRules(tyrant=True)


def spec(name: str = "a.ini", version: int = 1, **fields: Any) -> VassalSpec:
    return VassalSpec(name, version, **fields)


class Empire:
    """A fleet under one monitor; refusals are collected."""

    def __init__(self, rules: FleetRules | None = None) -> None:
        self.fleet = Fleet(rules or FleetRules())
        self.refusals: list[Refusal] = []

    def see(self, seen: Observation, monitor: str = DIR) -> list[Change]:
        changes, refusals = self.fleet.observe(monitor, seen)
        self.refusals += refusals
        return changes

    def show(self, *specs: VassalSpec) -> list[Change]:
        return self.see(Snapshot(specs))

    def whats(self, *specs: VassalSpec) -> list[tuple[str, What]]:
        return [(change.vassal.name, change.what) for change in self.show(*specs)]


# --- added, changed, removed ---


def test_added_changed_gone() -> None:
    empire = Empire()
    assert empire.whats(spec("a.ini"), spec("b.ini")) == [("a.ini", What.ADDED), ("b.ini", What.ADDED)]
    assert empire.whats(spec("a.ini", 2), spec("b.ini")) == [("a.ini", What.CHANGED)]
    assert empire.whats(spec("b.ini")) == [("a.ini", What.REMOVED)]
    assert empire.whats(spec("b.ini")) == []


def test_any_change_of_the_version_counts_even_an_older_one() -> None:
    empire = Empire()
    empire.show(spec(version=5))
    assert empire.whats(spec(version=4)) == [("a.ini", What.CHANGED)]


def test_changed_config_raises_the_revision_and_keeps_the_life() -> None:
    empire = Empire()
    (added,) = empire.show(spec())
    (changed,) = empire.show(spec(version=2))
    assert added.desired == Desired(spec(), 1, 1)
    assert changed.desired == Desired(spec(version=2), 2, 1)


def test_removed_vassal_is_desired_no_more() -> None:
    empire = Empire()
    empire.show(spec())
    assert empire.show() == [Change(A, Desired(None), What.REMOVED)]


def test_revision_and_life_rise_over_a_removal_too() -> None:
    empire = Empire()
    (first,) = empire.show(spec())
    empire.show()
    (second,) = empire.show(spec())
    assert second.desired.revision > first.desired.revision
    assert second.desired.life > first.desired.life


def test_touch_adds_changes_and_leaves_others_alone() -> None:
    empire = Empire()
    empire.show(spec("b.ini"))
    assert [c.what for c in empire.see(Touch(spec()))] == [What.ADDED]
    assert [c.what for c in empire.see(Touch(spec(version=2)))] == [What.CHANGED]
    assert empire.see(Touch(spec(version=2))) == []
    assert empire.fleet.count(DIR) == 2


def test_forced_touch_reloads_the_same_config() -> None:
    empire = Empire()
    empire.show(spec())
    (change,) = empire.see(Touch(spec(), force=True))
    assert (change.what, change.desired.revision, change.desired.life) == (What.TOUCHED, 2, 1)


def test_destroy_removes_one() -> None:
    empire = Empire()
    empire.show(spec("a.ini"), spec("b.ini"))
    assert empire.see(Destroy("a.ini")) == [Change(A, Desired(None), What.REMOVED)]
    assert empire.see(Destroy("a.ini")) == []


def test_details_that_need_no_reload_are_kept_for_the_next() -> None:
    empire = Empire()
    empire.show(spec(modified=1))
    assert empire.show(spec(modified=2)) == []
    (change,) = empire.fleet.reload_all()
    assert change.desired.spec == spec(modified=2)


def test_another_owner_or_socket_is_another_life() -> None:
    empire = Empire(TYRANT)
    empire.show(spec(owner=ALICE))
    assert [(c.what, c.desired.life) for c in empire.show(spec(owner=BOB))] == [(What.OWNER, 2)]
    assert [(c.what, c.desired.life) for c in empire.show(spec(owner=BOB, socket=":80"))] == [(What.SOCKET, 3)]
    assert [(c.what, c.desired.life) for c in empire.show(spec(owner=BOB, ask_socket=True))] == [(What.SOCKET, 4)]


def test_same_name_under_two_monitors_are_two_vassals() -> None:
    empire = Empire()
    empire.see(Snapshot((spec(),)), "dir://one")
    (change,) = empire.see(Snapshot((spec(),)), "dir://two")
    assert (change.vassal, change.what) == (VassalId("dir://two", "a.ini"), What.ADDED)
    assert empire.see(Snapshot(()), "dir://one")[0].vassal == VassalId("dir://one", "a.ini")
    assert (empire.fleet.count("dir://one"), empire.fleet.count("dir://two"), empire.fleet.count("x")) == (0, 1, 0)


def test_reload_all_raises_every_revision() -> None:
    empire = Empire()
    empire.show(spec("a.ini"), spec("b.ini"))
    changes = empire.fleet.reload_all()
    assert [(c.vassal, c.what, c.desired.life) for c in changes] == [(A, What.TOUCHED, 1), (B, What.TOUCHED, 2)]
    assert all(change.desired.revision > 2 for change in changes)


# --- refused ---


@pytest.mark.parametrize(
    ("rules", "wrong", "field", "value"),
    [
        (FleetRules(), spec("a.txt"), "name", "'a.txt'"),
        (FleetRules(), spec("x" * 251 + ".ini"), "name", "xxx"),
        (FleetRules(), spec("a\0.ini"), "name", r"a\x00.ini"),
        (FleetRules(), spec(config=bytes(MAX_CONFIG + 1)), "config", "65,536 bytes"),
        (FleetRules(), spec(config="text"), "config", "str"),
        (TYRANT, spec(), "uid and gid", "missing"),
        (TYRANT, spec(owner=Owner(0, 1000)), "owner", "0:1000"),
        (TYRANT, spec(owner=Owner(1000, 0)), "owner", "1000:0"),
        (TYRANT, spec(owner=Owner(-1, 1000)), "owner", "-1:1000"),
        (TYRANT, spec(owner=Owner(2**32 - 1, 1000)), "owner", "4294967295:1000"),
        (TYRANT, spec(owner=Owner(2**32, 1000)), "owner", "4294967296:1000"),
        (TYRANT, spec(owner=Owner(1000, 2**32)), "owner", "1000:4294967296"),
    ],
)
def test_wrong_entry_costs_only_itself(rules: FleetRules, wrong: VassalSpec, field: str, value: str) -> None:
    empire = Empire(rules)
    good = spec("good.ini", owner=ALICE)
    assert empire.whats(wrong, good) == [("good.ini", What.ADDED)]
    (refusal,) = empire.refusals
    assert (refusal.name, refusal.field) == (wrong.name, field)
    assert value in refusal.value
    assert refusal.reason


def test_largest_config_longest_name_and_extra_extension_are_taken() -> None:
    empire = Empire(FleetRules(extra_extensions=frozenset({".conf"})))
    assert empire.show(spec(config=bytes(MAX_CONFIG)), spec("x" * 250 + ".ini"), spec("a.conf"))
    assert empire.refusals == []


def test_refusal_is_said_once_until_the_entry_changes() -> None:
    empire = Empire(TYRANT)
    for _ in range(3):
        empire.show(spec())
    assert len(empire.refusals) == 1
    empire.show(spec(version=2))
    assert len(empire.refusals) == 2


def test_refusal_is_said_again_after_the_entry_was_gone_or_good() -> None:
    empire = Empire(TYRANT)
    wrong = spec()
    for between in (Snapshot(()), Destroy("a.ini"), Snapshot((spec(owner=ALICE),))):
        empire.show(wrong)
        empire.see(between)
    assert len(empire.refusals) == 3


def test_of_several_entries_of_one_name_the_last_counts_and_it_is_said_once() -> None:
    empire = Empire()
    assert empire.whats(spec(version=1), spec("b.ini"), spec(version=2), spec(version=3)) == [
        ("a.ini", What.ADDED),
        ("b.ini", What.ADDED),
    ]
    assert empire.show(spec(version=2), spec("b.ini"), spec(version=3)) == []
    (refusal,) = empire.refusals
    assert (refusal.name, refusal.field, refusal.value) == ("a.ini", "name", "'a.ini'")
    assert "last" in refusal.reason
    empire.show(spec(version=3))
    empire.show(spec("b.ini"), spec(version=3), spec(version=3), spec("b.ini"))
    assert [refusal.name for refusal in empire.refusals[1:]] == ["a.ini", "b.ini"], "said again after it was right"


def test_vassal_whose_entry_turns_wrong_is_stopped() -> None:
    empire = Empire(TYRANT)
    empire.show(spec(owner=ALICE))
    assert empire.show(spec(owner=Owner(0, 0))) == [Change(A, Desired(None), What.REFUSED)]


def test_owner_means_nothing_outside_tyrant_mode() -> None:
    empire = Empire()
    (change,) = empire.show(spec(owner=Owner(0, 0)))
    assert change.desired.spec == spec()
    assert empire.show(spec(owner=BOB)) == []


# --- entries that can't even be judged ---


class Nasty:
    @property
    def name(self) -> str:
        raise RuntimeError("no name for you")


@pytest.mark.parametrize(
    "junk",
    [None, object(), 7, SimpleNamespace(name=7), SimpleNamespace(name=["a"]), Nasty()],
    ids=lambda junk: type(junk).__name__,
)
def test_junk_without_a_name_is_refused_and_said_once(junk: Any) -> None:
    empire = Empire()
    assert empire.whats(junk, spec("good.ini")) == [("good.ini", What.ADDED)]
    empire.show(junk, spec("good.ini"))
    (refusal,) = empire.refusals
    assert type(junk).__name__ in refusal.name
    assert "no VassalSpec" in refusal.reason


@pytest.mark.parametrize(
    "junk",
    [SimpleNamespace(name="a.ini"), spec("\ud800.ini"), spec(owner=Owner("0", 0)), spec(owner=SimpleNamespace())],  # type: ignore[arg-type]
    ids=["no spec", "no utf-8", "uid is text", "no owner"],
)
def test_junk_with_a_name_is_refused_and_what_was_desired_stays(junk: Any) -> None:
    empire = Empire(TYRANT)
    empire.show(spec(junk.name, owner=ALICE) if "\ud800" not in junk.name else spec(owner=ALICE))
    assert empire.whats(*([spec(owner=ALICE)] if "\ud800" in junk.name else []), junk) == []
    (refusal,) = empire.refusals
    assert (refusal.name, refusal.field) == (junk.name, "entry")
    assert empire.fleet.count(DIR) == 1


def test_nothing_counts_as_missing_in_a_snapshot_with_an_entry_without_a_name() -> None:
    empire = Empire()
    empire.show(spec("a.ini"), spec("b.ini"), spec("c.txt"))
    junk: Any = object()
    assert empire.whats(spec("a.ini", 2), junk) == [("a.ini", What.CHANGED)]
    assert empire.whats(spec("a.ini", 2)) == [("b.ini", What.REMOVED)]


def test_junk_that_is_touched_is_refused() -> None:
    empire = Empire()
    junk: Any = object()
    assert empire.see(Touch(junk)) == []
    assert len(empire.refusals) == 1


def test_what_is_no_observation_is_an_error() -> None:
    junk: Any = "a.ini"
    with pytest.raises(TypeError, match=r"not 'a\.ini'"):
        Empire().see(junk)


# --- zergs ---


def zerg(ordinal: int, name: str = "a.ini") -> VassalId:
    return VassalId(DIR, name, ordinal)


def test_zerg_has_its_vassals_config_and_is_never_on_demand() -> None:
    empire = Empire()
    empire.show(spec(socket=":80", config=b"x"))
    change = empire.fleet.add_zerg(A, most=2)
    assert change == Change(zerg(1), Desired(spec(config=b"x"), 1, 2), What.ADDED)


def test_zergs_are_counted_over_the_whole_empire() -> None:
    empire = Empire()
    empire.show(spec("a.ini"), spec("b.ini"))
    empire.see(Snapshot((spec(),)), "dir://other")
    assert empire.fleet.add_zerg(A, most=2)
    assert empire.fleet.add_zerg(VassalId("dir://other", "a.ini"), most=2)
    assert empire.fleet.count_zergs() == 2
    assert empire.fleet.add_zerg(B, most=2) is None


def test_zerg_of_an_unknown_vassal_is_refused() -> None:
    empire = Empire()
    assert empire.fleet.add_zerg(A, most=1) is None
    empire.show(spec())
    assert empire.fleet.add_zerg(B, most=1) is None


def test_number_of_a_zerg_that_ended_is_taken_again_with_another_life() -> None:
    empire = Empire()
    empire.show(spec())
    first, second = (empire.fleet.add_zerg(A, most=3) for _ in range(2))
    assert first
    assert second
    assert empire.fleet.end_zerg(first.vassal) == Change(zerg(1), Desired(None), What.ENDED)
    assert empire.fleet.end_zerg(first.vassal) is None
    third = empire.fleet.add_zerg(A, most=3)
    assert third
    assert third.vassal == zerg(1)
    assert third.desired.life > second.desired.life > first.desired.life


def test_last_zerg_that_ends_leaves_nothing_behind() -> None:
    empire = Empire()
    empire.show(spec())
    empire.fleet.add_zerg(A, most=1)
    empire.fleet.end_zerg(zerg(1))
    assert empire.fleet.count_zergs() == 0
    assert [change.vassal for change in empire.show(spec(version=2))] == [A]


def test_zergs_change_reload_and_go_with_their_vassal() -> None:
    empire = Empire()
    empire.show(spec())
    empire.fleet.add_zerg(A, most=2)
    changes = empire.show(spec(version=2))
    assert [(c.vassal, c.what) for c in changes] == [(A, What.CHANGED), (zerg(1), What.CHANGED)]
    assert [c.vassal for c in empire.fleet.reload_all()] == [A, zerg(1)]
    assert [(c.vassal, c.what) for c in empire.show()] == [(A, What.REMOVED), (zerg(1), What.REMOVED)]
    assert empire.fleet.count_zergs() == 0
    assert empire.fleet.end_zerg(zerg(1)) is None


def test_zerg_is_replaced_with_its_vassal() -> None:
    empire = Empire()
    empire.show(spec())
    added = empire.fleet.add_zerg(A, most=2)
    changes = empire.show(spec(socket=":80"))
    assert added
    assert [change.vassal for change in changes] == [A, zerg(1)]
    assert changes[1].desired.life > added.desired.life


def test_colon_in_a_name_makes_no_zerg() -> None:
    empire = Empire()
    (change,) = empire.show(spec("a:zerg.ini"))
    assert change.vassal.ordinal == 0
    assert empire.fleet.count_zergs() == 0


# --- commands ---


def test_a_stopped_vassal_is_held_whatever_its_source_says_until_it_is_started() -> None:
    empire = Empire()
    empire.show(spec())
    (change,) = empire.fleet.hold(A)
    assert (change.what, change.desired.held, change.desired.spec) == (What.STOPPED, STOPPED, spec())
    assert empire.fleet.hold(A) == []
    (change,) = empire.show(spec(version=2))
    assert (change.what, change.desired.held) == (What.CHANGED, STOPPED)
    assert [change.desired.held for change in empire.fleet.reload_all()] == [STOPPED]
    assert empire.show() != []
    assert (empire.fleet.is_held(A), list(empire.fleet.absent())) == (True, [A])
    (change,) = empire.show(spec(version=3))
    assert (change.what, change.desired.held) == (What.ADDED, STOPPED)
    (change,) = empire.fleet.start(A)
    assert (change.what, change.desired.held) == (What.STARTED, "")
    assert not empire.fleet.is_held(A)


def test_what_is_stopped_before_it_is_seen_stays_stopped() -> None:
    empire = Empire()
    assert empire.fleet.hold(A) == []
    (change,) = empire.show(spec())
    assert change.desired.held == STOPPED
    assert list(empire.fleet.absent()) == []


def test_what_is_started_before_it_is_seen_starts() -> None:
    empire = Empire()
    empire.fleet.hold(A)
    assert empire.fleet.start(A) == []
    (change,) = empire.show(spec())
    assert change.desired.held == ""


def test_one_reload_and_one_restart() -> None:
    empire = Empire()
    empire.show(spec("a.ini"), spec("b.ini"))
    before = empire.fleet.desired(A)
    assert before is not None
    (change,) = empire.fleet.reload(A)
    assert (change.vassal, change.what, change.desired.life) == (A, What.TOUCHED, before.life)
    assert change.desired.revision > before.revision
    (change,) = empire.fleet.restart(A)
    assert (change.vassal, change.what) == (A, What.RESTARTED)
    assert change.desired.life == change.desired.revision > before.revision


def test_a_restart_is_one_of_its_zergs_too_and_a_stop_ends_them() -> None:
    empire = Empire()
    empire.show(spec())
    empire.fleet.add_zerg(A, 2)
    lives = [(change.vassal.ordinal, change.desired.life) for change in empire.fleet.restart(A)]
    assert [ordinal for ordinal, _ in lives] == [0, 1]
    assert len({life for _, life in lives}) == 1
    assert [(change.vassal.ordinal, change.desired.spec is None) for change in empire.fleet.hold(A)] == [
        (0, False),
        (1, True),
    ]
    assert empire.fleet.count_zergs() == 0
    assert empire.fleet.add_zerg(A, 2) is None


def test_vassals_that_wait_for_a_command_start_with_it_and_wait_again_once_they_were_removed() -> None:
    empire = Empire(FleetRules(wait_for_command=True, unbidden=frozenset({"b.ini"})))
    assert [change.desired.held for change in empire.show(spec("a.ini"), spec("b.ini"))] == [UNBIDDEN, ""]
    (change,) = empire.fleet.start(A)
    assert change.desired.held == ""
    assert [change.desired.held for change in empire.show(spec("a.ini", 2), spec("b.ini"))] == [""]
    empire.show(spec("b.ini"))
    assert [change.desired.held for change in empire.show(spec("a.ini"), spec("b.ini"))] == [UNBIDDEN]


def test_a_stop_of_one_that_waits_for_its_first_command_is_kept() -> None:
    empire = Empire(FleetRules(wait_for_command=True))
    empire.show(spec())
    (change,) = empire.fleet.hold(A)
    assert change.desired.held == STOPPED
