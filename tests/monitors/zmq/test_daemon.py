"""The whole daemon with commands over ZeroMQ: real applications, restarts, owners, keys, and the page's quick start."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import zmq
import zmq.auth

from tests.monitors.zmq.conftest import Pushers
from tests.support.servers.common import free_port
from tests.support.vassal import Setting, is_alive, vassal_config
from tests.system.empire import EmperorUnderTest, Kind, ask, wait_until

PYUWSGI = Path(sys.executable).parent / "uwsgi"
PAGE = Path(__file__).parents[3] / "docs" / "monitors" / "zmq.md"

APPLICATION = """
import uwsgi

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [uwsgi.opt["application-version"]]
"""

Say = Callable[..., None]


@pytest.fixture
def emperor(vassal_binary: Path) -> Iterator[EmperorUnderTest]:
    with EmperorUnderTest(Kind.OURS, vassal_binary) as emperor:
        yield emperor


@pytest.fixture
def say(endpoint: str, pushers: Pushers) -> Say:
    push = pushers(endpoint)

    def send(*frames: str) -> None:
        push.send_multipart([frame.encode() for frame in frames])

    return send


@pytest.fixture
def state(emperor: EmperorUnderTest) -> Path:
    """A state file in a folder of its own: the emperor's, in these tests, is open to everyone."""
    folder = emperor.folder / "kept"
    folder.mkdir(mode=0o700)
    return folder / "state"


def get(port: int) -> str | None:
    """What the application answers; ``None`` where it does not."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def test_a_real_application_is_served_as_sent_and_comes_back(
    emperor: EmperorUnderTest, say: Say, endpoint: str, state: Path
) -> None:
    port = free_port()
    (emperor.folder / "app.py").write_text(APPLICATION)
    settings: dict[str, Setting] = {
        "http-socket": f"127.0.0.1:{port}",
        "wsgi-file": emperor.folder / "app.py",
        "master": True,
        "need-app": True,
        "disable-logging": True,
    }

    def start() -> None:
        emperor.start("--emperor-state", state, monitors=[f"zmq://{endpoint}"], binary=PYUWSGI)

    start()
    for version in range(1, 6):
        accepted = emperor.vassal("app.ini")
        say("touch", "app.ini", vassal_config({**settings, "application-version": version}))
        emperor.wait(lambda: get(port) == str(version), f"version {version} is not served")  # noqa: B023
        assert accepted is None or accepted["pid"] == emperor.wait_vassal("app.ini", accepting=1)["pid"]
    vassal = emperor.wait_vassal("app.ini", accepting=1)
    assert (vassal["respawns"], vassal["monitor"]) == (4, f"zmq://{endpoint}")

    before = emperor.processes()
    emperor.send_signal(signal.SIGKILL)
    emperor.exit_code()
    wait_until(lambda: not any(map(is_alive, before)), lambda: f"alive without their emperor: {before}")
    start()
    emperor.wait(lambda: get(port) == "5", "the application is not back")
    assert emperor.vassal("app.ini") != vassal

    say("destroy", "app.ini")
    emperor.wait_gone("app.ini")
    assert get(port) is None
    assert emperor.stop() == 0
    start()
    assert emperor.stats()["vassals"] == []


def test_thousands_come_back_after_a_kill_in_the_middle(
    emperor: EmperorUnderTest, say: Say, endpoint: str, state: Path
) -> None:
    """What had been committed is there, whole, and nothing else; then what was sent last is in place."""
    emperor.start("--emperor-state", state, "--log-level", "warning", monitors=[f"zmq://{endpoint}"])
    on_demand = str(emperor.folder / "s")
    for number in range(2000):  # on demand: none of them has a process
        say("touch", f"{number}.ini", f"[uwsgi]\nnumber = {number}\n", "", "", f"{on_demand}{number}")
        if number == 1000:
            emperor.wait(lambda: len(emperor.stats()["vassals"]) > 100)
            emperor.send_signal(signal.SIGKILL)
            emperor.exit_code()
            break
    emperor.start("--emperor-state", state, "--log-level", "warning", monitors=[f"zmq://{endpoint}"])
    for number in range(2000):
        say("touch", f"{number}.ini", f"[uwsgi]\nnumber = {number}\n", "", "", f"{on_demand}{number}")
    emperor.wait(lambda: len(emperor.stats()["vassals"]) == 2000)
    assert "refused" not in emperor.log()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to run vassals as others")
def test_owners_and_sockets_come_along(emperor: EmperorUnderTest, say: Say, endpoint: str) -> None:
    emperor.start("--emperor-tyrant", monitors=[f"zmq://{endpoint}"])

    def touch(name: str, *rest: str) -> None:
        say("touch", name, vassal_config({"report": emperor.report.path, "serve": 9}), *rest)

    touch("none.ini")
    emperor.wait_logged("'none.ini' refused: uid is missing, and Tyrant mode needs uid and gid")
    touch("root.ini", "0", "0")
    emperor.wait_logged("'root.ini' refused: owner 0:0: Tyrant mode runs nothing as root")

    touch("a.ini", "65534", "65534")
    emperor.wait_vassal("a.ini", uid=65534, gid=65534, accepting=1)
    touch("a.ini", "65533", "65534")
    emperor.wait_vassal("a.ini", uid=65533, accepting=1)
    starts = emperor.reported("start", "emperor://a.ini")
    assert [(start["uid"], start["gid"], start["groups"]) for start in starts] == [
        (65534, 65534, []),
        (65533, 65534, []),
    ]

    port = free_port()
    touch("b.ini", "65534", "65534", f"127.0.0.1:{port}")
    emperor.wait_vassal("b.ini", on_demand=f"127.0.0.1:{port}", pid=-1)
    assert ask(port) == emperor.wait_vassal("b.ini", accepting=1)["pid"]
    touch("b.ini", "65534", "65534")
    emperor.wait_vassal("b.ini", on_demand="", accepting=1)
    assert {vassal["id"] for vassal in emperor.stats()["vassals"]} == {"a.ini", "b.ini"}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become someone else")
def test_keys_are_read_before_the_privileges_go(emperor: EmperorUnderTest, endpoint: str, pushers: Pushers) -> None:
    public, secret = zmq.auth.create_certificates(emperor.folder, "emperor")
    Path(secret).chmod(0o600)
    kept = emperor.folder / "kept"
    kept.mkdir()
    os.chown(kept, 65534, 65534)
    emperor.start(
        "--uid", "65534", "--gid", "65534", "--emperor-zmq-curve-key", secret, "--emperor-state", kept / "state",
        monitors=[f"zmq://{endpoint}"],
    )  # fmt: skip
    own, private = zmq.curve_keypair()
    server, _ = zmq.auth.load_certificate(public)
    with suppress(zmq.Again):  # whoever was shown the door already would wait for ever
        pushers(endpoint).send_multipart([b"touch", b"plain.ini", b"[uwsgi]\n"], zmq.NOBLOCK)
    push = pushers(endpoint, curve_publickey=own, curve_secretkey=private, curve_serverkey=server)
    push.send_multipart([b"touch", b"a.ini", b"[uwsgi]\n"])
    emperor.wait_running("a.ini")
    hidden = zmq.auth.load_certificate(secret)[1]
    assert hidden is not None
    assert hidden.decode() not in emperor.log()


def test_a_port_in_use_is_waited_for(emperor: EmperorUnderTest, say: Say, endpoint: str) -> None:
    with zmq.Context() as library, library.socket(zmq.PULL) as other:
        other.bind(endpoint)
        emperor.start(monitors=[f"zmq://{endpoint}"])
        emperor.wait_logged("another program listens there: end it, or name another port; vassals stay as they are")
        (monitor,) = emperor.stats()["monitors"]
        assert "another program listens there" in str(monitor)
    say("touch", "a.ini", "[uwsgi]\n")
    emperor.wait_running("a.ini")
    assert emperor.log().count("another program listens there") == 1


def test_the_pages_quick_start(emperor: EmperorUnderTest, endpoint: str) -> None:
    emperor.start(monitors=[f"zmq://{endpoint}"])
    snippet = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
    assert snippet.count("tcp://127.0.0.1:5252") == 1
    subprocess.run([sys.executable, "-c", snippet.replace("tcp://127.0.0.1:5252", endpoint)], check=True, timeout=60)
    emperor.wait_running("foo.ini")
