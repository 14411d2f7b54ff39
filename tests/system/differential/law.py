"""How vassals that die, hang, leave or ask for more are treated, and what the statistics say about it."""

from __future__ import annotations

import os
import signal

from tests.system.differential.scenario import Differs, Observation, scenario
from tests.system.empire import EmperorUnderTest, Json

DEVELOPMENT_KEYS = ["suspended", "adopted", "attrs"]
"""What uWSGI's development branch adds to a vassal's statistics."""

OWN_KEYS = ["monitors"]
"""What only ours tells of the whole empire: how each source is."""


def respawned(emperor: EmperorUnderTest, name: str, old: int, **fields: object) -> Json:
    """Wait for the next process after ``old``."""
    return emperor.wait_vassal(name, pid=lambda pid: pid not in (old, -1), ready=1, **fields)


@scenario()
def every_byte_is_in_the_statistics(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini", loyal_after=1, heartbeat=100, send=99, send_after=1)
    emperor.add("mute.ini", ready_after="never")
    emperor.start()
    emperor.wait_vassal("a.ini", last_heartbeat=lambda at: at > 0, loyal=1)
    emperor.wait_reported("sent", "a.ini", byte=99)
    emperor.pass_scans()
    flags = ("loyal", "ready", "accepting", "cursed", "zerg", "respawns", "on_demand")
    times = ("last_loyal", "last_ready", "last_accepting", "last_heartbeat", "first_run", "last_run")

    def seen(name: str) -> Observation:
        vassal = emperor.wait_vassal(name)
        return {key: vassal[key] for key in flags} | {key: vassal[key] > 0 for key in times}

    return {"talks": seen("a.ini"), "mute": seen("mute.ini"), "orders": emperor.orders("a.ini")}


@scenario(vassal=Differs([], DEVELOPMENT_KEYS, "statistics"), own=Differs([], OWN_KEYS, "statistics"))
def the_shape_of_the_statistics(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini")
    emperor.add("b.ini", exit_after=0)
    emperor.start()
    emperor.wait_vassal("a.ini", ready=1)
    emperor.wait(lambda: emperor.blacklisted("b.ini"), "not blacklisted")
    stats = emperor.stats()
    (vassal,) = (entry for entry in stats["vassals"] if entry["id"] == "a.ini")

    def shape(entry: Json) -> list[tuple[str, str]]:
        return [(key, type(value).__name__) for key, value in entry.items() if key not in DEVELOPMENT_KEYS]

    return {
        "emperor": [entry for entry in shape(stats) if entry[0] not in OWN_KEYS],
        "own": [key for key in OWN_KEYS if key in stats],
        "vassals": shape(vassal),
        "blacklist": shape(stats["blacklist"][0]),
        "vassal": [key for key in DEVELOPMENT_KEYS if key in vassal],
        "values": {key: stats[key] for key in ("uid", "gid", "emperor_tyrant", "throttle_level")},
        "pid": stats["pid"] == emperor.pid,
        "times": all(abs(vassal[key] - stats["vassals"][0]["first_run"]) < 1000 for key in ("last_ready", "last_run")),
        "born": vassal["born"] == vassal["last_mod"] == int((emperor.vassals / "a.ini").stat().st_mtime),
    }


@scenario(cwd=Differs("the watched folder", "its own", "the emperor's own folder"))
def the_emperors_own_folder(emperor: EmperorUnderTest) -> Observation:
    emperor.start()
    known = {str(emperor.vassals): "the watched folder", str(emperor.folder): "its own"}
    return {"cwd": known[emperor.stats()["cwd"]]}


@scenario()
def a_loyal_vassal_that_is_killed_is_back_at_once(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini", loyal_after=0)
    emperor.start()
    before = emperor.wait_vassal("a.ini", ready=1, accepting=1, loyal=1)
    os.kill(before["pid"], signal.SIGKILL)
    after = respawned(emperor, "a.ini", before["pid"], loyal=1)
    return {
        "blacklist": emperor.stats()["blacklist"],
        "starts": len(emperor.reported("start", "a.ini")),
        "vassal": {key: after[key] for key in ("respawns", "loyal", "ready", "cursed")},
        "born": after["born"] == before["born"],
    }


@scenario()
def a_loyal_vassal_that_ends_is_back_at_once(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini", loyal_after=0, exit_after=300, exit_code=0)
    emperor.start()
    emperor.wait_reported("start", "a.ini", count=3)
    return {"blacklist": emperor.stats()["blacklist"]}


@scenario()
def a_disloyal_vassal_that_is_killed_is_blacklisted(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini")
    emperor.start()
    before = emperor.wait_vassal("a.ini", ready=1, accepting=1)
    os.kill(before["pid"], signal.SIGKILL)
    respawned(emperor, "a.ini", before["pid"])
    entry = emperor.blacklisted("a.ini")
    assert entry is not None
    return {"attempt": entry["attempt"], "times": 0 <= entry["last_attempt"] - entry["first_attempt"] <= 1}


@scenario()
def each_death_before_loyalty_costs_more(emperor: EmperorUnderTest) -> Observation:
    """Only what the statistics say: a busy uWSGI starts some of them again without waiting."""
    emperor.add("a.ini", ready_after="never", exit_after=0, exit_code=1)
    emperor.start("--emperor-throttle", "200")
    found: list[Json] = []

    def throttled() -> bool:
        found[:] = [entry for entry in emperor.stats()["blacklist"] if entry["attempt"] >= 3]
        return bool(found)

    emperor.wait(throttled, "attempts do not rise")
    return {"delay in throttles": round(found[0]["throttle_level"] / 200 / found[0]["attempt"], 0)}


@scenario()
def loyalty_takes_off_the_blacklist(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini")
    emperor.start()
    first = emperor.wait_vassal("a.ini", ready=1)["pid"]
    os.kill(first, signal.SIGKILL)
    second = respawned(emperor, "a.ini", first)["pid"]
    listed = emperor.blacklisted("a.ini") is not None
    os.kill(second, signal.SIGUSR1)
    emperor.wait_vassal("a.ini", loyal=1)
    emperor.wait(lambda: emperor.blacklisted("a.ini") is None, "it stays on the blacklist")
    return {"listed": listed, "afterwards": emperor.stats()["blacklist"]}


@scenario()
def without_a_blacklist_all_are_back_at_once(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini", exit_after=0, exit_code=1)
    emperor.start("--emperor-no-blacklist", "--emperor-throttle", "600000")
    emperor.wait_reported("start", "a.ini", count=5)
    return {"blacklist": emperor.stats()["blacklist"]}


def _blacklisted_for_long(emperor: EmperorUnderTest) -> int:
    """Add a vassal that dies at once, and wait until it has to wait ten minutes: how often it has started by then."""
    emperor.add("a.ini", ready_after="never", exit_after=0)
    emperor.start("--emperor-throttle", "600000", "--emperor-max-throttle", "600000")

    def waits() -> bool:
        stats = emperor.stats()
        gone = all(vassal["pid"] == -1 for vassal in stats["vassals"])
        return gone and any(entry["throttle_level"] > 500_000 for entry in stats["blacklist"])

    emperor.wait(waits, "it is not blacklisted")
    return len(emperor.reported("start", "a.ini"))


@scenario()
def urg_clears_the_blacklist(emperor: EmperorUnderTest) -> Observation:
    before = _blacklisted_for_long(emperor)
    emperor.send_signal(signal.SIGURG)
    emperor.wait_reported("start", "a.ini", count=before + 1)
    return {"at least twice before": before >= 2}


@scenario(after=Differs("waits", "starts", "a changed config of a blacklisted vassal"))
def a_changed_config_of_a_blacklisted_vassal(emperor: EmperorUnderTest) -> Observation:
    before = _blacklisted_for_long(emperor)
    emperor.add("a.ini")
    emperor.pass_scans()
    return {"after": "starts" if len(emperor.reported("start", "a.ini")) > before else "waits"}


@scenario(blacklist=Differs(["a.ini"], [], "a stop that was asked for before loyalty"))
def a_stop_before_loyalty(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini")
    emperor.start()
    emperor.wait_vassal("a.ini", ready=1)
    emperor.remove("a.ini")
    emperor.wait_gone("a.ini")
    return {"blacklist": [entry["id"] for entry in emperor.stats()["blacklist"]]}


@scenario(afterwards=Differs("starts again", "stays away", "exit code 26, and byte 22 outside on demand"))
def exile(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini", exit_after=0, exit_code=26)
    emperor.start()
    return _away(emperor)


@scenario(afterwards=Differs("starts again", "stays away", "exit code 26, and byte 22 outside on demand"))
def leave_of_its_own_will(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini", leave_after=0, loyal_after=0)
    emperor.start()
    return _away(emperor) | {"first order": emperor.orders("a.ini")[0]}


def _away(emperor: EmperorUnderTest) -> Observation:
    """Whether a scan brings back what left; a changed config does in any case."""
    emperor.wait_reported("exit", "a.ini")
    emperor.pass_scans()
    emperor.pass_scans()
    again = len(emperor.reported("start", "a.ini")) > 1
    emperor.add("a.ini", loyal_after=0)
    emperor.wait_vassal("a.ini", loyal=1)
    return {
        "afterwards": "starts again" if again else "stays away",
        "code": emperor.reported("exit", "a.ini")[0]["code"],
    }


@scenario()
def a_lost_heartbeat(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini", heartbeat=100, heartbeats=2, loyal_after=0)
    emperor.start("--emperor-required-heartbeat", "1")
    before = emperor.wait_vassal("a.ini", last_heartbeat=lambda at: at > 0)
    after = respawned(emperor, "a.ini", before["pid"], loyal=1)
    return {
        "exits": emperor.reported("exit", "a.ini"),
        "orders": emperor.orders("a.ini"),
        "blacklist": emperor.stats()["blacklist"],
        "respawns": after["respawns"],
    }


@scenario()
def no_heartbeat_is_required_of_who_never_sent_one(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini", loyal_after=0)
    emperor.add("beats.ini", heartbeat=100, heartbeats=1, loyal_after=0)
    emperor.start("--emperor-required-heartbeat", "1")
    emperor.wait_reported("start", "beats.ini", count=2)
    return {"starts": len(emperor.reported("start", "a.ini"))}


@scenario()
def who_ignores_a_stop_is_killed(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini", ignore_stop=True, ignore_signals=True, loyal_after=0, workers=1)
    emperor.start("--emperor-curse-tolerance", "1")
    emperor.wait_vassal("a.ini", loyal=1)
    emperor.remove("a.ini")
    cursed = emperor.wait_vassal("a.ini", cursed=lambda at: at > 0)
    order = emperor.wait_reported("order", "a.ini")
    emperor.wait_gone("a.ini")
    return {
        "orders": emperor.orders("a.ini"),
        "exits": emperor.reported("exit", "a.ini"),
        "cursed": 0 <= cursed["cursed"] - int(order["at"]) <= 1,
    }


@scenario(
    workers=Differs("live on", "dead", "session"),
)
def the_workers_of_who_is_killed(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini", ignore_stop=True, loyal_after=0, workers=2)
    emperor.start("--emperor-curse-tolerance", "1")
    emperor.wait_vassal("a.ini", loyal=1)
    workers = [entry["worker"] for entry in emperor.reported("worker")]
    emperor.remove("a.ini")
    emperor.wait_gone("a.ini")
    alive = set(workers) & set(emperor.processes())
    return {"workers": "live on" if alive else "dead"}


@scenario()
def a_vassal_that_closes_its_pipe(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini", close_after=300, loyal_after=0)
    emperor.start("--emperor-curse-tolerance", "1")
    first = emperor.wait_vassal("a.ini", loyal=1)["pid"]
    emperor.wait_vassal("a.ini", cursed=lambda at: at > 0)
    emperor.add("a.ini", loyal_after=0)
    respawned(emperor, "a.ini", first, loyal=1)
    return {"exits": emperor.reported("exit", "a.ini"), "blacklist": emperor.stats()["blacklist"]}


@scenario()
def hup_reloads_all(emperor: EmperorUnderTest) -> Observation:
    names = ("a.ini", "b.ini", "c.ini")
    for name in names:
        emperor.add(name)
    emperor.start()
    emperor.wait_running(*names)
    emperor.send_signal(signal.SIGHUP)
    for name in names:
        emperor.wait_vassal(name, respawns=1, ready=1, accepting=1)
    return {name: emperor.orders(name) for name in names}


@scenario()
def usr1_logs_the_status_of_each(emperor: EmperorUnderTest) -> Observation:
    for name in ("quiet-vassal.ini", "other-vassal.ini"):
        emperor.add(name)
    emperor.start()
    emperor.wait_running("quiet-vassal.ini", "other-vassal.ini")
    length = len(emperor.log())
    emperor.send_signal(signal.SIGUSR1)
    emperor.wait(lambda: "quiet-vassal.ini" in emperor.log()[length:], "no status")
    emperor.wait(lambda: "other-vassal.ini" in emperor.log()[length:], "no status")
    return {"orders": emperor.orders("quiet-vassal.ini")}


ZERG = """
[zerg]
report = {report}
loyal_after = 0
"""


def _broodlord(emperor: EmperorUnderTest) -> None:
    text = f"[uwsgi]\nreport = {emperor.report.path}\nreinforce_after = 50\nloyal_after = 0\n"
    emperor.add("a.ini", text=text + ZERG.format(report=emperor.report.path))


@scenario()
def reinforcement_in_broodlord_mode(emperor: EmperorUnderTest) -> Observation:
    _broodlord(emperor)
    emperor.start("--emperor-broodlord", "3", "--vassal-set", "x=y")
    zerg = emperor.wait_vassal("a.ini:zerg", loyal=1)
    start = emperor.wait_reported("start", "a.ini:zerg")
    environment = dict(entry.split("=", 1) for entry in start["env"])
    emperor.remove("a.ini")
    emperor.wait_gone("a.ini:zerg")
    emperor.wait_gone("a.ini")
    return {
        "argv": start["argv"][1:],
        "number": environment["UWSGI_BROODLORD_NUM"],
        "zerg": {key: zerg[key] for key in ("zerg", "on_demand", "respawns")},
        "orders": emperor.orders("a.ini:zerg"),
    }


@scenario()
def no_reinforcement_without_broodlord_mode(emperor: EmperorUnderTest) -> Observation:
    _broodlord(emperor)
    emperor.start()
    emperor.wait_reported("sent", "a.ini", byte=30)
    emperor.pass_scans()
    return {"vassals": [vassal["id"] for vassal in emperor.stats()["vassals"]]}


@scenario(zerg=Differs(1, 0, "a name with a colon"))
def a_name_with_a_colon(emperor: EmperorUnderTest) -> Observation:
    emperor.add("host:80.ini")
    emperor.start()
    vassal = emperor.wait_vassal("host:80.ini")
    emperor.wait_reported("start", "host:80.ini")
    return {"zerg": vassal["zerg"], "argv": emperor.reported("start")[0]["argv"][1:]}
