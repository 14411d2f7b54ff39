"""What the arguments of ``mongodb://`` and ``mongodb2://`` mean: which servers, how to log in, what to read. Pure.

No text of a :class:`BadArgument` holds a password, nor any part of one; nothing here connects.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from emperor_trio.masking import masked, nearest_key
from emperor_trio.monitors._mongo_filter import FilterError, parse_filter

ADDRESS = "127.0.0.1:27017"
COLLECTION = "uwsgi.emperor.vassals"

_ALIASES = {
    "addr": "address", "address": "address", "server": "address", "coll": "collection", "collection": "collection",
    "json": "json", "db": "database", "database": "database", "username": "username", "password": "password",
    "predigest": "predigest", "replica": "replica", "defaults": "defaults",
}  # fmt: skip

_KEYS_OF_JSON = {"json", "defaults"}

_JARGON = re.compile(
    r" or maybe a camelCase version of one| Refer to docstring\.?| according (?:to )?RFC \d+|\[Errno -?\d+\] "
)


class BadArgument(Exception):
    """The argument is wrong. The message says what, and the way out."""


@dataclass(frozen=True, slots=True, repr=False)
class Target:
    """``hosts`` and ``options`` are for the driver's client (``hosts`` may be a connection string with a password).

    ``shown`` names the servers in messages. ``given`` are the options, in small letters, that the operator chose and
    that no limit of ours may replace. ``ignored`` says what of the argument has no effect, "" for nothing.
    """

    hosts: str | tuple[str, ...]
    shown: str
    database: str
    collection: str
    filter: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    given: frozenset[str] = frozenset()
    ignored: str = ""


def parse_argument(text: str) -> Target:
    """``host:port,db.collection,{filter}``, each part optional, or a connection string with ``;{filter}``.

    It is a connection string where a ``/`` stands before the first ``{``. Raises :class:`BadArgument`.
    """
    if "/" in text.partition("{")[0]:
        return _parse_connection_string(text)
    address, _, rest = text.partition(",")
    collection, _, query = rest.partition(",")
    return _name_servers(address, collection, _read_filter(query, "the filter"))


def parse_keys(text: str) -> Target:
    """``key=value,…`` as uWSGI's ``mongodb2`` has it: see the table in docs/monitors/mongodb.md.

    A comma in a value is written ``\\,``; within braces of ``json`` and ``defaults`` it needs no such care. Raises
    :class:`BadArgument`.
    """
    values = _read_keys(text)
    if "predigest" in values:
        raise BadArgument(
            "predigest: no server since MongoDB 4.0 takes a digest in place of the password (MONGODB-CR is gone); "
            "give the password itself, or a connection string with X.509"
        )
    username, password = values.get("username", ""), values.get("password", "")
    if bool(username) != bool(password):
        raise BadArgument("username and password belong together, and one of them is missing")
    options: dict[str, Any] = {}
    if username:
        options = {"username": username, "password": password, "authSource": values.get("database") or "admin"}
    if replica := values.get("replica"):
        options["replicaSet"] = replica
    ignored = ""
    if _read_filter(values.get("defaults", ""), "defaults"):
        ignored = "defaults gives values to attributes that are collected, and none is; it has no effect"
    query = _read_filter(values.get("json", ""), "json")
    return _name_servers(values.get("address", ""), values.get("collection", ""), query, options, ignored)


def _name_servers(
    address: str,
    collection: str,
    query: Mapping[str, Any],
    options: Mapping[str, Any] | None = None,
    ignored: str = "",
) -> Target:
    """Exactly the one server that is named, as in uWSGI; with several, or a replica set's name, whatever is there."""
    address = address.strip() or ADDRESS
    if "@" in address:
        raise BadArgument(
            "the address holds an @: to log in, use a connection string, "
            "mongodb://user:password@host:port/db.collection;{filter}, with % escapes in user and password"
        )
    hosts = tuple(host.strip() for host in address.split(","))
    chosen = dict(options or {})
    if len(hosts) == 1 and "replicaSet" not in chosen:
        chosen["directConnection"] = True
    try:
        for host in hosts:
            parse_uri(f"mongodb://{host}/", warn=False)
    except (PyMongoError, ValueError) as error:
        raise BadArgument(f"the address {address!r} is no host:port: {explain_driver(error)}") from None
    return Target(
        hosts, ",".join(hosts), *_split_namespace(collection.strip() or COLLECTION), query, chosen, ignored=ignored
    )


def _parse_connection_string(text: str) -> Target:
    address, _, query = text.partition(";")
    if "{" in address:
        raise BadArgument("behind a connection string, the filter stands after a semicolon: …/db.collection;{filter}")
    path = address.partition("/")[2].partition("?")[0]
    if "@" in path:
        raise BadArgument("the connection string has an @ behind its first /: in user and password / is written %2F")
    try:
        found = parse_uri(f"mongodb://{address}", warn=False)
    except (PyMongoError, ValueError) as error:
        raise BadArgument(
            f"the connection string is wrong: {explain_driver(error)} (it is mongodb://[user:password@]host[:port],…"
            "/db.collection[?options][;{filter}]; user and password with % escapes)"
        ) from None
    database, collection = found["database"], found["collection"]
    if database is None:
        database, collection = _split_namespace(COLLECTION)
    elif not database or not collection:
        raise BadArgument(f"/{path} does not name a database and a collection: /db.collection is wanted")
    shown = ",".join(host if port is None else f"{host}:{port}" for host, port in found["nodelist"])
    given = frozenset(name.lower() for name in found["options"])
    return Target(f"mongodb://{address}", shown, database, collection, _read_filter(query, "the filter"), given=given)


def explain_driver(error: Exception) -> str:
    """The driver's complaint about an address or an option, without what is meant for programmers."""
    said = _JARGON.sub("", " ".join(str(error).split()))
    if "quote_plus" not in said:
        return masked(said)
    missing = "user and password need % escapes (: is %3A, / is %2F, @ is %40, % is %25)"
    return f"the port is no number, or {missing}" if said.startswith("Port") else missing


def _split_namespace(text: str) -> tuple[str, str]:
    database, _, collection = text.partition(".")
    if not database or not collection or re.search(r'[\s/\\"$*<>:|?\0]', database):
        raise BadArgument(f"{text!r} is no db.collection")
    return database, collection


def _read_filter(text: str, what: str) -> Mapping[str, Any]:
    try:
        return parse_filter(text)
    except FilterError as error:
        raise BadArgument(
            f"{what} is no document: {error}; it is JSON, or as in MongoDB's shell: {{enabled: 1}}"
        ) from None


def _read_keys(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for item in _split_items(text):
        key, equals, value = item.partition("=")
        if not equals:
            known = key.strip() in _ALIASES
            told = f"{key.strip()} has no value" if known else "a part is no key=value"
            raise BadArgument(f"{told}; a comma within a value is written \\,")
        name = _ALIASES.get(key.strip())
        if name is None:
            near = nearest_key(key.strip(), _ALIASES)
            is_key = near or f"{key}=***" in masked(f"mongodb2://{text}")  # and no piece of a password
            named = f"unknown key {key.strip()!r}" if is_key else "a key is unknown"
            raise BadArgument(
                f"{named}{f' (did you mean {near}?)' if near else ''}; known are {', '.join(_ALIASES)}"
                " (a comma within a value is written \\,)"
            )
        values[name] = value
    return values


def _split_items(text: str) -> Iterator[str]:
    """The parts between commas, white space only left out; ``\\x`` is ``x``, as in uWSGI."""
    item, depth, escaped = "", 0, False
    for character in text:
        if escaped:
            item, escaped = item + character, False
        elif character == "\\":
            escaped = True
        elif character == "," and depth == 0:
            if item.strip():
                yield item
            item = ""
        else:
            item += character
            if item.partition("=")[0].strip() in _KEYS_OF_JSON:
                depth = max(0, depth + (character in "{[") - (character in "}]"))
    if depth:
        raise BadArgument("a { or [ in json or defaults is not closed")
    if item.strip():
        yield item
