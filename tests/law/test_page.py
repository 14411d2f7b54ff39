"""The page about the law says what the law says."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from emperor_trio.law.state import Phase

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/architecture.md"


@pytest.fixture(scope="module")
def tool() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "tools/lifecycle_table.py"))


@pytest.fixture(scope="module")
def ways(tool: dict[str, Any]) -> dict[tuple[Phase, Phase], frozenset[str]]:
    found: dict[tuple[Phase, Phase], frozenset[str]] = tool["explore"]()
    return found


def test_the_page_holds_every_way_between_phases(
    tool: dict[str, Any], ways: dict[tuple[Phase, Phase], frozenset[str]]
) -> None:
    text = PAGE.read_text()
    assert tool["table"](ways) in text, "run python tools/lifecycle_table.py"
    assert text.count(tool["BEGIN"]) == 1


def test_every_phase_is_reached_and_only_the_last_one_is_an_end(
    ways: dict[tuple[Phase, Phase], frozenset[str]],
) -> None:
    assert {new for _, new in ways} == set(Phase) - {Phase.NEW}
    assert {old for old, _ in ways} == set(Phase) - {Phase.GONE}


def test_the_sketch_names_every_phase() -> None:
    sketch = PAGE.read_text().partition("## One vassal's life")[2].split("```")[1]
    assert [phase.value for phase in Phase if phase.value not in sketch] == []
