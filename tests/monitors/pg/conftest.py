"""A private PostgreSQL for all tests of ``pg://``, and a table of its own for each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.monitors.pg.support import Table
from tests.support.servers.postgres import Postgres, postgres

_numbers = itertools.count()


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    with postgres() as server:
        yield server


@pytest.fixture
def table(server: Postgres) -> Iterator[Table]:
    """An empty table of vassals; the server is up again afterwards whatever the test did to it."""
    table = Table(server, f"vassals_{next(_numbers)}")
    yield table
    server.revive()
    table.drop()
