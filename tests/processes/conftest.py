"""Folders that other users can enter, and courts."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import trio

from emperor_trio.processes import SystemSpawner
from emperor_trio.processes.tether import PROGRAM
from tests.processes.support import Court, policy_for
from tests.support.vassal import Report

MakeCourt = Callable[..., Awaitable[Court]]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, open to every user, as their reports and sockets go there."""
    path = Path(tempfile.mkdtemp(prefix="court-"))
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)


@pytest.fixture(params=["sigchld", "pidfd"])
def reap(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Literal["sigchld", "pidfd"]:
    """Both ways to notice exits, and with them both ways to start: all tests of processes hold for all of them."""
    if request.param == "sigchld":
        assert PROGRAM.exists(), "the package was built without a C compiler: install gcc, then the package"
    else:
        monkeypatch.setattr("emperor_trio.processes.launcher.open_tether", lambda: None)
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
async def make_court(
    folder: Path, reap: Literal["sigchld", "pidfd"], vassal_binary: Path, nursery: trio.Nursery
) -> MakeCourt:
    """Starts a spawner whose vassals are the test vassal, with changes to its policy."""

    async def make(**changes: Any) -> Court:
        binary = changes.pop("binary", vassal_binary)
        spawner = SystemSpawner(policy_for(folder, binary, **changes), reap=reap)
        await nursery.start(spawner.run)
        return Court(spawner, folder, Report(folder / "report.jsonl"))

    return make


@pytest.fixture
async def court(make_court: MakeCourt) -> Court:
    """A court without any option."""
    return await make_court()
