"""What every monitor must do, with a change stream and with polling; an outage is a server that was killed."""

from __future__ import annotations

import pytest

from emperor_trio.testing.conformance import MonitorConformance, Source
from tests.monitors.mongodb.support import Vassals


class TestMongoPushed(MonitorConformance):
    @pytest.fixture
    def source(self, vassals: Vassals) -> Source:
        vassals.frequency = 3600  # what is seen was pushed
        return vassals


class TestMongoPolled(MonitorConformance):
    @pytest.fixture
    def source(self, polled: Vassals) -> Source:
        return polled
