"""uWSGI's command socket: what its packets say, and what nobody's packet can do."""

from __future__ import annotations

import os
import socket
import stat
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from emperor_trio.errors import UsageError
from emperor_trio.events import CommandReceived, Event, Notice
from emperor_trio.model import VassalId, Verb, Verdict
from emperor_trio.outlets.command_socket import CommandSocket, Packet, Unreadable, parse_packet

A, OTHER = VassalId("dir:///a", "a.ini"), VassalId("glob:///b/*", "a.ini")


def packed(*pairs: tuple[bytes, bytes], head: bytes = bytes(4)) -> bytes:
    return head + b"".join(struct.pack("<H", len(word)) + word for pair in pairs for word in pair)


@pytest.mark.parametrize(
    ("data", "packet"),
    [
        (packed((b"cmd", b"spawn"), (b"vassal", b"a.ini")), Packet("spawn", "a.ini")),
        (packed((b"vassal", b"a.ini"), (b"command", b"stop"), head=b"\xff\0\0\1"), Packet("stop", "a.ini")),
        (packed((b"cmd", b"log"), (b"msg", b"hello"), (b"strange", b"")), Packet("log", message="hello")),
        (packed((b"cmd", b"stop"), (b"cmd", b"spawn"), (b"vassal", b"\xe9")), Packet("spawn", "\udce9")),
    ],
)
def test_packets(data: bytes, packet: Packet) -> None:
    assert parse_packet(data) == packet


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "shorter than its head"),
        (b"\0\0\0", "shorter than its head"),
        (bytes(4), "no cmd"),
        (packed((b"vassal", b"a.ini")), "no cmd"),
        (packed((b"cmd", b"")), "no cmd"),
        (bytes(4) + b"\3", "within a length"),
        (bytes(4) + b"\3\0cm", "beyond its end"),
        (bytes(4) + b"\3\0cmd", "has no value"),
    ],
)
def test_what_is_no_packet(data: bytes, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        parse_packet(data)


@given(st.binary(max_size=200))
def test_every_other_packet_is_read_or_is_unreadable(data: bytes) -> None:
    with suppress(Unreadable):
        assert parse_packet(data).command


class Realm:
    """Two vassals of one name, who do as they are told."""

    def __init__(self) -> None:
        self.orders: list[tuple[Verb, tuple[VassalId, ...]]] = []

    def vassal_ids(self) -> tuple[VassalId, ...]:
        return A, OTHER, VassalId("dir:///a", "a.ini", 1)

    def absent(self) -> tuple[VassalId, ...]:
        return ()

    async def order(self, verb: Verb, vassals: Sequence[VassalId]) -> tuple[Verdict, ...]:
        self.orders.append((verb, tuple(vassals)))
        return tuple(Verdict(vassal, verb is not Verb.RELOAD, "it is stopped: start it instead") for vassal in vassals)


@pytest.fixture
def told() -> list[Event]:
    return []


async def send(path: Path, realm: Realm, told: list[Event], *packets: bytes) -> None:
    """Send packets to a running command socket, and wait for what comes of them."""
    commands = CommandSocket(str(path), realm, told.append)  # type: ignore[arg-type]
    commands.open()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(commands.run)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as theirs:
            theirs.connect(str(path))
            for packet in packets:
                theirs.send(packet)
            theirs.send(packed((b"cmd", b"log"), (b"msg", b"the end")))
        with trio.fail_after(30):
            while CommandReceived("the end") not in told:
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert not path.exists()


async def test_commands_become_ours(tmp_path: Path, told: list[Event]) -> None:
    realm = Realm()
    packets = [packed((b"cmd", verb), (b"vassal", b"a.ini")) for verb in (b"spawn", b"stop", b"respawn")]
    await send(tmp_path / "s", realm, told, *packets)
    assert realm.orders == [(verb, (A, OTHER)) for verb in (Verb.START, Verb.STOP, Verb.RELOAD)]
    (first, *_) = (event.text for event in told if isinstance(event, Notice))
    assert first == "--emperor-command-socket: respawn of 'a.ini': it is stopped: start it instead"


async def test_what_is_wrong_is_told_and_harms_nothing(tmp_path: Path, told: list[Event]) -> None:
    realm = Realm()
    wrong = [
        b"",
        b"\0" * 5000,
        packed((b"cmd", b"dance"), (b"vassal", b"a.ini")),
        packed((b"cmd", b"stop"), (b"vassal", b"nobody\n\x1b[31m.ini")),
        packed((b"cmd", b"log"), (b"msg", b"\x1b]0;title\x07\nforged line")),
    ]
    await send(tmp_path / "s", realm, told, *wrong)
    assert realm.orders == []
    assert len([event for event in told if isinstance(event, Notice)]) == 4
    assert all(event.text.isprintable() for event in told)


async def test_descriptors_that_are_sent_along_are_not_taken(tmp_path: Path, told: list[Event]) -> None:
    path = tmp_path / "s"
    commands = CommandSocket(str(path), Realm(), told.append)  # type: ignore[arg-type]
    commands.open()
    before = len(os.listdir("/proc/self/fd"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(commands.run)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as theirs:
            theirs.connect(str(path))
            with suppress(PermissionError):  # Linux 6.16 and newer refuse them at the sender
                socket.send_fds(theirs, [packed((b"cmd", b"log"), (b"msg", b"with one"))], [theirs.fileno()])
            theirs.send(packed((b"cmd", b"log"), (b"msg", b"without")))
        with trio.fail_after(30):
            while CommandReceived("without") not in told:
                await trio.sleep(0.01)
        assert len(os.listdir("/proc/self/fd")) == before
        nursery.cancel_scope.cancel()


def test_only_the_emperors_user_may_write_to_it(tmp_path: Path, told: list[Event]) -> None:
    path = tmp_path / "s"
    commands = CommandSocket(str(path), Realm(), told.append)  # type: ignore[arg-type]
    bound = commands.open()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(UsageError, match=r"--emperor-command-socket .*/s: can't listen there: Address already in use"):
        CommandSocket(str(path), Realm(), told.append).open()  # type: ignore[arg-type]
    bound.socket.close()
    CommandSocket(str(path), Realm(), told.append).open().close()  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="over UDP anyone"):
        CommandSocket("127.0.0.1:4000", Realm(), told.append).open()  # type: ignore[arg-type]
