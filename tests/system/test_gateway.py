"""The gateway of a real emperor: what it serves and to whom, the channel behind it, and clients that mean no good."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from trio_websocket import open_websocket_url

from emperor_trio.control.messages import Command, Greeting, Refused, Selection, Verdicts, decode_answer, encode
from emperor_trio.model import Verb
from tests.system.empire import PATIENCE, EmperorUnderTest, Kind, command_of, free_port

OURS = command_of(Kind.OURS)[0]
TOKEN = "0123456789abcdef0123456789abcdef"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str


def exchange(port: int, request: bytes) -> bytes:
    """All that comes back for some bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def ask(port: int, head: str) -> Answer:
    data = exchange(port, head.replace("\n", "\r\n").encode("latin-1"))
    start, _, body = data.partition(b"\r\n\r\n")
    first, *lines = start.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Answer(int(first.split()[1]) if first else 0, headers, body.decode())


def get(port: int, path: str, host: str | None = None, more: str = "", method: str = "GET") -> Answer:
    host = f"127.0.0.1:{port}" if host is None else host
    return ask(port, f"{method} {path} HTTP/1.1\nHost: {host}\nConnection: close\n{more}\n")


@pytest.fixture
def port() -> int:
    return free_port()


def start(emperor: EmperorUnderTest, port: int, *options: str) -> None:
    emperor.add("a.ini")
    emperor.start("--gateway", f"127.0.0.1:{port}", *options)
    emperor.wait_running("a.ini")


def test_everything_that_it_serves(emperor: EmperorUnderTest, port: int) -> None:
    start(emperor, port)
    page = get(port, "/")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "unsafe" not in page.headers["content-security-policy"]
    assert page.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    assert get(port, "/", more=f"If-None-Match: {page.headers['etag']}\n").status == 304
    for path in ("/dashboard.js", "/dashboard.css"):
        assert get(port, path).status == 200
    assert (get(port, "/healthz").text.strip(), get(port, "/readyz").text.strip()) == ("alive", "ready")
    stats = json.loads(get(port, "/stats").text)
    assert [vassal["id"] for vassal in stats["vassals"]] == ["a.ini"]
    assert "emperor_vassals{" in get(port, "/metrics").text
    assert get(port, "/", method="HEAD").text == ""
    assert "access-control-allow-origin" not in {name for path in ("/", "/stats") for name in get(port, path).headers}


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ("GET /nothing HTTP/1.1\nHost: 127.0.0.1\n\n", 404),
        ("GET /../../etc/passwd HTTP/1.1\nHost: 127.0.0.1\n\n", 404),
        ("GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\nHost: 127.0.0.1\n\n", 404),
        ("POST / HTTP/1.1\nHost: 127.0.0.1\nContent-Length: 0\n\n", 405),
        ("DELETE /stats HTTP/1.1\nHost: 127.0.0.1\n\n", 405),
        ("GET / HTTP/1.1\nHost: evil.example\n\n", 421),
        ("GET / HTTP/1.1\nHost: 127.0.0.1.evil.example\n\n", 421),
        ("GET / HTTP/1.1\n\n", 400),
        ("GET / HTTP/1.1\nHost: localhost\nHost: evil.example\n\n", 400),
        ("GET / HTTP/1.1\nHost: localhost\nContent-Length: 5\n\nhello", 400),
        ("GET / HTTP/1.1\nHost: localhost\nTransfer-Encoding: chunked\n\n0\n\n", 400),
        ("GET / HTTP/1.1\nHost: localhost\nX: " + "y" * 20_000 + "\n\n", 431),
        ("GET /ws HTTP/1.1\nHost: localhost\n\n", 426),
        ("garbage\n\n", 400),
    ],
)
def test_what_it_refuses(emperor: EmperorUnderTest, port: int, request_: str, status: int) -> None:
    start(emperor, port)
    assert ask(port, request_).status == status
    assert get(port, "/healthz").status == 200


def test_names_of_its_own(emperor: EmperorUnderTest, port: int) -> None:
    start(emperor, port, "--gateway-host", "emperor.example", "--gateway-host", "*.lan.example")
    for host in ("localhost", "emperor.example", "a.lan.example:443", "[::1]", "127.0.0.1"):
        assert get(port, "/healthz", host).status == 200, host
    assert get(port, "/healthz", "other.example").status == 421


# --- the channel behind it ---


def converse(
    port: int, *, token: str = "", origin: str | None = None, scheme: str = "Bearer"
) -> tuple[Greeting, object]:
    """What the channel says, and whether it takes a command."""

    async def talk() -> tuple[Greeting, object]:
        headers = [(b"Authorization", f"{scheme} {token}".encode())] if token else []
        if origin is not None:
            headers.append((b"Origin", origin.encode()))
        with trio.fail_after(PATIENCE):
            async with open_websocket_url(f"ws://127.0.0.1:{port}/ws", extra_headers=headers) as channel:
                greeting = decode_answer(str(await channel.get_message()))
                assert isinstance(greeting, Greeting)
                await channel.send_message(encode(Command(1, Verb.RELOAD, Selection(("a.ini",)))))
                return greeting, decode_answer(str(await channel.get_message()))

    return trio.run(talk)


def knock(port: int, *, token: str, origin: str = "") -> int:
    """The status with which the channel is opened, or is not."""
    more = f"Origin: {origin}\n" if origin else ""
    return ask(
        port,
        f"GET /ws HTTP/1.1\nHost: 127.0.0.1:{port}\nConnection: Upgrade\nUpgrade: websocket\n"
        "Sec-WebSocket-Version: 13\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\n"
        f"Authorization: Bearer {token}\n{more}\n",
    ).status


@pytest.fixture
def token_file(emperor: EmperorUnderTest) -> Path:
    path = emperor.folder / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    return path


def test_the_token_gives_the_right_to_command(emperor: EmperorUnderTest, port: int, token_file: Path) -> None:
    start(emperor, port, "--gateway-token-file", str(token_file))
    greeting, answer = converse(port)
    assert not greeting.commands
    assert isinstance(answer, Refused)
    greeting, answer = converse(port, token=TOKEN)
    assert greeting.commands
    assert isinstance(answer, Verdicts)
    emperor.wait_vassal("a.ini", respawns=1)
    assert knock(port, token="fedcba9876543210fedcba9876543210") == 401
    emperor.wait_vassal("a.ini", respawns=1)


def test_pages_of_others_get_no_channel(emperor: EmperorUnderTest, port: int, token_file: Path) -> None:
    start(emperor, port, "--gateway-token-file", str(token_file))
    for origin in ("http://evil.example", "null", f"https://127.0.0.1:{port}.evil.example"):
        assert knock(port, token=TOKEN, origin=origin) == 403
    greeting, _ = converse(port, token=TOKEN, origin=f"http://127.0.0.1:{port}")
    assert greeting.commands


@pytest.mark.parametrize("flaw", ["readable", "short", "missing", "link"])
def test_a_token_file_that_others_can_read_is_refused(
    emperor: EmperorUnderTest, port: int, token_file: Path, flaw: str
) -> None:
    match flaw:
        case "readable":
            token_file.chmod(0o644)
        case "short":
            token_file.write_text("short")
        case "missing":
            token_file.unlink()
        case "link":
            token_file.rename(token_file.with_name("other"))
            token_file.symlink_to("/etc/passwd")
    done = subprocess.run(
        [OURS, str(emperor.vassals), "--control", "none", "--gateway", f"127.0.0.1:{port}", "--gateway-token-file",
         str(token_file), "--binary-path", str(emperor.binary)],
        capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 2
    assert "--gateway-token-file" in done.stderr


def test_a_port_that_is_taken_is_told_of(emperor: EmperorUnderTest) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [OURS, str(emperor.vassals), "--control", "none", "--gateway", f"127.0.0.1:{port}"],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    assert done.returncode == 2
    assert f"--gateway 127.0.0.1:{port}" in done.stderr


# --- clients that mean no good ---


@contextmanager
def crowd(port: int, number: int, said: bytes) -> Iterator[None]:
    """So many connections that have said this, and read nothing."""
    with ExitStack() as stack:
        for _ in range(number):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))
            with suppress(OSError):  # it had to make room already
                connection.sendall(said)
        yield


@pytest.mark.parametrize(
    "said",
    [b"", b"GET / HTTP/1.1\r\nHost: local", b"GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50, b"\x16\x03\x01"],
    ids=["silent", "slow", "reads nothing", "speaks TLS"],
)
def test_a_thousand_connections_hold_up_neither_vassals_nor_others(
    emperor: EmperorUnderTest, port: int, said: bytes
) -> None:
    start(emperor, port)
    before = len(os.listdir(f"/proc/{emperor.pid}/fd"))
    with crowd(port, 1000, said):
        for count in range(1, 4):
            emperor.touch("a.ini")
            emperor.wait_vassal("a.ini", respawns=count, ready=1)
        assert len(os.listdir(f"/proc/{emperor.pid}/fd")) < before + 300
        emperor.wait(lambda: get(port, "/healthz").status == 200, "others get no answer")
    emperor.wait(lambda: len(os.listdir(f"/proc/{emperor.pid}/fd")) <= before + 1, "descriptors leak")


def test_guesses_of_the_token_are_slowed_down(emperor: EmperorUnderTest, port: int, token_file: Path) -> None:
    start(emperor, port, "--gateway-token-file", str(token_file))
    until, guesses = time.monotonic() + 3, 0
    while time.monotonic() < until:
        assert knock(port, token=f"guess-number-{guesses}-of-many") == 401
        guesses += 1
    assert guesses < 300
    emperor.touch("a.ini")
    emperor.wait_vassal("a.ini", respawns=1)
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600


def test_guesses_of_others_do_not_keep_out_who_has_the_token(
    emperor: EmperorUnderTest, port: int, token_file: Path
) -> None:
    start(emperor, port, "--gateway-token-file", str(token_file))
    enough = threading.Event()

    def guess() -> None:
        while not enough.is_set():
            with contextlib.suppress(OSError):  # answers are slow, the last ones come after the emperor's end
                knock(port, token="fedcba9876543210fedcba9876543210")

    for _ in range(50):
        threading.Thread(target=guess, daemon=True).start()
    try:
        for _ in range(5):
            assert converse(port, token=TOKEN)[0].commands
    finally:
        enough.set()


def test_the_login_of_a_proxy_is_no_token(emperor: EmperorUnderTest, port: int, token_file: Path) -> None:
    """A proxy passes on the header with which it was logged in to."""
    start(emperor, port, "--gateway-token-file", str(token_file))
    for _ in range(15):
        greeting, answer = converse(port, token=TOKEN, scheme="Basic")
        assert not greeting.commands
        assert isinstance(answer, Refused)
