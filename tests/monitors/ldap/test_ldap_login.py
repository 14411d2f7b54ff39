"""Logins and encryption on a real server: which are used, which are refused, and that no account gets locked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from emperor_trio.errors import MonitorError
from emperor_trio.events import MonitorNotice
from emperor_trio.monitors import _ldap_login
from emperor_trio.monitors._ldap_login import Login, LoginSource, Refusals
from emperor_trio.testing.conformance import Watched
from tests.support.ldap_source import watching_ldap
from tests.support.servers.proxy import proxy
from tests.support.servers.slapd import ADMIN, PASSWORD, SUFFIX, Slapd, slapd, vassal

READER = f"cn=reader,{SUFFIX}"
LOCKING = "overlay ppolicy\nppolicy_default cn=policy,{suffix}"


@pytest.fixture(scope="module")
def server() -> Iterator[Slapd]:
    """With TLS, without anonymous logins, and with a policy that locks an account after three wrong passwords."""
    globally = "moduleload ppolicy\ndisallow bind_anon\nrequire authc"
    with slapd(tls=True, globally=globally, locally=LOCKING.format(suffix=SUFFIX)) as found:
        policy = {"objectClass": ["device", "pwdPolicy"], "cn": "policy", "pwdAttribute": "userPassword"}
        found.add(f"cn=policy,{SUFFIX}", policy | {"pwdLockout": "TRUE", "pwdMaxFailure": "3"})
        account = {"objectClass": ["organizationalRole", "simpleSecurityObject"], "cn": "reader"}
        found.add(READER, account | {"userPassword": "right"})
        yield found


@pytest.fixture
def base(server: Slapd) -> str:
    dn = server.add_base()
    server.add(f"cn=one,{dn}", vassal("one"))
    return dn


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("right\n")
    return path


def last_error(watched: Watched) -> str:
    assert all(isinstance(failure, MonitorError) for failure in watched.failures), watched.failures
    text = str(watched.failures[-1])
    assert "\n" not in text
    return text


def told(watched: Watched) -> str:
    return " ".join([*(event.text for event in watched.events), *map(str, watched.failures), repr(watched.events)])


async def test_the_password_of_a_file_is_used(server: Slapd, base: str, password: Path) -> None:
    login: dict[str, Any] = {"ldap_bind_dn": READER, "ldap_password_file": str(password)}
    async with watching_ldap(f"ldap://{server.address}/{base}", **login) as watched:
        await watched.until_there("one.ini")
        assert not watched.failures
        assert not watched.events


async def test_the_password_of_the_url_is_used(server: Slapd, base: str) -> None:
    login = "bindname={},x-bindpw={}".format(ADMIN.replace(",", "%2C"), PASSWORD)
    async with watching_ldap(f"ldap://{server.address}/{base}????{login}") as watched:
        await watched.until_there("one.ini")


async def test_without_a_login_the_server_refuses(server: Slapd, base: str) -> None:
    async with watching_ldap(f"ldap://{server.address}/{base}") as watched:
        await watched.until(lambda: len(watched.failures) >= 2)
        assert "anonymous" in last_error(watched)
        assert not watched.observations


async def test_a_wrong_password_is_one_error_and_locks_nobody_out(
    server: Slapd, base: str, password: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_ldap_login, "SOON", 0.5)
    password.write_text("wr0ng-pass\n")
    with proxy(server.port) as middle:
        login: dict[str, Any] = {"ldap_bind_dn": READER, "ldap_password_file": str(password)}
        async with watching_ldap(f"ldap://127.0.0.1:{middle.port}/{base}", **login) as watched:
            await watched.until(lambda: watched.failures)
            await trio.sleep(_ldap_login.SOON + 1.5)
            assert middle.connections == 2
            assert "Invalid credentials" in last_error(watched)
            assert READER in last_error(watched)
            assert len({str(failure) for failure in watched.failures}) == 1
            password.write_text("right\n")
            await watched.until_there("one.ini")
            assert middle.connections == 3
            assert "wr0ng-pass" not in told(watched)


async def test_a_ring_tries_the_refused_login_at_once(server: Slapd, base: str) -> None:
    dn = f"cn=later,{SUFFIX}"
    server.add(dn, {"objectClass": ["organizationalRole", "simpleSecurityObject"], "cn": "later", "userPassword": "a"})
    login = f"bindname={dn.replace(',', '%2C')},x-bindpw=b"
    async with watching_ldap(f"ldap://{server.address}/{base}????{login}") as watched:
        await watched.until(lambda: watched.failures)
        server.modify(dn, {"userPassword": "b"})
        await trio.sleep(0.4)
        assert not watched.observations
        watched.bell.ring()
        await watched.until_there("one.ini")


async def test_a_password_file_that_is_no_such_thing(server: Slapd, base: str, tmp_path: Path) -> None:
    path = tmp_path / "password"
    login: dict[str, Any] = {"ldap_bind_dn": READER, "ldap_password_file": str(path)}
    async with watching_ldap(f"ldap://{server.address}/{base}", **login) as watched:
        await watched.until(lambda: watched.failures)
        assert "No such file" in last_error(watched)
        for content, complaint in [(b"\n", "is empty"), (b"\xff", "UTF-8"), (b"x" * 5000, "no password")]:
            path.write_bytes(content)
            await watched.until(lambda complaint=complaint: complaint in last_error(watched))  # type: ignore[misc]
        path.write_text("right")
        await watched.until_there("one.ini")


@pytest.mark.parametrize("scheme", ["ldap", "ldaps"])
async def test_encrypted(
    server: Slapd, base: str, password: Path, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what TLS holds back in its own buffers is not waited for."""
    monkeypatch.setenv("LDAPTLS_CACERT", str(server.authority))
    login: dict[str, Any] = {
        "ldap_bind_dn": READER,
        "ldap_password_file": str(password),
        "ldap_starttls": scheme == "ldap",
    }
    port = server.port if scheme == "ldap" else server.tls_port
    for number in range(300):
        server.add(f"cn=v{number},{base}", vassal(f"v{number}"))
    async with watching_ldap(f"{scheme}://127.0.0.1:{port}/{base}", patience=4, **login) as watched:
        await watched.until(lambda: len(watched.vassals) == 301)
        for number in range(300):
            server.modify(f"cn=v{number},{base}", {"uWSGIprocesses": "2"})
        await watched.until(lambda: all(is_changed(watched, f"v{number}.ini") for number in range(300)))
        watched.bell.ring()
        said = len(watched.observations)
        await watched.until(lambda: len(watched.observations) > said)
        server.delete(f"cn=v0,{base}")
        await watched.until(lambda: len(watched.vassals) == 300)
        assert not watched.failures


def is_changed(watched: Watched, name: str) -> bool:
    return b"processes = 2" in (watched.vassals[name].config or b"")


@pytest.mark.parametrize("scheme", ["ldap", "ldaps"])
async def test_a_certificate_of_an_unknown_authority_is_refused(
    server: Slapd, base: str, password: Path, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LDAPTLS_CACERT", raising=False)
    login: dict[str, Any] = {"ldap_bind_dn": READER, "ldap_password_file": str(password), "ldap_starttls": True}
    port = server.port if scheme == "ldap" else server.tls_port
    async with watching_ldap(f"{scheme}://127.0.0.1:{port}/{base}", **login) as watched:
        await watched.until(lambda: watched.failures)
        assert "LDAPTLS_CACERT" in last_error(watched)
        assert not watched.observations


async def test_a_certificate_of_another_name_is_refused(
    server: Slapd, base: str, password: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LDAPTLS_CACERT", str(server.authority))
    login: dict[str, Any] = {"ldap_bind_dn": READER, "ldap_password_file": str(password)}
    async with watching_ldap(f"ldaps://localhost:{server.tls_port}/{base}", **login) as watched:
        await watched.until(lambda: watched.failures)
        assert not watched.observations
        last_error(watched)


async def test_a_server_without_tls_is_refused_where_it_is_asked_for(pushing: Slapd) -> None:
    base = pushing.add_base()
    async with watching_ldap(f"ldap://{pushing.address}/{base}", ldap_starttls=True) as watched:
        await watched.until(lambda: watched.failures)
        assert not watched.observations
        assert "it offers no STARTTLS: give the server a certificate" in last_error(watched)
    async with watching_ldap(f"ldaps://{pushing.address}/{base}") as watched:
        await watched.until(lambda: watched.failures)
        assert not watched.observations
        assert "refused" not in last_error(watched)
        assert "it speaks no TLS on this port: use ldap://" in last_error(watched)


async def test_a_password_in_clear_over_a_network_is_said_once(password: Path) -> None:
    login: dict[str, Any] = {"ldap_bind_dn": READER, "ldap_password_file": str(password)}
    async with watching_ldap("ldap://host.invalid/dc=x", **login) as watched:
        await watched.until(lambda: len(watched.failures) >= 2)
    (notice,) = [event for event in watched.events if isinstance(event, MonitorNotice)]
    assert "unencrypted" in notice.text


def test_when_a_refused_login_is_tried_again() -> None:
    refusals = Refusals()
    login, other = Login("cn=a", "x"), Login("cn=a", "y")
    assert refusals.due(login) < 0
    refusals.refuse(login, 100.0)
    assert refusals.due(login) == 100.0 + _ldap_login.SOON
    assert refusals.due(other) < 0
    refusals.refuse(login, 104.0)
    assert refusals.due(login) == 104.0 + _ldap_login.LATER
    refusals.hurry()
    assert refusals.due(login) < 0
    refusals.refuse(login, 200.0)
    assert refusals.due(login) == 200.0 + _ldap_login.LATER
    refusals.refuse(other, 300.0)
    assert refusals.due(other) == 300.0 + _ldap_login.SOON
    refusals.accept()
    assert refusals.due(other) < 0
    assert "x" not in repr(login).replace("cn=", "")
    assert LoginSource("cn=a", "x").read() == login
