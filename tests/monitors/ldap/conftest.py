"""Real servers for the tests of ldap://: one that tells of changes, and one that does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.servers.slapd import Slapd, slapd


@pytest.fixture(scope="session")
def pushing() -> Iterator[Slapd]:
    """A server that tells of changes. Each test has a base of its own there."""
    with slapd() as server:
        yield server


@pytest.fixture(scope="session")
def polled() -> Iterator[Slapd]:
    """A server without syncprov."""
    with slapd(push=False) as server:
        yield server
