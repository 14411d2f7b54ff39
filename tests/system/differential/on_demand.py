"""Vassals that wait for their first connection, and go back to waiting."""

from __future__ import annotations

import os
import signal
import socket
import stat
from pathlib import Path

from tests.system.differential.scenario import Differs, Observation, scenario
from tests.system.empire import EmperorUnderTest, ask, connect, free_port


def _wait_waiting(emperor: EmperorUnderTest, name: str, address: str | Path) -> None:
    emperor.wait_vassal(name, pid=-1, on_demand=str(address))
    if "/" in str(address):
        emperor.wait(Path(address).exists, "there is no socket")


def _round_trip(emperor: EmperorUnderTest, address: Path) -> Observation:
    """A first connection wakes the vassal, which serves it and leaves; a second one wakes the next."""
    _wait_waiting(emperor, "a.ini", address)
    before = len(emperor.reported("start", "a.ini"))
    first = ask(address)
    _wait_waiting(emperor, "a.ini", address)
    second = ask(address)
    _wait_waiting(emperor, "a.ini", address)
    starts = emperor.reported("start", "a.ini")
    return {
        "before": before,
        "mode": oct(stat.S_IMODE(address.stat().st_mode)),
        "answers": [first, second] == [start["pid"] for start in starts],
        "stdin": [start["fds"]["0"].startswith("socket:") for start in starts],
        "orders": emperor.orders("a.ini"),
        "blacklist": emperor.stats()["blacklist"],
        "argv": starts[0]["argv"][1:],
    }


@scenario()
def by_extension(emperor: EmperorUnderTest) -> Observation:
    address = emperor.folder / "a.sock"
    (emperor.vassals / "a.ini.socket").write_text(f"{address}\nsomething else\n")
    emperor.add("a.ini", serve=1, leave_after_serve=True)
    emperor.add("plain.ini", loyal_after=0)
    emperor.start("--emperor-on-demand-extension", ".socket")
    plain = emperor.wait_vassal("plain.ini", loyal=1)
    return {"plain": plain["on_demand"], **_round_trip(emperor, address)}


@scenario()
def by_directory(emperor: EmperorUnderTest) -> Observation:
    sockets = emperor.folder / "sockets"
    sockets.mkdir()
    emperor.add("a.ini", serve=1, leave_after_serve=True)
    emperor.start("--emperor-on-demand-directory", sockets)
    return _round_trip(emperor, sockets / "a.socket")


@scenario()
def by_command(emperor: EmperorUnderTest) -> Observation:
    address = emperor.folder / "a.sock"
    command = emperor.folder / "command"
    command.write_text(f'#!/bin/sh\n[ "$1" = a.ini ] && echo {address}\nexit 0\n')
    command.chmod(0o755)
    emperor.add("a.ini", serve=1, leave_after_serve=True)
    emperor.start("--emperor-on-demand-exec", command)
    return _round_trip(emperor, address)


@scenario()
def a_command_that_names_no_socket(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini")
    emperor.start("--emperor-on-demand-exec", "/bin/true")
    vassal = emperor.wait_vassal("a.ini", ready=1)
    return {"on_demand": vassal["on_demand"], "stdin": emperor.reported("start")[0]["fds"]["0"]}


@scenario()
def by_extension_in_a_pattern(emperor: EmperorUnderTest) -> Observation:
    address = emperor.folder / "a.sock"
    (emperor.vassals / "a.ini.socket").write_text(str(address))
    emperor.add("a.ini", serve=1, leave_after_serve=True)
    emperor.start("--emperor-on-demand-extension", ".socket", monitors=["vassals/*.ini"])
    _wait_waiting(emperor, "vassals/a.ini", address)
    pid = ask(address)
    _wait_waiting(emperor, "vassals/a.ini", address)
    return {"same": pid == emperor.reported("start")[0]["pid"], "argv": emperor.reported("start")[0]["argv"][1:]}


@scenario()
def on_a_port(emperor: EmperorUnderTest) -> Observation:
    port = free_port()
    (emperor.vassals / "a.ini.socket").write_text(f"127.0.0.1:{port}")
    emperor.add("a.ini", serve=1, leave_after_serve=True)
    emperor.start("--emperor-on-demand-extension", ".socket")
    emperor.wait_vassal("a.ini", pid=-1, on_demand=f"127.0.0.1:{port}")
    pid = ask(port)
    emperor.wait_vassal("a.ini", pid=-1)
    return {"same": pid == emperor.reported("start")[0]["pid"]}


@scenario()
def a_waiting_vassal_is_not_started_by_a_touch(emperor: EmperorUnderTest) -> Observation:
    address = emperor.folder / "a.sock"
    (emperor.vassals / "a.ini.socket").write_text(str(address))
    emperor.add("a.ini", serve=2)
    emperor.start("--emperor-on-demand-extension", ".socket")
    _wait_waiting(emperor, "a.ini", address)
    modified = emperor.touch("a.ini")
    waiting = emperor.wait_vassal("a.ini", last_mod=modified)
    emperor.pass_scans()
    before = len(emperor.reported("start", "a.ini"))
    first = ask(address)
    emperor.wait_vassal("a.ini", ready=1, loyal=1)
    emperor.touch("a.ini")
    emperor.wait_vassal("a.ini", respawns=1, ready=1)
    return {
        "before": before,
        "respawns": waiting["respawns"],
        "orders": emperor.orders("a.ini"),
        "same": ask(address) == first,
    }


@scenario()
def a_waiting_vassal_is_not_started_by_hup(emperor: EmperorUnderTest) -> Observation:
    address = emperor.folder / "a.sock"
    (emperor.vassals / "a.ini.socket").write_text(str(address))
    emperor.add("a.ini")
    emperor.start("--emperor-on-demand-extension", ".socket")
    _wait_waiting(emperor, "a.ini", address)
    emperor.send_signal(signal.SIGHUP)
    emperor.pass_scans()
    return {"starts": len(emperor.reported("start", "a.ini"))}


@scenario()
def a_removed_config_frees_the_socket(emperor: EmperorUnderTest) -> Observation:
    address = emperor.folder / "a.sock"
    (emperor.vassals / "a.ini.socket").write_text(str(address))
    emperor.add("a.ini")
    emperor.add("b.ini")
    emperor.start("--emperor-on-demand-extension", ".socket")
    _wait_waiting(emperor, "a.ini", address)
    emperor.wait_vassal("b.ini", ready=1)
    emperor.remove("a.ini")
    emperor.wait_gone("a.ini")
    with socket.socket(socket.AF_UNIX) as connection:
        return {"refused": connection.connect_ex(str(address)) != 0, "starts": len(emperor.reported("start", "a.ini"))}


@scenario()
def a_crash_brings_it_back_to_waiting(emperor: EmperorUnderTest) -> Observation:
    address = emperor.folder / "a.sock"
    (emperor.vassals / "a.ini.socket").write_text(str(address))
    emperor.add("a.ini", serve=5)
    emperor.start("--emperor-on-demand-extension", ".socket")
    _wait_waiting(emperor, "a.ini", address)
    first = ask(address)
    emperor.wait_vassal("a.ini", loyal=1, pid=first)
    os.kill(first, signal.SIGKILL)
    _wait_waiting(emperor, "a.ini", address)
    waiting = len(emperor.reported("start", "a.ini"))
    second = ask(address)
    return {"waiting": waiting, "another": first != second, "starts": len(emperor.reported("start", "a.ini"))}


@scenario(mode=Differs("0o666", "0o640", "mode and owner"))
def the_mode_of_the_socket_can_be_chosen(emperor: EmperorUnderTest) -> Observation:
    address = emperor.folder / "a.sock"
    (emperor.vassals / "a.ini.socket").write_text(str(address))
    emperor.add("a.ini")
    emperor.start("--emperor-on-demand-extension", ".socket", "--chmod-socket=640")
    _wait_waiting(emperor, "a.ini", address)
    return {"mode": oct(stat.S_IMODE(address.stat().st_mode))}


@scenario(file=Differs("unlinked", "kept", "the socket's path"))
def a_file_in_the_sockets_place(emperor: EmperorUnderTest) -> Observation:
    precious = emperor.folder / "precious"
    precious.write_text("data")
    (emperor.vassals / "a.ini.socket").write_text(str(precious))
    emperor.add("a.ini")
    emperor.add("b.ini")
    emperor.start("--emperor-on-demand-extension", ".socket")
    emperor.wait_vassal("b.ini", ready=1)
    emperor.pass_scans()
    return {"file": "kept" if precious.is_file() else "unlinked"}


@scenario()
def a_dead_socket_in_its_place(emperor: EmperorUnderTest) -> Observation:
    address = emperor.folder / "a.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(address))
    (emperor.vassals / "a.ini.socket").write_text(str(address))
    emperor.add("a.ini", serve=1)
    emperor.start("--emperor-on-demand-extension", ".socket")
    _wait_waiting(emperor, "a.ini", address)
    return {"answers": ask(address) == emperor.reported("start")[0]["pid"]}


UWSGI = """
[uwsgi]
plugin = notfound
protocol = http
master = true
idle = 1
die-on-idle = true
"""
"""A real one, whose socket is descriptor 0; it answers everything with 404."""


def _get(port: int) -> bytes:
    with connect(port) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n")[0]


@scenario()
def a_real_uwsgi_that_dies_on_idle(emperor: EmperorUnderTest) -> Observation:
    port = free_port()
    (emperor.vassals / "a.ini.socket").write_text(f"127.0.0.1:{port}")
    emperor.add("a.ini", text=UWSGI)
    emperor.start("--emperor-on-demand-extension", ".socket", binary="/usr/bin/uwsgi-core")
    emperor.wait_vassal("a.ini", pid=-1, on_demand=f"127.0.0.1:{port}")
    answers = [_get(port)]
    emperor.wait_vassal("a.ini", pid=-1, on_demand=f"127.0.0.1:{port}")
    answers.append(_get(port))
    emperor.wait_vassal("a.ini", pid=-1, on_demand=f"127.0.0.1:{port}")
    return {"answers": answers, "blacklist": emperor.stats()["blacklist"]}
