"""The rules of state.js and words.js, run where they are used: in the browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from emperor_trio.control import messages as m
from tests.dashboard.stand_in import make_event, make_vassal

A, B, C = (make_vassal("/v", name, m.State.UP, number) for number, name in enumerate(("a-10.ini", "a-9.ini", "b.ini")))
MONITOR = m.Monitor("/v", True, 1.0, "", "", 0.0, 3)


@pytest.fixture(scope="module")
def page(browser: Browser, five_hundred: str) -> Iterator[Page]:
    """An empty page of the same origin, from which modules can be loaded."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{five_hundred}icon.svg")
    yield page
    context.close()


def run(page: Page, module: str, body: str, argument: object = None) -> Any:
    """What a function returns whose body sees the module as ``m`` and the argument as ``x``."""
    return page.evaluate(
        f"async (x) => {{ const m = await import('{page.url.replace('icon.svg', module)}'); {body} }}", argument
    )


def after(page: Page, *messages: m.AnyAnswer | float, then: str) -> Any:
    """What ``then`` says of a store ``s`` that took these messages."""
    return run(
        page,
        "state.js",
        f"const s = new m.Store(); for (const [n, t] of x.entries()) s.apply(JSON.parse(t), 1000 + n); return {then}",
        [m.encode(message) for message in messages if not isinstance(message, float)],
    )


NAMES = "s.ordered.map(e => e.vassal.name)"


def snapshot(*vassals: m.Vassal, last: bool = True) -> m.Snapshot:
    return m.Snapshot(1, 0.0, vassals, (MONITOR,), last=last)


@pytest.mark.parametrize(
    ("messages", "names"),
    [
        ([snapshot(A, B)], ["a-9.ini", "a-10.ini"]),
        ([snapshot(A, last=False)], []),
        ([snapshot(A, last=False), snapshot(C)], ["a-10.ini", "b.ini"]),
        ([snapshot(A, last=False), m.Changes(1, 0.0, gone=(A.key,)), snapshot(C)], ["b.ini"]),
        ([snapshot(A), m.Changes(1, 0.0, (C,))], ["a-10.ini", "b.ini"]),
        ([snapshot(A, C), m.Changes(1, 0.0, gone=(A.key,))], ["b.ini"]),
        ([snapshot(A), m.Changes(1, 0.0, gone=(C.key,))], ["a-10.ini"]),
        ([snapshot(A, B), m.Lagged(1, 7), snapshot(C)], ["b.ini"]),
        ([snapshot(A, last=False), m.Greeting("1", 1, 0.0, 0.0, False, ()), snapshot(C)], ["b.ini"]),
        ([snapshot(A, replace(A, ordinal=1))], ["a-10.ini", "a-10.ini"]),
        ([snapshot(replace(A, monitor="/w"), A)], ["a-10.ini", "a-10.ini"]),
    ],
    ids=[
        "sorted as people do", "nothing before the last part", "in parts", "gone between parts", "one came", "one left",
        "one left that never was", "after a lag all is replaced", "half a snapshot of a lost connection is forgotten",
        "zergs are apart", "monitors are apart",
    ],
)  # fmt: skip
def test_vassals_are_those_of_the_newest_snapshot_and_what_changed(
    page: Page, messages: list[m.AnyAnswer], names: list[str]
) -> None:
    assert after(page, *messages, then=NAMES) == names


def test_totals_follow_every_change(page: Page) -> None:
    totals = after(
        page,
        snapshot(A, B, C),
        m.Changes(1, 0.0, (replace(A, state=m.State.FAILED), replace(B, pid=7))),
        m.Changes(1, 0.0, gone=(C.key,)),
        then="Object.fromEntries(s.totals)",
    )
    assert totals == {"up": 1, "failed": 1}


def test_events_are_bounded_and_told_once(page: Page) -> None:
    events = [replace(make_event(A, "VassalReady", f"number {n}"), at=float(n)) for n in range(1500)]
    texts = after(
        page,
        snapshot(A),
        m.Changes(1, 0.0, events=tuple(events)),
        m.Changes(1, 0.0, events=tuple(events[-200:])),
        then="s.events.map(e => e.text)",
    )
    assert texts == [f"number {n}" for n in range(500, 1500)]


def test_a_lag_is_shown_among_the_events(page: Page) -> None:
    assert after(page, m.Lagged(1, 7), then="s.events.map(e => e.text)") == [
        "7 events were dropped here: this page was too slow"
    ]


def test_usage_is_kept_until_the_process_is_another_one(page: Page) -> None:
    usage = m.Usage(
        1, 0.0, (m.Measured(A.monitor, A.name, A.ordinal, 0.5, 1024, 2), m.Measured("?", "?", 0, 1.0, 1, 1))
    )
    memory = "s.ordered.map(e => e.memory)"
    assert after(page, snapshot(A), usage, m.Changes(1, 0.0, (replace(A, ready=False),)), then=memory) == [1024]
    assert after(page, snapshot(A), usage, m.Changes(1, 0.0, (replace(A, pid=99),)), then=memory) == [None]


def test_times_are_the_emperors_whose_clock_may_be_another(page: Page) -> None:
    assert after(page, m.Tick(5000.0), m.Tick(5001.0), then="s.now(1002)") == 5002.0
    assert after(page, m.Tick(5000.0), m.Tick(4000.0), then="s.now(1002)") == 4001.0, "it was set back"


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, ["a-9.ini", "a-10.ini", "b.ini"]),
        ({"text": "A-"}, ["a-9.ini", "a-10.ini"]),
        ({"text": "a 10"}, ["a-10.ini"]),
        ({"text": "1001"}, ["a-9.ini"]),
        ({"states": ["failed"]}, ["b.ini"]),
        ({"states": ["failed", "up"]}, ["a-9.ini", "a-10.ini", "b.ini"]),
        ({"monitor": "/w"}, []),
        ({"monitor": "/v", "text": "b"}, ["b.ini"]),
    ],
)
def test_filters_narrow_together(page: Page, filters: dict[str, Any], names: list[str]) -> None:
    found = run(
        page,
        "state.js",
        "const s = new m.Store(); s.apply(JSON.parse(x[0]), 1); const f = new m.Filter(); Object.assign(f, x[1]);"
        "f.states = new Set(x[1].states); return m.arranged(s, f.compiled(), 'name', false).map(e => e.vassal.name)",
        [m.encode(snapshot(A, B, replace(C, state=m.State.FAILED))), filters],
    )
    assert found == names


@pytest.mark.parametrize(
    ("column", "names"),
    [
        ("name", ["a-9.ini", "a-10.ini", "b.ini"]),
        ("state", ["b.ini", "a-9.ini", "a-10.ini"]),
        ("pid", ["a-10.ini", "a-9.ini", "b.ini"]),
        ("restarts", ["b.ini", "a-9.ini", "a-10.ini"]),
    ],
)
def test_columns_sort(page: Page, column: str, names: list[str]) -> None:
    body = (
        "const s = new m.Store(); s.apply(JSON.parse(x[0]), 1);"
        "return [false, true].map(d => m.arranged(s, () => true, x[1], d).map(e => e.vassal.name))"
    )
    found = run(page, "state.js", body, [m.encode(snapshot(A, B, replace(C, state=m.State.FAILED, pid=0))), column])
    assert found == [names, names[::-1]]


@pytest.mark.parametrize(
    "name",
    [
        "plain.ini",
        "a/b%2F c#?&.ini",
        "мир.ini",
        "<script>.ini",
        "line\nbreak",
        "bytes\udcff\udc80é.ini",
        "half\udcc3.ini",
        "%FF.ini",
    ],
    ids=ascii,
)
def test_a_link_leads_back_to_the_same_name(page: Page, name: str) -> None:
    vassal = {"monitor": "pg://127.0.0.1/a?b=#c", "name": name, "ordinal": 2}
    text = "JSON.stringify(m.linked(m.linkTo(JSON.parse(x))))"
    assert json.loads(run(page, "words.js", f"return {text}", json.dumps(vassal))) == vassal


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("m.duration(0.4)", "0 s"),
        ("m.duration(59.9)", "59 s"),
        ("m.duration(3600)", "1 h"),
        ("m.duration(7500)", "2 h 5 min"),
        ("m.duration(90000)", "1 d 1 h"),
        ("m.duration(-3)", "0 s"),
        ("m.bytes(1023)", "1023 B"),
        ("m.bytes(1536)", "1.5 KiB"),
        ("m.bytes(25 * 2**20)", "25 MiB"),
        ("m.percent(0.004)", "0.4 %"),
        ("m.percent(1.2)", "120 %"),
        (r"m.shown('a\nb\u202egnp\u0007')", r"a\x0ab\u202egnp\x07"),
        (r"m.shown('\udcff \ud800')", "\\xff \ufffd"),
        ("m.classOf('on demand')", "on-demand"),
        ("m.classOf('something new')", "unknown"),
        ("m.tokenProtocol('a?>~')", "emperor-trio.token.YT8-fg"),
    ],
)
def test_words(page: Page, code: str, words: str) -> None:
    assert run(page, "words.js", f"return {code}") == words


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"held": "stopped by a command"}, "stopped by a command"),
        ({"state": m.State.BLACKLISTED, "next_spawn": 1012.0, "pid": 0}, "next start in 12 s"),
        ({"state": m.State.BLACKLISTED, "next_spawn": 999.0, "pid": 0}, "starts any moment"),
        (
            {"state": m.State.BLACKLISTED, "next_spawn": 1001.5, "exit_code": -9},
            "next start in 2 s; last ended with signal 9",
        ),
        ({"state": m.State.FAILED, "reason": "5 restarts within 60 s"}, "5 restarts within 60 s"),
        ({"state": m.State.WAITING, "on_demand": "127.0.0.1:80"}, "waits on 127.0.0.1:80"),
    ],
)  # fmt: skip
def test_why(page: Page, changes: dict[str, Any], words: str) -> None:
    [vassal] = json.loads(m.encode(snapshot(replace(A, **changes))))["vassals"]
    assert run(page, "words.js", "return m.why(x, 1000)", vassal) == words
