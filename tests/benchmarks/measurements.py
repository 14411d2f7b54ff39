"""Measurements to look at, made up: as ``python -m benchmarks --json`` writes them."""

from __future__ import annotations

from benchmarks.figures import Run, summarize
from benchmarks.measured import Measured, MeasuredRun
from benchmarks.scenarios import Figure

OURS, UWSGI, LIMIT, CIRCUS = "emperor-trio", "uwsgi", "C limit", "circus"

Values = dict[int, dict[str, list[float]]]
"""By size and peer."""


def measured(figures: dict[tuple[str, Figure], Values]) -> Measured:
    """By scenario and figure; each value is that of a run of its own."""
    runs = [
        Run(scenario, size, number, peer, {figure: [value]})
        for (scenario, figure), sizes in figures.items()
        for size, peers in sizes.items()
        for peer, values in peers.items()
        for number, value in enumerate(values)
    ]
    peers = list(dict.fromkeys([OURS, *(run.peer for run in runs)]))
    return Measured(
        {"cpu": "2 × made up"},
        {"repeat": 3, "realtime": False, "agenda": {}},
        list(summarize(runs, peers)),
        [
            MeasuredRun(
                run.scenario, run.size, run.number, run.peer, {key.name: some for key, some in run.sample.items()}
            )
            for run in runs
        ],
    )
