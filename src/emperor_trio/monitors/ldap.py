"""``ldap://HOST/BASE?ATTRIBUTES?SCOPE?FILTER``: every entry of uWSGI's own LDAP schema below a base is a vassal.

The server tells of changes as they happen (RFC 4533), from where the last connection left off; where it can't, it is
asked again and again. What an entry comes to is :mod:`._ldap_entry`'s, what there is :mod:`._ldap_mirror`'s.
"""

# python-ldap makes its names only when it is loaded.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import os
from dataclasses import replace
from math import inf

import ldap  # type: ignore[import-untyped]
import ldap.controls  # type: ignore[import-untyped]
import trio

from emperor_trio.errors import MonitorError, UsageError
from emperor_trio.events import MonitorNotice
from emperor_trio.monitors._answers import Answers
from emperor_trio.monitors._ldap_ber import (
    SYNC_INFO,
    SYNC_REQUEST,
    SYNC_STATE,
    Garbled,
    State,
    decode_info,
    decode_state,
    encode_request,
)
from emperor_trio.monitors._ldap_connection import (
    Beat,
    Connection,
    Message,
    connect,
    describe,
    explain,
    tell,
)
from emperor_trio.monitors._ldap_entry import NEEDED, OPERATIONAL, Attributes, Mark, read_entry, read_mark
from emperor_trio.monitors._ldap_login import Login, LoginSource, Refusals
from emperor_trio.monitors._ldap_mirror import Held, Mirror
from emperor_trio.monitors._ldap_url import Target, parse_url
from emperor_trio.monitors._rows import RowRules
from emperor_trio.monitors._wait import ANSWER_LIMIT, Alarm, alarm
from emperor_trio.ports import Emit, MonitorContext

LOOK_EVERY = 60.0
"""Seconds between two looks at whether the server holds what it told."""

LOOK_AGAIN = 1.0
"""Seconds until a difference is looked at again: news of it may be under way."""

BATCH = 20
"""Messages that are taken in before others have a turn."""

_REFRESH_REQUIRED = 4096
_LIMITS = (ldap.SIZELIMIT_EXCEEDED, ldap.ADMINLIMIT_EXCEEDED)
_NO_PUSH = (
    *_LIMITS,
    ldap.UNAVAILABLE_CRITICAL_EXTENSION,
    ldap.UNWILLING_TO_PERFORM,
    ldap.INSUFFICIENT_ACCESS,
    ldap.PROTOCOL_ERROR,
)


class _PushLost(Exception):
    """The server can't tell of changes here. The text says why."""


class LdapMonitor:
    """``context.argument`` is what stands behind ``ldap://``. Raises :class:`~emperor_trio.errors.UsageError`."""

    scheme = "ldap"

    def __init__(self, context: MonitorContext) -> None:
        self._context = context
        try:
            self._target = parse_url(self.scheme, context.argument)
            self._login = _find_login(context, self._target)
        except ValueError as error:
            raise UsageError(f"--emperor {context.name}: {error}") from None
        self._rules = RowRules.of(context)
        self._answers = Answers(context.name, context.publish)
        self._mirror = Mirror()
        self._refusals = Refusals()
        self._limiter = trio.CapacityLimiter(1)
        self._noted: set[str] = set()
        wanted = self._target.attributes
        self._attributes = [*(("*",) if wanted is None else (*sorted(wanted), *NEEDED)), *OPERATIONAL]

    async def run(self, emit: Emit) -> None:
        """Connect, tell everything, then go on with changes. Raises MonitorError where the server fails."""
        self._answers.restart()
        async with alarm(self._context.doorbell) as bell:
            connection = await self._connect(bell)
            try:
                await self._watch(connection, emit, bell)
            except Garbled as error:
                self._mirror.cookie = None
                raise MonitorError(f"LDAP server {self._target.address}: {error}") from None
            except (ldap.LDAPError, UnicodeError) as error:
                raise explain(self._target, error) from None
            finally:
                connection.close()

    async def _watch(self, connection: Connection, emit: Emit, bell: Alarm) -> None:
        try:
            await self._follow(connection, emit, bell)
        except _PushLost as why:
            every = f"{self._context.frequency:g} s"
            self._note(f"{self._target.address} can't tell of changes here ({why}): asking every {every} instead")
            await self._poll(connection, emit, bell)

    # --- the login ---

    async def _connect(self, bell: Alarm) -> Connection:
        login = await self._read_login()
        while trio.current_time() < (due := self._refusals.due(login)):
            if await bell.wait(min(due, trio.current_time() + 1)):
                self._refusals.hurry()
            login = await self._read_login()
        self._warn_of_clear_text(login)
        now = trio.current_time()
        try:
            connection = await connect(
                self._target,
                login,
                self._context.ldap_starttls,
                self._limiter,
                refused=lambda: self._refusals.refuse(login, now),
            )
        except ldap.INVALID_CREDENTIALS as error:
            raise MonitorError(
                f"{explain(self._target, error)} (it refused {login.dn or 'an anonymous login'}); lest the account be "
                "locked the same password is sent once more after 4 s, then every 15 minutes, and at once on SIGWINCH; "
                "what is looked at sooner is only whether there is another one"
            ) from None
        except (ldap.LDAPError, UnicodeError) as error:
            raise explain(self._target, error) from None
        self._refusals.accept()
        return connection

    async def _read_login(self) -> Login:
        if self._login.file is None:
            return self._login.read()
        return await trio.to_thread.run_sync(self._login.read, abandon_on_cancel=True)

    def _warn_of_clear_text(self, login: Login) -> None:
        secure = self._target.scheme == "ldaps" or self._context.ldap_starttls
        if login.dn and not secure and not self._target.is_loopback:
            self._note(
                f"the password for {self._target.address} goes over the network unencrypted: "
                "use --emperor-ldap-starttls or ldaps://"
            )

    # --- by push ---

    async def _follow(self, connection: Connection, emit: Emit, bell: Alarm) -> None:
        """Have the server tell what changed since the last time, and then changes as they happen."""
        while True:
            resumed = self._mirror.cookie is not None
            try:
                await self._follow_once(connection, emit, bell)
            except ldap.LDAPError as error:
                if not (resumed and _is_cookie_refused(error)):
                    if isinstance(error, _NO_PUSH):
                        raise _PushLost(describe(error)) from None
                    raise
            self._mirror.cookie = None
            if not resumed:
                await trio.sleep(LOOK_AGAIN)

    async def _follow_once(self, connection: Connection, emit: Emit, bell: Alarm) -> None:
        """Returns where the server turned out to hold something else than it told: it has to tell everything anew."""
        mirror, target = self._mirror, self._target
        mirror.begin()
        resumed = mirror.cookie is not None
        request = ldap.controls.RequestControl(SYNC_REQUEST, True, encode_request(mirror.cookie))
        number = connection.ask(target.base, target.scope, target.filter, self._attributes, [request])
        await self._refresh(connection, number)
        if not mirror.doubtful:
            await self._tell_all(emit)
            await self._go_on(connection, number, emit, bell, -inf if resumed else trio.current_time() + LOOK_EVERY)
        connection.abandon(number)

    async def _refresh(self, connection: Connection, number: int) -> None:
        """Take in everything up to the point from which on changes come as they happen."""
        taken = 0
        while self._mirror.refreshing:
            message = connection.receive()
            if message is None:
                with trio.move_on_after(ANSWER_LIMIT) as limit:
                    await connection.readable()
                if limit.cancelled_caught:
                    raise ldap.TIMEOUT({"desc": f"no answer within {ANSWER_LIMIT:g} s"})
            elif message.number == number:
                if message.kind == ldap.RES_SEARCH_RESULT:
                    raise _PushLost("it ends the search that it should keep up")
                self._take_message(message)
                taken += 1
                if taken % BATCH == 0:
                    await trio.lowlevel.checkpoint()

    async def _go_on(self, connection: Connection, number: int, emit: Emit, bell: Alarm, look_at: float) -> None:
        """Tell changes as they come. Returns where two looks say that not all of them came."""
        doubts: set[tuple[bytes, bytes]] = set()
        beat = Beat(connection)
        while True:
            await self._take_changes(connection, number, beat, emit)
            if trio.current_time() >= min(look_at, self._answers.due):
                differing = await self._look(connection)
                await self._take_changes(connection, number, beat, emit)
                if differing & doubts:
                    return
                doubts = differing
                if not differing:
                    await self._tell_all(emit)
                look_at = trio.current_time() + (LOOK_AGAIN if differing else LOOK_EVERY)
            beat.check(trio.current_time())
            if await connection.wait(bell, min(look_at, self._answers.due, beat.due)):
                self._answers.restart()
                look_at = -inf

    async def _take_changes(self, connection: Connection, number: int, beat: Beat, emit: Emit) -> None:
        """Take in, and tell, all changes that came."""
        taken = 0
        while (message := self._receive(connection, beat)) is not None:
            if message.number == number:
                if message.kind == ldap.RES_SEARCH_RESULT:
                    raise MonitorError(f"LDAP server {self._target.address}: it stopped telling of changes")
                for name in sorted(self._take_message(message)):
                    observation = self._answers.take_named(name, self._mirror.named(name))
                    if observation is not None:
                        await emit(observation)
            taken += 1
            if taken % BATCH == 0:
                await trio.lowlevel.checkpoint()

    @staticmethod
    def _receive(connection: Connection, beat: Beat) -> Message | None:
        """The next message but for the answers to ``beat``."""
        while True:
            try:
                message = connection.receive()
            except ldap.LDAPError as error:
                if not beat.hear(tell(error, "msgid"), trio.current_time()):
                    raise
                continue
            if message is None or not beat.hear(message.number, trio.current_time()):
                return message

    def _take_message(self, message: Message) -> set[str]:
        """Take in a message of a search that goes on: the names that it concerns."""
        concerned: set[str] = set()
        if message.kind == ldap.RES_INTERMEDIATE:
            for kind, value, _ in message.rows:
                if kind == SYNC_INFO:
                    concerned |= self._mirror.take_info(decode_info(value or b""))
        elif message.kind == ldap.RES_SEARCH_ENTRY:
            for dn, attributes, controls in message.rows:
                control = next((one for one in controls if one.controlType == SYNC_STATE), None)
                if control is None:
                    raise _PushLost("it leaves out which entry is meant")
                state = decode_state(control.encodedControlValue or b"")
                held = None
                if state.state in (State.ADD, State.MODIFY):
                    held = self._hold(replace(read_mark(dn, attributes), key=state.uuid), attributes)
                concerned |= self._mirror.take_entry(state, held)
        return concerned

    async def _look(self, connection: Connection) -> set[tuple[bytes, bytes]]:
        """Where the server holds something else than it told; nothing where it lets nobody see that."""
        try:
            marks = await self._list(connection)
        except _LIMITS as error:
            self._note(f"{self._target.address} does not list all of its entries ({describe(error)})")
            return set()
        return self._mirror.differences(marks) if all(mark.has_uuid for mark in marks) else set()

    # --- by asking ---

    async def _poll(self, connection: Connection, emit: Emit, bell: Alarm) -> None:
        """Ask which versions of which entries there are, and for everything where that changed."""
        while True:
            marks = await self._list(connection)
            if len(marks) != len(self._mirror) or any(self._mirror.find(mark) is None for mark in marks):
                await self._read(connection)
            await self._tell_all(emit)
            until = min(trio.current_time() + self._context.frequency, self._answers.due)
            if await connection.wait(bell, until):
                self._answers.restart()

    async def _list(self, connection: Connection) -> list[Mark]:
        marks: list[Mark] = []
        await connection.read_all(
            self._target, OPERATIONAL, lambda dn, attributes: marks.append(read_mark(dn, attributes))
        )
        return marks

    async def _read(self, connection: Connection) -> None:
        read: list[Held] = []

        def take(dn: str, attributes: Attributes) -> None:
            read.append(self._hold(read_mark(dn, attributes), attributes))

        await connection.read_all(self._target, self._attributes, take)
        self._mirror.replace(read)

    # --- what is said ---

    def _hold(self, mark: Mark, attributes: Attributes) -> Held:
        """An entry, judged; not again where this version of it was."""
        return self._mirror.find(mark) or Held(
            mark, read_entry(self._rules, mark.dn, attributes, self._target.attributes)
        )

    async def _tell_all(self, emit: Emit) -> None:
        snapshot = self._answers.take_all(self._mirror.entries, trio.current_time())
        if snapshot is not None:
            await emit(snapshot)

    def _note(self, text: str) -> None:
        """Say something once."""
        if text not in self._noted:
            self._noted.add(text)
            self._context.publish(MonitorNotice(self._context.name, text))


class LdapsMonitor(LdapMonitor):
    """The same over TLS from the first byte on."""

    scheme = "ldaps"


def _find_login(context: MonitorContext, target: Target) -> LoginSource:
    """The URL's own login, else that of the options; none is anonymous. Raises ValueError."""
    dn = target.bind_dn or context.ldap_bind_dn or ""
    if target.password is not None:
        return LoginSource(dn, target.password)
    if context.ldap_password_file is None:
        if dn:
            raise ValueError(f"logs in as {dn} without a password: give --emperor-ldap-password-file FILE")
        return LoginSource()
    if not dn:
        raise ValueError("has a password, but nobody to log in as: give --emperor-ldap-bind-dn DN")
    return LoginSource(dn, file=os.path.abspath(context.ldap_password_file))


def _is_cookie_refused(error: ldap.LDAPError) -> bool:
    """Whether the server can't go on from our cookie, because it lost it or its data are older than ours."""
    refusals = (ldap.UNWILLING_TO_PERFORM, ldap.PROTOCOL_ERROR, ldap.OTHER)
    return tell(error, "result") == _REFRESH_REQUIRED or isinstance(error, refusals)
