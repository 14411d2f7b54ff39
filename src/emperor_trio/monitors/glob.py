"""``glob://PATTERN``: every config that a shell pattern matches is a vassal, named as the pattern gives its path."""

from __future__ import annotations

import os

from emperor_trio.monitors._files import FileMonitor
from emperor_trio.monitors._patterns import plan_pattern
from emperor_trio.ports import MonitorContext


class GlobMonitor(FileMonitor):
    """``context.argument`` is the pattern, with wildcards at any level; a relative one starts in the current folder.

    Raises :class:`~emperor_trio.errors.UsageError` for a pattern that can match no file.
    """

    def __init__(self, context: MonitorContext) -> None:
        super().__init__(context, plan_pattern(context.argument, os.getcwd()))
