"""Which monitor an ``--emperor`` means, and what is said where there is none."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from emperor_trio.errors import DriverMissing, UsageError
from emperor_trio.monitors import _registry, find_monitor, list_schemes, split_monitor
from emperor_trio.monitors.dir import DirMonitor
from emperor_trio.monitors.glob import GlobMonitor


def test_the_built_in_ones_come_by_entry_points() -> None:
    assert {"dir", "glob"} <= set(list_schemes())
    assert find_monitor("dir:///etc/uwsgi").factory is DirMonitor
    found = find_monitor("glob:///etc/*.ini")
    assert (found.scheme, found.argument, found.factory) == ("glob", "/etc/*.ini", GlobMonitor)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("dir:///etc/uwsgi", ("dir", "/etc/uwsgi")),
        ("GLOB://*.ini", ("glob", "*.ini")),
        ("pg://host=a;SELECT 1", ("pg", "host=a;SELECT 1")),
        ("folder", ("dir", "folder")),
        ("folder/", ("dir", "folder/")),
        ("odd[1]", ("dir", "odd[1]")),
        ("a.ini", ("glob", "a.ini")),
        ("plain", ("glob", "plain")),
        ("*.ini", ("glob", "*.ini")),
        ("folder/*", ("glob", "folder/*")),
        ("missing", ("dir", "missing")),
        ("missing/folder", ("dir", "missing/folder")),
        ("missing.ini", ("glob", "missing.ini")),
        ("missing.conf", ("glob", "missing.conf")),
        ("missing.d", ("dir", "missing.d")),
        ("link", ("glob", "link")),
    ],
)
def test_what_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, meant: tuple[str, str]) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("folder", "odd[1]"):
        (tmp_path / folder).mkdir()
    for file in ("a.ini", "plain"):
        (tmp_path / file).touch()
    (tmp_path / "link").symlink_to("nowhere")
    assert split_monitor(text, frozenset({".conf"})) == meant


def test_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="names nothing to watch"):
        split_monitor("")


def test_an_unknown_scheme_names_the_nearest_and_the_known_ones() -> None:
    with pytest.raises(
        UsageError, match=r"--emperor globb://x: .* \(did you mean glob://\?\); known are .*dir://, glob://"
    ):
        find_monitor("globb://x")
    with pytest.raises(UsageError, match="there is no monitor quux://; known are"):
        find_monitor("quux://x")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("pg:/host=a", "--emperor pg:/host=a: pg is followed by ://; did you mean pg://…?; for a path write ./pg:…"),
        ("pg:host=a passwort=geheim", "--emperor pg:host=a passwort=***: pg is followed by ://"),
        ("mongodb:x", "did you mean mongodb://"),
        ("ampq:x", "--emperor ampq:x: there is no monitor ampq:// (did you mean amqp://?); known are"),
        ("Glob:*.ini", "did you mean glob://"),
        (
            "postgresql://me:geheim@h/d",
            "--emperor postgresql://me:***@h/d: there is no monitor postgresql:// (did you mean pg://?)",
        ),
        ("postgres:host=a password=geheim", "(did you mean pg://?)"),
        ("pgg://passwort=geheim", "--emperor pgg://passwort=***: there is no monitor pgg:// (did you mean pg://?)"),
        ("mongo:x", "(did you mean mongodb://?)"),
        ("rabbitmq://x", "(did you mean amqp://?)"),
        ("zeromq://x", "(did you mean zmq://?)"),
        ("zk://x", "(did you mean zoo://?)"),
        ("file:///etc/uwsgi", "(did you mean dir://?)"),
        ("http://h/x", "there is no monitor http://; known are"),
        ("http://me:geheim@h/x", "--emperor http://me:***@h/x: there is no monitor http://"),
        ("redis:me:geheim@h", "--emperor redis:me:***@h: there is no monitor redis://"),
        ("postgresql://me:a geheim@h/d", "(did you mean pg://?)"),
        ("pgg://host=a passwort='my geheim'", "(did you mean pg://?)"),
        ("redis:x", "there is no monitor redis://; known are"),
    ],
)
def test_a_scheme_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, says: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as refused:
        find_monitor(text)
    assert says in str(refused.value)
    assert "geheim" not in str(refused.value)


def test_a_path_may_look_like_a_scheme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pg:x").mkdir()
    (tmp_path / "zoo:y").touch()
    assert split_monitor("pg:x") == ("dir", "pg:x")
    assert split_monitor("zoo:y") == ("glob", "zoo:y")
    assert split_monitor("./pg:z") == ("dir", "./pg:z")
    assert split_monitor("site:blue") == ("dir", "site:blue")


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """One monitor more, of a distribution with an extra named like its module."""
    metadata = SimpleNamespace(get_all=lambda _: ["pg", "all"])
    dist = SimpleNamespace(name="emperor-trio", version="1.0", metadata=metadata)
    points = [EntryPoint("pg", "fake_monitors.pg:PgMonitor", _registry.GROUP)]
    points.append(EntryPoint("odd", "fake_monitors.odd:OddMonitor", _registry.GROUP))
    points.append(EntryPoint("gone", "fake_monitors.gone:GoneMonitor", _registry.GROUP))
    for point in points:
        vars(point).update(dist=dist)
    points.append(EntryPoint("alone", "fake_monitors.odd:OddMonitor", _registry.GROUP))
    points.append(EntryPoint("empty", "fake_monitors:NoMonitor", _registry.GROUP))
    monkeypatch.setattr(_registry, "entry_points", lambda group: EntryPoints(points))

    class Finder:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name == "fake_monitors.pg":
                raise ModuleNotFoundError("No module named 'psycopg'", name="psycopg")
            if name == "fake_monitors.odd":
                raise ModuleNotFoundError("No module named 'odd_driver'", name="odd_driver.sub")

    package = ModuleType("fake_monitors")
    package.__path__ = []
    monkeypatch.setitem(sys.modules, "fake_monitors", package)
    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])


@pytest.mark.usefixtures("entry")
def test_a_missing_driver_says_what_to_install() -> None:
    with pytest.raises(DriverMissing, match=r"pg:// needs .* 'psycopg', .*: pip install 'emperor-trio\[pg\]'$"):
        find_monitor("pg://host=a")
    with pytest.raises(DriverMissing, match=r"'odd_driver.sub', .*: pip install 'odd_driver'$"):
        find_monitor("odd://x")
    with pytest.raises(DriverMissing, match=r"pip install 'odd_driver'$"):
        find_monitor("alone://x")


@pytest.mark.usefixtures("entry")
def test_a_broken_entry_point_is_named() -> None:
    with pytest.raises(
        UsageError, match=r"fake_monitors.gone:GoneMonitor of emperor-trio 1.0 can't be loaded: No module"
    ):
        find_monitor("gone://x")
    with pytest.raises(UsageError, match=r"empty://x: the monitor fake_monitors:NoMonitor can't be loaded"):
        find_monitor("empty://x")
