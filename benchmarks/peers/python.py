"""The supervisors in Python: supervisord and circus, from PyPI, in a virtual environment of their own."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

from benchmarks.peers.base import Peer, Place

ENVIRONMENT = Path(__file__).parents[2] / ".venv-peers" / "bin"
HINT = "make bench installs it into .venv-peers"


class SupervisordPeer(Peer):
    """Each program with its own user; its output goes nowhere, so that no pipe is kept for it."""

    name = "supervisord"
    program = str(ENVIRONMENT / "supervisord")
    most = 1000
    hint = HINT

    def prepare(self, place: Place) -> None:
        user = "" if place.owner is None else f"user={place.owner}\n"
        head = (
            f"[supervisord]\nnodaemon=true\nminfds=16384\nminprocs=20000\nloglevel=warn\nlogfile={place.folder}/own.log\n"
            f"pidfile={place.folder}/pid\nchildlogdir={place.folder}\n"
        )
        parts = [
            f"[program:v{name.removesuffix('.ini')}]\ncommand={place.binary} --ini {place.configs}/{name}\n{user}"
            "startsecs=0\nautorestart=true\nstdout_logfile=/dev/null\nredirect_stderr=true\n"
            for name in place.vassals
        ]
        (place.folder / "supervisord.conf").write_text("\n".join([head, *parts]))

    def command(self, place: Place) -> list[str]:
        return [self.program, "-c", str(place.folder / "supervisord.conf")]


class CircusPeer(Peer):
    """Each watcher with its own user. Its own statistics are off."""

    name = "circus"
    program = str(ENVIRONMENT / "circusd")
    most = 1000
    hint = HINT

    def version(self) -> str:
        python = str(ENVIRONMENT / "python")
        code = "from importlib.metadata import version; print(version('circus'))"
        return subprocess.run(
            [python, "-c", code], capture_output=True, text=True, timeout=30, check=True
        ).stdout.strip()

    def prepare(self, place: Place) -> None:
        user = "" if place.owner is None else f"uid = {place.owner}\ngid = {place.owner}\n"
        head = (
            f"[circus]\nendpoint = tcp://127.0.0.1:{_free_port()}\npubsub_endpoint = tcp://127.0.0.1:{_free_port()}\n"
            "statsd = False\nloglevel = WARNING\n"
        )
        parts = [
            f"[watcher:v{name.removesuffix('.ini')}]\ncmd = {place.binary}\nargs = --ini {place.configs}/{name}\n{user}"
            for name in place.vassals
        ]
        (place.folder / "circus.ini").write_text("\n".join([head, *parts]))

    def command(self, place: Place) -> list[str]:
        return [self.program, str(place.folder / "circus.ini")]

    @property
    def installed(self) -> bool:
        return shutil.which(self.program) is not None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
