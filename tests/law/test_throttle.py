"""When spawns go out: the blacklist, restart intensity, priorities, and the pacing of mass spawns."""

from __future__ import annotations

import pytest

from emperor_trio.law.throttle import (
    JITTER,
    TURN,
    UNBORN_PAUSE,
    Blacklist,
    Grant,
    Intensity,
    Pacer,
    Priorities,
    ThrottleRules,
)
from emperor_trio.model import VassalId

A, B, C, D = (VassalId("dir:///etc/vassals", f"{name}.ini") for name in "abcd")
NEVER = float("inf")


# --- the blacklist ---


def test_disloyal_vassal_waits_longer_each_time() -> None:
    blacklist = Blacklist(ThrottleRules(throttle=1.0))
    delays = []
    for death in range(5):
        entry = blacklist.add_death(A, now=100.0 * death, chance=0)
        assert entry is not None
        delays.append(entry.delay)
    assert delays == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_delay_stays_at_its_maximum() -> None:
    blacklist = Blacklist(ThrottleRules(throttle=60.0, max_throttle=150.0))
    entries = [blacklist.add_death(A, now, chance=1) for now in range(6)]
    assert [entry.delay for entry in entries if entry][-3:] == [150.0, 150.0, 150.0]


def test_delay_has_a_tenth_of_jitter_at_most() -> None:
    blacklist = Blacklist(ThrottleRules(throttle=10.0))
    blacklist.add_death(A, 0, chance=1)
    entry = blacklist.add_death(A, 0, chance=1)
    assert entry is not None
    assert entry.delay == pytest.approx(10.0 * (1 + JITTER))


def test_next_spawn_is_due_after_the_delay_since_the_last_death() -> None:
    blacklist = Blacklist(ThrottleRules(throttle=1.0))
    assert blacklist.due(A) == 0.0
    blacklist.add_death(A, 50.0, chance=0)
    assert blacklist.due(A) == 50.0
    blacklist.add_death(A, 60.0, chance=0)
    assert blacklist.due(A) == 61.0


def test_entry_knows_its_first_and_last_death() -> None:
    blacklist = Blacklist(ThrottleRules())
    blacklist.add_death(A, 5.0, chance=0)
    entry = blacklist.add_death(A, 9.0, chance=0)
    assert entry is not None
    assert (entry.attempt, entry.first, entry.last) == (2, 5.0, 9.0)
    assert list(blacklist) == [(A, entry)]


def test_forgiven_vassal_starts_anew() -> None:
    blacklist = Blacklist(ThrottleRules())
    blacklist.add_death(A, 0, chance=0)
    blacklist.add_death(B, 0, chance=0)
    assert blacklist.forgive(A)
    assert not blacklist.forgive(A)
    assert A not in blacklist
    assert B in blacklist
    entry = blacklist.add_death(A, 1, chance=0)
    assert entry is not None
    assert entry.attempt == 1


def test_cleared_blacklist_says_who_was_on() -> None:
    blacklist = Blacklist(ThrottleRules())
    blacklist.add_death(B, 0, chance=0)
    blacklist.add_death(A, 0, chance=0)
    assert blacklist.clear() == (B, A)
    assert list(blacklist) == []


def test_blacklist_can_be_turned_off() -> None:
    blacklist = Blacklist(ThrottleRules(blacklist=False))
    assert blacklist.add_death(A, 0, chance=0) is None
    assert blacklist.due(A) == 0.0


@pytest.mark.parametrize("rules", [ThrottleRules(blacklist=False), ThrottleRules(), ThrottleRules(throttle=0.0)])
def test_a_spawn_that_came_to_no_process_waits_a_second_at_least(rules: ThrottleRules) -> None:
    blacklist = Blacklist(rules)
    for death in range(100):
        blacklist.add_death(A, 50.0 * death, chance=0, unborn=True)
        assert blacklist.due(A) >= 50.0 * death + UNBORN_PAUSE
    assert blacklist.due(B) == 0.0


def test_the_longer_wait_counts() -> None:
    blacklist = Blacklist(ThrottleRules(throttle=1.0))
    waits = []
    for death in range(4):
        entry = blacklist.add_death(A, 100.0 * death, chance=0, unborn=True)
        assert entry is not None
        waits.append((entry.delay, blacklist.due(A) - 100.0 * death))
    assert waits == [(UNBORN_PAUSE, UNBORN_PAUSE), (1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]


@pytest.mark.parametrize("blacklist", [True, False])
def test_who_came_to_no_process_is_forgiven_like_anyone(blacklist: bool) -> None:
    waiting = Blacklist(ThrottleRules(blacklist=blacklist))
    for vassal in (A, B):
        waiting.add_death(vassal, 5.0, chance=0, unborn=True)
    assert waiting.forgive(A)
    assert not waiting.forgive(A)
    assert waiting.due(A) == 0.0
    assert waiting.clear() == (B,)
    assert waiting.due(B) == 0.0


# --- restart intensity ---


def test_restart_intensity_is_off_by_default() -> None:
    intensity = Intensity(ThrottleRules())
    assert not any(intensity.add_death(A, now / 1000) for now in range(1000))


def test_one_death_more_than_the_allowed_restarts_is_too_many() -> None:
    intensity = Intensity(ThrottleRules(max_restarts=3, restart_window=60))
    assert [intensity.add_death(A, now) for now in (0, 1, 2, 3)] == [False, False, False, True]


def test_deaths_out_of_the_window_do_not_count() -> None:
    intensity = Intensity(ThrottleRules(max_restarts=1, restart_window=60))
    assert not intensity.add_death(A, 0)
    assert not intensity.add_death(A, 60)
    assert intensity.add_death(A, 119)


def test_count_starts_anew_after_it_was_too_many() -> None:
    intensity = Intensity(ThrottleRules(max_restarts=1, restart_window=60))
    intensity.add_death(A, 0)
    assert intensity.add_death(A, 1)
    assert not intensity.add_death(A, 2)


def test_vassals_are_counted_apart_and_can_be_forgotten() -> None:
    intensity = Intensity(ThrottleRules(max_restarts=1, restart_window=60))
    intensity.add_death(A, 0)
    assert not intensity.add_death(B, 0)
    intensity.forget(A)
    intensity.forget(C)
    assert not intensity.add_death(A, 1)


def test_window_of_nothing_never_has_too_many() -> None:
    intensity = Intensity(ThrottleRules(max_restarts=1, restart_window=0))
    assert [intensity.add_death(A, 7) for _ in range(3)] == [False, False, False]


# --- priorities ---


def test_vassals_start_by_name() -> None:
    priorities = Priorities()
    assert sorted([C, A, B], key=priorities.rank) == [A, B, C]


def test_lower_numbers_start_first_and_others_count_0() -> None:
    priorities = Priorities((("c.*", -1), ("a.*", 5)))
    assert sorted([A, B, C], key=priorities.rank) == [C, B, A]


def test_first_pattern_that_matches_counts() -> None:
    priorities = Priorities((("a.ini", 1), ("*.ini", 2)))
    assert priorities.rank(A)[0] == 1
    assert priorities.rank(B)[0] == 2


def test_zergs_start_after_their_vassal() -> None:
    zerg = VassalId(A.monitor, A.name, 1)
    assert sorted([B, zerg, A], key=Priorities().rank) == [A, zerg, B]


# --- pacing ---


def pacer(max_starting: int = 0) -> Pacer:
    return Pacer(ThrottleRules(max_starting=max_starting))


def ask(pacer: Pacer, *vassals: VassalId, due: float = 0.0) -> None:
    for vassal in vassals:
        pacer.request(vassal, Priorities().rank(vassal), due, 1)


def take_all(pacer: Pacer, now: float) -> list[VassalId]:
    granted = []
    while (grant := pacer.take(now)) is not None:
        granted.append(grant.vassal)
    return granted


def test_spawns_are_granted_back_to_back_in_the_order_of_rank() -> None:
    queue = pacer()
    ask(queue, C, A, B)
    assert take_all(queue, now=0) == [A, B, C]
    assert queue.starting == 3


def test_nothing_is_granted_before_it_is_due() -> None:
    queue = pacer()
    ask(queue, A, due=10)
    ask(queue, B, due=5)
    assert queue.next_due() == 5
    assert take_all(queue, now=4.9) == []
    assert take_all(queue, now=5) == [B]
    assert queue.next_due() == 10
    assert take_all(queue, now=10) == [A]
    assert queue.next_due() == NEVER


def test_grant_carries_the_number_of_its_request() -> None:
    queue = pacer()
    queue.request(A, Priorities().rank(A), 0, 7)
    assert queue.take(0) == Grant(A, 7)


def test_newer_request_replaces_the_older() -> None:
    queue = pacer()
    queue.request(A, Priorities().rank(A), 0, 1)
    queue.request(A, Priorities().rank(A), 5, 2)
    assert queue.take(0) is None
    assert queue.take(5) == Grant(A, 2)
    assert queue.take(5) is None


def test_withdrawn_request_is_not_granted() -> None:
    queue = pacer()
    ask(queue, A, B, due=5)
    queue.withdraw(A)
    queue.withdraw(C)
    assert take_all(queue, now=5) == [B]


def test_request_withdrawn_while_it_waits_for_a_place_is_not_granted() -> None:
    queue = pacer(max_starting=1)
    ask(queue, A, B, C)
    assert take_all(queue, now=0) == [A]
    queue.withdraw(B)
    queue.settle(A)
    assert take_all(queue, now=0) == [C]


def test_withdrawn_requests_are_not_waited_for() -> None:
    queue = pacer()
    ask(queue, A, due=5)
    ask(queue, B, due=9)
    queue.withdraw(A)
    assert queue.next_due() == 9


def test_no_more_than_max_starting_are_under_way() -> None:
    queue = pacer(max_starting=2)
    ask(queue, A, B, C, D)
    assert take_all(queue, now=0) == [A, B]
    assert queue.next_due() == NEVER
    queue.settle(A)
    assert queue.next_due() == 0
    assert take_all(queue, now=0) == [C]
    queue.settle(A)
    assert take_all(queue, now=0) == [], "settled twice is one place"
    queue.settle(B)
    queue.settle(C)
    assert take_all(queue, now=0) == [D]


def test_those_that_are_due_later_are_looked_at_even_while_all_places_are_taken() -> None:
    queue = pacer(max_starting=1)
    ask(queue, B, C)
    assert take_all(queue, now=0) == [B]
    ask(queue, A, due=2)
    assert queue.next_due() == 2
    assert take_all(queue, now=2) == []
    assert queue.next_due() == NEVER
    queue.settle(B)
    assert take_all(queue, now=2) == [A], "the lowest rank of those due"


def test_who_was_due_in_an_earlier_turn_goes_first_whatever_the_rank() -> None:
    queue = pacer(max_starting=1)
    ask(queue, D)
    for now in range(100):
        for vassal in (A, B):
            queue.request(vassal, Priorities().rank(vassal), now, now)
        granted = queue.take(now)
        assert granted is not None
        queue.settle(granted.vassal)
        if granted.vassal == D:
            break
    else:
        raise AssertionError("those that ask again all the time keep the others from ever starting")
    assert now <= TURN


def test_hastened_request_is_due_now() -> None:
    queue = pacer()
    ask(queue, A, due=100)
    queue.hasten(A, now=3)
    assert queue.next_due() == 3
    assert take_all(queue, now=3) == [A]


def test_hastening_leaves_alone_what_is_due_and_what_did_not_ask() -> None:
    queue = pacer()
    ask(queue, A, due=2)
    queue.hasten(A, now=3)
    queue.hasten(B, now=3)
    assert queue.next_due() == 2
    assert take_all(queue, now=3) == [A]


def test_shortage_grants_nothing_for_a_delay_that_grows_from_try_to_try() -> None:
    queue = pacer()
    ask(queue, A)
    now, delays = 0.0, []
    for _ in range(10):
        delays.append(queue.postpone(now))
        assert queue.take(now) is None
        assert queue.next_due() == pytest.approx(now + delays[-1])
        now += delays[-1]
    assert delays == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10])
    assert take_all(queue, now) == [A]


def test_spawns_that_failed_together_are_one_try() -> None:
    queue = pacer()
    assert queue.postpone(0.0) == pytest.approx(0.1)
    assert queue.postpone(0.05) == pytest.approx(0.05)
    assert queue.postpone(0.1) == pytest.approx(0.2)


def test_shortage_after_a_success_starts_with_the_shortest_delay() -> None:
    queue = pacer()
    queue.postpone(0.0)
    queue.postpone(1.0)
    queue.resume()
    assert queue.postpone(2.0) == pytest.approx(0.1)


def test_what_is_due_later_than_the_shortage_is_not_hurried_by_it() -> None:
    queue = pacer()
    ask(queue, A, due=5)
    queue.postpone(0.0)
    assert queue.next_due() == 5
