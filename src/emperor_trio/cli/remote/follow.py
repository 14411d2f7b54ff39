"""A subscription that mends itself: what ``events -f``, ``logs -f`` and ``top`` live on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import trio

from emperor_trio.cli.remote.flags import Given
from emperor_trio.cli.remote.link import Link, connect, find
from emperor_trio.control.messages import AnyAnswer, AnyRequest, Greeting
from emperor_trio.errors import ControlError

SILENCE = 3.0
"""Seconds without a word (there is a Tick each second) after which a connection is taken to be lost."""

PAUSE = 1.0
"""Seconds between two tries to connect again."""


@dataclass(frozen=True, slots=True)
class Connected:
    """An emperor has greeted; its first answers follow."""

    greeting: Greeting


@dataclass(frozen=True, slots=True)
class LostConnection:
    """It is tried again. Said once until there is a connection again."""

    why: str


News = Connected | LostConnection | AnyAnswer


async def follow(
    given: Given, send: trio.MemorySendChannel[News], first: AnyRequest, again: AnyRequest | None = None
) -> None:
    """Put all answers to a subscription on a channel, for ever; ``again`` is the request after a lost connection.

    Raises :class:`~emperor_trio.errors.ControlError` where there is no emperor at the beginning.
    """
    path, met, told = find(given), False, False
    while True:
        try:
            async with connect(path, given["--timeout"]) as link:
                await send.send(Connected(link.greeting))
                request = again if met and again is not None else first
                met, told = True, False
                await _pass_on(link, request, send)
            why = "the emperor closed the connection"
        except trio.TooSlowError:
            why = f"not a word from the emperor for {SILENCE:g} s"
        except (ControlError, OSError) as error:
            if not met:
                raise
            why = str(error)
        if not told:
            await send.send(LostConnection(why))
            told = True
        await trio.sleep(PAUSE)


async def _pass_on(link: Link, request: AnyRequest, send: trio.MemorySendChannel[News]) -> None:
    async with link.client.subscribe(request) as messages:
        answers: AsyncIterator[AnyAnswer] = aiter(messages)
        while True:
            with trio.fail_after(SILENCE):
                try:
                    answer = await anext(answers)
                except StopAsyncIteration:
                    return
            await send.send(answer)
