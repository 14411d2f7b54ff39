"""How every command talks to the emperor: found, greeted, asked, and given up where it does not answer in time."""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import trio

from emperor_trio.cli.exits import NoEmperor
from emperor_trio.cli.help import width_and_colour
from emperor_trio.cli.output import stdout
from emperor_trio.cli.remote.flags import Given
from emperor_trio.cli.remote.paint import Ink, safe
from emperor_trio.cli.remote.select import no_monitor, no_vassal, unmatched
from emperor_trio.control import client as control
from emperor_trio.control.client import Client
from emperor_trio.control.messages import (
    AnyRequest,
    Greeting,
    Look,
    NameList,
    Names,
    Refused,
    Selection,
    Snapshot,
)
from emperor_trio.errors import ControlError, EmperorError

A = TypeVar("A")

MOST_NAMES = 10_000
"""Names among which the nearest one is sought."""


@dataclass(frozen=True, slots=True)
class Link:
    """A connection to an emperor, on the socket ``path``. ``timeout`` is for each answer, in seconds."""

    client: Client
    path: str
    timeout: float

    @property
    def greeting(self) -> Greeting:
        return self.client.greeting

    async def ask(self, request: AnyRequest, expected: type[A]) -> A:
        """One request and its answer, whole. Raises :class:`~emperor_trio.errors.ControlError` where it is refused or
        the connection is lost, :class:`~emperor_trio.cli.exits.NoEmperor` where no answer comes in time."""
        try:
            answer = await self.client.request(request, self.timeout)
        except control.NoAnswer:
            raise NoEmperor(hung(self.path, self.timeout)) from None
        if isinstance(answer, Refused):
            raise ControlError(answer.error)
        if not isinstance(answer, expected):
            raise ControlError(f"the emperor answered with {type(answer).__name__}, not with {expected.__name__}")
        return answer

    async def look(self, which: Selection) -> Snapshot:
        """Vassals and monitors as they are."""
        return await self.ask(Look(0, which), Snapshot)

    def complain(self, text: str) -> None:
        complain(text)


def complain(text: str) -> None:
    """To stderr, as all that goes wrong: one line."""
    print(f"emperor-trio: {safe(text)}", file=sys.stderr, flush=True)


def converse(given: Given, talk: Callable[[Link], Awaitable[int]], *, whole: bool = True) -> int:
    """Connect, and talk: the exit code. With ``whole``, all of it has to end within the command's ``--timeout``.

    Raises what :meth:`Link.ask` does, and KeyboardInterrupt.
    """

    async def session() -> int:
        path, limit = find(given), given["--timeout"]
        with patience(path, limit if whole else float("inf")):
            async with connect(path, limit) as link:
                return await talk(link)

    return run_trio(session)


def run_trio(session: Callable[[], Awaitable[int]]) -> int:
    """Run it to its end. Of several errors at once, in groups, one is raised: the one for the user."""
    try:
        return trio.run(session)
    except BaseExceptionGroup as group:
        for kind in (KeyboardInterrupt, BrokenPipeError, EmperorError):
            error = _first(group, kind)
            if error is not None:
                raise error from None
        raise


def _first(error: BaseException, kind: type[BaseException]) -> BaseException | None:
    if not isinstance(error, BaseExceptionGroup):
        return error if isinstance(error, kind) else None
    return next(filter(None, (_first(inner, kind) for inner in error.exceptions)), None)


def find(given: Given) -> str:
    """The path of the socket. Raises :class:`~emperor_trio.cli.exits.NoEmperor` where there is none."""
    try:
        return control.find_socket(given["--control"], os.environ)
    except ControlError as error:
        raise NoEmperor(str(error)) from None


@asynccontextmanager
async def connect(path: str, limit: float) -> AsyncIterator[Link]:
    """Raises :class:`~emperor_trio.cli.exits.NoEmperor` where no emperor answers within ``limit`` seconds."""
    greeted = False
    try:
        async with control.connect(path, limit) as client:
            greeted = True
            yield Link(client, path, limit)
    except control.NoAnswer:
        raise NoEmperor(hung(path, limit)) from None
    except ControlError as error:
        if greeted:
            raise
        raise NoEmperor(str(error)) from None


@contextmanager
def patience(path: str, limit: float) -> Iterator[None]:
    """Raises :class:`~emperor_trio.cli.exits.NoEmperor` where what is inside takes longer."""
    with trio.move_on_after(limit) as scope:
        yield
    if scope.cancelled_caught:
        raise NoEmperor(hung(path, limit))


def hung(path: str, limit: float) -> str:
    """What to say of an emperor that is there, but does not answer."""
    pid = listener(path)
    who = f"the emperor on {path}" + (f" (pid {pid})" if pid else "")
    if pid and _is_stopped(pid):
        return f"{who} is stopped, and does not answer; 'kill -CONT {pid}' lets it go on"
    return f"{who} does not answer within {limit:g} s: it is stopped, or very busy; --timeout 30 waits longer"


def listener(path: str) -> int:
    """Whose process listens on a socket; 0 where that is not known, or it is the service manager."""
    with socket.socket(socket.AF_UNIX) as ours:
        ours.setblocking(False)
        try:
            ours.connect(path)
            found = ours.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        except (OSError, ValueError):
            return 0
    pid: int = struct.unpack("3i", found)[0]
    return pid if pid > 1 else 0


def _is_stopped(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2][:1] in (b"T", b"t")
    except OSError:
        return False


async def choose(link: Link, given: Given) -> tuple[Snapshot, bool]:
    """The vassals that the names mean, and whether some name means none, of which it has then been complained."""
    return await chosen(link, Selection(given.names, given["--monitor"]))


async def chosen(link: Link, which: Selection) -> tuple[Snapshot, bool]:
    """The same of a selection."""
    found = await link.look(which)
    there = {vassal.name for vassal in found.vassals} | {key.name for key in found.absent}
    known = {*link.greeting.monitors, *(monitor.name for monitor in found.monitors)}
    if which.monitor is not None and which.monitor not in known and not there:
        complain(no_monitor(which.monitor, sorted(known)))
        return found, True
    wanting = unmatched(which.names, there)
    if wanting:
        names = await link.ask(Names(0, "", which.monitor, MOST_NAMES), NameList)
        for pattern in wanting:
            complain(no_vassal(pattern, names.names, which.monitor))
    return found, bool(wanting)


def ink_of(environ: Mapping[str, str], *, wide: bool = False) -> Ink:
    """What stdout asks for: the terminal's width, or ``COLUMNS``; no limit for a pipe or a file, or if ``wide``."""
    width, colour = width_and_colour(stdout(), environ)
    fits = wide or not (stdout().isatty() or environ.get("COLUMNS", "").isdigit())
    return Ink(colour, None if fits else width)
