"""The commands of uWSGI's development branch, told to a real emperor: spawn, respawn, stop, log."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

from tests.system.empire import EmperorUnderTest


def command(path: Path, **words: str) -> None:
    """One packet, as uWSGI's own clients send it."""
    body = b"".join(
        struct.pack("<H", len(word)) + word for pair in words.items() for word in (part.encode() for part in pair)
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.sendto(struct.pack("<BHB", 0, len(body), 0) + body, str(path))


def test_a_vassal_that_waits_for_its_command_is_spawned_respawned_and_stopped(emperor: EmperorUnderTest) -> None:
    path = emperor.folder / "commands"
    emperor.add("a.ini")
    emperor.add("at-once.ini")
    emperor.start(
        "--emperor-command-socket", str(path), "--emperor-wait-for-command", "--emperor-wait-for-command-ignore",
        "at-once.ini",
    )  # fmt: skip
    emperor.wait_vassal("at-once.ini", ready=1)
    emperor.wait_vassal("a.ini", pid=-1)
    assert emperor.reported("start", "a.ini") == []
    command(path, cmd="spawn", vassal="a.ini")
    first = emperor.wait_vassal("a.ini", ready=1)["pid"]
    command(path, cmd="respawn", vassal="a.ini")
    assert emperor.wait_vassal("a.ini", ready=1, respawns=1)["pid"] == first
    command(path, cmd="stop", vassal="a.ini")
    emperor.wait_vassal("a.ini", pid=-1)
    emperor.touch("a.ini")
    command(path, cmd="log", msg="all is well")
    command(path, cmd="spawn", vassal="a.ini")
    assert emperor.wait_vassal("a.ini", ready=1)["pid"] not in (first, -1)
    assert len(emperor.reported("start", "a.ini")) == 2
    assert emperor.stop() == 0
    assert "all is well" in emperor.log()
    assert not path.exists()
