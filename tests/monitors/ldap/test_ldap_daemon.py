"""The whole of it: our daemon, a real slapd with a login, and a real uWSGI that serves what an entry says."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers.slapd import ADMIN, PASSWORD, Slapd, vassal
from tests.system.empire import EmperorUnderTest, Kind, free_port, wait_until

APPLICATION = """\
import uwsgi

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [uwsgi.opt["answer"] + uwsgi.opt["more"]]
"""


@pytest.fixture
def emperor() -> Iterator[EmperorUnderTest]:
    with EmperorUnderTest(Kind.OURS, Path(sys.prefix, "bin", "uwsgi")) as emperor:
        yield emperor


def test_a_real_application_is_served_changed_and_removed_through_entries(
    emperor: EmperorUnderTest, pushing: Slapd
) -> None:
    port = free_port()
    (emperor.folder / "application.py").write_text(APPLICATION)
    base = pushing.add_base()

    def answers(expected: str) -> None:
        def holds() -> bool:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                    return bool(answer.read().decode() == expected)
            except OSError:
                return False

        wait_until(holds, lambda: f"never {expected}: {emperor.describe()}")

    login = f"bindname={ADMIN.replace(',', '%2C')},x-bindpw={PASSWORD}"
    emperor.start(monitors=[f"ldap://{pushing.address}/{base}??one??{login}"])
    options: dict[str, str | list[str]] = {
        "master": "TRUE",
        "httpSocket": f"127.0.0.1:{port}",
        "pythonPath": str(emperor.folder),
        "set": ["answer=first", "more=!"],
    }
    pushing.add(f"cn=shop,{base}", vassal("shop", **options) | {"uWSGImodule": "application"})
    answers("first!")
    pid = emperor.wait_vassal("shop.ini", ready=1)["pid"]
    for number in range(2):
        pushing.modify(f"cn=shop,{base}", {"uWSGIset": [f"answer=number {number}", "more=."]})
        answers(f"number {number}.")
    assert emperor.wait_vassal("shop.ini", respawns=2)["pid"] == pid, "reloaded, not replaced"
    pushing.add(f"cn=evil,{base}", vassal("evil", env="A=B\nexec-as-emperor = touch owned"))
    emperor.wait_logged("'evil.ini' refused: uWSGIenv")
    pushing.delete(f"cn=shop,{base}")
    emperor.wait_gone("shop.ini")
    arguments = Path(f"/proc/{emperor.pid}/cmdline").read_text()
    assert "x-bindpw=***" in emperor.log()
    for shown in (emperor.log(), json.dumps(emperor.stats()), arguments):
        assert f"x-bindpw={PASSWORD}" not in shown
    assert emperor.stop() == 0
