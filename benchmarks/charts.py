"""What the plots show, before anything is drawn: which points, on which scales, and where the names go. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from benchmarks.figures import Spread
from benchmarks.measured import Curve, Measured

DECADE = 10.0
CROWDED = 0.08
"""Part of the width of a chart that the number below it needs."""


class Scale(Enum):
    """The names are those of matplotlib. ``SYMLOG`` is logarithmic, and has a place for nought, too."""

    LINEAR = "linear"
    LOG = "log"
    SYMLOG = "symlog"


@dataclass(frozen=True, slots=True)
class Chart:
    """One figure: for each peer, its values by size. With one size it is a chart of bars.

    ``name`` is that of the file, without its ending.
    """

    name: str
    title: str
    unit: str
    series: Mapping[str, Mapping[int, Spread]]
    sizes: Sequence[int]

    @property
    def bars(self) -> bool:
        return len(self.sizes) == 1

    @property
    def size_scale(self) -> Scale:
        return scale(self.sizes)

    @property
    def ticks(self) -> list[int]:
        """The sizes that are written below the chart: not those right beside a larger one."""
        reached = {size: math.log(size) if self.size_scale is Scale.LOG else size for size in self.sizes}
        apart = CROWDED * (max(reached.values()) - min(reached.values()))
        kept: list[int] = []
        for size in sorted(self.sizes, reverse=True):
            if not kept or reached[kept[-1]] - reached[size] >= apart:
                kept.append(size)
        return kept[::-1]

    @property
    def value_scale(self) -> Scale:
        """Bars begin at nought, so that their lengths can be compared."""
        if self.bars:
            return Scale.LINEAR
        return scale([spread.median for points in self.series.values() for spread in points.values()])


@dataclass(frozen=True, slots=True)
class Mark:
    """How many times ours one peer's figure is. ``label`` tells its size where that is not the line's."""

    peer: str
    label: str
    ratio: Spread


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of the overview, at the largest size that ours has in common with any peer."""

    scenario: str
    figure: str
    size: int
    marks: Sequence[Mark]


def charts(measured: Measured) -> Iterator[Chart]:
    """One for each figure where there is something to compare: peers, or sizes."""
    for curve in measured.curves():
        series = {peer: points for peer in measured.peers if (points := curve.of(peer))}
        if sum(map(len, series.values())) > 1:
            yield Chart(chart_name(curve), curve.title, curve.unit, series, curve.sizes)


def chart_name(curve: Curve) -> str:
    return re.sub(r"[^a-z0-9]+", "-", curve.title.lower()).strip("-")


def overview(measured: Measured) -> Iterator[Line]:
    """Every figure that a peer has, too. Each peer is shown at the largest size at which it was compared.

    A ratio may be 0, where a peer needs nothing.
    """
    for curve in measured.curves():
        largest: dict[str, tuple[int, Spread]] = {}
        for row in curve.rows:
            largest |= {peer: (row.size, ratio) for peer, ratio in row.ratios.items()}
        if largest:
            top = max(size for size, _ in largest.values())
            marks = [
                Mark(peer, peer if size == top else f"{peer} ({size:,})", ratio)
                for peer, (size, ratio) in largest.items()
            ]
            yield Line(curve.scenario, curve.figure, top, sorted(marks, key=lambda mark: mark.ratio.median))


def scale(values: Sequence[float]) -> Scale:
    """Logarithmic for what spans a decade or more."""
    positive = [value for value in values if value > 0]
    if not positive or max(positive) < DECADE * min(positive):
        return Scale.LINEAR
    return Scale.LOG if len(positive) == len(values) else Scale.SYMLOG


def spread_out(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Each place moved as little as may be, so that all are ``gap`` apart and between the ends; the order stays.

    Neighbours that are too close become a block around the mean of what they want. Where there is no room for all,
    they are packed as evenly as it goes.
    """
    if len(places) > 1:
        gap = min(gap, (high - low) / (len(places) - 1))
    order = sorted(range(len(places)), key=lambda index: places[index])
    blocks: list[list[float]] = []  # of each place in it, where its block would begin if it alone were asked
    starts: list[float] = []
    for index in order:
        blocks.append([places[index]])
        starts.append(_begin(blocks[-1], gap, low, high))
        while len(blocks) > 1 and starts[-2] + gap * len(blocks[-2]) > starts[-1]:
            later = blocks.pop()
            starts.pop()
            blocks[-1] += [begin - gap * len(blocks[-1]) for begin in later]
            starts[-1] = _begin(blocks[-1], gap, low, high)
    moved = [start + gap * step for start, block in zip(starts, blocks, strict=True) for step in range(len(block))]
    return [place for _, place in sorted(zip(order, moved, strict=True))]


def _begin(block: Sequence[float], gap: float, low: float, high: float) -> float:
    return min(max(sum(block) / len(block), low), high - gap * (len(block) - 1))


def lanes(spans: Sequence[tuple[float, float]]) -> list[int]:
    """For texts from left to right, given by their ends in order: on which lane each finds room, 0 the first."""
    ends: list[float] = []
    found = []
    for left, right in spans:
        lane = next((number for number, end in enumerate(ends) if end <= left), len(ends))
        ends[lane : lane + 1] = [right]
        found.append(lane)
    return found
