"""Who is compared: how each emperor is started over a folder of vassals. Knows nothing about measuring."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BESIDE_PYTHON = Path(sys.executable).parent


@dataclass(frozen=True, slots=True)
class Peer:
    """One emperor. ``program`` is looked up in PATH; ``options`` go before the folder and the vassals' program."""

    name: str
    program: str
    options: tuple[str, ...] = ()

    @property
    def installed(self) -> bool:
        return shutil.which(self.program) is not None

    def version(self) -> str:
        """What it says about itself."""
        said = subprocess.run([self.program, "--version"], capture_output=True, text=True, timeout=30, check=True)
        return said.stdout.split()[-1]

    def command(self, folder: Path, vassal: Path) -> list[str]:
        """The words that start it, in the foreground, with its own defaults for everything else."""
        return self.command_of(("--emperor", str(folder)), vassal)

    def command_of(self, monitor: Sequence[str], vassal: Path) -> list[str]:
        """The same over any monitor, given by the options that name it."""
        return [self.program, *self.options, *monitor, "--binary-path", str(vassal)]


OURS = Peer("emperor-trio", str(BESIDE_PYTHON / "emperor-trio"))
UWSGI = Peer("uwsgi", "uwsgi-core")
PYUWSGI = Peer("pyuwsgi", str(BESIDE_PYTHON / "uwsgi"))

PEERS = {peer.name: peer for peer in (OURS, UWSGI, PYUWSGI)}
