"""ldap:// passes the conformance suite, by push from a server that is really killed, and by asking over a cut line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from emperor_trio.testing.conformance import MonitorConformance, Source
from tests.support.ldap_source import LdapSource
from tests.support.servers.proxy import proxy
from tests.support.servers.slapd import Slapd


class TestByPush(MonitorConformance):
    @pytest.fixture
    def source(self, pushing: Slapd) -> Source:
        return LdapSource(pushing)


class TestByAsking(MonitorConformance):
    restarts = 30

    @pytest.fixture
    def source(self, polled: Slapd) -> Iterator[Source]:
        with proxy(polled.port) as middle:
            yield LdapSource(polled, middle, frequency=0.1)
