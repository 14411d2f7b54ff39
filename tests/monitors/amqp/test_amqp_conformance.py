"""amqp:// passes the conformance suite with each of its three kinds of message, through a real broker."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from emperor_trio.model import Snapshot
from emperor_trio.testing.conformance import MonitorConformance, Source, watching
from tests.monitors.amqp.support import AmqpSource, FileSource, Publisher, UrlSource
from tests.support.servers.http import Pages
from tests.support.servers.proxy import Proxy


class Conformance(MonitorConformance):
    async def test_an_outage_at_the_start_is_waited_out(self, source: Source) -> None:
        """What an earlier emperor kept is no guess about the broker: its vassals start without it."""
        assert isinstance(source, AmqpSource)
        await source.add("one.ini")
        await source.break_down()
        async with watching(source) as watched:
            await watched.until_there(source.name("one.ini"))
            await trio.sleep(source.outage)
            assert [type(seen) for seen in watched.observations] == [Snapshot]
            assert watched.failures, "the outage does not show"
            await source.add("two.ini")
            await source.heal()
            await watched.until_there(source.name("one.ini"), source.name("two.ini"))

    async def test_without_a_memory_an_outage_at_the_start_says_nothing(self, source: Source) -> None:
        await source.break_down()
        async with watching(source) as watched:
            await trio.sleep(source.outage)
            assert not watched.observations
            await source.heal()
            await watched.until_there()


class TestConfigs(Conformance):
    @pytest.fixture
    def source(self, middle: Proxy, publisher: Publisher) -> Source:
        return AmqpSource(middle, publisher)


class TestFiles(Conformance):
    restarts = 20

    @pytest.fixture
    def source(self, middle: Proxy, publisher: Publisher, tmp_path: Path) -> Source:
        return FileSource(middle, publisher, tmp_path / "vassals")


class TestUrls(Conformance):
    restarts = 20

    @pytest.fixture
    def source(self, middle: Proxy, publisher: Publisher, pages: Pages) -> Source:
        return UrlSource(middle, publisher, pages)
