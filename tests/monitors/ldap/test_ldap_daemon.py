"""The whole of it: our daemon, a real slapd with a login, and a real uWSGI that serves what an entry says."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.application import Application
from tests.support.servers.slapd import ADMIN, PASSWORD, Slapd, vassal
from tests.system.empire import EmperorUnderTest, Kind


@pytest.fixture
def emperor() -> Iterator[EmperorUnderTest]:
    with EmperorUnderTest(Kind.OURS, Path(sys.prefix, "bin", "uwsgi")) as emperor:
        yield emperor


def test_a_real_application_is_served_changed_and_removed_through_entries(
    emperor: EmperorUnderTest, pushing: Slapd
) -> None:
    application = Application(emperor)
    base = pushing.add_base()

    login = f"bindname={ADMIN.replace(',', '%2C')},x-bindpw={PASSWORD}"
    emperor.start(monitors=[f"ldap://{pushing.address}/{base}??one??{login}"])
    options: dict[str, str | list[str]] = {
        "master": "TRUE",
        "httpSocket": f"127.0.0.1:{application.port}",
        "pythonPath": str(emperor.folder),
        "set": ["more=!", "answer=first%(more)"],
    }
    pushing.add(f"cn=shop,{base}", vassal("shop", **options) | {"uWSGImodule": "application"})
    application.wait_for("first!")
    pid = emperor.wait_vassal("shop.ini", ready=1)["pid"]
    for number in range(2):
        pushing.modify(f"cn=shop,{base}", {"uWSGIset": ["more=.", f"answer=number {number}%(more)"]})
        application.wait_for(f"number {number}.")
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
