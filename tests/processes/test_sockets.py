"""The sockets of on-demand vassals: addresses, the first connection, and what a tenant can not make root do."""

from __future__ import annotations

import os
import socket
import stat
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from emperor_trio.errors import ListenError, UsageError
from emperor_trio.model import Owner, VassalId
from emperor_trio.ports import Listener
from emperor_trio.processes import binding
from emperor_trio.processes.binding import parse_owner
from emperor_trio.processes.sockets import Inet, SystemListener, Unix, parse_address
from tests.processes.conftest import MakeCourt
from tests.processes.support import ALICE, BOB, PATIENCE, Court, descriptors

ONE = VassalId("m", "one.ini")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:3031", Inet("127.0.0.1", 3031, 4)),
        (":3031", Inet("0.0.0.0", 3031, 4)),
        ("localhost:1", Inet("127.0.0.1", 1, 4)),
        ("[::1]:3031", Inet("::1", 3031, 6)),
        ("[::]:0", Inet("::", 0, 6)),
        ("::1:3031", Inet("::1", 3031, 6)),
        ("one.socket", Unix("/d/one.socket")),
        ("./a:1", Unix("/d/./a:1")),
        ("/run/one:3031", Unix("/run/one:3031")),
        ("@name:1", Unix("\0name:1")),
    ],
)
def test_addresses(text: str, address: Inet | Unix) -> None:
    assert parse_address(text, "/d") == address


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no address"),
        ("a\0b", "no address"),
        ("127.0.0.1:", "'' is no port"),
        ("127.0.0.1:65536", "'65536' is no port"),
        ("127.0.0.1:-1", "'-1' is no port"),
        ("127.0.0.1:١", "is no port"),
        ("example.com:80", "names are not looked up"),
        ("*:80", "names are not looked up"),
        ("x" * 200, "107 bytes at most"),
        ("@" + "x" * 107, "107 bytes at most"),
    ],
)
def test_wrong_addresses(text: str, complaint: str) -> None:
    with pytest.raises(ListenError, match=complaint):
        parse_address(text, "/d")


def test_owners_of_sockets() -> None:
    assert parse_owner("root:root") == (0, 0)
    assert parse_owner("5") == (5, -1)
    assert parse_owner(":7") == (-1, 7)
    with pytest.raises(UsageError, match="--chown-socket no-such-user"):
        parse_owner("no-such-user:root")


def test_addresses_are_shown_as_they_are_written() -> None:
    for text in ("127.0.0.1:3031", "[::1]:3031", "/run/x", "@name"):
        assert str(parse_address(text, "/d")) == text


async def listen(court: Court, address: str, owner: Owner | None = ALICE) -> Listener:
    return await court.spawner.listen(ONE, court.spec(owner=owner), address)


async def listen_and_close(court: Court, address: str, owner: Owner | None = ALICE) -> None:
    (await listen(court, address, owner)).close()


class Bell:
    """Counts rings."""

    def __init__(self) -> None:
        self.rings = 0
        self._rung = trio.Event()

    def __call__(self) -> None:
        self.rings += 1
        self._rung.set()

    async def wait(self) -> None:
        with trio.fail_after(PATIENCE):
            await self._rung.wait()


def connect(listener: Listener) -> socket.socket:
    """A client that has sent its request."""
    address = listener.address
    if ":" in address:
        host, _, port = address.rpartition(":")
        client = socket.create_connection((host.strip("[]"), int(port)))
    else:
        client = socket.socket(socket.AF_UNIX)
        client.connect("\0" + address[1:] if address.startswith("@") else address)
    client.settimeout(PATIENCE)
    client.send(b"?")
    return client


@pytest.mark.parametrize("tyrant", [False, True])
@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0", "on demand.socket", "@emperor-trio-test"])
async def test_the_first_connection_rings_once_and_a_vassal_serves_it(
    make_court: MakeCourt, address: str, tyrant: bool
) -> None:
    court = await make_court(tyrant=tyrant)
    before = descriptors()
    listener = await listen(court, address)
    assert len(descriptors() - before) == 1
    bell = Bell()
    listener.arm(bell)
    with connect(listener) as client, connect(listener) as second:
        await bell.wait()
        subject = court.spawn(court.spec(serve=2), listener=listener)
        await subject.ear.bytes(b"\x11")
        assert await trio.to_thread.run_sync(client.recv, 100)
        assert await trio.to_thread.run_sync(second.recv, 100)
    assert bell.rings == 1
    (start,) = court.report.of("start")
    assert start["fds"]["0"].startswith("socket:")
    subject.process.kill()
    await subject.ear.exit_code()
    listener.close()
    listener.close()
    assert descriptors() == before


async def test_disarmed_is_silent_and_armed_again_rings_for_who_waits(court: Court) -> None:
    listener = await listen(court, "127.0.0.1:0")
    early, late = Bell(), Bell()
    listener.arm(early)
    listener.disarm()
    with connect(listener):
        with trio.move_on_after(0.05):
            await early.wait()
        assert early.rings == 0
        listener.arm(early)
        listener.arm(late)
        await late.wait()
        assert early.rings == 0
    listener.close()
    listener.arm(late)
    listener.disarm()


async def test_a_connection_survives_a_crash(court: Court) -> None:
    listener = await listen(court, "127.0.0.1:0")
    with connect(listener) as client:
        crashed = court.spawn(court.spec(exit_after=0, exit_code=1), listener=listener)
        assert await crashed.ear.exit_code() == 1
        bell = Bell()
        listener.arm(bell)
        await bell.wait()
        served = court.spawn(court.spec(serve=1), listener=listener)
        assert await trio.to_thread.run_sync(client.recv, 100)
        served.process.kill()
        await served.ear.exit_code()
    listener.close()


@pytest.mark.parametrize("tyrant", [False, True])
@pytest.mark.parametrize(("mode", "expected"), [(None, 0o666), (0o600, 0o600), (0o777, 0o777)])
async def test_mode_and_owner(make_court: MakeCourt, tyrant: bool, mode: int | None, expected: int) -> None:
    court = await make_court(tyrant=tyrant, chmod_socket=mode)
    old = os.umask(0o77)
    try:
        listener = await listen(court, "a.socket")
    finally:
        os.umask(old)
    found = (court.folder / "a.socket").stat()
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == expected
    assert (found.st_uid, found.st_gid) == ((ALICE.uid, ALICE.gid) if tyrant else (0, 0))
    listener.close()


@pytest.mark.parametrize("tyrant", [False, True])
async def test_the_socket_is_given_to_the_front_end(make_court: MakeCourt, tyrant: bool) -> None:
    court = await make_court(tyrant=tyrant, chown_socket=f"{BOB.uid}:{BOB.gid}", chmod_socket=0o600)
    listener = await listen(court, "a.socket")
    found = (court.folder / "a.socket").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (BOB.uid, BOB.gid, 0o600)
    listener.close()


async def test_a_closed_socket_is_removed_where_it_is_still_ours(court: Court) -> None:
    path = court.folder / "a.socket"
    listener = await listen(court, "a.socket")
    listener.close()
    assert not path.exists()
    listener = await listen(court, "a.socket")
    path.unlink()
    path.write_text("mine")
    listener.close()
    assert path.read_text() == "mine"


async def test_in_tyrant_mode_a_dead_socket_is_left_and_bound_again(make_court: MakeCourt) -> None:
    court = await make_court(tyrant=True)
    (await listen(court, "a.socket")).close()
    assert (court.folder / "a.socket").is_socket()
    (await listen(court, "a.socket")).close()


def living_socket(path: Path) -> Callable[[], None]:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener.close


def plain_file(path: Path) -> Callable[[], None]:
    path.write_text("precious")
    return lambda: None


def link_to_a_file(path: Path) -> Callable[[], None]:
    path.with_name("target").write_text("precious")
    path.symlink_to("target")
    return lambda: None


def link_to_nothing(path: Path) -> Callable[[], None]:
    path.symlink_to("/nowhere")
    return lambda: None


def link_to_a_dead_socket(path: Path) -> Callable[[], None]:
    dead_socket(path.with_name("dead"))
    path.symlink_to("dead")
    return lambda: None


def folder(path: Path) -> Callable[[], None]:
    path.mkdir()
    return lambda: None


def datagram_socket(path: Path) -> Callable[[], None]:
    taken = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    taken.bind(str(path))
    return taken.close


def full_socket(path: Path) -> Callable[[], None]:
    """A socket that lives, though nobody can connect at once."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(0)
    clients = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    for client in clients:
        client.setblocking(False)
        client.connect_ex(str(path))

    def close() -> None:
        for each in (*clients, listener):
            each.close()

    return close


def dead_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()


@pytest.mark.parametrize("tyrant", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        living_socket,
        full_socket,
        datagram_socket,
        plain_file,
        link_to_a_file,
        link_to_nothing,
        link_to_a_dead_socket,
        folder,
    ],
)
async def test_only_dead_sockets_are_removed(
    make_court: MakeCourt, make: Callable[[Path], Callable[[], None]], tyrant: bool
) -> None:
    court = await make_court(tyrant=tyrant)
    path = court.folder / "a.socket"
    forget = make(path)
    before = os.lstat(path)
    with pytest.raises(ListenError, match=r"a\.socket.*it was left alone"):
        await listen(court, "a.socket")
    after = os.lstat(path)
    assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)
    forget()


async def test_a_dead_socket_is_replaced(court: Court) -> None:
    dead_socket(court.folder / "a.socket")
    (await listen(court, "a.socket")).close()


async def test_a_tenant_can_not_make_root_create_or_remove(make_court: MakeCourt) -> None:
    court = await make_court(tyrant=True)
    private = court.folder / "private"
    private.mkdir(0o755)
    dead_socket(private / "dead.socket")
    (private / "dead.socket").chmod(0o666)
    for address in (private / "new.socket", private / "dead.socket"):
        with pytest.raises(ListenError, match=f"as {ALICE}: Permission denied"):
            await listen(court, str(address))
    assert [entry.name for entry in private.iterdir()] == ["dead.socket"]


async def test_a_tenant_can_not_take_anothers_dead_socket(make_court: MakeCourt) -> None:
    court = await make_court(tyrant=True)
    shared = court.folder / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (await listen(court, str(shared / "a.socket"), ALICE)).close()
    with pytest.raises(ListenError, match=f"as {BOB}: Operation not permitted"):
        await listen(court, str(shared / "a.socket"), BOB)


async def test_a_tenant_whose_disk_hangs_is_given_up(make_court: MakeCourt, monkeypatch: pytest.MonkeyPatch) -> None:
    court = await make_court(tyrant=True)
    before = descriptors()
    monkeypatch.setattr(binding, "LIMIT", 0)
    with pytest.raises(ListenError, match=f"a.socket as {ALICE}: it took longer than 0 s"):
        await listen(court, "a.socket")
    monkeypatch.undo()
    await listen_and_close(court, "b.socket")
    assert descriptors() == before


async def test_binding_takes_turns(make_court: MakeCourt) -> None:
    court = await make_court(tyrant=True)
    async with trio.open_nursery() as nursery:
        for number in range(2 * binding.AT_ONCE):
            owner = Owner(ALICE.uid + number // 4, ALICE.gid)
            nursery.start_soon(listen_and_close, court, f"{number}.socket", owner)
    assert len(list(court.folder.glob("*.socket"))) == 2 * binding.AT_ONCE


async def test_a_helper_that_fails_is_told(make_court: MakeCourt, monkeypatch: pytest.MonkeyPatch) -> None:
    court = await make_court(tyrant=True)
    monkeypatch.setattr(binding, "HELPER", "/nowhere/helper.py")
    with pytest.raises(ListenError, match="the helper failed, it ended with code 2"):
        await listen(court, "a.socket")


async def test_a_tenant_can_not_take_a_privileged_port(make_court: MakeCourt) -> None:
    court = await make_court(tyrant=True)
    with pytest.raises(ListenError, match="only root may take port 1"):
        await listen(court, "127.0.0.1:1")


async def test_groups_of_the_owner_count_for_the_path(make_court: MakeCourt) -> None:
    court = await make_court(tyrant=True)
    for_group = court.folder / "group"
    for_group.mkdir()
    os.chown(for_group, 0, ALICE.gid)
    for_group.chmod(0o775)
    (await listen(court, str(for_group / "a.socket"), ALICE)).close()
    with pytest.raises(ListenError, match="Permission denied"):
        await listen(court, str(for_group / "b.socket"), Owner(BOB.uid, BOB.gid))


async def test_initgroups_counts_for_the_path(make_court: MakeCourt) -> None:
    court = await make_court(tyrant=True, initgroups=True)
    (await listen(court, "a.socket", ALICE)).close()
    (await listen(court, "b.socket", Owner(65534, 65534))).close()


async def test_a_port_in_use_is_named(court: Court) -> None:
    listener = await listen(court, "127.0.0.1:0")
    with pytest.raises(ListenError, match=f"can't listen on {listener.address}: somebody listens there"):
        await listen(court, listener.address)
    listener.close()


async def test_a_missing_folder_is_an_error(make_court: MakeCourt) -> None:
    court = await make_court()
    with pytest.raises(ListenError, match="No such file"):
        await listen(court, "/nowhere/a.socket")


@pytest.mark.parametrize("tyrant", [False, True])
async def test_a_cancelled_bind_leaves_nothing(make_court: MakeCourt, tyrant: bool) -> None:
    court = await make_court(tyrant=tyrant)
    before = descriptors()
    with trio.CancelScope() as scope:
        scope.cancel()
        listener = await listen(court, "a.socket")
        listener.close()
    with trio.fail_after(PATIENCE):
        while descriptors() != before:
            await trio.sleep(0.01)


async def test_the_backlog_is_as_asked_for(make_court: MakeCourt) -> None:
    court = await make_court(listen=7)
    listener = await listen(court, "127.0.0.1:0")
    assert isinstance(listener, SystemListener)
    with socket.socket(fileno=os.dup(listener.fileno())) as bound:
        information = bound.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 64)
    assert struct.unpack_from("I", information, 28) == (7,)  # tcpi_sacked is the backlog of a listener
    listener.close()


async def test_a_relative_path_belongs_to_the_vassals_folder(court: Court) -> None:
    spec = replace(court.spec(), directory=None)
    listener = await court.spawner.listen(ONE, spec, "b.socket")
    assert listener.address == str(court.folder / "b.socket")
    listener.close()


@pytest.mark.parametrize("address", ["tenant.socket", "@emperor-trio-test-peer"])
@pytest.mark.parametrize("chown", [None, "0:0"])
async def test_clients_of_a_tenants_socket_see_the_tenant(
    make_court: MakeCourt, address: str, chown: str | None
) -> None:
    """Not root: there are those who trust a server for its user (SO_PEERCRED)."""
    court = await make_court(tyrant=True, chown_socket=chown)
    listener = await listen(court, address)
    with connect(listener) as client:
        _, uid, gid = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    assert (uid, gid) == (ALICE.uid, ALICE.gid)
    listener.close()
