"""Real uWSGI: Debian's, and the one from PyPI."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from emperor_trio.law.protocol import Order
from emperor_trio.model import VassalId, VassalSpec
from tests.processes.conftest import MakeCourt
from tests.processes.support import PATIENCE, Court
from tests.support.vassal import is_alive, wait_until

PYUWSGI = Path(sys.executable).parent / "uwsgi"
UWSGI = shutil.which("uwsgi-core")

APPLICATION = """
import os
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [VERSION, b" ", str(os.getppid()).encode()]
"""


@pytest.fixture
def reap() -> str:
    """One way is enough here."""
    return "pidfd"


@pytest.fixture
def port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        number = taken.getsockname()[1]
        assert isinstance(number, int)
        return number


async def get(port: int) -> bytes:
    """One request; its body."""
    with trio.fail_after(PATIENCE):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(b"GET / HTTP/1.0\r\n\r\n")
            answer = b"".join([chunk async for chunk in stream])
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.0 200", b"HTTP/1.1 200")), answer
    return body


def config(port: int, application: Path, **options: Any) -> bytes:
    lines = {
        "http-socket": f"127.0.0.1:{port}",
        "wsgi-file": application,
        "master": "true",
        "disable-logging": "true",
        **options,
    }
    return ("[uwsgi]\n" + "".join(f"{key} = {value}\n" for key, value in lines.items())).encode()


async def under_load(port: int, during: Callable[[], Awaitable[None]]) -> list[bytes]:
    """All answers that clients got meanwhile; a refused or broken request is an error."""
    answers: list[bytes] = []

    async def client() -> None:
        while True:
            answers.append(await get(port))

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(client)
        await during()
        nursery.cancel_scope.cancel()
    return answers


@pytest.mark.parametrize("way", ["byte", "signal"])
@pytest.mark.parametrize("sent", [False, True])
async def test_pyuwsgi_reloads_gracefully_out_of_the_box(
    make_court: MakeCourt, folder: Path, port: int, way: str, sent: bool
) -> None:
    """Same process, no refused or broken request: a console script would come back as the base interpreter."""
    court = await make_court(binary=PYUWSGI)
    application = folder / "app.py"
    application.write_text(APPLICATION.replace("VERSION", "b'0'"))
    text = config(port, application)  # one worker: uWSGI may lose an order that comes before the second is up
    (folder / "one.ini").write_bytes(text)
    subject = court.spawn(VassalSpec("one.ini", 1, config=text if sent else None, directory=str(folder)))
    await subject.ear.bytes(b"\1\5")

    async def reload_twice() -> None:
        for version in (1, 2):
            await trio.sleep(0.1)
            application.write_text(APPLICATION.replace("VERSION", f"b'{version}'"))
            accepting = subject.ear.heard.count(5)
            if sent:
                assert subject.process.send_config(text)
            if way == "byte":
                assert subject.process.send(Order.RELOAD)
            else:
                os.kill(subject.pid, signal.SIGHUP)
            await subject.ear.until(lambda: subject.ear.heard.count(5) > accepting)  # noqa: B023

    answers = await under_load(port, reload_twice)
    master = str(subject.pid).encode()
    assert {answer.split()[1] for answer in answers} == {master}
    assert await get(port) == b"2 " + master
    assert not subject.process.has_unread_config()
    await stop(subject.process, subject.ear.exit_code)


async def stop(process: Any, exit_code: Callable[[], Awaitable[int]]) -> None:
    assert process.send(Order.STOP)
    assert await exit_code() == 0


@pytest.mark.skipif(UWSGI is None, reason="needs Debian's uwsgi-core")
async def test_uwsgi_takes_its_config_from_the_pipe_and_dies_whole(
    make_court: MakeCourt, folder: Path, port: int
) -> None:
    court = await make_court(binary=UWSGI, sets=("processes=2",))
    text = b"[uwsgi]\nmaster = true\nsocket = 127.0.0.1:%d\n" % port
    subject = court.spawn(VassalSpec("no-such-file.ini", 1, config=text, directory=str(folder)))
    await subject.ear.bytes(b"\1\5")
    workers = [int(pid) for pid in Path(f"/proc/{subject.pid}/task/{subject.pid}/children").read_text().split()]
    assert len(workers) == 2
    subject.process.kill()
    assert await subject.ear.exit_code() == -9
    await trio.to_thread.run_sync(wait_until, lambda: not any(map(is_alive, workers)))


@pytest.mark.skipif(UWSGI is None, reason="needs Debian's uwsgi-core")
async def test_uwsgi_runs_magic_configs(make_court: MakeCourt, folder: Path, port: int) -> None:
    court = await make_court(binary=UWSGI)
    magic = folder / "magic.ini"
    magic.write_text(f"#!/bin/sh\necho [uwsgi]\necho socket=127.0.0.1:{port}\n")
    magic.chmod(0o755)
    for name, directory in (("magic.ini", str(folder)), (str(magic), None)):
        subject = court.spawn(VassalSpec(name, 1, executable=True, directory=directory))
        await subject.ear.bytes(b"\1\5")
        await stop(subject.process, subject.ear.exit_code)


async def test_pyuwsgi_serves_on_demand(make_court: MakeCourt, folder: Path) -> None:
    court: Court = await make_court(binary=PYUWSGI)
    application = folder / "app.py"
    application.write_text(APPLICATION.replace("VERSION", "b'0'"))
    (folder / "one.ini").write_text(f"[uwsgi]\nhttp-socket = fd://0\nwsgi-file = {application}\nmaster = true\n")
    spec = VassalSpec("one.ini", 1, directory=str(folder))
    listener = await court.spawner.listen(VassalId("m", "one.ini"), spec, "127.0.0.1:0")
    port = int(listener.address.rpartition(":")[2])
    rung = trio.Event()
    listener.arm(rung.set)
    answers: list[bytes] = []

    async def ask() -> None:
        answers.append(await get(port))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await rung.wait()
        subject = court.spawn(spec, listener=listener)
    assert answers == [b"0 " + str(subject.pid).encode()]
    await stop(subject.process, subject.ear.exit_code)
    listener.close()
