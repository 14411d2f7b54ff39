"""Commands as they arrive: bursts, garbage, files, restarts, and ports and paths that someone else has."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
import trio
import zmq

from emperor_trio.errors import MonitorError
from emperor_trio.events import MonitorNotice, VassalRefused
from emperor_trio.model import Destroy, Observation, Owner, Snapshot, Touch, VassalSpec
from emperor_trio.monitors import StateFile
from emperor_trio.monitors._complaints import BURST
from emperor_trio.ports import Kept
from emperor_trio.testing.conformance import Watched, count_descriptors
from tests.monitors.support import PATIENCE, make_monitor, write
from tests.monitors.zmq.conftest import Pushers, Send, Watching
from tests.support.servers.common import free_port
from tests.support.servers.proxy import proxy

CONFIG = "[uwsgi]\n"


def said_of(watched: Watched, name: str) -> list[Observation]:
    """All that was said of one vassal after the first snapshot."""
    return [
        seen
        for seen in watched.observations[1:]
        if (isinstance(seen, Touch) and seen.spec.name == name) or seen == Destroy(name)
    ]


def refused(watched: Watched) -> list[tuple[str, str, str]]:
    return [(event.name, event.field, event.reason) for event in watched.events if isinstance(event, VassalRefused)]


# --- commands --------------------------------------------------------------------------------------------------------


async def test_the_specifications_snippet(watching: Watching, endpoint: str, pushers: Pushers) -> None:
    async with watching() as watched:
        c = zmq.Context()
        s = zmq.Socket(c, zmq.PUSH)
        s.connect(endpoint)
        s.send_multipart([b"touch", b"foo.ini", b"[uwsgi]\nsocket=:4142"])
        await watched.until_there("foo.ini")
        assert watched.vassals["foo.ini"].config == b"[uwsgi]\nsocket=:4142"
        s.close()
        c.term()


async def test_a_command_with_everything(watching: Watching, send: Send) -> None:
    before = time.time_ns()
    async with watching(tyrant=True) as watched:
        send("touch", "ä.ini", CONFIG, "1000", "100", "/run/a.socket")
        await watched.until_there("ä.ini")
        spec = watched.vassals["ä.ini"]
        assert spec == VassalSpec(
            "ä.ini", spec.version, spec.modified, CONFIG.encode(), Owner(1000, 100), "/run/a.socket"
        )
        assert before <= spec.version <= time.time_ns()
        assert spec.modified == spec.version // 10**9
        send("touch", "b.ini", CONFIG)
        send("touch", "c.ini", CONFIG, "1", "2")
        await watched.until_there("ä.ini", "c.ini")
        assert refused(watched) == [("b.ini", "uid", "is missing, and Tyrant mode needs uid and gid")]


def more_than(watched: Watched, said: int) -> bool:
    return len(watched.observations) > said


async def test_every_touch_reloads_even_with_the_same_config(watching: Watching, send: Send) -> None:
    async with watching() as watched:
        versions: list[int] = []
        for _ in range(3):
            said = len(watched.observations)
            send("touch", "a.ini", CONFIG)
            await watched.until(partial(more_than, watched, said))
            match watched.observations[-1]:
                case Touch(spec, force=True):
                    versions.append(spec.version)
        assert len(set(versions)) == 3
        assert versions == sorted(versions)


async def test_what_waits_is_the_newest_of_each_vassal(watching: Watching, send: Send) -> None:
    async with watching() as watched:
        watched.open = False
        send("touch", "first.ini", CONFIG)
        await watched.until(lambda: watched.knocked)
        for number in range(100):
            send("touch", "a.ini", f"[uwsgi]\n# {number}\n")
            send("touch", "gone.ini", CONFIG)
        send("destroy", "gone.ini")
        send("touch", "last.ini", CONFIG)
        await trio.sleep(0.2)
        watched.reopen()
        await watched.until_there("first.ini", "a.ini", "last.ini")
        (only,) = said_of(watched, "a.ini")
        assert isinstance(only, Touch)
        assert only.spec.config == b"[uwsgi]\n# 99\n"
        assert said_of(watched, "gone.ini") in ([], [Destroy("gone.ini")])


async def test_destroyed_and_touched_it_is_started_anew(watching: Watching, send: Send) -> None:
    async with watching() as watched:
        send("touch", "a.ini", CONFIG)
        await watched.until_there("a.ini")
        watched.open = False
        send("touch", "b.ini", CONFIG)
        await watched.until(lambda: watched.knocked)
        send("destroy", "a.ini")
        send("touch", "a.ini", CONFIG)
        send("touch", "a.ini", CONFIG)
        send("touch", "c.ini", CONFIG)
        await trio.sleep(0.2)
        watched.reopen()
        await watched.until_there("a.ini", "b.ini", "c.ini")
        match said_of(watched, "a.ini")[1:]:
            case [Destroy("a.ini"), Touch(VassalSpec("a.ini"), force=True)]:
                pass
            case other:
                pytest.fail(f"{other}")


async def test_a_ring_says_everything_and_reloads_nothing(watching: Watching, send: Send) -> None:
    async with watching() as watched:
        send("touch", "a.ini", CONFIG)
        await watched.until_there("a.ini")
        before = watched.vassals["a.ini"]
        watched.bell.ring()
        await watched.until(lambda: watched.observations[-1] == Snapshot((before,)))


# --- many ------------------------------------------------------------------------------------------------------------

PUSHER = """
import sys, zmq
endpoint, who, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
c = zmq.Context()
s = c.socket(zmq.PUSH)
s.connect(endpoint)  # with the limits that everyone has
for number in range(count):
    s.send_multipart([b"touch", b"%s-%d.ini" % (who.encode(), number), b"[uwsgi]\\n" + b"# %d\\n" % number * 20])
s.close()
c.term()
"""


async def test_twenty_thousand_commands_at_once_all_arrive(watching: Watching, endpoint: str) -> None:
    pauses: list[float] = []

    async def count_pauses() -> None:
        while True:
            before = time.perf_counter()
            await trio.sleep(0.001)
            pauses.append(time.perf_counter() - before)

    async with watching() as watched, trio.open_nursery() as nursery:
        nursery.start_soon(count_pauses)
        async with trio.open_nursery() as pushers:
            for who in "ab":
                pushers.start_soon(trio.run_process, [sys.executable, "-c", PUSHER, endpoint, who, "10000"])
        await watched.until(lambda: len(watched.vassals) == 20_000)
        nursery.cancel_scope.cancel()
    for who in "ab":
        names = [
            seen.spec.name for seen in watched.observations if isinstance(seen, Touch) and seen.spec.name[0] == who
        ]
        assert names == [f"{who}-{number}.ini" for number in range(10_000)]
    assert len(pauses) > 100  # everyone else had their turns


async def test_one_vassal_touched_twenty_thousand_times_ends_as_sent_last(
    watching: Watching, endpoint: str, pushers: Pushers
) -> None:
    async with watching() as watched:
        push = pushers(endpoint)
        for number in range(20_000):
            push.send_multipart([b"touch", b"a.ini", b"[uwsgi]\n# %d\n" % number])
        await watched.until(
            lambda: watched.vassals.get("a.ini", VassalSpec("", 0)).config == b"[uwsgi]\n# 19999\n", "the last config"
        )
        assert len(watched.observations) < 10_000


async def test_what_was_taken_is_not_lost_when_the_monitor_is_cancelled(endpoint: str, send: Send) -> None:
    watched = Watched(PATIENCE)
    monitor = make_monitor(f"zmq://{endpoint}", watched.publish, watched.bell)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(monitor.run, watched.emit)
        await watched.until_there()
        watched.open = False
        send("touch", "a.ini", CONFIG)
        await watched.until(lambda: watched.knocked)
        nursery.cancel_scope.cancel()
    watched.reopen()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(monitor.run, watched.emit)
        await watched.until_there("a.ini")
        nursery.cancel_scope.cancel()


# --- garbage ---------------------------------------------------------------------------------------------------------


async def test_every_malformed_message_is_said_and_harmless(watching: Watching, send: Send) -> None:
    async with watching() as watched:
        send("touch", "good.ini", CONFIG)
        for _ in range(3):
            send("touch")
            send("touch", "a.ini", CONFIG, "", "", "", "")
            send("touch", "good.ini", *[""] * 5000)
            send("restart", "good.ini")
            send("touch", "", CONFIG)
            send("touch", "good.conf", CONFIG)
            send("touch", "good.ini", b"\xff")
            send("touch", "good.ini", "x" * 65_536)
            send("touch", "http://127.0.0.1/good.ini")
            send("destroy", "other.ini")
        send("touch", "better.ini", CONFIG)
        await watched.until_there("good.ini", "better.ini")
        assert watched.vassals["good.ini"].config == CONFIG.encode()
        assert len(said_of(watched, "good.ini")) == 1
        assert [(name, field) for name, field, _ in refused(watched)] == [
            ("message", "frames"),
            ("message", "frames"),
            ("message", "frames"),
            ("good.ini", "command"),
            ("", "name"),
            ("good.conf", "name"),
            ("good.ini", "config"),
            ("good.ini", "config"),
            ("http://127.0.0.1/good.ini", "config"),
            ("other.ini", "command"),
        ]


async def test_a_flood_of_garbage_is_not_a_flood_in_the_log(watching: Watching, send: Send) -> None:
    async with watching() as watched:
        for number in range(20_000):
            send("touch", f"{number}.ini", b"\xff")
        send("touch", "good.ini", CONFIG)
        await watched.until_there("good.ini")
        assert BURST <= len(watched.events) < BURST + 60


async def test_a_frame_of_a_hundred_megabytes_costs_its_sender_the_connection_alone(
    watching: Watching, endpoint: str, pushers: Pushers
) -> None:
    async with watching() as watched:
        bad, good = pushers(endpoint), pushers(endpoint)
        before = peak_memory()
        bad.send_multipart([b"touch", b"a.ini", b"x" * 100_000_000], copy=False)
        good.send_multipart([b"touch", b"b.ini", b"[uwsgi]\n"])
        await watched.until_there("b.ini")
        bad.send_multipart([b"touch", b"c.ini", b"[uwsgi]\n"])  # and it may come back
        await watched.until_there("b.ini", "c.ini")
        assert peak_memory() - before < 300_000_000  # the sender's part, which is in this process, too


def peak_memory() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


async def test_what_is_no_zeromq_is_harmless(watching: Watching, endpoint: str, send: Send) -> None:
    address = ("127.0.0.1", int(endpoint.rpartition(":")[2]))
    async with watching() as watched:
        for garbage in (b"", b"GET / HTTP/1.1\r\n\r\n", os.urandom(4096), b"\xff" + bytes(8) + b"\x7f\x03" + bytes(99)):
            with socket.create_connection(address) as peer:
                peer.sendall(garbage)
        send("touch", "a.ini", CONFIG)
        await watched.until_there("a.ini")  # and whatever was taken for messages made no vassal


# --- the network -----------------------------------------------------------------------------------------------------


async def test_what_is_sent_while_the_network_hangs_arrives(
    watching: Watching, endpoint: str, pushers: Pushers
) -> None:
    with proxy(int(endpoint.rpartition(":")[2])) as middle:
        push = pushers(f"tcp://127.0.0.1:{middle.port}")
        async with watching() as watched:
            push.send_multipart([b"touch", b"a.ini", b"[uwsgi]\n"])
            await watched.until_there("a.ini")
            middle.held = True
            await trio.sleep(0.2)  # it may be passing something on just now
            push.send_multipart([b"touch", b"b.ini", b"[uwsgi]\n"])
            await trio.sleep(0.3)
            middle.held = False
            await watched.until_there("a.ini", "b.ini")
            middle.refuse = True
            middle.reset_all()
            await trio.sleep(0.3)
            push.send_multipart([b"destroy", b"a.ini"])
            middle.refuse = False
            await watched.until_there("b.ini")


async def speak(endpoint: str, data: bytes) -> trio.SocketStream:
    """A sender that speaks ZMTP by hand, and has sent this after its greetings."""
    peer = await trio.open_tcp_stream("127.0.0.1", int(endpoint.rpartition(":")[2]))
    heard = b""
    for mine, theirs in (
        (b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48), 64),
        (b"\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04PUSH", 28),
    ):
        await peer.send_all(mine)
        while len(heard) < theirs:
            heard += await peer.receive_some()
        heard = heard[theirs:]
    await peer.send_all(data)
    return peer


async def test_a_message_that_is_cut_off_is_none(watching: Watching, endpoint: str, send: Send) -> None:
    """A sender that dies within a message: its half is dropped."""
    async with watching() as watched:
        half = await speak(endpoint, b"\x01\x05touch\x01\x05a.ini\x00\x09[uws")
        async with await speak(endpoint, b"\x01\x05touch\x01\x05b.ini\x00\x01x"):
            await watched.until_there("b.ini")
        await half.aclose()
        send("touch", "c.ini", CONFIG)
        await watched.until_there("b.ini", "c.ini")
        assert refused(watched) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to cut the network")
async def test_a_network_that_is_cut_loses_nothing(watching: Watching, endpoint: str, send: Send) -> None:
    rule = ["INPUT", "-i", "lo", "-p", "tcp", "--dport", endpoint.rpartition(":")[2], "-j", "DROP"]
    async with watching() as watched:
        send("touch", "a.ini", CONFIG)
        await watched.until_there("a.ini")
        subprocess.run(["iptables", "-w", "-I", *rule], check=True)
        try:
            send("touch", "b.ini", CONFIG)
            await trio.sleep(1)
            assert watched.names == {"a.ini"}
        finally:
            subprocess.run(["iptables", "-w", "-D", *rule], check=True)
        await watched.until_there("a.ini", "b.ini")


# --- files -----------------------------------------------------------------------------------------------------------


async def test_without_a_config_it_is_the_file_of_that_name(
    watching: Watching, send: Send, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.ini")
    write(tmp_path / "sub" / "b.ini")
    (tmp_path / "folder.ini").mkdir()
    async with watching(tyrant=True) as watched:
        send("touch", "a.ini", "", "1000", "100", ":3031")
        await watched.until_there("a.ini")
        found = (tmp_path / "a.ini").stat()
        expected = VassalSpec("a.ini", found.st_mtime_ns, int(found.st_mtime), None, Owner(1000, 100), ":3031")
        assert watched.vassals["a.ini"] == expected

        said = len(watched.observations)
        send("touch", "a.ini", "", "1000", "100", ":3031")
        await watched.until(lambda: len(watched.observations) > said)
        assert watched.observations[-1] == Touch(expected, force=True)

        send("touch", "sub/b.ini", "", "1000", "100")
        send("touch", str(tmp_path / "a.ini"), "", "1000", "100")
        await watched.until_there("a.ini", "sub/b.ini", str(tmp_path / "a.ini"))

        (tmp_path / "a.ini").unlink()
        send("touch", "a.ini", "", "1000", "100")
        send("touch", "folder.ini", "", "1000", "100")
        send("touch", "a.ini/b.ini", "", "1000", "100")
        send("touch", "z.ini", CONFIG, "1000", "100")
        await watched.until(lambda: "z.ini" in watched.names)
        assert watched.vassals["a.ini"] == expected  # runs on, as it does in uWSGI
        assert [(name, field, reason.partition(";")[0]) for name, field, reason in refused(watched)] == [
            ("a.ini", "file", "No such file or directory"),
            ("folder.ini", "file", "is no regular file"),
            ("a.ini/b.ini", "file", "No such file or directory"),
        ]
        send("destroy", "a.ini")
        await watched.until(lambda: "a.ini" not in watched.names)


async def test_the_last_word_on_a_vassal_counts_with_and_without_a_file(
    watching: Watching, send: Send, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        write(tmp_path / f"{name}.ini")
    async with watching() as watched:
        watched.open = False
        send("touch", "first.ini", CONFIG)
        await watched.until(lambda: watched.knocked)
        send("touch", "a.ini", CONFIG)
        send("touch", "a.ini")
        send("touch", "b.ini")
        send("touch", "b.ini", CONFIG)
        send("touch", "c.ini")
        send("destroy", "c.ini")
        send("touch", "last.ini", CONFIG)
        await trio.sleep(0.2)
        watched.reopen()
        await watched.until_there("first.ini", "a.ini", "b.ini", "last.ini")
        assert watched.vassals["a.ini"].config is None
        assert watched.vassals["b.ini"].config == CONFIG.encode()
        assert refused(watched) == []


# --- the state file --------------------------------------------------------------------------------------------------


async def test_after_a_restart_all_is_as_it_was(
    watching: Watching, send: Send, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("file.ini", "late.ini"):
        write(tmp_path / name)
    async with trio.open_nursery() as nursery:
        state = StateFile(str(tmp_path / "state"))
        await nursery.start(state.run)
        async with watching(memory=state.of("m")) as watched:
            send("touch", "a.ini", CONFIG, "", "", ":3031")
            send("touch", "gone.ini", CONFIG)
            send("touch", "file.ini")
            send("touch", "late.ini")
            await watched.until_there("a.ini", "gone.ini", "file.ini", "late.ini")
            send("destroy", "gone.ini")
            await watched.until_there("a.ini", "file.ini", "late.ini")
            before = dict(watched.vassals)
        nursery.cancel_scope.cancel()

    write(tmp_path / "file.ini", "[uwsgi]\n# new\n")
    (tmp_path / "late.ini").unlink()
    async with trio.open_nursery() as nursery:
        state = StateFile(str(tmp_path / "state"))
        await nursery.start(state.run)
        async with watching(memory=state.of("m")) as watched:
            assert watched.names == {"a.ini", "file.ini", "late.ini"}
            assert watched.vassals["a.ini"] == before["a.ini"]
            assert watched.vassals["file.ini"].version == (tmp_path / "file.ini").stat().st_mtime_ns
            assert watched.vassals["late.ini"] == before["late.ini"]  # its folder may be mounted later
            assert [name for name, _, _ in refused(watched)] == ["late.ini"]
            send("destroy", "late.ini")
            send("touch", "a.ini", CONFIG)
            await watched.until_there("a.ini", "file.ini")
            await watched.until_newer("a.ini", before["a.ini"].version)
            assert watched.vassals["a.ini"].version > before["a.ini"].version
        nursery.cancel_scope.cancel()


async def test_a_state_file_that_cant_be_read_is_said_and_tried_again(endpoint: str) -> None:
    class Unreadable:
        tries = 0

        async def recall(self) -> Sequence[Kept]:
            await trio.lowlevel.checkpoint()
            self.tries += 1
            if self.tries == 1:
                raise MonitorError("the disk is away")
            return (Kept(VassalSpec("a.ini", 1, 2, b"x")),)

    watched, memory = Watched(PATIENCE), Unreadable()
    monitor = make_monitor(f"zmq://{endpoint}", watched.publish, watched.bell, memory=memory)
    with pytest.raises(MonitorError, match="the disk is away"):
        await monitor.run(watched.emit)
    assert not watched.observations
    for _ in range(2):  # and is read once only
        async with trio.open_nursery() as nursery:
            nursery.start_soon(monitor.run, watched.emit)
            await watched.until_there("a.ini")
            nursery.cancel_scope.cancel()
    assert memory.tries == 2


# --- ports and paths -------------------------------------------------------------------------------------------------


async def fails(endpoint: str) -> str:
    """Why a monitor can't listen; it leaves no descriptor behind."""
    watched, descriptors = Watched(PATIENCE), count_descriptors()
    monitor = make_monitor(f"zmq://{endpoint}", watched.publish, watched.bell)
    with pytest.raises(MonitorError) as raised:
        await monitor.run(watched.emit)
    assert not watched.observations
    assert count_descriptors() == descriptors
    return str(raised.value)


async def test_a_port_that_someone_else_has(endpoint: str) -> None:
    with socket.create_server(("127.0.0.1", int(endpoint.rpartition(":")[2]))):
        text = await fails(endpoint)
    assert text == f"{endpoint}: another program listens there: end it, or name another port"


async def test_an_address_that_is_not_ours() -> None:
    endpoint = f"tcp://192.0.2.1:{free_port()}"
    assert await fails(endpoint) == f"{endpoint}: no interface of this machine has that address"
    endpoint = f"tcp://none9:{free_port()}"
    assert await fails(endpoint) == f"{endpoint}: no interface of this machine has that address"


async def test_a_path_that_someone_else_has(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    text = await fails(f"ipc://{path}")
    assert text == f"ipc://{path}: something is there that is no socket: remove it, or name another path"
    assert path.read_text() == "precious"
    path.unlink()

    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        text = await fails(f"ipc://{path}")
        assert text == f"ipc://{path}: another program listens there: end it, or name another path"
        assert path.is_socket()

    assert "can't listen there" in await fails(f"ipc://{tmp_path}/none/s")


async def test_a_path_with_a_dead_socket_is_taken_over(watching: Watching, tmp_path: Path, pushers: Pushers) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    for endpoint in (f"ipc://{path}", f"ipc://@emperor-{os.getpid()}"):
        for _ in range(2):
            async with watching(endpoint) as watched:
                pushers(endpoint).send_multipart([b"touch", b"a.ini", b"[uwsgi]\n"])
                await watched.until_there("a.ini")
            assert not path.exists()


async def test_ipv6(watching: Watching, pushers: Pushers) -> None:
    endpoint = f"tcp://[::1]:{free_port()}"
    async with watching(endpoint) as watched:
        pushers(endpoint, ipv6=True).send_multipart([b"touch", b"a.ini", b"[uwsgi]\n"])
        await watched.until_there("a.ini")


async def test_a_port_that_everyone_reaches_is_warned_of_once() -> None:
    endpoint = f"tcp://0.0.0.0:{free_port()}"
    watched = Watched(PATIENCE)
    monitor = make_monitor(f"zmq://{endpoint}", watched.publish, watched.bell)
    for _ in range(2):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(monitor.run, watched.emit)
            await watched.until_there()
            watched.observations.clear()
            nursery.cancel_scope.cancel()
    (notice,) = watched.events
    assert isinstance(notice, MonitorNotice)
    assert notice.message.startswith("takes commands from other machines; ")
