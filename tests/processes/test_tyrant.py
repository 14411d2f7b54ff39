"""Whom a vassal runs as: groups, capabilities, namespaces, umask. Needs root."""

from __future__ import annotations

import grp
import os
import pwd
import signal
from dataclasses import replace

import pytest
import trio

from emperor_trio.errors import SpawnError
from emperor_trio.model import Owner
from tests.processes.conftest import MakeCourt
from tests.processes.support import ALICE, BOB, Court
from tests.support.vassal import Report, children_of, is_alive, wait_until


def somebody_with_groups() -> pwd.struct_passwd:
    """A user of this system with an uid of its own and the most groups."""
    users = [user for user in pwd.getpwall() if 0 < user.pw_uid < 65534 and user.pw_gid != 0]
    return max(users, key=lambda user: len(os.getgrouplist(user.pw_name, user.pw_gid)))


async def test_owners_are_kept_apart(make_court: MakeCourt) -> None:
    court = await make_court(tyrant=True)
    for owner in (ALICE, BOB):
        report = Report(court.folder / str(owner.uid))  # neither could write into the other's
        await court.spawn(court.spec(f"{owner.uid}.ini", owner, report=report.path)).ear.bytes(b"\1")
        (start,) = report.of("start")
        assert report.path.stat().st_uid == owner.uid
        assert (start["uid"], start["gid"], start["groups"]) == (owner.uid, owner.gid, [])


async def test_initgroups_gives_a_user_all_its_groups(make_court: MakeCourt) -> None:
    court = await make_court(tyrant=True, initgroups=True)
    user = somebody_with_groups()
    other_group = next(group.gr_gid for group in grp.getgrall() if group.gr_gid not in (0, user.pw_gid))
    start = await court.start(court.spec(owner=Owner(user.pw_uid, other_group)))
    assert (start["uid"], start["gid"]) == (user.pw_uid, other_group)
    assert sorted(start["groups"]) == sorted(os.getgrouplist(user.pw_name, user.pw_gid))


async def test_initgroups_gives_a_bare_number_its_one_group(make_court: MakeCourt) -> None:
    court = await make_court(tyrant=True, initgroups=True)
    start = await court.start(court.spec())
    assert (start["uid"], start["gid"], start["groups"]) == (ALICE.uid, ALICE.gid, [ALICE.gid])


@pytest.mark.parametrize("owner", [None, Owner(0, 5), Owner(5, 0), Owner(2**32 - 1, 5)])
async def test_root_is_refused(make_court: MakeCourt, owner: Owner | None) -> None:
    court = await make_court(tyrant=True)
    with pytest.raises(SpawnError, match="Tyrant mode"):
        court.spawn(court.spec(owner=owner))


async def test_capabilities_outside_the_set_can_not_come_back(make_court: MakeCourt) -> None:
    court = await make_court(capabilities=("net_bind_service", "13"))
    start = await court.start(court.spec())
    kept = 1 << 8 | 1 << 10 | 1 << 13  # CAP_SETPCAP stays, as in uWSGI
    assert int(start["status"]["CapBnd"], 16) == kept
    assert int(start["status"]["CapEff"], 16) == kept


async def test_capabilities_in_tyrant_mode(make_court: MakeCourt) -> None:
    court = await make_court(capabilities=("net_bind_service",), tyrant=True)
    start = await court.start(court.spec())
    assert int(start["status"]["CapBnd"], 16) == 1 << 8 | 1 << 10
    assert int(start["status"]["CapEff"], 16) == 0


@pytest.mark.parametrize("tyrant", [False, True])
@pytest.mark.parametrize("names", [("ipc",), ("net", "uts"), ("fs",), ("pid",), ("fs", "ipc", "net", "pid", "uts")])
async def test_namespaces(make_court: MakeCourt, names: tuple[str, ...], tyrant: bool) -> None:
    court = await make_court(namespaces=names, tyrant=tyrant)
    subject = court.spawn(court.spec())
    await subject.ear.bytes(b"\1")
    (start,) = court.report.of("start")
    ours = {name: os.readlink(f"/proc/self/ns/{name}") for name in start["namespaces"]}
    changed = {name for name, link in start["namespaces"].items() if link != ours[name]}
    expected = {{"fs": "mnt"}.get(name, name) for name in names}
    if "pid" in names:  # /proc is the emperor's, so that the vassal can't look itself up there
        assert start["pid"] == 1
        changed |= {"pid"}
    assert changed == expected or "pid" in names
    assert start["uid"] == (ALICE.uid if tyrant else 0)
    subject.process.kill()
    assert await subject.ear.exit_code() == -9


@pytest.mark.parametrize("code", [0, 26])
async def test_an_exit_in_a_pid_namespace_is_told_as_it_is(make_court: MakeCourt, code: int) -> None:
    court = await make_court(namespaces=("pid",), tyrant=True)
    assert await court.spawn(court.spec(exit_after=0, exit_code=code)).ear.exit_code() == code


async def test_a_death_in_a_pid_namespace_takes_all_in_it(make_court: MakeCourt) -> None:
    court = await make_court(namespaces=("pid",), tyrant=True)
    subject = court.spawn(court.spec(workers=1))
    await subject.ear.bytes(b"\1")
    (first,) = children_of(subject.pid)
    (worker,) = children_of(first)
    os.kill(first, signal.SIGKILL)
    assert await subject.ear.exit_code() != 0  # some versions of unshare can't hand a signal on, and leave with 1
    await trio.to_thread.run_sync(wait_until, lambda: not is_alive(worker))


async def test_a_user_namespace_makes_the_owner_root_inside(make_court: MakeCourt) -> None:
    court = await make_court(namespaces=("user", "net"), tyrant=True)
    subject = court.spawn(court.spec())
    await subject.ear.bytes(b"\1")
    (start,) = court.report.of("start")
    assert (start["uid"], start["gid"]) == (0, 0)
    assert os.stat(f"/proc/{subject.pid}").st_uid in (0, ALICE.uid)
    with open(f"/proc/{subject.pid}/status", encoding="utf-8") as file:
        lines = dict(line.rstrip("\n").split(":\t", 1) for line in file if line.startswith(("Uid", "Gid", "Groups")))
    assert lines["Uid"].split() == [str(ALICE.uid)] * 4
    assert lines["Gid"].split() == [str(ALICE.gid)] * 4
    assert lines["Groups"].split() == []


async def test_umask(make_court: MakeCourt) -> None:
    court = await make_court(umask=0o27)
    assert (await court.start(court.spec()))["umask"] == 0o27


async def test_an_ordinary_user_can_be_an_emperor(make_court: MakeCourt, vassal_binary: object) -> None:
    court = await make_court()
    spec = court.spec()
    os.setresgid(BOB.gid, BOB.gid, 0)
    os.setresuid(BOB.uid, BOB.uid, 0)
    try:
        start = await court.start(spec)
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
    assert (start["uid"], start["gid"]) == (BOB.uid, BOB.gid)


async def test_tyrant_mode_without_root_fails_the_start(make_court: MakeCourt) -> None:
    court = await make_court(tyrant=True)
    spec = replace(court.spec(), owner=ALICE)
    os.setresuid(BOB.uid, BOB.uid, 0)
    try:
        subject = court.spawn(spec)
        assert await subject.ear.exit_code() in (1, 127)
    finally:
        os.setresuid(0, 0, 0)


async def test_the_folder_of_the_emperor_is_the_default(court: Court) -> None:
    spec = replace(court.spec(), directory=None)
    assert (await court.start(spec))["cwd"] == str(court.folder)
