"""From samples to figures."""

from __future__ import annotations

from benchmarks.figures import Run, Spread, summarize
from benchmarks.report import table
from benchmarks.scenarios import BOOT, CHANGE, IDLE, Sample

OURS, THEIRS = "ours", "theirs"


def run(number: int, peer: str, sample: Sample) -> Run:
    return Run("reign", 1000, number, peer, sample)


def test_few_values_are_shown_with_all_that_they_span_and_many_with_quartiles() -> None:
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0, 3)
    assert Spread.of([1.0, 2.0, 3.0, 4.0, 100.0]) == Spread(3.0, 2.0, 4.0, 5)


def test_ratios_are_of_runs_that_were_done_right_after_each_other() -> None:
    runs = [
        run(0, OURS, {BOOT: [1.0]}),
        run(0, THEIRS, {BOOT: [2.0]}),
        run(1, THEIRS, {BOOT: [40.0]}),  # the machine was busy then
        run(1, OURS, {BOOT: [10.0]}),
    ]
    (row,) = summarize(runs, [OURS, THEIRS])
    assert row.values == {OURS: Spread(5.5, 1.0, 10.0, 2), THEIRS: Spread(21.0, 2.0, 40.0, 2)}
    assert row.ratios == {THEIRS: Spread(3.0, 2.0, 4.0, 2)}


def test_a_run_that_failed_and_a_figure_of_nought_have_no_ratio() -> None:
    runs = [run(0, OURS, {IDLE: [0.0], CHANGE: [1.0]}), run(0, THEIRS, {IDLE: [2.0], CHANGE: []})]
    idle, change = summarize(runs, [OURS, THEIRS])
    assert idle.ratios == {}
    assert change.values == {OURS: Spread(1.0, 1.0, 1.0, 1)}
    assert change.ratios == {}


def test_the_table_has_a_line_for_each_figure() -> None:
    runs = [run(0, OURS, {BOOT: [0.5], IDLE: [0.0]}), run(0, THEIRS, {BOOT: [1234.5], IDLE: [2.0]})]
    lines = table(list(summarize(runs, [OURS, THEIRS])), [OURS, THEIRS]).splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "",
        "reign, 1,000 vassals",
        "-" * 40,
        BOOT.name + " [s]",
        IDLE.name + " [%]",
    ]
    assert "1,234 (1,234–1,234)" in lines[3]
    assert "2,469" in lines[3]
    assert "—" in lines[4]


def test_a_figure_that_only_one_has_is_shown_for_it_alone() -> None:
    runs = [run(0, OURS, {BOOT: [1.0], IDLE: [2.0]}), run(0, THEIRS, {BOOT: [2.0]})]
    rows = {row.figure: row for row in summarize(runs, [OURS, THEIRS])}
    assert (rows[IDLE].values, rows[IDLE].ratios) == ({OURS: Spread(2.0, 2.0, 2.0, 1)}, {})
    assert rows[BOOT].ratios == {THEIRS: Spread(2.0, 2.0, 2.0, 1)}
