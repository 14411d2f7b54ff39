"""Logs as files: names that can't collide or lead astray, what is refused, and reading over rotations."""

from __future__ import annotations

import os
import socket
import string
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emperor_trio.errors import UsageError
from emperor_trio.model import VassalId
from emperor_trio.outlets.rotation import LogRotation, RotationRules
from emperor_trio.vassal_logs import (
    LONGEST_LINE,
    LONGEST_NAME,
    MOST_READ,
    Follower,
    check_folder,
    file_name,
    is_log,
    log_path,
    open_folder,
    open_log,
    rotated,
    tail,
)

FIRST = "/etc/vassals"
ALICE = 23001
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of others")

names = st.binary(min_size=1, max_size=254).map(os.fsdecode)
vassals = st.builds(
    VassalId,
    st.sampled_from([FIRST, "pg://", "zmq://x"]),
    names | st.sampled_from(["a.ini", "A.ini"]),
    st.integers(0, 3),
)


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vassal", "name"),
    [
        (VassalId(FIRST, "shop.ini"), "shop.ini.log"),
        (VassalId(FIRST, "shop.ini", 2), "shop.ini@zerg2.log"),
        (VassalId("pg://", "shop.ini"), "shop.ini@0d6ffc5d12f6.log"),
        (VassalId("pg://", "shop.ini", 1), "shop.ini@0d6ffc5d12f6@zerg1.log"),
        (VassalId(FIRST, "/srv/shop/uwsgi.ini"), "%2Fsrv%2Fshop%2Fuwsgi.ini.log"),
        (VassalId(FIRST, "../../etc/passwd.ini"), "%2E.%2F..%2Fetc%2Fpasswd.ini.log"),
        (VassalId(FIRST, ".hidden.ini"), "%2Ehidden.ini.log"),
        (VassalId(FIRST, "-rf.ini"), "%2Drf.ini.log"),
        (VassalId(FIRST, "my shop~1@home%.ini"), "my%20shop%7E1%40home%25.ini.log"),
        (VassalId(FIRST, os.fsdecode(b"caf\xe9\xc3\xa9\n.ini")), "caf%E9%C3%A9%0A.ini.log"),
    ],
)
def test_a_log_is_named_after_its_vassal(vassal: VassalId, name: str) -> None:
    assert file_name(vassal, FIRST) == name
    assert log_path("/var/log/vassals", vassal, FIRST) == f"/var/log/vassals/{name}"


@given(st.lists(vassals, min_size=2, max_size=8, unique=True))
def test_no_two_vassals_share_a_log_or_a_copy(found: list[VassalId]) -> None:
    files = [file_name(vassal, FIRST) for vassal in found]
    assert len(set(files)) == len(found)
    for file in files:
        assert rotated(file) is None
        assert rotated(f"{file}.1") == (file, 1)


@given(vassals)
def test_every_name_is_a_file_of_the_folder(vassal: VassalId) -> None:
    file = file_name(vassal, FIRST)
    assert set(file) <= set(string.ascii_letters + string.digits + "._-+=,:%~@")
    assert file[0] not in ".-"
    assert len(f".{file}.copy") <= 255
    assert len(f"{file}.2147483647") <= 255


@pytest.mark.parametrize("byte", ["x", "é", "\udcff", "/"])
def test_long_names_are_told_apart_by_all_of_them(byte: str) -> None:
    length = 249 // len(byte.encode("utf-8", "surrogateescape"))
    one, other = (file_name(VassalId(FIRST, byte * length + end), FIRST) for end in ("1.ini", "2.ini"))
    assert one != other
    assert one.partition("~")[0] == other.partition("~")[0]
    assert len(one.partition("~")[0]) <= LONGEST_NAME
    assert is_log(one)


@given(vassals)
def test_whatever_ends_as_a_config_is_known_as_a_log(vassal: VassalId) -> None:
    config = VassalId(vassal.monitor, f"{vassal.name}.ini", vassal.ordinal)
    assert is_log(file_name(config, FIRST))
    extra = VassalId(vassal.monitor, f"{vassal.name}.my conf", vassal.ordinal)
    assert is_log(file_name(extra, FIRST), frozenset({".my conf"}))


@pytest.mark.parametrize(
    "name",
    [
        "dpkg.log",
        "auth.log",
        "shop.ini",
        "shop.ini.log.1",
        ".shop.ini.log",
        "shop ini.log",
        "a/b.ini.log",
        "nginx.ini.gz.log",
    ],
)
def test_the_logs_of_other_programs_are_none_of_ours(name: str) -> None:
    assert not is_log(name)


@pytest.mark.parametrize(
    "name", ["a.ini.log.", "a.ini.log.0", "a.ini.log.01", "a.ini.log.x", "a.ini.1", ".log.1", "a.log.1.gz"]
)
def test_what_is_no_copy(name: str) -> None:
    assert rotated(name) is None


# --- the folder, and opening -----------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir(mode=0o750)
    return folder


def test_a_folder_of_ours_is_fit(folder: Path) -> None:
    check_folder(str(folder))


def make_missing(folder: Path) -> None:
    folder.rmdir()


def make_a_file(folder: Path) -> None:
    folder.rmdir()
    folder.touch()


def open_to_all(folder: Path) -> None:
    folder.chmod(0o777)


def open_sticky(folder: Path) -> None:
    folder.chmod(0o1777)


def open_to_a_group(folder: Path) -> None:
    folder.chmod(0o770)


def open_above(folder: Path) -> None:
    folder.parent.chmod(0o777)


def point_from_an_open_place(folder: Path) -> None:
    """The path goes through a link in a folder where anyone could turn it to somewhere else."""
    real = folder.rename(folder.parent / "real")
    (folder.parent / "open").mkdir()
    (folder.parent / "open").chmod(0o777)
    (folder.parent / "open" / "logs").symlink_to(real)
    folder.symlink_to(folder.parent / "open")


@pytest.mark.parametrize(
    ("spoil", "below", "clue"),
    [
        (make_missing, "", "there is no such folder: install -d -m 750 "),
        (make_a_file, "", "Not a directory"),
        (open_to_all, "", "it can be written by others: name a folder of its own"),
        (open_sticky, "", "it can be written by others"),
        (open_to_a_group, "", "it can be written by others"),
        (open_above, "", "can be written by others, so its logs could be anyone's"),
        (point_from_an_open_place, "logs", "can be written by others, so its logs could be anyone's"),
    ],
)
def test_a_folder_that_is_not_ours_alone_is_refused(
    folder: Path, spoil: Callable[[Path], None], below: str, clue: str
) -> None:
    spoil(folder)
    path = str(folder / below) if below else str(folder)
    with pytest.raises(UsageError) as refused:
        check_folder(path)
    assert str(refused.value).startswith(f"--vassal-logs {path}: ")
    assert clue in str(refused.value)
    assert "\n" not in str(refused.value)


@needs_root
def test_a_folder_of_someone_else_is_refused(folder: Path) -> None:
    os.chown(folder, ALICE, ALICE)
    with pytest.raises(UsageError, match=f"belongs to user {ALICE}, but the emperor runs as user 0"):
        check_folder(str(folder))


def opened(folder: Path, name: str = "a.ini.log") -> int:
    number = open_folder(str(folder))
    try:
        return open_log(number, name)
    finally:
        os.close(number)


def test_a_log_is_made_for_its_owner_and_group_alone_and_appended_to(folder: Path) -> None:
    for _ in range(2):
        log = opened(folder)
        assert os.get_inheritable(log) is False
        assert os.get_blocking(log)
        os.write(log, b"line\n")
        os.lseek(log, 0, os.SEEK_SET)
        os.write(log, b"more\n")
        os.close(log)
    path = folder / "a.ini.log"
    assert path.read_bytes() == b"line\nmore\n" * 2
    assert path.stat().st_mode & 0o777 & ~0o640 == 0


def put_link(path: Path) -> None:
    path.symlink_to("victim")


def put_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def put_hard_link(path: Path) -> None:
    path.hardlink_to(path.parent.parent / "victim")


def put_fifo(path: Path) -> None:
    os.mkfifo(path)


def put_folder(path: Path) -> None:
    path.mkdir()


def put_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


@pytest.mark.parametrize("put", [put_link, put_dangling_link, put_hard_link, put_fifo, put_folder, put_socket])
def test_what_is_no_plain_file_is_neither_opened_nor_waited_for(
    folder: Path, put: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)  # a socket's path is short
    (folder.parent / "victim").write_text("untouched")
    put(Path("a.ini.log") if put is put_socket else folder / "a.ini.log")
    before, held = sorted(os.listdir(folder)), set(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match=r"\[Errno"):
        opened(folder)
    assert sorted(os.listdir(folder)) == before
    assert set(os.listdir("/proc/self/fd")) == held
    assert (folder.parent / "victim").read_text() == "untouched"


@needs_root
def test_a_file_of_someone_else_is_not_opened(folder: Path) -> None:
    (folder / "a.ini.log").touch()
    os.chown(folder / "a.ini.log", ALICE, ALICE)
    with pytest.raises(OSError, match=f"it belongs to user {ALICE}"):
        opened(folder)


# --- the last lines --------------------------------------------------------------------------------------------------


def test_no_file_has_no_lines(tmp_path: Path) -> None:
    assert tail(str(tmp_path / "a.log"), 10) == []


@given(st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")), max_size=30), st.integers(0, 40))
def test_the_last_lines(tmp_path_factory: pytest.TempPathFactory, written: list[bytes], lines: int) -> None:
    path = tmp_path_factory.mktemp("tail") / "a.log"
    path.write_bytes(b"".join(line + b"\n" for line in written))
    assert tail(str(path), lines) == (written[-lines:] if lines else [])


def test_a_line_without_an_end_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"one\ntwo\nthr")
    assert tail(str(path), 2) == [b"two", b"thr"]


def test_what_is_missing_comes_from_the_copies(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    (tmp_path / "a.log.2").write_bytes(b"1\n2\n")
    (tmp_path / "a.log.1").write_bytes(b"3\n4\n")
    path.write_bytes(b"5\n")
    assert tail(str(path), 2) == [b"4", b"5"]
    assert tail(str(path), 4) == [b"2", b"3", b"4", b"5"]
    assert tail(str(path), 10) == [b"1", b"2", b"3", b"4", b"5"]
    path.unlink()
    assert tail(str(path), 1) == [b"4"]


def test_reading_backwards_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"x" * 1023 + b"\n")
    os.truncate(path, 2**42)  # a hole of four terabytes, as any vassal can make in its log
    with path.open("ab") as log:
        log.write(b"\nend\n")
    found = tail(str(path), 10)
    assert found[-1] == b"end"
    assert sum(map(len, found)) <= MOST_READ
    assert all(len(line) <= LONGEST_LINE for line in found)


@pytest.mark.parametrize("put", [put_link, put_fifo, put_folder])
def test_only_plain_files_are_read(folder: Path, put: Callable[[Path], None]) -> None:
    (folder / "victim").write_text("secret\n")
    put(folder / "a.ini.log")
    assert tail(str(folder / "a.ini.log"), 10) == []
    follower = Follower(str(folder / "a.ini.log"))
    assert follower.read() == []


# --- following -------------------------------------------------------------------------------------------------------


def write(path: Path, text: bytes) -> None:
    with path.open("ab") as log:
        log.write(text)


def read_all(follower: Follower) -> list[bytes]:
    """All there is now; the end is where two reads in a row bring nothing."""
    found: list[bytes] = []
    for _ in range(2):
        while new := follower.read():
            found += new
    return found


def rotate(folder: Path, keep: int = 3) -> None:
    LogRotation(str(folder), RotationRules(size=1, keep=keep), lambda event: None).look()


def test_what_comes_is_followed_in_whole_lines(folder: Path) -> None:
    path = folder / "a.ini.log"
    write(path, b"old\n")
    follower = Follower(str(path))
    assert follower.read() == []
    write(path, b"one\ntw")
    assert follower.read() == [b"one"]
    write(path, b"o\n\nthree\n")
    assert follower.read() == [b"two", b"", b"three"]
    follower.close()


def test_a_log_may_come_later(folder: Path) -> None:
    follower = Follower(str(folder / "a.ini.log"))
    assert follower.read() == []
    write(folder / "a.ini.log", b"one\n")
    assert follower.read() == [b"one"]
    follower.close()


@pytest.mark.parametrize("rotations", [1, 2, 3])
def test_rotations_lose_no_line_and_repeat_none(folder: Path, rotations: int) -> None:
    path = folder / "a.ini.log"
    write(path, b"old\n")
    rotate(folder)
    write(path, b"old\n")
    follower = Follower(str(path))
    expected, number = [], 0
    for _ in range(4):
        for _ in range(rotations):
            for _ in range(number % 5):
                number += 1
                write(path, b"%d\n" % number)
                expected.append(b"%d" % number)
            number += 1
            write(path, b"%d\n" % number)
            expected.append(b"%d" % number)
            rotate(folder)
        number += 1
        write(path, b"%d\n" % number)
        expected.append(b"%d" % number)
        found = read_all(follower)
        assert found == expected
        expected.clear()
    follower.close()


def test_a_copy_longer_than_one_call_is_read_over_several(folder: Path) -> None:
    path = folder / "a.ini.log"
    path.touch()
    follower = Follower(str(path))
    lines = [b"%0100d" % number for number in range(3 * MOST_READ // 100)]
    write(path, b"".join(line + b"\n" for line in lines))
    rotate(folder)
    write(path, b"new\n")
    calls = iter(follower.read, [])
    found = [line for lines in calls for line in lines]
    assert found == [*lines, b"new"]
    follower.close()


def test_what_was_cut_without_a_copy_goes_on_at_its_beginning(folder: Path) -> None:
    path = folder / "a.ini.log"
    write(path, b"a long old line\n")
    follower = Follower(str(path))
    os.truncate(path, 0)
    write(path, b"new\n")
    assert read_all(follower) == [b"new"]
    follower.close()


def test_another_file_in_its_place_is_followed(folder: Path) -> None:
    path = folder / "a.ini.log"
    path.touch()
    follower = Follower(str(path))
    write(path, b"last of the old\npart")
    path.unlink()
    write(path, b"first of the new\n")
    assert read_all(follower) == [b"last of the old", b"part", b"first of the new"]
    follower.close()


def test_long_lines_come_in_pieces_and_holes_do_not_come(folder: Path) -> None:
    path = folder / "a.ini.log"
    path.touch()
    follower = Follower(str(path))
    write(path, b"x" * (2 * LONGEST_LINE + 5) + b"\n")
    assert [len(line) for line in read_all(follower)] == [LONGEST_LINE, LONGEST_LINE, 5]
    os.truncate(path, 2**42)
    write(path, b"\nend\n")
    assert read_all(follower)[-1] == b"end"
    follower.close()
