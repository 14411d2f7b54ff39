"""``python -m benchmarks.plots FIGURES.json FOLDER``: draws what was measured as SVG.

The same figures give the same bytes. The plots have a background of their own, so that they are readable on light and
dark pages, and text that stays text.
"""

from __future__ import annotations

import argparse
import io
import math
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.charts import Chart, Line, Mark, Scale, charts, lanes, overview, spread_out
from benchmarks.figures import Spread
from benchmarks.measured import Measured, load, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OVERVIEW = "overview"
MADE_BY = "benchmarks.plots"
"""Is in each file, so that those that are no longer made can be removed."""

INK, QUIET, GRID, PAPER = "#1f2328", "#59636e", "#e3e6ea", "#ffffff"
OURS_AREA, THEIRS_AREA = "#eaf3fa", "#fbeee6"


@dataclass(frozen=True, slots=True)
class Style:
    """How a peer is drawn, the same in all plots: colours that the colour-blind tell apart, and shapes."""

    colour: str
    marker: str
    dashes: str = "-"


STYLES = {
    "emperor-trio": Style("#0072b2", "o"),
    "uwsgi": Style("#d55e00", "s"),
    "pyuwsgi": Style("#b8860b", "D"),
    "supervisord": Style("#aa4499", "^"),
    "circus": Style("#009e73", "v"),
    "s6": Style("#882255", "P"),
    "runit": Style("#5c4a3d", "X"),
    "C limit": Style("#59636e", "d", "--"),
}
OTHERS = Style("#59636e", "p", "-.")

SETTINGS = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: what is wide enough for it is so for the others, too
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "emperor-trio",
    "axes.edgecolor": GRID,
    "axes.labelcolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": False,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "text.color": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
}
NOT_SEEN = r"font-family: 'DejaVu Sans'; ?| transform=\"rotate\(-0 [^)]*\)\"|(?<=\.\d\d)\d+| +$"
FONTS = "system-ui, 'Segoe UI', Helvetica, Arial, 'DejaVu Sans', sans-serif"

UNITS = {
    "s": "Seconds",
    "ms": "Milliseconds",
    "%": "Percent of one core",
    "MB": "Megabytes",
    "kB": "Kilobytes",
    "vassals": "Number",
}

WIDTH = 7.2
"""Inches, of 72 points."""


class NoMatplotlib(Exception):
    """Plots can't be drawn here."""

    def __init__(self) -> None:
        super().__init__("plots need matplotlib: make bench installs it, or pip install -r requirements/bench.txt")


def unit(chart: Chart) -> str:
    return UNITS.get(chart.unit, chart.unit)


def style(peer: str) -> Style:
    return STYLES.get(peer, OTHERS)


def write_plots(measured: Measured, folder: Path) -> list[Path]:
    """Write all into the folder, and remove those of before that are none of them."""
    drawn = {chart.name: draw_chart(chart, measured.ours) for chart in charts(measured)}
    if lines := list(overview(measured)):
        drawn[OVERVIEW] = draw_overview(lines, measured.ours)
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.svg"):
        if file.stem not in drawn and MADE_BY in file.read_text():
            file.unlink()
    for name, text in drawn.items():
        (folder / f"{name}.svg").write_text(text)
    return [folder / f"{name}.svg" for name in drawn]


def draw_chart(chart: Chart, ours: str) -> str:
    return _svg(chart.title, lambda figure: (_bars if chart.bars else _curves)(figure, chart, ours), _height(chart))


def _height(chart: Chart) -> float:
    return 0.95 + 0.27 * len(chart.series) if chart.bars else 3.7


def _curves(figure: Figure, chart: Chart, ours: str) -> None:
    height = _height(chart)
    axes = figure.add_axes((0.09, 0.42 / height, 0.665, 1 - 1.02 / height))
    _head(
        figure, chart.title, f"{unit(chart)}, by number of vassals. Medians, and how far they spread. Less is better."
    )
    _set_scale(axes, chart)
    for peer, points in chart.series.items():
        sizes, spreads = list(points), list(points.values())
        medians = [spread.median for spread in spreads]
        axes.errorbar(
            sizes,
            medians,
            [[spread.median - spread.low for spread in spreads], [spread.high - spread.median for spread in spreads]],
            color=style(peer).colour,
            marker=style(peer).marker,
            linestyle=style(peer).dashes,
            linewidth=2.6 if peer == ours else 1.3,
            markersize=6.5 if peer == ours else 4.5,
            elinewidth=1,
            capsize=2,
            zorder=3 if peer == ours else 2,
        )
    axes.grid(visible=True, which="major")
    axes.xaxis.grid(visible=False)
    _name_curves(axes, chart, ours)


def _set_scale(axes: Axes, chart: Chart) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale(chart.size_scale.value)
    medians = [spread.median for points in chart.series.values() for spread in points.values()]
    smallest = min((value for value in medians if value > 0), default=1.0)
    if chart.value_scale is Scale.SYMLOG:
        axes.set_yscale("symlog", linthresh=smallest)
    else:
        axes.set_yscale(chart.value_scale.value)
    highs = [spread.high for points in chart.series.values() for spread in points.values()]
    lows = [spread.low for points in chart.series.values() for spread in points.values()]
    if chart.value_scale is Scale.LOG:  # a spread down to nought ends at the lower edge
        low, high = max(min(lows), smallest / 10) / 1.5, max(highs) * 1.5
        axes.set_ylim(low, high)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    else:
        axes.set_ylim(0, max(*highs, smallest) * (3 if chart.value_scale is Scale.SYMLOG else 1.1))
    low, high = min(chart.sizes), max(chart.sizes)
    room = (high / low) ** 0.04 if chart.size_scale is Scale.LOG else (high - low) * 0.05
    axes.set_xlim((low / room, high * room) if chart.size_scale is Scale.LOG else (low - room, high + room))
    axes.xaxis.set_major_locator(FixedLocator(chart.ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.9g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="both", length=0)


def _name_curves(axes: Axes, chart: Chart, ours: str) -> None:
    """Beside the right edge, each at the height of its last point if there is room, with a line that leads there."""
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = {peer: max(points) for peer, points in chart.series.items()}
    tips = {peer: to_axes.transform((size, chart.series[peer][size].median)) for peer, size in ends.items()}
    heights = spread_out([float(tip[1]) for tip in tips.values()], 0.075, 0.0, 1.0)
    for (peer, tip), height in zip(tips.items(), heights, strict=True):
        colour = style(peer).colour
        axes.plot(
            [tip[0], 1.0, 1.025], [tip[1], height, height], transform=axes.transAxes, clip_on=False,
            color=colour, linewidth=0.7, linestyle=":", zorder=1,
        )  # fmt: skip
        text = f"{peer}  {number(chart.series[peer][ends[peer]].median)}"
        weight = _weight(peer, ours)
        axes.text(1.03, height, text, transform=axes.transAxes, va="center_baseline", color=colour, fontweight=weight)


def _bars(figure: Figure, chart: Chart, ours: str) -> None:
    height = _height(chart)
    axes = figure.add_axes((0.15, 0.2 / height, 0.69, 1 - 0.75 / height))
    size = chart.sizes[0]
    _head(figure, chart.title, f"{unit(chart)}, {size:,} vassals. Medians, and how far they spread. Less is better.")
    spreads = {peer: points[size] for peer, points in chart.series.items()}
    best_last = sorted(spreads, key=lambda peer: -spreads[peer].median)
    for place, peer in enumerate(best_last):
        spread = spreads[peer]
        colour = style(peer).colour
        axes.barh(place, spread.median, height=0.62, color=colour, alpha=1 if peer == ours else 0.55, linewidth=0)
        axes.plot([spread.low, spread.high], [place, place], color=INK, linewidth=1.1)
        right = max(spread.high, spread.median)
        axes.annotate(
            number(spread.median), (right, place), (5, 0), textcoords="offset points", va="center_baseline",
            color=colour, fontweight=_weight(peer, ours), annotation_clip=False,
        )  # fmt: skip
    axes.set_xlim(0, max(max(spread.high for spread in spreads.values()), 1e-9) * 1.02)
    axes.set_ylim(-0.6, len(best_last) - 0.4)
    axes.set_yticks(range(len(best_last)), best_last)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines["bottom"].set_visible(False)
    for label, peer in zip(axes.get_yticklabels(), best_last, strict=True):
        label.set(color=style(peer).colour, fontweight=_weight(peer, ours))


@dataclass(frozen=True, slots=True)
class Laid:
    """One line of the overview: what is written left of it, and its marks with the places of their names.

    Those are in points from the left edge of the plot, and the lane below the marks.
    """

    words: Sequence[str]
    names: Sequence[tuple[Mark, float, int]]

    @property
    def height(self) -> float:
        """Inches."""
        below = 1 + max(lane for *_, lane in self.names)
        return 0.14 + max(0.14 + 0.135 * below, 0.145 * len(self.words))


LEFT, ROOM = 0.35, 0.625
"""Where the overview's marks are, and how much room they have, in parts of the width."""
ROOM_POINTS = ROOM * WIDTH * 72
LETTER = 4.7
"""Points that a letter of the marks' names is wide, at most on average."""


def draw_overview(lines: Sequence[Line], ours: str) -> str:
    """Of each line the marks, and below them their names, on as many lanes as they need."""
    ratios = [mark.ratio for line in lines for mark in line.marks]
    low = min(0.5, *(value for ratio in ratios for value in (ratio.low, ratio.median) if value > 0)) / 2
    high = max(2.0, *(ratio.high for ratio in ratios)) * 2
    laid = [_lay(line, low, high) for line in lines]
    height = sum(line.height for line in laid) + 1.2
    return _svg(_overview_title(ours), lambda figure: _overview(figure, laid, (low, high), ours), height)


def _lay(line: Line, low: float, high: float) -> Laid:
    centres, spans = [], []
    for mark in line.marks:
        half = len(_name(mark)) * LETTER / 2
        wanted = math.log(max(mark.ratio.median, low) / low) / math.log(high / low) * ROOM_POINTS
        centre = min(max(wanted, half), ROOM_POINTS - half)
        centres.append(centre)
        spans.append((centre - half, centre + half + LETTER))
    words = textwrap.wrap(f"{line.figure}\u00a0·\u00a0{line.size:,}", 36)
    return Laid(words, list(zip(line.marks, centres, lanes(spans), strict=True)))


def _name(mark: Mark) -> str:
    return f"{mark.label} ×{number(mark.ratio.median)}"


def _overview(figure: Figure, laid: Sequence[Laid], limits: tuple[float, float], ours: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    height = float(figure.get_figheight())
    inches = height - 1.2
    axes = figure.add_axes((LEFT, 0.3 / height, ROOM, inches / height))
    _head(
        figure,
        _overview_title(ours),
        "Medians of paired runs, at the largest number of vassals that both were measured with.",
    )
    axes.set(xscale="log", xlim=limits, ylim=(inches, 0))
    axes.axvspan(limits[0], 1, color=THEIRS_AREA, linewidth=0, zorder=0)
    axes.axvspan(1, limits[1], color=OURS_AREA, linewidth=0, zorder=0)
    axes.axvline(1, color=style(ours).colour, linewidth=1.2, alpha=0.5, zorder=1)
    for text, side, shift in ((f"{ours} is better →", "left", 6), ("← the other is better", "right", -6)):
        axes.annotate(
            text, (1, 0), (shift, 6), textcoords="offset points", ha=side, va="bottom", color=QUIET, fontsize=8
        )  # fmt: skip
    top = 0.0
    placed: dict[str, list[tuple[Spread, float]]] = {}
    for line in laid:
        middle = top + 0.16
        axes.plot(limits, (top, top), color=PAPER, linewidth=1.5, zorder=1)
        for number_of, words in enumerate(line.words):
            axes.text(
                -0.015, 1 - (middle + 0.145 * number_of) / inches, words, transform=axes.transAxes, ha="right",
                va="center_baseline", fontsize=8,
            )  # fmt: skip
        for mark, centre, lane in line.names:
            placed.setdefault(mark.peer, []).append((mark.ratio, middle))
            axes.text(
                centre / ROOM_POINTS, 1 - (middle + 0.15 + 0.135 * lane) / inches, _name(mark),
                transform=axes.transAxes, ha="center", va="center_baseline", fontsize=7.5,
                color=style(mark.peer).colour,
            )  # fmt: skip
        top += line.height
    for peer, marks in placed.items():  # what is nought is at the left edge
        look = style(peer)
        heights = [height for _, height in marks]
        lows, medians = (
            [max(value, limits[0]) for value in some]
            for some in zip(*((ratio.low, ratio.median) for ratio, _ in marks), strict=True)
        )
        axes.hlines(heights, lows, [ratio.high for ratio, _ in marks], color=look.colour, linewidth=1, zorder=2)
        axes.plot(medians, heights, look.marker, color=look.colour, markersize=6, zorder=3, clip_on=False)
    axes.xaxis.set_major_locator(LogLocator(numticks=20))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"×{value:,.9g}"))
    axes.set_yticks([])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _overview_title(ours: str) -> str:
    return f"The others' figures as multiples of {ours}'s"


def _weight(peer: str, ours: str) -> str:
    return "bold" if peer == ours else "normal"


def _head(figure: Figure, title: str, below: str) -> None:
    height = float(figure.get_figheight())
    figure.text(0.02, 1 - 0.2 / height, title, fontsize=10.5, fontweight="bold", va="center_baseline")
    figure.text(0.02, 1 - 0.4 / height, below, fontsize=8, color=QUIET, va="center_baseline")


def _svg(title: str, draw: Callable[[Figure], None], height: float) -> str:
    """``height`` in inches."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise NoMatplotlib from error
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **SETTINGS}):
        figure = Figure(figsize=(WIDTH, height))
        draw(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": MADE_BY, "Title": title})
    return smaller(text.getvalue())


def smaller(drawn: str) -> str:
    """Without what can't be seen: hundredths of points, turns by no degrees, fonts that are the same everywhere."""
    drawn = drawn.replace("<svg ", f'<svg font-family="{FONTS}" ', 1)
    return re.sub(r"<[^>]+>", lambda tag: re.sub(NOT_SEEN, "", tag[0]), drawn)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.plots", description="Draw what was measured.")
    parser.add_argument("figures", type=Path, help="what python -m benchmarks --json wrote")
    parser.add_argument("folder", type=Path, help="where the plots go")
    options = parser.parse_args(arguments)
    try:
        for file in write_plots(load(options.figures), options.folder):
            print(file)
    except (NoMatplotlib, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
