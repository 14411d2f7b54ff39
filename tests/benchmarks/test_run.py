"""The whole command, over two vassals: that everything asked for is measured, not how long it takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.scenarios import BOOT, BUSY_CHANGE, CHANGE, GROWTH, IDLE, RESIDENT, SHUTDOWN


def test_every_figure_is_measured_for_every_peer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    options = ["--sizes", "2", "--repeat", "1", "--changes", "1", "--idle", "0.1", "--json", str(file)]
    assert main(options) == 0
    measured = json.loads(file.read_text())
    asked = {"reign": {BOOT, CHANGE, IDLE, RESIDENT, SHUTDOWN}, "grow": {GROWTH, BUSY_CHANGE}}
    assert [(run["scenario"], run["peer"]) for run in measured["runs"]] == [
        (scenario, peer) for scenario in asked for peer in ("emperor-trio", "uwsgi")
    ]
    for run in measured["runs"]:
        assert set(run["sample"]) == {figure.name for figure in asked[run["scenario"]]}
    assert "reign, 2 vassals" in capsys.readouterr().out


def test_a_peer_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["--quick"]) == 2
    assert capsys.readouterr().err == "uwsgi: there is no program uwsgi-core\n"
