"""A bar on stderr for what takes its time; nothing where nobody looks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    def advance(self, steps: int) -> None:
        """So many more are done."""
        ...


class _Silent:
    def advance(self, steps: int) -> None:
        pass


@contextmanager
def progress(total: int, what: str, *, shown: bool) -> Iterator[Progress]:
    """Shows how many of ``total`` are done while the block lasts, where ``shown`` and stderr is a terminal."""
    if not shown or total < 2 or not sys.stderr.isatty():
        yield _Silent()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(what, total=total)

        class Shown:
            def advance(self, steps: int) -> None:
                bars.advance(task, steps)

        yield Shown()
