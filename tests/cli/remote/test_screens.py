"""What a person sees, at 80 and 140 columns, held by snapshots: look at them (``__snapshots__``) when they change."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from rich.cells import cell_len
from syrupy.assertion import SnapshotAssertion

from emperor_trio.cli.remote import monitors, show, status
from emperor_trio.cli.remote.board import Board
from emperor_trio.cli.remote.flags import Given, page_text, read_words
from emperor_trio.cli.remote.happened import event_line
from emperor_trio.cli.remote.pages import STATES
from emperor_trio.cli.remote.paint import Ink
from emperor_trio.cli.remote.rows import Used
from emperor_trio.cli.remote.start import COMMANDS
from emperor_trio.control.messages import State
from tests.cli.remote.scene import EVENTS, GREETING, MONITORS, NOW, SNAPSHOT, VASSALS, details

WIDTHS = [80, 140]
ESCAPE = re.compile(r"\033\[[0-9;]*m")


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def given(*words: str) -> Given:
    name, *rest = words
    found = read_words(COMMANDS[name], rest)
    assert found is not None
    return found


def harmless(lines: list[str], width: int | None) -> str:
    """The lines as text, none of which says anything to a terminal or is wider than it."""
    for line in lines:
        bare = ESCAPE.sub("", line)
        assert bare.isprintable(), repr(bare)
        assert "\u202e" not in bare
        assert width is None or cell_len(bare) <= width, bare
    return "\n".join(lines)


@pytest.mark.parametrize("width", WIDTHS)
def test_status(width: int, snapshot: SnapshotAssertion) -> None:
    lines = list(status.screen(GREETING, SNAPSHOT, given("status"), Ink(False, width), None))
    assert harmless(lines, width) == snapshot


def test_status_in_colour_and_cut_to_a_small_terminal(snapshot: SnapshotAssertion) -> None:
    lines = list(status.screen(GREETING, SNAPSHOT, given("status", "--sort", "name"), Ink(True, 80), 14))
    assert harmless(lines, 80) == snapshot


def test_status_wide(snapshot: SnapshotAssertion) -> None:
    lines = list(status.screen(GREETING, SNAPSHOT, given("status", "--wide"), Ink(False, None), None))
    assert harmless(lines, None) == snapshot


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["blog.ini", "cart.ini", "wrecked.ini", "off.ini", "caf\udce9-日本語-\u202eevil.ini"])
def test_show(name: str, width: int, snapshot: SnapshotAssertion) -> None:
    use = Used(0.12, 61_000_000, 3) if name == "blog.ini" else None
    lines = "\n".join(show.page(details(name), use, GREETING, NOW, Ink(False, width))).split("\n")
    assert harmless(lines, width) == snapshot


@pytest.mark.parametrize("width", WIDTHS)
def test_events(width: int, snapshot: SnapshotAssertion) -> None:
    lines = [line for event in EVENTS for line in event_line(event, NOW, Ink(False, width)).split("\n")]
    assert harmless(lines, width) == snapshot


@pytest.mark.parametrize("width", WIDTHS)
def test_monitors(width: int, snapshot: SnapshotAssertion) -> None:
    text = harmless(list(monitors.screen(MONITORS, NOW, Ink(False, width))), width)
    assert "secret" not in text
    assert text == snapshot


@pytest.mark.parametrize("width", WIDTHS)
def test_top(width: int, snapshot: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board(Ink(False, width))
    monkeypatch.setattr(Board, "now", property(lambda board: NOW))
    board.greeting = GREETING
    board.take(SNAPSHOT)
    assert harmless(board.lines(width, 20), width) == snapshot


def test_top_heeds_its_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board(Ink(False, 80))
    monkeypatch.setattr(Board, "now", property(lambda board: NOW))
    board.greeting = GREETING
    board.take(SNAPSHOT)
    board.lines(80, 24)
    board.press("n")
    assert [row.name for row in board.ordered()] == sorted(row.name for row in VASSALS)
    board.press("n")
    assert [row.name for row in board.ordered()] == sorted((row.name for row in VASSALS), reverse=True)
    for key in "/shop":
        board.press(key)
    assert [row.name for row in board.ordered()] == ["shop.ini"]


def test_every_state_has_a_place_in_what_is_taught() -> None:
    assert {State(name) for name in STATES} == set(State)
    assert {row.state for row in VASSALS} == set(State)


@pytest.mark.parametrize("name", COMMANDS)
def test_help(name: str, snapshot: SnapshotAssertion) -> None:
    text = page_text(COMMANDS[name], 80, False)
    assert "Examples" in text
    assert harmless(text.split("\n"), 80) == snapshot
