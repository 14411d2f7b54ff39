"""What changes in a directory, as vassals see it: by push and by asking, in every shape that entries may take."""

from __future__ import annotations

import pytest

from emperor_trio.events import Event, MonitorNotice, VassalRefused
from emperor_trio.model import Destroy, Owner, Snapshot, Touch
from emperor_trio.testing.conformance import Watched
from tests.support.ldap_source import watching_ldap
from tests.support.servers.slapd import Slapd, slapd, vassal


@pytest.fixture(params=["push", "asking"])
def server(request: pytest.FixtureRequest) -> Slapd:
    found: Slapd = request.getfixturevalue("pushing" if request.param == "push" else "polled")
    return found


def url(server: Slapd, base: str, rest: str = "") -> str:
    return f"ldap://{server.address}/{base}{rest}"


def refusals(watched: Watched) -> list[VassalRefused]:
    return [event for event in watched.events if isinstance(event, VassalRefused)]


def notices(watched: Watched) -> list[Event]:
    return [event for event in watched.events if isinstance(event, MonitorNotice)]


async def test_an_entry_becomes_a_config(server: Slapd) -> None:
    base = server.add_base()
    server.add(
        f"cn=shop,{base}",
        {
            "objectClass": ["device", "uWSGIConfig", "posixAccount"],
            "cn": "shop",
            "uid": "shop",
            "uidNumber": "2001",
            "gidNumber": "2002",
            "homeDirectory": "/srv/shop",
            "uWSGIsocket": ["127.0.0.1:3031", "127.0.0.1:3032"],
            "uWSGImaster": "TRUE",
            "uWSGImodule": "shop:app",
            "uWSGIpythonPath": "/srv/shop",
        },
    )
    async with watching_ldap(url(server, base), frequency=0.1, tyrant=True) as watched:
        await watched.until_there("shop.ini")
    spec = watched.vassals["shop.ini"]
    assert spec.config == (
        b"[uwsgi]\nmaster = true\nmodule = shop:app\npython-path = /srv/shop\n"
        b"socket = 127.0.0.1:3031\nsocket = 127.0.0.1:3032\n"
    )
    assert (spec.owner, spec.socket) == (Owner(2001, 2002), None)
    assert spec.modified > 1_700_000_000


async def test_only_uwsgi_entries_below_the_base_count(server: Slapd) -> None:
    base = server.add_base()
    server.add(f"cn=plain,{base}", {"objectClass": "device", "cn": "plain"})
    server.add(f"ou=deep,{base}", {"objectClass": "organizationalUnit", "ou": "deep"})
    for dn, name, unit in [(base, "one", "web"), (f"ou=deep,{base}", "two", "web"), (base, "three", "mail")]:
        server.add(f"cn={name},{dn}", vassal(name) | {"ou": unit})
    for rest, names in {
        "": {"one.ini", "two.ini", "three.ini"},
        "??one": {"one.ini", "three.ini"},
        "??sub?(ou=web)": {"one.ini", "two.ini"},
        "??base": set(),
        "???ou=%77eb": {"one.ini", "two.ini"},
        "?uWSGImodule": {"one.ini", "two.ini", "three.ini"},
    }.items():
        async with watching_ldap(url(server, base, rest), frequency=0.1) as watched:
            await watched.until_there(*names)


async def test_only_the_attributes_that_the_url_lists_count(server: Slapd) -> None:
    base = server.add_base()
    server.add(f"cn=one,{base}", vassal("one", socket=":3031", processes="4"))
    async with watching_ldap(url(server, base, "?uWSGIsocket,uwsgiPROCESSES"), frequency=0.1) as watched:
        await watched.until_there("one.ini")
    assert watched.vassals["one.ini"].config == b"[uwsgi]\nprocesses = 4\nsocket = :3031\n"


async def test_a_renamed_entry_is_another_vassal(server: Slapd) -> None:
    base = server.add_base()
    server.add(f"cn=one,{base}", vassal("one"))
    server.add(f"cn=two,{base}", vassal("two"))
    async with watching_ldap(url(server, base), frequency=0.1) as watched:
        await watched.until_there("one.ini", "two.ini")
        other = watched.vassals["two.ini"]
        server.rename(f"cn=one,{base}", "cn=new")
        await watched.until_there("new.ini", "two.ini")
        server.rename(f"cn=new,{base}", "cn=one")
        await watched.until_there("one.ini", "two.ini")
        assert watched.vassals["two.ini"] == other


async def test_an_entry_that_stops_to_be_a_vassal_goes(server: Slapd) -> None:
    base = server.add_base()
    server.add(f"cn=one,{base}", vassal("one") | {"ou": "web"})
    server.add(f"cn=two,{base}", vassal("two") | {"ou": "web"})
    async with watching_ldap(url(server, base, "???(ou=web)"), frequency=0.1) as watched:
        await watched.until_there("one.ini", "two.ini")
        server.modify(f"cn=one,{base}", {"ou": "mail"})
        await watched.until_there("two.ini")
        server.modify(f"cn=one,{base}", {"ou": "web"})
        await watched.until_there("one.ini", "two.ini")


async def test_of_two_entries_with_one_name_the_newest_counts(server: Slapd) -> None:
    base = server.add_base()
    server.add(f"ou=deep,{base}", {"objectClass": "organizationalUnit", "ou": "deep"})
    async with watching_ldap(url(server, base), frequency=0.1) as watched:
        await watched.until_there()
        server.add(f"cn=one,{base}", vassal("one", processes="1"))
        await watched.until_there("one.ini")
        server.add(f"cn=one,ou=deep,{base}", vassal("one", processes="2"))
        await watched.until(lambda: b"processes = 2" in (watched.vassals["one.ini"].config or b""))
        assert [event.reason for event in refusals(watched)] == ["is there twice; the newest one counts"]
        server.delete(f"cn=one,ou=deep,{base}")
        await watched.until(lambda: b"processes = 1" in (watched.vassals["one.ini"].config or b""))
        server.delete(f"cn=one,{base}")
        await watched.until_there()


async def test_wrong_entries_cost_only_themselves_and_are_told_once(server: Slapd) -> None:
    base = server.add_base()
    server.add(f"cn=good,{base}", vassal("good"))
    server.add(f"cn=forged,{base}", vassal("forged", env="A=B\nexec-as-root = evil"))
    server.add(f"cn=huge,{base}", vassal("huge", env=["x" * 60_000, "y" * 60_000]))
    server.add(f"cn=bare,{base}", {"objectClass": ["device", "uWSGIConfig"], "cn": "bare"})
    server.add(f"serialNumber=1,{base}", vassal("n" * 10_000))
    async with watching_ldap(url(server, base), frequency=0.05) as watched:
        await watched.until_there("good.ini")
        await watched.until(lambda: len(refusals(watched)) == 4)
        server.modify(f"cn=good,{base}", {"uWSGImodule": "x\ny"})
        await watched.until(lambda: len(refusals(watched)) == 5)
        assert watched.names == {"good.ini"}
        server.modify(f"cn=good,{base}", {"uWSGImodule": "better"})
        server.modify(f"cn=forged,{base}", {"uWSGIenv": "A=B"})
        await watched.until_there("good.ini", "forged.ini")
        await watched.until(lambda: b"better" in (watched.vassals["good.ini"].config or b""))
        for number in range(3):
            server.modify(f"cn=good,{base}", {"uWSGIprocesses": str(number)})
            version = watched.vassals["good.ini"].version
            await watched.until_newer("good.ini", version)
    assert len(refusals(watched)) == 5
    told = {event.name.partition(".")[0]: event.field for event in refusals(watched)}
    long = f"serialNumber=1,{base}"
    assert told == {"forged": "uWSGIenv", "huge": "config", "bare": "config", long: "cn", "good": "uWSGImodule"}


async def test_tyrant_names_what_is_missing(server: Slapd) -> None:
    base = server.add_base()
    account = {"uid": "x", "homeDirectory": "/", "gidNumber": "7"}
    server.add(f"cn=good,{base}", vassal("good") | account | {"uidNumber": "7"} | posix())
    server.add(f"cn=half,{base}", vassal("half") | {"objectClass": ["posixGroup", "uWSGIConfig"], "gidNumber": "7"})
    async with watching_ldap(url(server, base), frequency=0.1, tyrant=True) as watched:
        await watched.until_there("good.ini")
        assert watched.vassals["good.ini"].owner == Owner(7, 7)
        assert [(event.name, event.field) for event in refusals(watched)] == [("half.ini", "uidNumber")]


def posix() -> dict[str, list[str]]:
    return {"objectClass": ["device", "uWSGIConfig", "posixAccount"]}


async def test_a_removal_by_push_counts_at_once_though_it_is_the_last(pushing: Slapd) -> None:
    base = pushing.add_base()
    pushing.add(f"cn=one,{base}", vassal("one"))
    async with watching_ldap(url(pushing, base)) as watched:
        await watched.until_there("one.ini")
        pushing.delete(f"cn=one,{base}")
        await watched.until_there()
        assert watched.observations[-1] == Destroy("one.ini")
        assert not notices(watched)


async def test_an_answer_that_is_suddenly_empty_is_believed_twice(polled: Slapd) -> None:
    base = polled.add_base()
    polled.add(f"cn=one,{base}", vassal("one"))
    async with watching_ldap(url(polled, base), frequency=0.05) as watched:
        await watched.until_there("one.ini")
        polled.delete(f"cn=one,{base}")
        polled.add(f"cn=one,{base}", vassal("one", processes="2"))
        await watched.until(lambda: b"processes" in (watched.vassals["one.ini"].config or b""))
        assert all(seen != Snapshot(()) for seen in watched.observations)
        polled.delete(f"cn=one,{base}")
        await watched.until_there()
        assert watched.observations[-1] == Snapshot(())


async def test_asking_is_said_once_and_why(polled: Slapd) -> None:
    base = polled.add_base()
    async with watching_ldap(url(polled, base), frequency=0.1) as watched:
        await watched.until_there()
        polled.add(f"cn=one,{base}", vassal("one"))
        await watched.until_there("one.ini")
    (notice,) = notices(watched)
    assert "critical" in notice.text.lower()
    assert "asking every 0.1 s" in notice.text


async def test_nothing_is_said_while_nothing_changes(server: Slapd) -> None:
    base = server.add_base()
    server.add(f"cn=one,{base}", vassal("one"))
    server.add(f"cn=odd,{base}", vassal("odd", env="\n"))
    async with watching_ldap(url(server, base), frequency=0.01) as watched:
        await watched.until_there("one.ini")
        for number in range(5):
            server.modify(base, {"description": str(number)})
        server.add(f"cn=two,{base}", vassal("two"))
        await watched.until_there("one.ini", "two.ini")
        assert len(watched.observations) == 2
        assert len(refusals(watched)) == 1


async def test_a_ring_looks_at_the_server(pushing: Slapd) -> None:
    base = pushing.add_base()
    pushing.add(f"cn=one,{base}", vassal("one"))
    async with watching_ldap(url(pushing, base)) as watched:
        await watched.until_there("one.ini")
        for count in (2, 3):
            watched.bell.ring()
            await watched.until(lambda count=count: len(watched.observations) >= count)  # type: ignore[misc]
        assert all(isinstance(seen, Snapshot) for seen in watched.observations)
        assert not watched.failures


@pytest.mark.parametrize("push", [True, False])
async def test_more_entries_than_the_servers_size_limit(push: bool) -> None:
    """They are read page by page where the server permits it; else nothing is taken for gone."""
    with slapd(push=push, globally="sizelimit size.soft=20 size.hard=20 size.prtotal=unlimited") as server:
        base = server.add_base()
        for number in range(30):
            server.add(f"cn=v{number},{base}", vassal(f"v{number}"))
        names = {f"v{number}.ini" for number in range(30)}
        async with watching_ldap(url(server, base), frequency=0.1) as watched:
            await watched.until_there(*names)
            server.delete(f"cn=v0,{base}")
            await watched.until_there(*names - {"v0.ini"})
            assert len(notices(watched)) == 1


async def test_a_partial_answer_removes_nothing() -> None:
    with slapd(push=False, globally="sizelimit size.soft=20 size.hard=20 size.prtotal=20") as server:
        base = server.add_base()
        for number in range(15):
            server.add(f"cn=v{number},{base}", vassal(f"v{number}"))
        names = {f"v{number}.ini" for number in range(15)}
        async with watching_ldap(url(server, base), frequency=0.05) as watched:
            await watched.until_there(*names)
            for number in range(15, 30):
                server.add(f"cn=v{number},{base}", vassal(f"v{number}"))
            await watched.until(lambda: watched.failures)
            assert "size limit" in str(watched.failures[0])
            assert watched.names >= names
            assert not any(isinstance(seen, Destroy) for seen in watched.observations)
            for number in range(14, 30):
                server.delete(f"cn=v{number},{base}")
            await watched.until_there(*names - {"v14.ini"})


async def test_many_entries_pushed_at_once_all_arrive(pushing: Slapd) -> None:
    base = pushing.add_base()
    client = pushing.client()
    async with watching_ldap(url(pushing, base)) as watched:
        await watched.until_there()
        for number in range(1000):
            attributes = vassal(f"v{number}")
            client.add_ext(f"cn=v{number},{base}", [(k, as_bytes(v)) for k, v in attributes.items()])
        await watched.until(lambda: len(watched.vassals) == 1000)
        assert all(isinstance(seen, Touch) for seen in watched.observations[1:])
    client.unbind_s()


def as_bytes(value: object) -> list[bytes]:
    values = value if isinstance(value, list) else [value]
    return [str(one).encode() for one in values]
