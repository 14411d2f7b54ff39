"""Those that take uWSGI's options: ours and uWSGI's own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.base import Peer, Place, Skill

BESIDE_PYTHON = Path(sys.executable).parent

WHAT_EMPERORS_DO = frozenset({Skill.FOLDER, Skill.HANGUP, Skill.HEARTBEAT, Skill.STATISTICS})


@dataclass(frozen=True)
class EmperorPeer(Peer):
    """``program`` is looked up in PATH; ``options`` go before the folder and the vassals' program."""

    name: str
    program: str
    options: tuple[str, ...] = ()
    skills: frozenset[Skill] = WHAT_EMPERORS_DO
    hint: str = ""

    def command(self, place: Place) -> list[str]:
        monitor = ["--emperor", str(place.configs), "--emperor-stats", str(place.statistics)]
        if place.owner is not None:
            monitor.append("--emperor-tyrant")
        if Skill.CONTROL in self.skills and "--control" not in self.options:
            monitor += ["--control", str(place.control)]
        return self.command_of(monitor, place.binary)

    def command_of(self, monitor: Sequence[str], vassal: Path) -> list[str]:
        """The same over any monitor, given by the options that name it."""
        return [self.program, *self.options, *monitor, "--binary-path", str(vassal)]


OURS = EmperorPeer("emperor-trio", str(BESIDE_PYTHON / "emperor-trio"), skills=WHAT_EMPERORS_DO | {Skill.CONTROL})
UWSGI = EmperorPeer("uwsgi", "uwsgi-core", hint="Debian's uwsgi-core")
PYUWSGI = EmperorPeer("pyuwsgi", str(BESIDE_PYTHON / "uwsgi"), hint="pip install pyuwsgi")
