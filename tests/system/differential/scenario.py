"""What a scenario is: one story, told to real uWSGI and to ours, and what was to be seen of it.

A scenario returns an observation, from which everything that differs from run to run (paths, numbers of processes) is
taken out. Both emperors must give the same, but for what is declared to differ, with the row of
``docs/differences.md`` that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.system.empire import EmperorUnderTest

Observation = dict[str, Any]
Play = Callable[[EmperorUnderTest], Observation]


@dataclass(frozen=True)
class Differs:
    """One difference on purpose: what either must be seen to do, and the first cell of the page's row about it."""

    uwsgi: object
    ours: object
    row: str


@dataclass(frozen=True)
class Scenario:
    name: str
    play: Play
    differs: Mapping[str, Differs]


SCENARIOS: list[Scenario] = []


def scenario(**differs: Differs) -> Callable[[Play], Play]:
    """Enlist a function. Each keyword names a key of its observation in which the two differ on purpose."""

    def enlist(play: Play) -> Play:
        SCENARIOS.append(Scenario(play.__name__, play, differs))
        return play

    return enlist
