"""One real broker for all tests, a proxy in front of it, and a publisher."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.monitors.amqp.support import Publisher, make_certificate
from tests.support.servers.http import Pages, serve_pages
from tests.support.servers.proxy import Proxy, proxy
from tests.support.servers.rabbitmq import RabbitMQ, rabbitmq


@pytest.fixture(scope="session")
def broker() -> Iterator[RabbitMQ]:
    with rabbitmq(make_certificate) as broker:
        yield broker


@pytest.fixture
def middle(broker: RabbitMQ) -> Iterator[Proxy]:
    with proxy(broker.port) as middle:
        yield middle


@pytest.fixture
def publisher(broker: RabbitMQ) -> Iterator[Publisher]:
    publisher = Publisher(broker.port)
    yield publisher
    publisher.close()


@pytest.fixture
def pages() -> Iterator[Pages]:
    with serve_pages() as pages:
        yield pages
