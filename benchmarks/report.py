"""How figures are shown: a table for people, one object for machines; and on which machine they were measured."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from benchmarks.figures import Row, Run, Spread

Json = dict[str, object]


def describe_machine() -> dict[str, str]:
    """What a reader needs to compare with another machine. The load is that of the moment: best before the start."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    cpu = _field("/proc/cpuinfo", "model name")
    memory = int(_field("/proc/meminfo", "MemTotal").split()[0]) * 1024 / 1e9
    return {
        "system": f"{platform.system()} {platform.release()}",
        "cpu": f"{os.cpu_count()} × {cpu}",
        "memory": f"{memory:.0f} GB",
        "python": platform.python_version(),
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "descriptors": f"soft limit {soft:,}, hard limit {hard:,}",
    }


def table(rows: Sequence[Row], peers: Sequence[str]) -> str:
    """Medians (quartiles, or smallest–largest of few); the ratios say how many times the first peer's."""
    lines = []
    for (scenario, size), some in groupby(rows, key=lambda row: (row.scenario, row.size)):
        head = [f"{scenario}, {size:,} vassals", *peers, *(f"{peer} / {peers[0]}" for peer in peers[1:])]
        body = [
            [
                f"{row.figure.name} [{row.figure.unit}]",
                *(_show(row.values.get(peer)) for peer in peers),
                *(_show(row.ratios.get(peer)) for peer in peers[1:]),
            ]
            for row in some
        ]
        lines += ["", *_align([head, *body])]
    return "\n".join(lines)


def as_json(machine: dict[str, str], plan: Json, runs: Sequence[Run], rows: Sequence[Row]) -> Json:
    """Everything: what was measured, run by run, and what came out."""
    return {
        "machine": machine,
        "plan": plan,
        "figures": [asdict(row) for row in rows],
        "runs": [
            {
                "scenario": run.scenario,
                "size": run.size,
                "number": run.number,
                "peer": run.peer,
                "sample": {figure.name: values for figure, values in run.sample.items()},
            }
            for run in runs
        ],
    }


def _show(spread: Spread | None) -> str:
    if spread is None:
        return "—"
    return f"{_number(spread.median)} ({_number(spread.low)}–{_number(spread.high)})"


def _number(value: float) -> str:
    """Three digits that count."""
    decimals = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 0.1 else 3
    return f"{value:,.{decimals}f}"


def _align(cells: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rule = ["-" * width for width in widths]
    return [_line(line, widths) for line in (cells[0], rule, *cells[1:])]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.ljust(width) if not number else cell.rjust(width)
        for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join([first, *others]).rstrip()


def _field(path: str, name: str) -> str:
    """The first field of that name in a file of ``name: value`` lines."""
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "0 unknown"
