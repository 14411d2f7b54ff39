"""Attributes of uWSGI's development branch: read from ``[emperor]``, shown, and obeyed as the vassal's own user."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.system.empire import EmperorUnderTest

MALLORY = (12_666, 13_666)


def add(emperor: EmperorUnderTest, name: str, **attributes: object) -> Path:
    """A vassal whose config says something of itself to the emperor."""
    path = emperor.add(name)
    lines = "".join(f"{key} = {value}\n" for key, value in attributes.items())
    path.write_text(f"{path.read_text()}\n[emperor]\n{lines}")
    return path


def test_they_are_collected_shown_and_followed_when_they_change(emperor: EmperorUnderTest) -> None:
    add(emperor, "a.ini", team="blue", secret="x")
    emperor.add("b.ini")
    emperor.start("--emperor-collect-attribute", "team", "--emperor-collect-attr", "tier")
    emperor.wait_vassal("a.ini", ready=1, attrs={"team": "blue"})
    emperor.wait_vassal("b.ini", ready=1, attrs={})
    add(emperor, "a.ini", team="red", tier="1")
    emperor.wait_vassal("a.ini", ready=1, attrs={"team": "red", "tier": "1"})


def test_a_vassal_starts_in_the_folder_and_with_the_binary_that_it_names(emperor: EmperorUnderTest) -> None:
    folder = emperor.folder / "its own folder"
    folder.mkdir()
    wrapper = emperor.folder / "wrapper"
    wrapper.write_text(f'#!/bin/sh\npwd > "{emperor.folder}/where"\nexec {emperor.binary} "$@"\n')
    wrapper.chmod(0o755)
    add(emperor, "a.ini", place=folder, program=wrapper)
    emperor.add("b.ini")
    emperor.start("--emperor-chdir-attr", "place", "--emperor-wrapper-attr", "program")
    pid = emperor.wait_vassal("a.ini", ready=1)["pid"]
    other = emperor.wait_vassal("b.ini", ready=1)["pid"]
    assert os.readlink(f"/proc/{pid}/cwd") == str(folder) == (emperor.folder / "where").read_text().strip()
    assert os.readlink(f"/proc/{other}/cwd") == str(emperor.vassals)


def test_a_folder_that_is_not_there_exiles_the_vassal_until_its_config_changes(emperor: EmperorUnderTest) -> None:
    add(emperor, "a.ini", place="/no/such/folder")
    emperor.start("--emperor-chdir-attr", "place")
    emperor.wait(lambda: "exit code 26" in emperor.log(), "it is not exiled")
    add(emperor, "a.ini", place="/")
    emperor.wait_vassal("a.ini", ready=1)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for Tyrant mode")
def test_a_tenant_gets_into_no_folder_that_is_closed_to_him(emperor: EmperorUnderTest) -> None:
    closed, open_one = emperor.folder / "closed", emperor.folder / "open"
    closed.mkdir(mode=0o700)
    open_one.mkdir(mode=0o755)
    for name, folder in (("mallory.ini", closed), ("good.ini", open_one)):
        path = add(emperor, name, place=folder)
        os.chown(path, *MALLORY)
    emperor.start("--emperor-tyrant", "--emperor-chdir-attr", "place")
    pid = emperor.wait_vassal("good.ini", ready=1)["pid"]
    assert os.readlink(f"/proc/{pid}/cwd") == str(open_one)
    emperor.wait(lambda: "exit code 26" in emperor.log(), "it is not exiled")
    assert emperor.reported("start", "mallory.ini") == []
