"""The state file of ``--emperor-state``: what is kept over restarts of the emperor, in sqlite3, a row a vassal.

Owns the file, the rules for whom it may belong to, and the batches in which it is written. What of a vassal is worth
keeping is for each monitor to say, through the :class:`~emperor_trio.ports.Memory` that it is given; which vassals were
stopped by an operator, for the emperor, through :class:`~emperor_trio.ports.Holds`.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import trio

from emperor_trio.errors import MonitorError, UsageError
from emperor_trio.events import Event, MonitorNotice
from emperor_trio.model import Owner, VassalId, VassalSpec
from emperor_trio.ports import Kept

SCHEMA = 2
"""The version of the tables' shape, in the file as ``PRAGMA user_version``. In 1 there was no table ``held``."""

APPLICATION = 0x456D7254
"""What tells our files from other databases, as ``PRAGMA application_id``: "EmrT"."""

RETRY = 2.0
"""Seconds until what could not be written is tried again."""

BUSY = 1.0
"""Seconds to wait at the start for another emperor that is just leaving the file."""

COLUMNS = (
    "monitor", "name", "version", "modified", "config", "uid", "gid", "socket", "ask_socket", "directory", "executable",
    "origin", "validators",
)  # fmt: skip

# Texts are kept as bytes: names of files need not be Unicode. A version may be any number, so it is text.
_CREATE = """
    CREATE TABLE vassals (
        monitor BLOB NOT NULL, name BLOB NOT NULL, version TEXT NOT NULL, modified INTEGER NOT NULL, config BLOB,
        uid INTEGER, gid INTEGER, socket BLOB, ask_socket INTEGER NOT NULL, directory BLOB, executable INTEGER NOT NULL,
        origin BLOB NOT NULL, validators BLOB NOT NULL, PRIMARY KEY (monitor, name)
    )
"""
_CREATE_HELD = """
    CREATE TABLE IF NOT EXISTS held (monitor BLOB NOT NULL, name BLOB NOT NULL, PRIMARY KEY (monitor, name))
"""
_HOLD = "REPLACE INTO held (monitor, name) VALUES (?, ?)"
_RELEASE = "DELETE FROM held WHERE monitor = ? AND name = ?"
_SELECT_HELD = "SELECT monitor, name FROM held ORDER BY monitor, name"
_PUT = f"REPLACE INTO vassals ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - constants
_DELETE = "DELETE FROM vassals WHERE monitor = ? AND name = ?"
_SELECT = f"SELECT {', '.join(COLUMNS[1:])} FROM vassals WHERE monitor = ? ORDER BY name"  # noqa: S608 - constants

_Key = tuple[str, str]
Row = tuple[Any, ...]


class StateFile:
    """One state file. :meth:`open` it once the process has the user that it keeps; :meth:`run` writes and closes it.

    Everything but :meth:`open` and :meth:`close` is for Trio's thread. The file is locked while it is open.
    """

    def __init__(self, path: str) -> None:
        self.path: str = os.path.abspath(path)
        self._connection: sqlite3.Connection | None = None
        self._pending: dict[_Key, Kept | None] = {}
        self._pending_holds: dict[_Key, bool] = {}
        self._drawers: dict[str, _Drawer] = {}
        self._changed = trio.Event()
        self._turn = trio.Lock()
        self._limiter = trio.CapacityLimiter(1)
        self._failing = False

    def open(self) -> None:
        """Open the file, make it where it is missing, and lock it; blocks. Does nothing where it is open.

        Raises :class:`~emperor_trio.errors.UsageError`: where it can't be, is not ours alone, is damaged, or is no
        state file that this version knows.
        """
        if self._connection is not None:
            return
        try:
            _prepare(self.path)
            connection = sqlite3.connect(self.path, timeout=BUSY, isolation_level=None, check_same_thread=False)
            try:
                _set_up(connection, self.path)
            except BaseException:
                connection.close()
                raise
        except _Unfit as unfit:
            raise UsageError(f"--emperor-state {self.path}: {unfit}") from None
        except (OSError, sqlite3.Error) as error:
            raise UsageError(f"--emperor-state {self.path}: {_explain(error, self.path)}") from error
        self._connection = connection

    def close(self) -> None:
        """Close and unlock the file. Idempotent. What was not committed is lost."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def of(self, monitor: str, publish: Callable[[Event], None] = lambda event: None) -> _Drawer:
        """The :class:`~emperor_trio.ports.Memory` of one monitor, by its name; ``publish`` is told when it fails."""
        drawer = self._drawers[monitor] = _Drawer(self, monitor, publish)
        return drawer

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write what is kept, in batches, until cancelled; the last batch is written then, and the file is closed."""
        await trio.to_thread.run_sync(self.open, limiter=self._limiter)
        try:
            task_status.started()
            while True:
                await self._changed.wait()
                try:
                    await self.flush()
                except MonitorError:
                    await trio.sleep(RETRY)
        finally:
            with trio.CancelScope(shield=True):
                try:
                    await self.flush()
                except MonitorError:
                    pass  # it was said
                finally:
                    await trio.to_thread.run_sync(self.close, limiter=self._limiter)

    async def flush(self) -> None:
        """Commit all that is pending, in one transaction. Raises :class:`~emperor_trio.errors.MonitorError`."""
        async with self._turn:
            batch, self._pending = self._pending, {}
            holds, self._pending_holds = self._pending_holds, {}
            self._changed = trio.Event()
            if not batch and not holds:
                return
            try:
                with trio.CancelScope(shield=True):  # or the batch would be neither pending nor written
                    await trio.to_thread.run_sync(self._write, batch, holds, limiter=self._limiter)
            except (sqlite3.Error, OSError) as error:
                self._pending = batch | self._pending
                self._pending_holds = holds | self._pending_holds
                self._changed.set()
                self._tell(f"{self.path}: vassals can't be kept: {_explain(error, self.path)}", failing=True)
                raise MonitorError(f"{self.path}: vassals can't be kept: {_explain(error, self.path)}") from error
            self._tell(f"{self.path}: vassals are kept again", failing=False)

    async def recall(self, monitor: str) -> tuple[Kept, ...]:
        """All that one monitor kept, committed or not."""
        async with self._turn:
            try:
                rows = await trio.to_thread.run_sync(self._read, monitor, limiter=self._limiter)
                found = {kept.spec.name: kept for kept in map(_decode, rows)}
            except (sqlite3.Error, OSError) as error:
                raise MonitorError(f"{self.path}: can't be read: {_explain(error, self.path)}") from error
            except (ValueError, TypeError, AttributeError) as error:
                raise MonitorError(f"{self.path}: holds a row that no emperor wrote: {error}") from error
        for (owner, name), kept in self._pending.items():
            if owner == monitor and kept is not None:
                found[name] = kept
            elif owner == monitor:
                found.pop(name, None)
        return tuple(found.values())

    def put(self, monitor: str, name: str, kept: Kept | None) -> None:
        """Have a row written soon, or removed. Of what waits only the newest counts."""
        self._pending[monitor, name] = kept
        self._changed.set()

    async def recall_holds(self) -> tuple[VassalId, ...]:
        """Every vassal that is held."""
        async with self._turn:
            try:
                rows = await trio.to_thread.run_sync(self._read_holds, limiter=self._limiter)
            except (sqlite3.Error, OSError) as error:
                raise MonitorError(f"{self.path}: can't be read: {_explain(error, self.path)}") from error
        held = dict.fromkeys(((_text(bytes(monitor)), _text(bytes(name))) for monitor, name in rows), True)
        held |= self._pending_holds
        return tuple(VassalId(monitor, name) for (monitor, name), is_held in held.items() if is_held)

    def put_hold(self, vassal: VassalId, *, held: bool) -> None:
        """Have it written soon that a vassal is held, or is not. Of what waits only the newest counts."""
        self._pending_holds[vassal.monitor, vassal.name] = held
        self._changed.set()

    def _write(self, batch: dict[_Key, Kept | None], holds: dict[_Key, bool]) -> None:
        database = self._opened
        database.execute("BEGIN IMMEDIATE")
        try:
            database.executemany(_PUT, (_encode(monitor, kept) for (monitor, _), kept in batch.items() if kept))
            gone = ((_bytes(monitor), _bytes(name)) for (monitor, name), kept in batch.items() if kept is None)
            database.executemany(_DELETE, gone)
            for (monitor, name), held in holds.items():
                database.execute(_HOLD if held else _RELEASE, (_bytes(monitor), _bytes(name)))
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise

    def _read(self, monitor: str) -> list[Row]:
        return self._opened.execute(_SELECT, (_bytes(monitor),)).fetchall()

    def _read_holds(self) -> list[Row]:
        return self._opened.execute(_SELECT_HELD).fetchall()

    @property
    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.OperationalError("it is not open")
        return self._connection

    def _tell(self, text: str, *, failing: bool) -> None:
        if failing != self._failing:
            self._failing = failing
            advice = "; they run on, and it is tried again" if failing else ""
            for drawer in self._drawers.values():
                drawer.publish(MonitorNotice(drawer.monitor, text + advice))


@dataclass(frozen=True, slots=True)
class _Drawer:
    """One monitor's part of a state file. Implements :class:`~emperor_trio.ports.Memory`."""

    state: StateFile = field(repr=False)
    monitor: str
    publish: Callable[[Event], None] = field(repr=False)

    async def recall(self) -> tuple[Kept, ...]:
        return await self.state.recall(self.monitor)

    def keep(self, kept: Kept) -> None:
        self.state.put(self.monitor, kept.spec.name, kept)

    def forget(self, name: str) -> None:
        self.state.put(self.monitor, name, None)

    async def settle(self) -> None:
        await self.state.flush()


@dataclass(frozen=True, slots=True)
class StoredHolds:
    """Who is held, in a state file. Implements :class:`~emperor_trio.ports.Holds`."""

    state: StateFile

    async def recall(self) -> tuple[VassalId, ...]:
        return await self.state.recall_holds()

    def put(self, vassal: VassalId, *, held: bool) -> None:
        self.state.put_hold(vassal, held=held)

    async def settle(self) -> None:
        await self.state.flush()


class _Unfit(Exception):
    """Why a file can't be the state file, and what to do."""


def _prepare(path: str) -> None:
    """See that the file is there and that nobody but us can write it; whoever can, can run anything as any vassal."""
    user = os.geteuid()
    folder = os.path.dirname(path)
    around = os.stat(folder)
    if around.st_uid not in (0, user):
        raise _Unfit(f"its folder belongs to user {around.st_uid}, but the emperor runs as user {user}")
    if around.st_mode & 0o022:
        own = "name a folder of its own: install -d -m 700 /var/lib/emperor-trio"
        shared = around.st_uid == 0 or around.st_mode & stat.S_ISVTX  # /tmp and the like: others need the right
        raise _Unfit(f"others can write into its folder: {own if shared else f'chmod go-w {folder}, or {own}'}")
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.fchmod(number, 0o600)
        finally:
            os.close(number)
        return
    if not stat.S_ISREG(found.st_mode):
        kind = "a link" if stat.S_ISLNK(found.st_mode) else "a folder" if stat.S_ISDIR(found.st_mode) else "no file"
        raise _Unfit(f"it is {kind}: name a file, or one that is yet to be")
    if found.st_uid != user:
        raise _Unfit(f"it belongs to user {found.st_uid}, but the emperor runs as user {user}: chown {user} {path}")
    if found.st_mode & 0o022:
        raise _Unfit(f"others can write to it: look at what is in it, then chmod 600 {path}")


def _set_up(database: sqlite3.Connection, path: str) -> None:
    """Lock the file, judge what it is, and make the table where it is new."""
    database.execute("PRAGMA locking_mode = EXCLUSIVE")
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (schema,) = database.execute("PRAGMA user_version").fetchone()
    tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application != APPLICATION and (application or schema or tables):
        raise _Unfit("it is a database of another program: name another file")
    if schema > SCHEMA:
        raise _Unfit(
            f"a newer emperor-trio wrote it (schema {schema}, this one knows {SCHEMA}): upgrade, or name another file"
        )
    os.chmod(path, 0o600)  # not before it is known to be ours: the option may name anything by mistake
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("BEGIN EXCLUSIVE")  # from now on it is ours alone, until it is closed
    if not tables:
        database.execute(_CREATE)
        database.execute(f"PRAGMA application_id = {APPLICATION}")
    if schema < SCHEMA:
        database.execute(_CREATE_HELD)
        database.execute(f"PRAGMA user_version = {SCHEMA}")
    database.execute("COMMIT")
    (complaint,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if complaint != "ok":
        raise sqlite3.DatabaseError(complaint)


def _explain(error: Exception, path: str) -> str:
    """One line: what is wrong with the file, and the way out."""
    text = " ".join(str(error).split())
    name = getattr(error, "sqlite_errorname", "")
    full = f"make room in {os.path.dirname(path)}, or raise the quota there"
    match error:
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return f"{error.strerror}: {full}"
        case OSError():
            return f"{error.strerror or text}: its folder must be there, and user {os.geteuid()} must be able to write"
        case _ if name == "SQLITE_NOTADB":
            return "it is no database: name another file"
        case _ if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return "another emperor, or some other program, has it open: each emperor needs a file of its own"
        case _ if name.startswith("SQLITE_FULL"):
            return f"{text}: {full}"
        case sqlite3.OperationalError():
            return text
        case _:
            return (
                f"it is damaged ({text}): put a backup in its place; or move it away, start with an empty one and have"
                f" every vassal announced again; 'sqlite3 {path} .dump' shows what can be read of it"
            )


def _encode(monitor: str, kept: Kept) -> Row:
    spec = kept.spec
    owner = spec.owner
    return (
        _bytes(monitor), _bytes(spec.name), str(spec.version), spec.modified, spec.config,
        owner and owner.uid, owner and owner.gid, _optional(spec.socket), spec.ask_socket,
        _optional(spec.directory), spec.executable, _bytes(kept.origin), _bytes(kept.validators),
    )  # fmt: skip


def _decode(row: Row) -> Kept:
    """The other way round. Raises ValueError, TypeError or AttributeError for what nothing here wrote."""
    name, version, modified, config, uid, gid, socket, ask_socket, directory, executable, origin, validators = row
    spec = VassalSpec(
        name=_text(name),
        version=int(version),
        modified=int(modified),
        config=None if config is None else bytes(config),
        owner=None if uid is None else Owner(int(uid), int(gid)),
        socket=None if socket is None else _text(socket),
        ask_socket=bool(ask_socket),
        directory=None if directory is None else _text(directory),
        executable=bool(executable),
    )
    return Kept(spec, _text(origin), _text(validators))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _optional(text: str | None) -> bytes | None:
    return None if text is None else _bytes(text)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
