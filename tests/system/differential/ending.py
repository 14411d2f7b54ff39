"""How the emperor ends, and what it does to its vassals then."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.system.differential.scenario import Differs, Observation, scenario
from tests.system.empire import EmperorUnderTest, connect, wait_until


def _end(emperor: EmperorUnderTest, number: int, *options: str, ignore_stop: bool = False) -> Observation:
    emperor.add("a.ini", ignore_stop=ignore_stop)
    emperor.add("b.ini", loyal_after=0)
    emperor.start(*options)
    emperor.wait_running("a.ini", "b.ini")
    code = emperor.stop(number)
    return {"code": code, "orders": (emperor.orders("a.ini"), emperor.orders("b.ini")), "left": emperor.processes()}


@scenario()
def term(emperor: EmperorUnderTest) -> Observation:
    return _end(emperor, signal.SIGTERM)


@scenario()
def interrupt(emperor: EmperorUnderTest) -> Observation:
    return _end(emperor, signal.SIGINT)


@scenario()
def quit_signal(emperor: EmperorUnderTest) -> Observation:
    return _end(emperor, signal.SIGQUIT)


@scenario()
def graceful_shutdown(emperor: EmperorUnderTest) -> Observation:
    return _end(emperor, signal.SIGTERM, "--emperor-graceful-shutdown")


@scenario()
def graceful_shutdown_holds_for_removed_configs(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini", loyal_after=0)
    emperor.start("--emperor-graceful-shutdown")
    emperor.wait_vassal("a.ini", loyal=1)
    emperor.remove("a.ini")
    emperor.wait_gone("a.ini")
    return {"orders": emperor.orders("a.ini")}


@scenario()
def mercy_ends(emperor: EmperorUnderTest) -> Observation:
    observed = _end(emperor, signal.SIGTERM, "--reload-mercy", "2", ignore_stop=True)
    return observed | {"exits": [entry["name"] for entry in emperor.reported("exit")]}


@scenario()
def with_nobody_to_stop(emperor: EmperorUnderTest) -> Observation:
    emperor.start()
    return {"code": emperor.stop(), "left": emperor.processes()}


@scenario(orders=Differs([], [0], "SIGTERM with a stop hook"))
def term_with_a_stop_hook(emperor: EmperorUnderTest) -> Observation:
    out = emperor.folder / "out"
    hook = emperor.folder / "hook"
    hook.write_text(f"#!/bin/sh\necho $1 >> {out}\n")
    hook.chmod(0o755)
    emperor.add("a.ini", loyal_after=0)
    emperor.start("--vassals-stop-hook", hook, "--reload-mercy", "2")
    emperor.wait_vassal("a.ini", loyal=1)
    code = emperor.stop()
    return {"code": code, "orders": emperor.orders("a.ini"), "hook": "a.ini" in out.read_text().split()}


@scenario()
def a_killed_emperor_takes_its_vassals_along(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini", ignore_eof=True, ignore_signals=True)
    emperor.add("b.ini", loyal_after=0)
    emperor.start()
    emperor.wait_running("a.ini", "b.ini")
    emperor.send_signal(signal.SIGKILL)
    wait_until(lambda: not emperor.processes(), lambda: f"somebody lives on\n{emperor.describe()}")
    return {"left": emperor.processes()}


@scenario()
def pid_files(emperor: EmperorUnderTest) -> Observation:
    one, two = emperor.folder / "one.pid", emperor.folder / "two.pid"
    emperor.start("--emperor-pidfile", one, "--pidfile", two)
    return {"one": one.read_text() == f"{emperor.pid}\n", "two": two.read_text() == f"{emperor.pid}\n"}


@scenario()
def the_name_of_the_process(emperor: EmperorUnderTest) -> Observation:
    emperor.start("--emperor-procname", "the great emperor")
    return {"name": Path(f"/proc/{emperor.pid}/cmdline").read_bytes().split(b"\0")[0].decode().strip()}


@scenario()
def statistics_over_http(emperor: EmperorUnderTest) -> Observation:
    emperor.start("--stats-http", wait=False)
    with connect(emperor.stats_path) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    return {"status": lines[0], "headers": sorted(line for line in lines[1:] if "Length" not in line), "json": body[:1]}


@scenario(vassal=Differs((0, 0), (65534, 65534), "`uid` and `gid` of a vassal in the statistics"))
def an_unprivileged_emperor(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini")
    emperor.start("--uid", "65534", "--gid", "65534")
    emperor.wait_vassal("a.ini", ready=1)
    start, stats = emperor.reported("start", "a.ini")[0], emperor.stats()
    return {key: start[key] for key in ("uid", "euid", "gid", "egid", "groups")} | {
        "emperor": (stats["uid"], stats["gid"]),
        "vassal": (stats["vassals"][0]["uid"], stats["vassals"][0]["gid"]),
    }
