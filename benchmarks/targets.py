"""Targets: what is to be reached, as ``targets.toml`` has it, and whether it was. Pure but for ``load_targets``.

A target is checked at each of its sizes. What was not measured is neither reached nor missed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cattrs

from benchmarks.measured import Curve, Measured, number, percentile

if TYPE_CHECKING:
    from benchmarks.figures import Spread

FILE = Path(__file__).with_name("targets.toml")


@dataclass(frozen=True, slots=True)
class Verdict:
    """``reached`` is ``None`` where it was not measured; ``said`` is the measured side of it, for people."""

    reached: bool | None
    said: str = ""


UNKNOWN = Verdict(None)


@dataclass(frozen=True, slots=True)
class Bound:
    """Ours is at most ``at_most`` in the figure's unit, plus ``per_vassal`` for each.

    That holds for the median or a ``percentile`` of all values. ``beyond`` names another figure of ours
    (``scenario: figure``) at the same size that comes on top.
    """

    at_most: float
    per_vassal: float = 0.0
    percentile: float | None = None
    beyond: str | None = None

    def judge(self, measured: Measured, curve: Curve, size: int) -> Verdict:
        values = measured.values(curve.scenario, curve.figure, size, measured.ours)
        median = curve.of(measured.ours).get(size)
        if median is None or not values:
            return UNKNOWN
        value = median.median if self.percentile is None else percentile(values, self.percentile)
        said = "" if self.percentile is None else f"p{self.percentile:g} {number(value)} {curve.unit} of {len(values)}"
        most = self.at_most + self.per_vassal * size
        if self.beyond is not None:
            other = next((other for other in measured.curves() if other.title == self.beyond), None)
            on_top = other.of(measured.ours).get(size) if other else None
            if on_top is None:
                return UNKNOWN
            most += on_top.median
            said = f"{number(value - on_top.median)} {curve.unit} beyond “{self.beyond}”"
        return Verdict(value <= most, said)


@dataclass(frozen=True, slots=True)
class Faster:
    """A peer's figure is at least ``times`` ours, in pairs of runs. Below 1 it is how near ours comes to a limit."""

    than: str
    times: float

    def judge(self, measured: Measured, curve: Curve, size: int) -> Verdict:
        row = curve.at(size)
        ratio = row.ratios.get(self.than) if row else None
        if ratio is None:
            return UNKNOWN
        return Verdict(ratio.median >= self.times, f"{self.than} ×{number(ratio.median)}")


@dataclass(frozen=True, slots=True)
class Same:
    """Ours is at most ``times`` what it is at the size ``as_at``."""

    as_at: int
    times: float

    def judge(self, measured: Measured, curve: Curve, size: int) -> Verdict:
        ours = curve.of(measured.ours)
        if size not in ours or self.as_at not in ours or not ours[self.as_at].median:
            return UNKNOWN
        times = ours[size].median / ours[self.as_at].median
        return Verdict(times <= self.times, f"×{number(times)} of that at {self.as_at:,}")


Check = Bound | Faster | Same


@dataclass(frozen=True, slots=True)
class Target:
    """``scenario`` and ``figure`` are the names in the measurement; ``text`` says what is to be reached."""

    scenario: str
    figure: str
    sizes: list[int]
    text: str
    checks: list[Check]


@dataclass(frozen=True, slots=True)
class Growth:
    """No curve of ours grows faster than the number of vassals to the power of ``at_most``."""

    text: str
    at_most: float


@dataclass(frozen=True, slots=True)
class Targets:
    growth: Growth
    target: list[Target] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Judged:
    """One line of the table. ``size`` is ``None`` where all are looked at."""

    what: str
    size: int | None
    text: str
    ours: str
    peers: str
    verdicts: Sequence[Verdict]

    @property
    def reached(self) -> bool | None:
        """Only if all of it was measured and reached; missed as soon as one part is."""
        states = [verdict.reached for verdict in self.verdicts]
        return False if False in states else None if None in states else True


def load_targets(file: Path = FILE) -> Targets:
    converter = cattrs.Converter(forbid_extra_keys=True)
    return converter.structure(tomllib.loads(file.read_text()), Targets)


def judge(measured: Measured, targets: Targets) -> Iterator[Judged]:
    """Every target at every size of it; the growth of all curves last."""
    for target in targets.target:
        curve = measured.curve(target.scenario, target.figure)
        for size in target.sizes:
            yield _judge(measured, target, curve, size)
    yield _judge_growth(measured, targets.growth)


def _judge(measured: Measured, target: Target, curve: Curve | None, size: int) -> Judged:
    if curve is None:
        return Judged(target.figure, size, target.text, "", "", [UNKNOWN])
    peers = (peer for peer in measured.peers if peer != measured.ours)
    values = {peer: spreads[size] for peer in peers if size in (spreads := curve.of(peer))}
    verdicts = [check.judge(measured, curve, size) for check in target.checks]
    ours = curve.of(measured.ours).get(size)
    return Judged(
        target.figure,
        size,
        target.text,
        "; ".join(filter(None, [_show(ours, curve.unit) if ours else "", *(verdict.said for verdict in verdicts)])),
        ", ".join(f"{peer} {_show(spread, curve.unit)}" for peer, spread in values.items()),
        verdicts,
    )


def _judge_growth(measured: Measured, growth: Growth) -> Judged:
    """The steepest curve of each peer is told, and of ours all that are too steep."""
    steepest: dict[str, str] = {}
    ours: dict[str, float] = {}
    for peer in measured.peers:
        exponents = {curve.title: value for curve in measured.curves() if (value := curve.growth(peer)) is not None}
        if exponents:
            worst = max(exponents, key=lambda title: exponents[title])
            steepest[peer] = f"{number(exponents[worst])} ({worst})"
        if peer == measured.ours:
            ours = exponents
    missed = [title for title, value in ours.items() if value > growth.at_most]
    verdict = Verdict(not missed, f"too steep: {', '.join(missed)}" if missed else "") if ours else UNKNOWN
    said = "; ".join(filter(None, [steepest.pop(measured.ours, ""), verdict.said]))
    others = ", ".join(f"{peer} {worst}" for peer, worst in steepest.items())
    return Judged("growth exponent of the steepest curve", None, growth.text, said, others, [verdict])


def _show(spread: Spread, unit: str) -> str:
    return f"{number(spread.median)} {unit}"
