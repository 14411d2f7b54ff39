"""The whole of it: our daemon, a server with login and TLS, and a real uWSGI that serves what a document says."""

from __future__ import annotations

import datetime
import json
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers.mongodb import MongoServer
from tests.system.empire import EmperorUnderTest, Kind, free_port, wait_until

APPLICATION = """\
import uwsgi

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [uwsgi.opt["answer"]]
"""


@pytest.fixture
def emperor() -> Iterator[EmperorUnderTest]:
    with EmperorUnderTest(Kind.OURS, Path(sys.prefix, "bin", "uwsgi")) as emperor:
        yield emperor


def test_a_real_application_is_served_changed_and_removed_through_documents(
    emperor: EmperorUnderTest, guarded: MongoServer
) -> None:
    port = free_port()
    application = emperor.folder / "application.py"
    application.write_text(APPLICATION)
    options = f"authSource=users&tls=true&tlsCAFile={guarded.certificate}"

    def answers(expected: str) -> None:
        def holds() -> bool:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                    return bool(answer.read().decode() == expected)
            except OSError:
                return False

        wait_until(holds, lambda: f"never {expected}: {emperor.describe()}")

    login = {"username": "writer", "password": "s3cret/x", "authSource": "users"}
    with guarded.client(tls=True, tlsCAFile=str(guarded.certificate), **login) as client:
        vassals = client["fleet"]["apps"]

        def put(answer: str) -> None:
            config = (
                f"[uwsgi]\nmaster = true\nhttp-socket = 127.0.0.1:{port}\n"
                f"wsgi-file = {application}\nanswer = {answer}\nneed-app = true\n"
            )
            changed = {"config": config, "ts": datetime.datetime.now(datetime.UTC), "enabled": 1}
            vassals.update_one({"name": "app.ini"}, {"$set": changed}, upsert=True)

        put("first")
        monitor = f"mongodb://reader:s3cret%2Fx@{guarded.address}/fleet.apps?{options};{{enabled:1}}"
        emperor.start(monitors=[monitor], frequency=3600)  # what is seen was pushed
        answers("first")
        pid = emperor.wait_vassal("app.ini", ready=1)["pid"]
        for number in range(3):
            put(f"number-{number}")
            answers(f"number-{number}")
        assert emperor.wait_vassal("app.ini", respawns=3)["pid"] == pid, "reloaded, not replaced"
        vassals.update_one({}, {"$set": {"enabled": 0}})
        emperor.wait_gone("app.ini")
        arguments = Path(f"/proc/{emperor.pid}/cmdline").read_text()
    assert "mongodb://reader:***@" in emperor.log()
    for shown in (emperor.log(), json.dumps(emperor.stats()), arguments):
        assert "s3cret" not in shown
    assert emperor.stop() == 0
