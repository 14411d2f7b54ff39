"""The same stories, told to real uWSGI's emperor and to ours: the same must be seen, but for what is declared.

All scenarios that were asked for run at once, in threads, because uWSGI does most things once a second.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.system.differential import (  # noqa: F401 - each enlists its scenarios
    ending,
    law,
    on_demand,
    starting,
    tyrant,
    watching,
)
from tests.system.differential.scenario import SCENARIOS, Observation, Scenario
from tests.system.empire import EmperorUnderTest, Kind

AT_ONCE = 16
DIFFERENCES = Path(__file__).parents[3] / "docs" / "differences.md"

Results = Callable[[Scenario, Kind], Observation]


@pytest.fixture(scope="session")
def results(request: pytest.FixtureRequest, vassal_binary: Path) -> Iterator[Results]:
    """What each emperor was seen to do in each scenario. Those of all selected tests start now."""

    def play(scenario: Scenario, kind: Kind) -> Observation:
        with EmperorUnderTest(kind, vassal_binary) as emperor:
            return scenario.play(emperor)

    chosen = [item.callspec.params.get("scenario") for item in request.session.items if hasattr(item, "callspec")]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures: dict[tuple[str, Kind], Future[Observation]] = {
            (scenario.name, kind): pool.submit(play, scenario, kind)
            for scenario in SCENARIOS
            if scenario in chosen
            for kind in Kind
        }
        yield lambda scenario, kind: futures[scenario.name, kind].result()
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_same_as_uwsgi(scenario: Scenario, results: Results) -> None:
    theirs, ours = results(scenario, Kind.UWSGI), results(scenario, Kind.OURS)
    assert {key: ours[key] for key in scenario.differs} == {key: d.ours for key, d in scenario.differs.items()}
    assert {key: theirs[key] for key in scenario.differs} == {key: d.uwsgi for key, d in scenario.differs.items()}
    assert {key: value for key, value in ours.items() if key not in scenario.differs} == {
        key: value for key, value in theirs.items() if key not in scenario.differs
    }


def test_each_difference_is_on_the_page() -> None:
    rows = set(re.findall(r"^\| *([^|]+?) *\|", DIFFERENCES.read_text(), re.MULTILINE))
    named = {difference.row for scenario in SCENARIOS for difference in scenario.differs.values()}
    assert named <= rows, f"not in {DIFFERENCES.name}: {named - rows}"
    assert all(d.uwsgi != d.ours for scenario in SCENARIOS for d in scenario.differs.values())
