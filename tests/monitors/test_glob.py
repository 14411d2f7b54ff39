"""``glob://`` on real folders with real inotify: wildcards at every level, folders that appear and vanish."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import trio

from emperor_trio.events import MonitorNotice
from emperor_trio.model import Destroy, Snapshot
from tests.monitors.support import watching_files, write


async def test_names_are_paths_and_vassals_start_in_the_emperors_folder(tmp_path: Path) -> None:
    name = write(tmp_path / "a.ini")
    async with watching_files(tmp_path / "*.ini") as watched:
        await watched.until_there(name)
    assert watched.vassals[name].directory is None


async def test_relative_patterns_give_relative_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "conf" / "a.ini")
    async with (
        watching_files("conf/*.ini") as folder,
        watching_files("*/a.ini") as any_folder,
        watching_files(".//conf/../conf/a.ini") as odd,
    ):
        await folder.until_there("conf/a.ini")
        await any_folder.until_there("conf/a.ini")
        await odd.until_there(".//conf/../conf/a.ini")
        write(tmp_path / "conf" / "b.ini")
        write(tmp_path / "more" / "a.ini")
        await folder.until_there("conf/a.ini", "conf/b.ini")
        await any_folder.until_there("conf/a.ini", "more/a.ini")


async def test_only_what_matches_counts_and_hidden_files_do_not(tmp_path: Path) -> None:
    name = write(tmp_path / "app1.ini")
    for other in ["app.xml", ".app2.ini", "apps.ini", "app1.ini~"]:
        write(tmp_path / other)
    async with watching_files(tmp_path / "app[0-9].ini") as watched:
        await watched.until_there(name)
        write(tmp_path / ".app3.ini")
        write(tmp_path / "app4.xml")
        more = write(tmp_path / "app4.ini")
        await watched.until_there(name, more)


async def test_one_file_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "emperor.ini"
    async with watching_files(path) as watched:
        await watched.until_there()
        write(path)
        await watched.until_there(str(path))
        path.unlink()
        await watched.until_there()
        write(path)
        await watched.until_there(str(path))


async def test_folders_of_a_wildcard_appear_and_vanish(tmp_path: Path) -> None:
    first = write(tmp_path / "opt" / "app1" / "conf" / "uwsgi.ini")
    async with watching_files(tmp_path / "opt" / "*" / "conf" / "*.ini") as watched:
        await watched.until_there(first)
        second = write(tmp_path / "opt" / "app2" / "conf" / "uwsgi.ini")
        await watched.until_there(first, second)
        (tmp_path / "opt" / "app3").mkdir()
        (tmp_path / "opt" / "app3" / "conf").mkdir()
        third = write(tmp_path / "opt" / "app3" / "conf" / "uwsgi.ini")
        await watched.until_there(first, second, third)
        shutil.rmtree(tmp_path / "opt" / "app1")
        await watched.until_there(second, third)
        (tmp_path / "opt" / "app3" / "conf").rename(tmp_path / "opt" / "app3" / "off")
        await watched.until_there(second)
        (tmp_path / "opt" / "app3" / "off").rename(tmp_path / "opt" / "app3" / "conf")
        await watched.until_there(second, third)
        version = watched.vassals[third].version
        write(Path(third), "changed")
        await watched.until_newer(third, version)


async def test_a_folder_of_a_wildcard_renamed_away_takes_its_vassals_along(tmp_path: Path) -> None:
    """Its parent can be read, and lacks it: that is an answer."""
    names = [write(tmp_path / "opt" / app / "a.ini") for app in ("one", "two")]
    async with watching_files(tmp_path / "opt" / "*" / "*.ini") as watched:
        await watched.until_there(*names)
        (tmp_path / "opt" / "one").rename(tmp_path / "one.off")
        await watched.until_there(names[1])
        write(tmp_path / "one.off" / "b.ini")
        write(tmp_path / "opt" / "two" / "c.ini")
        await watched.until_there(names[1], str(tmp_path / "opt" / "two" / "c.ini"))


async def test_a_folder_of_a_wildcard_exchanged_for_another_one(tmp_path: Path) -> None:
    kept = write(tmp_path / "opt" / "app" / "kept.ini")
    gone = write(tmp_path / "opt" / "app" / "gone.ini")
    write(tmp_path / "new" / "kept.ini")
    write(tmp_path / "new" / "added.ini")
    added = str(tmp_path / "opt" / "app" / "added.ini")
    async with watching_files(tmp_path / "opt" / "*" / "*.ini") as watched:
        await watched.until_there(kept, gone)
        version = watched.vassals[kept].version
        (tmp_path / "opt" / "app").rename(tmp_path / "old")
        (tmp_path / "new").rename(tmp_path / "opt" / "app")
        await watched.until_there(kept, added)
        assert watched.vassals[kept].version != version
        assert Destroy(kept) not in watched.observations


async def test_the_first_folder_renamed_away_changes_nothing(tmp_path: Path) -> None:
    name = write(tmp_path / "opt" / "app" / "a.ini")
    async with watching_files(tmp_path / "opt" / "*" / "*.ini") as watched:
        await watched.until_there(name)
        (tmp_path / "opt").rename(tmp_path / "away")
        await watched.until(lambda: [event for event in watched.events if isinstance(event, MonitorNotice)])
        await trio.sleep(0.3)
        assert watched.names == {name}
        (tmp_path / "away").rename(tmp_path / "opt")
        more = write(tmp_path / "opt" / "app2" / "a.ini")
        await watched.until_there(name, more)


async def test_folders_made_in_a_race_are_all_found(tmp_path: Path) -> None:
    (tmp_path / "opt").mkdir()
    async with watching_files(tmp_path / "opt" / "*" / "conf" / "*.ini") as watched:
        await watched.until_there()

        def make() -> list[str]:
            return [write(tmp_path / "opt" / f"app{number}" / "conf" / "a.ini") for number in range(300)]

        names = await trio.to_thread.run_sync(make)
        await watched.until_there(*names)
        await trio.to_thread.run_sync(shutil.rmtree, tmp_path / "opt")
        await watched.until_there()


async def test_files_and_links_among_the_folders_of_a_wildcard(tmp_path: Path) -> None:
    write(tmp_path / "opt" / "README")
    os.mkfifo(tmp_path / "opt" / "fifo")
    write(tmp_path / "real" / "a.ini")
    (tmp_path / "opt" / "loop").symlink_to("loop")
    (tmp_path / "opt" / "nowhere").symlink_to("../missing")
    (tmp_path / "opt" / "link").symlink_to("../real")
    name = str(tmp_path / "opt" / "link" / "a.ini")
    async with watching_files(tmp_path / "opt" / "*" / "*.ini") as watched:
        await watched.until_there(name)
        write(tmp_path / "real" / "b.ini")
        more = str(tmp_path / "opt" / "link" / "b.ini")
        await watched.until_there(name, more)
        (tmp_path / "opt" / "link").unlink()
        await watched.until_there()
        (tmp_path / "opt" / "link").symlink_to("../real")
        await watched.until_there(name, more)


async def test_two_monitors_share_folders_and_do_not_disturb_each_other(tmp_path: Path) -> None:
    name = write(tmp_path / "opt" / "a.ini")
    async with watching_files(tmp_path / "opt" / "*.ini") as lasting:
        await lasting.until_there(name)
        async with watching_files(tmp_path / "opt") as passing:
            await passing.until_there("a.ini")
            more = write(tmp_path / "opt" / "b.ini")
            await passing.until_there("a.ini", "b.ini")
            await lasting.until_there(name, more)
        last = write(tmp_path / "opt" / "c.ini")
        await lasting.until_there(name, more, last)


async def test_a_missing_first_folder_is_waited_for(tmp_path: Path) -> None:
    async with watching_files(tmp_path / "opt" / "apps" / "*" / "*.ini") as watched:
        await watched.until(lambda: watched.events)
        assert watched.observations == []
        name = write(tmp_path / "opt" / "apps" / "one" / "a.ini")
        await watched.until_there(name)
        assert isinstance(watched.observations[0], Snapshot)
        assert [event.text for event in watched.events] == [
            f"there is no folder {str(tmp_path / 'opt' / 'apps')!r}: waiting for it",
            f"the folder {str(tmp_path / 'opt' / 'apps')!r} is there now",
        ]
