"""What a vassal is given when it starts: command line, environment, descriptors, signals, rights, namespaces, hooks."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tests.system.differential.scenario import Differs, Observation, scenario
from tests.system.empire import EmperorUnderTest, Json


def start_of(emperor: EmperorUnderTest, name: str = "a.ini") -> Json:
    """The report of a vassal's start, once it is running."""
    emperor.wait_vassal(name, ready=1, accepting=1)
    return emperor.reported("start", name)[-1]


def environment_of(start: Json) -> dict[str, str]:
    return dict(entry.split("=", 1) for entry in start["env"])


@scenario()
def options_around_the_config_keep_their_order(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini")
    emperor.start(
        "--vassals-include", "i1", "--vassals-inherit", "t1", "--vassal-set", "a=1", "--vassals-include-before", "ib1",
        "--vassals-inherit-before", "tb1", "--vassals-include", "i2", "--vassals-inherit", "t2", "--vassals-set", "b=2",
        "--vassals-include-before", "ib2", "--vassals-inherit-before", "tb2",
    )  # fmt: skip
    return {"argv": start_of(emperor)["argv"][1:]}


@scenario()
def the_folder_is_the_watched_one(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini")
    (emperor.folder / "link").symlink_to(emperor.vassals)
    emperor.start(monitors=["link"])
    start = start_of(emperor)
    return {
        "cwd": start["cwd"].replace(str(emperor.folder), "FOLDER"),
        "monitor": emperor.stats()["vassals"][0]["monitor"].replace(str(emperor.folder), "FOLDER"),
    }


@scenario()
def the_environment_is_the_emperors_with_a_few_changes(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini")
    given = {
        "PLAIN": "kept", "EMPTY": "", "UWSGI_OTHER": "kept", "UWSGI_RELOADS": "3", "NOTIFY_SOCKET": "/nowhere",
        "UNICODE": "ünïcode",
    }  # fmt: skip
    emperor.start("--env", "SET=by option", environment=given)
    found = environment_of(start_of(emperor))
    return {name: found.get(name) for name in (*given, "SET", "HOME")}


@scenario(colour=Differs((None, None), (None, "blue"), "`UWSGI_VASSAL_X` in the environment"))
def variables_for_vassals_lose_their_prefix(emperor: EmperorUnderTest) -> Observation:
    """uWSGI takes the variable away, and then the next one in its place, without its first 13 characters."""
    emperor.add("a.ini")
    emperor.start(environment={"UWSGI_VASSAL_COLOUR": "blue", "SOME_LONG_NAME": "which is next"})
    found = environment_of(start_of(emperor))
    return {"colour": (found.get("UWSGI_VASSAL_COLOUR"), found.get("UWSGI_COLOUR"))}


@scenario(names=Differs(["UWSGI_ORIGINAL_PROC_NAME"], [], "the environment otherwise"))
def nothing_is_added_to_the_environment_but_the_pipe(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini")
    emperor.start()
    given = Path(f"/proc/{emperor.pid}/environ").read_bytes().split(b"\0")
    names = {entry.partition(b"=")[0].decode() for entry in given}
    found = environment_of(start_of(emperor))
    return {"names": sorted(found.keys() - names - {"UWSGI_EMPEROR_FD"}), "pipe": "UWSGI_EMPEROR_FD" in found}


@scenario()
def descriptors_are_the_pipe_and_the_standard_three(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini")
    emperor.add("b.ini")
    emperor.start()
    start = start_of(emperor, "b.ini")
    fds = {int(number): target for number, target in start["fds"].items()}
    pipe = int(environment_of(start)["UWSGI_EMPEROR_FD"])
    return {
        "stdin": fds.pop(0),
        "stdout": fds.pop(1) == str(emperor.log_path),
        "stderr": fds.pop(2) == str(emperor.log_path),
        "pipe": re.sub(r"\d+", "N", fds.pop(pipe)),
        "rest": fds,
    }


@scenario()
def inherited_descriptors_are_not_passed_on(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini")
    emperor.start(prefix=["/bin/sh", "-c", 'exec "$@" 7</etc/passwd 8</etc/passwd', "sh"])
    return {"leaked": [target for target in start_of(emperor)["fds"].values() if target == "/etc/passwd"]}


@scenario(
    session=Differs("the emperor's", "its own", "session"),
    ignored=Differs(["SIGPIPE"], [], "signals that are ignored"),
)
def session_and_signals(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini")
    emperor.start()
    start = start_of(emperor)
    assert start["sid"] in (start["pid"], os.getsid(emperor.pid))
    ignored = int(start["status"]["SigIgn"], 16)
    return {
        "parent": start["ppid"] == emperor.pid,
        "session": "its own" if start["sid"] == start["pid"] else "the emperor's",
        "ignored": [
            name for name, number in {"SIGHUP": 1, "SIGINT": 2, "SIGPIPE": 13}.items() if ignored >> number - 1 & 1
        ],
        "blocked": start["status"]["SigBlk"],
        "parent-death signal": start["pdeathsig"],
        "umask": start["umask"],
    }


@scenario()
def limits_and_rights_are_the_emperors(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini")
    emperor.start(prefix=["prlimit", "--nofile=900:1000"])
    start = start_of(emperor)
    rights = {name: value for name, value in start["status"].items() if name.startswith("Cap") or name == "NoNewPrivs"}
    return {key: start[key] for key in ("nofile", "uid", "euid", "gid", "egid", "groups")} | {"rights": rights}


@scenario()
def umask_is_passed_on(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini")
    emperor.start("--umask", "027")
    return {"umask": start_of(emperor)["umask"]}


@scenario()
def capabilities_are_what_is_asked_for(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini")
    emperor.start("--emperor-cap", "net_raw")
    status = start_of(emperor)["status"]
    return {"bounding": _names(status["CapBnd"]), "permitted": _names(status["CapPrm"])}


def _names(mask: str) -> str:
    known = {13: "net_raw", 8: "setpcap"}
    return (
        ", ".join(known.get(bit, str(bit)) for bit in sorted(known, reverse=True) if int(mask, 16) >> bit & 1) or mask
    )


@scenario()
def namespaces_are_new_where_asked_for(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini")
    emperor.start("--emperor-use-clone", "fs,ipc,net,uts")
    found = start_of(emperor)["namespaces"]
    ours = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in found}
    return {"new": sorted(kind for kind in found if found[kind] != ours[kind])}


@scenario()
def a_new_process_namespace(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini", stop_after=0)
    emperor.start("--emperor-use-clone", "pid")
    start = start_of(emperor)
    emperor.touch("a.ini")
    emperor.wait_vassal("a.ini", respawns=1, ready=1)
    emperor.remove("a.ini")
    emperor.wait_gone("a.ini")
    return {"pid": start["pid"], "parent": start["ppid"], "orders": emperor.orders("a.ini")}


@scenario(
    executable=Differs(["--ini", "exec://a.ini"], ["--ini", "exec://./a.ini"], "`--emperor-magic-exec`"),
)
def an_executable_config_is_executed_where_asked_for(emperor: EmperorUnderTest) -> Observation:
    for name in ("a.ini", "b.ini"):
        emperor.add(name, text=f"#!/bin/sh\necho report = {emperor.report.path}\nreport = {emperor.report.path}\n")
    (emperor.vassals / "a.ini").chmod(0o755)
    emperor.start("--emperor-magic-exec")
    emperor.wait_running("a.ini", "b.ini")
    executable, plain = sorted(
        (start["argv"][1:] for start in emperor.reported("start")), key=lambda argv: argv[1] == "b.ini"
    )
    return {"executable": executable, "plain": plain}


@scenario()
def an_executable_config_is_read_otherwise(emperor: EmperorUnderTest) -> Observation:
    emperor.add("a.ini").chmod(0o755)
    emperor.start()
    return {"argv": start_of(emperor)["argv"][1:]}


def _binaries(emperor: EmperorUnderTest, *names: str) -> list[Path]:
    """Further names of the test vassal."""
    paths = [emperor.folder / name for name in names]
    for path in paths:
        path.symlink_to(emperor.binary)
    return paths


def _which(emperor: EmperorUnderTest, *options: str | Path, binary: str | Path | None = "") -> Observation:
    emperor.add("a.ini")
    emperor.start(*options, binary=binary)
    return {"argv[0]": Path(start_of(emperor)["argv"][0]).name}


@scenario()
def the_wrapper_goes_before_the_binary(emperor: EmperorUnderTest) -> Observation:
    (wrapper,) = _binaries(emperor, "wrapper")
    return _which(emperor, "--emperor-wrapper", wrapper)


@scenario()
def wrapper_overrides_go_before_the_wrapper(emperor: EmperorUnderTest) -> Observation:
    wrapper, one, two = _binaries(emperor, "wrapper", "one", "two")
    override = "--emperor-wrapper-override"
    return _which(emperor, "--emperor-wrapper", wrapper, override, "/nowhere", override, one, override, two)


@scenario()
def wrapper_fallbacks_come_last(emperor: EmperorUnderTest) -> Observation:
    one, two = _binaries(emperor, "one", "two")
    fallback = "--emperor-wrapper-fallback"
    return _which(emperor, fallback, "/nowhere", fallback, one, fallback, two, binary="/nowhere/uwsgi")


@scenario()
def a_working_binary_needs_no_fallback(emperor: EmperorUnderTest) -> Observation:
    (one,) = _binaries(emperor, "one")
    return _which(emperor, "--emperor-wrapper-fallback", one)


@scenario()
def a_wrapper_in_the_path(emperor: EmperorUnderTest) -> Observation:
    programs = emperor.folder / "bin"
    programs.mkdir()
    (programs / "my-wrapper").symlink_to(emperor.binary)
    emperor.add("a.ini")
    emperor.start("--emperor-wrapper", "my-wrapper", environment={"PATH": f"{programs}:/usr/bin:/bin"})
    return {"argv[0]": start_of(emperor)["argv"][0]}


@scenario()
def nothing_that_can_be_executed(emperor: EmperorUnderTest) -> Observation:
    (binary,) = _binaries(emperor, "uwsgi")
    emperor.start("--emperor-throttle", "100", binary=binary)
    binary.unlink()  # ours refuses to start where it is not there to begin with
    emperor.add("a.ini")
    emperor.wait(lambda: (emperor.blacklisted("a.ini") or {"attempt": 0})["attempt"] >= 3, "never tried again")
    return {"code": emperor.stop()}


def _script(path: Path, *lines: str) -> Path:
    path.write_text("#!/bin/sh\n" + "".join(f"{line}\n" for line in lines))
    path.chmod(0o755)
    return path


@scenario()
def the_start_hook(emperor: EmperorUnderTest) -> Observation:
    out = emperor.folder / "out"
    hook = _script(
        emperor.folder / "hook",
        f'echo "$#,$1,$UWSGI_VASSALS_DIR,$UWSGI_EMPEROR_FD,$PLAIN,$PWD" >> {out}',
        "exit 3",
    )
    emperor.add("a.ini")
    emperor.start("--vassals-start-hook", hook, environment={"PLAIN": "kept"})
    start = start_of(emperor)
    count, name, folder, pipe, plain, here = out.read_text().rstrip("\n").split(",")
    assert folder == here == str(emperor.vassals)
    return {
        "arguments": (count, name),
        "plain": plain,
        "pipe": pipe == environment_of(start)["UWSGI_EMPEROR_FD"],
        "vassals dir of the vassal": environment_of(start).get("UWSGI_VASSALS_DIR") == folder,
        "starts": len(emperor.reported("start")),
    }


@scenario()
def exec_as_vassal(emperor: EmperorUnderTest) -> Observation:
    out = emperor.folder / "out"
    emperor.add("a.ini")
    emperor.start("--exec-as-vassal", f"echo one $PWD >> {out}", "--exec-as-vassal", f"echo two >> {out}")
    start_of(emperor)
    return {"ran": out.read_text().replace(str(emperor.vassals), "VASSALS").splitlines()}


@scenario()
def a_failing_exec_as_vassal_fails_the_start(emperor: EmperorUnderTest) -> Observation:
    out = emperor.folder / "out"
    emperor.add("a.ini")
    emperor.start("--exec-as-vassal", f"echo x >> {out}; exit 3", "--exec-as-vassal", f"echo never >> {out}")
    emperor.wait(lambda: (emperor.blacklisted("a.ini") or {"attempt": 0})["attempt"] >= 1, "not blacklisted")
    return {"ran": sorted(set(out.read_text().splitlines())), "starts": len(emperor.reported("start"))}


@scenario()
def exec_as_emperor(emperor: EmperorUnderTest) -> Observation:
    out = emperor.folder / "out"
    emperor.add("a.ini")
    variables = "$UWSGI_VASSAL_CONFIG,$UWSGI_VASSAL_PID,$UWSGI_VASSAL_UID,$UWSGI_VASSAL_GID,$PWD"
    emperor.start("--exec-as-emperor", f'echo "{variables}" >> {out}; exit 3')
    start = start_of(emperor)
    emperor.wait(lambda: out.exists() and "\n" in out.read_text(), "it never ran")
    config, pid, uid, gid, here = out.read_text().rstrip("\n").split(",")
    return {
        "config": config,
        "pid": int(pid) == start["pid"],
        "owner": (uid, gid),
        "folder": here.replace(str(emperor.folder), "FOLDER"),
        "starts": len(emperor.reported("start")),
    }


@scenario()
def the_stop_hook_runs_after_a_stop(emperor: EmperorUnderTest) -> Observation:
    out = emperor.folder / "out"
    hook = _script(emperor.folder / "hook", f'echo "$#,$1,$UWSGI_VASSALS_DIR,$PWD" >> {out}', "exit 3")
    emperor.add("a.ini", loyal_after=0)
    emperor.start("--vassals-stop-hook", hook)
    emperor.wait_vassal("a.ini", loyal=1)
    emperor.remove("a.ini")
    emperor.wait_gone("a.ini")
    return {"ran": out.read_text().replace(str(emperor.vassals), "VASSALS").splitlines()}


@scenario()
def the_stop_hook_runs_after_a_death(emperor: EmperorUnderTest) -> Observation:
    out = emperor.folder / "out"
    hook = _script(emperor.folder / "hook", f'echo "$1" >> {out}')
    emperor.add("a.ini", loyal_after=0)
    emperor.start("--vassals-stop-hook", hook)
    first = emperor.wait_vassal("a.ini", loyal=1)["pid"]
    os.kill(first, 9)
    emperor.wait_vassal("a.ini", loyal=1, pid=lambda pid: pid not in (first, -1))
    return {"ran": out.read_text().splitlines()}
