"""Which files become vassals, when they reload and when they stop."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.system.differential.scenario import Differs, Observation, scenario
from tests.system.empire import EmperorUnderTest


@scenario()
def every_extension_has_its_option(emperor: EmperorUnderTest) -> Observation:
    names = ["a.ini", "b.xml", "c.yml", "d.yaml", "e.json", "f.js"]
    emperor.start()
    for name in names:
        emperor.add(name)
    emperor.wait_running(*names)
    return {name: emperor.reported("start", name)[0]["argv"][1:] for name in names}


@scenario()
def what_is_no_config_is_left_alone(emperor: EmperorUnderTest) -> Observation:
    for name in ["a.txt", "b.ini~", "c.ini.bak", "ini", ".ini", ".hidden.ini", "d.INI", "e.ini", "x" * 251 + ".ini"]:
        emperor.add(name)
    (emperor.vassals / "folder.ini").mkdir()
    os.mkfifo(emperor.vassals / "fifo.ini")
    (emperor.vassals / "dangling.ini").symlink_to("nowhere")
    (emperor.vassals / "loop.ini").symlink_to("loop.ini")
    (emperor.vassals / "link.ini").symlink_to("a.txt")
    emperor.start()
    emperor.wait_vassal("e.ini", ready=1)
    emperor.pass_scans()
    return {"vassals": sorted(vassal["id"] for vassal in emperor.stats()["vassals"])}


@scenario()
def names_of_255_bytes_are_too_long(emperor: EmperorUnderTest) -> Observation:
    longest, too_long = "x" * 250 + ".ini", "y" * 251 + ".ini"
    (emperor.vassals / longest).symlink_to(emperor.add("a.txt"))
    (emperor.vassals / too_long).symlink_to("a.txt")
    emperor.start()
    emperor.wait_vassal(longest, ready=1)
    emperor.pass_scans()
    return {"vassals": [len(vassal["id"]) for vassal in emperor.stats()["vassals"]]}


@scenario()
def extra_extensions_are_started_with_config(emperor: EmperorUnderTest) -> Observation:
    emperor.start("--emperor-extra-extension", ".conf", "--emperor-extra-ext", ".vassal")
    names = ["a.conf", "b.vassal", "c.ini"]
    for name in names:
        emperor.add(name)
    emperor.wait_running(*names)
    return {name: emperor.reported("start", name)[0]["argv"][1:] for name in names}


@scenario()
def a_touched_config_reloads_its_vassal(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini", loyal_after=0)
    emperor.add("b.ini")
    emperor.start()
    before = emperor.wait_vassal("a.ini", ready=1, loyal=1)
    modified = emperor.touch("a.ini")
    emperor.wait_reported("order", "a.ini")
    after = emperor.wait_vassal("a.ini", respawns=1, ready=1, accepting=1)
    emperor.pass_scans()
    return {
        "orders": emperor.orders("a.ini"),
        "others": emperor.orders("b.ini"),
        "same process": before["pid"] == after["pid"],
        "born": after["born"] - before["born"],
        "last_mod": after["last_mod"] == modified,
        "first_run": after["first_run"] == before["first_run"],
        "last_run": after["last_run"] >= before["last_run"],
        "loyal": after["loyal"],
    }


@scenario()
def a_reload_takes_readiness_back(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini", reload_after=60_000, loyal_after=0)
    emperor.start()
    emperor.wait_vassal("a.ini", ready=1, accepting=1, loyal=1)
    emperor.touch("a.ini")
    during = emperor.wait_vassal("a.ini", respawns=1)
    return {key: during[key] for key in ("ready", "accepting", "loyal", "cursed")}


@scenario(orders=Differs([1], [1, 1], "which change counts"))
def only_some_changes_of_the_time_count(emperor: EmperorUnderTest) -> Observation:
    path = emperor.add("a.ini")
    emperor.start()
    emperor.wait_running("a.ini")
    before = path.stat().st_mtime_ns
    os.utime(path, ns=(before, before + 5))
    emperor.pass_scans()
    emperor.wait_running("a.ini")
    os.utime(path, ns=(before, before + 10**9))
    emperor.pass_scans()
    emperor.wait_running("a.ini")
    return {"orders": emperor.orders("a.ini")}


@scenario(orders=Differs([], [1], "which change counts"))
def a_restored_older_file(emperor: EmperorUnderTest) -> Observation:
    path = emperor.add("a.ini")
    emperor.start()
    emperor.wait_running("a.ini")
    before = path.stat().st_mtime_ns
    os.utime(path, ns=(before, before - 10**12))
    emperor.pass_scans()
    return {"orders": emperor.orders("a.ini")}


@scenario()
def a_removed_config_stops_its_vassal(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini", stop_after=1500, loyal_after=0)
    emperor.add("b.ini")
    emperor.start()
    emperor.wait_running("a.ini", "b.ini")
    emperor.wait_vassal("a.ini", loyal=1)
    emperor.remove("a.ini")
    dying = emperor.wait_vassal("a.ini", cursed=lambda since: since > 0)
    emperor.wait_gone("a.ini")
    emperor.wait_running("b.ini")
    stats = emperor.stats()
    return {
        "orders": emperor.orders("a.ini"),
        "dying": {key: dying[key] for key in ("ready", "accepting", "loyal", "respawns")},
        "dead": emperor.reported("exit", "a.ini")[0]["code"],
        "starts": len(emperor.reported("start", "a.ini")),
        "blacklist": stats["blacklist"],
    }


@scenario()
def a_vassal_comes_back_with_its_config(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini", loyal_after=0)
    emperor.start()
    emperor.wait_vassal("a.ini", loyal=1)
    emperor.remove("a.ini")
    emperor.wait_gone("a.ini")
    emperor.add("a.ini", loyal_after=0)
    back = emperor.wait_vassal("a.ini", loyal=1)
    return {"starts": len(emperor.reported("start", "a.ini")), "respawns": back["respawns"]}


@scenario()
def without_nofollow_the_target_counts(emperor: EmperorUnderTest) -> Observation:
    return _touch_link_and_target(emperor)


@scenario()
def with_nofollow_the_link_counts(emperor: EmperorUnderTest) -> Observation:
    return _touch_link_and_target(emperor, "--emperor-nofollow")


def _touch_link_and_target(emperor: EmperorUnderTest, *options: str) -> Observation:
    elsewhere = emperor.folder / "elsewhere"
    elsewhere.mkdir()
    emperor.add("target", folder=elsewhere)
    (emperor.vassals / "link.ini").symlink_to(elsewhere / "target")
    emperor.touch("link.ini", follow=False)
    emperor.start(*options)
    emperor.wait_running("link.ini")
    orders = {}
    for what, follow in (("target", True), ("link", False)):
        emperor.touch("link.ini", follow=follow)
        emperor.send_signal(signal.SIGWINCH)
        emperor.pass_scans()
        orders[what] = emperor.orders("link.ini")
    return {"orders after a touch": orders}


@scenario()
def a_dangling_link_is_no_vassal_without_nofollow(emperor: EmperorUnderTest) -> Observation:
    return _dangling_link(emperor)


@scenario()
def a_dangling_link_is_a_vassal_with_nofollow(emperor: EmperorUnderTest) -> Observation:
    return _dangling_link(emperor, "--emperor-nofollow")


def _dangling_link(emperor: EmperorUnderTest, *options: str) -> Observation:
    (emperor.vassals / "link.ini").symlink_to("nowhere")
    emperor.start(*options)
    emperor.pass_scans()
    stats = emperor.stats()
    return {"known": "link.ini" in [entry["id"] for entry in (*stats["vassals"], *stats["blacklist"])]}


@scenario()
def a_pattern_takes_matched_paths_for_names(emperor: EmperorUnderTest) -> Observation:
    return _pattern(emperor, "")


@scenario()
def an_explicit_pattern_is_the_same(emperor: EmperorUnderTest) -> Observation:
    return _pattern(emperor, "glob://")


def _pattern(emperor: EmperorUnderTest, scheme: str) -> Observation:
    sites = emperor.folder / "sites"
    for site in ("one", "two"):
        (sites / site).mkdir(parents=True)
    emperor.add("uwsgi.ini", sites / "one")
    emperor.add("other.ini", sites / "one")
    emperor.start(monitors=[f"{scheme}{sites}/*/uwsgi.ini", f"{scheme}sites/*/o*.ini"])
    emperor.wait_running(f"{sites}/one/uwsgi.ini", "sites/one/other.ini")
    emperor.add("uwsgi.ini", sites / "two")
    emperor.wait_vassal(f"{sites}/two/uwsgi.ini", ready=1)
    emperor.touch("uwsgi.ini", sites / "one")
    emperor.wait_reported("order", byte=1)
    emperor.remove("uwsgi.ini", sites / "two")
    emperor.wait_gone(f"{sites}/two/uwsgi.ini")

    def plain(text: str) -> str:
        return text.replace(str(emperor.folder), "FOLDER")

    return {
        "starts": sorted((*map(plain, start["argv"][1:]), plain(start["cwd"])) for start in emperor.reported("start")),
        "orders": sorted((plain(order["name"]), order["byte"]) for order in emperor.reported("order")),
        "emperor": [plain(text) for text in emperor.stats()["emperor"]],
        "monitor": sorted(plain(vassal["monitor"]) for vassal in emperor.stats()["vassals"]),
    }


@scenario()
def two_folders(emperor: EmperorUnderTest) -> Observation:
    folders = [emperor.folder / "first", emperor.folder / "second"]
    for number, folder in enumerate(folders):
        folder.mkdir()
        emperor.add(f"{number}.ini", folder)
    emperor.start(monitors=[folders[0], f"dir://{folders[1]}"])
    emperor.wait_running("0.ini", "1.ini")

    def plain(path: str) -> str:
        return Path(path).name

    return {
        "cwd": sorted((plain(start["cwd"]), start["name"]) for start in emperor.reported("start")),
        "emperor": [plain(text) for text in emperor.stats()["emperor"]],
        "monitor": sorted((vassal["id"], plain(vassal["monitor"])) for vassal in emperor.stats()["vassals"]),
    }


@scenario(vassals=Differs(1, 2, "the same name in two monitors"))
def the_same_name_in_two_folders(emperor: EmperorUnderTest) -> Observation:
    folders = [emperor.folder / "first", emperor.folder / "second"]
    for folder in folders:
        folder.mkdir()
        emperor.add("same.ini", folder)
    emperor.start(monitors=folders)
    emperor.wait_vassal("same.ini", ready=1)
    emperor.add("last.ini", folders[1])
    emperor.wait_vassal("last.ini", ready=1)
    return {"vassals": len([v for v in emperor.stats()["vassals"] if v["id"] == "same.ini"])}


@scenario(
    monitor=Differs("a pattern", "waited for", "a folder that is missing at the start"),
    vassals=Differs([], ["a.ini"], "a folder that is missing at the start"),
)
def a_folder_that_is_missing_at_the_start(emperor: EmperorUnderTest) -> Observation:
    missing = emperor.folder / "later"
    present = emperor.folder / "present"
    present.mkdir()
    emperor.start(monitors=[missing, present])
    missing.mkdir()
    emperor.add("a.ini", missing)
    emperor.add("b.ini", present)
    emperor.wait_vassal("b.ini", ready=1)
    emperor.send_signal(signal.SIGWINCH)
    emperor.add("c.ini", present)
    emperor.wait_vassal("c.ini", ready=1)
    if emperor.kind.value != "uwsgi":
        emperor.wait_vassal("a.ini", ready=1)
    vassals = emperor.stats()["vassals"]
    return {
        "monitor": "waited for" if any(vassal["id"] == "a.ini" for vassal in vassals) else "a pattern",
        "vassals": [vassal["id"] for vassal in vassals if vassal["id"] == "a.ini"],
    }


@scenario()
def winch_scans_now(emperor: EmperorUnderTest) -> Observation:
    """The statistics wake uWSGI, so nothing but the report is read here."""
    emperor.add("a.ini")
    emperor.start(frequency=600)
    emperor.wait_reported("sent", "a.ini", byte=5)
    emperor.add("b.ini")
    emperor.send_signal(signal.SIGWINCH)
    emperor.wait_reported("sent", "b.ini", byte=5)
    emperor.remove("a.ini")
    emperor.send_signal(signal.SIGWINCH)
    emperor.wait_reported("exit", "a.ini")
    return {"orders": emperor.orders("a.ini")}
