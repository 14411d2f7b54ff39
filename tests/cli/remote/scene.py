"""An empire at one moment, with a vassal in each state, for the tests of what a terminal shows."""

from __future__ import annotations

from dataclasses import replace

from emperor_trio.control.messages import Details, Event, Greeting, Key, Monitor, Snapshot, State, Vassal
from tests.cli.remote.test_awaited import ROW

NOW = 1_795_500_000.0
HOUR = 3600.0


def vassal(name: str, state: State, **changes: object) -> Vassal:
    base = replace(ROW, name=name, state=state, first_run=NOW - 5 * HOUR, last_run=NOW - 3 * HOUR, since=NOW - 3 * HOUR)
    return replace(base, deaths=0, **changes)  # type: ignore[arg-type]


GREETING = Greeting("1.2.3", 4711, NOW - 5 * HOUR, NOW, True, ("/srv/vassals", "pg://host=db"), "", "elsewhere")

GONE = {"pid": 0, "ready": False, "accepting": False, "loyal": False}

VASSALS = (
    vassal("blog.ini", State.UP, pid=4720),
    vassal("forum.ini", State.UP, pid=4722, generation=12, reloads=3, monitor="pg://host=db", owner="1000:1000"),
    vassal("shop.ini", State.RELOADING, pid=4725, ready=False, since=NOW - 2, revision=6, wanted=6),
    vassal("new.ini", State.STARTING, pid=4730, ready=False, since=NOW - 12),
    vassal("rare.ini", State.WAITING, **GONE, on_demand="127.0.0.1:3031"),
    vassal("old.ini", State.STOPPING, pid=4731, since=NOW - 4, reason="asked to stop"),
    vassal("next.ini", State.QUEUED, **GONE, phase="queued"),
    vassal("cart.ini", State.BLACKLISTED, **GONE, generation=5, exit_code=1, next_spawn=NOW + 12, phase="queued"),
    vassal("wrecked.ini", State.FAILED, **GONE, generation=9, exit_code=-11, reason="8 restarts within 60 s"),
    vassal("left.ini", State.EXILED, **GONE, exit_code=26, reason="it ended with exit code 26"),
    vassal("off.ini", State.STOPPED, **GONE, held="by a command; 'emperor-trio start' starts it"),
    vassal("a name\nwith \x1b[31mtricks and a length that no column has room for, wherever one looks.ini", State.UP),
    vassal("caf\udce9-日本語-\u202eevil.ini", State.UP, pid=4799),
)

MONITORS = (
    Monitor("/srv/vassals", True, NOW - 5 * HOUR, "", "", 0.0, 12),
    Monitor("pg://host=db", False, NOW - 90, "no route to pg://u:secret@db/x", "…", NOW + 2, 1),
)

SNAPSHOT = Snapshot(1, NOW, VASSALS, MONITORS, (Key("/srv/vassals", "away.ini"),))

EVENTS = (
    Event(NOW - 120, "info", "VassalSpawned", "/srv/vassals", "cart.ini", 0, "spawned, pid 4750", {"pid": 4750}),
    Event(NOW - 119, "info", "VassalExited", "/srv/vassals", "cart.ini", 0, "died, pid 4750, exit code 1", {}),
    Event(NOW - 119, "warning", "VassalBlacklisted", "/srv/vassals", "cart.ini", 0,
          "blacklisted, death 4 before loyalty: next spawn in 131.0 s", {}),
    Event(NOW - 90, "error", "MonitorFailed", "pg://host=db", "", 0,
          "no route; vassals stay as they are, again in 2.0 s", {}),
    Event(NOW - 5, "info", "CommandReceived", "", "", 0, "reload of shop.ini", {}),
)  # fmt: skip


def details(name: str) -> Details:
    (found,) = [row for row in VASSALS if row.name == name]
    events = tuple(event for event in EVENTS if event.name == name)
    return Details(1, found, events, ("/usr/bin/uwsgi", "--ini", name), "/var/log/vassals/x.log", {"team": "blue"})
