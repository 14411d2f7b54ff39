"""Carries launches out: forks on the main thread, hands the descriptors over, and turns what fails into our errors.

It does not wait for anybody: see :mod:`emperor_trio.processes.reaper`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import threading
import weakref
from collections.abc import Callable, Iterable

from emperor_trio.errors import SpawnDeferred, SpawnError
from emperor_trio.processes.chain import chain, find_tools, shell_environment
from emperor_trio.processes.launch import Launch
from emperor_trio.processes.tether import can_tether, open_tether, tether, tether_path

SHORTAGE = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC})
"""The system has no room now, and may have it later. (ENOSPC is epoll's: too many descriptors are watched.)"""

SLOTS = 2
RESTORED = frozenset({signal.SIGPIPE, signal.SIGXFSZ, signal.SIGKILL, signal.SIGSTOP})
"""Python ignores the first two and resets them for its children; the others can't be ignored."""


class Launcher:
    """Starts children.

    ``slots`` are the numbers that a vassal's descriptors have in the vassal: always the same, and small. They are
    reserved here, so that the descriptor to inherit can be put there just for the moment of the fork; all others are
    close-on-exec for good. Raises :class:`~emperor_trio.errors.UsageError` where a program of the chain is missing.
    """

    def __init__(self) -> None:
        self._tools = find_tools()
        self._tether = open_tether()
        with open(os.devnull, "r+b", buffering=0) as null:
            self._null, *slots = (fcntl.fcntl(null, fcntl.F_DUPFD_CLOEXEC, 3) for _ in range(1 + SLOTS))
        self.slots: tuple[int, ...] = tuple(slots)
        ours = [number for number in (self._null, self._tether, *slots) if number is not None]
        self.close: Callable[[], object] = weakref.finalize(self, _close_all, ours)

    def start(self, launch: Launch) -> int:
        """Start one process, the leader of its own session, and return its id. It is the caller's to reap.

        Returns once the first program of the chain is executed. Raises
        :class:`~emperor_trio.errors.SpawnDeferred` where the system has no room,
        :class:`~emperor_trio.errors.SpawnError` for anything else; nothing is left behind then.
        """
        if not on_main_thread():
            raise SpawnError("processes can be started on the main thread only: they die with the thread")
        try:
            if self._tether is not None and can_tether(launch):
                return self._start_tethered(launch, tether_path(self._tether))
            return self._start_chained(launch)
        except OSError as error:
            raise refusal(error, launch.directory) from error
        except ValueError as error:  # a NUL, or what is no Unicode, in a name, a value or an argument
            raise SpawnError(f"it can't be handed to a process: {error}") from error

    def _start_tethered(self, launch: Launch, program: str) -> int:
        if launch.directory is not None:
            # Said here, not in the child, if it is gone.
            os.close(os.open(launch.directory, os.O_PATH | os.O_DIRECTORY))
        words = tether(launch, program, os.getpid())
        descriptors = [(self._null if launch.stdin is None else launch.stdin, 0), *launch.descriptors]
        outputs = ((launch.stdout, 1), (launch.stderr, 2))
        descriptors += [(ours, theirs) for ours, theirs in outputs if ours is not None]
        actions = [(os.POSIX_SPAWN_DUP2, ours, theirs) for ours, theirs in descriptors]
        return os.posix_spawn(program, words, launch.environment, file_actions=actions, setsid=True)

    def _start_chained(self, launch: Launch) -> int:
        words = chain(launch, self._tools, os.getpid(), reset_signals=signals_altered())
        filled: list[int] = []
        try:
            for ours, theirs in launch.descriptors:
                filled.append(theirs)
                os.dup2(ours, theirs, inheritable=True)
            child = subprocess.Popen(
                words,
                stdin=self._null if launch.stdin is None else launch.stdin,
                stdout=launch.stdout,
                stderr=launch.stderr,
                env=shell_environment(launch),
                cwd=launch.directory,
                umask=-1 if launch.umask is None else launch.umask,
                close_fds=False,
                start_new_session=True,
            )
        finally:
            for slot in filled:
                os.dup2(self._null, slot, inheritable=False)
        child.returncode = 0  # Popen must neither reap it nor warn about it: others do the waiting
        return child.pid


def on_main_thread() -> bool:
    """Whether this thread lives as long as the process, so that PR_SET_PDEATHSIG means the emperor's death."""
    return threading.get_native_id() == os.getpid()


def signals_altered() -> bool:
    """Whether a child would inherit an ignored or a blocked signal."""
    if signal.pthread_sigmask(signal.SIG_BLOCK, ()):
        return True
    return any(signal.getsignal(number) is signal.SIG_IGN for number in _RESETTABLE)


_RESETTABLE = tuple(number for number in signal.Signals if number not in RESTORED)


def refusal(error: OSError, directory: str | None = None) -> SpawnError:
    """What the system said, as one of ours: a shortage, or a fault. ``directory`` is the child's folder."""
    if error.errno in SHORTAGE:
        return SpawnDeferred(error.strerror)
    if directory is not None and error.filename == directory:
        return SpawnError(f"its folder {directory} can't be entered: {error.strerror}")
    return SpawnError(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror))


def _close_all(numbers: Iterable[int]) -> None:
    for number in numbers:
        os.close(number)
