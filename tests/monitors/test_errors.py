"""Errors of the system at every step of a look: each costs only what it struck, and is said once."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emperor_trio.events import MonitorNotice, VassalRefused
from emperor_trio.monitors._filesystems import is_local
from emperor_trio.testing.conformance import Watched
from tests.monitors.support import open_way, watching_files, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "vassals"
    made.mkdir()
    write(made / "good.ini")
    return made


def refusals(watched: Watched) -> list[tuple[str, str]]:
    return [(event.name, event.reason) for event in watched.events if isinstance(event, VassalRefused)]


def break_call(
    monkeypatch: pytest.MonkeyPatch, call: str, name: str, instead: Callable[..., Any] | None = None
) -> None:
    """Let one function of :mod:`os` fail with EIO for one name, or do something else."""
    real = getattr(os, call)

    def broken(path: Any, *arguments: Any, **options: Any) -> Any:
        if not str(path).endswith(name):
            return real(path, *arguments, **options)
        if instead is None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return instead(real, path, *arguments, **options)

    monkeypatch.setattr(os, call, broken)


async def ring(watched: Watched) -> None:
    said = len(watched.observations)
    watched.bell.ring()
    await watched.until(lambda: len(watched.observations) > said)


async def test_an_entry_that_can_not_be_looked_at_stays_as_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder / "target")
    (folder / "link.ini").symlink_to("target")
    async with watching_files(folder) as watched:
        await watched.until_there("good.ini", "link.ini")
        version = watched.vassals["link.ini"].version
        with monkeypatch.context() as patch:
            break_call(patch, "stat", "link.ini")
            (folder / ".new").symlink_to("target")
            (folder / ".new").rename(folder / "link.ini")
            await watched.until(lambda: refusals(watched))
            for _ in range(3):
                await ring(watched)
            expected = "Input/output error; nothing changes for it until it can be looked at"
            assert refusals(watched) == [("link.ini", expected)]
            assert watched.vassals["link.ini"].version == version
        write(folder / "target")
        await watched.until_newer("link.ini", version)


async def test_an_entry_that_can_not_be_looked_at_at_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "link.ini").symlink_to("good.ini")
    with monkeypatch.context() as patch:
        break_call(patch, "stat", "link.ini")
        async with watching_files(folder) as watched:
            await watched.until_there("good.ini")
            assert [name for name, _ in refusals(watched)] == ["link.ini"]


def open_folder(real: Any, *_: Any, **__: Any) -> Any:
    return real("/", os.O_RDONLY)


def open_for_writing(real: Any, path: Any, _: int, **options: Any) -> Any:
    return real(path, os.O_WRONLY, **options)


@pytest.mark.parametrize(
    ("instead", "reason"),
    [
        (None, "Input/output error"),
        (open_folder, "was exchanged while it was looked at"),
        (open_for_writing, "Bad file descriptor"),
    ],
)
async def test_a_socket_file_that_can_not_be_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, instead: Callable[..., Any] | None, reason: str
) -> None:
    write(folder / "bad.ini")
    write(folder / "bad.ini.socket", ":3031")
    with monkeypatch.context() as patch:
        break_call(patch, "open", "bad.ini.socket", instead)
        async with watching_files(folder, on_demand_extension=".socket") as watched:
            await watched.until_there("good.ini")
            assert refusals(watched) == [("bad.ini", reason)]


async def test_a_folder_that_can_not_be_read_for_a_while(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for app in ("one", "two"):
        write(folder / app / "a.ini")
    one, two = (str(folder / app / "a.ini") for app in ("one", "two"))
    async with watching_files(folder / "*" / "*.ini") as watched:
        await watched.until_there(one, two)
        with monkeypatch.context() as patch:
            break_call(patch, "open", "/one")
            write(folder / "three" / "a.ini")
            for _ in range(3):
                await ring(watched)
            await watched.until_there(one, two, str(folder / "three" / "a.ini"))
            said = [event.message for event in watched.events if isinstance(event, MonitorNotice)]
            path = str(folder / "one")
            assert said == [f"{path!r} can't be read: Input/output error; its vassals stay as they are"]
        (folder / "one" / "a.ini").unlink()
        await watched.until_there(two, str(folder / "three" / "a.ini"))


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which takes root")
async def test_a_folder_that_may_be_passed_but_not_listed_is_scanned(tmp_path: Path) -> None:
    path = tmp_path / "closed" / "app.ini"
    write(path)
    open_way(path)
    path.parent.chmod(0o711)
    os.seteuid(65534)
    try:
        async with watching_files(path, frequency=0.05) as watched:
            await watched.until_there(str(path))
            said = [event.message for event in watched.events if isinstance(event, MonitorNotice)]
            assert said == [f"inotify can't watch {str(path.parent)!r}: scanning every 0.05 s"]
            version = watched.vassals[str(path)].version
            os.seteuid(0)
            write(path)
            os.seteuid(65534)
            await watched.until_newer(str(path), version)
    finally:
        os.seteuid(0)


def test_which_file_systems_are_changed_by_this_machine_alone(tmp_path: Path) -> None:
    local = os.open(tmp_path, os.O_RDONLY)
    kernel = os.open("/proc", os.O_RDONLY)
    try:
        assert is_local(local)
        assert not is_local(kernel)
    finally:
        os.close(local)
        os.close(kernel)
    assert not is_local(-1)
