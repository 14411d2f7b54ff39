"""One connection to an LDAP server on Trio: connected and logged in within a thread, asked and heard without one.

A connection belongs to one thread at a time, since libldap's are not to be shared. What is asked is the monitor's.
"""

# python-ldap makes its names only when it is loaded.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import errno
import os
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import Any, Generic, TypeVar

import ldap  # type: ignore[import-untyped]
import ldap.controls  # type: ignore[import-untyped]
import trio
from ldap.controls.libldap import SimplePagedResultsControl  # type: ignore[import-untyped]

from emperor_trio.errors import MonitorError
from emperor_trio.masking import masked
from emperor_trio.monitors._ldap_ber import SYNC_DONE, SYNC_STATE
from emperor_trio.monitors._ldap_entry import Attributes
from emperor_trio.monitors._ldap_login import Login
from emperor_trio.monitors._ldap_url import Target
from emperor_trio.monitors._wait import ANSWER_LIMIT, CONNECT_LIMIT, UNHEARD_LIMIT, Alarm

PAGE = 250
"""Entries that are asked for at once."""

NOW = 1e-6
"""Seconds to wait for what is there already. With 0, python-ldap fails where nothing is."""

MAX_TOLD = 200
"""Characters of a server's own words that are shown."""

_KNOWN = {
    SYNC_STATE: ldap.controls.ResponseControl,
    SYNC_DONE: ldap.controls.ResponseControl,
    SimplePagedResultsControl.controlType: SimplePagedResultsControl,
}

BEAT_EVERY = 5.0
"""Seconds between two questions whether the server is still there."""

BEAT_LIMIT = ANSWER_LIMIT - BEAT_EVERY
"""Seconds for the answer: a server that is frozen shows within the limit for answers."""

T = TypeVar("T")


class NoStartTls(ldap.PROTOCOL_ERROR):  # type: ignore[misc]
    """The server refuses to encrypt the connection."""


@dataclass(frozen=True, slots=True)
class Message:
    """What came in answer to the question ``number``. ``rows`` are libldap's triples, ``kind`` is its number."""

    number: int
    kind: int
    rows: Sequence[tuple[Any, Any, Any]]
    controls: Sequence[Any]


class Connection:
    """A connection that is logged in. Everything raises ``ldap.LDAPError`` where the server fails."""

    def __init__(self, handle: Any, limiter: trio.CapacityLimiter) -> None:
        self._handle = handle
        self._descriptor: int = handle.fileno()
        self._limiter = limiter
        self._lock = threading.Lock()
        self._lent = False
        self._over = False

    def ask(self, base: str, scope: int, wanted: str, attributes: Sequence[str], controls: Sequence[Any] = ()) -> int:
        """Send a question: its number. Waits for nothing."""
        number: int = self._handle.search_ext(base, scope, wanted, list(attributes), serverctrls=list(controls))
        return number

    def receive(self) -> Message | None:
        """The next message, whatever it answers; ``None`` says that waiting is in order.

        It is never asked for the answer to one question alone: others would stay behind in TLS' buffers, unseen.
        """
        try:
            kind, rows, number, controls, _, _ = self._handle.result4(
                ldap.RES_ANY, all=0, timeout=NOW, add_ctrls=1, add_intermediates=1, resp_ctrl_classes=_KNOWN
            )
        except ldap.TIMEOUT:
            return None
        return Message(number, kind, rows, controls)

    def abandon(self, number: int) -> None:
        """Ask no more."""
        self._handle.abandon_ext(number)

    async def readable(self) -> None:
        """Wait until something came. What was not received yet does not count."""
        await trio.lowlevel.wait_readable(self._descriptor)

    async def read_all(
        self, target: Target, attributes: Sequence[str], take: Callable[[str, Attributes], None]
    ) -> None:
        """Ask for everything, page by page; ``take`` gets each entry, in a thread. Raises where any is missing.

        Until it returns, nothing else is to be done with the connection, but to close it.
        """
        self._lent = True
        await trio.to_thread.run_sync(
            self._read_pages, target, attributes, take, abandon_on_cancel=True, limiter=self._limiter
        )

    def _read_pages(self, target: Target, attributes: Sequence[str], take: Callable[[str, Attributes], None]) -> None:
        try:
            cookie: bytes | None = b""
            while cookie is not None and not self._over:
                cookie = self._read_page(target, attributes, take, cookie)
        finally:
            with self._lock:
                self._lent = False
                if self._over:
                    self._unbind()

    def _read_page(
        self, target: Target, attributes: Sequence[str], take: Callable[[str, Attributes], None], cookie: bytes
    ) -> bytes | None:
        """The cookie for the next page, if there is one."""
        page = SimplePagedResultsControl(criticality=False, size=PAGE, cookie=cookie)
        number = self.ask(target.base, target.scope, target.filter, attributes, [page])
        _, rows, _, controls, _, _ = self._handle.result4(number, all=1, timeout=ANSWER_LIMIT, resp_ctrl_classes=_KNOWN)
        for dn, entry in rows:
            if dn is not None and isinstance(entry, dict):  # a referral to another server has no DN
                take(dn, entry)
        told = [control for control in controls if isinstance(control, SimplePagedResultsControl)]
        return told[0].cookie or None if told else None

    async def wait(self, bell: Alarm, until: float) -> bool:
        """Wait until something came, somebody rang, or the time is over; whether somebody rang."""
        rang = False
        async with trio.open_nursery() as nursery:

            async def hear() -> None:
                await self.readable()
                nursery.cancel_scope.cancel()

            nursery.start_soon(hear)
            rang = await bell.wait(until)
            nursery.cancel_scope.cancel()
        return rang

    def close(self) -> None:
        """Say goodbye and close. Waits for nothing: a thread that still reads is woken, and closes it."""
        with self._lock:
            self._over = True
            if not self._lent:
                self._unbind()
                return
        with suppress(OSError), socket.socket(fileno=os.dup(self._descriptor)) as end:
            end.shutdown(socket.SHUT_RDWR)

    def _unbind(self) -> None:
        with suppress(ldap.LDAPError):
            self._handle.unbind_ext_s()


class Beat:
    """Asks every few seconds whether the server is still there. Frozen, it takes bytes, and all seems well."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._number: int | None = None
        self.due = -inf
        """When :meth:`check` is due at the latest, on Trio's clock."""

    def check(self, now: float) -> None:
        """Ask, where it is time. Raises ``ldap.TIMEOUT`` where the last answer is overdue."""
        if now < self.due:
            return
        if self._number is not None:
            raise ldap.TIMEOUT({"desc": f"no answer within {BEAT_LIMIT:g} s"})
        self._number = self._connection.ask("", ldap.SCOPE_BASE, "(objectClass=*)", ["1.1"])
        self.due = now + BEAT_LIMIT

    def hear(self, number: object, now: float) -> bool:
        """Take in that a question was answered, even by a refusal; whether it was ours."""
        if self._number is None or number != self._number:
            return False
        self._number, self.due = None, now + BEAT_EVERY
        return True


async def connect(
    target: Target, login: Login, starttls: bool, limiter: trio.CapacityLimiter, refused: Callable[[], None]
) -> Connection:
    """Connect and log in. One that is done too late, since we were cancelled or lost patience, is closed again.

    ``refused`` is called where the login was wrong, in a thread, even too late. Raises ``ldap.LDAPError``.
    """

    def work() -> Connection:
        try:
            return _open(target, login, starttls, limiter)
        except ldap.INVALID_CREDENTIALS:
            refused()
            raise

    with trio.move_on_after(CONNECT_LIMIT):
        return await in_thread(work, limiter, Connection.close)
    raise ldap.TIMEOUT({"desc": f"no answer within {CONNECT_LIMIT:g} s"})


async def in_thread(job: Callable[[], T], limiter: trio.CapacityLimiter, discard: Callable[[T], None]) -> T:
    """Have a thread do a job. If we are cancelled, what comes of it later is given to ``discard``, in that thread."""
    handover = _Handover[T]()

    def work() -> None:
        result = job()
        if not handover.give(result):
            discard(result)

    try:
        await trio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=limiter)
    except trio.Cancelled:
        for late in handover.leave():
            discard(late)
        raise
    return handover.leave()[0]


class _Handover(Generic[T]):
    """One thing that goes from a thread to somebody who may have left."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = False
        self._things: list[T] = []

    def give(self, thing: T) -> bool:
        """Whether there is still somebody who takes it."""
        with self._lock:
            if not self._left:
                self._things.append(thing)
            return not self._left

    def leave(self) -> list[T]:
        """What was given so far; nothing more is taken."""
        with self._lock:
            self._left = True
            return self._things


def _open(target: Target, login: Login, starttls: bool, limiter: trio.CapacityLimiter) -> Connection:
    """Connect, encrypt and log in. Blocks; runs in a thread of its own, which gives the handle away at the end."""
    handle = ldap.initialize(target.server)
    try:
        _prepare(handle, target, starttls)
        if starttls and target.scheme == "ldap":
            try:
                handle.start_tls_s()
            except _NO_STARTTLS as error:
                raise NoStartTls(*error.args) from None
        handle.simple_bind_s(login.dn, login.password)
        connection = Connection(handle, limiter)
        os.set_blocking(handle.fileno(), False)  # a record of TLS may come in parts, and we wait elsewhere
        return connection
    except BaseException:
        with suppress(ldap.LDAPError, OSError, ValueError):
            os.set_blocking(handle.fileno(), False)
        with suppress(ldap.LDAPError):
            handle.unbind_ext_s()
        raise


def _prepare(handle: Any, target: Target, starttls: bool) -> None:
    handle.set_option(ldap.OPT_REFERRALS, ldap.OPT_OFF)  # nobody else is told our password
    handle.set_option(ldap.OPT_RESTART, ldap.OPT_ON)
    handle.set_option(ldap.OPT_NETWORK_TIMEOUT, CONNECT_LIMIT)
    handle.set_option(ldap.OPT_TIMEOUT, CONNECT_LIMIT)
    handle.timeout = CONNECT_LIMIT
    handle.set_option(ldap.OPT_X_KEEPALIVE_IDLE, 2)
    handle.set_option(ldap.OPT_X_KEEPALIVE_INTERVAL, 1)
    handle.set_option(ldap.OPT_X_KEEPALIVE_PROBES, 3)
    with suppress(ldap.LDAPError, ValueError, AttributeError):  # libldap has it since 2.5
        handle.set_option(ldap.OPT_TCP_USER_TIMEOUT, int(UNHEARD_LIMIT * 1000))
    if target.scheme == "ldaps" or starttls:
        handle.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND)
        authorities = os.environ.get("LDAPTLS_CACERT") or _find_authorities(handle)
        if authorities:
            handle.set_option(ldap.OPT_X_TLS_CACERTFILE, authorities)
        handle.set_option(ldap.OPT_X_TLS_NEWCTX, 0)


def _find_authorities(handle: Any) -> str | None:
    """The system's certificates, where libldap's own configuration names none."""
    if handle.get_option(ldap.OPT_X_TLS_CACERTFILE) or handle.get_option(ldap.OPT_X_TLS_CACERTDIR):
        return None
    return ssl.get_default_verify_paths().cafile


_TLS_FAILED = "(unknown error code)"
"""All that libldap over GnuTLS says of a certificate that is not trusted."""

_NO_TLS = ("non-properly terminated", "unexpected tls packet", "wrong version number")
"""What the libraries for TLS say where the other side speaks something else, or hangs up on it."""

_NO_STARTTLS = (ldap.PROTOCOL_ERROR, ldap.UNWILLING_TO_PERFORM, ldap.UNAVAILABLE, ldap.OPERATIONS_ERROR)

_HINTS: dict[type[Exception], str] = {
    NoStartTls: "it offers no STARTTLS: give the server a certificate, or leave --emperor-ldap-starttls out",
    ldap.NO_SUCH_OBJECT: "there is no such base, or this login may not see it",
    ldap.INVALID_CREDENTIALS: "correct --emperor-ldap-bind-dn or the password",
    ldap.INAPPROPRIATE_AUTH: "this login needs another way to log in",
    ldap.STRONG_AUTH_REQUIRED: "use --emperor-ldap-starttls or ldaps://",
    ldap.CONFIDENTIALITY_REQUIRED: "use --emperor-ldap-starttls or ldaps://",
    ldap.INSUFFICIENT_ACCESS: "give --emperor-ldap-bind-dn the right to read there",
    ldap.SIZELIMIT_EXCEEDED: "raise the server's size limit for this login (slapd: limits … size.prtotal=unlimited)",
    ldap.ADMINLIMIT_EXCEEDED: "raise the server's limits for this login",
    ldap.FILTER_ERROR: "the filter in the URL is none",
    ldap.REFERRAL: "the entries are on another server: name that one",
}


def tell(error: Exception, what: str) -> Any:
    """One of the things that libldap tells of an error, if it does."""
    told = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    return told.get(what)


def describe(error: Exception) -> str:
    """What went wrong, in libldap's and the server's words, on one line."""
    words = [str(tell(error, "desc") or "") or str(error) or type(error).__name__]
    info = tell(error, "info")
    if tell(error, "errno") == errno.ENOTCONN and not _is_without_tls(
        error
    ):  # libldap's own, of a question about the socket that failed
        info = "refused, or out of reach"
    if info == _TLS_FAILED:
        info = "TLS could not be set up"
    if info and info != words[0]:
        words.append(f"({info})")
    return masked(" ".join(" ".join(words).split())[:MAX_TOLD])


def _is_without_tls(error: Exception) -> bool:
    info = str(tell(error, "info") or "").lower()
    return any(words in info for words in _NO_TLS)


def explain(target: Target, error: Exception) -> MonitorError:
    """One line for people: which server, what happened, and what to do about it."""
    text = describe(error)
    hint = next((f"; {hint}" for kind, hint in _HINTS.items() if isinstance(error, kind)), "")
    if target.scheme == "ldaps" and _is_without_tls(error):
        hint = (
            "; where this lasts, it speaks no TLS on this port: use ldap:// with --emperor-ldap-starttls, or name the "
            "port for ldaps://"
        )
    elif isinstance(error, ldap.CONNECT_ERROR | ldap.SERVER_DOWN) and ("TLS" in text or "certificate" in text):
        hint = (
            f"; its certificate has to be for {target.host}, and signed by an authority that the system knows or that "
            "is in the file LDAPTLS_CACERT"
        )
    return MonitorError(f"LDAP server {target.address}: {text}{hint}")
