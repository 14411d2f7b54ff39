"""The folders above a watched one: what befalls them is noticed, what goes on in them is not even heard."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

from emperor_trio.monitors._inotify import Inbox, Seen
from tests.monitors.support import PATIENCE, watching_files, write


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names in all events that a monitor was given."""
    names: set[str] = set()
    deliver = Inbox.deliver

    def note(inbox: Inbox, event: Seen) -> None:
        names.add(event.name)
        deliver(inbox, event)

    monkeypatch.setattr(Inbox, "deliver", note)
    return names


async def test_what_goes_on_above_is_not_heard(tmp_path: Path, heard: set[str]) -> None:
    folder = tmp_path / "busy" / "vassals"
    write(folder / "a.ini")
    async with watching_files(folder) as watched:
        await watched.until_there("a.ini")
        for above in (tmp_path / "busy", tmp_path):
            write(above / "other")
            (above / "other").chmod(0o600)
            (above / "other").unlink()
        write(folder / "b.ini")
        await watched.until_there("a.ini", "b.ini")
    assert "b.ini" in heard
    assert "other" not in heard


async def test_once_an_awaited_folder_is_there_the_one_above_is_not_heard_any_more(
    tmp_path: Path, heard: set[str]
) -> None:
    folder = tmp_path / "not" / "yet"
    async with watching_files(folder) as watched:
        await watched.until(lambda: bool(watched.events))
        write(folder / "a.ini")
        await watched.until_there("a.ini")

        async def is_quiet() -> bool:
            heard.clear()
            for above in (tmp_path / "not", tmp_path):
                write(above / "other")
                (above / "other").unlink()
            version = watched.vassals["a.ini"].version
            write(folder / "a.ini")
            await watched.until_newer("a.ini", version)
            return "other" not in heard

        with trio.fail_after(PATIENCE):
            while not await is_quiet():
                await trio.sleep(0.02)


async def test_an_ancestor_exchanged_for_another_one_is_noticed(tmp_path: Path) -> None:
    old, new = tmp_path / "old" / "a" / "b", tmp_path / "new" / "a" / "b"
    write(old / "vassals" / "old.ini")
    write(new / "vassals" / "new.ini")
    now = tmp_path / "now"
    (tmp_path / "old").rename(now)
    async with watching_files(now / "a" / "b" / "vassals") as watched:
        await watched.until_there("old.ini")
        for _ in range(2):
            now.rename(tmp_path / "old")
            (tmp_path / "new").rename(now)
            await watched.until_there("new.ini")
            now.rename(tmp_path / "new")
            (tmp_path / "old").rename(now)
            await watched.until_there("old.ini")
        write(now / "a" / "b" / "vassals" / "later.ini")
        await watched.until_there("later.ini", "old.ini")


async def test_an_ancestor_that_becomes_a_link_which_is_turned_is_noticed(tmp_path: Path) -> None:
    for name in ("1", "2"):
        write(tmp_path / name / "vassals" / f"{name}.ini")
    now = tmp_path / "now"
    write(now / "vassals" / "0.ini")
    async with watching_files(now / "vassals") as watched:
        await watched.until_there("0.ini")
        now.rename(tmp_path / "0")
        for target in "121":
            (tmp_path / "next").symlink_to(target)
            (tmp_path / "next").rename(now)
            await watched.until_there(f"{target}.ini")


@pytest.mark.parametrize("name", ["a.ini", None])
async def test_a_folder_deleted_under_a_process_that_stands_in_it(tmp_path: Path, name: str | None) -> None:
    """The kernel says nothing then, until that process leaves; a folder must be empty for it, and is looked at."""
    folder = tmp_path / "vassals"
    folder.mkdir()
    if name is not None:
        write(folder / name)
    descriptor = os.open(folder, os.O_PATH)
    try:
        async with watching_files(folder, frequency=0.2) as watched:
            await watched.until(lambda: bool(watched.observations))
            if name is not None:
                (folder / name).unlink()
                await watched.until_there()
            folder.rmdir()
            write(folder / "b.ini")
            await watched.until_there("b.ini")
    finally:
        os.close(descriptor)


async def test_a_folder_that_may_be_read_again_is_looked_at(tmp_path: Path, heard: set[str]) -> None:
    folder = tmp_path / "vassals"
    write(folder / "a.ini")
    async with watching_files(folder) as watched:
        await watched.until_there("a.ini")
        folder.chmod(0o700)
        with trio.fail_after(PATIENCE):
            while "" not in heard:
                await trio.sleep(0.01)
