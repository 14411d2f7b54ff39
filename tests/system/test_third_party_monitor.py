"""The example of a third party's monitor: installed as a package, found, listed, run by the emperor, and conforming."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.vassal import vassal_config
from tests.system.empire import EmperorUnderTest, Kind, command_of

PROJECT = Path(__file__).parents[2]
EXAMPLE = PROJECT / "examples" / "third_party_monitor"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a process needs in its environment to have the example installed."""
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index"]
    subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", "--root-user-action=ignore", "--target", target, EXAMPLE],
        check=True,
        timeout=120,
    )
    assert {path.name.partition("-")[0] for path in target.iterdir()} >= {"emperor_json_file.py", "emperor_json_file"}
    return {"PYTHONPATH": str(target)}


def test_it_is_listed(environment: dict[str, str]) -> None:
    listed = subprocess.run(
        [*command_of(Kind.OURS), "monitors", "--installed"],
        env=os.environ | environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert re.search(r"^json-file:// +installed$", listed.stdout, re.MULTILINE)


def test_the_emperor_runs_it(environment: dict[str, str], vassal_binary: Path) -> None:
    with EmperorUnderTest(Kind.OURS, vassal_binary) as emperor:
        source = emperor.folder / "vassals.json"

        def write(**entries: Any) -> None:
            draft = source.with_name("draft")
            draft.write_text(json.dumps(entries))
            draft.rename(source)

        config = vassal_config({"report": emperor.report.path})
        write(**{"a.ini": config, "b.ini": {"config": config}, "c.ini": 5})
        emperor.start(monitors=[f"json-file://{source}"], frequency=0.1, environment=environment)
        emperor.wait_running("a.ini", "b.ini")
        emperor.wait_logged("'c.ini' refused: entry 5: is neither a config nor an object")
        write(**{"a.ini": config + "# changed\n"})
        emperor.wait_gone("b.ini")
        emperor.wait_vassal("a.ini", respawns=1, ready=1)
        source.write_text("{")
        emperor.wait_logged("vassals stay as they are")
        assert emperor.vassal("a.ini")
        assert emperor.stop() == 0


def test_it_passes_the_conformance_suite_that_ships_with_the_package(
    environment: dict[str, str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib"]
    ran = subprocess.run(
        [*command, "--basetemp", tmp_path / "run", EXAMPLE],
        cwd=EXAMPLE,
        env=os.environ | environment | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert ran.returncode == 0, ran.stdout
    assert " passed" in ran.stdout
    assert "skipped" not in ran.stdout


def test_the_guide_shows_what_the_example_is() -> None:
    """The pieces of code in the guide stand word for word in the example."""
    guide = (PROJECT / "docs" / "monitors" / "writing.md").read_text()
    sources = {"toml": EXAMPLE / "pyproject.toml", "python": EXAMPLE / "emperor_json_file.py"}
    shown = re.findall(r"```(toml|python)\n(.*?)```", guide, re.DOTALL)
    assert {language for language, _ in shown} == set(sources)
    for language, code in shown:
        source = sources[language].read_text()
        for piece in code.split("\n    ...\n"):
            assert piece.strip("\n") in source, f"not in the example:\n{piece}"
