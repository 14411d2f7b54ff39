"""``dir://`` on real folders with real inotify. Scans are 60 s apart: what is seen in time was seen by events."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import trio

from emperor_trio.events import MonitorNotice, NameSkipped
from emperor_trio.model import Destroy, Snapshot, Touch
from emperor_trio.monitors import _belief, _entries
from emperor_trio.testing.conformance import Watched
from tests.monitors.support import watching_files, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "vassals"
    made.mkdir()
    return made


def notices(watched: Watched) -> list[str]:
    return [event.message for event in watched.events if isinstance(event, MonitorNotice)]


async def test_the_spec_says_what_the_file_says(folder: Path) -> None:
    write(folder / "a.ini")
    os.utime(folder / "a.ini", ns=(0, 1_700_000_000_123_456_789))
    async with watching_files(folder) as watched:
        await watched.until_there("a.ini")
    spec = watched.vassals["a.ini"]
    assert (spec.version, spec.modified) == (1_700_000_000_123_456_789, 1_700_000_000)
    assert spec.directory == str(folder)
    assert (spec.config, spec.owner, spec.socket, spec.executable, spec.on_demand) == (None, None, None, False, False)


async def test_a_relative_folder_is_started_in_by_its_absolute_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    write(folder / "a.ini")
    async with watching_files("dir://vassals/") as watched:
        await watched.until_there("a.ini")
    assert watched.vassals["a.ini"].directory == str(folder)


async def test_every_config_extension_counts_and_hidden_files_do_too(folder: Path) -> None:
    names = ["a.xml", "b.ini", "c.yml", "d.yaml", "e.json", "f.js", ".hidden.ini", ".ini", "g.conf"]
    for name in [*names, "README", "a.ini~", ".a.ini.swp", "4913", "#a.ini#", "a.toml"]:
        write(folder / name)
    async with watching_files(folder, extra_extensions=frozenset({".conf"})) as watched:
        await watched.until_there(*names)


async def test_editors_temporary_files_are_never_vassals(folder: Path) -> None:
    write(folder / "a.ini")
    async with watching_files(folder) as watched:
        await watched.until_there("a.ini")
        for name in ["4913", ".a.ini.swp", "a.ini~", "#a.ini#", ".#a.ini"]:
            write(folder / name)
            (folder / name).unlink()
        write(folder / "b.ini")
        await watched.until_there("a.ini", "b.ini")
        assert len(watched.observations) == 2


async def test_strange_names_are_names(folder: Path) -> None:
    names = [
        "with space.ini",
        "qu'ot\"es.ini",
        "Ümläut-☃.ini",
        "line\nbreak.ini",
        "-rf.ini",
        "a:b.ini",
        "\udcff\udcfe.ini",
    ]
    for name in names[::2]:
        write(folder / name)
    async with watching_files(folder) as watched:
        await watched.until_there(*names[::2])
        for name in names[1::2]:
            write(folder / name)
        await watched.until_there(*names)
        (folder / names[0]).unlink()
        await watched.until_there(*names[1:])


async def test_a_name_of_255_bytes_is_too_long(folder: Path) -> None:
    fits, too_long = "a" * 250 + ".ini", "a" * 251 + ".ini"
    write(folder / fits)
    write(folder / too_long)
    async with watching_files(folder) as watched:
        await watched.until_there(fits)
        assert [event.name for event in watched.events if isinstance(event, NameSkipped)] == [too_long]


async def test_what_is_no_vassal_is_named_once(folder: Path) -> None:
    write(folder / "README")
    os.mkfifo(folder / "fifo.ini")
    (folder / "folder.ini").mkdir()
    (folder / "nowhere.ini").symlink_to("missing.ini")
    async with watching_files(folder) as watched:
        await watched.until_there()
        for rings in range(1, 4):
            watched.bell.ring()
            await watched.until(lambda rings=rings: len(watched.observations) > rings)  # type: ignore[misc]
        skipped = {event.name: event.reason for event in watched.events if isinstance(event, NameSkipped)}
        assert len(watched.events) == len(skipped)
    assert skipped == {
        "README": "its ending is no config's, or it has 255 bytes or more",
        "fifo.ini": "a FIFO, not a file",
        "folder.ini": "a folder, not a file",
        "nowhere.ini": "a link that leads nowhere",
    }


async def test_an_atomic_replace_is_one_touch(folder: Path) -> None:
    write(folder / "a.ini")
    async with watching_files(folder) as watched:
        await watched.until_there("a.ini")
        for number in range(5):
            version = watched.vassals["a.ini"].version
            write(folder / ".new", "x" * number)
            (folder / ".new").rename(folder / "a.ini")
            await watched.until_newer("a.ini", version)
        assert [type(seen) for seen in watched.observations] == [Snapshot] + [Touch] * 5


async def test_a_second_edit_within_a_second_counts_and_an_older_time_does_too(folder: Path) -> None:
    """uWSGI wants a later whole second."""
    write(folder / "a.ini")
    async with watching_files(folder) as watched:
        await watched.until_there("a.ini")
        for time in [1_600_000_000_000_000_001, 1_600_000_000_000_000_002, 1_500_000_000_000_000_000]:
            version = watched.vassals["a.ini"].version
            os.utime(folder / "a.ini", ns=(0, time))
            await watched.until_newer("a.ini", version)
            assert watched.vassals["a.ini"].version == time


async def test_a_changed_mode_alone_is_no_change(folder: Path) -> None:
    write(folder / "a.ini")
    async with watching_files(folder) as watched:
        await watched.until_there("a.ini")
        (folder / "a.ini").chmod(0o600)
        write(folder / "b.ini")
        await watched.until_there("a.ini", "b.ini")
        assert [type(seen) for seen in watched.observations] == [Snapshot, Touch]


async def test_a_file_is_read_when_its_write_is_finished_and_not_before(folder: Path) -> None:
    async with watching_files(folder) as watched:
        await watched.until_there()
        with (folder / "slow.ini").open("w") as file:
            file.write("[uws")
            file.flush()
            (folder / "slow.ini").chmod(0o644)  # as editors do, in the middle of it
            write(folder / "other.ini")
            await watched.until_there("other.ini")
            watched.bell.ring()
            await watched.until(lambda: isinstance(watched.observations[-1], Snapshot))
            assert watched.names == {"other.ini"}
            file.write("gi]\n")
        await watched.until_there("other.ini", "slow.ini")
        assert watched.vassals["slow.ini"].version == (folder / "slow.ini").stat().st_mtime_ns


async def test_a_slow_rewrite_after_a_removal_is_no_removal(folder: Path) -> None:
    write(folder / "a.ini")
    async with watching_files(folder) as watched:
        await watched.until_there("a.ini")
        version = watched.vassals["a.ini"].version
        (folder / "a.ini").unlink()
        with (folder / "a.ini").open("w") as file:
            file.write("[uws")
            file.flush()
            await trio.sleep(0.3)  # longer than a name may be away
            assert watched.vassals["a.ini"].version == version
            file.write("gi]\n")
        await watched.until_newer("a.ini", version)
        assert [type(seen) for seen in watched.observations] == [Snapshot, Touch]


async def test_a_file_made_complete_without_a_write_is_seen(folder: Path) -> None:
    (folder / "original").write_text("[uwsgi]\n")
    async with watching_files(folder) as watched:
        await watched.until_there()
        os.link(folder / "original", folder / "hard.ini")
        await watched.until_there("hard.ini")
        os.symlink("original", folder / "soft.ini")
        await watched.until_there("hard.ini", "soft.ini")


async def test_an_editor_that_renames_the_old_file_away_is_no_removal(folder: Path) -> None:
    write(folder / "a.ini")
    async with watching_files(folder) as watched:
        await watched.until_there("a.ini")
        version = watched.vassals["a.ini"].version
        (folder / "a.ini").rename(folder / "a.ini~")
        write(folder / "a.ini", "new")
        (folder / "a.ini~").unlink()
        await watched.until_newer("a.ini", version)
        write(folder / "b.ini")
        await watched.until_there("a.ini", "b.ini")
        assert not any(isinstance(seen, Destroy) for seen in watched.observations)


async def test_a_rename_is_a_removal_and_an_addition(folder: Path) -> None:
    write(folder / "a.ini")
    async with watching_files(folder) as watched:
        await watched.until_there("a.ini")
        (folder / "a.ini").rename(folder / "b.ini")
        await watched.until_there("b.ini")
        (folder / "b.ini").rename(folder / "b.ini.off")
        await watched.until_there()


async def test_a_folder_in_place_of_a_config_is_a_removal(folder: Path) -> None:
    write(folder / "a.ini")
    async with watching_files(folder) as watched:
        await watched.until_there("a.ini")
        (folder / "a.ini").unlink()
        (folder / "a.ini").mkdir()
        await watched.until_there()


async def test_many_files_at_once(folder: Path) -> None:
    names = [f"{number}.ini" for number in range(1000)]
    async with watching_files(folder) as watched:
        await watched.until_there()
        for name in names:
            write(folder / name)
        await watched.until_there(*names)
        shutil.rmtree(folder)
        folder.mkdir()
        await watched.until_there()


async def test_a_missing_folder_is_waited_for_and_said_once(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "yet" / "there"
    async with watching_files(folder) as watched:
        await watched.until(lambda: watched.events)
        assert notices(watched) == [f"there is no folder {str(folder)!r}: waiting for it"]
        assert watched.observations == []
        folder.mkdir(parents=True)
        await watched.until_there()
        write(folder / "a.ini")
        await watched.until_there("a.ini")
        assert [event.text for event in watched.events[1:]] == [f"the folder {str(folder)!r} is there now"]


async def test_a_missing_folder_that_appears_full(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    write(tmp_path / "new" / "a.ini")
    async with watching_files(tmp_path / "vassals") as watched:
        await watched.until(lambda: watched.events)
        (tmp_path / "new").rename(tmp_path / "vassals")
        await watched.until_there("a.ini")


async def test_a_file_where_the_folder_should_be_is_waited_out(tmp_path: Path) -> None:
    folder = tmp_path / "vassals"
    async with watching_files(f"dir://{folder}") as watched:
        await watched.until(lambda: watched.events)
        write(folder)
        folder.unlink()
        folder.mkdir()
        await watched.until_there()


async def test_a_deleted_folder_takes_its_vassals_along_and_is_waited_for(folder: Path) -> None:
    write(folder / "a.ini")
    write(folder / "b.ini")
    async with watching_files(folder) as watched:
        await watched.until_there("a.ini", "b.ini")
        shutil.rmtree(folder)
        await watched.until_there()
        folder.mkdir()
        write(folder / "b.ini")
        await watched.until_there("b.ini")


async def test_a_folder_renamed_away_changes_nothing(folder: Path) -> None:
    write(folder / "a.ini")
    async with watching_files(folder) as watched:
        await watched.until_there("a.ini")
        away = folder.rename(folder.with_name("away"))
        await watched.until(lambda: notices(watched))
        (away / "a.ini").unlink()
        await trio.sleep(0.3)
        assert watched.names == {"a.ini"}
        folder.mkdir()
        write(folder / "b.ini")
        await watched.until_there("a.ini", "b.ini")
        await watched.until_there("b.ini")  # the new folder says for a second time that it lacks a.ini


async def test_a_folder_exchanged_for_another_one_is_read_at_once(folder: Path) -> None:
    write(folder / "a.ini")
    write(folder / "gone.ini")
    new = folder.with_name("new")
    new.mkdir()
    for name in ["a.ini", "b.ini"]:
        write(new / name)
    async with watching_files(folder) as watched:
        await watched.until_there("a.ini", "gone.ini")
        folder.rename(folder.with_name("old"))
        new.rename(folder)
        await watched.until_there("a.ini", "gone.ini", "b.ini")
        await watched.until_there("a.ini", "b.ini")
        write(folder / "c.ini")
        await watched.until_there("a.ini", "b.ini", "c.ini")


async def test_a_suddenly_empty_folder_that_fills_again_in_time_was_never_empty(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a mount that comes a moment after its folder."""
    monkeypatch.setattr(_belief, "SECOND_LOOK", 30.0)
    write(folder / "a.ini")
    async with watching_files(folder) as watched:
        await watched.until_there("a.ini")
        folder.rename(folder.with_name("old"))
        folder.mkdir()
        write(folder / "c.ini")
        await watched.until_there("a.ini", "c.ini")
        (folder / "c.ini").unlink()
        folder.rmdir()
        folder.with_name("old").rename(folder)
        write(folder / "b.ini")
        await watched.until_there("a.ini", "b.ini")
        assert [seen for seen in watched.observations if isinstance(seen, Destroy)] == [Destroy("c.ini")]


async def test_a_parent_renamed_away_and_back(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "vassals"
    folder.mkdir(parents=True)
    write(folder / "a.ini")
    async with watching_files(folder) as watched:
        await watched.until_there("a.ini")
        (tmp_path / "a").rename(tmp_path / "away")
        await watched.until(lambda: notices(watched))
        (tmp_path / "away").rename(tmp_path / "a")
        write(folder / "b.ini")
        await watched.until_there("a.ini", "b.ini")


async def test_the_folder_itself_may_be_a_link_that_is_turned(tmp_path: Path) -> None:
    """As with releases/1, releases/2 and a link called current."""
    for release, names in {"1": ["a.ini", "b.ini"], "2": ["a.ini", "b.ini", "c.ini"]}.items():
        (tmp_path / "releases" / release / "vassals").mkdir(parents=True)
        for name in names:
            write(tmp_path / "releases" / release / "vassals" / name)
    (tmp_path / "current").symlink_to("releases/1")
    async with watching_files(tmp_path / "current" / "vassals") as watched:
        await watched.until_there("a.ini", "b.ini")
        (tmp_path / "next").symlink_to("releases/2")
        (tmp_path / "next").rename(tmp_path / "current")
        await watched.until_there("a.ini", "b.ini", "c.ini")
        write(tmp_path / "releases" / "2" / "vassals" / "d.ini")
        await watched.until_there("a.ini", "b.ini", "c.ini", "d.ini")


async def test_an_edit_in_the_same_tick_of_the_clock_is_not_missed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kernels before 6.13 give two writes within a tick the same time."""
    monkeypatch.setattr(_entries, "RACY", 10**12)
    write(folder / "a.ini")
    async with watching_files(folder) as watched:
        await watched.until_there("a.ini")
        write(folder / "a.ini", "first")
        status = (folder / "a.ini").stat()
        await watched.until_newer("a.ini", 0)
        await watched.until(lambda: watched.vassals["a.ini"].version == status.st_mtime_ns)
        write(folder / ".new", "second!")
        os.utime(folder / ".new", ns=(0, status.st_mtime_ns))
        (folder / ".new").rename(folder / "a.ini")
        await watched.until(lambda: isinstance(seen := watched.observations[-1], Touch) and seen.force)
