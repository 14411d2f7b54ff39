"""The one inotify instance that all monitors of a Trio run share."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import inotify_simple  # type: ignore[import-untyped]
import pytest
import trio
from inotify_simple import flags

from emperor_trio.monitors import _inotify
from emperor_trio.monitors._inotify import Inbox, open_inbox
from emperor_trio.testing.conformance import count_descriptors

MASK = int(flags.CREATE | flags.DELETE | flags.DELETE_SELF)


async def take(inbox: Inbox) -> list[tuple[str, str]]:
    with trio.fail_after(20):
        await inbox.wait()
    return [(seen.folder, seen.name) for seen in inbox.take() or []]


async def test_all_share_one_descriptor_and_the_last_one_closes_it(tmp_path: Path) -> None:
    before = count_descriptors()
    first, second = open_inbox(), open_inbox()
    assert count_descriptors() == before + 1
    first.close()
    first.close()
    assert count_descriptors() == before + 1
    second.close()
    assert count_descriptors() == before
    again = open_inbox()
    again.watch(str(tmp_path), MASK)
    (tmp_path / "a").touch()
    assert await take(again) == [(str(tmp_path), "a")]
    again.close()
    assert count_descriptors() == before


async def test_one_folder_with_several_watchers_is_watched_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(tmp_path)
    (tmp_path / "link").symlink_to(".")
    removed: list[int] = []
    real = inotify_simple.INotify.rm_watch

    def note(inotify: inotify_simple.INotify, watch: int) -> None:
        removed.append(watch)
        real(inotify, watch)

    monkeypatch.setattr(inotify_simple.INotify, "rm_watch", note)
    first, second = open_inbox(), open_inbox()
    try:
        first.watch(folder, int(flags.CREATE))
        first.watch(f"{folder}/link", int(flags.CREATE))
        second.watch(folder, int(flags.DELETE))
        (tmp_path / "a").touch()
        assert sorted(await take(first)) == [(folder, "a"), (f"{folder}/link", "a")]
        first.unwatch(folder)
        first.unwatch(f"{folder}/link")
        first.unwatch("never watched")
        assert removed == []
        assert not first.watches(folder)
        assert second.watches(folder)
        second.take()
        (tmp_path / "a").unlink()
        assert await take(second) == [(folder, "a")]
        assert first.take() == []
        second.unwatch(folder)
        assert len(removed) == 1
    finally:
        first.close()
        second.close()


async def test_a_watch_ends_with_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    inbox = open_inbox()
    try:
        inbox.watch(str(folder), MASK)
        folder.rmdir()
        seen = [await take(inbox)]
        while inbox.watches(str(folder)):
            seen.append(await take(inbox))
        folder.mkdir()
        inbox.watch(str(folder), MASK)
        (folder / "a").touch()
        assert await take(inbox) == [(str(folder), "a")]
    finally:
        inbox.close()


async def test_another_folder_at_the_same_path_takes_the_watch_over(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    inbox = open_inbox()
    try:
        inbox.watch(str(folder), int(flags.CREATE))
        folder.rename(tmp_path / "old")
        folder.mkdir()
        inbox.watch(str(folder), int(flags.CREATE))
        (tmp_path / "old" / "not seen").touch()
        (folder / "seen").touch()
        assert await take(inbox) == [(str(folder), "seen")]
    finally:
        inbox.close()


async def test_what_is_no_folder_can_not_be_watched(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    inbox = open_inbox()
    try:
        with pytest.raises(NotADirectoryError):
            inbox.watch(str(tmp_path / "file"), MASK)
        with pytest.raises(FileNotFoundError):
            inbox.watch(str(tmp_path / "missing"), MASK)
        assert not inbox.watches(str(tmp_path / "file"))
    finally:
        inbox.close()


async def test_too_many_unread_events_are_an_overflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_inotify, "MOST_UNREAD", 3)
    inbox = open_inbox()
    try:
        inbox.watch(str(tmp_path), int(flags.CREATE))
        for name in "abcd":
            (tmp_path / name).touch()
        assert inbox.take() is None
        assert inbox.take() == []
    finally:
        inbox.close()


class SlowINotify(inotify_simple.INotify):  # type: ignore[misc]
    """Stops between adding a watch and telling of it."""

    added, go_on = threading.Event(), threading.Event()

    def add_watch(self, path: str, mask: int) -> int:
        watch = int(super().add_watch(path, mask))
        self.added.set()
        self.go_on.wait(30)
        return watch


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> type[SlowINotify]:
    monkeypatch.setattr(SlowINotify, "added", threading.Event())
    monkeypatch.setattr(SlowINotify, "go_on", threading.Event())
    monkeypatch.setattr(_inotify, "INotify", SlowINotify)
    return SlowINotify


async def test_a_folder_deleted_while_its_watch_is_added_is_not_taken_for_watched(
    tmp_path: Path, slow: type[SlowINotify]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    inbox = open_inbox()
    errors: list[type[BaseException]] = []

    async def watch() -> None:
        try:
            await trio.to_thread.run_sync(inbox.watch, str(folder), MASK)
        except OSError as error:
            errors.append(type(error))

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await trio.to_thread.run_sync(slow.added.wait)
            folder.rmdir()
            inbox.take()
            slow.go_on.set()
    assert errors == [FileNotFoundError]
    assert not inbox.watches(str(folder))
    inbox.close()


async def test_a_thread_that_outlives_its_monitor_keeps_nothing(tmp_path: Path, slow: type[SlowINotify]) -> None:
    before = count_descriptors()
    inbox = open_inbox()
    done: list[bool] = []

    async def watch() -> None:
        await trio.to_thread.run_sync(inbox.watch, str(tmp_path), MASK)
        done.append(True)

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await trio.to_thread.run_sync(slow.added.wait)
            inbox.close()
            assert count_descriptors() == before + 1, "closed under a thread that uses it"
            slow.go_on.set()
    assert done
    assert count_descriptors() == before
    with pytest.raises(OSError, match="the monitor has ended"):
        inbox.watch(str(tmp_path), MASK)


async def test_it_is_not_looked_for_with_a_child_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr("subprocess.Popen", refuse)
    monkeypatch.setattr(os, "posix_spawn", refuse)
    open_inbox().close()
