"""The order of fetches: each once, later and later, and void when something newer came."""

from __future__ import annotations

from math import inf

from emperor_trio.monitors._fetches import Fetches


def test_each_is_taken_once_in_order() -> None:
    fetches = Fetches()
    for url in ("a", "b", "a"):
        fetches.add(url)
    first, second = fetches.take(0), fetches.take(0)
    assert first is not None
    assert second is not None
    assert [first.url, second.url] == ["b", "a"]
    assert fetches.take(0) is None
    assert fetches.next_due() == inf


def test_a_newer_order_makes_the_one_under_way_void() -> None:
    fetches = Fetches()
    fetches.add("a")
    old = fetches.take(0)
    fetches.add("a")
    new = fetches.take(0)
    assert old is not None
    assert new is not None
    assert not fetches.counts(old)
    fetches.failed(old, 0)
    fetches.done(old)
    assert fetches.counts(new)
    fetches.drop("a")
    assert not fetches.counts(new)


def test_a_quiet_order_replaces_none() -> None:
    fetches = Fetches()
    fetches.add("a")
    fetches.add("a", quiet=True)
    fetch = fetches.take(0)
    assert fetch is not None
    assert not fetch.quiet
    fetches.add("b", quiet=True)
    fetches.add("b")
    loud = fetches.take(0)
    assert loud is not None
    assert not loud.quiet
    assert fetches.take(0) is None


def test_without_an_answer_it_is_due_later_and_later() -> None:
    fetches = Fetches()
    fetches.add("a")
    now, pauses = 0.0, []
    for _ in range(8):
        fetch = fetches.take(now)
        assert fetch is not None
        fetches.failed(fetch, now)
        assert fetches.take(now) is None
        pauses.append(fetches.next_due() - now)
        now = fetches.next_due()
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


def test_hastened_each_is_due_once() -> None:
    fetches = Fetches()
    for url in ("a", "b"):
        fetches.add(url)
        fetch = fetches.take(0)
        assert fetch is not None
        fetches.failed(fetch, 0)
    fetches.hasten()
    fetches.hasten()
    taken = [fetches.take(0), fetches.take(0), fetches.take(0)]
    assert [fetch and fetch.url for fetch in taken] == ["a", "b", None]
    assert fetches.take(100) is None


def test_what_was_under_way_at_an_outage_is_due_again() -> None:
    fetches = Fetches()
    fetches.add("a")
    assert fetches.take(0) is not None
    fetches.restart()
    again = fetches.take(0)
    assert again is not None
    fetches.done(again)
    fetches.restart()
    assert fetches.take(inf) is None
