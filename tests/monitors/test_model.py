"""Whatever happens to a folder, in whatever order: what the monitor says in the end is what is there."""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from io import TextIOWrapper
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emperor_trio.model import config_option
from emperor_trio.monitors import _belief
from emperor_trio.testing.conformance import Watched
from tests.monitors.support import watching_files, write

NAMES = ("a.ini", "b.ini", "c.xml", "d", ".e.ini", "a.ini~")
FOLDERS = ("one", "two", ".three")

Operation = tuple[str, str, str, str]

operations = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("write", "replace", "touch", "remove", "rename") * 3,
                *("link", "hardlink", "begin", "finish", "mkdir", "chmod", "settle"),
                *("delete-folder", "make-folder", "move-folder", "swap-folder"),
            ]
        ),
        st.sampled_from(NAMES),
        st.sampled_from(NAMES),
        st.sampled_from(FOLDERS),
    ),
    min_size=1,
    max_size=25,
)

SETTINGS = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class World:
    """Folders of files below ``root``, and what may happen to them. Writes that were begun are not finished."""

    def __init__(self, root: Path, folder: Callable[[str], Path]) -> None:
        self.root = root
        self._folder = folder
        self._open: dict[Path, TextIOWrapper] = {}

    def do(self, what: str, name: str, other: str, where: str) -> None:
        folder = self._folder(where)
        path = folder / name
        with suppress(OSError):
            match what:
                case "write" if path not in self._open:
                    if folder.is_dir() and (path.is_file() or not path.exists()):
                        write(path)
                case "replace":
                    (folder / ".new").write_text("")
                    self._finish(path)
                    (folder / ".new").rename(path)
                case "touch":
                    os.utime(path)
                case "remove":
                    self._finish(path)
                    path.unlink()
                case "rename":
                    self._finish(path)
                    self._finish(folder / other)
                    path.rename(folder / other)
                case "link":
                    path.symlink_to(other)
                case "hardlink" if path not in self._open:
                    os.link(path, folder / other)
                case "begin" if not path.exists() and not path.is_symlink():
                    self._open[path] = path.open("w")
                case "finish":
                    self._finish(path)
                case "mkdir":
                    path.mkdir()
                case "chmod":
                    path.chmod(0o600)
                case "delete-folder":
                    self.finish_all()
                    shutil.rmtree(folder)
                case "make-folder":
                    folder.mkdir()
                case "move-folder":
                    self.finish_all()
                    folder.rename(self.root / "away")
                case "swap-folder":
                    self.finish_all()
                    (self.root / "away").rename(folder)

    def finish_all(self) -> None:
        for path in list(self._open):
            self._finish(path)

    def _finish(self, path: Path) -> None:
        if path in self._open:
            self._open.pop(path).close()

    def expected(self, pattern: str) -> dict[str, int]:
        """By the plainest means. What links to an unfinished file is left to chance."""
        found = {}
        for name in glob.glob(pattern, root_dir=self.root):
            path = self.root / name
            if config_option(name) is not None and path.is_file() and path not in self._open:
                found[name] = path.stat().st_mtime_ns
        return found


async def play(watched: Watched, world: World, steps: list[Operation], expect: Callable[[], dict[str, int]]) -> None:
    async def settle() -> None:
        world.finish_all()
        await watched.until(
            lambda: {name: spec.version for name, spec in watched.vassals.items()} == expect(), f"{expect()}"
        )

    def act(steps: list[Operation]) -> None:
        for step in steps:
            world.do(*step)

    while steps:
        until = next((number for number, step in enumerate(steps) if step[0] == "settle"), len(steps))
        await trio.to_thread.run_sync(act, steps[:until])  # in a thread, so that the monitor looks meanwhile
        await settle()
        steps = steps[until + 1 :]


@given(steps=operations)
@SETTINGS
async def test_a_folder(monkeypatch: pytest.MonkeyPatch, steps: list[Operation]) -> None:
    monkeypatch.setattr(_belief, "SECOND_LOOK", 0.05)
    with tempfile.TemporaryDirectory() as root, ExitStack() as stack:
        folder = Path(root) / "vassals"
        folder.mkdir()
        world = World(Path(root), lambda _: folder)
        stack.callback(world.finish_all)

        def expect() -> dict[str, int]:
            folder.mkdir(exist_ok=True)
            hidden, shown = world.expected("vassals/.*"), world.expected("vassals/*")
            return {os.path.basename(name): version for name, version in (hidden | shown).items()}

        async with watching_files(folder) as watched:
            await watched.until_there()
            await play(watched, world, steps, expect)


@given(steps=operations)
@SETTINGS
async def test_a_pattern_with_folders(monkeypatch: pytest.MonkeyPatch, steps: list[Operation]) -> None:
    monkeypatch.setattr(_belief, "SECOND_LOOK", 0.05)
    with tempfile.TemporaryDirectory() as root, ExitStack() as stack:
        (Path(root) / "opt" / "one").mkdir(parents=True)
        world = World(Path(root), lambda where: Path(root) / "opt" / where)
        stack.callback(world.finish_all)

        def expect() -> dict[str, int]:
            found = world.expected("opt/*/[a-c]*.*")
            return {f"{root}/{name}": version for name, version in found.items()}

        async with watching_files(f"{root}/opt/*/[a-c]*.*") as watched:
            await watched.until_there()
            await play(watched, world, steps, expect)
