"""An emperor of ours for one test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.empire import EmperorUnderTest, Kind


@pytest.fixture
def emperor(vassal_binary: Path) -> Iterator[EmperorUnderTest]:
    """Ours, not yet started, in a folder of its own; whatever came out of it is gone afterwards."""
    with EmperorUnderTest(Kind.OURS, vassal_binary) as emperor:
        yield emperor
