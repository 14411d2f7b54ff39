"""The benchmark of the monitors of servers, over a few entries: that everything is measured, not how long it takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.monitors import CHANGED, MEMORY, READ, SEEN, STILL, WAITING, WAITING_MEMORY, WHOLE, main


def test_every_figure_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    options = ["--sources", "pg", "zmq", "--size", "20", "--waiting", "5", "--changes", "1", "--idle", "0.1"]
    assert main([*options, "--json", str(file)]) == 0
    runs = json.loads(file.read_text())["runs"]
    assert [(run["scenario"], run["size"], run["peer"]) for run in runs] == [
        ("pg", 20, "emperor-trio"),
        ("pg", WHOLE, "emperor-trio"),
        ("pg", WHOLE, "uwsgi"),
        ("pg, on demand", 5, "emperor-trio"),
        ("pg, on demand", 5, "uwsgi"),
        ("zmq", 20, "emperor-trio"),
        ("zmq", WHOLE, "emperor-trio"),
        ("zmq", WHOLE, "uwsgi"),
    ]
    for run in runs:
        asked = {5: {WAITING, WAITING_MEMORY}, WHOLE: {CHANGED}, 20: {READ, SEEN, STILL, MEMORY}}[run["size"]]
        assert set(run["sample"]) == {figure.name for figure in asked}
    assert "zmq, 10 vassals" in capsys.readouterr().out
