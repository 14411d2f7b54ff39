"""``emperor-trio logs NAME [-f]``: what vassals printed, told by the emperor, which finds and reads their files."""

from __future__ import annotations

import json
import os

import trio
from rich.cells import cell_len

from emperor_trio.cli.exits import EXIT_FAILED, EXIT_OK
from emperor_trio.cli.output import print_text
from emperor_trio.cli.remote.flags import Given
from emperor_trio.cli.remote.follow import Connected, LostConnection, News, follow
from emperor_trio.cli.remote.link import Link, choose, complain, connect, find, ink_of, run_trio
from emperor_trio.cli.remote.words import title
from emperor_trio.control.messages import Key, LogLines, Refused, Tail
from emperor_trio.errors import ControlError
from emperor_trio.events import counted
from emperor_trio.outlets.text import printable, well_formed

MOST = 50
"""Vassals whose logs are shown at once."""

TAGS = ("cyan", "magenta", "green", "yellow", "blue")


def run(given: Given) -> int:
    return run_trio(lambda: _logs(given))


async def _logs(given: Given) -> int:
    async with connect(find(given), given["--timeout"]) as link:
        found, missing = await choose(link, given)
        vassals = sorted((vassal.key for vassal in found.vassals), key=lambda key: (key.name, key.ordinal, key.monitor))
        if not vassals:
            return EXIT_FAILED
        _check(link.greeting.logs, follow=given["--follow"])
        if len(vassals) > MOST:
            raise ControlError(f"{len(vassals):,} vassals match, and at most {MOST} logs are shown at once: name fewer")
        if not given["--follow"]:
            for at, vassal in enumerate(vassals):
                await _past(link, vassal, Printer(vassals, at, given))
            return EXIT_FAILED if missing else EXIT_OK
    async with trio.open_nursery() as nursery:
        for at, vassal in enumerate(vassals):
            nursery.start_soon(_follow, vassal, Printer(vassals, at, given), given)
    return EXIT_OK


def _check(logs: str, *, follow: bool) -> None:
    if logs == "-" and not follow:
        raise ControlError(
            "the logs of vassals go to the emperor's own stdout (--vassal-logs -), and are not kept: look there, or"
            " follow them with -f"
        )
    if not logs:
        raise ControlError(
            "this emperor keeps no logs of vassals: they print where it does; --vassal-logs DIR keeps some"
        )


async def _past(link: Link, vassal: Key, printer: Printer) -> None:
    lines, last = printer.given["--lines"], False
    with trio.fail_after(link.timeout):
        async with link.client.subscribe(Tail(0, vassal, lines)) as messages:
            async for message in messages:
                last = printer.take(message)
                if last:
                    return


async def _follow(vassal: Key, printer: Printer, given: Given) -> None:
    send, receive = trio.open_memory_channel[News](0)
    async with trio.open_nursery() as nursery:
        first = Tail(0, vassal, given["--lines"], follow=True)
        nursery.start_soon(follow, given, send, first, Tail(0, vassal, 0, follow=True))
        lost = False
        async for news in receive:
            match news:
                case LostConnection(why):
                    lost = True
                    complain(f"{title(vassal)}: {why}; trying again")
                case Connected() if lost:
                    lost = False
                    complain(f"{title(vassal)}: connected again")
                case _:
                    printer.take(news)


class Printer:
    """Prints the lines of one vassal, with its name before each where there are several vassals."""

    def __init__(self, vassals: list[Key], at: int, given: Given) -> None:
        self.given = given
        self._vassal = vassals[at]
        self._ink = ink_of(os.environ, wide=True)
        room = min(max(cell_len(title(vassal)) for vassal in vassals), 30)
        name = title(self._vassal)
        tag = name + " " * (room - cell_len(name)) + " │ "
        self._tag = self._ink(tag, TAGS[at % len(TAGS)]) if len(vassals) > 1 else ""

    def take(self, message: object) -> bool:
        """Whether it was the last one. Raises :class:`~emperor_trio.errors.ControlError` where it is refused."""
        if isinstance(message, Refused):
            raise ControlError(message.error)
        if not isinstance(message, LogLines):
            return False
        if message.dropped:
            complain(f"{title(self._vassal)}: {counted(message.dropped, 'line')} lost here: not read fast enough")
        if message.lines:
            print_text("\n".join(map(self._line, message.lines)))
        return message.last

    def _line(self, text: str) -> str:
        if self.given["--json"]:
            vassal = self._vassal
            name = {"monitor": vassal.monitor, "name": well_formed(vassal.name), "ordinal": vassal.ordinal}
            return json.dumps(name | {"line": well_formed(text)})
        return self._tag + printable(text.replace("\t", "    "))
