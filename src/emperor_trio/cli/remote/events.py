"""``emperor-trio events [-f]``: what happened, and what happens."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import trio

from emperor_trio.cli.exits import EXIT_FAILED, EXIT_OK
from emperor_trio.cli.output import print_text
from emperor_trio.cli.remote.flags import Given
from emperor_trio.cli.remote.follow import Connected, LostConnection, News, follow
from emperor_trio.cli.remote.happened import event_line
from emperor_trio.cli.remote.link import Link, chosen, complain, converse, ink_of, run_trio
from emperor_trio.cli.remote.paint import Ink
from emperor_trio.cli.remote.plain import json_of
from emperor_trio.control.messages import Changes, Event, Lagged, Refused, Selection, Subscribe, Tick
from emperor_trio.errors import ControlError
from emperor_trio.events import counted


def run(given: Given) -> int:
    if given["--follow"]:
        return run_trio(lambda: _follow(given))
    return converse(given, lambda link: _recent(link, given))


def request(given: Given) -> Subscribe:
    which = Selection(given.names, given["--monitor"])
    return Subscribe(0, which, vassals=False, events=True, level=given["--level"], recent=given["--lines"])


async def _recent(link: Link, given: Given) -> int:
    """The events of the past come at once, before the first tick."""
    missing = False
    if given.names or given["--monitor"]:
        _, missing = await chosen(link, Selection(given.names, given["--monitor"]))
    async with link.client.subscribe(request(given)) as messages:
        async for message in messages:
            if isinstance(message, Refused):
                raise ControlError(message.error)
            if isinstance(message, Changes):
                show(message.events, given, message.at, _ink())
            if isinstance(message, Changes | Tick):
                break
    return EXIT_FAILED if missing else EXIT_OK


async def _follow(given: Given) -> int:
    first = request(given)
    send, receive = trio.open_memory_channel[News](0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow, given, send, first, replace(first, recent=0))
        lost = False
        async for news in receive:
            match news:
                case LostConnection(why):
                    lost = True
                    complain(f"{why}; trying again")
                case Connected() if lost:
                    lost = False
                    complain("connected again; events of the meantime are in the emperor's log")
                case Changes():
                    show(news.events, given, news.at, _ink())
                case Lagged(events=number):
                    complain(f"{counted(number, 'event')} lost here: not read fast enough")
                case Refused():
                    raise ControlError(news.error)
                case _:
                    pass
    return EXIT_OK


def show(events: tuple[Event, ...], given: Given, now: float, ink: Ink) -> None:
    """All of a message in one write."""
    if events:
        print_text("\n".join(json.dumps(json_of(e)) if given["--json"] else event_line(e, now, ink) for e in events))


def _ink() -> Ink:
    """Lines are never cut; a terminal breaks them itself."""
    return ink_of(os.environ, wide=True)
