"""The control channel over a real unix socket: the client that ships, hostile clients, and emperors that are none."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random

import pytest
import trio
from trio_websocket import wrap_client_stream

from emperor_trio import events
from emperor_trio.control import server as server_module
from emperor_trio.control import session as session_module
from emperor_trio.control.client import Client, ConnectionLost, NoAnswer, connect
from emperor_trio.control.messages import (
    Changes,
    Command,
    Details,
    Done,
    Key,
    Lagged,
    Look,
    Measure,
    NameList,
    Names,
    Refused,
    Scan,
    Selection,
    SettingList,
    Settings,
    Show,
    Shutdown,
    Snapshot,
    Subscribe,
    Tail,
    Tick,
    Unsubscribe,
    Usage,
    Vassal,
    Verdicts,
    decode_answer,
    encode,
)
from emperor_trio.control.place import bind_control, default_path, find_socket
from emperor_trio.control.server import ControlServer
from emperor_trio.errors import ControlError, UsageError
from emperor_trio.events import Event, Notice
from emperor_trio.model import Verb
from tests.control.realm import MONITOR, FakeRealm, vassal_id

PATIENCE = 30.0


@asynccontextmanager
async def serving(realm: FakeRealm, path: Path, told: list[Event] | None = None) -> AsyncIterator[ControlServer]:
    server = ControlServer(
        realm,
        (told if told is not None else []).append,
        str(path),
        settings=lambda: SettingList(0, (), ("--emperor", "/a"), "/"),
    )
    server.open()
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.run)
            yield server
            nursery.cancel_scope.cancel()
    assert not path.exists()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


async def until(holds: object) -> None:
    while not holds():  # type: ignore[operator]
        await trio.sleep(0.005)


# --- requests ---


async def test_every_request_has_its_answer(path: Path) -> None:
    realm = FakeRealm("a.ini", "b.ini")
    async with serving(realm, path), connect(str(path)) as client:
        assert (client.greeting.commands, client.greeting.monitors) == (True, (MONITOR,))
        found = await client.request(Look(0))
        assert isinstance(found, Snapshot)
        assert [row.name for row in found.vassals] == ["a.ini", "b.ini"]
        answer = await client.request(Command(0, Verb.STOP, Selection(("a*",))))
        assert isinstance(answer, Verdicts)
        assert realm.orders == [(Verb.STOP, (vassal_id("a.ini"),))]
        assert isinstance(await client.request(Scan(0)), Done)
        assert isinstance(await client.request(Scan(0, "nowhere")), Refused)
        details = await client.request(Show(0, Key(MONITOR, "a.ini")))
        assert isinstance(details, Details)
        assert details.command == ("uwsgi", "--ini", "a.ini")
        assert isinstance(await client.request(Show(0, Key(MONITOR, "nobody.ini"))), Refused)
        assert await client.request(Names(0, "b")) == NameList(client._count, ("b.ini",))
        settings = await client.request(Settings(0))
        assert isinstance(settings, SettingList)
        assert settings.arguments == ("--emperor", "/a")
        refused = await client.request(Tail(0, Key(MONITOR, "a.ini")))
        assert isinstance(refused, Refused)
        assert "--vassal-logs" in refused.error
        assert isinstance(await client.request(Unsubscribe(0, 77)), Refused)
        assert isinstance(await client.request(Shutdown(0)), Done)
        await until(lambda: realm.stopped)


async def test_ten_thousand_vassals_come_in_pieces(path: Path) -> None:
    realm = FakeRealm(*(f"{number}.ini" for number in range(2345)))
    async with serving(realm, path), connect(str(path)) as client:
        found = await client.request(Look(0))
        assert isinstance(found, Snapshot)
        assert len({row.name for row in found.vassals}) == 2345


async def test_measured_is_who_is_in_view(path: Path) -> None:
    realm = FakeRealm("a.ini", "b.ini")
    realm.change("a.ini", pid=os.getpid())
    async with serving(realm, path), connect(str(path)) as client:
        async with client.subscribe(Measure(0, (Key(MONITOR, "a.ini"), Key(MONITOR, "gone.ini")))) as answers:
            answer = await anext(answers)
        assert isinstance(answer, Usage)
        (use,) = answer.vassals
        assert (use.name, use.processes >= 1, use.memory > 0) == ("a.ini", True, True)
        many = tuple(Key(MONITOR, f"{number}.ini") for number in range(201))
        assert isinstance(await client.request(Measure(0, many)), Refused)


# --- subscriptions ---


def apply(state: dict[Key, Vassal], message: object, whole: list[bool]) -> None:
    """As every client does it."""
    if isinstance(message, Snapshot):
        if whole[0]:
            state.clear()
        whole[0] = message.last
        state |= {row.key: row for row in message.vassals}
    elif isinstance(message, Changes):
        state |= {row.key: row for row in message.vassals}
        for key in message.gone:
            state.pop(key, None)
    elif isinstance(message, Lagged):
        whole[0] = True


@pytest.mark.parametrize("seed", range(5))
async def test_whoever_follows_ends_up_with_what_is(path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that is sometimes too slow, over an emperor where anything may happen at any time."""
    monkeypatch.setattr(session_module, "MOST_WAITING", 20_000)
    random = Random(seed)
    realm = FakeRealm(*(f"{number}.ini" for number in range(50)))
    state: dict[Key, Vassal] = {}
    whole = [True]
    told = 0

    async def happen() -> None:
        for number in range(3000):
            name = f"{random.randrange(60)}.ini"
            if random.random() < 0.2 and vassal_id(name) in realm.there:
                realm.remove(name)
            else:
                realm.change(name, reloads=number, reason="x" * random.randrange(500))
            if random.random() < 0.05:
                await trio.sleep(random.random() / 100)
        realm.change("end.ini")

    async with (
        serving(realm, path),
        connect(str(path)) as client,
        client.subscribe(Subscribe(0, level="debug")) as messages,
        trio.open_nursery() as nursery,
    ):
        apply(state, await anext(messages), whole)
        nursery.start_soon(happen)
        async for message in messages:
            apply(state, message, whole)
            if isinstance(message, Changes | Lagged):
                told += len(message.events) if isinstance(message, Changes) else message.events
            if random.random() < 0.1:
                await trio.sleep(random.random() / 10)
            if whole[0] and Key(MONITOR, "end.ini") in state and isinstance(message, Tick):
                break
    assert state == {row.key: row for row in map(Vassal.of, realm.there.values())}
    assert told == 3001  # every event came, or was counted


async def test_a_silent_emperor_says_that_it_lives(path: Path) -> None:
    async with (
        serving(FakeRealm("a.ini"), path),
        connect(str(path)) as client,
        client.subscribe(Subscribe(0)) as messages,
    ):
        kinds = [type(await anext(messages)) for _ in range(3)]
    assert kinds == [Snapshot, Tick, Tick]


async def test_what_happened_before_comes_first(path: Path) -> None:
    realm = FakeRealm("a.ini")
    async with serving(realm, path), connect(str(path)) as client:
        await trio.sleep(0.05)
        realm.publish(events.VassalLoyal(vassal_id("a.ini")))
        realm.publish(events.VassalAdded(vassal_id("a.ini")))
        await trio.sleep(0.05)
        async with client.subscribe(Subscribe(0, vassals=False, recent=10)) as messages:
            message = await anext(messages)
    assert isinstance(message, Changes)
    assert [event.kind for event in message.events] == ["VassalLoyal"]


async def test_a_client_that_reads_nothing_slows_nobody(path: Path) -> None:
    realm = FakeRealm(*(f"{number}.ini" for number in range(100)))
    async with serving(realm, path) as server, connect(str(path)) as client:
        stuck = await trio.open_unix_socket(str(path))
        await stuck.send_all(UPGRADE + text_frame(b'{"type":"subscribe","id":1,"level":"debug"}'))
        await until(lambda: server.clients == 2)
        async with client.subscribe(Subscribe(0)) as messages:
            seen = 0
            async for message in messages:
                for number in range(100):
                    realm.change(f"{number}.ini", reloads=seen, reason="y" * 500)
                seen += isinstance(message, Changes)
                if seen >= 30:
                    break
        await stuck.aclose()
        await until(lambda: server.clients == 1)


# --- hostile clients ---

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def text_frame(payload: bytes, opcode: int = 0x81) -> bytes:
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
    return bytes([opcode]) + length + bytes(4) + payload


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\0" * 1000,
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n",
        UPGRADE + b"\xff" * 100,
        UPGRADE + text_frame(b"\xff\xfe"),
        UPGRADE + text_frame(b"binary", 0x82),
        UPGRADE + text_frame(b"[" * 60_000),
        UPGRADE + text_frame(b'{"type":"look"'),
        UPGRADE + b"\x81\xff" + (2**40).to_bytes(8, "big") + bytes(100),
        UPGRADE + text_frame(b"", 0x88),
        UPGRADE + text_frame(b"p" * 125, 0x89),
        UPGRADE[:50],
    ],
    ids=range(13),
)
async def test_broken_clients_harm_nobody_and_leave_nothing(path: Path, sent: bytes) -> None:
    realm = FakeRealm("a.ini")
    async with serving(realm, path) as server, connect(str(path)) as client:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            stream = await trio.open_unix_socket(str(path))
            await stream.send_all(sent)
            assert isinstance(await client.request(Look(0)), Snapshot)
            await stream.aclose()
        await until(lambda: server.clients == 1)
        await until(lambda: len(os.listdir("/proc/self/fd")) <= before)


async def test_half_open_connections_make_room_for_others(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MOST_CLIENTS", 50)
    async with serving(FakeRealm("a.ini"), path) as server:
        idle = []
        for _ in range(300):
            stream = socket.socket(socket.AF_UNIX)
            stream.setblocking(False)
            stream.connect(str(path))
            idle.append(stream)
            await trio.sleep(0)
        async with connect(str(path)) as client:
            assert isinstance(await client.request(Look(0)), Snapshot)
            assert server.clients <= 50
        for stream in idle:
            stream.close()


@asynccontextmanager
async def letting_strangers_in(realm: FakeRealm, path: Path) -> AsyncIterator[ControlServer]:
    """As the gateway does it for those without the token."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    server = ControlServer(realm, lambda event: None)
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:

            async def serve(connection: trio.socket.SocketType) -> None:
                await server.serve(trio.SocketStream(connection), commands=False)

            async def gateway() -> None:
                accepting = trio.socket.from_stdlib_socket(listener)
                while True:
                    nursery.start_soon(serve, (await accepting.accept())[0])

            nursery.start_soon(server.hub.run)
            nursery.start_soon(gateway)
            yield server
            nursery.cancel_scope.cancel()
    listener.close()


async def test_strangers_can_follow_only_so_many_selections(path: Path) -> None:
    realm = FakeRealm("a.ini")
    refused = None
    async with letting_strangers_in(realm, path), connect(str(path)) as client, AsyncExitStack() as stack:
        for number in range(8):
            which = Selection(tuple(f"{number}-{pattern}*" for pattern in range(90)))
            messages = await stack.enter_async_context(client.subscribe(Subscribe(0, which)))
            try:
                assert isinstance(await anext(messages), Snapshot)
            except ControlError as error:
                refused = number, str(error)
                break
        assert refused == (5, "too many different selections are followed now; follow all vassals, or come back later")
        plain = await stack.enter_async_context(client.subscribe(Subscribe(0)))
        assert isinstance(await anext(plain), Snapshot)


async def test_wildcards_are_few_and_names_may_be_many(path: Path) -> None:
    async with serving(FakeRealm("a.ini"), path), connect(str(path)) as client:
        answer = await client.request(Look(0, Selection(tuple(f"{number}*" for number in range(101)))))
        assert isinstance(answer, Refused)
        assert "more than 100 names with wildcards" in answer.error
        answer = await client.request(Look(0, Selection((*(f"{number}.ini" for number in range(5000)), "a.ini"))))
        assert isinstance(answer, Snapshot)
        assert [row.name for row in answer.vassals] == ["a.ini"]


async def test_an_id_that_is_in_use_is_refused_and_the_first_goes_on(path: Path) -> None:
    """Over a bare websocket: the client that ships never does it."""
    async with serving(FakeRealm("a.ini"), path), trio.open_nursery() as nursery:
        stream = await trio.open_unix_socket(str(path))
        try:
            socket_ = await wrap_client_stream(nursery, stream, "localhost", "/ws")

            async def wait_for(kind: type) -> object:
                while True:
                    answer = decode_answer(str(await socket_.get_message()))
                    if isinstance(answer, kind):
                        return answer

            for request, kind in ((Measure(1, (Key(MONITOR, "a.ini"),)), Usage), (Subscribe(2), Snapshot)):
                await socket_.send_message(encode(request))
                await wait_for(kind)
            for again in (Measure(1, ()), Subscribe(1), Tail(2, Key(MONITOR, "a.ini"), 5), Subscribe(2)):
                await socket_.send_message(encode(again))
                answer = await wait_for(Refused)
                assert isinstance(answer, Refused)
                assert "is in use" in answer.error or isinstance(again, Tail)  # there are no logs here
            await wait_for(Usage)
            await wait_for(Tick)
        finally:
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream)


async def test_what_is_no_name_is_refused(path: Path) -> None:
    async with serving(FakeRealm("a.ini"), path), connect(str(path)) as client:
        for name in ("\ud800", "a\udc7f"):
            answer = await client.request(Show(0, Key(MONITOR, name)))
            assert isinstance(answer, Refused)
        answer = await client.request(Show(0, Key(MONITOR, "caf\udce9.ini")))
        assert isinstance(answer, Refused)
        assert "there is no vassal" in answer.error


async def test_a_fault_of_ours_ends_one_connection_and_is_told_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Event] = []
    realm = FakeRealm("a.ini")
    async with serving(realm, path, told), connect(str(path)) as bystander:
        monkeypatch.setattr(realm, "command_line", lambda vassal: 1 // 0)
        for _ in range(3):
            async with connect(str(path)) as client:
                with pytest.raises(ConnectionLost):
                    await client.request(Show(0, Key(MONITOR, "a.ini")))
        assert isinstance(await bystander.request(Look(0)), Snapshot)
    assert [event.text for event in told] == [
        "the control channel ended a connection: ZeroDivisionError: integer division or modulo by zero"
    ]


async def test_without_the_right_nothing_is_commanded(path: Path) -> None:
    realm = FakeRealm("a.ini")
    async with letting_strangers_in(realm, path), connect(str(path)) as client:
        assert not client.greeting.commands
        for request in (Command(0, Verb.STOP, Selection()), Scan(0), Shutdown(0)):
            answer = await client.request(request)
            assert isinstance(answer, Refused)
            assert "may only look" in answer.error
        assert isinstance(await client.request(Look(0)), Snapshot)
    assert (realm.orders, realm.stopped, realm.scanned) == ([], "", [])


async def test_too_many_requests_of_one_client_wait_their_turn(path: Path) -> None:
    async with serving(FakeRealm("a.ini"), path), connect(str(path)) as client, trio.open_nursery() as nursery:
        answers: list[object] = []

        async def ask() -> None:
            answers.append(await client.request(Look(0)))

        for _ in range(200):
            nursery.start_soon(ask)
        await until(lambda: len(answers) == 200)


# --- where it is, and what is no emperor ---


def test_the_socket_is_its_owners_alone(path: Path) -> None:
    bound = bind_control(str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(UsageError, match=r"--control .*Address already in use"):
        bind_control(str(path))
    bound.socket.close()
    bind_control(str(path)).close()
    assert not path.exists()
    path.write_text("precious")
    with pytest.raises(UsageError, match="no socket"):
        bind_control(str(path))
    assert path.read_text() == "precious"
    with pytest.raises(UsageError, match="--control "):
        bind_control("/" + "x" * 200)


def test_where_clients_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_socket("/a", {"EMPEROR_TRIO_CONTROL": "/b"}) == "/a"
    assert find_socket(None, {"EMPEROR_TRIO_CONTROL": "/b"}) == "/b"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert default_path({}) is None
    assert default_path({"XDG_RUNTIME_DIR": "relative"}) is None
    own = tmp_path / "emperor-trio" / "control.sock"
    assert default_path({"XDG_RUNTIME_DIR": str(tmp_path)}) == str(own)
    bound = bind_control(str(own))
    assert stat.S_IMODE(own.parent.stat().st_mode) == 0o700
    assert find_socket(None, {"XDG_RUNTIME_DIR": str(tmp_path)}) == str(own)
    bound.close()


async def reached(path: Path, limit: float = 5.0) -> Client:
    async with connect(str(path), limit) as client:
        return client


async def test_no_emperor_and_one_that_is_gone(path: Path) -> None:
    with pytest.raises(ControlError, match=r"no emperor has its socket there\. Start one"):
        await reached(path)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(ControlError, match="the emperor is gone"):
        await reached(path)


async def test_an_emperor_that_hangs(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(path))
        mute.listen()
        with pytest.raises(NoAnswer, match=r"does not answer within 0.2 s"):
            await reached(path, 0.2)


@pytest.mark.parametrize("said", [b"", b"{}\n", b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"])
async def test_what_is_no_emperor(path: Path, said: bytes) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    async with trio.open_nursery() as nursery:

        async def answer() -> None:
            connection, _ = await trio.socket.from_stdlib_socket(listener).accept()
            stream = trio.SocketStream(connection)
            await stream.receive_some(10)
            await stream.send_all(said)
            await stream.aclose()

        nursery.start_soon(answer)
        with pytest.raises(ControlError, match="is no emperor"):
            await reached(path)
        nursery.cancel_scope.cancel()
    listener.close()


async def test_a_lost_connection_is_told_at_once(path: Path) -> None:
    realm = FakeRealm("a.ini")
    async with trio.open_nursery() as nursery:
        server, ending = ControlServer(realm, lambda event: None, str(path)), trio.CancelScope()
        server.open()

        async def serve() -> None:
            with ending:
                await server.run()

        nursery.start_soon(serve)
        async with connect(str(path)) as client, client.subscribe(Subscribe(0)) as messages:
            assert isinstance(await anext(messages), Snapshot)
            ending.cancel()
            with pytest.raises(ConnectionLost):
                await anext(messages)
    assert not path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
async def test_other_users_are_turned_away_and_named_once(path: Path) -> None:
    told: list[Event] = []
    async with serving(FakeRealm("a.ini"), path, told) as server:
        path.parent.chmod(0o755)
        for parent in path.parents:
            parent.chmod(parent.stat().st_mode | 0o011)
        path.chmod(0o666)
        code = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(s.recv(10))"
        nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "/usr/bin/env", "python3"]
        for _ in range(3):
            done = await trio.run_process(
                [*nobody, "-c", code, str(path)], capture_stdout=True, capture_stderr=True, check=False
            )
            assert done.stdout.strip() in (b"b''", b""), done
        assert server.clients == 0
    assert [event.text.partition(" (pid")[0] for event in told if isinstance(event, Notice)] == ["user 65534"]
