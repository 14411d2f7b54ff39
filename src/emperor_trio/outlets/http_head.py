"""One request of HTTP/1.1 that asks for something and brings nothing: its head, read strictly, and the answer to it.

h11 knows the grammar. What is ambiguous, or what h11 itself would spend long on, is refused before it: lines that do
not end in CRLF, folded lines, control characters, more lines or bytes than any browser sends, and bodies of any kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import h11
import trio

HEAD_LIMIT = 16 * 1024
"""Bytes of a request's head, its blank line included."""

MOST_LINES = 100
"""Lines of a request's head."""

IDLE_LIMIT = 15.0
"""Seconds until the first byte of a request."""

HEAD_TIME = 5.0
"""Seconds from then to the end of its head."""

PIECE = 64 * 1024
"""Bytes of an answer that are handed to the system at once."""

PIECE_TIME = 5.0
"""Seconds in which a reader has to take one."""

TEXT = "text/plain; charset=utf-8"

SAFETY = (
    (
        "Content-Security-Policy",
        "; ".join(
            (
                "default-src 'none'",
                "script-src 'self'",
                "style-src 'self'",
                "connect-src 'self'",
                "img-src 'self' data:",
                "base-uri 'none'",
                "frame-ancestors 'none'",
                "form-action 'none'",
            )
        ),
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
"""On every answer. Access-Control-Allow-Origin is on none: other sites' pages may not read a thing."""

# Each line begins with a visible character (it continues none before it), and holds no control character but tabs.
_HEAD = re.compile(rb"(?:[!-~][^\x00-\x08\x0a-\x1f\x7f]*\r\n)+\r\n")
_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: ``kind`` is its content type. ``close`` ends the connection behind it."""

    status: int
    body: bytes = b""
    kind: str = TEXT
    headers: tuple[tuple[str, str], ...] = ()
    cache: str = "no-store"
    close: bool = False

    @classmethod
    def saying(cls, status: int, text: str, *headers: tuple[str, str]) -> Answer:
        """A short text."""
        return cls(status, f"{text}\n".encode(), headers=headers)


class Refusal(Exception):
    """The request is refused with this answer. ``close`` says that nothing behind it can be trusted."""

    def __init__(self, status: int, text: str, *headers: tuple[str, str], close: bool = False) -> None:
        super().__init__(text)
        self.answer: Answer = Answer(status, f"{text}\n".encode(), headers=headers, close=close)


class TooSlow(Exception):
    """The reader takes its answer too slowly, and is let go."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was understood. Names of headers are in lower case; ``path`` is as it came, without the query."""

    method: str
    path: str
    version: str
    headers: tuple[tuple[str, str], ...]
    wire: h11.Connection = field(default_factory=lambda: h11.Connection(h11.SERVER), repr=False, compare=False)

    def all(self, name: str) -> list[str]:
        """The values of all headers of this name."""
        return [value for key, value in self.headers if key == name]

    def one(self, name: str) -> str | None:
        """The value of a header that may be there once. Raises :class:`Refusal` (400) where it is there twice."""
        values = self.all(name)
        if len(values) > 1:
            raise Refusal(400, f"more than one header {name}", close=True)
        return values[0] if values else None

    def words(self, name: str) -> list[str]:
        """The parts of a header that is a list with commas between, or of several such."""
        parts = (part.strip() for value in self.all(name) for part in value.split(","))
        return [part for part in parts if part]


def parse(head: bytes) -> Request:
    """A head with its blank line. Raises :class:`Refusal`, after which the connection is to be closed."""
    if head.count(b"\n") > MOST_LINES + 1:
        raise Refusal(431, f"more than {MOST_LINES} lines of headers", close=True)
    if not _HEAD.fullmatch(head):
        raise Refusal(400, "this is no request of HTTP/1.1", close=True)
    wire = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)
    wire.receive_data(head)
    try:
        found = wire.next_event()
    except h11.RemoteProtocolError as error:
        status = error.error_status_hint if error.error_status_hint in (400, 431, 501) else 400
        raise Refusal(status, "this is no request of HTTP/1.1", close=True) from None
    if not isinstance(found, h11.Request):
        raise Refusal(400, "this is no request of HTTP/1.1", close=True)
    if found.http_version not in (b"1.0", b"1.1"):
        raise Refusal(505, "HTTP/1.1 is spoken here", close=True)
    headers = tuple((name.decode("ascii"), value.decode("latin-1")) for name, value in found.headers)
    target = found.target.decode("ascii")
    request = Request(
        found.method.decode("ascii"), target.partition("?")[0], found.http_version.decode(), headers, wire
    )
    if request.method not in ("GET", "HEAD"):
        raise Refusal(405, "only GET and HEAD are answered here", ("Allow", "GET, HEAD"), close=True)
    if request.all("transfer-encoding") or any(length.strip("0") for length in request.all("content-length")):
        raise Refusal(400, "no request here has a body", close=True)
    if not target.startswith("/"):
        raise Refusal(400, "this is no proxy: a request names a path that begins with /", close=True)
    return request


async def read_head(stream: trio.abc.ReceiveStream, unread: bytearray) -> bytes | None:
    """The next head, ``None`` where the client leaves or is silent for too long. What comes behind it stays ``unread``.

    Raises :class:`Refusal` for one that is too long, too slow or no HTTP at all.
    """
    sought = 0
    with trio.move_on_after(HEAD_TIME if unread else IDLE_LIMIT) as limit:
        while True:
            end = unread.find(_END, max(sought - len(_END), 0))
            if end >= 0 and end + len(_END) <= HEAD_LIMIT:
                head = bytes(unread[: end + len(_END)])
                del unread[: len(head)]
                return head
            if len(unread) >= HEAD_LIMIT:
                raise Refusal(431, f"more than {HEAD_LIMIT} bytes of headers", close=True)
            if unread and not b"A" <= unread[:1] <= b"Z":
                raise Refusal(400, "this port speaks HTTP, and no TLS", close=True)
            sought = len(unread)
            data = await stream.receive_some(4096)
            if not data:
                return None
            if not unread:
                limit.deadline = trio.current_time() + HEAD_TIME
            unread += data
    if unread:
        raise Refusal(408, f"no whole request within {HEAD_TIME:g} seconds", close=True)
    return None


async def send(stream: trio.abc.SendStream, request: Request | None, answer: Answer) -> bool:
    """Send the answer; whether another request may follow. ``request`` is ``None`` where it was not understood.

    Raises :class:`TooSlow` as soon as a reader takes less than a piece in its time.
    """
    wire = request.wire if request is not None else h11.Connection(h11.SERVER)
    response = h11.Response(status_code=answer.status, headers=_headers(answer), reason=_REASONS[answer.status])
    start = wire.send(response) or b""
    body = memoryview(b"" if request is not None and request.method == "HEAD" else answer.body)
    rest = max(PIECE - len(start), 0)
    await _send_piece(stream, start + bytes(body[:rest]))
    for at in range(rest, len(body), PIECE):
        await _send_piece(stream, body[at : at + PIECE])
    return not answer.close and request is not None and _keeps(request)


def _keeps(request: Request) -> bool:
    return request.version == "1.1" and "close" not in map(str.lower, request.words("connection"))


def _headers(answer: Answer) -> list[tuple[str, str]]:
    headers = [*SAFETY, ("Cache-Control", answer.cache), *answer.headers]
    if answer.status != 304:
        headers += [("Content-Type", answer.kind), ("Content-Length", str(len(answer.body)))]
    if answer.close:
        headers.append(("Connection", "close"))
    return headers


async def _send_piece(stream: trio.abc.SendStream, piece: bytes | memoryview) -> None:
    with trio.move_on_after(PIECE_TIME) as limit:
        await stream.send_all(piece)
    if limit.cancelled_caught:
        raise TooSlow


_REASONS = {
    200: "OK", 304: "Not Modified", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 408: "Request Timeout", 421: "Misdirected Request", 426: "Upgrade Required",
    429: "Too Many Requests", 431: "Request Header Fields Too Large", 500: "Internal Server Error",
    501: "Not Implemented", 503: "Service Unavailable", 505: "HTTP Version Not Supported",
}  # fmt: skip


class Replayed(trio.abc.Stream):
    """A stream that first gives ``before``, which was read from it, or stands for what was."""

    def __init__(self, stream: trio.SocketStream, before: bytes) -> None:
        self._stream = stream
        self._before = before

    @property
    def socket(self) -> trio.socket.SocketType:
        return self._stream.socket

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if not self._before:
            return await self._stream.receive_some(max_bytes)
        await trio.lowlevel.checkpoint()
        data, self._before = self._before[:max_bytes], self._before[max_bytes:] if max_bytes else b""
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


def websocket_head(request: Request, host: str, key: str, subprotocols: Iterable[str]) -> bytes:
    """The request to become a websocket, reduced to what the handshake needs: no token in it, nothing odd."""
    lines = [
        f"GET {request.path} HTTP/1.1",
        f"Host: {host}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
        *(f"Sec-WebSocket-Protocol: {name}" for name in subprotocols),
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii")
