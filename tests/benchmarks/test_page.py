"""What the pages say of a measurement: targets reached, missed and not measured, losses, tables."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import cattrs
import pytest

from benchmarks import page
from benchmarks.measured import load
from benchmarks.scenarios import BOOT, CHANGE, IDLE, RESIDENT, Figure
from benchmarks.targets import Bound, Check, Faster, Growth, Same, Target, Targets, judge, load_targets
from tests.benchmarks.measurements import CIRCUS, LIMIT, OURS, UWSGI, measured

LAX = Growth("≤ 9", 9)

FIGURES = measured(
    {
        ("reign", BOOT): {
            10: {OURS: [1.0], UWSGI: [1.0]},
            1000: {OURS: [2.0], UWSGI: [8.0], LIMIT: [1.4]},
        },
        ("reign", CHANGE): {10: {OURS: [1.0, 2.0, 50.0], UWSGI: [1500.0]}},
        ("reign", RESIDENT): {10: {OURS: [40.0], UWSGI: [8.0], CIRCUS: [50.0]}},
    }
)


@pytest.mark.parametrize(
    ("figure", "size", "check", "reached", "said"),
    [
        (CHANGE, 10, Bound(2), True, "2.00 ms"),
        (CHANGE, 10, Bound(1.9), False, "2.00 ms"),
        (CHANGE, 10, Bound(20, percentile=99), False, "2.00 ms; p99 50.0 ms of 3"),
        (CHANGE, 1000, Bound(2), None, ""),
        (RESIDENT, 10, Bound(39.95, per_vassal=0.01), True, "40.0 MB"),
        (RESIDENT, 10, Bound(39.8, per_vassal=0.01), False, "40.0 MB"),
        (RESIDENT, 10, Bound(39, beyond=f"reign: {BOOT.name}"), True, f"40.0 MB; 39.0 MB beyond “reign: {BOOT.name}”"),
        (RESIDENT, 10, Bound(38, beyond=f"reign: {BOOT.name}"), False, f"40.0 MB; 39.0 MB beyond “reign: {BOOT.name}”"),
        (RESIDENT, 10, Bound(99, beyond="reign: nothing of that name"), None, "40.0 MB"),
        (BOOT, 1000, Faster(UWSGI, 4), True, "2.00 s; uwsgi ×4.00"),
        (BOOT, 1000, Faster(LIMIT, 0.75), False, "2.00 s; C limit ×0.70"),
        (BOOT, 1000, Faster(CIRCUS, 1), None, "2.00 s"),
        (BOOT, 1000, Same(10, 2), True, "2.00 s; ×2.00 of that at 10"),
        (BOOT, 1000, Same(10, 1.9), False, "2.00 s; ×2.00 of that at 10"),
        (BOOT, 1000, Same(100, 2), None, "2.00 s"),
        (IDLE, 10, Bound(1), None, ""),
    ],
)
def test_targets_are_reached_or_missed_or_not_measured(
    figure: Figure, size: int, check: Check, reached: bool | None, said: str
) -> None:
    target = Target("reign", figure.name, [size], "a target", [check])
    line, _ = judge(FIGURES, Targets(LAX, [target]))
    assert (line.reached, line.ours) == (reached, said)


def test_a_target_is_reached_only_if_all_of_it_is() -> None:
    def outcome(*checks: Check) -> bool | None:
        line, _ = judge(FIGURES, Targets(LAX, [Target("reign", BOOT.name, [1000], "", list(checks))]))
        return line.reached

    reached, missed, unknown = Bound(9), Bound(1), Faster(CIRCUS, 1)
    assert outcome(reached, reached) is True
    assert outcome(reached, missed) is False
    assert outcome(unknown, missed) is False
    assert outcome(reached, unknown) is None


def test_peers_are_told_at_the_same_size() -> None:
    lines = list(judge(FIGURES, Targets(LAX, [Target("reign", BOOT.name, [10, 1000], "", [Bound(9)])])))
    assert [line.peers for line in lines[:2]] == ["uwsgi 1.00 s", "uwsgi 8.00 s, C limit 1.40 s"]


def test_curves_that_are_too_steep_are_named() -> None:
    steep = measured({("reign", BOOT): {10: {OURS: [1.0], UWSGI: [1.0]}, 100: {OURS: [100.0], UWSGI: [10.0]}}})
    (line,) = judge(steep, Targets(Growth("≤ 1.1", 1.1)))
    title = f"reign: {BOOT.name}"
    assert (line.reached, line.ours) == (False, f"2.00 ({title}); too steep: {title}")
    assert line.peers == f"uwsgi 1.00 ({title})"
    (line,) = judge(steep, Targets(Growth("≤ 2.1", 2.1)))
    assert line.reached is True
    (line,) = judge(measured({("reign", BOOT): {10: {OURS: [1.0]}}}), Targets(Growth("≤ 1.1", 1.1)))
    assert line.reached is None


def test_the_project_s_targets_can_be_read_and_a_word_that_is_none_of_theirs_is_refused(tmp_path: Path) -> None:
    assert len(load_targets().target) > 10
    file = tmp_path / "targets.toml"
    file.write_text('[growth]\ntext = ""\nat_most = 1\nat_least = 2\n')
    with pytest.raises(cattrs.ClassValidationError):
        load_targets(file)


def test_missed_targets_are_said_plainly() -> None:
    targets = [
        Target("reign", BOOT.name, [1000], "fast", [Bound(9)]),
        Target("reign", CHANGE.name, [10, 4000, 9000], "at once", [Bound(1)]),
    ]
    text = page.targets_table(list(judge(FIGURES, Targets(LAX, targets))))
    assert text.splitlines()[0] == (
        f"Reached: 2 of 5. **Missed: {CHANGE.name} (10).** Not measured: {CHANGE.name} (4,000 and 9,000)."
    )
    assert f"| {CHANGE.name} | 10 | uwsgi 1,500 ms | 2.00 ms | at once | **missed** |" in text
    assert f"| {CHANGE.name} | 9,000 | — | — | at once | not measured |" in text


def test_what_others_do_better_is_listed_but_not_what_the_limit_does() -> None:
    assert page.losses(FIGURES).splitlines()[2:] == [f"- {RESIDENT.name}, 10 vassals: uwsgi ×0.20"]
    best = measured({("reign", BOOT): {10: {OURS: [1.0], UWSGI: [2.0], LIMIT: [0.1]}}})
    assert page.losses(best) == "In nothing that was measured is another better than emperor-trio."


def test_every_figure_has_a_table_and_a_plot_if_there_is_one() -> None:
    figures = measured(
        {
            ("reign", BOOT): {10: {OURS: [1.0, 3.0], UWSGI: [4.0, 6.0]}, 1000: {OURS: [2.0]}},
            ("reign", CHANGE): {10: {OURS: [1.0]}},
        }
    )
    assert page.figures(figures).split("\n\n") == [
        f"### reign: {BOOT.name}",
        f"![reign: {BOOT.name}, in a plot](benchmarks/reign-boot-until-the-last-vassal-s-byte-1.svg)",
        (
            "| vassals | emperor-trio [s] | uwsgi [s] |\n|---|---|---|\n"
            "| 10 | 2.00 (1.00–3.00) | 5.00 (4.00–6.00) · ×3.00 |\n| 1,000 | 2.00 | — |"
        ),
        f"### reign: {CHANGE.name}",
        "| vassals | emperor-trio [ms] |\n|---|---|\n| 10 | 1.00 |",
    ]


def test_the_machine_is_described_with_what_was_asked_for() -> None:
    assert page.machine(FIGURES).splitlines() == [
        "- cpu: 2 × made up",
        "- repeat: 3",
        "- realtime: false",
        "- runs that succeeded: 12",
    ]


def test_only_what_is_between_the_marks_is_written_anew() -> None:
    text = "before\n<!-- generated: a -->\nold\n<!-- end -->\nbetween\n<!-- generated: b -->\n<!-- end -->\nafter\n"
    filled = page.fill(text, {"a": "one\\1", "b": "two"})
    assert filled == (
        "before\n<!-- generated: a -->\n\none\\1\n\n<!-- end -->\nbetween\n"
        "<!-- generated: b -->\n\ntwo\n\n<!-- end -->\nafter\n"
    )
    assert page.fill(filled, {"a": "one\\1", "b": "two"}) == filled


@pytest.mark.parametrize("parts", [{"a": ""}, {"a": "", "b": "", "c": ""}, {"b": "", "c": ""}])
def test_a_part_that_is_missing_or_unknown_is_refused(parts: dict[str, str]) -> None:
    with pytest.raises(page.WrongParts, match="it has the parts a, b, but"):
        page.fill("<!-- generated: a -->\n<!-- end -->\n<!-- generated: b -->\n<!-- end -->\n", parts)


def test_the_real_pages_have_every_part_and_stay_as_they_are_without_matplotlib(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "figures.json"
    file.write_text(json.dumps(asdict(FIGURES)))
    assert load(file) == FIGURES
    (tmp_path / "docs").mkdir()
    for name in (page.PAGE, page.README):
        (tmp_path / name).write_text((page.ROOT / name).read_text())
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert page.main([str(file), "--root", str(tmp_path)]) == 2
    assert "make bench installs it" in capsys.readouterr().err  # and not that a part is missing
    assert (tmp_path / page.README).read_text() == (page.ROOT / page.README).read_text()


def test_all_is_written_where_the_plots_are_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "write_plots", lambda measured, folder: [])
    file = tmp_path / "figures.json"
    file.write_text(json.dumps(asdict(FIGURES)))
    (tmp_path / "docs").mkdir()
    for name in (page.PAGE, page.README):
        (tmp_path / name).write_text((page.ROOT / name).read_text())
    assert page.main([str(file), "--root", str(tmp_path)]) == 0
    assert "2 × made up" in (tmp_path / page.PAGE).read_text()
    assert "docs/benchmarks/overview.svg" in (tmp_path / page.README).read_text()
    assert f"MISSED        {CHANGE.name}, 10 vassals" in capsys.readouterr().out
