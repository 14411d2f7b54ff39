"""Links of one tenant that lead to another one's file: who owns them could turn them while a vassal starts."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from emperor_trio.model import Owner
from emperor_trio.monitors._entries import Found, Outcome, Refused, Rules
from emperor_trio.monitors._look import Looker
from emperor_trio.monitors._patterns import plan_pattern
from emperor_trio.monitors._sight import Glance, Job, Place
from emperor_trio.monitors._ways import walked
from tests.monitors.support import write

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")

MALLORY, ALICE = 1666, 1001
TYRANT = Rules(tyrant=True)


def give(path: Path, uid: int) -> Path:
    os.chown(path, uid, uid, follow_symlinks=False)
    return path


def link(path: Path, target: Path | str, uid: int) -> Path:
    path.symlink_to(target)
    return give(path, uid)


def look(folder: Path, known: dict[str, Found] | None = None, rules: Rules = TYRANT) -> tuple[Outcome | None, Outcome]:
    """``x.ini`` in a folder, as it is found by a whole look and by a glance."""
    plan = plan_pattern(f"{folder}/*.ini", "/")
    name = f"{folder}/x.ini"
    glance = Glance(name, str(folder), "x.ini")
    job = Job((Place(plan.base, shown=plan.shown),), full=True, glances=(glance,))
    seen = Looker(plan, rules, None, known or {}).carry_out(job)
    return seen.visits[str(folder)].outcomes.get(name), seen.glances[glance]


@pytest.fixture
def alices(tmp_path: Path) -> Path:
    (tmp_path / "alice").mkdir()
    write(tmp_path / "alice" / "x.ini")
    os.utime(tmp_path / "alice" / "x.ini", (1, 1))
    return give(tmp_path / "alice" / "x.ini", ALICE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "vassals").mkdir()
    return tmp_path / "vassals"


@pytest.mark.parametrize(("owner", "runs"), [(0, True), (ALICE, True), (MALLORY, False)])
@pytest.mark.parametrize("way", ["config", "on the way", "folder", "folder above", "relative"])
def test_whose_link_may_lead_to_a_file(
    tmp_path: Path, folder: Path, alices: Path, way: str, owner: int, runs: bool
) -> None:
    match way:
        case "config":
            link(folder / "x.ini", alices, owner)
        case "on the way":
            link(folder / "x.ini", link(tmp_path / "middle", alices.parent, owner) / "x.ini", 0)
        case "folder":
            folder = link(tmp_path / "mallory", alices.parent, owner)
        case "folder above":
            folder = link(tmp_path / "mallory", tmp_path, owner) / "alice"
        case "relative":
            link(folder / "x.ini", "../vassals/./y", 0)
            link(folder / "y", "../alice/x.ini", owner)
    for outcome in look(folder):
        if runs:
            assert isinstance(outcome, Found)
            assert outcome.spec.owner == Owner(ALICE, ALICE)
        else:
            assert isinstance(outcome, Refused)
            assert outcome.owner is None, "it would go on running as Alice"
            assert f"user {MALLORY}" in outcome.reason


def test_a_link_that_was_given_away_is_refused_though_nothing_else_changed(
    tmp_path: Path, folder: Path, alices: Path
) -> None:
    middle = link(tmp_path / "middle", alices, 0)
    link(folder / "x.ini", middle, 0)
    found, _ = look(folder)
    assert isinstance(found, Found)
    known = {found.spec.name: found}
    assert look(folder, known)[0] is found
    give(middle, MALLORY)
    assert isinstance(look(folder, known)[0], Refused)


def test_a_folder_that_became_a_strangers_link_is_refused_though_its_files_did_not_change(
    tmp_path: Path, alices: Path
) -> None:
    known, _ = look(alices.parent)
    assert isinstance(known, Found)
    alices.parent.rename(tmp_path / "elsewhere")
    link(tmp_path / "alice", tmp_path / "elsewhere", MALLORY)
    assert isinstance(look(alices.parent, {known.spec.name: known})[0], Refused)


def test_a_link_of_which_only_its_own_owner_counts_may_lead_anywhere(folder: Path, alices: Path) -> None:
    link(folder / "x.ini", alices, MALLORY)
    for rules in (replace(TYRANT, tyrant_nofollow=True), replace(TYRANT, nofollow=True)):
        for outcome in look(folder, rules=rules):
            assert isinstance(outcome, Found)
            assert outcome.spec.owner == Owner(MALLORY, MALLORY)


def test_ways_that_lead_nowhere(tmp_path: Path) -> None:
    link(tmp_path / "a", "b", 0)
    link(tmp_path / "b", "a", 0)
    (tmp_path / "file").touch()
    before = len(os.listdir("/proc/self/fd"))
    for path, code in (("a", errno.ELOOP), ("missing/x", errno.ENOENT), ("file/x", errno.ENOTDIR)):
        with pytest.raises(OSError, match=os.strerror(code)), walked(str(tmp_path / path)):
            pass
    assert len(os.listdir("/proc/self/fd")) == before
