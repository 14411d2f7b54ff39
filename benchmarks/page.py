"""``python -m benchmarks.page FIGURES.json``: draws the plots, and writes what was measured into the pages.

Parts between ``<!-- generated: NAME -->`` and ``<!-- end -->`` are written anew; all else of a page is left alone.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.charts import Line, chart_name, charts, overview
from benchmarks.figures import Row
from benchmarks.measured import Curve, Measured, load, number
from benchmarks.peers.limit import LimitPeer
from benchmarks.plots import OVERVIEW, NoMatplotlib, write_plots
from benchmarks.targets import Judged, judge, load_targets

ROOT = Path(__file__).parents[1]
PAGE = Path("docs/benchmarks.md")
README = Path("README.md")
PLOTS = Path("docs/benchmarks")

NOTHING = "—"

_PART = re.compile(r"(<!-- generated: ([\w-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


class WrongParts(Exception):
    """A page has other parts than those that are written."""


def fill(text: str, parts: Mapping[str, str]) -> str:
    """The page with its parts written anew. Raises ``WrongParts`` where one is missing or unknown."""
    there = [name for _, name, *_ in _PART.findall(text)]
    if sorted(there) != sorted(parts):
        raise WrongParts(f"it has the parts {', '.join(there) or 'none'}, but these are written: {', '.join(parts)}")
    return _PART.sub(lambda part: f"{part[1]}\n{parts[part[2]].strip()}\n\n{part[4]}", text)


def machine(measured: Measured) -> str:
    """On what it was measured, who, and how much."""
    lines = [f"- {name}: {value}" for name, value in measured.machine.items()]
    plan = {name: value for name, value in measured.plan.items() if isinstance(value, int | float | str)}
    lines += [f"- {name}: {str(value).lower()}" for name, value in plan.items()]
    return "\n".join([*lines, f"- runs that succeeded: {len(measured.runs):,}"])


def targets_table(judged: Sequence[Judged]) -> str:
    """What was to be reached, and whether it was. Those that were missed are named first, in a sentence."""
    rows = [["", "vassals", "peers, measured", "ours, measured", "target", ""]]
    for line in judged:
        size = "all" if line.size is None else f"{line.size:,}"
        rows.append([line.what, size, line.peers or NOTHING, line.ours or NOTHING, line.text, _outcome(line)])
    return "\n\n".join([_sum_up(judged), markdown_table(rows)])


def _outcome(line: Judged) -> str:
    return {True: "reached", False: "**missed**", None: "not measured"}[line.reached]


def _sum_up(judged: Sequence[Judged]) -> str:
    said = [f"Reached: {sum(line.reached is True for line in judged)} of {len(judged)}."]
    missed, unknown = (_list([line for line in judged if line.reached is outcome]) for outcome in (False, None))
    said += [f"**Missed: {missed}.**"] if missed else []
    said += [f"Not measured: {unknown}."] if unknown else []
    return " ".join(said)


def _list(lines: Sequence[Judged]) -> str:
    """Each figure once, with its sizes."""
    sizes: dict[str, list[str]] = {}
    for line in lines:
        sizes.setdefault(line.what, []).extend([] if line.size is None else [f"{line.size:,}"])
    return "; ".join(f"{what} ({' and '.join(some)})" if some else what for what, some in sizes.items())


def vassals(size: int) -> str:
    return f"{size:,} vassal{'s' * (size != 1)}"


def losses(measured: Measured) -> str:
    """Where others are better, at the largest size that was compared, the best of them first."""
    lines = [text for line in overview(measured) if (text := _loss(line))]
    if not lines:
        return f"In nothing that was measured is another better than {measured.ours}."
    return "\n".join([f"What others do better than {measured.ours} (their figure as a multiple of ours):", "", *lines])


def _loss(line: Line) -> str:
    better = [mark for mark in line.marks if mark.ratio.median < 1 and mark.peer != LimitPeer.name]
    said = ", ".join(f"{mark.label} ×{number(mark.ratio.median)}" for mark in better)
    return f"- {line.figure}, {vassals(line.size)}: {said}" if said else ""


def picture(measured: Measured, folder: str) -> str:
    """The overview, if there is anything in it."""
    if not list(overview(measured)):
        return "Nothing was compared."
    return f"![The others' figures as multiples of {measured.ours}'s, in a plot]({folder}/{OVERVIEW}.svg)"


def figures(measured: Measured) -> str:
    """Each figure with its plot, if it has one, and its table."""
    drawn = {chart.name for chart in charts(measured)}
    return "\n\n".join(part for curve in measured.curves() for part in _figure(measured, curve, drawn))


def _figure(measured: Measured, curve: Curve, drawn: set[str]) -> Iterator[str]:
    yield f"### {curve.title}"
    if chart_name(curve) in drawn:
        yield f"![{curve.title}, in a plot]({PLOTS.name}/{chart_name(curve)}.svg)"
    peers = [peer for peer in measured.peers if curve.of(peer)]
    head = ["vassals", *(f"{peer} [{curve.unit}]" for peer in peers)]
    yield markdown_table([head, *([f"{row.size:,}", *(_cell(row, peer) for peer in peers)] for row in curve.rows)])


def _cell(row: Row, peer: str) -> str:
    """The median with its spread, and how many times ours it is."""
    spread, ratio = row.values.get(peer), row.ratios.get(peer)
    if spread is None:
        return NOTHING
    around = f" ({number(spread.low)}–{number(spread.high)})" if spread.count > 1 else ""
    return f"{number(spread.median)}{around}" + (f" · ×{number(ratio.median)}" if ratio else "")


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def readme(measured: Measured, judged: Sequence[Judged]) -> str:
    """The overview, how many targets are reached, and what others do better."""
    reached = sum(line.reached is True for line in judged)
    missed = sum(line.reached is False for line in judged)
    score = f"Of {len(judged)} [targets]({PAGE}#targets), {reached} are reached and {missed} missed"
    unknown = len(judged) - reached - missed
    said = f"{score}; {unknown} were not measured." if unknown else f"{score}."
    return "\n\n".join([picture(measured, str(PLOTS)), said, losses(measured)])


def write_pages(measured: Measured, root: Path) -> list[Judged]:
    """Plots first: without them the pages stay as they are."""
    judged = list(judge(measured, load_targets()))
    parts = {
        PAGE: {
            "targets": targets_table(judged),
            "overview": picture(measured, PLOTS.name),
            "losses": losses(measured),
            "machine": machine(measured),
            "figures": figures(measured),
        },
        README: {"benchmarks": readme(measured, judged)},
    }
    pages = {page: fill((root / page).read_text(), some) for page, some in parts.items()}
    write_plots(measured, root / PLOTS)
    for page, text in pages.items():
        (root / page).write_text(text)
    return judged


def terminal_table(judged: Sequence[Judged]) -> str:
    """The same for a terminal: what was missed catches the eye."""
    lines = []
    for line in judged:
        size = "" if line.size is None else f", {vassals(line.size)}"
        lines.append(
            f"{_outcome(line).strip('*').upper() if line.reached is False else _outcome(line):12}  {line.what}{size}"
        )
        lines.append(f"{'':14}target {line.text}; ours {line.ours or NOTHING}; peers {line.peers or NOTHING}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.page", description="Draw what was measured, and tell it in the pages."
    )
    parser.add_argument("figures", type=Path, help="what python -m benchmarks --json wrote")
    parser.add_argument("--root", type=Path, default=ROOT, help="where README.md and docs/ are")
    options = parser.parse_args(arguments)
    try:
        judged = write_pages(load(options.figures), options.root)
    except (NoMatplotlib, WrongParts, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    print(terminal_table(judged))
    return 0


if __name__ == "__main__":
    sys.exit(main())
