"""Whom vassals run as in Tyrant mode, and what happens when their config changes hands."""

from __future__ import annotations

import os
from pathlib import Path

from tests.system.differential.scenario import Differs, Observation, scenario
from tests.system.empire import EmperorUnderTest, Json

ALICE, BOB = (12_001, 13_001), (12_002, 13_002)
IDENTITY = ("uid", "euid", "gid", "egid", "groups")


def give(path: Path, owner: tuple[int, int], *, follow: bool = True) -> None:
    os.chown(path, *owner, follow_symlinks=follow)


def identity(start: Json) -> Observation:
    return {key: start[key] for key in IDENTITY}


@scenario(
    pdeathsig=Differs(0, 9, "parent-death signal"),
)
def a_vassal_runs_as_the_owner_of_its_config(emperor: EmperorUnderTest) -> Observation:
    give(emperor.add("a.ini"), ALICE)
    emperor.start("--emperor-tyrant")
    vassal = emperor.wait_vassal("a.ini", ready=1)
    start = emperor.reported("start", "a.ini")[0]
    return {
        **identity(start),
        "pdeathsig": start["pdeathsig"],
        "rights": [start["status"][name] for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")],
        "statistics": (vassal["uid"], vassal["gid"], emperor.stats()["emperor_tyrant"]),
    }


@scenario()
def without_tyrant_owners_mean_nothing(emperor: EmperorUnderTest) -> Observation:
    give(emperor.add("a.ini"), ALICE)
    emperor.start()
    emperor.wait_vassal("a.ini", ready=1)
    return identity(emperor.reported("start", "a.ini")[0])


@scenario(statistics=Differs([ALICE], [(0, 0)], "`uid` and `gid` of a vassal in the statistics"))
def without_tyrant_in_the_statistics(emperor: EmperorUnderTest) -> Observation:
    give(emperor.add("a.ini"), ALICE)
    emperor.start()
    vassal = emperor.wait_vassal("a.ini", ready=1)
    return {"statistics": [(vassal["uid"], vassal["gid"])]}


@scenario()
def root_is_refused(emperor: EmperorUnderTest) -> Observation:
    give(emperor.add("root.ini"), (0, 0))
    give(emperor.add("root-user.ini"), (0, ALICE[1]))
    give(emperor.add("root-group.ini"), (ALICE[0], 0))
    give(emperor.add("last.ini"), ALICE)
    emperor.start("--emperor-tyrant")
    emperor.wait_vassal("last.ini", ready=1)
    return {"vassals": [v["id"] for v in emperor.stats()["vassals"]], "blacklist": emperor.stats()["blacklist"]}


@scenario()
def a_refused_config_starts_when_it_is_given_away(emperor: EmperorUnderTest) -> Observation:
    path = emperor.add("a.ini")
    give(emperor.add("other.ini"), BOB)
    emperor.start("--emperor-tyrant")
    emperor.wait_vassal("other.ini", ready=1)
    give(path, ALICE)
    emperor.wait_vassal("a.ini", ready=1)
    return identity(emperor.reported("start", "a.ini")[0])


@scenario()
def a_new_owner_gets_a_new_process(emperor: EmperorUnderTest) -> Observation:
    path = emperor.add("a.ini", loyal_after=0)
    give(path, ALICE)
    emperor.start("--emperor-tyrant")
    emperor.wait_vassal("a.ini", loyal=1)
    give(path, BOB)
    emperor.wait_vassal("a.ini", uid=BOB[0], loyal=1)
    starts = emperor.reported("start", "a.ini")
    return {"orders": emperor.orders("a.ini"), "starts": [identity(start) for start in starts]}


@scenario()
def given_to_root_it_stops(emperor: EmperorUnderTest) -> Observation:
    path = emperor.add("a.ini", loyal_after=0)
    give(path, ALICE)
    emperor.start("--emperor-tyrant")
    emperor.wait_vassal("a.ini", loyal=1)
    give(path, (0, 0))
    emperor.wait_gone("a.ini")
    return {"orders": emperor.orders("a.ini"), "starts": len(emperor.reported("start", "a.ini"))}


def _link(emperor: EmperorUnderTest, *options: str, owner: tuple[int, int] = BOB) -> Observation:
    """Bob, or someone else, links to a config of Alice's."""
    elsewhere = emperor.folder / "elsewhere"
    elsewhere.mkdir()
    give(emperor.add("target", folder=elsewhere), ALICE)
    (emperor.vassals / "link.ini").symlink_to(elsewhere / "target")
    give(emperor.vassals / "link.ini", owner, follow=False)
    emperor.start("--emperor-tyrant", *options)
    emperor.wait_vassal("link.ini", ready=1)
    return identity(emperor.reported("start", "link.ini")[0])


@scenario()
def a_link_of_roots_runs_as_the_owner_of_its_target(emperor: EmperorUnderTest) -> Observation:
    return _link(emperor, owner=(0, 0))


@scenario(
    vassals=Differs(["link.ini", "other.ini"], ["other.ini"], "Tyrant mode, a link of one user to a file of another")
)
def a_strangers_link(emperor: EmperorUnderTest) -> Observation:
    elsewhere = emperor.folder / "elsewhere"
    elsewhere.mkdir()
    give(emperor.add("target", folder=elsewhere), ALICE)
    (emperor.vassals / "link.ini").symlink_to(elsewhere / "target")
    give(emperor.vassals / "link.ini", BOB, follow=False)
    give(emperor.add("other.ini"), BOB)
    emperor.start("--emperor-tyrant")
    emperor.wait_vassal("other.ini", ready=1)
    return {"vassals": sorted(vassal["id"] for vassal in emperor.stats()["vassals"])}


@scenario()
def a_link_runs_as_its_own_owner_with_tyrant_nofollow(emperor: EmperorUnderTest) -> Observation:
    return _link(emperor, "--emperor-tyrant-nofollow")


@scenario()
def a_link_with_nofollow_alone(emperor: EmperorUnderTest) -> Observation:
    return _link(emperor, "--emperor-nofollow")


@scenario()
def hooks_run_with_the_vassals_rights(emperor: EmperorUnderTest) -> Observation:
    out = emperor.folder / "out"
    hook = emperor.folder / "hook"
    hook.write_text(f'#!/bin/sh\necho start "$(id -u):$(id -g):$(id -G)" >> {out}\n')
    hook.chmod(0o755)
    out.touch()
    out.chmod(0o666)
    give(emperor.add("a.ini"), ALICE)
    emperor.start(
        "--emperor-tyrant", "--vassals-start-hook", hook,
        "--exec-as-vassal", f'echo check "$(id -u):$(id -g):$(id -G)" >> {out}',
    )  # fmt: skip
    emperor.wait_vassal("a.ini", ready=1)
    return {"ran": out.read_text().splitlines()}


@scenario()
def hooks_of_the_emperor_keep_its_rights(emperor: EmperorUnderTest) -> Observation:
    out = emperor.folder / "out"
    hook = emperor.folder / "hook"
    hook.write_text(f'#!/bin/sh\necho stop "$(id -u):$(id -g)" >> {out}\n')
    hook.chmod(0o755)
    give(emperor.add("a.ini", loyal_after=0), ALICE)
    emperor.start(
        "--emperor-tyrant", "--vassals-stop-hook", hook,
        "--exec-as-emperor", f'echo spawn "$(id -u):$(id -g) $UWSGI_VASSAL_UID:$UWSGI_VASSAL_GID" >> {out}',
    )  # fmt: skip
    emperor.wait_vassal("a.ini", loyal=1)
    emperor.wait(lambda: "spawn" in out.read_text() if out.exists() else False)
    emperor.remove("a.ini")
    emperor.wait_gone("a.ini")
    return {"ran": out.read_text().splitlines()}


@scenario()
def capabilities_in_tyrant_mode(emperor: EmperorUnderTest) -> Observation:
    give(emperor.add("a.ini"), ALICE)
    emperor.start("--emperor-tyrant", "--emperor-cap", "net_bind_service,net_raw")
    emperor.wait_vassal("a.ini", ready=1)
    status = emperor.reported("start", "a.ini")[0]["status"]
    return {name: status[name] for name in ("CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb")}


@scenario()
def namespaces_in_tyrant_mode(emperor: EmperorUnderTest) -> Observation:
    give(emperor.add("a.ini"), ALICE)
    emperor.start("--emperor-tyrant", "--emperor-use-clone", "fs,ipc,pid,net,uts")
    emperor.wait_vassal("a.ini", ready=1)
    start = emperor.reported("start", "a.ini")[0]
    ours = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in start["namespaces"]}
    new = sorted(kind for kind, found in start["namespaces"].items() if found and found != ours[kind])
    return {**identity(start), "pid": start["pid"], "new": new}
