"""The whole of it: our daemon, a real ZooKeeper with a login, and a real uWSGI that serves what a znode says."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.security import CREATOR_ALL_ACL  # type: ignore[import-untyped]

from tests.monitors.zoo.support import Znodes
from tests.system.empire import EmperorUnderTest, Kind, free_port, wait_until

LOGIN = "me:se-cret"

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


def test_a_real_application_is_served_changed_and_removed_through_znodes(
    emperor: EmperorUnderTest, znodes: Znodes
) -> None:
    port = free_port()
    application = emperor.folder / "application.py"
    application.write_text(APPLICATION)
    mine = znodes.server.connect(LOGIN)
    path = f"{znodes.path}/mine"
    mine.create(path, acl=CREATOR_ALL_ACL)

    def config(answer: str, *, enveloped: bool = False) -> bytes:
        text = (
            f"[uwsgi]\nmaster = true\nhttp-socket = 127.0.0.1:{port}\n"
            f"wsgi-file = {application}\nanswer = {answer}\nneed-app = true\n"
        )
        return json.dumps({"config": text, "uid": 1, "gid": 1}).encode() if enveloped else text.encode()

    def answers(expected: str) -> None:
        def holds() -> bool:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                    return bool(answer.read().decode() == expected)
            except OSError:
                return False

        wait_until(holds, lambda: f"never {expected}: {emperor.describe()}")

    mine.create(f"{path}/app.ini", config("first"), acl=CREATOR_ALL_ACL)
    emperor.start(monitors=[f"zoo://{LOGIN}@127.0.0.1:{znodes.server.port}{path}"])
    answers("first")
    pid = emperor.wait_vassal("app.ini", ready=1)["pid"]
    for number in range(2):
        mine.set(f"{path}/app.ini", config(f"number-{number}", enveloped=number == 1))
        answers(f"number-{number}")
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
