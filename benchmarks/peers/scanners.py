"""s6 and runit: one process watches a folder of services, and each service has a supervising process of its own."""

from __future__ import annotations

import signal
from pathlib import Path

from benchmarks.peers.base import Peer, Place, package_version


class ScanPeer(Peer):
    """``drop`` are the words that change the user, for a number."""

    package: str

    def version(self) -> str:
        return package_version(self.package)

    def drop(self, owner: int) -> str:
        raise NotImplementedError

    def prepare(self, place: Place) -> None:
        words = "" if place.owner is None else self.drop(place.owner) + " "
        for name in place.vassals:
            service = services(place) / name.removesuffix(".ini")
            service.mkdir(parents=True)
            run = service / "run"
            run.write_text(f"#!/bin/sh\nexec {words}{place.binary} --ini {place.configs}/{name}\n")
            run.chmod(0o755)


class S6Peer(ScanPeer):
    name = "s6"
    program = "s6-svscan"
    package = "s6"
    most = 4000
    hint = "Debian's s6"

    def drop(self, owner: int) -> str:
        return f"s6-applyuidgid -u {owner} -g {owner} -G ''"

    def command(self, place: Place) -> list[str]:
        return [self.program, "-c", str(len(place.vassals) + 100), str(services(place))]


class RunitPeer(ScanPeer):
    """``runsvdir`` itself ends at once; its services a moment later."""

    name = "runit"
    program = "runsvdir"
    package = "runit"
    most = 1000
    stop = signal.SIGHUP
    hint = "Debian's runit"

    def drop(self, owner: int) -> str:
        return f"chpst -u :{owner}:{owner}"

    def command(self, place: Place) -> list[str]:
        return [self.program, str(services(place))]


def services(place: Place) -> Path:
    return place.folder / "services"
