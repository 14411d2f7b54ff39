"""Looking at announced files in Tyrant mode: whose links lead to them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from emperor_trio.model import Owner
from emperor_trio.monitors._announced_look import find_changed, look_at
from emperor_trio.monitors._entries import Found, Refused, Rules
from tests.monitors.support import write

TYRANT = Rules(tyrant=True)
ALICE, MALLORY = 1001, 1002

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "alice" / "app.ini"
    write(path)
    os.chown(path, ALICE, ALICE)
    return path


def link(path: Path, to: Path, owner: int) -> Path:
    path.symlink_to(to)
    os.lchown(path, owner, owner)
    return path


def test_a_strangers_link_among_the_folders_is_refused(config: Path, tmp_path: Path) -> None:
    path = str(link(tmp_path / "current", config.parent, MALLORY) / "app.ini")
    outcome = look_at([path], TYRANT)[path]
    assert isinstance(outcome, Refused)
    assert outcome.owner is None, "a vassal that was there would run on"
    assert str(MALLORY) in outcome.reason


def test_a_link_to_a_strangers_link_is_refused(config: Path, tmp_path: Path) -> None:
    folder = link(tmp_path / "current", config.parent, MALLORY)
    path = str(link(tmp_path / "app.ini", folder / "app.ini", 0))
    assert isinstance(look_at([path], TYRANT)[path], Refused)


@pytest.mark.parametrize("owner", [0, ALICE])
def test_other_links_among_the_folders_are_not(config: Path, tmp_path: Path, owner: int) -> None:
    path = str(link(tmp_path / "current", config.parent, owner) / "app.ini")
    assert isinstance(look_at([path], TYRANT)[path], Found)
    assert find_changed({path: Owner(ALICE, ALICE)}, TYRANT) == []


def test_without_tyrant_mode_nobodys_link_matters(config: Path, tmp_path: Path) -> None:
    path = str(link(tmp_path / "current", config.parent, MALLORY) / "app.ini")
    assert isinstance(look_at([path], Rules())[path], Found)
    assert find_changed({path: None}, Rules()) == []


@pytest.mark.parametrize("among_the_folders", [False, True])
def test_a_link_that_a_stranger_puts_there_is_noticed(config: Path, tmp_path: Path, among_the_folders: bool) -> None:
    """The owner of the file is the same as before."""
    to, place = (config.parent, tmp_path / "current") if among_the_folders else (config, tmp_path / "app.ini")
    path = str(place / "app.ini" if among_the_folders else place)
    link(place, to, ALICE)
    assert find_changed({path: Owner(ALICE, ALICE)}, TYRANT) == []
    place.unlink()
    link(place, to, MALLORY)
    assert find_changed({path: Owner(ALICE, ALICE)}, TYRANT) == [path]
