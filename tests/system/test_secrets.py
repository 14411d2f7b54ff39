"""No password of a source is shown: not by ps, not in the log, not in the statistics, not in a complaint."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.system.empire import PATIENCE, EmperorUnderTest, Kind, command_of

SECRET = "geheim"

SOURCES = [
    f"pg://host=127.0.0.1 port=1 user=me password={SECRET} dbname=x;SELECT name, config, ts FROM vassals",
    f"pg://postgresql://me:{SECRET}@127.0.0.1:1/x;SELECT name, config, ts FROM vassals",
    f"amqp://me:{SECRET}@127.0.0.1:1/vhost",
    f"mongodb://me:{SECRET}@127.0.0.1:1/x.y",
    f"mongodb2://addr=127.0.0.1:1,username=me,password=a {SECRET},collection=x.y",
    f"ldap://127.0.0.1:1/dc=x??sub?(objectClass=*)?bindname=cn=me,x-bindpw={SECRET}",
]


@pytest.mark.parametrize("how", ["--emperor X", "--emperor=X", "X", "config"])
def test_an_emperor_that_runs_shows_no_password(emperor: EmperorUnderTest, how: str) -> None:
    config = emperor.folder / "emperor.json"
    config.write_text(json.dumps({"uwsgi": {"emperor": SOURCES}}))
    match how:
        case "--emperor X":
            options = [word for source in SOURCES for word in ("--emperor", source)]
        case "--emperor=X":
            options = [f"--emperor={source}" for source in SOURCES]
        case "X":
            options = SOURCES
        case _:
            options = ["--json", str(config)]
    emperor.start(*options, "--log-level", "debug", "--env", "LATIN=\udce4", monitors=[], frequency=0.1)
    emperor.wait(lambda: all(monitor["last_error"] for monitor in emperor.stats()["monitors"]), "who answers there?")
    process = Path(f"/proc/{emperor.pid}")
    title = process.joinpath("cmdline").read_bytes()
    shown = [title, process.joinpath("comm").read_bytes(), str(emperor.stats()).encode()]
    shown += [path.read_bytes() for path in process.glob("task/*/com*")]
    assert b"--emperor-stats" in title, "all else can still be read"
    assert process.joinpath("comm").read_text() == "emperor-trio\n", "it is still found by its name"
    assert len(emperor.stats()["monitors"]) == len(SOURCES)
    assert emperor.stop() == 0
    shown.append(emperor.log_path.read_bytes())
    assert [text for text in shown if SECRET.encode() in text] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--emperor", f"nowhere://me:{SECRET}@host/x"],
        ["--emperor", f"amqp://me:{SECRET}@127.0.0.1:port/vhost"],
        ["--emperor", f"amqp://me:{SECRET}@127.0.0.1:1/vhost"] * 2,
        ["--emperor", f"pg://host=127.0.0.1 password='{SECRET} and more"],
        ["--emperor", f"mongodb2://addr=127.0.0.1:1,password=a {SECRET}"],
        ["--emperor", f"mongodb2://addr=127.0.0.1:1,password=a {SECRET},collection=\udcff"],
        ["--emperor", f"ldap://127.0.0.1:1/?x?y?z?bindname=cn=me,x-bindpw={SECRET}"],
        ["--emperor", f"pg://host=127.0.0.1 passwort={SECRET}"],
        ["--emperor", f"pg://postgresql://127.0.0.1/x?pasword={SECRET}"],
        ["--emperor", f"mongodb2://addr=127.0.0.1:1,pasword={SECRET}"],
        ["--emperor", f"ldap://127.0.0.1:1/dc=x????bindname=cn=me,x-bindpwd={SECRET}"],
        [f"host=127.0.0.1 password={SECRET}"],
        [f"folder/that/is/none?password={SECRET}.ini", "--emperor-freq", "0"],
        ["--emperor", ".", "--emperor-stats", f"amqp://me:{SECRET}@host:port"],
        ["--emperor", ".", "--env", f"=pg://me:{SECRET}@host"],
        ["--emperor", ".", "--master=no", "--http", f"http://me:{SECRET}@host"],
        ["--emperor", ".", f"--emperor-no-blacklist=mongodb2://addr=h,password=a {SECRET}"],
        ["--emperor", ".", f"--emperor-freq=mongodb2://addr=h,password=a {SECRET}"],
        ["--emperor", ".", f"--no-such-option=amqp://me:{SECRET}@host"],
        ["version", f"amqp://me:{SECRET}@host"],
        ["help", f"nowhere://me:{SECRET}@host"],
        ["--ini", "emperor.ini"],
        ["--yaml", "emperor.yaml"],
        ["--json", "emperor.json"],
    ],
    ids=" ".join,
)
def test_what_is_complained_about_shows_no_password(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "emperor.ini").write_text(f"[uwsgi]\nfrequ = mongodb2://addr=h,password=a {SECRET}\n")
    (tmp_path / "emperor.yaml").write_text(f"uwsgi:\n  emperor: amqp://me:{SECRET}@host\n  x: [\n")
    (tmp_path / "emperor.json").write_text(f'{{"uwsgi": {{"emperor": "amqp://me:{SECRET}@host" "x"}}}}')
    refused = subprocess.run(
        [*command_of(Kind.OURS), *arguments],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
    )
    assert refused.returncode == 2, refused.stderr
    assert refused.stderr
    assert SECRET.encode() not in refused.stderr + refused.stdout
