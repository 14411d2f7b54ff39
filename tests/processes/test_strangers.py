"""Descriptors that a vassal sends along with its bytes, made so that whoever closes them last has to wait."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from emperor_trio import strangers
from emperor_trio.errors import SpawnDeferred
from emperor_trio.ports import Exited, PipeClosed, Received
from emperor_trio.processes.children import Children
from emperor_trio.processes.launch import Launch
from emperor_trio.processes.launcher import Launcher
from emperor_trio.processes.poller import Poller
from emperor_trio.processes.process import ConfigPipe, VassalProcess
from emperor_trio.processes.reaper import SigchldReaper
from tests.processes.support import Ear

MOMENT = 5.0


@pytest.fixture(autouse=True)
def older_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """As before Linux 6.16, which can refuse descriptors at their sender."""
    monkeypatch.setattr(strangers, "SO_PASSRIGHTS", 9999)


@pytest.fixture
def children() -> Iterator[Children]:
    launcher = Launcher()
    yield Children(launcher, SigchldReaper())
    launcher.close()


@contextlib.contextmanager
def a_moment() -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < MOMENT


@pytest.mark.parametrize("flags", [0, socket.MSG_OOB], ids=["plain", "urgent"])
async def test_a_vassal_that_sends_descriptors_has_hung_up(
    lingering: socket.socket, children: Children, nursery: trio.Nursery, flags: int
) -> None:
    ours, theirs = socket.socketpair()
    poller, ear = Poller(), Ear()
    process = VassalProcess(ours, None, poller, ear, children.discard)
    nursery.start_soon(poller.run)
    theirs.send(b"\x01")
    await ear.bytes(b"\x01")
    socket.send_fds(theirs, [b"\x05"], [lingering.fileno()], flags)
    theirs.send(b"\x11")
    lingering.close()
    with a_moment():
        await ear.pipe_closed()
        process.close()
    assert ear.events == [Received(b"\x01"), PipeClosed()]
    assert theirs.recv(1) == b""
    theirs.close()


async def test_the_last_words_hold_nobody_up(lingering: socket.socket, children: Children) -> None:
    ours, theirs = socket.socketpair()
    ear = Ear()
    process = VassalProcess(ours, None, Poller(), ear, children.discard)
    socket.send_fds(theirs, [b"\x05"], [lingering.fileno()])
    lingering.close()
    with a_moment():
        process.ended(3)
    assert ear.events == [Exited(3)]
    theirs.close()


def test_nor_does_what_comes_in_where_nothing_is_ever_read(lingering: socket.socket, children: Children) -> None:
    ours, theirs = socket.socketpair()
    pipe = ConfigPipe(ours, children.discard)
    socket.send_fds(theirs, [b"x"], [lingering.fileno()])
    lingering.close()
    with a_moment():
        pipe.close()
    theirs.close()


def test_nor_a_connection_that_nobody_accepted(lingering: socket.socket, children: Children, tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    listener.listen()
    with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
        for client in (first, second):
            client.connect(str(tmp_path / "socket"))
            socket.send_fds(client, [b"x"], [lingering.fileno()])
        lingering.close()
        with a_moment():
            children.discard_listener(listener)
        assert listener.fileno() == -1


class FullLauncher(Launcher):
    def start(self, launch: Launch) -> int:
        raise SpawnDeferred("the process table is full")


def test_nor_where_no_process_can_be_started(lingering: socket.socket) -> None:
    launcher = FullLauncher()
    ours, theirs = socket.socketpair()
    socket.send_fds(theirs, [b"x"], [lingering.fileno()])
    lingering.close()
    with a_moment():
        Children(launcher, SigchldReaper()).discard(ours)
    theirs.close()
    launcher.close()


def test_without_descriptors_no_process_is_needed(tmp_path: Path) -> None:
    launcher = FullLauncher()
    children = Children(launcher, SigchldReaper())
    ours, theirs = socket.socketpair()
    children.discard(ours)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    listener.listen()
    children.discard_listener(listener)
    assert (ours.fileno(), listener.fileno()) == (-1, -1)
    assert theirs.recv(1) == b""
    theirs.close()
    launcher.close()


def test_a_newer_system_refuses_them_at_the_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strangers, "SO_PASSRIGHTS", 83)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        try:
            ours.getsockopt(socket.SOL_SOCKET, 83)
        except OSError:
            pytest.skip("this system can't")
        strangers.refuse_descriptors(ours)
        with pytest.raises(PermissionError):
            socket.send_fds(theirs, [b"x"], [0])
        assert theirs.send(b"x") == 1
        assert strangers.receive(ours, 9) == b"x"


def test_only_as_much_is_taken_as_was_seen() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with pytest.raises(BlockingIOError):
            strangers.receive(ours, 9)
        theirs.send(b"abc")
        assert strangers.receive(ours, 2) == b"ab"
        assert not strangers.end(ours)
        theirs.close()
        assert strangers.receive(ours, 9) == b"c"
        assert strangers.receive(ours, 9) == b""
        assert strangers.end(ours)
