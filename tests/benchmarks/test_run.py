"""The whole command, over two vassals: that everything asked for is measured, not how long it takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import scenarios
from benchmarks.__main__ import AGENDA, FULL, QUICK, Agenda, chosen, main, turns
from benchmarks.peers import PEERS
from benchmarks.scenarios import (
    ASKED_CHANGE,
    BOOT,
    BUSY_CHANGE,
    CHANGE,
    FIRST,
    GROWTH,
    HEARTBEATS,
    IDLE,
    MISSING,
    ONE_MORE,
    RENEWAL,
    RESIDENT,
    REVOLT,
    SCENARIOS,
    SHUTDOWN,
    STATISTICS,
    STATUS,
)

EMPERORS = ["emperor-trio", "uwsgi", "C limit"]

FIGURES = {
    "reign": {FIRST, BOOT, CHANGE, ONE_MORE, IDLE, RESIDENT, SHUTDOWN},
    "grow": {GROWTH, BUSY_CHANGE},
    "revolt": {REVOLT},
    "renew": {RENEWAL},
    "ask": {STATISTICS, ASKED_CHANGE},
    "throng": {MISSING},
}
"""What every emperor gives. Ours gives the time of its command, too; the limit has no statistics."""


def test_every_figure_is_measured_for_every_emperor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenarios, "SETTLE", 0.1)
    monkeypatch.setattr(scenarios, "SCAN", 0.1)
    file = tmp_path / "figures.json"
    options = ["--sizes", "2", "--repeat", "1", "--changes", "1", "--idle", "0.1", "--json", str(file)]
    assert main([*options, "--scenarios", *FIGURES, "--peers", *EMPERORS]) == 0
    measured = json.loads(file.read_text())
    assert [(run["scenario"], run["peer"]) for run in measured["runs"]] == [
        (scenario, peer) for scenario in FIGURES for peer in EMPERORS if (scenario, peer) != ("ask", "C limit")
    ]
    for run in measured["runs"]:
        whole = FIGURES[run["scenario"]] | (
            {STATUS} if (run["scenario"], run["peer"]) == ("ask", EMPERORS[0]) else set()
        )
        assert set(run["sample"]) == {figure.name for figure in whole}
        assert all(values for values in run["sample"].values())
        if run["scenario"] == "throng":
            assert run["sample"] == {MISSING.name: [0]}
    assert "reign, 2 vassals" in capsys.readouterr().out


def test_a_peer_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["--quick", "--peers", "emperor-trio", "uwsgi"]) == 2
    assert capsys.readouterr().err == "uwsgi: there is no uwsgi-core: Debian's uwsgi-core\n"


@pytest.mark.parametrize("agenda", [AGENDA, FULL, QUICK])
def test_what_a_peer_lacks_is_not_asked_of_it(agenda: Agenda) -> None:
    told = list(turns(agenda, 2))
    assert {turn.scenario for turn in told} == set(agenda)
    for turn in told:
        assert SCENARIOS[turn.scenario][1] <= turn.peer.skills
        assert turn.size <= turn.peer.most


def test_what_disturbs_one_disturbs_all() -> None:
    told = [turn.peer.name for turn in turns({"renew": {10: EMPERORS}}, 2)]
    assert told == [*EMPERORS, *reversed(EMPERORS)]


def test_who_is_asked_for_is_measured() -> None:
    agenda = chosen(AGENDA, ["reign"], [5], ["s6", "runit"])
    assert agenda == {"reign": {5: ["s6", "runit"]}}
    assert [turn.peer.name for turn in turns(agenda, 1, missing=["s6"])] == ["runit"]


def test_every_peer_has_its_turn_and_every_scenario_its_figures() -> None:
    assert {turn.peer.name for turn in turns(AGENDA, 1)} == set(PEERS)
    assert set(AGENDA) == set(SCENARIOS) == {*FIGURES, "beat"}
    assert HEARTBEATS.unit == "%"
