"""What the plots show: which peers and sizes, on which scales, where the names go. Nothing is drawn."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks import plots
from benchmarks.charts import Scale, charts, lanes, overview, scale, spread_out
from benchmarks.measured import number, percentile
from benchmarks.scenarios import BOOT, CHANGE, IDLE, MISSING
from tests.benchmarks.measurements import CIRCUS, LIMIT, OURS, UWSGI, measured


def test_a_figure_is_one_chart_of_all_peers_over_all_sizes() -> None:
    (chart,) = charts(
        measured(
            {
                ("reign", BOOT): {
                    1000: {LIMIT: [0.5], CIRCUS: [4.0], OURS: [0.8]},
                    10: {OURS: [0.2], CIRCUS: [0.3]},
                }
            }
        )
    )
    assert (chart.title, chart.name, chart.unit) == (
        "reign: boot, until the last vassal's byte 1",
        "reign-boot-until-the-last-vassal-s-byte-1",
        "s",
    )
    assert list(chart.series) == [OURS, CIRCUS, LIMIT]  # as peers are known, whoever was first
    assert {peer: list(points) for peer, points in chart.series.items()} == {
        OURS: [10, 1000],
        CIRCUS: [10, 1000],
        LIMIT: [1000],
    }
    assert chart.sizes == [10, 1000]
    assert (chart.size_scale, chart.value_scale, chart.bars) == (Scale.LOG, Scale.LOG, False)


def test_the_same_figure_of_two_scenarios_is_two_charts() -> None:
    both = measured({(name, CHANGE): {10: {OURS: [1.0], UWSGI: [2.0]}} for name in ("reign", "ask")})
    assert [chart.name.split("-")[0] for chart in charts(both)] == ["reign", "ask"]


def test_one_size_is_bars_from_nought() -> None:
    (chart,) = charts(measured({("reign", CHANGE): {10: {OURS: [1.0], UWSGI: [1500.0]}}}))
    assert (chart.bars, chart.value_scale) == (True, Scale.LINEAR)


def test_what_can_be_compared_with_nothing_is_not_drawn() -> None:
    assert list(charts(measured({("reign", CHANGE): {10: {OURS: [1.0]}}}))) == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 9.9], Scale.LINEAR),
        ([1, 10], Scale.LOG),
        ([0, 1, 2], Scale.LINEAR),
        ([0, 0.01, 20], Scale.SYMLOG),
        ([0, 0], Scale.LINEAR),
        ([5], Scale.LINEAR),
        ([], Scale.LINEAR),
    ],
)
def test_scales_are_logarithmic_for_a_decade_and_more(values: list[float], expected: Scale) -> None:
    assert scale(values) is expected


def test_sizes_too_near_to_a_larger_one_are_not_written() -> None:
    sizes = [10, 100, 1000, 4000, 9000, 10_000]
    (chart,) = charts(measured({("reign", BOOT): {size: {OURS: [1.0]} for size in sizes}}))
    assert chart.ticks == [10, 100, 1000, 4000, 10_000]


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([0.2, 0.6], [0.2, 0.6]),  # far enough from each other
        ([0.6, 0.2], [0.6, 0.2]),  # in any order
        ([0.5, 0.5], [0.45, 0.55]),  # both give way
        ([0.55, 0.5, 0.45], [0.6, 0.5, 0.4]),
        ([0.0, 0.0], [0.0, 0.1]),  # not beyond the ends
        ([1.0, 1.0, 0.95], [0.9, 1.0, 0.8]),
        ([0.3, 0.38, 0.5], [0.29, 0.39, 0.5]),
        ([], []),
    ],
)
def test_names_are_moved_apart_as_little_as_may_be(places: list[float], expected: list[float]) -> None:
    assert spread_out(places, 0.1, 0.0, 1.0) == pytest.approx(expected)


def test_names_without_room_are_packed_evenly() -> None:
    assert spread_out([0.5] * 5, 0.5, 0.0, 1.0) == pytest.approx([0, 0.25, 0.5, 0.75, 1.0])


def test_names_in_each_other_s_way_are_put_below_each_other() -> None:
    assert lanes([(0, 5), (3, 8), (5, 9), (6, 10), (8, 9)]) == [0, 1, 0, 2, 1]


def test_the_overview_compares_each_peer_at_the_largest_common_size() -> None:
    lines = overview(
        measured(
            {
                ("reign", BOOT): {
                    10: {OURS: [1.0], UWSGI: [1.0]},
                    1000: {OURS: [1.0], UWSGI: [2.0], CIRCUS: [5.0]},
                    9000: {OURS: [4.0], UWSGI: [12.0], LIMIT: [3.0]},
                },
                ("throng", MISSING): {10_000: {OURS: [0.0], UWSGI: [5.0]}},  # nothing is a multiple of nought
                ("reign", CHANGE): {10: {OURS: [1.0]}},
            }
        )
    )
    assert [(line.figure, line.size, [(mark.label, mark.ratio.median) for mark in line.marks]) for line in lines] == [
        (BOOT.name, 9000, [("C limit", 0.75), ("uwsgi", 3.0), ("circus (1,000)", 5.0)])
    ]


def test_a_peer_that_needs_nothing_is_not_left_out() -> None:
    (line,) = overview(measured({("reign", IDLE): {10: {OURS: [0.5], UWSGI: [0.0]}}}))
    assert [mark.ratio.median for mark in line.marks] == [0.0]


def test_curves_have_an_exponent_of_growth() -> None:
    sizes = {10: 1.0, 100: 10.0, 1000: 100.0}
    (linear,) = measured({("reign", BOOT): {size: {OURS: [value]} for size, value in sizes.items()}}).curves()
    (square,) = measured({("reign", BOOT): {size: {OURS: [value**2]} for size, value in sizes.items()}}).curves()
    (nought,) = measured({("reign", BOOT): {10: {OURS: [0.0]}, 100: {OURS: [1.0]}}}).curves()
    assert linear.growth(OURS) == pytest.approx(1)
    assert square.growth(OURS) == pytest.approx(2)
    assert nought.growth(OURS) is None
    assert linear.growth(UWSGI) is None


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentile(list(range(1, 101)), 99) == 99
    assert percentile([1, 2, 30], 99) == 30
    assert percentile([1, 2, 30], 50) == 2
    assert percentile([7], 1) == 7


def test_numbers_have_three_digits_that_count() -> None:
    shown = [number(value) for value in (0, 0.0061, 0.0999, 1.234, 9.999, 99.96, 1234.5)]
    assert shown == ["0", "0.006", "0.10", "1.23", "10.0", "100", "1,234"]


def test_drawings_lose_only_what_cannot_be_seen() -> None:
    drawn = """<svg width="1pt"><text style="font-size: 8px; font-family: 'DejaVu Sans'; fill: #000" x="1.234567" \
y="0.5" transform="rotate(-0 1.2 0.5)">0.00123 is 'DejaVu Sans'</text><path d="M 0.123456 7 \nL 1 2"/></svg>"""
    assert plots.smaller(drawn) == (
        f'<svg font-family="{plots.FONTS}" width="1pt"><text style="font-size: 8px; fill: #000" x="1.23" '
        """y="0.5">0.00123 is 'DejaVu Sans'</text><path d="M 0.12 7 \nL 1 2"/></svg>"""
    )


def test_without_matplotlib_it_is_said_how_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    file = tmp_path / "figures.json"
    file.write_text(json.dumps(asdict(measured({("reign", BOOT): {10: {OURS: [1.0], UWSGI: [2.0]}}}))))
    assert plots.main([str(file), str(tmp_path / "plots")]) == 2
    assert "make bench installs it" in capsys.readouterr().err
    assert not (tmp_path / "plots").exists()
