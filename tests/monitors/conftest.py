"""Ways to take inotify away from monitors, as a system at its limits does."""

from __future__ import annotations

import errno
import os

import pytest

from emperor_trio.monitors import _inotify


@pytest.fixture
def no_inotify(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the limit of inotify instances were reached."""

    def refuse(**_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(_inotify, "INotify", refuse)
