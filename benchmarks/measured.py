"""What ``python -m benchmarks --json FILE`` wrote, read again for plots and pages. Pure but for ``load``."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import cattrs

from benchmarks.figures import Row, Spread
from benchmarks.peers import OURS, PEERS


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """One run, with its values by the figure's name."""

    scenario: str
    size: int
    number: int
    peer: str
    sample: dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Curve:
    """One figure of one scenario at all sizes that it was measured at, the smallest first."""

    scenario: str
    figure: str
    unit: str
    rows: Sequence[Row]

    @property
    def title(self) -> str:
        """The figure with the scenario in which it was measured: what it is called in pages."""
        return f"{self.scenario}: {self.figure}"

    @property
    def sizes(self) -> list[int]:
        return [row.size for row in self.rows]

    def at(self, size: int) -> Row | None:
        return next((row for row in self.rows if row.size == size), None)

    def of(self, peer: str) -> dict[int, Spread]:
        """By size, the values of one peer."""
        return {row.size: row.values[peer] for row in self.rows if peer in row.values}

    def growth(self, peer: str) -> float | None:
        """The exponent with which the medians grow with the size, from all sizes; 1 is in proportion."""
        medians = {size: spread.median for size, spread in self.of(peer).items()}
        if len(medians) < 2 or min(medians.values()) <= 0:
            return None
        return _slope(medians)


@dataclass(frozen=True, slots=True)
class Measured:
    """One whole measurement. The names of its parts are those in the file."""

    machine: dict[str, str]
    plan: dict[str, Any]
    figures: list[Row]
    runs: list[MeasuredRun]

    @property
    def peers(self) -> list[str]:
        """All that were measured, in the order in which they are known; strangers last."""
        seen = dict.fromkeys(peer for row in self.figures for peer in row.values)
        known = list(PEERS)
        return sorted(seen, key=lambda peer: known.index(peer) if peer in known else len(known))

    @property
    def ours(self) -> str:
        return OURS.name

    def curves(self) -> Iterator[Curve]:
        """Every figure of every scenario, in the order in which they were first measured."""
        keys = list(dict.fromkeys((row.scenario, row.figure) for row in self.figures))
        rows = sorted(self.figures, key=lambda row: (keys.index((row.scenario, row.figure)), row.size))
        for (scenario, figure), some in groupby(rows, key=lambda row: (row.scenario, row.figure)):
            yield Curve(scenario, figure.name, figure.unit, list(some))

    def curve(self, scenario: str, figure: str) -> Curve | None:
        return next((curve for curve in self.curves() if (curve.scenario, curve.figure) == (scenario, figure)), None)

    def values(self, scenario: str, figure: str, size: int, peer: str) -> list[float]:
        """Those of all runs together, the smallest first."""
        runs = (run for run in self.runs if (run.scenario, run.size, run.peer) == (scenario, size, peer))
        return sorted(value for run in runs for value in run.sample.get(figure, []))


def load(path: Path) -> Measured:
    return cattrs.structure(json.loads(path.read_text()), Measured)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of the sorted values that so many percent don't exceed: always one that was measured."""
    return values[max(0, -int(-len(values) * percent // 100) - 1)]


def number(value: float) -> str:
    """Three digits that count."""
    decimals = 0 if abs(value) >= 99.95 or not value else 1 if abs(value) >= 9.995 else 2 if abs(value) >= 0.0995 else 3
    return f"{value:,.{decimals}f}"


def _slope(medians: dict[int, float]) -> float:
    """Of the straight line through all points, both logarithmic."""
    logarithms = [(math.log(size), math.log(value)) for size, value in medians.items()]
    return statistics.linear_regression(*zip(*logarithms, strict=True)).slope
