"""Documents of MongoDB, as bytes, into entries: decoded once, remembered by ``_id`` and by name. Pure.

It trusts nothing in a document: each is decoded by itself, so that one that can't be costs only itself. What is said
of the entries is :mod:`._answers`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.errors import BSONError

from emperor_trio.monitors._answers import Entry
from emperor_trio.monitors._rows import RowRules, Wrong, cut_name, read_row, show

FIELDS = ("name", "config", "ts", "uid", "gid", "socket")

CODEC: CodecOptions[dict[str, Any]] = CodecOptions(
    document_class=dict,
    unicode_decode_error_handler="surrogateescape",  # told by field, later
    datetime_conversion=DatetimeConversion.DATETIME_MS,  # no year is too large for it
)
"""How documents are decoded: every value that can be held at all, without loss."""


@dataclass(frozen=True, slots=True)
class Read:
    """One document, read: ``key`` tells it from others, ``digest`` its content from what it was."""

    key: bytes
    digest: bytes
    entry: Entry


class Documents:
    """The documents that pass the filter, as last read. ``remembered`` are they by digest; that dict never changes."""

    def __init__(self) -> None:
        self.remembered: Mapping[bytes, Read] = {}
        self._by_key: dict[bytes, Entry] = {}
        self._by_name: dict[str, set[bytes]] = {}

    def replace(self, documents: Iterable[Read]) -> list[bytes]:
        """Take in a complete answer: the keys that were there before and are missing in it."""
        before = self._by_key
        self._by_key, self._by_name, remembered = {}, {}, {}
        for read in documents:
            remembered[read.digest] = read
            self._put(read)
        self.remembered = remembered
        return [key for key in before if key not in self._by_key]

    def update(self, keys: Iterable[bytes], documents: Iterable[Read]) -> set[str]:
        """Take in the answer to a question for some documents: the names whose entries may be others now."""
        gone = [self._drop(key) for key in keys]
        names = {name for name in gone if name is not None}
        for read in documents:
            self._put(read)
            names.add(read.entry.name)
        return names

    def entries(self) -> list[Entry]:
        return list(self._by_key.values())

    def named(self, name: str) -> list[Entry]:
        """The entries of one name."""
        return [self._by_key[key] for key in self._by_name.get(name, ())]

    def _put(self, read: Read) -> None:
        self._drop(read.key)  # a query may come across a document twice, if it is changed meanwhile
        self._by_key[read.key] = read.entry
        self._by_name.setdefault(read.entry.name, set()).add(read.key)

    def _drop(self, key: bytes) -> str | None:
        entry = self._by_key.pop(key, None)
        if entry is None:
            return None
        keys = self._by_name[entry.name]
        keys.discard(key)
        if not keys:
            del self._by_name[entry.name]
        return entry.name


def read_all(documents: Iterable[bytes], rules: RowRules, remembered: Mapping[bytes, Read]) -> list[Read]:
    """Decode and judge documents; those that are the same as before, byte by byte, only once."""
    reads = []
    for raw in documents:
        digest = blake2b(raw, digest_size=16).digest()
        reads.append(remembered.get(digest) or _read(raw, digest, rules))
    return reads


def _read(raw: bytes, digest: bytes, rules: RowRules) -> Read:
    try:
        document = bson.decode(raw, CODEC)
    except (BSONError, ValueError, OverflowError, RecursionError) as error:
        shown = f"{len(raw):,} bytes"
        return Read(digest, digest, Wrong(f"document {digest.hex()}", "document", shown, f"can't be decoded: {error}"))
    key = key_of(document["_id"]) if "_id" in document else None
    return Read(key or digest, digest, read_document(document, rules))


def read_document(document: Mapping[str, Any], rules: RowRules) -> Entry:
    """Judge one document. Never raises, whatever its values are."""
    values = {name: _plain(document.get(name)) for name in FIELDS}
    name, ts = values["name"], values.pop("ts")
    label = f"_id {show(document.get('_id'))}"
    if isinstance(ts, bson.Timestamp):
        named = name if isinstance(name, str) and name else label
        return Wrong(
            cut_name(named), "ts", show(ts), "is a Timestamp, which MongoDB keeps for itself; a Date is wanted"
        )
    attributes = {attribute: _plain(document.get(attribute)) for attribute in rules.attributes}
    return read_row(rules, version=ts, label=label, attributes=attributes, **values)


def key_of(identity: object) -> bytes | None:
    """What tells a document from others: its ``_id``, as bytes. ``None`` where it can't be sent back to a server."""
    try:
        return bson.encode({"_id": identity}, codec_options=CODEC)
    except (BSONError, ValueError, OverflowError, RecursionError, TypeError):
        return None


def identities_of(keys: Iterable[bytes]) -> list[object]:
    """The ``_id`` of each key that :func:`key_of` gave; other keys are left out."""
    return [document["_id"] for key in keys if (document := _decode_key(key)) is not None]


def _decode_key(key: bytes) -> dict[str, Any] | None:
    try:
        return bson.decode(key, CODEC)
    except (BSONError, ValueError):
        return None


def _plain(value: object) -> object:
    """Python's own type for those of BSON that mean a number or a time. A Date becomes seconds, to the millisecond."""
    match value:
        case DatetimeMS():
            return Decimal(int(value)) / 1000
        case bson.Decimal128():
            return value.to_decimal()
        case _:
            return value
