"""The whole of it: our daemon, a real ZooKeeper with a login, and a real uWSGI that serves what a znode says."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.security import CREATOR_ALL_ACL  # type: ignore[import-untyped]

from tests.monitors.zoo.support import Znodes
from tests.support.application import Application
from tests.support.vassal import vassal_config
from tests.system.empire import EmperorUnderTest, Kind, ask

LOGIN = "me:se-cret"

ALICE, BOB = 20_001, 20_002


@pytest.fixture
def emperor() -> Iterator[EmperorUnderTest]:
    with EmperorUnderTest(Kind.OURS, Path(sys.prefix, "bin", "uwsgi")) as emperor:
        yield emperor


def test_a_real_application_is_served_changed_and_removed_through_znodes(
    emperor: EmperorUnderTest, znodes: Znodes
) -> None:
    application = Application(emperor)
    mine = znodes.server.connect(LOGIN)
    path = f"{znodes.path}/mine"
    mine.create(path, acl=CREATOR_ALL_ACL)

    def config(answer: str, *, enveloped: bool = False) -> bytes:
        text = application.config(answer)
        return json.dumps({"config": text, "uid": 1, "gid": 1}).encode() if enveloped else text.encode()

    mine.create(f"{path}/app.ini", config("first"), acl=CREATOR_ALL_ACL)
    emperor.start(monitors=[f"zoo://{LOGIN}@127.0.0.1:{znodes.server.port}{path}"])
    application.wait_for("first")
    pid = emperor.wait_vassal("app.ini", ready=1)["pid"]
    for number in range(2):
        mine.set(f"{path}/app.ini", config(f"number-{number}", enveloped=number == 1))
        application.wait_for(f"number-{number}")
    assert emperor.wait_vassal("app.ini", respawns=2)["pid"] == pid, "reloaded, not replaced"
    mine.delete(f"{path}/app.ini")
    emperor.wait_gone("app.ini")
    arguments = Path(f"/proc/{emperor.pid}/cmdline").read_text()
    assert "zoo://me:***@" in emperor.log()
    for shown in (emperor.log(), json.dumps(emperor.stats()), arguments):
        assert "se-cret" not in shown
    assert "kazoo" not in emperor.log()
    mine.stop()
    mine.close()
    assert emperor.stop() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs vassals as others")
def test_owner_and_socket_of_an_envelope_in_tyrant_mode(vassal_binary: Path, znodes: Znodes) -> None:
    with EmperorUnderTest(Kind.OURS, vassal_binary) as emperor:
        config = vassal_config({"report": emperor.report.path, "serve": 1})

        def put(name: str, **fields: object) -> None:
            znodes.put(name, json.dumps({"config": config, **fields}).encode())

        socket = emperor.folder / "socket"
        put("a.ini", uid=ALICE, gid=ALICE)
        put("no-owner.ini")
        put("root.ini", uid=0, gid=0)
        put("waits.ini", uid=ALICE, gid=ALICE, socket=str(socket))
        emperor.start("--emperor-tyrant", monitors=[f"zoo://{znodes.argument()}"])
        first = emperor.wait_vassal("a.ini", uid=ALICE, gid=ALICE, ready=1)
        for refused in ("'no-owner.ini' refused: uid and gid missing", "'root.ini' refused: "):
            emperor.wait_logged(refused)
        emperor.wait_vassal("waits.ini", on_demand=str(socket), pid=-1)
        assert ask(socket) == emperor.wait_vassal("waits.ini", uid=ALICE, ready=1)["pid"]

        put("a.ini", uid=BOB, gid=BOB)
        second = emperor.wait_vassal("a.ini", uid=BOB, gid=BOB, ready=1)
        assert second["pid"] != first["pid"]
        put("no-owner.ini", uid=BOB, gid=BOB)
        emperor.wait_vassal("no-owner.ini", uid=BOB, ready=1)
        assert [entry["uid"] for entry in emperor.reported("start", "emperor://a.ini")] == [ALICE, BOB]
        assert not emperor.reported("start", "emperor://root.ini")
        assert emperor.stop() == 0
