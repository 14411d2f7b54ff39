"""The machine's own limit: ``limit.c``, an emperor with nothing but the work."""

from __future__ import annotations

import subprocess
import tempfile
from functools import cache
from pathlib import Path

from benchmarks.peers.base import Peer, Place, Skill

SOURCE = Path(__file__).with_name("limit.c")


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Kept until Python ends."""
    return tempfile.TemporaryDirectory(prefix="limit-")


@cache
def build() -> Path:
    binary = Path(_folder().name) / "limit"
    words: list[str | Path] = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-std=gnu17", "-o", binary, SOURCE]
    subprocess.run(words, check=True, timeout=60)
    return binary


class LimitPeer(Peer):
    name = "C limit"
    program = "gcc"
    skills = frozenset({Skill.FOLDER, Skill.HANGUP, Skill.HEARTBEAT})
    hint = "Debian's gcc"

    def version(self) -> str:
        return "one vfork a vassal"

    def prepare(self, place: Place) -> None:
        build()

    def command(self, place: Place) -> list[str]:
        return [str(build()), str(place.configs), str(place.binary), str(-1 if place.owner is None else place.owner)]
