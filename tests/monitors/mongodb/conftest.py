"""Private servers for these tests, one with change streams and one without, and a collection of its own for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.monitors.mongodb.support import Vassals
from tests.support.servers.mongodb import MongoServer, mongodb


@pytest.fixture(scope="session")
def pushing() -> Iterator[MongoServer]:
    """A server with change streams."""
    with mongodb("--sync-on-commit") as server:
        yield server


@pytest.fixture(scope="session")
def standalone() -> Iterator[MongoServer]:
    """A server without them."""
    with mongodb("--sync-on-commit", "--standalone") as server:
        yield server


@pytest.fixture(scope="session")
def guarded() -> Iterator[MongoServer]:
    """A server that wants a login and TLS. Users ``reader`` and ``writer`` of ``fleet`` are kept in ``users``."""
    with mongodb() as server:
        with server.client() as client:
            for name, role in (("reader", "read"), ("writer", "readWrite")):
                roles = [{"role": role, "db": "fleet"}]
                client["users"].command("createUser", name, pwd="s3cret/x", roles=roles)
            client["fleet"]["vassals"].insert_one({"name": "one.ini", "config": "x", "ts": 1})
        server.stop()
        server.guard()
        server.start()
        yield server


@pytest.fixture
def vassals(pushing: MongoServer) -> Iterator[Vassals]:
    with Vassals(pushing) as vassals:
        yield vassals


@pytest.fixture
def polled(standalone: MongoServer) -> Iterator[Vassals]:
    with Vassals(standalone) as vassals:
        yield vassals
