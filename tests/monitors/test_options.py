"""What the options make of a config: on-demand sockets, owners in Tyrant mode, magic exec; and what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from emperor_trio.events import VassalRefused
from emperor_trio.model import Destroy, Owner, Touch
from emperor_trio.testing.conformance import Watched
from tests.monitors.support import open_way, watching_files, write

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files away, which takes root")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "vassals"
    made.mkdir()
    return made


def refusals(watched: Watched) -> list[tuple[str, str, str]]:
    return [(event.name, event.value, event.reason) for event in watched.events if isinstance(event, VassalRefused)]


# --- on demand ---


@pytest.mark.parametrize(
    ("content", "socket"),
    [
        (b"127.0.0.1:3031", "127.0.0.1:3031"),
        (b"  /run/a b.sock \n", "/run/a b.sock"),
        (b"/run/a.sock\nsecond line\n", "/run/a.sock"),
        (b"/run/a.sock\0/run/b.sock", "/run/a.sock"),
        (b":3031\t# nothing more", ":3031"),
        (b"/run/\xff.sock", "/run/\udcff.sock"),
        (b"", None),
        (b" \n\n", None),
    ],
)
async def test_the_socket_is_what_the_file_beside_the_config_says(
    folder: Path, content: bytes, socket: str | None
) -> None:
    write(folder / "a.ini")
    (folder / "a.ini.socket").write_bytes(content)
    async with watching_files(folder, on_demand_extension=".socket") as watched:
        await watched.until_there("a.ini")
    assert watched.vassals["a.ini"].socket == socket
    assert not watched.events


async def test_a_socket_is_gained_changed_and_lost(folder: Path) -> None:
    write(folder / "a.ini")
    async with watching_files(folder, on_demand_extension=".socket") as watched:
        await watched.until_there("a.ini")
        version = watched.vassals["a.ini"].version
        for content in (":3031", ":3032"):
            write(folder / "a.ini.socket", content)
            await watched.until(lambda content=content: watched.vassals["a.ini"].socket == content)  # type: ignore[misc]
        (folder / "a.ini.socket").rename(folder / "old")  # as editors do
        write(folder / "a.ini.socket", ":3033")
        await watched.until(lambda: watched.vassals["a.ini"].socket == ":3033")
        (folder / "a.ini.socket").unlink()
        await watched.until(lambda: watched.vassals["a.ini"].socket is None)
        assert watched.vassals["a.ini"].version == version
        sockets = [seen.spec.socket for seen in watched.observations if isinstance(seen, Touch)]
        assert sockets == [":3031", ":3032", ":3033", None]


async def test_a_socket_is_gained_through_a_glob(folder: Path) -> None:
    name = write(folder / "a.ini")
    async with watching_files(folder / "*.ini", on_demand_extension=".socket") as watched:
        await watched.until_there(name)
        write(folder / "a.ini.socket", ":3031")
        await watched.until(lambda: watched.vassals[name].socket == ":3031")


async def test_the_socket_lies_in_the_folder_for_sockets(folder: Path) -> None:
    names = [write(folder / name) for name in ("a.b.ini", ".ini", "conf")]
    options = {"on_demand_directory": "/run/sockets", "extra_extensions": frozenset({"conf"})}
    async with watching_files(folder / "*", **options) as by_path, watching_files(folder, **options) as by_name:
        await by_path.until_there(names[0], names[2])
        await by_name.until_there("a.b.ini", ".ini", "conf")
    assert by_path.vassals[names[0]].socket == by_name.vassals["a.b.ini"].socket == "/run/sockets/a.b.socket"
    assert by_name.vassals[".ini"].socket == "/run/sockets/.socket"
    assert by_name.vassals["conf"].socket is None


@pytest.mark.parametrize(
    ("options", "asks"),
    [
        ({"on_demand_exec": "/bin/ask"}, True),
        ({"on_demand_exec": "/bin/ask", "on_demand_extension": ".socket"}, False),
        ({"on_demand_exec": "/bin/ask", "on_demand_directory": "/run"}, False),
    ],
)
async def test_a_command_is_asked_where_no_other_way_is_set(folder: Path, options: dict[str, str], asks: bool) -> None:
    write(folder / "a.ini")
    async with watching_files(folder, **options) as watched:
        await watched.until_there("a.ini")
    assert watched.vassals["a.ini"].ask_socket is asks


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_folder(path: Path) -> None:
    path.mkdir()


def make_link(path: Path) -> None:
    path.symlink_to("/etc/shadow")


def make_long(path: Path) -> None:
    path.write_text("x" * 4097)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (make_fifo, "a FIFO, not a file"),
        (make_folder, "a folder, not a file"),
        (make_link, "a link, not a file"),
        (make_long, "more than 4096 bytes"),
    ],
)
async def test_a_bad_socket_file_costs_only_its_vassal_and_is_said_once(
    folder: Path, make: Callable[[Path], None], reason: str
) -> None:
    write(folder / "good.ini")
    write(folder / "bad.ini")
    make(folder / "bad.ini.socket")
    async with watching_files(folder, frequency=0.05, on_demand_extension=".socket") as watched:
        await watched.until_there("good.ini")
        for rings in range(1, 4):
            watched.bell.ring()
            await watched.until(lambda rings=rings: len(watched.observations) > rings)  # type: ignore[misc]
        assert refusals(watched) == [("bad.ini", "'bad.ini.socket'", reason)]
        (folder / "bad.ini.socket").rename(folder / "off")
        await watched.until_there("good.ini", "bad.ini")
        version = watched.vassals["bad.ini"].version
        (folder / "off").rename(folder / "bad.ini.socket")
        watched.bell.ring()
        await watched.until(lambda: len(refusals(watched)) == 2)
        write(folder / "bad.ini")
        write(folder / "good.ini", "changed")
        await watched.until_newer("good.ini", version)
        assert watched.vassals["bad.ini"].version == version


# --- Tyrant ---


@needs_root
async def test_the_owner_is_the_files_and_a_change_of_it_is_seen(folder: Path) -> None:
    write(folder / "a.ini")
    os.chown(folder / "a.ini", 1001, 1002)
    write(folder / "root.ini")
    async with watching_files(folder, tyrant=True) as watched:
        await watched.until_there("a.ini", "root.ini")
        assert watched.vassals["a.ini"].owner == Owner(1001, 1002)
        assert watched.vassals["root.ini"].owner == Owner(0, 0)  # refused by the supervisor, with an event
        os.chown(folder / "a.ini", 1003, 1002)
        await watched.until(lambda: watched.vassals["a.ini"].owner == Owner(1003, 1002))


@needs_root
@pytest.mark.parametrize(
    ("options", "links", "uid"),
    [({}, 0, 1001), ({"tyrant_nofollow": True}, 1005, 1005), ({"nofollow": True}, 1005, 1005)],
)
async def test_whose_a_link_is(folder: Path, options: dict[str, bool], links: int, uid: int) -> None:
    write(folder / "target")
    os.chown(folder / "target", 1001, 1001)
    (folder / "a.ini").symlink_to("target")
    os.chown(folder / "a.ini", links, links, follow_symlinks=False)
    async with watching_files(folder, tyrant=True, **options) as watched:
        await watched.until_there("a.ini")
    assert watched.vassals["a.ini"].owner == Owner(uid, uid)


@needs_root
async def test_a_socket_file_of_someone_else_is_refused(folder: Path) -> None:
    write(folder / "a.ini")
    write(folder / "a.ini.socket", ":3031")
    os.chown(folder / "a.ini", 1001, 1001)
    os.chown(folder / "a.ini.socket", 1002, 1001)
    async with watching_files(folder, tyrant=True, on_demand_extension=".socket") as watched:
        await watched.until(lambda: refusals(watched))
        assert refusals(watched) == [("a.ini", "'a.ini.socket'", "belongs to 1002:1001, but its vassal to 1001:1001")]
        assert watched.names == set()
        os.chown(folder / "a.ini.socket", 1001, 1001)
        await watched.until_there("a.ini")
        assert watched.vassals["a.ini"].socket == ":3031"


@needs_root
async def test_nothing_runs_on_as_someone_to_whom_its_config_belongs_no_more(folder: Path) -> None:
    write(folder / "a.ini")
    write(folder / "a.ini.socket", ":3031")
    os.chown(folder / "a.ini", 1001, 1001)
    os.chown(folder / "a.ini.socket", 1001, 1001)
    async with watching_files(folder, tyrant=True, on_demand_extension=".socket") as watched:
        await watched.until_there("a.ini")
        os.chown(folder / "a.ini", 1002, 1002)
        await watched.until_there()
        assert watched.observations[-1] == Destroy("a.ini")
        os.chown(folder / "a.ini.socket", 1002, 1002)
        await watched.until_there("a.ini")
        assert watched.vassals["a.ini"].owner == Owner(1002, 1002)


# --- magic exec ---


async def test_an_executable_config_is_executed_only_with_magic_exec(folder: Path) -> None:
    write(folder / "a.ini")
    write(folder / "b.ini")
    (folder / "b.ini").chmod(0o755)
    (folder / "link.ini").symlink_to("b.ini")
    async with (
        watching_files(folder, magic_exec=True) as magic,
        watching_files(folder, magic_exec=True, nofollow=True) as nofollow,
        watching_files(folder) as plain,
    ):
        for watched in (magic, nofollow, plain):
            await watched.until_there("a.ini", "b.ini", "link.ini")
        executable = {"a.ini": False, "b.ini": True, "link.ini": True}
        assert {name: spec.executable for name, spec in magic.vassals.items()} == executable
        assert {name: spec.executable for name, spec in nofollow.vassals.items()} == executable
        assert not any(spec.executable for spec in plain.vassals.values())
        (folder / "b.ini").chmod(0o644)
        await magic.until(lambda: not magic.vassals["b.ini"].executable)


# --- what can't be read ---


@needs_root
async def test_an_emperor_without_rights_refuses_what_it_may_not_read(folder: Path) -> None:
    """In a process of another user, since root may read everything."""
    write(folder / "open.ini")
    write(folder / "closed.ini")
    (folder / "closed.ini").chmod(0o600)
    open_way(folder)
    folder.chmod(0o777)
    os.seteuid(65534)
    try:
        async with watching_files(folder) as watched:
            await watched.until_there("open.ini")
            await watched.until(lambda: refusals(watched))
            assert [(name, value) for name, value, _ in refusals(watched)] == [("closed.ini", "-rw-------")]
            os.seteuid(0)
            (folder / "closed.ini").chmod(0o644)
            os.seteuid(65534)
            await watched.until_there("open.ini", "closed.ini")
            os.seteuid(0)
            folder.chmod(0o700)
            os.seteuid(65534)
            watched.bell.ring()
            await watched.until(lambda: "can't be read" in watched.events[-1].text)
            assert watched.names == {"open.ini", "closed.ini"}
            await trio.sleep(0.2)
            os.seteuid(0)
            folder.chmod(0o755)
            write(folder / "new.ini")
            os.seteuid(65534)
            await watched.until_there("open.ini", "closed.ini", "new.ini")
    finally:
        os.seteuid(0)
