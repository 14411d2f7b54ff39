"""The names of a running emperor's vassals, for shells that complete them. Without one there are none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import trio

from emperor_trio.control.client import connect, find_socket
from emperor_trio.control.messages import NameList, Names

PATIENCE = 1.0
"""Seconds that somebody who has pressed the tabulator waits for the emperor at most."""

MOST = 2000
"""Names that are offered at most."""


def ask_emperor(words: Sequence[str]) -> Callable[[str], Iterable[str]]:
    """Asks the emperor that the words of a command mean for the names that begin so."""
    named = {"--control": None, "--monitor": None} | dict(pairwise(words))

    async def ask(prefix: str) -> Iterable[str]:
        with trio.fail_after(PATIENCE):
            async with connect(find_socket(named["--control"], os.environ), PATIENCE) as client:
                answer = await client.request(Names(0, prefix, named["--monitor"], MOST))
        return answer.names if isinstance(answer, NameList) else ()

    def names(prefix: str) -> Iterable[str]:
        try:
            return trio.run(ask, prefix)
        except Exception:
            return ()

    return names
