"""The file monitors pass the conformance suite that ships with the package, by inotify and by scans."""

from __future__ import annotations

from pathlib import Path

import pytest

from emperor_trio.testing.conformance import MonitorConformance, Source
from tests.monitors.support import FolderSource


class TestDirByInotify(MonitorConformance):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        return FolderSource(tmp_path / "vassals")


class TestGlobByInotify(MonitorConformance):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        return FolderSource(tmp_path / "vassals", "glob")


@pytest.mark.usefixtures("no_inotify")
class TestDirByScans(MonitorConformance):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        return FolderSource(tmp_path / "vassals", frequency=0.1)


@pytest.mark.usefixtures("no_inotify")
class TestGlobByScans(MonitorConformance):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Source:
        return FolderSource(tmp_path / "vassals", "glob", frequency=0.1)
