"""``pg://`` passes the conformance suite, by polling and by NOTIFY, with a real server that is really killed."""

from __future__ import annotations

import pytest

from emperor_trio.testing.conformance import MonitorConformance, Source
from tests.monitors.pg.support import Table, TableSource


class TestPgByPolling(MonitorConformance):
    @pytest.fixture
    def source(self, table: Table) -> Source:
        return TableSource(table)


class TestPgByNotify(MonitorConformance):
    """Nothing is polled here, so that whatever is seen was pushed."""

    @pytest.fixture
    def source(self, table: Table) -> Source:
        return TableSource(table, f"listen={table.name}", frequency=60.0)
