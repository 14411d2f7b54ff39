"""Which program is uWSGI, and what it must be told to find itself again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from emperor_trio.errors import SpawnError, UsageError
from emperor_trio.processes.binary import choose_programs, find_binary
from emperor_trio.processes.launch import LaunchPolicy


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    path = tmp_path / "bin"
    path.mkdir()
    return path


def program(path: Path, text: str = "\x7fELF") -> str:
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def policy(path: Path | str, **changes: Any) -> LaunchPolicy:
    return LaunchPolicy(environment={"PATH": str(path)}, directory="/", **changes)


def test_the_named_one_goes_first(bin_folder: Path) -> None:
    program(bin_folder / "uwsgi")
    other = program(bin_folder / "other")
    assert find_binary(policy(bin_folder, binary=other)) == (other,)
    assert find_binary(policy(bin_folder, binary="other")) == (other,)
    with pytest.raises(SpawnError, match="--binary-path /nowhere/uwsgi: there is no such program"):
        find_binary(policy(bin_folder, binary="/nowhere/uwsgi"))


def test_then_the_path_then_the_one_beside_the_running_python(
    bin_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "python"))
    assert find_binary(policy(bin_folder)) is None
    (tmp_path / "venv").mkdir()
    beside = program(tmp_path / "venv" / "uwsgi")
    assert find_binary(policy(bin_folder)) == (beside,)
    found = program(bin_folder / "uwsgi")
    assert find_binary(policy(bin_folder)) == (found,)


def test_a_wrapper_stands_in_its_place(bin_folder: Path) -> None:
    program(bin_folder / "uwsgi")
    assert find_binary(policy(bin_folder, wrapper="w")) is None


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("#!/venv/bin/python3\nfrom pyuwsgi import run\n", "/venv/bin/python3"),
        ("#! /venv/bin/python3.11 -I\n", "/venv/bin/python3.11"),
        ("#!/opt/pypy3\n", "/opt/pypy3"),
        ("#!/usr/bin/env python3\n", "BIN/python3"),
        ("#!/usr/bin/env -S python3 -E\n", "BIN/python3"),
        ("#!/bin/sh\n'''exec' \"/a long path/python\" \"$0\" \"$@\"\n' '''\nimport sys\n", "BIN/python3"),
        ('#!/bin/sh\nexec /usr/bin/uwsgi-core "$@"\n', None),
        ("#!/usr/bin/env bash\n", None),
        ("#!\n", None),
        ("", None),
        ("\x7fELF", None),
    ],
)
def test_a_console_script_is_told_its_python(bin_folder: Path, text: str, python: str | None) -> None:
    program(bin_folder / "python3")
    script = program(bin_folder / "uwsgi", text)
    told = () if python is None else ("--set", f"binary-path={python.replace('BIN', str(bin_folder))}")
    assert find_binary(policy(bin_folder)) == (script, *told)


def test_what_vassals_run_is_known_at_the_start(bin_folder: Path) -> None:
    uwsgi, other = program(bin_folder / "uwsgi"), program(bin_folder / "other")
    assert choose_programs(policy(bin_folder)) == (uwsgi,)
    assert choose_programs(policy(bin_folder, binary="other")) == (other,)
    assert choose_programs(policy(bin_folder, wrapper=other, binary="/nowhere/uwsgi")) == (other,)


def test_overrides_and_fallbacks_may_be_missing_as_long_as_something_can_run(bin_folder: Path) -> None:
    uwsgi, other = program(bin_folder / "uwsgi"), program(bin_folder / "other")
    assert choose_programs(policy(bin_folder, wrapper_override=("/nowhere/1", other))) == (other,)
    assert choose_programs(policy(bin_folder, wrapper_override=("/nowhere/1",))) == (uwsgi,)
    assert choose_programs(policy("/nowhere", binary="/nowhere/2", wrapper_fallback=("no", other))) == (other,)
    assert choose_programs(policy("/nowhere", wrapper="/nowhere/2", wrapper_fallback=(other,))) == (other,)
    # What a vassal's own folder may hold is not known yet.
    assert choose_programs(policy(bin_folder, wrapper_override=("./mine",))) == ("./mine", uwsgi)
    assert choose_programs(policy(bin_folder, wrapper="./mine")) == ("./mine",)


def test_where_nothing_can_run_the_option_the_path_and_the_way_out_are_named(
    bin_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "python"))
    closed = bin_folder / "closed"
    closed.write_text("")
    for changes, text in (
        ({}, "there is no uwsgi .* pip install 'emperor-trio\\[uwsgi\\]'.* apt install uwsgi.* --binary-path"),
        ({"wrapper_override": ("/nowhere/1",)}, "there is no uwsgi"),
        (
            {"binary": "/nowhere/uwsgi"},
            "--binary-path /nowhere/uwsgi: there is no such program; .*leave it out",
        ),
        ({"binary": "./uwsgi"}, "--binary-path ./uwsgi: there is no such program"),
        ({"binary": "nowhere"}, "--binary-path nowhere: there is no such program in PATH; give its whole path"),
        ({"binary": str(bin_folder)}, f"--binary-path {bin_folder}: it is a folder"),
        ({"wrapper": str(closed)}, f"--emperor-wrapper {closed}: it is not executable for the user"),
    ):
        with pytest.raises(UsageError, match=text):
            choose_programs(policy(bin_folder, **changes))
