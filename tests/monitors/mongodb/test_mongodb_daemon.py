"""The whole of it: our daemon, a server with login and TLS, and a real uWSGI that serves what a document says."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.application import Application
from tests.support.servers.mongodb import MongoServer
from tests.system.empire import EmperorUnderTest, Kind


@pytest.fixture
def emperor() -> Iterator[EmperorUnderTest]:
    with EmperorUnderTest(Kind.OURS, Path(sys.prefix, "bin", "uwsgi")) as emperor:
        yield emperor


def test_a_real_application_is_served_changed_and_removed_through_documents(
    emperor: EmperorUnderTest, guarded: MongoServer
) -> None:
    application = Application(emperor)
    options = f"authSource=users&tls=true&tlsCAFile={guarded.certificate}"

    login = {"username": "writer", "password": "s3cret/x", "authSource": "users"}
    with guarded.client(tls=True, tlsCAFile=str(guarded.certificate), **login) as client:
        vassals = client["fleet"]["apps"]

        def put(answer: str) -> None:
            changed = {"config": application.config(answer), "ts": datetime.datetime.now(datetime.UTC), "enabled": 1}
            vassals.update_one({"name": "app.ini"}, {"$set": changed}, upsert=True)

        put("first")
        monitor = f"mongodb://reader:s3cret%2Fx@{guarded.address}/fleet.apps?{options};{{enabled:1}}"
        emperor.start(monitors=[monitor], frequency=3600)  # what is seen was pushed
        application.wait_for("first")
        pid = emperor.wait_vassal("app.ini", ready=1)["pid"]
        for number in range(3):
            put(f"number-{number}")
            application.wait_for(f"number-{number}")
        assert emperor.wait_vassal("app.ini", respawns=3)["pid"] == pid, "reloaded, not replaced"
        vassals.update_one({}, {"$set": {"enabled": 0}})
        emperor.wait_gone("app.ini")
        arguments = Path(f"/proc/{emperor.pid}/cmdline").read_text()
    assert "mongodb://reader:***@" in emperor.log()
    for shown in (emperor.log(), json.dumps(emperor.stats()), arguments):
        assert "s3cret" not in shown
    assert emperor.stop() == 0
