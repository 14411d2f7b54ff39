"""What concerns the emperor's own process as a whole: folder, umask, environment, log file, name, pid file, user, and
what a service manager hands over.

Only the daemon does any of this; inside someone else's program nothing here is called.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import grp
import os
import pwd
import signal
import socket
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from emperor_trio.errors import UsageError
from emperor_trio.masking import masked
from emperor_trio.settings import Settings

PR_SET_CHILD_SUBREAPER = 36
TYRANT_CAPABILITIES = {"CAP_SETGID": 6, "CAP_SETUID": 7}
"""What changes a process' user, with the bits in which the kernel shows it."""

SOCKET_NAMES = ("control", "gateway", "stats")
"""What a service manager may have opened for us."""

FIRST_ACTIVATED = 3
"""The first descriptor of ``sd_listen_fds(3)``."""

SWALLOWED_BY_PID_1 = frozenset({signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP})
"""What would have come to nothing if it came before there is a handler for it."""


@dataclass(frozen=True, slots=True)
class ServiceManager:
    """What systemd, or whoever started us like it, wants to be told: at ``notify_socket``, ``None`` for not at all.

    ``watchdog`` is the time in seconds in which it expects a sign of life, 0.0 for none.
    """

    notify_socket: str | None = None
    watchdog: float = 0.0


def service_manager() -> ServiceManager:
    """Take what a service manager says to this process out of the environment: no child is to speak in our name."""
    address = os.environ.pop("NOTIFY_SOCKET", "")
    span, pid = os.environ.pop("WATCHDOG_USEC", ""), os.environ.pop("WATCHDOG_PID", "")
    ours = pid in ("", str(os.getpid())) and span.isascii() and span.isdecimal()
    return ServiceManager(address or None, int(span) / 1_000_000 if ours else 0.0)


def activated_sockets() -> dict[str, socket.socket]:
    """Take over the listening sockets that a service manager has opened for us, by name (:data:`SOCKET_NAMES`).

    They are close-on-exec, and theirs is the file of a path: it stays at the end. Whoever wants one listens on a
    duplicate. Once for each process. Raises :class:`~emperor_trio.errors.UsageError` for one that can't be meant.
    """
    pid, count, names = (os.environ.pop(f"LISTEN_{what}", "") for what in ("PID", "FDS", "FDNAMES"))
    os.environ.pop("LISTEN_PIDFDID", None)
    if pid != str(os.getpid()) or not count:
        return {}
    if not (count.isascii() and count.isdecimal()):
        raise UsageError(f"LISTEN_FDS={count}: it is no number of sockets")
    given = names.split(":") if names else []
    sockets: dict[str, socket.socket] = {}
    for index in range(int(count)):
        name = given[index] if index < len(given) else "unknown"
        if name not in SOCKET_NAMES:
            raise UsageError(
                f"the service manager passes a socket that it calls {name!r}, and an emperor takes"
                f" {', '.join(SOCKET_NAMES)}: name it with FileDescriptorName= in its .socket unit"
            )
        if name in sockets:
            raise UsageError(f"the service manager passes two sockets that it calls {name!r}: an emperor takes one")
        sockets[name] = _adopt(name, FIRST_ACTIVATED + index)
    return sockets


def _adopt(name: str, number: int) -> socket.socket:
    try:
        os.set_inheritable(number, False)
        adopted = socket.socket(fileno=number)
        listens = adopted.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise UsageError(f"the socket {name!r} of the service manager is none: {error.strerror}") from error
    if not listens or adopted.type != socket.SOCK_STREAM:
        raise UsageError(
            f"the socket {name!r} of the service manager does not listen for streams: ListenStream= in its .socket"
            " unit, and no Accept=yes"
        )
    return adopted


def prepare(settings: Settings) -> None:
    """All that comes before anything is opened: signals, descriptors, log file, folder, umask, environment, name.

    Raises :class:`~emperor_trio.errors.UsageError` naming the option and its value.
    """
    _check_tyrant(settings)
    # Whoever started us may have blocked some: none would reach us. Those that pid 1 would lose wait for :func:`hear`.
    signal.pthread_sigmask(signal.SIG_SETMASK, SWALLOWED_BY_PID_1 if os.getpid() == 1 else ())
    open_standard_descriptors()
    close_on_exec()
    if settings.logto is not None:
        _redirect(settings.logto)
    if settings.chdir is not None:
        with _naming("chdir", settings.chdir):
            os.chdir(settings.chdir)
    if settings.umask is not None:
        os.umask(settings.umask)
    for entry in settings.env:
        name, given, value = entry.partition("=")
        if given:
            os.environ[name] = value
        else:
            os.environ.pop(name, None)
    _name_process(settings)
    if settings.emperor_subreaper:
        with _naming("emperor-subreaper", "true"):
            _prctl(PR_SET_CHILD_SUBREAPER, 1)


def hear() -> None:
    """Let signals come, once there are handlers for them."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _name_process(settings: Settings) -> None:
    """Take the name that was asked for, and let no password of a monitor stand in what ``ps`` shows."""
    words = [_hide(word, settings.emperor) for word in sys.orig_argv]
    if settings.emperor_procname is None and words == sys.orig_argv:
        return
    from setproctitle import getthreadtitle, setproctitle, setthreadtitle

    name = getthreadtitle()
    title = settings.emperor_procname or " ".join(words)
    setproctitle(os.fsencode(title).decode(errors="replace"))
    if settings.emperor_procname is None:
        setthreadtitle(name)  # the short name, by which people look for us, stays


def _hide(word: str, monitors: Iterable[str]) -> str:
    """A word of the command line without passwords; where a monitor ends in it is known from the settings alone."""
    for text in monitors:
        word = word.replace(text, masked(text))
    return masked(word)


def open_standard_descriptors() -> None:
    """Put ``/dev/null`` where stdin, stdout or stderr is closed: what is opened next would be those in every vassal."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
            os.set_inheritable(null, True)
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - Python had none to begin with; the log needs one


def close_on_exec() -> None:
    """Mark every inherited descriptor but the standard three, so that no vassal gets it. Linear in those there are."""
    for name in os.listdir("/proc/self/fd"):
        number = int(name)
        if number > 2:
            with contextlib.suppress(OSError):
                flags = fcntl.fcntl(number, fcntl.F_GETFD)
                fcntl.fcntl(number, fcntl.F_SETFD, flags | fcntl.FD_CLOEXEC)


@contextlib.contextmanager
def pid_files(settings: Settings) -> Iterator[None]:
    """Write the pid files, and remove them at the end where they are still ours."""
    written: list[str] = []
    try:
        for option, path in (("emperor-pidfile", settings.emperor_pidfile), ("pidfile", settings.pidfile)):
            if path is not None:
                with _naming(option, path):
                    _write(path, f"{os.getpid()}\n")
                written.append(os.path.abspath(path))
        yield
    finally:
        for path in written:
            with contextlib.suppress(OSError, ValueError):
                # Whoever else may write to its folder may have put a pipe there, to wait for.
                with open(path, encoding="ascii", opener=_open_at_once) as file:
                    ours = int(file.read(32)) == os.getpid()
                if ours:
                    os.unlink(path)


def _check_tyrant(settings: Settings) -> None:
    """In Tyrant mode every start changes the user: without root each would fail, so say it before the first.

    Capabilities in place of root are not enough: a vassal would keep those with which it could become anyone.
    """
    if not settings.emperor_tyrant:
        return
    if settings.uid is not None:
        user = _lookup_user(settings.uid)
        if (user.pw_uid if user else int(settings.uid)) != 0:
            raise UsageError(
                f"--emperor-tyrant needs root to run each vassal as its own user, and --uid {settings.uid} gives it up:"
                " leave out one of the two"
            )
    if os.geteuid() != 0:
        raise UsageError(
            "--emperor-tyrant needs root to run each vassal as its own user: start the emperor as root, without"
            " User= in a systemd unit, or leave the option out"
        )
    missing = [name for name, number in TYRANT_CAPABILITIES.items() if not _effective_capabilities() >> number & 1]
    if missing:
        raise UsageError(
            f"--emperor-tyrant needs root with {' and '.join(missing)}, which this container or unit took away:"
            " allow it there, or leave the option out"
        )


def _effective_capabilities() -> int:
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        return next((int(line.split()[1], 16) for line in file if line.startswith("CapEff:")), 0)


def future_owner(settings: Settings) -> tuple[int, int] | None:
    """The uid and gid that :func:`drop_privileges` gives the process; ``None`` where it stays as it is."""
    if settings.gid is None and settings.uid is None:
        return None
    user = _lookup_user(settings.uid) if settings.uid is not None else None
    if settings.gid is None and settings.uid is not None and user is None:
        raise UsageError(f"--uid {settings.uid}: it is nobody's number here, so its group is unknown: give --gid, too")
    gid = _lookup_group(settings.gid) if settings.gid is not None else user.pw_gid if user else os.getgid()
    return user.pw_uid if user else int(settings.uid) if settings.uid is not None else os.getuid(), gid


def drop_privileges(settings: Settings) -> None:
    """Become ``--gid`` and ``--uid``, once all that needs root is open."""
    owner = future_owner(settings)
    if owner is None:
        return
    uid, gid = owner
    user = _lookup_user(settings.uid) if settings.uid is not None else None
    given = ("gid", settings.gid) if settings.gid is not None else ("uid", settings.uid or "")
    with _naming(*given):
        if os.geteuid() == 0:
            os.setgroups(os.getgrouplist(user.pw_name, gid) if user else [])
        os.setresgid(gid, gid, gid)
    if settings.uid is not None:
        with _naming("uid", settings.uid):
            os.setresuid(uid, uid, uid)


def _lookup_user(text: str) -> pwd.struct_passwd | None:
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(int(text)) if text.isdecimal() else pwd.getpwnam(text)
    if text.isdecimal():
        return None
    raise UsageError(f"--uid {text}: there is no such user on this system")


def _lookup_group(text: str) -> int:
    if text.isdecimal():
        return int(text)
    try:
        return grp.getgrnam(text).gr_gid
    except KeyError:
        raise UsageError(f"--gid {text}: there is no such group on this system") from None


def _redirect(path: str) -> None:
    """Let stdout and stderr, which vassals inherit, go to the end of a file."""
    with _naming("logto", path):
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY, 0o640)
        try:
            os.dup2(number, 1)
            os.dup2(number, 2)
        finally:
            os.close(number)


def _write(path: str, text: str) -> None:
    """Replace a file whole: whoever reads it sees the old text or the new."""
    draft = f"{path}.{os.getpid()}"
    number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        with os.fdopen(number, "w", encoding="ascii") as file:
            file.write(text)
        os.replace(draft, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


@contextlib.contextmanager
def _naming(option: str, value: str) -> Iterator[None]:
    """Turn an error of the system into one that names the option."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"--{option} {value}: {error.strerror or error}") from error
