"""What a server and a network can do to ``zoo://``: nothing stops, it shows, and the newest state holds afterwards."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import trio

from emperor_trio.errors import MonitorError
from emperor_trio.model import Destroy, Snapshot
from emperor_trio.monitors import _belief, _zoo_session
from emperor_trio.testing.conformance import Watched
from tests.monitors.zoo.support import Znodes, make_monitor, off_loop, watching_znodes
from tests.support.servers.common import free_port
from tests.support.servers.proxy import Proxy, proxy


@pytest.fixture
def middle(znodes: Znodes) -> Iterator[Proxy]:
    with proxy(znodes.server.port) as middle:
        yield middle


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that says nothing is given up after 2 s; sessions last no longer either."""
    monkeypatch.setattr(_zoo_session, "ANSWER_LIMIT", 2.0)


def assert_nothing_stopped(watched: Watched, before: dict[str, object]) -> None:
    """All that was there before is there, and has never been away nor become another."""
    assert not [seen for seen in watched.observations if isinstance(seen, Destroy)]
    for seen in watched.observations:
        if isinstance(seen, Snapshot):
            assert before.keys() <= {spec.name for spec in seen.specs}
    assert {name: watched.vassals[name] for name in before} == before
    assert all(isinstance(failure, MonitorError) for failure in watched.failures), watched.failures
    assert not [failure for failure in watched.failures if "\n" in str(failure)]


async def test_killed_and_restarted(znodes: Znodes) -> None:
    await off_loop(znodes.put_many, ["a.ini", "b.ini"])
    async with watching_znodes(znodes.argument()) as watched:
        await watched.until_there("a.ini", "b.ini")
        before: dict[str, object] = dict(watched.vassals)
        znodes.close()
        await off_loop(znodes.server.kill)
        await watched.until(lambda: len(watched.failures) > 2)
        address = f"127.0.0.1:{znodes.server.port}"
        assert str(watched.failures[0]).startswith(address)
        assert str(watched.failures[-1]) == f"{address}: Connection refused"
        await off_loop(znodes.server.start)
        await off_loop(znodes.put, "c.ini")
        await watched.until_there("a.ini", "b.ini", "c.ini")
        assert_nothing_stopped(watched, before)


async def test_restarted_with_other_data(znodes: Znodes) -> None:
    await off_loop(znodes.put_many, ["a.ini", "b.ini"])
    async with watching_znodes(znodes.argument()) as watched:
        await watched.until_there("a.ini", "b.ini")
        version = watched.vassals["a.ini"].version
        znodes.close()
        await off_loop(znodes.server.kill)
        znodes.server.wipe()
        await off_loop(znodes.server.start)
        await off_loop(znodes.create_parent)
        await off_loop(znodes.put_many, ["a.ini", "c.ini"], b"another")
        await watched.until_there("a.ini", "c.ini")
        assert watched.vassals["a.ini"].config == b"another"
        assert watched.vassals["a.ini"].version != version


@pytest.mark.parametrize("parent", [True, False])
async def test_restarted_with_nothing_is_believed_the_second_time(znodes: Znodes, parent: bool) -> None:
    await off_loop(znodes.put_many, ["a.ini", "b.ini"])
    async with watching_znodes(znodes.argument()) as watched:
        await watched.until_there("a.ini", "b.ini")
        znodes.close()
        await off_loop(znodes.server.kill)
        znodes.server.wipe()
        told = len(watched.observations)
        back = trio.current_time()
        await off_loop(znodes.server.start)
        if parent:
            await off_loop(znodes.create_parent)
        await watched.until_there()
        assert watched.observations[told:] == [Snapshot(())], "said once, and as one"
        assert trio.current_time() - back >= _belief.SECOND_LOOK


async def test_filled_again_before_the_second_look_nothing_was_away(
    znodes: Znodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server comes up empty and is then restored from a backup."""
    monkeypatch.setattr(_belief, "SECOND_LOOK", 30.0)
    await off_loop(znodes.put_many, ["a.ini"])
    async with watching_znodes(znodes.argument()) as watched:
        await watched.until_there("a.ini")
        version = watched.vassals["a.ini"].version
        znodes.close()
        await off_loop(znodes.server.kill)
        znodes.server.wipe()
        await off_loop(znodes.server.start)
        await off_loop(znodes.create_parent)
        await trio.sleep(0.5)
        await off_loop(znodes.put_many, ["a.ini"])
        await watched.until_newer("a.ini", version)
        assert Snapshot(()) not in watched.observations
        assert Destroy("a.ini") not in watched.observations


async def test_frozen_for_a_moment_it_goes_on(znodes: Znodes) -> None:
    await off_loop(znodes.put, "a.ini")
    async with watching_znodes(znodes.argument()) as watched:
        await watched.until_there("a.ini")
        before: dict[str, object] = dict(watched.vassals)
        znodes.server.send_signal(signal.SIGSTOP)
        await trio.sleep(1)
        znodes.server.send_signal(signal.SIGCONT)
        await off_loop(znodes.put, "b.ini")
        await watched.until_there("a.ini", "b.ini")
        assert not watched.failures
        assert_nothing_stopped(watched, before)


@pytest.mark.usefixtures("impatient")
async def test_frozen_for_long_it_shows_and_ends_at_once_when_told_to(znodes: Znodes) -> None:
    await off_loop(znodes.put, "a.ini")
    async with watching_znodes(znodes.argument()) as watched:
        await watched.until_there("a.ini")
        before: dict[str, object] = dict(watched.vassals)
        znodes.server.send_signal(signal.SIGSTOP)
        await watched.until(lambda: len(watched.failures) >= 2)
        assert "has said nothing for 2 s" in str(watched.failures[0])
        assert "has said nothing" in str(watched.failures[1]) or "does not answer" in str(watched.failures[1])
        znodes.server.send_signal(signal.SIGCONT)
        await off_loop(znodes.put, "b.ini")
        await watched.until_there("a.ini", "b.ini")
        assert_nothing_stopped(watched, before)
        threads = threading.active_count()
        znodes.server.send_signal(signal.SIGSTOP)
        await trio.sleep(0.1)
        ended = trio.current_time()
    assert trio.current_time() - ended < 5, "it waits for a frozen server"
    assert threading.active_count() <= threads


@pytest.mark.usefixtures("impatient")
async def test_a_session_that_expired_is_followed_by_another(znodes: Znodes, middle: Proxy) -> None:
    """The network holds everything back until the server has forgotten us."""
    await off_loop(znodes.put, "a.ini")
    async with watching_znodes(znodes.argument(middle.port)) as watched:
        await watched.until_there("a.ini")
        before: dict[str, object] = dict(watched.vassals)
        middle.held = True
        await off_loop(znodes.put, "b.ini")
        await watched.until(lambda: watched.failures)
        middle.held = False
        await watched.until_there("a.ini", "b.ini")
        assert_nothing_stopped(watched, before)


async def test_what_was_held_back_for_a_moment_arrives(znodes: Znodes, middle: Proxy) -> None:
    async with watching_znodes(znodes.argument(middle.port)) as watched:
        await watched.until_there()
        middle.held = True
        await off_loop(znodes.put, "a.ini")
        await trio.sleep(0.5)
        middle.held = False
        await watched.until_there("a.ini")
        assert not watched.failures


async def test_refused_and_reset(znodes: Znodes, middle: Proxy) -> None:
    await off_loop(znodes.put, "a.ini")
    async with watching_znodes(znodes.argument(middle.port)) as watched:
        await watched.until_there("a.ini")
        before: dict[str, object] = dict(watched.vassals)
        middle.refuse = True
        middle.reset_all()
        await watched.until(lambda: len(watched.failures) > 2)
        await off_loop(znodes.put, "b.ini")
        middle.refuse = False
        await watched.until_there("a.ini", "b.ini")
        assert_nothing_stopped(watched, before)


async def test_reset_in_mid_answer_at_any_place(znodes: Znodes, middle: Proxy) -> None:
    names = [f"v{number}.ini" for number in range(100)]
    await off_loop(znodes.put_many, names)
    for cut_after in (2, 500, 9000):
        middle.cut_after = cut_after
        async with watching_znodes(znodes.argument(middle.port)) as watched:
            await watched.until_there(*names)
            assert len(watched.failures) == 1
            assert len(watched.observations) == 1, "half an answer is none"
            before: dict[str, object] = dict(watched.vassals)
            middle.reset_all()
            middle.cut_after = cut_after // 2
            await watched.until(lambda: len(watched.failures) == 3)
            await off_loop(znodes.put, f"new-{cut_after}.ini")
            names.append(f"new-{cut_after}.ini")
            await watched.until_there(*names)
            assert_nothing_stopped(watched, before)


@pytest.mark.usefixtures("impatient")
async def test_a_server_that_drips(znodes: Znodes, middle: Proxy) -> None:
    """As long as anything comes, it is waited for."""
    names = [f"v{number}.ini" for number in range(100)]
    await off_loop(znodes.put_many, names)
    middle.drip = 0.05
    async with watching_znodes(znodes.argument(middle.port)) as watched:
        await watched.until_there(*names)
        assert not watched.failures


async def test_one_server_of_many_is_enough(znodes: Znodes, middle: Proxy) -> None:
    await off_loop(znodes.put, "a.ini")
    with proxy(znodes.server.port) as other:
        hosts = f"127.0.0.1:{free_port()},127.0.0.1:{middle.port},127.0.0.1:{other.port}"
        async with watching_znodes(f"{hosts}{znodes.path}") as watched:
            await watched.until_there("a.ini")
            for broken, whole in ((middle, other), (other, middle), (middle, other)):
                broken.refuse, whole.refuse = True, False
                broken.reset_all()
                version = watched.vassals["a.ini"].version
                await off_loop(znodes.put, "a.ini")
                await watched.until_newer("a.ini", version)
            middle.refuse = other.refuse = True
            other.reset_all()
            await watched.until(lambda: len(watched.failures) > 2 and "; " in str(watched.failures[-1]))
            assert "Connection refused" in str(watched.failures[-1])
            ports = [part.partition(" ")[0] for part in str(watched.failures[-1]).split("; ")]
            assert [port.strip(":") for port in ports] == hosts.split(","), "in one order, not as they were tried"


async def test_a_server_that_takes_connections_but_never_answers_holds_nobody_up(znodes: Znodes) -> None:
    await off_loop(znodes.put, "a.ini")
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        hosts = f"127.0.0.1:{deaf.getsockname()[1]},127.0.0.1:{znodes.server.port}"
        for _ in range(4):
            async with watching_znodes(f"{hosts}{znodes.path}") as watched:
                await watched.until_there("a.ini")
                assert not watched.failures


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\0\0\0\1\0",
        b"\x7f\xff\xff\xff",
        b"\0\0\0\x25" + b"\0" * 37,
        b"\0\0\0\x25" + b"\0\0\0\0\0\0\x27\x10" + b"\0" * 29 + b"\0\0\0\x10" + b"\0" * 16,
    ],
)
async def test_what_is_no_zookeeper_is_called_so(answer: bytes, znodes: Znodes) -> None:
    with answering(answer) as port:
        watched = Watched(20)
        with pytest.raises(MonitorError, match=rf"^127\.0\.0\.1:{port}") as caught:
            await make_monitor(f"127.0.0.1:{port}/x", watched.publish, watched.bell).run(watched.emit)
        assert "\n" not in str(caught.value)
        assert not watched.observations


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A server that says the same to everyone, and hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        thread.join(20)
        listener.close()


async def test_a_name_that_does_not_resolve(znodes: Znodes) -> None:
    watched = Watched(20)
    with pytest.raises(MonitorError, match=r"^no-such-host\.invalid:2181: "):
        await make_monitor("no-such-host.invalid/x", watched.publish, watched.bell).run(watched.emit)


@contextmanager
def cut(port: int) -> Iterator[Callable[[], None]]:
    """The network to a port of loopback is cut, as by a pulled cable; the function heals it."""
    rules = [[*("INPUT", "-i", "lo", "-p", "tcp"), way, str(port), "-j", "DROP"] for way in ("--dport", "--sport")]
    done: list[list[str]] = []

    def heal() -> None:
        while done:
            subprocess.run(["iptables", "-w", "-D", *done.pop()], check=True, timeout=20)

    try:
        for rule in rules:
            subprocess.run(["iptables", "-w", "-I", *rule], check=True, timeout=20)
            done.append(rule)
        yield heal
    finally:
        heal()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may cut the network")
@pytest.mark.parametrize("wait_for_failure", [True, False])
async def test_cut_and_healed(znodes: Znodes, wait_for_failure: bool) -> None:
    await off_loop(znodes.put, "a.ini")
    async with watching_znodes(znodes.argument()) as watched:
        await watched.until_there("a.ini")
        before: dict[str, object] = dict(watched.vassals)
        znodes.close()
        with cut(znodes.server.port) as heal:
            if wait_for_failure:
                await watched.until(lambda: watched.failures)
                assert "Connection timed out" in str(watched.failures[0])
            else:
                await trio.sleep(1)
            heal()
        await off_loop(znodes.put, "b.ini")
        watched.patience = 10  # 5 s after the source is back, on a machine that is not busy
        await watched.until_there("a.ini", "b.ini")
        assert_nothing_stopped(watched, before)
