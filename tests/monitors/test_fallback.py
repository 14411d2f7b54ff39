"""Where inotify is not to be had, or loses events: scans take over, say so once, and inotify is tried again."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import inotify_simple  # type: ignore[import-untyped]
import pytest
import trio

from emperor_trio.events import MonitorNotice
from emperor_trio.monitors import _files, _inotify, _look
from emperor_trio.monitors._filesystems import is_local
from emperor_trio.testing.conformance import Watched, count_descriptors
from tests.monitors.support import watching_files, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "vassals"
    made.mkdir()
    write(made / "a.ini")
    return made


def notices(watched: Watched) -> list[str]:
    return [event.message for event in watched.events if isinstance(event, MonitorNotice)]


async def until_scanned(watched: Watched, times: int) -> None:
    """Until that many changes came in, one after the other."""
    for number in range(times):
        write(Path(watched.vassals["a.ini"].directory or "") / "a.ini", str(number))
        await watched.until_newer("a.ini", watched.vassals["a.ini"].version)


@pytest.mark.usefixtures("no_inotify")
async def test_without_an_instance_it_scans_and_says_so_once(folder: Path) -> None:
    async with watching_files(folder, frequency=0.05) as watched:
        await watched.until_there("a.ini")
        await until_scanned(watched, 3)
        assert len(notices(watched)) == 1
        assert notices(watched)[0].startswith("inotify is not to be had (Too many open files; see fs.inotify.max_user_")
        assert notices(watched)[0].endswith(": scanning every 0.05 s")


async def test_an_instance_is_tried_for_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = inotify_simple.INotify
    tries = 0

    def refuse_twice(**options: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(**options)

    monkeypatch.setattr(_inotify, "INotify", refuse_twice)
    monkeypatch.setattr(_files, "INOTIFY_RETRY", 0.2)
    async with watching_files(folder, frequency=0.05) as watched:
        await watched.until_there("a.ini")
        while tries < 3:
            await until_scanned(watched, 1)
        await until_scanned(watched, 3)
        assert len(notices(watched)) == 1


class StingyINotify(inotify_simple.INotify):  # type: ignore[misc]
    """An instance of a user whose limit of watches is reached, but for ``left`` of them."""

    left = 0

    def add_watch(self, path: str, mask: int) -> int:
        if type(self).left <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        type(self).left -= 1
        return int(super().add_watch(path, mask))


@pytest.mark.parametrize("left", [0, 1, 4, 5])
async def test_at_the_limit_of_watches_it_scans_says_so_once_and_tries_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    monkeypatch.setattr(_inotify, "INotify", StingyINotify)
    monkeypatch.setattr(_files, "INOTIFY_RETRY", 0.5)
    monkeypatch.setattr(StingyINotify, "left", left)
    async with watching_files(folder, frequency=0.05) as watched:
        await watched.until_there("a.ini")
        await until_scanned(watched, 3)
        expected = "inotify has no watch left to give (No space left on device; see fs.inotify.max_user_watches)"
        assert notices(watched) == [f"{expected}: scanning every 0.05 s"]
        monkeypatch.setattr(StingyINotify, "left", 1000)
        await until_scanned(watched, 3)
        assert len(notices(watched)) == 1


async def test_a_file_system_of_others_is_scanned(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_look, "is_local", lambda _: False)
    async with watching_files(folder, frequency=0.05) as watched:
        await watched.until_there("a.ini")
        assert notices(watched) == [
            f"{str(folder)!r} is on a file system of which inotify does not tell everything: scanning every 0.05 s"
        ]
        await until_scanned(watched, 3)
        assert len(notices(watched)) == 1


async def test_after_an_overflow_everything_is_looked_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_inotify, "MOST_UNREAD", 10)
    async with watching_files(folder) as watched:
        await watched.until_there("a.ini")
        names = [f"{number}.ini" for number in range(200)]
        for name in names:
            write(folder / name)
        await watched.until_there("a.ini", *names)
        for name in names:
            (folder / name).unlink()
        await watched.until_there("a.ini")


async def test_after_an_overflow_of_the_kernels_queue_everything_is_looked_at(folder: Path) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    async with watching_files(folder) as watched:
        await watched.until_there("a.ini")
        for number in range(limit // 3 + 100):  # four events each, and nobody reads meanwhile
            path = folder / f"{number}.tmp"
            path.touch()
            path.unlink()
        write(folder / "b.ini")
        await watched.until_there("a.ini", "b.ini")
        write(folder / "c.ini")
        await watched.until_there("a.ini", "b.ini", "c.ini")


async def test_a_look_that_hangs_does_not_hold_a_cancellation_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a dead network file system does."""
    entered, leave = threading.Event(), threading.Event()

    def hang(descriptor: int) -> bool:
        entered.set()
        leave.wait(60)
        return is_local(descriptor)

    descriptors = count_descriptors()
    monkeypatch.setattr(_look, "is_local", hang)
    monkeypatch.setattr(_files, "SLOW_LOOK", 0.05)
    with trio.fail_after(30):
        async with watching_files(folder) as watched:
            await trio.to_thread.run_sync(entered.wait)
            await watched.until(lambda: notices(watched))
            expected = "looking takes over 0.05 s, a file system may hang; vassals stay as they are meanwhile"
            assert notices(watched) == [expected]
            assert watched.observations == []
        leave.set()
        while count_descriptors() > descriptors:
            await trio.sleep(0.01)
