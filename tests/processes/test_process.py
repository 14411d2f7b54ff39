"""The emperor's ends of a vassal's pipes, without a process at the other."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from emperor_trio.errors import SpawnDeferred, SpawnError
from emperor_trio.law.protocol import config_chunk
from emperor_trio.model import MAX_CONFIG
from emperor_trio.processes.children import Children
from emperor_trio.processes.launch import Launch
from emperor_trio.processes.launcher import Launcher
from emperor_trio.processes.poller import Poller
from emperor_trio.processes.process import ConfigPipe, VassalProcess
from emperor_trio.processes.reaper import OnExit, PidfdReaper, SigchldReaper
from tests.processes.support import Ear, descriptors

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_chunks_are_whole_one_after_the_other(pair: Pair) -> None:
    pipe = ConfigPipe(pair[0])
    sent = [
        bytes([number]) * size for number, size in enumerate((1, 5000, 40_000, MAX_CONFIG, 3, MAX_CONFIG, MAX_CONFIG))
    ]
    taken = [config for config in sent if pipe.send(config)]
    assert pipe.unread() > 0
    expected = b"".join(map(config_chunk, taken))
    assert pair[1].recv(2 * len(expected), socket.MSG_WAITALL | socket.MSG_DONTWAIT) == expected
    assert pipe.unread() == 0
    assert len(taken) >= 5
    assert pipe.send(sent[-1])


def test_a_pipe_without_a_reader_takes_nothing(pair: Pair) -> None:
    pipe = ConfigPipe(pair[0])
    pair[1].close()
    assert not pipe.send(b"x")
    with pytest.raises(SpawnError, match="can't be sent"):
        pipe.send_first(b"x")
    pipe.close()


class NarrowSocket(socket.socket):
    """As it is where net.core.wmem_max is very small."""

    def getsockopt(self, *_: object) -> int:  # type: ignore[override]
        return 4608


def test_a_system_that_is_too_narrow_is_named() -> None:
    with NarrowSocket(socket.AF_UNIX) as narrow, pytest.raises(SpawnError, match=r"net\.core\.wmem_max"):
        ConfigPipe(narrow)


def test_a_small_buffer_is_made_large_enough(pair: Pair) -> None:
    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    pipe = ConfigPipe(pair[0])
    assert pipe.send(b"x" * MAX_CONFIG)


async def test_a_process_that_did_not_begin_is_never_killed(pair: Pair) -> None:
    """Its number would be 0: our own group."""
    process = VassalProcess(pair[0], None, Poller(), Ear())
    process.kill()
    process.close()
    assert not process.send_config(b"x")
    assert not process.has_unread_config()


TRUE = Launch(commands=(("/bin/sleep", "1000"),), environment={})


class FullPoller(Poller):
    """As it is where fs.epoll.max_user_watches is reached."""

    def watch(self, descriptor: int, callback: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


class FullReaper(SigchldReaper):
    def watch(self, pid: int, on_exit: OnExit) -> None:
        self.pid = pid
        raise OSError(errno.EMFILE, "Too many open files")


async def test_what_can_not_be_watched_does_not_live_on() -> None:
    launcher, reaper = Launcher(), FullReaper()
    before = descriptors()
    with pytest.raises(SpawnDeferred, match="Too many open files"):
        Children(launcher, reaper).start(TRUE, lambda code: None)
    assert not Path(f"/proc/{reaper.pid}").exists()
    with pytest.raises(SpawnDeferred, match="No space left"):
        Children(launcher, PidfdReaper(FullPoller())).start(TRUE, lambda code: None)
    assert descriptors() == before
    launcher.close()
    launcher.close()


async def test_a_command_that_can_not_be_started_leaves_nothing() -> None:
    launcher = Launcher()
    children = Children(launcher, SigchldReaper())
    before = descriptors()
    nowhere = Launch(commands=(("x",),), environment={}, directory="/nowhere")
    for run in (children.run, children.ask):
        with pytest.raises(SpawnError, match="/nowhere"), trio.fail_after(20):
            await run(nowhere, 5)
    assert descriptors() == before
    launcher.close()
