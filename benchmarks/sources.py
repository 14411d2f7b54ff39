"""Real, private servers full of vassals, for :mod:`benchmarks.monitors`: how each is filled and changed.

Owns the servers for as long as they are needed. A new source is one context manager and one line in the table.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import ldap  # type: ignore[import-untyped]
import pika  # type: ignore[import-untyped]
import psycopg
import zmq

from tests.support.servers.common import free_port
from tests.support.servers.mongodb import mongodb
from tests.support.servers.postgres import postgres
from tests.support.servers.rabbitmq import rabbitmq
from tests.support.servers.slapd import SUFFIX, encode, slapd, vassal
from tests.support.servers.zookeeper import zookeeper

_later = itertools.count(10, 10)


@dataclass(frozen=True, slots=True)
class Source:
    """``monitor`` is our ``--emperor``, ``theirs`` uWSGI's options where it has the monitor.

    ``fill`` adds vassals of these names with one config; ``change`` gives one a time that is whole seconds later.
    A source that ``remembers`` can be filled before the emperor starts. ``configs`` says whether it carries any text.
    """

    monitor: str
    fill: Callable[[Sequence[str], str], None]
    change: Callable[[str], None]
    theirs: tuple[str, ...] = ()
    remembers: bool = True
    configs: bool = True


def _now() -> datetime:
    return datetime.fromtimestamp(int(time.time()) - 1_000_000 + next(_later), UTC)


@contextmanager
def pg(*, listen: str = "") -> Iterator[Source]:
    with postgres() as server, psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE vassals (name text PRIMARY KEY, config text, ts timestamptz)")

        def fill(names: Sequence[str], text: str) -> None:
            with connection.cursor() as cursor, cursor.copy("COPY vassals FROM STDIN") as copy:
                moment = _now()
                for name in names:
                    copy.write_row((name, text, moment))

        def change(name: str) -> None:
            connection.execute("UPDATE vassals SET ts = %s WHERE name = %s", (_now(), name))
            if listen:
                connection.execute(f"NOTIFY {listen}".encode())

        address = f"pg://{server.dsn}{f' listen={listen}' if listen else ''};"
        query = "SELECT name,config,EXTRACT(epoch FROM ts) FROM vassals"
        theirs = ("--plugin", "emperor_pg", "--emperor", f"pg://{server.dsn};{query}")
        yield Source(address, fill, change, () if listen else theirs)


@contextmanager
def pg_on_demand(folder: Path, size: int) -> Iterator[Source]:
    """Rows that run nothing until someone connects to their socket in a folder: what rows cost whole emperors."""
    with postgres() as server, psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE vassals (name text, config text, ts bigint, uid int, gid int, socket text)")
        with connection.cursor() as cursor, cursor.copy("COPY vassals FROM STDIN") as copy:
            for number in range(size):
                copy.write_row((f"{number:05}.ini", "[uwsgi]\n" + 400 * "#", 1, 0, 0, f"{folder}/{number:05}"))

        def change(name: str) -> None:
            connection.execute("UPDATE vassals SET ts = ts + 1 WHERE name = %s", (name,))

        address = f"pg://{server.dsn};SELECT name,config,ts,uid,gid,socket FROM vassals"
        yield Source(address, lambda names, text: None, change, ("--plugin", "emperor_pg", "--emperor", address))


@contextmanager
def pg_listen() -> Iterator[Source]:
    with pg(listen="vassals") as source:
        yield source


@contextmanager
def mongo(*options: str) -> Iterator[Source]:
    with mongodb(*options) as server, server.client() as client:
        collection = client["emperor"]["vassals"]

        def fill(names: Sequence[str], text: str) -> None:
            moment = _now()
            collection.insert_many([{"name": name, "config": text, "ts": moment} for name in names])

        def change(name: str) -> None:
            collection.update_one({"name": name}, {"$set": {"ts": _now()}})

        yield Source(f"mongodb://{server.address},emperor.vassals", fill, change)


@contextmanager
def mongo_poll() -> Iterator[Source]:
    with mongo("--standalone") as source:
        yield source


@contextmanager
def amqp() -> Iterator[Source]:
    with rabbitmq() as broker:
        connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", broker.port, heartbeat=0))
        channel = connection.channel()
        channel.exchange_declare(exchange="uwsgi.emperor", exchange_type="fanout")
        known: dict[str, str] = {}

        def fill(names: Sequence[str], text: str) -> None:
            known.update(dict.fromkeys(names, text))
            for name in names:
                change(name)

        def change(name: str) -> None:
            channel.basic_publish(exchange="uwsgi.emperor", routing_key=name, body=known[name].encode())

        yield Source(f"amqp://127.0.0.1:{broker.port}", fill, change, remembers=False)
        connection.close()


@contextmanager
def zeromq() -> Iterator[Source]:
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    with zmq.Context() as library, library.socket(zmq.PUSH) as push:
        push.sndhwm, push.linger = 0, 0
        push.connect(endpoint)
        known: dict[str, str] = {}

        def fill(names: Sequence[str], text: str) -> None:
            known.update(dict.fromkeys(names, text))
            for name in names:
                change(name)

        def change(name: str) -> None:
            push.send_multipart([b"touch", name.encode(), known[name].encode()])

        theirs = ("--plugin", "emperor_zeromq", "--emperor", f"zmq://{endpoint}")
        yield Source(f"zmq://{endpoint}", fill, change, theirs, remembers=False)


@contextmanager
def zoo() -> Iterator[Source]:
    with zookeeper() as server:
        client = server.connect()
        client.ensure_path("/vassals")

        def fill(names: Sequence[str], text: str) -> None:
            for answer in [client.create_async(f"/vassals/{name}", text.encode()) for name in names]:
                answer.get()

        def change(name: str) -> None:
            client.set(f"/vassals/{name}", client.get(f"/vassals/{name}")[0])

        yield Source(f"zoo://127.0.0.1:{server.port}/vassals", fill, change)
        client.stop()
        client.close()


@contextmanager
def directory(*, push: bool = True) -> Iterator[Source]:
    with slapd(push=push, globally="sizelimit unlimited") as server:
        base = server.add_base("vassals")
        client = server.client()

        def fill(names: Sequence[str], text: str) -> None:
            for name in names:
                client.add_s(f"cn={name},{base}", list(encode(vassal(name)).items()))

        def change(name: str) -> None:
            change = [(ldap.MOD_REPLACE, "uWSGImodule", [f"app{next(_later)}".encode()])]
            client.modify_s(f"cn={name},{base}", change)

        filter_ = "(objectClass=uWSGIConfig)"
        assert base.endswith(SUFFIX)
        yield Source(f"ldap://{server.address}/{base}??sub?{filter_}", fill, change, configs=False)
        client.unbind_s()


@contextmanager
def directory_poll() -> Iterator[Source]:
    with directory(push=False) as source:
        yield source


SOURCES: dict[str, Callable[[], AbstractContextManager[Source]]] = {
    "pg": pg,
    "pg, listen": pg_listen,
    "mongodb": mongo,
    "mongodb, polled": mongo_poll,
    "amqp": amqp,
    "zmq": zeromq,
    "zoo": zoo,
    "ldap": directory,
    "ldap, polled": directory_poll,
}
