"""What the tests of ``zmq://`` share: a port, monitors that run, and whoever sends them commands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import trio
import zmq

from emperor_trio.model import Snapshot
from emperor_trio.testing.conformance import Watched
from tests.monitors.support import PATIENCE, make_monitor
from tests.support.servers.common import free_port

Send = Callable[..., None]
Pushers = Callable[..., "zmq.Socket[bytes]"]
Watching = Callable[..., AbstractAsyncContextManager[Watched]]


@pytest.fixture
def endpoint() -> str:
    return f"tcp://127.0.0.1:{free_port()}"


@pytest.fixture
def pushers() -> Iterator[Pushers]:
    """Makes connected PUSH sockets."""
    made: list[zmq.Socket[bytes]] = []
    with zmq.Context() as library:

        def connect(endpoint: str, **options: Any) -> zmq.Socket[bytes]:
            push = library.socket(zmq.PUSH)
            push.sndhwm = 0
            push.set(zmq.RECONNECT_IVL, 10)
            for name, value in options.items():
                setattr(push, name, value)
            push.connect(endpoint)
            made.append(push)
            return push

        yield connect
        for push in made:
            push.close(linger=0)


@pytest.fixture
def send(endpoint: str, pushers: Pushers) -> Send:
    """Sends one command to the endpoint; texts are UTF-8."""
    push = pushers(endpoint)

    def say(*frames: str | bytes) -> None:
        push.send_multipart([frame.encode() if isinstance(frame, str) else frame for frame in frames])

    return say


@pytest.fixture
def watching(endpoint: str) -> Watching:
    """Runs a monitor over the endpoint, with these fields of its context, from its first snapshot on."""

    @asynccontextmanager
    async def watch(endpoint: str = endpoint, **options: Any) -> AsyncIterator[Watched]:
        watched = Watched(PATIENCE)
        monitor = make_monitor(f"zmq://{endpoint}", watched.publish, watched.bell, **options)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(monitor.run, watched.emit)
            await watched.until(lambda: watched.observations, "the first observation")
            assert isinstance(watched.observations[0], Snapshot)
            yield watched
            nursery.cancel_scope.cancel()

    return watch
