"""``dir://FOLDER``: every config in one folder is a vassal, named after its file and started in the folder."""

from __future__ import annotations

import os

from emperor_trio.monitors._files import FileMonitor
from emperor_trio.monitors._patterns import plan_folder
from emperor_trio.ports import MonitorContext


class DirMonitor(FileMonitor):
    """``context.argument`` is the folder, hidden configs in it included; it may appear later.

    Raises :class:`~emperor_trio.errors.UsageError` for an argument that can be no folder.
    """

    def __init__(self, context: MonitorContext) -> None:
        super().__init__(context, plan_folder(context.argument, os.getcwd()))
