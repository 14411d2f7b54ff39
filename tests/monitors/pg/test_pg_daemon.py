"""The whole of it: our daemon, a real PostgreSQL with a login, and a real uWSGI that serves what a row says."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from emperor_trio.cli.pg_trigger import trigger_sql
from tests.monitors.pg.support import Table
from tests.support.application import Application
from tests.support.vassal import vassal_config
from tests.system.empire import EmperorUnderTest, Kind, ask, free_port

SECRET = "s3cret; word"


@pytest.fixture
def emperor() -> Iterator[EmperorUnderTest]:
    """Its vassals are real uWSGI."""
    with EmperorUnderTest(Kind.OURS, Path(sys.prefix, "bin", "uwsgi")) as emperor:
        yield emperor


@pytest.fixture
def login(table: Table) -> Iterator[str]:
    """The connection string of someone with a password, who may only read the table."""
    table.sql(f"CREATE ROLE reader LOGIN PASSWORD '{SECRET}'")
    table.sql(f"GRANT SELECT ON {table.name} TO reader")
    table.server.let_in("scram-sha-256")
    yield f"host=127.0.0.1 port={table.server.port} user=reader password='{SECRET}' dbname=postgres"
    table.server.let_in("trust")
    table.sql("DROP OWNED BY reader")
    table.sql("DROP ROLE reader")


def test_a_real_application_is_served_as_each_of_its_configs_says(
    emperor: EmperorUnderTest, table: Table, login: str
) -> None:
    """Nothing is polled: it is the trigger that tells. uWSGI's own emperor serves the third config after the fifth."""
    application = Application(emperor)
    table.sql(trigger_sql(table.name))

    def put(answer: str) -> None:
        table.put("app.ini", application.config(answer))

    put("first")
    emperor.start(monitors=[f"pg://{login} listen=vassals;{table.query()}"], frequency=600)
    application.wait_for("first")
    pid = emperor.wait_vassal("app.ini", ready=1)["pid"]
    for number in range(1, 6):
        put(f"number-{number}")
        application.wait_for(f"number-{number}")
    vassal = emperor.wait_vassal("app.ini", respawns=5)
    assert vassal["pid"] == pid, "reloaded, not replaced"
    for number in range(1, 6):
        put(f"burst-{number}")
    application.wait_for("burst-5")

    shown = [emperor.log(), json.dumps(emperor.stats())]
    shown += [Path(f"/proc/{process}/cmdline").read_text() for process in emperor.processes()]
    assert "password=***" in emperor.log()
    assert not [text for text in shown if "s3cret" in text or "word'" in text]

    table.remove("app.ini")
    emperor.wait_gone("app.ini")
    assert application.get() == ""
    assert emperor.stop() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may start vassals as others")
def test_tyrant_and_on_demand(vassal_binary: Path, table: Table) -> None:
    with EmperorUnderTest(Kind.OURS, vassal_binary) as emperor:
        config = vassal_config({"report": emperor.report.path, "serve": 9})
        plain = vassal_config({"report": emperor.report.path})
        port = free_port()
        table.put("none.ini", plain)
        table.put("half.ini", plain, uid=65534)
        table.put("root.ini", plain, uid=0, gid=0)
        table.put("mine.ini", plain, uid=65534, gid=65534)
        table.put("waits.ini", config, uid=65534, gid=65534, socket=f"127.0.0.1:{port}")
        columns = "name,config,ts,uid,gid,socket"
        emperor.start("--emperor-tyrant", monitors=[f"pg://{table.argument(columns)}"])
        emperor.wait_vassal("mine.ini", ready=1, uid=65534, gid=65534)
        assert emperor.wait_vassal("waits.ini", on_demand=f"127.0.0.1:{port}")["pid"] == -1
        assert ask(port) == emperor.wait_vassal("waits.ini", ready=1)["pid"]
        for name in ("none.ini", "half.ini", "root.ini"):
            emperor.wait_logged(f"'{name}' refused: ")
            assert emperor.vassal(name) is None
        assert {entry["uid"] for entry in emperor.reported("start")} == {65534}
