"""From samples to figures: medians, quartiles, and ratios pair by pair. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.scenarios import Figure, Sample


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one emperor. Runs with the same ``number`` were done right after each other, and make a pair."""

    scenario: str
    size: int
    number: int
    peer: str
    sample: Sample


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with its quartiles; of fewer than four values, with the smallest and the largest."""

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        if len(values) < 4:
            return cls(statistics.median(values), min(values), max(values), len(values))
        low, median, high = statistics.quantiles(values, method="inclusive")
        return cls(median, low, high, len(values))


@dataclass(frozen=True, slots=True)
class Row:
    """One figure at one size: by peer, its values and how many times the first peer's they are."""

    scenario: str
    size: int
    figure: Figure
    values: dict[str, Spread]
    ratios: dict[str, Spread]


def summarize(runs: Sequence[Run], peers: Sequence[str]) -> Iterator[Row]:
    """Every figure that was measured. Values are those of all runs together, ratios those of the pairs' medians."""
    for scenario, size in dict.fromkeys((run.scenario, run.size) for run in runs):
        those = [run for run in runs if (run.scenario, run.size) == (scenario, size)]
        for figure in dict.fromkeys(figure for run in those for figure in run.sample):
            values = {
                peer: [value for run in those if run.peer == peer for value in run.sample.get(figure, ())]
                for peer in peers
            }
            ratios = {peer: _ratios(those, figure, peers[0], peer) for peer in peers[1:]}
            yield Row(scenario, size, figure, _spreads(values), _spreads(ratios))


def _spreads(values: dict[str, list[float]]) -> dict[str, Spread]:
    return {peer: Spread.of(some) for peer, some in values.items() if some}


def _ratios(runs: Sequence[Run], figure: Figure, first: str, other: str) -> list[float]:
    medians = {(run.peer, run.number): statistics.median(run.sample[figure]) for run in runs if run.sample.get(figure)}
    pairs = [(medians.get((first, number)), medians.get((other, number))) for number in {run.number for run in runs}]
    return [theirs / ours for ours, theirs in pairs if ours and theirs is not None]
