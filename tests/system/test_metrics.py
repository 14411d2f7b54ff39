"""Metrics of a real emperor, and what ships beside them: every name in dashboard and alerts is really given."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from emperor_trio.control.messages import State
from emperor_trio.outlets.metrics_families import FAMILIES, PER_VASSAL, PROCESS, Kind
from tests.system.empire import PATIENCE, EmperorUnderTest, free_port
from tests.system.test_gateway import get

ROOT = Path(__file__).parents[2]
RULES = ROOT / "packaging/prometheus/emperor-trio.rules.yml"
RULE_TESTS = ROOT / "packaging/prometheus/emperor-trio.test.yml"
DASHBOARD = ROOT / "packaging/grafana/emperor-trio.json"
PAGE = ROOT / "docs/metrics.md"

SAMPLE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? (\S+)$")


def promtool(*words: str, stdin: str | None = None) -> str:
    done = subprocess.run(["promtool", *words], input=stdin, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def samples(text: str) -> dict[str, dict[str, float]]:
    """By name, the labels and values of each series."""
    found: dict[str, dict[str, float]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            match = SAMPLE.match(line)
            assert match is not None, line
            found.setdefault(match[1], {})[match[2] or ""] = float(match[3])
    return found


def expressions() -> list[str]:
    """What the dashboard asks for, with its variables set."""

    def walk(panels: list[dict[str, Any]]) -> list[str]:
        found = []
        for panel in panels:
            found += [target["expr"] for target in panel.get("targets", ())] + walk(panel.get("panels", []))
        return found

    asked = walk(json.loads(DASHBOARD.read_text())["panels"])
    return [text.replace("$__rate_interval", "5m").replace("$job", ".*").replace("$instance", ".*") for text in asked]


def test_the_alerts_are_well_formed_and_fire_when_they_should() -> None:
    promtool("check", "rules", str(RULES))
    promtool("test", "rules", str(RULE_TESTS))


def test_every_panel_asks_something_that_prometheus_understands(tmp_path: Path) -> None:
    asked = expressions()
    assert len(asked) > 30
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(asked)]
    file = tmp_path / "panels.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", str(file))


@pytest.fixture
def exposition(emperor: EmperorUnderTest) -> str:
    """What a scraper gets of an emperor in which something has happened."""
    for name in ("a.ini", "b.ini"):
        emperor.add(name, loyal_after=0)
    emperor.add("dying.ini", exit_after=0, exit_code=3)
    port = free_port()
    emperor.start("--gateway", f"127.0.0.1:{port}", "--metrics-per-vassal", "--emperor-throttle", "600000")
    emperor.wait_vassal("a.ini", loyal=1)
    emperor.touch("a.ini")
    emperor.wait_vassal("a.ini", respawns=1, ready=1)
    emperor.wait(lambda: samples(get(port, "/metrics").text)["emperor_blacklistings_total"], "nobody is blacklisted")
    emperor.wait(lambda: sum(samples(get(port, "/metrics").text)["emperor_reloads_total"].values()) == 1)
    return get(port, "/metrics").text


def test_what_a_scraper_gets(exposition: str) -> None:
    promtool("check", "metrics", stdin=exposition)
    found = samples(exposition)
    states = {labels.split('state="')[1].split('"')[0]: value for labels, value in found["emperor_vassals"].items()}
    assert states.keys() == {state.name.lower() for state in State}
    assert states["up"] == 2
    assert sum(states.values()) == 3
    assert sum(found["emperor_reloads_total"].values()) == 1
    assert sum(found["emperor_monitor_up"].values()) == 1
    assert found["emperor_change_to_action_seconds_count"]['action="reload"'] >= 1
    assert found["emperor_control_clients"][""] == 0
    assert len(found["emperor_vassal_restarts_total"]) == 3


def test_every_name_that_is_used_is_given(exposition: str) -> None:
    given = set(samples(exposition))
    text = RULES.read_text() + "".join(expressions())
    used = set(re.findall(r"\b(?:emperor|process)_[a-z_]+\b", text)) - {"emperor_trio"}
    assert used
    assert used <= given | {"emperor_vassal_exit_code"}
    for name, family in FAMILIES.items():
        suffix = "_count" if family.kind is Kind.HISTOGRAM else ""
        assert f"{name}{suffix}" in given, name
    assert set(PER_VASSAL) <= set(FAMILIES)


def test_the_page_has_every_metric_with_its_labels() -> None:
    page = PAGE.read_text()
    for name, family in FAMILIES.items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}`")]
        assert family.text.rstrip(".") in row
        for label in family.labels:
            assert f"`{label}`" in row
    for name in PROCESS:
        assert f"`{name}`" in page
