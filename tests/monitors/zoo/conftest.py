"""A private ZooKeeper for all tests of ``zoo://``, and a znode of its own for each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.monitors.zoo.support import Znodes
from tests.support.servers.zookeeper import ZooKeeper, zookeeper

_numbers = itertools.count()


@pytest.fixture(scope="session")
def server() -> Iterator[ZooKeeper]:
    with zookeeper() as server:
        yield server


@pytest.fixture
def znodes(server: ZooKeeper) -> Iterator[Znodes]:
    """A znode without children; the server is up again afterwards, whatever the test did to it."""
    znodes = Znodes(server, f"/test-{next(_numbers)}/vassals")
    yield znodes
    server.revive()
    znodes.close()
