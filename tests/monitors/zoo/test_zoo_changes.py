"""What happens to znodes, and what the monitor says of it: names, data, rights, parents, and very many at once."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
import trio
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, make_acl  # type: ignore[import-untyped]

from emperor_trio.events import MonitorNotice, NameSkipped, VassalRefused
from emperor_trio.model import Destroy, Owner, Snapshot, Touch
from emperor_trio.monitors import zoo
from emperor_trio.monitors._answers import Entry
from emperor_trio.monitors._rows import RowRules
from emperor_trio.monitors._zoo_nodes import Stamp, read_node
from emperor_trio.testing.conformance import Watched
from tests.monitors.zoo.support import CONFIG, Znodes, off_loop, watching_znodes

LOGIN = "me:se cret"


def refused(watched: Watched) -> list[tuple[str, str]]:
    return [(event.name, event.field) for event in watched.events if isinstance(event, VassalRefused)]


async def until_said(watched: Watched, said: int) -> None:
    """Wait until more was said than this many observations."""
    await watched.until(lambda: len(watched.observations) > said, "an answer")


async def test_data_that_are_set_again_are_another_version(znodes: Znodes) -> None:
    """ZooKeeper's way to touch a file."""
    await off_loop(znodes.put, "a.ini")
    async with watching_znodes(znodes.argument()) as watched:
        await watched.until_there("a.ini")
        before = watched.vassals["a.ini"]
        await off_loop(znodes.put, "a.ini")
        await watched.until_newer("a.ini", before.version)
        assert watched.vassals["a.ini"].config == before.config


async def test_a_znode_that_is_deleted_and_made_anew_is_read_anew(znodes: Znodes) -> None:
    await off_loop(znodes.put, "a.ini")

    def replace() -> None:
        deleted = znodes.client.delete_async(f"{znodes.path}/a.ini")
        created = znodes.client.create_async(f"{znodes.path}/a.ini", b"another")
        deleted.get(timeout=60)
        created.get(timeout=60)

    async with watching_znodes(znodes.argument()) as watched:
        await watched.until_there("a.ini")
        for _ in range(20):
            version = watched.vassals["a.ini"].version
            await off_loop(replace)
            await watched.until_newer("a.ini", version)
            assert watched.vassals["a.ini"].config == b"another"


async def test_owner_and_socket_come_with_the_config_and_change_with_it(znodes: Znodes) -> None:
    def put(**fields: Any) -> None:
        znodes.put("a.ini", json.dumps({"config": "[uwsgi]\n", **fields}).encode())

    await off_loop(put)
    async with watching_znodes(znodes.argument(), tyrant=True) as watched:
        await watched.until_there("a.ini")
        assert watched.vassals["a.ini"].owner is None  # for the law to refuse by name
        await trio.to_thread.run_sync(lambda: put(uid=1000, gid=1001))
        await watched.until(lambda: watched.vassals["a.ini"].owner == Owner(1000, 1001))
        await trio.to_thread.run_sync(lambda: put(uid=1002, gid=1001, socket=":3031"))
        await watched.until(lambda: watched.vassals["a.ini"].socket == ":3031")
        assert watched.vassals["a.ini"].owner == Owner(1002, 1001)
        await trio.to_thread.run_sync(lambda: put(uid="nobody", gid=1001))
        await watched.until(lambda: refused(watched))
        assert refused(watched) == [("a.ini", "uid")]
        assert watched.vassals["a.ini"].owner == Owner(1002, 1001), "what turned wrong stays what it was"


async def test_what_is_no_vassal_is_named_once_and_never_read(znodes: Znodes) -> None:
    await off_loop(znodes.put, "a.ini")
    await off_loop(znodes.put, "notes.txt")
    await off_loop(znodes.put, "x" * 251 + ".ini")
    await off_loop(lambda: znodes.client.create(f"{znodes.path}/a.ini/below.ini", CONFIG))
    async with watching_znodes(znodes.argument()) as watched:
        await watched.until_there("a.ini")
        await off_loop(znodes.put, "b.ini")
        await off_loop(znodes.put, "notes.txt")
        await watched.until_there("a.ini", "b.ini")
        watched.bell.ring()
        await off_loop(znodes.put, "c.ini")
        await watched.until_there("a.ini", "b.ini", "c.ini")
        names = Counter(event.name for event in watched.events if isinstance(event, NameSkipped))
        assert names == {"notes.txt": 1, "x" * 251 + ".ini": 1}


async def test_one_wrong_znode_is_named_once_however_often_it_is_seen(znodes: Znodes) -> None:
    await off_loop(znodes.put, "bad.ini", b"\xff")
    async with watching_znodes(znodes.argument()) as watched:
        await watched.until_there()
        for _ in range(3):
            said = len(watched.observations)
            watched.bell.ring()
            await until_said(watched, said)
        assert refused(watched) == [("bad.ini", "config")]
        await off_loop(znodes.put, "bad.ini", b"{}")
        await watched.until(lambda: len(refused(watched)) == 2)
        await off_loop(znodes.put, "bad.ini", CONFIG)
        await watched.until_there("bad.ini")


async def test_a_parent_that_is_missing_is_waited_for_and_not_made(znodes: Znodes) -> None:
    argument = znodes.argument() + "/yet/to/come"
    async with watching_znodes(argument) as watched:
        await watched.until_there()
        await off_loop(lambda: znodes.client.create(f"{znodes.path}/yet"))
        watched.bell.ring()
        await watched.until(lambda: len(watched.observations) > 1)
        notices = [event for event in watched.events if isinstance(event, MonitorNotice)]
        assert len(notices) == 1
        assert f"{znodes.path}/yet/to/come" in notices[0].text
        assert znodes.client.get_children(f"{znodes.path}/yet") == []
        await off_loop(lambda: znodes.client.create(f"{znodes.path}/yet/to/come/a.ini", CONFIG, makepath=True))
        await watched.until_there("a.ini")
        await off_loop(lambda: znodes.client.delete(f"{znodes.path}/yet/to/come", recursive=True))
        await watched.until_there()
        await watched.until(lambda: len(watched.events) == 2, "a second notice")
        await off_loop(lambda: znodes.client.create(f"{znodes.path}/yet/to/come/b.ini", CONFIG, makepath=True))
        await watched.until_there("b.ini")


async def test_the_children_of_the_root_may_be_vassals(znodes: Znodes) -> None:
    await off_loop(lambda: znodes.client.create("/root.ini", CONFIG))
    try:
        async with watching_znodes(f"127.0.0.1:{znodes.server.port}/") as watched:
            await watched.until_there("root.ini")
            version = watched.vassals["root.ini"].version
            await off_loop(lambda: znodes.client.set("/root.ini", CONFIG))
            await watched.until_newer("root.ini", version)
            assert "zookeeper" in {event.name for event in watched.events if isinstance(event, NameSkipped)}
    finally:
        znodes.client.delete("/root.ini")


async def test_nothing_above_the_path_is_asked_for(znodes: Znodes) -> None:
    """So that the path may begin with a chroot, above which a login has no rights at all."""
    await off_loop(znodes.put, "a.ini")
    parent = znodes.path.rpartition("/")[0]
    await off_loop(lambda: znodes.client.set_acls(parent, [make_acl("digest", "nobody:x", all=True)]))
    async with watching_znodes(znodes.argument()) as watched:
        await watched.until_there("a.ini")


async def test_a_znode_that_may_not_be_read_costs_only_itself_until_it_may(znodes: Znodes) -> None:
    def protect(name: str) -> None:
        mine = znodes.server.connect(LOGIN)
        mine.create(f"{znodes.path}/{name}", CONFIG, acl=CREATOR_ALL_ACL)
        mine.stop()
        mine.close()

    def open_up(name: str) -> None:
        mine = znodes.server.connect(LOGIN)
        mine.set_acls(f"{znodes.path}/{name}", OPEN_ACL_UNSAFE)
        mine.stop()
        mine.close()

    await off_loop(znodes.put, "a.ini")
    for name in ("mine.ini", "gone.ini"):
        await off_loop(protect, name)
    async with watching_znodes(znodes.argument(), frequency=0.05) as watched:
        await watched.until_there("a.ini")
        await off_loop(znodes.put, "b.ini")
        await watched.until_there("a.ini", "b.ini")
        await trio.sleep(0.3)
        assert sorted(refused(watched)) == [("gone.ini", "znode"), ("mine.ini", "znode")]
        assert f"{znodes.path}/mine.ini" in "".join(event.text for event in watched.events)
        await off_loop(znodes.remove, "gone.ini")
        await off_loop(open_up, "mine.ini")
        await watched.until_there("a.ini", "b.ini", "mine.ini")
    async with watching_znodes(znodes.argument(login="me:se%20cret")) as watched:
        await watched.until_there("a.ini", "b.ini", "mine.ini")


async def test_with_a_login_what_is_its_own_is_read_and_the_password_is_nowhere(znodes: Znodes) -> None:
    def protect() -> None:
        mine = znodes.server.connect(LOGIN)
        mine.create(f"{znodes.path}/own/a.ini", CONFIG, acl=CREATOR_ALL_ACL, makepath=True)
        mine.stop()
        mine.close()

    await off_loop(protect)
    znodes.path += "/own"
    async with watching_znodes(znodes.argument(login="me:se%20cret")) as watched:
        await watched.until_there("a.ini")
    async with watching_znodes(znodes.argument(login="me:wr%20ong")) as watched:
        await watched.until(lambda: watched.failures)
        assert not watched.observations
        assert "needs read permission" in str(watched.failures[0])
        said = repr([*watched.failures, *watched.events])
        assert "wr ong" not in said
        assert "wr%20ong" not in said


async def test_all_deleted_counts_at_once_where_the_server_says_deleted(znodes: Znodes) -> None:
    names = [f"v{number}.ini" for number in range(300)]
    await off_loop(znodes.put_many, names)
    async with watching_znodes(znodes.argument()) as watched:
        await watched.until_there(*names)
        await off_loop(znodes.remove_many, names)
        await watched.until_there()
        assert not any(isinstance(seen, Snapshot) for seen in watched.observations[1:])
        assert sum(isinstance(seen, Destroy) for seen in watched.observations) == len(names)


async def test_ten_thousand_at_once(znodes: Znodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read at the start, pushed while it runs, changed, looked at again for nothing, and removed."""
    read: list[str] = []

    def count(rules: RowRules, name: str, data: bytes | None, stamp: Stamp) -> Entry:
        read.append(name)
        return read_node(rules, name, data, stamp)

    monkeypatch.setattr(zoo, "read_node", count)
    first = [f"a{number}.ini" for number in range(5000)]
    second = [f"b{number}.ini" for number in range(5000)]
    await off_loop(znodes.put_many, first)
    async with watching_znodes(znodes.argument()) as watched:
        await watched.until_there(*first)
        assert len(watched.observations) == 1
        await off_loop(znodes.put_many, second)
        await watched.until_there(*first, *second)
        assert all(isinstance(seen, Touch) for seen in watched.observations[1:])
        assert len(read) == 10_000
        said = len(watched.observations)
        watched.bell.ring()
        await until_said(watched, said)
        assert len(read) == 10_000, "what did not change is not read again"
        await off_loop(znodes.put, "a77.ini", b"another")
        await watched.until(lambda: watched.vassals["a77.ini"].config == b"another")
        assert read[10_000:] == ["a77.ini"]
        await off_loop(znodes.remove_many, first)
        await watched.until_there(*second)
