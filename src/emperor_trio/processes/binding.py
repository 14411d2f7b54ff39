"""Binds the sockets of on-demand vassals, with the rights of whoever named the address.

Without Tyrant that is the emperor itself. In Tyrant mode it is a tenant: a path is bound by a child that became the
tenant (:mod:`emperor_trio.processes._bind`), and a port that only root may take is refused. Such a socket is left where
it is when it is closed: to remove it would need the tenant's rights again, and the next bind removes dead sockets.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import socket
import sys
from weakref import WeakValueDictionary

import trio

from emperor_trio.errors import ListenError, SpawnError, UsageError
from emperor_trio.model import Owner
from emperor_trio.processes import _bind
from emperor_trio.processes.children import Children
from emperor_trio.processes.launch import Launch, LaunchPolicy
from emperor_trio.processes.sockets import Address, Inet, Place, Unix

DEFAULT_MODE = 0o666
LIMIT = 10.0
"""Seconds for a child to bind: a tenant's file system may never answer."""

AT_ONCE = 8
"""Children that bind at the same time, one for each tenant: whose file system hangs keeps few others waiting."""

HELPER = os.path.abspath(_bind.__file__)
UNPRIVILEGED_PORTS = "/proc/sys/net/ipv4/ip_unprivileged_port_start"


class Binder:
    """Turns an address into a socket that listens. ``slot`` is the launcher's number for a descriptor to inherit."""

    def __init__(self, policy: LaunchPolicy, children: Children, slot: int) -> None:
        """Raises UsageError where ``--chown-socket`` names nobody."""
        self._children = children
        self._slot = slot
        self._backlog = policy.listen
        self._initgroups = policy.initgroups
        self._mode = DEFAULT_MODE if policy.chmod_socket is None else policy.chmod_socket
        self._chown = parse_owner(policy.chown_socket) if policy.chown_socket is not None else None
        self._limiter = trio.CapacityLimiter(AT_ONCE)
        self._turns: WeakValueDictionary[int, trio.Lock] = WeakValueDictionary()

    async def bind(self, address: Address, owner: Owner | None) -> tuple[socket.socket, Address, Place | None]:
        """The listening socket, its address with the port that it got, and what is to be unlinked when it is closed.

        Raises :class:`~emperor_trio.errors.ListenError`.
        """
        place: Place | None = None
        try:
            bound = socket.socket(_family(address), socket.SOCK_STREAM)
            try:
                match address:
                    case Inet():
                        address = _bind_inet(bound, address, owner)
                    case Unix() if owner is not None:
                        _close_until_bound(bound)
                        await self._listen_as(owner, bound, address)
                        return bound, address, None
                    case Unix(path) if address.abstract:
                        bound.bind(path)
                    case Unix(path):
                        _close_until_bound(bound)
                        place = self._bind_path(bound, path)
                bound.listen(self._backlog)
            except BaseException:
                bound.close()
                raise
        except OSError as error:
            whose = f" as {owner}" if owner is not None else ""
            raise ListenError(f"can't listen on {address}{whose}: {_reason(error)}") from error
        return bound, address, place

    def _bind_path(self, bound: socket.socket, path: str) -> Place:
        descriptor = _bind.bind_path(bound, path, self._mode)
        try:
            if self._chown is not None:
                _bind.chown_place(descriptor, *self._chown)
            found = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        return Place(path, found.st_dev, found.st_ino)

    async def _listen_as(self, owner: Owner, bound: socket.socket, address: Unix) -> None:
        """Have a child do it: a client takes whoever made the socket listen for the one it talks to (SO_PEERCRED)."""
        uid, gid = self._chown or (-1, -1)
        numbers = (owner.uid, owner.gid, int(self._initgroups), uid, gid)
        words = [*map(str, numbers), f"{self._mode:o}", str(self._slot), str(self._backlog), str(address)]
        launch = Launch(
            commands=((sys.executable, "-I", "-S", HELPER, *words),),
            environment={},
            directory="/",
            descriptors=((bound.fileno(), self._slot),),
        )
        turn = self._turns.setdefault(owner.uid, trio.Lock())
        async with turn, self._limiter:
            try:
                finished = await self._children.ask(launch, LIMIT)
            except SpawnError as error:
                raise ListenError(f"can't listen on {address} as {owner}: {error}") from error
        if finished.code != 0:
            if not finished.output.isdigit():
                raise ListenError(f"can't listen on {address} as {owner}: the helper failed, {finished.how}")
            raise OSError(int(finished.output), os.strerror(int(finished.output)))


def parse_owner(text: str) -> tuple[int, int]:
    """``USER[:GROUP]``, names or numbers, as (uid, gid); −1 for what is not given. Raises UsageError."""
    user, _, group = text.partition(":")
    try:
        uid = -1 if not user else int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid
        gid = -1 if not group else int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise UsageError(f"--chown-socket {text}: {error.args[0]}") from error
    return uid, gid


def _family(address: Address) -> socket.AddressFamily:
    if isinstance(address, Unix):
        return socket.AF_UNIX
    return socket.AF_INET6 if address.version == 6 else socket.AF_INET


def _close_until_bound(bound: socket.socket) -> None:
    """The kernel gives the file that it makes this mode, less the umask: closed to all until it is set right."""
    os.fchmod(bound.fileno(), 0)


def _bind_inet(bound: socket.socket, address: Inet, owner: Owner | None) -> Inet:
    if owner is not None and 0 < address.port < _first_unprivileged_port():
        raise OSError(errno.EACCES, f"only root may take port {address.port}")
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((address.host, address.port))
    return Inet(address.host, bound.getsockname()[1], address.version)


def _first_unprivileged_port() -> int:
    try:
        with open(UNPRIVILEGED_PORTS, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 1024


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "somebody listens there already, or it is no socket; it was left alone"
    return error.strerror or str(error)
