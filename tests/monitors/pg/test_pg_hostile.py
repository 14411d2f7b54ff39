"""Servers in PostgreSQL's place that never end what they say: the monitor gives them up, and keeps nothing of it."""

from __future__ import annotations

import struct

import pytest
import trio

from emperor_trio.monitors import _pg_link
from tests.monitors.pg.support import watching_rows

WELCOME = ((b"R", struct.pack("!i", 0)), (b"S", b"client_encoding\0UTF8\0"), (b"Z", b"I"))
ROW_OF_A_GIGABYTE = b"D" + struct.pack("!ihi", 1_000_000_000, 1, 999_999_990)


def message(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("!i", len(content) + 4) + content


def columns(*names: bytes) -> bytes:
    described = b"".join(name + b"\0" + struct.pack("!ihihih", 0, 0, 25, -1, -1, 0) for name in names)
    return message(b"T", struct.pack("!h", len(names)) + described)


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"", message(b"A", struct.pack("!i", 1) + b"vassals\0\0") * 1000),
        (b"", message(b"N", b"SNOTICE\0C00000\0Mhello\0\0") * 1000),
        (columns(b"name", b"config", b"ts") + ROW_OF_A_GIGABYTE, bytes(100_000)),
    ],
    ids=["notifications", "notices", "one row"],
)
async def test_an_answer_without_end(monkeypatch: pytest.MonkeyPatch, start: bytes, more: bytes) -> None:
    monkeypatch.setattr(_pg_link, "MOST_UNREAD", 3_000_000)
    sent = 0

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal sent
        try:
            await stream.receive_some()
            await stream.send_all(b"".join(message(*one) for one in WELCOME))
            await stream.receive_some()  # what is set up at first
            await stream.send_all(start)
            while True:
                await stream.send_all(more)
                sent += len(more)
        except trio.BrokenResourceError:
            pass
        finally:
            await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listener.socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        async with watching_rows(
            f"host=127.0.0.1 port={port} user=me dbname=x sslmode=disable gssencmode=disable"
        ) as watched:
            await watched.until(lambda: watched.failures)
        assert "3 MB" in str(watched.failures[0]) or "2 MB" in str(watched.failures[0])
        assert sent < 50_000_000
        nursery.cancel_scope.cancel()
