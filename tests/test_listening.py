"""Outlets listen where they are told, and nobody's file or living socket is removed for it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from emperor_trio.errors import UsageError
from emperor_trio.listening import Listening, adopt, listen_on


def listening(address: object, mode: int | None = None) -> Listening:
    return listen_on("--emperor-stats", str(address), mode)


def connect(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


@pytest.mark.parametrize(("address", "host"), [("127.0.0.1:0", "127.0.0.1"), (":0", "0.0.0.0"), ("[::1]:0", "::1")])
def test_listens_on_a_port(address: str, host: str) -> None:
    found = listening(address)
    assert found.socket.getsockname()[0] == host
    assert not found.socket.get_inheritable()
    found.close()


def test_listens_on_a_path_and_removes_it_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "stats.sock"
    found = listening(path, 0o660)
    assert path.stat().st_mode & 0o777 == 0o660
    connect(path)
    found.close()
    assert not path.exists()
    found.close()


def test_the_umask_is_as_before(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        listening(tmp_path / "a.sock", 0o666).close()
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_a_path_is_removed_from_another_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = listening("stats.sock")
    monkeypatch.chdir("/")
    found.close()
    assert not (tmp_path / "stats.sock").exists()


def test_a_dead_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "stats.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    listening(path).close()


def test_a_living_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "stats.sock"
    first = listening(path)
    with pytest.raises(UsageError, match=r"--emperor-stats .*stats.sock: can't listen there: Address already in use"):
        listening(path)
    connect(path)
    first.close()


def test_a_living_socket_with_a_full_queue_stays(tmp_path: Path) -> None:
    path = tmp_path / "stats.sock"
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(str(path))
        busy.listen(0)
        waiting.connect(str(path))
        with pytest.raises(UsageError, match="in use"):
            listening(path)
        assert path.is_socket()


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_another_kind_of_file_stays(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "stats.sock"
    match kind:
        case "file":
            path.write_text("precious")
        case "folder":
            path.mkdir()
        case _:
            path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="no socket is there"):
        listening(path)
    assert os.path.lexists(path)


def test_a_socket_of_someone_else_is_not_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "stats.sock"
    first = listening(path)
    path.unlink()
    second = listening(path)
    first.close()
    connect(path)
    second.close()


def test_a_port_in_use_is_a_clear_error() -> None:
    first = listening("127.0.0.1:0")
    port = first.socket.getsockname()[1]
    with pytest.raises(
        UsageError, match=rf"--emperor-stats 127.0.0.1:{port}: .*Address already in use.*another address"
    ):
        listening(f"127.0.0.1:{port}")
    first.close()


@pytest.mark.parametrize(
    "address", ["127.0.0.1:http", "127.0.0.1:70000", "127.0.0.1:", "no such host.invalid:1", "x" * 200]
)
def test_a_wrong_address_is_a_clear_error(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"--emperor-stats .*can't listen there"):
        listening(address)
    assert not list(tmp_path.iterdir())


def test_what_somebody_else_opened_is_listened_on_again_and_left_to_him(tmp_path: Path) -> None:
    path = tmp_path / "theirs"
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(str(path))
        theirs.listen()
        for _ in range(2):  # an outlet that fails is run again
            found = adopt(theirs)
            connect(path)
            found.socket.accept()[0].close()
            assert not found.socket.get_inheritable()
            found.close()
        assert path.exists()
        connect(path)
