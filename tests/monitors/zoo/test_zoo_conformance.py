"""``zoo://`` passes the conformance suite, with a real server that is really killed."""

from __future__ import annotations

import pytest

from emperor_trio.testing.conformance import MonitorConformance, Source, watching
from tests.monitors.zoo.support import Znodes, ZnodeSource
from tests.support.servers.common import until


class TestZoo(MonitorConformance):
    @pytest.fixture
    def source(self, znodes: Znodes) -> Source:
        return ZnodeSource(znodes)

    async def test_many_restarts_leave_no_connection_at_the_server(self, source: Source, znodes: Znodes) -> None:
        await source.add("one.ini")
        before = znodes.server.count_connections()
        for _ in range(20):
            async with watching(source) as watched:
                await watched.until_there("one.ini")
        until(lambda: znodes.server.count_connections() == before, "every connection is gone")
