"""A plain HTTP or HTTPS server in threads, whose answers are set by the test, wrong ones included."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Misbehave = Callable[[BaseHTTPRequestHandler], None]


class Pages:
    """``at`` gives an answer to each path: a body (200), a status, or something that writes what it likes.

    ``asked`` has every request so far: its path, and the ETag that was quoted. With ``tags`` answers carry an ETag.
    """

    def __init__(self) -> None:
        self.at: dict[str, bytes | int | Misbehave] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.headers: list[dict[str, str]] = []
        self.tags = True
        self.extra: dict[str, str] = {}
        self.port = 0
        self.scheme = "http"

    def url(self, path: str) -> str:
        host = "localhost" if self.scheme == "https" else "127.0.0.1"
        return f"{self.scheme}://{host}:{self.port}{path}"

    def count(self, path: str) -> int:
        return sum(asked == path for asked, _ in list(self.asked))


@contextmanager
def serve_pages(context: ssl.SSLContext | None = None) -> Iterator[Pages]:
    """A server for as long as the block lasts; over TLS where there is a ``context``."""
    pages = Pages()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20

        def do_GET(self) -> None:
            quoted = self.headers.get("If-None-Match")
            pages.asked.append((self.path, quoted))
            pages.headers.append(dict(self.headers))
            answer = pages.at.get(self.path, 404)
            if callable(answer):
                self.close_connection = True
                answer(self)
                return
            status, body = (200, answer) if isinstance(answer, bytes) else (answer, b"")
            tag = f'"{hash(body):x}"'
            if status == 200 and pages.tags and quoted == tag:
                status, body = 304, b""
            self.send_response(status)
            for name, value in pages.extra.items():
                self.send_header(name, value)
            if pages.tags:
                self.send_header("ETag", tag)
            if status != 304:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Clients leave whenever they like."""

        def finish_request(self, request: Any, client_address: Any) -> None:
            if context is not None:  # here and not at the listener: a handshake must not block the others
                with suppress(OSError):
                    request = context.wrap_socket(request, server_side=True)
                    super().finish_request(request, client_address)
                    request.close()
                return
            super().finish_request(request, client_address)

    with Server(("127.0.0.1", 0), Handler) as server:
        pages.port = server.server_address[1]
        pages.scheme = "http" if context is None else "https"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield pages
        finally:
            server.shutdown()
            thread.join()
