"""Servers that are killed, frozen, slow, cut off or back with other data: nothing stops, and the newest state holds."""

# python-ldap makes its names only when it is loaded.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import ldap  # type: ignore[import-untyped]
import pytest
import trio

from emperor_trio.errors import MonitorError
from emperor_trio.model import Destroy, Snapshot, VassalSpec
from emperor_trio.monitors import _ldap_connection, _ldap_entry
from emperor_trio.monitors import ldap as ldap_monitor
from emperor_trio.testing.conformance import Watched, count_descriptors, until_no_more
from tests.support.ldap_source import LdapSource, make_ldap_monitor, watching_ldap
from tests.support.servers.proxy import Proxy, proxy
from tests.support.servers.slapd import USER, Slapd, slapd, vassal

BACK = 5.0
"""Seconds within which the newest state holds once the server is back, and some for a busy machine below."""


@pytest.fixture(params=[True, False], ids=["push", "asking"])
def server(request: pytest.FixtureRequest) -> Iterator[Slapd]:
    """A server of a test's own."""
    with slapd(push=request.param) as found:
        yield found


@pytest.fixture
def middle(server: Slapd) -> Iterator[Proxy]:
    with proxy(server.port) as found:
        yield found


def fill(server: Slapd, base: str, count: int = 2) -> set[str]:
    client = server.client()
    for number in range(count):
        attributes = {k: v if isinstance(v, list) else [v] for k, v in vassal(f"v{number}").items()}
        client.add_s(f"cn=v{number},{base}", [(k, [str(one).encode() for one in v]) for k, v in attributes.items()])
    client.unbind_s()
    return {f"v{number}.ini" for number in range(count)}


def last_error(watched: Watched) -> str:
    assert watched.failures
    assert all(isinstance(failure, MonitorError) for failure in watched.failures), watched.failures
    assert "\n" not in str(watched.failures[-1])
    return str(watched.failures[-1])


async def start(server: Slapd) -> None:
    await trio.to_thread.run_sync(server.start)


async def stop(server: Slapd) -> None:
    await trio.to_thread.run_sync(server.stop)


async def test_a_restart_changes_nothing_and_reads_little(server: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[str] = []
    read_entry = _ldap_entry.read_entry

    def spy(rules: object, dn: str, *rest: object) -> object:
        judged.append(dn)
        return read_entry(rules, dn, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(ldap_monitor, "read_entry", spy)
    base = server.add_base()
    names = fill(server, base, 40)
    async with watching_ldap(f"ldap://{server.address}/{base}", frequency=0.1) as watched:
        await watched.until_there(*names)
        before = dict(watched.vassals)
        await stop(server)
        await watched.until(lambda: watched.failures)
        assert "contact" in last_error(watched)
        assert server.address in last_error(watched)
        judged.clear()
        await start(server)
        server.modify(f"cn=v3,{base}", {"uWSGIprocesses": "2"})
        server.delete(f"cn=v4,{base}")
        await watched.until_newer("v3.ini", before["v3.ini"].version)
        await watched.until_there(*names - {"v4.ini"})
        assert set(judged) <= {f"cn=v3,{base}"}
        changed = {name for name in watched.names if watched.vassals[name] != before[name]}
        assert changed == {"v3.ini"}


async def test_back_with_other_data(server: Slapd) -> None:
    base = server.add_base("same")
    names = fill(server, base)
    async with watching_ldap(f"ldap://{server.address}/{base}", frequency=0.1) as watched:
        await watched.until_there(*names)
        await stop(server)
        server.wipe()
        await start(server)
        server.add_root()
        await trio.sleep(0.5)
        assert watched.names == names, "a base that is not there was taken for an empty one"
        server.add_base("same")
        server.add(f"cn=v1,{base}", vassal("v1", processes="9"))
        server.add(f"cn=other,{base}", vassal("other"))
        await watched.until_there("v1.ini", "other.ini")
        await watched.until(lambda: b"processes = 9" in (watched.vassals["v1.ini"].config or b""))


async def test_back_with_older_data(server: Slapd) -> None:
    """A backup is put back: the server knows less than it told before."""
    base = server.add_base()
    names = fill(server, base)
    await stop(server)
    shutil.copytree(server.folder / "db", server.folder / "backup")
    await start(server)
    async with watching_ldap(f"ldap://{server.address}/{base}", frequency=0.1) as watched:
        await watched.until_there(*names)
        before = dict(watched.vassals)
        server.modify(f"cn=v0,{base}", {"uWSGIprocesses": "2"})
        server.add(f"cn=new,{base}", vassal("new"))
        server.delete(f"cn=v1,{base}")
        await watched.until_there("v0.ini", "new.ini")
        await stop(server)
        shutil.rmtree(server.folder / "db")
        shutil.copytree(server.folder / "backup", server.folder / "db")
        own(server)
        await start(server)
        await watched.until_there(*names)
        assert watched.vassals == before


async def test_back_with_data_that_changed_unseen(server: Slapd) -> None:
    """Loaded from a file that claims to be as new as what was told: only a look at all of it shows."""
    base = server.add_base()
    names = fill(server, base)
    async with watching_ldap(f"ldap://{server.address}/{base}", frequency=0.1) as watched:
        await watched.until_there(*names)
        await stop(server)
        config = server.folder / "slapd.conf"
        text = subprocess.run(["slapcat", "-f", config], check=True, capture_output=True, text=True).stdout
        kept = [entry for entry in text.split("\n\n") if f"cn=v0,{base}" not in entry]
        server.wipe()
        loaded = "\n\n".join(kept)
        subprocess.run(["slapadd", "-q", "-f", config], check=True, input=loaded, text=True, capture_output=True)
        own(server)
        await start(server)
        await watched.until_there("v1.ini")


async def test_back_empty_is_believed_twice(server: Slapd) -> None:
    base = server.add_base("same")
    names = fill(server, base)
    async with watching_ldap(f"ldap://{server.address}/{base}", frequency=0.1) as watched:
        await watched.until_there(*names)
        await stop(server)
        server.wipe()
        await start(server)
        server.add_root()
        server.add_base("same")
        back = time.monotonic()
        await watched.until_there()
        assert watched.observations[-1] == Snapshot(())
        assert time.monotonic() - back >= 0.5
        assert not any(isinstance(seen, Destroy) for seen in watched.observations)


async def test_frozen_it_shows_as_an_outage_and_goes_on(server: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_ldap_connection, "BEAT_EVERY", 0.1)
    monkeypatch.setattr(_ldap_connection, "BEAT_LIMIT", 0.3)
    monkeypatch.setattr(_ldap_connection, "ANSWER_LIMIT", 0.3)
    monkeypatch.setattr(_ldap_connection, "CONNECT_LIMIT", 0.3)
    base = server.add_base()
    names = fill(server, base)
    async with watching_ldap(f"ldap://{server.address}/{base}", frequency=0.1) as watched:
        await watched.until_there(*names)
        before = dict(watched.vassals)
        server.send_signal(signal.SIGSTOP)
        await watched.until(lambda: len(watched.failures) >= 2)
        assert watched.vassals == before
        assert "no answer within 0.3 s" in last_error(watched) or "Timed out" in last_error(watched)
        server.send_signal(signal.SIGCONT)
        server.modify(f"cn=v1,{base}", {"uWSGIprocesses": "2"})
        await watched.until_newer("v1.ini", before["v1.ini"].version)
        assert watched.vassals["v0.ini"] == before["v0.ini"]


async def test_slow_it_is_waited_for(server: Slapd, middle: Proxy) -> None:
    base = server.add_base()
    names = fill(server, base, 30)
    middle.drip = 0.01
    async with watching_ldap(f"ldap://127.0.0.1:{middle.port}/{base}", frequency=0.1) as watched:
        await watched.until_there(*names)
        assert not watched.failures
        server.delete(f"cn=v0,{base}")
        await watched.until_there(*names - {"v0.ini"})


async def test_reset_in_mid_answer_nothing_is_taken_for_gone(server: Slapd, middle: Proxy) -> None:
    base = server.add_base()
    names = fill(server, base, 30)
    async with watching_ldap(f"ldap://127.0.0.1:{middle.port}/{base}", frequency=0.05) as watched:
        await watched.until_there(*names)
        for cut in (1, 700, 6000):
            failed = len(watched.failures)
            middle.cut_after = cut
            middle.reset_all()
            server.modify(f"cn=v1,{base}", {"uWSGIprocesses": str(cut)})
            server.modify(f"cn=v2,{base}", {"uWSGIenv": ["x" * 4000, "y" * 4000, str(cut)]})
            await watched.until(lambda failed=failed: len(watched.failures) > failed)  # type: ignore[misc]
            await watched.until(lambda cut=cut: is_there(watched, f"processes = {cut}"))  # type: ignore[misc]
            assert watched.names == names
        assert not any(isinstance(seen, Destroy) for seen in watched.observations)


def is_there(watched: Watched, line: str) -> bool:
    return any(line.encode() in (spec.config or b"") for spec in watched.vassals.values())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may cut a network")
async def test_a_cut_network_shows_and_heals(pushing: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_ldap_connection, "UNHEARD_LIMIT", 1.5)
    base = pushing.add_base()
    names = fill(pushing, base)
    with proxy(pushing.port) as middle:
        async with watching_ldap(f"ldap://127.0.0.1:{middle.port}/{base}") as watched:
            await watched.until_there(*names)
            before = dict(watched.vassals)
            with dropped(middle.port):
                await watched.until(lambda: watched.failures, "an outage")
                pushing.modify(f"cn=v1,{base}", {"uWSGIprocesses": "2"})
                assert watched.vassals == before
            healed = trio.current_time()
            await watched.until_newer("v1.ini", before["v1.ini"].version)
            assert trio.current_time() - healed < BACK + 5
            assert watched.vassals["v0.ini"] == before["v0.ini"]
            last_error(watched)


@contextmanager
def dropped(port: int) -> Iterator[None]:
    """Every packet to and from a port is lost."""
    rules = [["INPUT", "-i", "lo", "-p", "tcp", f"--{end}", str(port), "-j", "DROP"] for end in ("dport", "sport")]
    added = []
    try:
        for rule in rules:
            subprocess.run(["iptables", "-w", "-I", *rule], check=True)
            added.append(rule)
        yield
    finally:
        for rule in added:
            subprocess.run(["iptables", "-w", "-D", *rule], check=True)


async def test_a_connection_that_is_made_too_late_is_closed(pushing: Slapd) -> None:
    base = pushing.add_base()
    with proxy(pushing.port) as middle:
        descriptors = count_descriptors()
        watched = Watched(20)
        monitor = make_ldap_monitor(f"ldap://127.0.0.1:{middle.port}/{base}", watched.publish, watched.bell)
        middle.held = True
        with trio.move_on_after(0.2):
            await monitor.run(watched.emit)
        middle.held = False
        await until_no_more(count_descriptors, descriptors, "descriptors", 20)


async def test_nobody_there_is_one_clear_line(server: Slapd) -> None:
    port = server.port
    await stop(server)
    async with watching_ldap(f"ldap://127.0.0.1:{port}/dc=x") as watched:
        await watched.until(lambda: watched.failures)
    assert last_error(watched) == f"LDAP server 127.0.0.1:{port}: Can't contact LDAP server (refused, or out of reach)"


async def test_no_such_base_is_an_outage(server: Slapd) -> None:
    async with watching_ldap(f"ldap://{server.address}/ou=nowhere,dc=example,dc=org", frequency=0.1) as watched:
        await watched.until(lambda: watched.failures)
        assert not watched.observations
        assert "no such base" in last_error(watched)
        server.add_base("nowhere")
        await watched.until_there()


async def test_an_outage_of_conformance_leaves_versions_alone(pushing: Slapd) -> None:
    source = LdapSource(pushing)
    await source.add("one.ini")
    async with watching_ldap(f"ldap://{pushing.address}/{source.base}") as watched:
        await watched.until_there("one.ini")
        before: VassalSpec = watched.vassals["one.ini"]
        await source.break_down()
        await watched.until(lambda: watched.failures)
        said = len(watched.observations)
        await source.heal()
        await watched.until(lambda: len(watched.observations) > said)
        assert watched.observations[said:] == [Snapshot((before,))]


def own(server: Slapd) -> None:
    if os.geteuid() == 0:
        for path in [server.folder / "db", *(server.folder / "db").iterdir()]:
            shutil.chown(path, USER, USER)


async def test_cancelled_in_mid_answer_it_leaves_nothing_behind(polled: Slapd) -> None:
    """A thread waits for that answer; it is woken, and does not wait until its time is over."""
    base = polled.add_base()
    with proxy(polled.port) as middle:
        descriptors = count_descriptors()
        async with watching_ldap(f"ldap://127.0.0.1:{middle.port}/{base}", frequency=0.02) as watched:
            await watched.until_there()
            middle.held = True
            await trio.sleep(0.2)
        middle.reset_all()
        await until_no_more(count_descriptors, descriptors, "descriptors", 10)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x30\x84\x7f\xff\xff\xff", b"\x00" * 64, b""]
)
async def test_what_is_no_ldap_server_is_an_outage(answer: bytes) -> None:
    async def speak(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await stream.receive_some()
            await stream.send_all(answer)
            await stream.aclose()

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, speak, listeners)
        port = listeners[0].socket.getsockname()[1]
        async with watching_ldap(f"ldap://127.0.0.1:{port}/dc=x") as watched:
            await watched.until(lambda: len(watched.failures) >= 2)
            last_error(watched)
            assert not watched.observations
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (ldap.LDAPError({"result": 4096, "desc": "Content Sync Refresh Required"}), True),
        (ldap.UNWILLING_TO_PERFORM({"desc": "consumer state is newer than provider!"}), True),
        (ldap.SERVER_DOWN({"desc": "Can't contact LDAP server"}), False),
        (ldap.LDAPError(), False),
    ],
)
def test_when_the_server_can_not_go_on_from_a_cookie(error: Exception, refused: bool) -> None:
    assert ldap_monitor._is_cookie_refused(error) is refused
