"""Lists at the end of a run where ours was seen to differ from uWSGI on purpose."""

from __future__ import annotations

import pytest

from tests.system.differential.scenario import SCENARIOS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.get_verbosity() < 0 or not SCENARIOS:
        return
    terminalreporter.section("seen to differ from uWSGI on purpose", sep="-")
    for scenario in SCENARIOS:
        for key, differs in scenario.differs.items():
            terminalreporter.line(
                f"{scenario.name}: {key}: {differs.uwsgi!r} there, {differs.ours!r} here ({differs.row})"
            )
