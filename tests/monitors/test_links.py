"""Links to configs: what they lead to counts, wherever it lies; with ``--emperor-nofollow`` the link itself does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

from emperor_trio.events import MonitorNotice
from emperor_trio.model import Destroy
from emperor_trio.monitors import _look
from emperor_trio.testing.conformance import Watched
from tests.monitors.support import PATIENCE, make_monitor, watching_files, write


@pytest.fixture
def enabled(tmp_path: Path) -> Path:
    """A folder of links, beside one of configs."""
    for name in ("available", "enabled"):
        (tmp_path / name).mkdir()
    write(tmp_path / "available" / "a.ini", "[uwsgi]\n")
    (tmp_path / "enabled" / "a.ini").symlink_to("../available/a.ini")
    return tmp_path / "enabled"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "available" / "a.ini"


async def test_a_link_has_the_time_of_its_target(enabled: Path, target: Path) -> None:
    os.utime(target, ns=(0, 1_000_000_000))
    async with watching_files(enabled) as watched:
        await watched.until_there("a.ini")
        assert watched.vassals["a.ini"].version == 1_000_000_000


async def test_a_changed_target_is_seen_at_once(enabled: Path, target: Path) -> None:
    async with watching_files(enabled) as watched:
        await watched.until_there("a.ini")
        for change in (
            lambda: write(target, "written"),
            lambda: os.utime(target, ns=(0, 2_000_000_000)),
            lambda: (write(target.with_name("new"), "replaced"), target.with_name("new").rename(target)),
        ):
            version = watched.vassals["a.ini"].version
            change()
            await watched.until_newer("a.ini", version)


async def test_a_target_that_vanishes_and_returns(enabled: Path, target: Path) -> None:
    async with watching_files(enabled) as watched:
        await watched.until_there("a.ini")
        target.rename(target.with_name("off"))
        await watched.until_there()
        target.with_name("off").rename(target)
        await watched.until_there("a.ini")
        target.parent.rename(target.parent.with_name("away"))
        target.parent.mkdir()
        write(target, "[uwsgi]\n")
        (enabled / "a.ini").unlink()
        await watched.until_there()


async def test_a_link_made_before_its_target(enabled: Path, tmp_path: Path) -> None:
    (enabled / "early.ini").symlink_to(tmp_path / "not" / "yet" / "app.ini")
    async with watching_files(enabled) as watched:
        await watched.until_there("a.ini")
        (enabled / "late.ini").symlink_to(tmp_path / "not" / "later.ini")
        (tmp_path / "not" / "yet").mkdir(parents=True)
        write(tmp_path / "not" / "yet" / "app.ini", "[uwsgi]\n")
        await watched.until_there("a.ini", "early.ini")
        write(tmp_path / "not" / "later.ini", "[uwsgi]\n")
        await watched.until_there("a.ini", "early.ini", "late.ini")


async def test_a_link_that_leads_nowhere_may_go_again(enabled: Path, tmp_path: Path) -> None:
    async with watching_files(enabled) as watched:
        await watched.until_there("a.ini")
        (enabled / "nowhere.ini").symlink_to(tmp_path / "not" / "there.ini")
        write(enabled / "b.ini", "")
        await watched.until_there("a.ini", "b.ini")
        (enabled / "nowhere.ini").unlink()
        write(enabled / "c.ini", "")
        await watched.until_there("a.ini", "b.ini", "c.ini")
        (tmp_path / "not").mkdir()
        write(tmp_path / "not" / "there.ini", "")
        write(enabled / "d.ini", "")
        await watched.until_there("a.ini", "b.ini", "c.ini", "d.ini")


async def test_a_link_over_a_link_that_is_turned(enabled: Path, tmp_path: Path) -> None:
    for release in ("1", "2"):
        (tmp_path / "releases" / release).mkdir(parents=True)
        write(tmp_path / "releases" / release / "app.ini", release)
    (tmp_path / "current").symlink_to("releases/1")
    (enabled / "app.ini").symlink_to(tmp_path / "current" / "app.ini")
    async with watching_files(enabled) as watched:
        await watched.until_there("a.ini", "app.ini")
        version = watched.vassals["app.ini"].version
        (tmp_path / "next").symlink_to("releases/2")
        (tmp_path / "next").rename(tmp_path / "current")
        await watched.until_newer("app.ini", version)
        version = watched.vassals["app.ini"].version
        write(tmp_path / "releases" / "2" / "app.ini", "changed")
        await watched.until_newer("app.ini", version)
        assert not any(isinstance(seen, Destroy) for seen in watched.observations)


async def test_a_link_turned_to_another_target(enabled: Path, tmp_path: Path) -> None:
    write(tmp_path / "other.ini", "")
    os.utime(tmp_path / "other.ini", ns=(0, 5))
    async with watching_files(enabled) as watched:
        await watched.until_there("a.ini")
        (enabled / ".new").symlink_to("../other.ini")
        (enabled / ".new").rename(enabled / "a.ini")
        await watched.until(lambda: watched.vassals["a.ini"].version == 5)
        os.utime(tmp_path / "other.ini", ns=(0, 6))
        await watched.until(lambda: watched.vassals["a.ini"].version == 6)


async def test_links_within_the_folder_and_loops(enabled: Path) -> None:
    (enabled / "b.ini").symlink_to("a.ini")
    (enabled / "loop.ini").symlink_to("loop.ini")
    (enabled / "folder.ini").symlink_to(".")
    async with watching_files(enabled) as watched:
        await watched.until_there("a.ini", "b.ini")
        version = watched.vassals["b.ini"].version
        write(enabled / "a.ini", "through the link")
        await watched.until_newer("b.ini", version)
        await watched.until_newer("a.ini", version)


async def test_run_again_it_watches_the_targets_again(enabled: Path, target: Path) -> None:
    watched = Watched(PATIENCE)
    monitor = make_monitor(str(enabled), watched.publish, watched.bell)
    for _ in range(3):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(monitor.run, watched.emit)
            await watched.until_there("a.ini")
            version = watched.vassals["a.ini"].version
            write(target)
            await watched.until_newer("a.ini", version)
            nursery.cancel_scope.cancel()
        watched.vassals.clear()
    assert watched.events == []


async def test_with_nofollow_the_link_itself_counts(enabled: Path, target: Path) -> None:
    (enabled / "nowhere.ini").symlink_to("missing")
    async with watching_files(enabled, nofollow=True) as watched:
        await watched.until_there("a.ini", "nowhere.ini")
        own = watched.vassals["a.ini"].version
        assert own == (enabled / "a.ini").lstat().st_mtime_ns
        write(target, "not seen")
        os.utime(enabled / "a.ini", ns=(0, 7), follow_symlinks=False)
        await watched.until_newer("a.ini", own)
        assert watched.vassals["a.ini"].version == 7
        assert len(watched.observations) == 2


async def test_too_many_targets_are_scanned_for_instead(
    tmp_path: Path, enabled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_look, "MOST_TARGETS", 2)
    names = [f"{number}.ini" for number in range(5)]
    for name in names:
        (tmp_path / f"app-{name}").mkdir()
        write(tmp_path / f"app-{name}" / "app.ini", "")
        (enabled / name).symlink_to(tmp_path / f"app-{name}" / "app.ini")
    async with watching_files(enabled, frequency=0.1) as watched:
        await watched.until_there("a.ini", *names)
        for name in names:
            version = watched.vassals[name].version
            write(tmp_path / f"app-{name}" / "app.ini", "changed")
            await watched.until_newer(name, version)
        said = [event.text for event in watched.events if isinstance(event, MonitorNotice)]
        assert said == ["links lead into folders that are not watched (at most 4096 are): scanning every 0.1 s"]
