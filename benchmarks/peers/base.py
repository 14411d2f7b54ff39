"""What a peer is: a supervisor that starts each of many vassals and keeps it running."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path


class Skill(Enum):
    """What not every peer can do. What all do: start vassals, keep them, stop them."""

    FOLDER = "it follows a folder: a changed config reloads its vassal, a new one starts one"
    HANGUP = "SIGHUP reloads all"
    HEARTBEAT = "it hears the heartbeats of vassals"
    STATISTICS = "it tells how all vassals are as JSON over a socket"
    CONTROL = "it has the control channel, and a command that shows how all vassals are"


@dataclass(frozen=True, slots=True)
class Place:
    """Where one run takes place. ``configs`` has the config of each vassal; all else of a peer goes into ``folder``.

    ``binary`` is the vassals' program: ``binary --ini CONFIG``. ``owner`` is the user whom vassals are to run as
    (``None``: ours). ``vassals`` are the names of those that are there at the start.
    """

    folder: Path
    configs: Path
    binary: Path
    vassals: Sequence[str]
    owner: int | None

    @property
    def statistics(self) -> Path:
        """The socket for them."""
        return self.folder / "statistics"

    @property
    def control(self) -> Path:
        return self.folder / "control"


class Peer:
    """One supervisor. ``most`` is how many vassals it can have, or as many as it is measured with."""

    name: str
    program: str
    skills: frozenset[Skill] = frozenset()
    most: int = 20_000
    stop: signal.Signals = signal.SIGTERM
    hint: str = ""
    """How to get it."""

    @property
    def installed(self) -> bool:
        return shutil.which(self.program) is not None

    def version(self) -> str:
        """What it says about itself."""
        said = subprocess.run([self.program, "--version"], capture_output=True, text=True, timeout=30, check=True)
        return said.stdout.split()[-1]

    def prepare(self, place: Place) -> None:
        """Write what it needs besides the configs of the vassals."""

    def command(self, place: Place) -> list[str]:
        """The words that start it, in the foreground, with its own defaults for everything else."""
        raise NotImplementedError


def package_version(package: str) -> str:
    """Of a Debian package."""
    said = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Version}", package], capture_output=True, text=True, timeout=30
    )
    return said.stdout or "unknown"
