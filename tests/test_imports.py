"""The rooms of the source and the doors between them, as docs/architecture.md has them: who may import whom.

Every import counts, also in a function and under TYPE_CHECKING: to know another room's types is to depend on it.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "emperor_trio"

NOUNS = {"model", "events", "errors"}
ABOVE_ACTORS = NOUNS | {"settings", "law", "ports"}

ROOMS: dict[str, set[str]] = {
    "model": set(),
    "events": {"model"},
    "errors": {"model"},
    "masking": set(),
    "strangers": set(),
    "listening": {"errors"},
    "vassal_logs": {"model", "errors"},
    "settings": {"model", "errors", "masking"},
    "law": {"model", "events"},
    "ports": NOUNS,
    "actors": {"law", "ports"} | NOUNS,
    "processes": {"ports", "law.protocol", "strangers", "vassal_logs"} | NOUNS,
    "formats": {"model", "errors", "masking"},
    "monitors": {"ports", "formats", "masking"} | NOUNS,
    "checking": {"model", "errors", "formats", "masking"},
    "survey": {"model", "events", "errors", "law", "ports", "settings", "masking", "monitors", "app", "checking"},
    "control": {"ports", "masking", "listening", "strangers", "vassal_logs"} | NOUNS,
    "outlets": {"ports", "control", "masking", "strangers", "listening", "vassal_logs"} | NOUNS,
    "testing": ABOVE_ACTORS,
    "cli": {
        "settings",
        "errors",
        "formats",
        "control",
        "masking",
        "vassal_logs",
        "events",
        "model",
        "outlets.text",
        "checking",
    },
    "daemon": {"settings", "errors", "masking"},
    "doors": {"events", "errors", "settings", "actors", "control", "outlets", "daemon", "masking"},
    "app": ABOVE_ACTORS
    | {"actors", "processes", "formats", "monitors", "control", "outlets", "daemon", "doors", "masking", "vassal_logs"},
    "__main__": {"cli"},
    "": ABOVE_ACTORS | {"actors", "app"},
}
"""What each room may import of the others; itself always. A dotted name opens that one module alone."""

INSIDE_FUNCTIONS = {"cli": {"app", "survey"}}
"""What a room may import only where it is needed, inside a function."""

PACKAGES: dict[str, set[str]] = {
    "settings": {"attrs", "cattrs"},
    "listening": {"trio"},
    "actors": {"trio"},
    "processes": {"trio"},
    "formats": {"yaml"},
    "monitors": {"trio", "inotify_simple", "psycopg", "pymongo", "bson", "pika", "httpx", "zmq", "kazoo", "ldap"},
    "control": {"trio", "trio_websocket", "wsproto", "h11", "cattrs"},
    "outlets": {"trio", "trio_websocket", "h11", "prometheus_client"},
    "cli": set(),
    "cli.remote": {"trio", "rich"},
    "survey": {"trio"},
    "testing": {"trio", "pytest"},
    "daemon": {"setproctitle"},
    "app": {"trio"},
}
"""The packages from outside that each room may import; the others do with the standard library. A dotted name is for a
room within a room, which is more."""


@dataclass(frozen=True, slots=True)
class Import:
    module: str
    line: int
    target: str
    in_function: bool


def module_name(path: Path) -> str:
    """``law.protocol`` for ``law/protocol.py``, ``law`` for its ``__init__``, "" for the package itself."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def targets(node: ast.Import | ast.ImportFrom, module: str, is_package: bool) -> Iterator[str]:
    """The modules that an import statement names, absolute."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = node.module or ""
    if node.level:
        parts = ["emperor_trio", *module.split(".")] if module else ["emperor_trio"]
        parts = parts[: len(parts) - node.level + is_package]
        base = ".".join([*parts, base]).rstrip(".")
    if base == "emperor_trio" or base.startswith("emperor_trio."):
        folder = SOURCE.joinpath(*base.split(".")[1:])
        for alias in node.names:
            named = folder / alias.name
            yield f"{base}.{alias.name}" if named.is_dir() or named.with_suffix(".py").exists() else base
    else:
        yield base


def imports_of(path: Path) -> Iterator[Import]:
    module = module_name(path)

    def visit(node: ast.AST, in_function: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for target in targets(node, module, path.name == "__init__.py"):
                yield Import(module, node.lineno, target, in_function)
        inside = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, inside)

    yield from visit(ast.parse(path.read_text()), False)


def is_allowed(found: Import) -> bool:
    room = found.module.partition(".")[0]
    if found.target != "emperor_trio" and not found.target.startswith("emperor_trio."):
        package = found.target.partition(".")[0]
        inner = ".".join(found.module.split(".")[:2])
        return package in sys.stdlib_module_names or package in PACKAGES.get(room, set()) | PACKAGES.get(inner, set())
    target = found.target.removeprefix("emperor_trio").removeprefix(".")
    allowed = ROOMS[room] | {room}
    if found.in_function:
        allowed = allowed | INSIDE_FUNCTIONS.get(room, set())
    return any(target == door or target.startswith(f"{door}.") for door in allowed if door or not target)


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: module_name(path) or "emperor_trio")
def test_imports_stay_within_the_table(path: Path) -> None:
    forbidden = [f"line {found.line}: {found.target}" for found in imports_of(path) if not is_allowed(found)]
    assert not forbidden, f"{module_name(path)} may not import these; see docs/architecture.md"


def test_every_room_is_in_the_table() -> None:
    assert {module_name(path).partition(".")[0] for path in SOURCE.rglob("*.py")} <= ROOMS.keys()


@pytest.mark.parametrize(
    ("module", "statement", "allowed"),
    [
        ("law.lifecycle", "import trio", False),
        ("law.lifecycle", "from emperor_trio.events import Event", True),
        ("law.lifecycle", "from emperor_trio import ports", False),
        ("law.lifecycle", "from .state import State", True),
        ("law.lifecycle", "from ..ports import Monitor", False),
        ("law.lifecycle", "if TYPE_CHECKING:\n    from emperor_trio.actors import bus", False),
        ("processes.process", "from emperor_trio.law.protocol import Order", True),
        ("processes.process", "from emperor_trio.law import protocol", True),
        ("processes.process", "from emperor_trio.law.lifecycle import step", False),
        ("cli.main", "from emperor_trio import app", False),
        ("cli.main", "def run():\n    from emperor_trio import app", True),
        ("cli.main", "import emperor_trio.app", False),
        ("cli.main", "import trio", False),
        ("cli.remote.link", "import trio", True),
        ("app", "from emperor_trio.cli import main", False),
        ("outlets.log", "import requests", False),
    ],
)
def test_the_table_is_held(module: str, statement: str, allowed: bool) -> None:
    nodes = [node for node in ast.walk(ast.parse(statement)) if isinstance(node, ast.Import | ast.ImportFrom)]
    in_function = statement.startswith("def")
    found = [Import(module, 1, target, in_function) for target in targets(nodes[0], module, is_package=False)]
    assert all(map(is_allowed, found)) is allowed


def test_the_command_line_does_not_load_trio() -> None:
    """``import trio`` alone takes longer than everything that ``--help`` and a wrong option need."""
    code = "import sys, emperor_trio.cli.main; sys.exit('trio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
