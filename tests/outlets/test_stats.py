"""Statistics have uWSGI's shape, also beside uWSGI's own, and slow, many or odd readers hurt nobody."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import trio

from emperor_trio import strangers
from emperor_trio.errors import UsageError
from emperor_trio.model import Owner, VassalId
from emperor_trio.outlets import stats
from emperor_trio.outlets.stats import READERS, StatsOutlet, encode, monitor_argument
from emperor_trio.ports import BlacklistStatistics, EmperorStatistics, MonitorStatistics, VassalStatistics
from tests.support.vassal import wait_until, write_vassal

FOLDER = MonitorStatistics("/etc/uwsgi/vassals", healthy=True, since=0.0, error="", vassals=1)
DEVELOPMENT_KEYS = {"suspended", "adopted", "attrs"}


def vassal(name: str = "shop.ini", **changes: Any) -> VassalStatistics:
    values: dict[str, Any] = {
        "vassal": VassalId(FOLDER.name, name, changes.pop("ordinal", 0)),
        "name": name,
        "phase": "running",
        "pid": 123,
        "generation": 1,
        "revision": 1,
        "born": 1_700_000_001,
        "modified": 1_700_000_002,
        "first_run": 1_700_000_003.7,
        "last_run": 1_700_000_004.7,
        "last_ready": 1_700_000_005.7,
        "last_accepting": 1_700_000_006.7,
        "last_loyal": 1_700_000_007.7,
        "last_heartbeat": 0.0,
        "ready": True,
        "accepting": True,
        "loyal": True,
        "cursed_at": 0.0,
        "reloads": 3,
        "on_demand": None,
        "owner": None,
        "reason": "",
    }
    return VassalStatistics(**(values | changes))


def empire(*vassals: VassalStatistics) -> EmperorStatistics:
    bad = BlacklistStatistics(VassalId(FOLDER.name, "bad.ini"), 1.5, 2, 1_700_000_000.9, 1_700_000_001.9)
    return EmperorStatistics(monitors=(FOLDER,), vassals=vassals, blacklist=(bad,))


@asynccontextmanager
async def serving(statistics: Callable[[], EmperorStatistics], address: str, **options: Any) -> AsyncIterator[Any]:
    """A running outlet; gives the address that a client's socket connects to."""
    outlet = StatsOutlet(address, statistics, **options)
    where = outlet.open().socket.getsockname()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outlet.run)
        yield where
        nursery.cancel_scope.cancel()


async def read_all(where: Any) -> bytes:
    """What a reader such as uwsgitop does: connect, read to the end."""
    stream = await (trio.open_tcp_stream(*where) if isinstance(where, tuple) else trio.open_unix_socket(where))
    async with stream:
        return b"".join([part async for part in stream])


# --- the shape ---


async def test_a_vassal_in_uwsgis_keys_order_and_units() -> None:
    shown = json.loads(await encode(empire(vassal(owner=Owner(33, 34), on_demand="127.0.0.1:9000")), tyrant=True))
    assert list(shown.items())[:7] == [
        ("version", version("emperor-trio")),
        ("pid", os.getpid()),
        ("uid", os.getuid()),
        ("gid", os.getgid()),
        ("cwd", os.getcwd()),
        ("emperor", ["/etc/uwsgi/vassals"]),
        ("emperor_tyrant", 1),
    ]
    assert list(shown)[7:] == ["throttle_level", "vassals", "blacklist", "monitors"]
    assert list(shown["vassals"][0].items()) == [
        ("id", "shop.ini"),
        ("pid", 123),
        ("born", 1_700_000_001),
        ("last_mod", 1_700_000_002),
        ("last_heartbeat", 0),
        ("loyal", 1),
        ("ready", 1),
        ("accepting", 1),
        ("last_loyal", 1_700_000_007),
        ("last_ready", 1_700_000_005),
        ("last_accepting", 1_700_000_006),
        ("first_run", 1_700_000_003),
        ("last_run", 1_700_000_004),
        ("cursed", 0),
        ("zerg", 0),
        ("on_demand", "127.0.0.1:9000"),
        ("suspended", 0),
        ("adopted", 0),
        ("uid", 33),
        ("gid", 34),
        ("monitor", "/etc/uwsgi/vassals"),
        ("attrs", {}),
        ("respawns", 3),
    ]
    assert shown["blacklist"] == [
        {
            "id": "bad.ini",
            "throttle_level": 1500,
            "attempt": 1,
            "first_attempt": 1_700_000_000,
            "last_attempt": 1_700_000_001,
        }
    ]


async def test_what_is_not_there() -> None:
    waiting = vassal(pid=0, ready=False, accepting=False, loyal=False, cursed_at=1_700_000_009.9, ordinal=2)
    [shown] = json.loads(await encode(empire(waiting), tyrant=False))["vassals"]
    assert (shown["pid"], shown["on_demand"], shown["zerg"], shown["cursed"]) == (-1, "", 1, 1_700_000_009)
    assert (shown["ready"], shown["accepting"], shown["loyal"]) == (0, 0, 0)
    assert (shown["uid"], shown["gid"]) == (os.getuid(), os.getgid())
    assert json.loads(await encode(EmperorStatistics(), tyrant=False))["vassals"] == []


async def test_names_from_tenants_stay_json_for_strict_readers() -> None:
    [shown] = json.loads((await encode(empire(vassal('a"b\\c\n\udcff.ini')), tyrant=False)).decode())["vassals"]
    assert shown["id"] == 'a"b\\c\n\\xff.ini'


async def test_a_deleted_folder_is_no_reason_to_be_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert json.loads(await encode(empire(), tyrant=False))["cwd"] == ""


def test_monitors_are_named_as_uwsgi_names_them(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to("real")
    assert monitor_argument(str(link)) == monitor_argument(f"dir://{link}") == str(tmp_path / "real")
    assert monitor_argument("glob:///etc/*/*.ini") == "/etc/*/*.ini"
    assert monitor_argument("/etc/*/*.ini") == "/etc/*/*.ini"
    assert monitor_argument("amqp://me:s3cret@rabbit") == "amqp://me:***@rabbit"


def types(value: Any) -> Any:
    """Keys in their order and types of values, all the way down."""
    match value:
        case dict():
            return [(key, types(item)) for key, item in value.items()]
        case list():
            return [types(item) for item in value[:1]]
        case _:
            return type(value)


def ask(path: Path) -> Any:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(path))
        return json.loads(b"".join(iter(lambda: client.recv(65536), b"")))


async def test_the_health_of_monitors_is_shown_without_passwords() -> None:
    down = MonitorStatistics("pg://host=db password=x;", False, 5.5, "no route", 3, "no route", 7.5)
    shown = json.loads(await encode(EmperorStatistics(monitors=(down,)), tyrant=False))
    assert shown["monitors"] == [
        {
            "monitor": "pg://host=db password=***;",
            "connected": 0,
            "since": 5,
            "error": "no route",
            "last_error": "no route",
            "next_try": 7,
            "vassals": 3,
        }
    ]


async def test_same_keys_order_and_types_as_uwsgis_emperor(vassal_binary: Path, tmp_path: Path) -> None:
    folder = tmp_path / "vassals"
    folder.mkdir()
    write_vassal(folder / "good.ini", loyal_after=0)
    write_vassal(folder / "bad.ini", ready_after="never", exit_after=0, exit_code=1)
    path = tmp_path / "stats.sock"
    command: list[str | Path] = ["uwsgi-core", "--emperor", folder, "--emperor-stats", path]
    command += ["--emperor-wrapper", vassal_binary]
    with (tmp_path / "log").open("wb") as log:
        uwsgi = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:

        def both_are_shown() -> bool:
            try:
                shown = ask(path)
            except (ConnectionError, FileNotFoundError):
                return False
            return bool(shown["blacklist"] and any(entry["loyal"] for entry in shown["vassals"]))

        await trio.to_thread.run_sync(wait_until, both_are_shown)
        theirs = ask(path)
    finally:
        uwsgi.send_signal(signal.SIGINT)
        uwsgi.wait(30)
    ours = json.loads(await encode(empire(vassal()), tyrant=False))
    for entry in ours["vassals"]:
        assert entry.keys() >= DEVELOPMENT_KEYS
        for key in DEVELOPMENT_KEYS:
            del entry[key]
    assert list(ours).pop() == "monitors", "ours, behind all of theirs"
    del ours["monitors"]
    assert types(ours) == types(theirs)
    assert theirs["emperor"] == [monitor_argument(str(folder))]
    assert theirs["throttle_level"] == ours["throttle_level"]


# --- serving ---


@pytest.mark.parametrize("address", ["127.0.0.1:0", "{tmp_path}/stats.sock"])
async def test_a_reader_connects_and_reads_to_the_end(address: str, tmp_path: Path) -> None:
    async with serving(lambda: empire(vassal()), address.format(tmp_path=tmp_path)) as where:
        for _ in range(3):
            assert json.loads(await read_all(where))["vassals"][0]["id"] == "shop.ini"
    assert not list(tmp_path.iterdir())


async def test_http_for_those_who_want_it() -> None:
    async with serving(lambda: empire(vassal()), "127.0.0.1:0", http=True, tyrant=True) as (host, port):

        def get() -> tuple[str | None, str | None, Any]:
            with urllib.request.urlopen(f"http://{host}:{port}/", timeout=20) as answer:
                return answer.headers["Content-Type"], answer.headers["Access-Control-Allow-Origin"], json.load(answer)

        kind, origin, shown = await trio.to_thread.run_sync(get)
        assert (kind, origin, shown["emperor_tyrant"]) == ("application/json", "*", 1)


async def test_a_talkative_reader_gets_all_of_its_answer() -> None:
    async with serving(lambda: empire(*[vassal()] * 1000), "127.0.0.1:0") as where:
        stream = await trio.open_tcp_stream(*where)
        async with stream:
            await stream.send_all(b"GET / HTTP/1.0\r\n" + b"X: y\r\n" * 5000)
            assert len(json.loads(b"".join([part async for part in stream]))["vassals"]) == 1000


async def test_readers_that_leave_early_or_never_ask_are_forgotten() -> None:
    for http in (False, True):
        async with serving(lambda: empire(*[vassal()] * 1000), "127.0.0.1:0", http=http) as where:
            for _ in range(5):
                await (await trio.open_tcp_stream(*where)).aclose()
            reader = await trio.open_tcp_stream(*where)
            async with reader:
                await reader.send_all(b"GET / HTTP/1.0\r\n\r\n")
                assert b"shop.ini" in await reader.receive_some(65536)


async def test_more_slow_readers_than_there_is_room_for_shut_out_nobody(tmp_path: Path) -> None:
    large = empire(*[vassal()] * 3000)  # more than a unix socket takes unread
    async with AsyncExitStack() as stack, serving(lambda: large, str(tmp_path / "stats.sock")) as where:
        for _ in range(READERS + 10):
            await stack.enter_async_context(await trio.open_unix_socket(where))
        assert len(json.loads(await read_all(where))["vassals"]) == 3000


async def test_a_reader_that_does_not_read_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "READER_LIMIT", 0.2)
    large = empire(*[vassal()] * 20_000)
    async with serving(lambda: large, "127.0.0.1:0") as where, await trio.open_tcp_stream(*where) as stream:
        poll = select.poll()
        poll.register(stream.socket.fileno(), select.POLLRDHUP)
        assert await trio.to_thread.run_sync(poll.poll, 20_000), "the connection was not closed"


@pytest.mark.parametrize("http", [False, True])
async def test_descriptors_that_a_reader_sends_hold_nobody_up(
    http: bool, lingering: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As before Linux 6.16, which can refuse them at their sender."""
    monkeypatch.setattr(strangers, "SO_PASSRIGHTS", 9999)
    listener = StatsOutlet(str(tmp_path / "stats.sock"), lambda: empire(vassal()), http=http)
    async with trio.open_nursery() as nursery:
        listener.open()
        nursery.start_soon(listener.run)
        mallory = await trio.open_unix_socket(tmp_path / "stats.sock")
        await mallory.socket.sendmsg(
            [b"GET / HTTP/1.0\r\n\r\n"],
            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", lingering.fileno()))],
        )
        lingering.close()
        with trio.fail_after(5):
            async with mallory:
                await mallory.receive_some(1) if not http else None
            await trio.sleep(0.2)
            good = await trio.open_unix_socket(tmp_path / "stats.sock")
            async with good:
                await good.send_all(b"GET / HTTP/1.0\r\n\r\n")
                assert b"shop.ini" in b"".join([part async for part in good])
        nursery.cancel_scope.cancel()


async def test_many_readers_at_once_share_one_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    def statistics() -> EmperorStatistics:
        nonlocal asked
        asked += 1
        return empire(*[vassal()] * 1000)

    monkeypatch.setattr(stats, "FARE", 1e6)
    async with serving(statistics, "127.0.0.1:0") as where:
        answers: list[bytes] = []

        async def read() -> None:
            answers.append(await read_all(where))

        async with trio.open_nursery() as nursery:
            for _ in range(30):
                nursery.start_soon(read)
    assert (asked, len(answers), len(set(answers))) == (1, 30, 1)


async def test_a_reader_after_a_change_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "FARE", 0.0)
    shown = [empire(), empire(vassal())]
    async with serving(lambda: shown.pop(0), "127.0.0.1:0") as where:
        assert json.loads(await read_all(where))["vassals"] == []
        assert len(json.loads(await read_all(where))["vassals"]) == 1


async def test_encoding_a_large_empire_lets_others_in_between() -> None:
    turns = 0

    async def another() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(another)
        await encode(empire(*[vassal()] * 10_000), tyrant=False)
        nursery.cancel_scope.cancel()
    assert turns > 50


def test_an_address_in_use_is_wrong_usage_at_the_start() -> None:
    first = StatsOutlet("127.0.0.1:0", empire)
    port = first.open().socket.getsockname()[1]
    with pytest.raises(UsageError, match=f"--emperor-stats 127.0.0.1:{port}"):
        StatsOutlet(f"127.0.0.1:{port}", empire).open()
    first.close()
    first.close()


async def test_no_descriptor_is_left(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    async with serving(empire, str(tmp_path / "stats.sock")) as where:
        await read_all(where)
    assert set(os.listdir("/proc/self/fd")) == before
