"""One connection of a MongoDB monitor: pymongo's client and what it blocks for, in threads of its own.

Every method is one question to the server. What is asked when, and what is made of the answers, is
:mod:`emperor_trio.monitors.mongodb`; why it is threads, and these limits, is in docs/adr/0010.
"""

from __future__ import annotations

import re
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pymongo
import trio
from bson.codec_options import CodecOptions
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo import monitoring
from pymongo.change_stream import CollectionChangeStream
from pymongo.errors import AutoReconnect, ExecutionTimeout, NetworkTimeout, OperationFailure, PyMongoError

from emperor_trio.errors import MonitorError
from emperor_trio.masking import masked
from emperor_trio.model import MAX_CONFIG
from emperor_trio.monitors._mongo_argument import Target
from emperor_trio.monitors._mongo_documents import CODEC, FIELDS, Documents, Read, identities_of, key_of, read_all
from emperor_trio.monitors._plain import without_numbers
from emperor_trio.monitors._rows import RowRules
from emperor_trio.monitors._wait import ANSWER_LIMIT, CONNECT_LIMIT

HEARTBEAT = 2.0
"""Seconds between two looks of the driver whether the server still answers. One unanswered for CONNECT_LIMIT ends all
that waits on that server: so shows a cut network or a frozen server."""

STREAM_WAIT = 0.1
"""Seconds for which the server holds a question for changes open. A cancellation takes as long, at most."""

CLOSE_LIMIT = 1.0
"""Seconds for which the end waits for the server; what is still under way then ends by itself."""

BATCH = 500
"""Documents in one answer."""

NO_STREAM = {
    40573: "it is a standalone server, and only replica sets push changes",
    303: "it does not push changes",
    59: "it does not push changes",
    115: "it does not push changes",
    238: "it does not push changes",
    40324: "it does not push changes",
    136: "change streams are turned off for this collection",
    166: "a view pushes no changes",
    13: "this user may not read changes (privilege changeStream)",
}
"""Codes with which servers refuse a change stream for good, and what to tell of them."""

LOGIN_REFUSED = {13, 18, 8000}
"""Codes for: not authorized, authentication failed, and the same of a hosted service."""

LOST = {136, 234, 237, 260, 280, 286, 10334, 40585, 40615}
"""Codes with which a change stream ends that can't be taken up again: what happened meanwhile is lost."""

MOST_DOCUMENTS = 100_000
MOST_BYTES = 256 * 2**20
"""What passes the filter at most, configs that are too large not counted: more is a mistake, or an attack."""

SAID = 300
"""Characters of an error of the server's, or the driver's, that are told."""

_LIMITS: dict[str, Any] = {
    "serverSelectionTimeoutMS": int(CONNECT_LIMIT * 1000),
    "connectTimeoutMS": int(CONNECT_LIMIT * 1000),
    "socketTimeoutMS": int(ANSWER_LIMIT * 1000),
    "heartbeatFrequencyMS": int(HEARTBEAT * 1000),
    "serverMonitoringMode": "poll",
    "appname": "emperor-trio",
}

_DRIVERS_TAIL = re.compile(r" \(configured timeouts:.*?\)|, Timeout: .*|, full error: .*", re.DOTALL)

T = TypeVar("T")
Change = Mapping[str, Any]


def make_client(target: Target, *listeners: Any) -> pymongo.MongoClient[RawBSONDocument]:
    """A client that has not connected yet. Raises PyMongoError, ValueError or OSError where an option is wrong."""
    limits = {name: value for name, value in _LIMITS.items() if name.lower() not in target.given}
    codec: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
    hosts = target.hosts if isinstance(target.hosts, str) else list(target.hosts)
    return pymongo.MongoClient(
        hosts, document_class=codec.document_class, connect=False, event_listeners=listeners, **limits, **target.options
    )


class Connection:
    """A client, the thread that follows changes, and the one for everything else. Made by :func:`connected`."""

    def __init__(self, target: Target, rules: RowRules, lost: Callable[[], None]) -> None:
        self._target = target
        self._rules = rules
        self._client = make_client(target, _Losses(lost))
        self._following = trio.CapacityLimiter(1)
        self._asking = trio.CapacityLimiter(1)
        self._stream: CollectionChangeStream[dict[str, Any]] | None = None
        self._closing = threading.Event()

    async def find(self, documents: Documents) -> list[Read]:
        """All documents that pass the filter. Raises :class:`MonitorError`, as everything here."""
        return await self._ask(lambda: read_all(self._count(self._query({})), self._rules, documents.remembered))

    async def find_again(self, keys: Iterable[bytes]) -> list[Read]:
        """Those of the documents with these keys that pass the filter now."""

        def ask() -> list[Read]:
            identities = identities_of(keys)
            reads: list[Read] = []
            for start in range(0, len(identities), BATCH):
                question = {"_id": {"$in": identities[start : start + BATCH]}}
                reads += read_all(self._query(question), self._rules, {})
            return reads

        return await self._ask(ask)

    async def open_stream(self) -> str:
        """Have the server keep changes for :meth:`follow` from now on: "", or why it won't."""
        return await self._ask(self._open_stream, self._following)

    async def follow(self, changed: Callable[[bytes | None], None]) -> None:
        """Call ``changed``, in a thread, for every document that was changed, until the stream is lost.

        It is given a document's key, or ``None`` where all may have changed. Without a stream it is lost already.
        """
        await self._ask(lambda: self._follow(changed), self._following)

    async def close(self) -> None:
        """End threads and connections; a server that hangs is waited for a moment only."""
        self._closing.set()
        with trio.move_on_after(CLOSE_LIMIT, shield=True):
            async with self._following, self._asking:
                pass
        idle = self._following.borrowed_tokens == 0
        with trio.move_on_after(CLOSE_LIMIT, shield=True):
            await trio.to_thread.run_sync(self._shut, idle, limiter=trio.CapacityLimiter(1), abandon_on_cancel=True)

    # --- in threads ---

    def _query(self, question: Mapping[str, Any]) -> Iterator[bytes]:
        parts = [part for part in (question, self._target.filter) if part]
        collection = self._collection()
        with collection.find(
            {"$and": parts} if len(parts) > 1 else dict(*parts),
            dict.fromkeys((*FIELDS, *sorted(self._rules.attributes)), 1),
            batch_size=BATCH,
        ) as cursor:
            for document in cursor:
                yield bytes(document.raw)

    def _count(self, documents: Iterator[bytes]) -> Iterator[bytes]:
        """Pass documents on; raise MonitorError where they are too many."""
        size = 0
        for number, document in enumerate(documents, 1):
            size += min(len(document), MAX_CONFIG)
            if number > MOST_DOCUMENTS or size > MOST_BYTES:
                raise MonitorError(
                    f"{self._target.shown}: over {MOST_DOCUMENTS:,} documents or {MOST_BYTES >> 20} MB pass the filter "
                    f"in {self._target.database}.{self._target.collection}; narrow it"
                )
            yield document

    def _open_stream(self) -> str:
        collection = self._collection().with_options(codec_options=CODEC)
        self._shut_stream()
        try:
            self._stream = collection.watch(
                [{"$project": {"operationType": 1, "documentKey": 1}}], max_await_time_ms=int(STREAM_WAIT * 1000)
            )
        except OperationFailure as error:
            if error.code in NO_STREAM:
                return NO_STREAM[error.code]
            raise
        return ""

    def _follow(self, changed: Callable[[bytes | None], None]) -> None:
        stream = self._stream
        try:
            while stream is not None and stream.alive and not self._closing.is_set():
                change = stream.try_next()
                if change is not None:
                    changed(_changed_key(change))
        except OperationFailure as error:
            if error.code not in LOST:
                raise

    def _collection(self) -> Any:
        # From the primary alone: what a secondary answers may be older than the change that we ask for.
        database = self._client.get_database(self._target.database, read_preference=pymongo.ReadPreference.PRIMARY)
        return database[self._target.collection]

    def _shut_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _shut(self, idle: bool) -> None:
        with pymongo.timeout(CLOSE_LIMIT):
            if idle:
                self._shut_stream()
            self._client.close()

    async def _ask(self, question: Callable[[], T], limiter: trio.CapacityLimiter | None = None) -> T:
        try:
            return await trio.to_thread.run_sync(question, limiter=limiter or self._asking, abandon_on_cancel=True)
        except (PyMongoError, BSONError) as error:
            raise MonitorError(explain_error(error, self._target.shown)) from None


@asynccontextmanager
async def connected(target: Target, rules: RowRules, lost: Callable[[], None]) -> AsyncIterator[Connection]:
    """A connection for as long as the block lasts. ``lost`` is called, in a thread, whenever the server was lost."""
    connection = Connection(target, rules, lost)
    try:
        yield connection
    finally:
        await connection.close()


class _Losses(monitoring.ConnectionPoolListener):
    """Hears from the driver when it loses a server. It may find it again by itself, with other data in it.

    (A ServerListener would hear the same, but costs half a second at every close.)
    """

    def __init__(self, lost: Callable[[], None]) -> None:
        self._lost = lost

    def pool_cleared(self, event: monitoring.PoolClearedEvent) -> None:
        self._lost()

    def _pass(self, event: object) -> None:
        """Nothing to do."""

    pool_created = pool_ready = pool_closed = _pass
    connection_created = connection_ready = connection_closed = _pass
    connection_check_out_started = connection_check_out_failed = _pass
    connection_checked_out = connection_checked_in = _pass


def _changed_key(change: Change) -> bytes | None:
    match change:
        case {"operationType": "insert" | "update" | "replace" | "delete", "documentKey": {"_id": identity}}:
            return key_of(identity)
        case _:
            return None


def explain_error(error: Exception, shown: str) -> str:
    """One line without passwords: which server, what happened, and what to do about it."""
    said = masked(_DRIVERS_TAIL.sub("", " ".join(without_numbers(str(error)[: 10 * SAID]).split()))).removeprefix(
        f"{shown}: "
    )[:SAID]
    match error:
        case OperationFailure() if error.code in LOGIN_REFUSED:
            return (
                f"{shown}: login or reading refused: {said}; check the user, the password, the database that keeps "
                "the user (authSource), and that it may read the collection"
            )
        case NetworkTimeout() | ExecutionTimeout():
            return f"{shown}: did not answer in time: {said}; look after the server's load and the network"
        case AutoReconnect():
            return f"{shown}: can't be reached: {said}; check address, network and server"
        case _:
            return f"{shown}: {said} ({type(error).__name__})"
