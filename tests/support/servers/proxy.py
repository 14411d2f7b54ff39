"""A TCP proxy in front of a private server, that misbehaves as networks and servers do.

It runs in a thread of its own, so that it goes on whatever the test's event loop does.
"""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

RESET = struct.pack("ii", 1, 0)


class Proxy:
    """``port`` forwards to ``target``, both on 127.0.0.1. Every knob may be turned at any time, from any thread."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.held = False
        """Hold everything back: connections are taken, nothing passes either way. What was held passes afterwards."""
        self.refuse = False
        """Reset every new connection at once."""
        self.drip = 0.0
        """Seconds of pause after each 512 bytes from the server."""
        self.cut_after = -1
        """Reset a connection when this many more bytes of the server's passed; -1 is never. Counts down, once."""
        self.connections = 0
        """How many connections were taken so far."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._servers: set[socket.socket] = set()
        self._lock = threading.RLock()
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def reset_all(self) -> None:
        """Reset every connection there is."""
        with self._lock:
            for end in list(self._pairs):
                self._close(end, reset=True)

    def _run(self) -> None:
        while not self._ended:
            with self._lock, selectors.DefaultSelector() as selector:
                selector.register(self._listener, selectors.EVENT_READ)
                if not self.held:
                    for end in self._pairs:
                        selector.register(end, selectors.EVENT_READ)
                ready = {key.fd for key, _ in selector.select(0.005)}
                if self._listener.fileno() in ready:
                    self._accept()
                for end in [end for end in self._pairs if end.fileno() in ready]:
                    if end in self._pairs:  # the one before may have closed it
                        self._pass(end)
            time.sleep(0.0005)

    def _accept(self) -> None:
        with suppress(OSError):
            client, _ = self._listener.accept()
            self.connections += 1
            if self.refuse:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                client.close()
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target), 5)
            except OSError:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                client.close()
                return
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pairs[client], self._pairs[server] = server, client
            self._servers.add(server)

    def _pass(self, end: socket.socket) -> None:
        other = self._pairs[end]
        from_server = end in self._servers
        try:
            data = end.recv(512 if from_server and (self.drip or self.cut_after >= 0) else 65536)
            if data and from_server and self.cut_after >= 0:
                data, self.cut_after = data[: self.cut_after], self.cut_after - len(data)
                if self.cut_after <= 0:
                    self.cut_after = -1
                    if data:
                        other.sendall(data)
                    self._close(end, reset=True)
                    return
            if not data:
                self._close(end)
                return
            other.sendall(data)
        except OSError:
            self._close(end, reset=True)
            return
        if from_server and self.drip:
            time.sleep(self.drip)

    def _close(self, end: socket.socket, *, reset: bool = False) -> None:
        for one in (end, self._pairs.get(end)):
            if one is None:
                continue
            self._pairs.pop(one, None)
            self._servers.discard(one)
            if reset:
                with suppress(OSError):
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            one.close()

    def _end(self) -> None:
        self._ended = True
        self._thread.join()
        self.reset_all()
        self._listener.close()


@contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    """A proxy to a port of 127.0.0.1, for as long as the block lasts."""
    middle = Proxy(target)
    middle._thread.start()
    try:
        yield middle
    finally:
        middle._end()
