"""The state file: what is kept comes back, what is not fit is refused with a way out, and no failure stops anything."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from emperor_trio.app import make_state
from emperor_trio.errors import MonitorError, UsageError
from emperor_trio.events import Event, MonitorNotice
from emperor_trio.model import Owner, VassalId, VassalSpec
from emperor_trio.monitors import _state
from emperor_trio.monitors._state import StateFile, StoredHolds
from emperor_trio.ports import Kept
from emperor_trio.settings import Settings
from tests.system.empire import EmperorUnderTest, Kind

ONE = Kept(VassalSpec("one.ini", 1, 2, b"[uwsgi]\n"))
ALL = Kept(
    VassalSpec(
        name="all-ä-\udcff.ini",
        version=-(2**90),
        modified=-5,
        config=b"\0\xff",
        owner=Owner(1, 2**32 - 2),
        socket="",
        ask_socket=True,
        directory="/\udc80",
        executable=True,
    ),
    origin="http://user:word@127.0.0.1/a.ini",
    validators='"etag"\n',
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state"


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[StateFile]:
    """A state file that is open, as under an emperor."""
    state = StateFile(str(path))
    async with trio.open_nursery() as nursery:
        await nursery.start(state.run)
        yield state
        nursery.cancel_scope.cancel()


@pytest.fixture
def opened(path: Path) -> Iterator[StateFile]:
    """A state file that nobody writes but who calls ``settle``."""
    state = StateFile(str(path))
    state.open()
    yield state
    state.close()


# --- what is kept ----------------------------------------------------------------------------------------------------


async def test_what_was_kept_is_there_again_each_monitor_its_own(path: Path) -> None:
    async with running(path) as state:
        memory, other = state.of("zmq://a"), state.of("amqp://b")
        assert await memory.recall() == ()
        memory.keep(ONE)
        memory.keep(ALL)
        other.keep(Kept(VassalSpec("one.ini", 7)))
        assert set(await memory.recall()) == {ONE, ALL}  # at once, committed or not
    async with running(path) as state:
        assert set(await state.of("zmq://a").recall()) == {ONE, ALL}
        assert await state.of("amqp://b").recall() == (Kept(VassalSpec("one.ini", 7)),)
        assert await state.of("zmq://c").recall() == ()


async def test_the_newest_word_counts(path: Path) -> None:
    async with running(path) as state:
        memory = state.of("m")
        memory.keep(ONE)
        await memory.settle()
        memory.forget("one.ini")
        assert await memory.recall() == ()
        memory.keep(Kept(VassalSpec("one.ini", 2)))
        memory.keep(Kept(VassalSpec("one.ini", 3)))
        memory.keep(Kept(VassalSpec("two.ini", 1)))
        memory.forget("two.ini")
        memory.forget("never.ini")
        await memory.settle()
    async with running(path) as state:
        assert await state.of("m").recall() == (Kept(VassalSpec("one.ini", 3)),)


async def test_it_is_written_soon_without_being_asked(path: Path) -> None:
    async with running(path) as state:
        state.of("m").keep(ONE)
        with trio.fail_after(20):
            while state._pending or state._turn.locked():
                await trio.sleep(0.005)
        assert len(state._read("m")) == 1


async def test_a_cancelled_settle_loses_nothing(opened: StateFile) -> None:
    memory = opened.of("m")
    for steps in range(10):
        memory.keep(Kept(VassalSpec(f"{steps}.ini", 1)))
        with trio.CancelScope() as scope:
            scope.deadline = trio.current_time() + steps / 5000
            await memory.settle()
    with trio.CancelScope() as scope:
        scope.cancel()
        await memory.settle()
    await memory.settle()
    assert len(opened._read("m")) == 10


async def test_ten_thousand_vassals_cost_one_transaction_and_no_pause(opened: StateFile) -> None:
    memory = opened.of("m")
    statements: list[str] = []
    opened._opened.set_trace_callback(statements.append)
    for number in range(10_000):
        memory.keep(Kept(VassalSpec(f"{number}.ini", number, config=b"[uwsgi]\n" * 10)))
    await memory.settle()
    assert [text for text in statements if text.startswith(("BEGIN", "COMMIT"))] == ["BEGIN IMMEDIATE", "COMMIT"]
    assert len(await memory.recall()) == 10_000


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0")) | st.binary().map(os.fsdecode)


@given(texts, st.integers(), st.integers(-(2**63), 2**63 - 1), st.none() | st.binary(), st.none() | texts, texts, texts)
def test_any_spec_comes_back_as_it_was(
    name: str, version: int, modified: int, config: bytes | None, socket: str | None, origin: str, validators: str
) -> None:
    kept = Kept(VassalSpec(name, version, modified, config, None, socket), origin, validators)
    assert _state._decode(_state._encode("m", kept)[1:]) == kept


# --- whose file it is ------------------------------------------------------------------------------------------------


def refused(path: Path) -> str:
    """Why the file is refused; it is as it was then."""
    before = _look(path)
    state = StateFile(str(path))
    with pytest.raises(UsageError) as raised:
        state.open()
    text = str(raised.value)
    assert text.startswith(f"--emperor-state {path}: ")
    assert "\n" not in text
    assert before == _look(path)
    return text


def _look(path: Path) -> tuple[int, int] | None:
    """What tells whether a file was written to; without opening it, since a close takes away our own locks on it."""
    return (path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else None


def test_it_is_nobody_elses_to_read(path: Path) -> None:
    before = os.umask(0)
    try:
        state = StateFile(str(path))
        state.open()
        state._write({("m", "one.ini"): ONE}, {})
        modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()}
        state.close()
    finally:
        os.umask(before)
    assert modes == {"state": 0o600, "state-wal": 0o600}
    assert [entry.name for entry in path.parent.iterdir()] == ["state"]

    path.chmod(0o644)
    state.open()
    state.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_its_place_has_to_be_safe(path: Path, tmp_path: Path) -> None:
    assert "No such file or directory: its folder must be there" in refused(tmp_path / "none" / "state")

    folder = tmp_path / "folder"
    folder.mkdir()
    assert "it is a folder" in refused(folder)
    folder.chmod(0o1777)
    own = "name a folder of its own: install -d -m 700 /var/lib/emperor-trio"
    assert refused(folder / "state").endswith(f"others can write into its folder: {own}"), "no chmod for /tmp"
    folder.chmod(0o770)
    advice = own if os.geteuid() == 0 else f"chmod go-w {folder}, or {own}"
    assert refused(folder / "state").endswith(f"others can write into its folder: {advice}")

    (tmp_path / "link").symlink_to(path)
    assert "it is a link" in refused(tmp_path / "link")
    assert not path.exists()
    os.mkfifo(tmp_path / "fifo")
    assert "it is no file" in refused(tmp_path / "fifo")

    path.touch()
    path.chmod(0o620)
    assert f"others can write to it: look at what is in it, then chmod 600 {path}" in refused(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_it_belongs_to_whom_the_emperor_runs_as(path: Path, tmp_path: Path) -> None:
    path.touch(0o600)
    os.chown(path, 65534, 65534)
    assert f"it belongs to user 65534, but the emperor runs as user 0: chown 0 {path}" in refused(path)
    folder = tmp_path / "folder"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    assert "its folder belongs to user 65534, but the emperor runs as user 0" in refused(folder / "state")


def test_two_emperors_need_two_files(path: Path, opened: StateFile) -> None:
    assert "another emperor, or some other program, has it open: each emperor needs a file of its own" in refused(path)
    code = "import sys; from emperor_trio.monitors import StateFile; StateFile(sys.argv[1]).open()"
    other = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=60)
    assert "another emperor" in other.stderr
    opened._write({("m", "one.ini"): ONE}, {})  # and the first one goes on
    opened.close()
    opened.open()
    assert len(opened._read("m")) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a disk that is full")
def test_a_disk_that_is_full_at_the_start(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k,mode=700", "none", folder], check=False).returncode:
        pytest.skip("nothing may be mounted here")
    try:
        with suppress(OSError), (folder / "filler").open("wb", buffering=0) as filler:
            while filler.write(bytes(4096)):
                pass
        with pytest.raises(UsageError, match=r"full|No space left") as raised:
            StateFile(str(folder / "state")).open()
        assert str(raised.value).endswith(f": make room in {folder}, or raise the quota there")
    finally:
        subprocess.run(["umount", folder], check=True)


# --- what is in it ---------------------------------------------------------------------------------------------------


def test_what_is_no_state_file_is_left_alone(path: Path) -> None:
    path.write_text("[uwsgi]\nsocket = :3031\n" * 500)
    path.chmod(0o644)
    before = path.read_bytes()
    assert "it is no database: name another file" in refused(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644, "it may be the system's list of users"
    assert path.read_bytes() == before
    path.unlink()

    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE bookmarks (url TEXT)")
    path.chmod(0o600)
    assert "it is a database of another program: name another file" in refused(path)
    path.unlink()

    filled(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 3")
    assert "a newer emperor-trio wrote it (schema 3, this one knows 2): upgrade" in refused(path)


def test_a_start_that_was_cut_off_is_made_up_for(path: Path) -> None:
    path.touch(0o600)
    state = StateFile(str(path))
    state.open()
    assert state._read("m") == []
    state.close()


def filled(path: Path) -> None:
    state = StateFile(str(path))
    state.open()
    rows = [Kept(VassalSpec(f"{number}.ini", number, config=b"x" * 900)) for number in range(300)]
    state._write({("m", kept.spec.name): kept for kept in rows}, {})
    state.close()


@pytest.mark.parametrize("damage", ["overwritten", "cut off", "without its head"])
def test_a_damaged_file_is_never_emptied_in_silence(path: Path, damage: str) -> None:
    filled(path)
    with path.open("r+b") as file:
        match damage:
            case "overwritten":
                file.seek(8192)
                file.write(b"\xa5" * 16384)
            case "cut off":
                file.truncate(path.stat().st_size // 2)
            case _:
                file.write(bytes(100))
    text = refused(path)
    if damage == "without its head":
        assert "it is no database" in text
    else:
        assert "it is damaged (" in text
        assert "put a backup in its place; or move it away, start with an empty one and have every vassal" in text
        assert text.endswith(f"'sqlite3 {path} .dump' shows what can be read of it")


async def test_a_row_that_nobody_wrote_is_an_error_of_its_monitor(path: Path) -> None:
    filled(path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE vassals SET version = 'soon' WHERE name = ?", (b"7.ini",))
    async with running(path) as state:
        with pytest.raises(MonitorError, match="holds a row that no emperor wrote"):
            await state.of("m").recall()
        assert await state.of("other").recall() == ()


# --- what happens to it ----------------------------------------------------------------------------------------------


async def test_a_full_disk_is_said_once_and_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_state, "RETRY", 0.01)
    said: list[Event] = []
    async with running(path) as state:
        memory = state.of("m", said.append)
        memory.keep(ONE)
        await memory.settle()
        state._opened.execute("PRAGMA max_page_count = 1")
        large = [Kept(VassalSpec(f"{number}.ini", number, config=b"x" * 60_000)) for number in range(10)]
        for kept in large:
            memory.keep(kept)
        for _ in range(3):
            with pytest.raises(MonitorError, match="can't be kept: database or disk is full"):
                await memory.settle()
        await trio.sleep(0.1)
        notices = [event.text for event in said]
        full = f"database or disk is full: make room in {path.parent}, or raise the quota there"
        text = f"{path}: vassals can't be kept: {full}; they run on, and it is tried again"
        assert notices == [text]
        assert set(await memory.recall()) == {ONE, *large}

        memory.forget("one.ini")
        state._opened.execute("PRAGMA max_page_count = 1000000")
        with trio.fail_after(20):
            while state._pending or state._turn.locked():
                await trio.sleep(0.005)
        assert said[1:] == [MonitorNotice("m", f"{path}: vassals are kept again")]
    async with running(path) as state:
        assert set(await state.of("m").recall()) == set(large)


async def test_what_waits_on_a_full_disk_is_bounded_by_the_vassals(opened: StateFile) -> None:
    opened._opened.execute("PRAGMA max_page_count = 1")
    memory = opened.of("m")
    for round_ in range(50):
        for number in range(20):
            memory.keep(Kept(VassalSpec(f"{number}.ini", round_, config=b"x" * 60_000)))
        with pytest.raises(MonitorError):
            await memory.settle()
    assert len(opened._pending) == 20


WRITER = """
import sys, trio
from emperor_trio.model import VassalSpec
from emperor_trio.monitors import StateFile
from emperor_trio.ports import Kept

async def main():
    async with trio.open_nursery() as nursery:
        state = StateFile(sys.argv[1])
        await nursery.start(state.run)
        memory = state.of("m")
        for number in range(10**9):
            memory.keep(Kept(VassalSpec(f"{number}.ini", number, config=b"x" * 3000)))
            memory.keep(Kept(VassalSpec("newest.ini", number)))
            if number % 5 == 0:
                await memory.settle()
                print(number, flush=True)

trio.run(main)
"""


async def test_killed_in_the_middle_it_holds_what_was_committed(path: Path) -> None:
    for _ in range(5):
        path.unlink(missing_ok=True)
        path.with_name("state-wal").unlink(missing_ok=True)
        with subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(20):
                committed = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            committed = max([committed, *map(int, writer.stdout.read().split())])
        async with running(path) as state:
            versions = {kept.spec.name: kept.spec.version for kept in await state.of("m").recall()}
        newest = versions.pop("newest.ini")
        assert newest >= committed
        assert versions == {f"{number}.ini": number for number in range(newest + 1)}


# --- in the emperor --------------------------------------------------------------------------------------------------


@pytest.fixture
def emperor(vassal_binary: Path) -> Iterator[EmperorUnderTest]:
    with EmperorUnderTest(Kind.OURS, vassal_binary) as emperor:
        yield emperor


def test_the_option_names_it(path: Path) -> None:
    assert make_state(Settings()) is None
    state = make_state(Settings(emperor_state=str(path)))
    assert state is not None
    assert state.path == str(path)
    assert not path.exists()  # it is opened when the emperor is the user that it stays


def test_an_unfit_file_is_a_wrong_command_line(emperor: EmperorUnderTest, path: Path) -> None:
    path.write_text("no database, but long enough to be taken for one" * 100)
    path.chmod(0o600)
    emperor.launch(
        [Path(sys.executable).parent / "emperor-trio", "--emperor", emperor.vassals, "--emperor-state", path]
    )
    assert emperor.exit_code() == 2
    assert emperor.log() == f"emperor-trio: --emperor-state {path}: it is no database: name another file\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become someone else")
def test_it_belongs_to_the_user_that_the_emperor_becomes(emperor: EmperorUnderTest) -> None:
    folder = emperor.folder / "kept"
    folder.mkdir(0o700)
    os.chown(folder, 65534, 65534)
    emperor.start("--emperor-state", folder / "state", "--uid", "65534", "--gid", "65534")
    found = (folder / "state").stat()
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (65534, 0o600)
    second = [str(Path(sys.executable).parent / "emperor-trio"), "--emperor", str(emperor.vassals)]
    second += ["--emperor-state", str(folder / "state"), "--uid", "65534", "--gid", "65534"]
    other = subprocess.run(second, capture_output=True, text=True, timeout=60)
    assert other.returncode == 2
    assert "another emperor, or some other program, has it open" in other.stderr
    assert emperor.stop() == 0
    assert [entry.name for entry in folder.iterdir()] == ["state"]


# --- who is held ---


async def test_who_is_held_is_kept_and_who_is_released_is_not(path: Path) -> None:
    a, b, strange = VassalId("dir:///a", "a.ini"), VassalId("dir:///a", "b.ini"), VassalId("glob:///*", "\udcff.ini")
    async with running(path) as state:
        holds = StoredHolds(state)
        for vassal in (a, b, strange):
            holds.put(vassal, held=True)
        assert set(await holds.recall()) == {a, b, strange}
        await holds.settle()
        holds.put(b, held=False)
        assert set(await holds.recall()) == {a, strange}
    async with running(path) as state:
        assert set(await StoredHolds(state).recall()) == {a, strange}


async def test_a_state_file_of_before_there_were_holds_gets_room_for_them(path: Path) -> None:
    async with running(path) as state:
        state.of("m").keep(ONE)
    with closing(sqlite3.connect(path)) as old:
        old.execute("DROP TABLE held")
        old.execute("PRAGMA user_version = 1")
    async with running(path) as state:
        assert await state.recall("m") == (ONE,)
        StoredHolds(state).put(VassalId("m", "one.ini"), held=True)
    async with running(path) as state:
        assert await StoredHolds(state).recall() == (VassalId("m", "one.ini"),)
