"""The daemon as an operator meets it: exit codes, complaints, its log, its files, its own process."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.empire import PATIENCE, EmperorUnderTest, Kind, command_of, free_port

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \[emperor\] (debug|info|warn|error) +\S.*: \S.*")

AS_NOBODY = ["--reuid", "65534", "--regid", "65534", "--clear-groups"]


def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command, to its end; for what is over at once."""
    return subprocess.run(
        [*command_of(Kind.OURS), *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


# --- exit codes and complaints ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["--imperial-monitors-list"], ["--imperial-monitor-list"]]
)
def test_what_only_shows_ends_with_0(arguments: list[str]) -> None:
    shown = run(*arguments)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.strip()


def test_the_module_is_the_command() -> None:
    shown = subprocess.run([sys.executable, "-m", "emperor_trio", "--version"], capture_output=True, timeout=PATIENCE)
    assert shown.returncode == 0
    assert shown.stdout.decode() == run("--version").stdout


@pytest.mark.parametrize(
    ("arguments", "clue"),
    [
        (["--emperor", "."] * 2, "twice"),
        (["--emperor", "nowhere://x"], "nowhere"),
        (["--emperor", ".", "--emperor-frequ", "3"], "--emperor-freq"),
        (["--emperor", ".", "--emperor-freq", "often"], "--emperor-freq"),
        (["--emperor", ".", "--emperor-freq", "0"], "--emperor-freq"),
        (["--emperor", ".", "--emperor-throttle", "-1"], "--emperor-throttle"),
        (["--emperor", ".", "--emperor-cap", "sys_everything"], "sys_everything"),
        (["--emperor", ".", "--emperor-use-clone", "everything"], "everything"),
        (["--emperor", ".", "--call-as-emperor", "f"], "--call-as-emperor"),
        (["--emperor", ".", "--http", ":80"], "--http"),
        (["--emperor", ".", "--daemonize", "log"], "--daemonize"),
        (
            ["--emperor", ".", "--binary-path", "/nowhere/uwsgi"],
            "--binary-path /nowhere/uwsgi: there is no such program",
        ),
        (["--emperor", ".", "--emperor-wrapper", "/etc/passwd"], "--emperor-wrapper /etc/passwd: it is not executable"),
        (["--emperor", ".", "--emperor-stats", "stats", "--binary-path", "nowhere"], "in PATH; give its whole path"),
        (["--emperor", ".", "--uid", "nobody-of-this-name"], "nobody-of-this-name"),
        (["--emperor", ".", "--gid", "nobody-of-this-name"], "nobody-of-this-name"),
        (["--emperor", ".", "--chdir", "/nowhere"], "/nowhere"),
        (["--emperor", ".", "--logto", "/nowhere/log"], "/nowhere/log"),
        (["--emperor", ".", "--emperor-pidfile", "/nowhere/pid"], "/nowhere/pid"),
        (["--emperor", ".", "--emperor-stats", "/nowhere/stats"], "/nowhere/stats"),
        (["--emperor", ".", "--emperor-stats", "127.0.0.1:port"], "127.0.0.1:port"),
        (["--emperor", ".", "--emperor-stats", "192.0.2.1:9000"], "192.0.2.1:9000"),
        (["--ini", "/nowhere/emperor.ini"], "/nowhere/emperor.ini"),
        (["--config", "/nowhere/emperor.toml"], "/nowhere/emperor.toml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cant_be_meant_ends_with_2_and_one_clear_line(tmp_path: Path, arguments: list[str], clue: str) -> None:
    refused = run(*arguments, cwd=tmp_path)
    assert refused.returncode == 2, refused.stderr
    assert clue in refused.stderr
    assert refused.stdout == ""
    assert len(refused.stderr.splitlines()) == 1, refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_watch_shows_how_it_is_used() -> None:
    refused = run()
    assert refused.returncode == 2
    assert "usage" in refused.stderr
    assert "emperor-trio --emperor /" in refused.stderr


def test_a_taken_port_ends_with_2_and_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        refused = run("--emperor", ".", "--emperor-stats", address, "--emperor-pidfile", tmp_path / "pid", cwd=tmp_path)
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert "--emperor-stats" in line
    assert address in line
    assert list(tmp_path.iterdir()) == []


def test_a_socket_that_another_emperor_serves_is_not_taken_away(emperor: EmperorUnderTest) -> None:
    emperor.start()
    refused = run("--emperor", ".", "--emperor-stats", emperor.stats_path, cwd=emperor.folder)
    assert refused.returncode == 2
    assert str(emperor.stats_path) in refused.stderr
    assert emperor.stats()["pid"] == emperor.pid


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("e.ini", "[uwsgi]\nemperor-frequ = 3\n"),
        ("e.ini", "[uwsgi]\nemperor-freq = often\n"),
        ("e.xml", "<uwsgi><emperor>"),
        ("e.yaml", "uwsgi: [\n"),
        ("e.json", "{"),
        ("e.toml", "emperor = "),
    ],
)
def test_a_bad_config_of_its_own_names_the_file(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    refused = run(tmp_path / name)
    assert refused.returncode == 2
    assert str(tmp_path / name) in refused.stderr
    assert len(refused.stderr.splitlines()) == 1, refused.stderr


def test_its_own_config_in_every_format_reigns(emperor: EmperorUnderTest) -> None:
    config = emperor.folder / "emperor.ini"
    config.write_text(
        f"[uwsgi]\nemperor = %d/vassals\nemperor-stats = {emperor.stats_path}\nbinary-path = {emperor.binary}\n"
        "vassal-set = colour=blue\nmaster = true\nplugin = nothing\n"
    )
    emperor.add("a.ini")
    emperor.launch([*command_of(Kind.OURS), "--ini", config])
    emperor.wait_started()
    emperor.wait_vassal("a.ini", ready=1)
    assert emperor.reported("start")[0]["argv"][1:] == ["--set", "colour=blue", "--ini", "a.ini"]
    assert emperor.stop() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become someone else")
@pytest.mark.parametrize(
    ("options", "start"),
    [
        (["--uid", "root"], "--uid root: Operation not permitted"),
        (["--uid", "root", "--gid", "root"], "--gid root: Operation not permitted"),
    ],
)
def test_whom_nobody_cant_become_is_named_by_the_option_that_was_given(options: list[str], start: str) -> None:
    command = ["setpriv", *AS_NOBODY, *command_of(Kind.OURS), "--emperor", "/tmp", *options]
    refused = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=PATIENCE)
    assert (refused.returncode, refused.stderr) == (2, f"emperor-trio: {start}\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become someone else")
@pytest.mark.parametrize(
    ("prefix", "options", "clue"),
    [
        (AS_NOBODY, [], "--emperor-tyrant needs root to run each"),
        (
            [*AS_NOBODY, "--inh-caps", "+setuid,+setgid", "--ambient-caps", "+setuid,+setgid"],
            [],
            "--emperor-tyrant needs root to run each",
        ),
        (["--bounding-set", "-setuid"], [], "--emperor-tyrant needs root with CAP_SETUID, which"),
        (["--nnp"], ["--uid", "nobody"], "--uid nobody gives it up: leave out one of the two"),
        (["--nnp"], ["--uid", "65534", "--gid", "0"], "--uid 65534 gives it up"),
    ],
    ids=["nobody", "nobody with capabilities", "root without one", "uid by name", "uid by number"],
)
def test_a_tyrant_that_is_not_root_does_not_start(
    tmp_path: Path, prefix: list[str], options: list[str], clue: str
) -> None:
    refused = subprocess.run(
        ["setpriv", *prefix, *command_of(Kind.OURS), "--emperor", "/tmp", "--emperor-tyrant", *options],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert refused.returncode == 2, refused.stderr
    (line,) = refused.stderr.splitlines()
    assert line.startswith("emperor-trio: --emperor-tyrant needs root")
    assert clue in line


def test_what_vassals_run_is_said_at_the_start(emperor: EmperorUnderTest) -> None:
    emperor.start()
    emperor.wait_logged(f"vassals run {emperor.binary}\n")


def test_signals_that_mean_nothing_end_neither_the_emperor_nor_reach_vassals_as_ignored(
    emperor: EmperorUnderTest,
) -> None:
    emperor.start()
    for number in (signal.SIGUSR2, signal.SIGALRM):
        os.kill(emperor.pid, number)
        emperor.wait_logged(f"{number.name} means nothing to an emperor, ignored")
    os.kill(emperor.pid, signal.SIGPIPE)
    emperor.add("a.ini")
    vassal = emperor.wait_vassal("a.ini", ready=1)
    status = Path(f"/proc/{vassal['pid']}/status").read_text()
    masks = {key: int(value, 16) for key, value in re.findall(r"^(SigIgn|SigBlk):\s+(\w+)", status, re.MULTILINE)}
    for number in (signal.SIGUSR2, signal.SIGALRM):
        assert not masks["SigIgn"] >> (number - 1) & 1
        assert not masks["SigBlk"] >> (number - 1) & 1
    assert emperor.stop() == 0


# --- harm stays where it is ------------------------------------------------------------------------------------------


def test_a_missing_folder_is_waited_for_and_said_once(emperor: EmperorUnderTest) -> None:
    later = emperor.folder / "later"
    complaint = re.compile(r"\[emperor\] (?:warn|error) .*")
    emperor.start(monitors=[later], frequency=0.1)
    emperor.wait(lambda: complaint.search(emperor.log()), "nothing is said about it")
    later.mkdir()
    emperor.add("a.ini", later)
    emperor.wait_vassal("a.ini", ready=1)
    assert emperor.stop() == 0
    assert len(complaint.findall(emperor.log())) == 1, emperor.log()


def test_a_folder_that_goes_takes_nobody_along_until_it_is_back(emperor: EmperorUnderTest) -> None:
    """An unmounted file system looks like this: the folder is there, and is another one."""
    for name in ("a.ini", "b.ini"):
        emperor.add(name)
    emperor.start(frequency=0.1)
    emperor.wait_running("a.ini", "b.ini")
    away = emperor.folder / "away"
    emperor.vassals.rename(away)
    emperor.wait(lambda: re.search(r"\[emperor\] (warn|error)", emperor.log()), "nothing is said about it")
    emperor.wait_running("a.ini", "b.ini")
    away.rename(emperor.vassals)
    emperor.pass_scans()
    emperor.wait_running("a.ini", "b.ini")
    assert emperor.reported("order", "a.ini") == []
    assert len(emperor.reported("start", "b.ini")) == 1


def test_a_broken_config_harms_nobody_else(emperor: EmperorUnderTest) -> None:
    port = free_port()
    good = f"[uwsgi]\nplugin = notfound\nhttp-socket = 127.0.0.1:{port}\nmaster = true\n"
    emperor.add("good.ini", text=good)
    emperor.start(binary="/usr/bin/uwsgi-core")
    before = emperor.wait_vassal("good.ini", accepting=1)
    broken = {
        "a.ini": "[uwsgi]\nmaster = true\nstrict = true\nno-such-option = 1\n",
        "b.ini": "\0\xff\xfe garbage [[[",
        "c.xml": "<uwsgi><never-closed>",
        "d.yaml": "uwsgi: [",
        "e.json": "{",
        "f.ini": "",
        "g.ini": f"[uwsgi]\nhttp-socket = 127.0.0.1:{port}\nmaster = true\n",
        "h.ini": "[uwsgi]\nini = h.ini\n" + "x = y\n" * 20_000,
    }
    for name, text in broken.items():
        emperor.add(name, text=text)
    emperor.wait(lambda: emperor.blacklisted("a.ini") and emperor.blacklisted("g.ini"), "nobody is blacklisted")
    after = emperor.wait_vassal("good.ini", accepting=1)
    assert (after["pid"], after["respawns"]) == (before["pid"], 0)
    for name in broken:
        emperor.remove(name)
    emperor.wait(lambda: [vassal["id"] for vassal in emperor.stats()["vassals"]] == ["good.ini"])
    assert emperor.stop() == 0


def test_a_config_that_its_owner_cant_read_harms_nobody_else(emperor: EmperorUnderTest) -> None:
    for name, mode in (("closed.ini", 0o000), ("open.ini", 0o644)):
        path = emperor.add(name)
        path.chmod(mode)
        os.chown(path, 12_001, 13_001)
    emperor.start("--emperor-tyrant")
    emperor.wait_vassal("open.ini", ready=1)
    emperor.wait(lambda: emperor.blacklisted("closed.ini"), "the closed one is not blacklisted")
    assert emperor.reported("start", "closed.ini") == []
    (emperor.vassals / "closed.ini").chmod(0o600)
    emperor.wait_vassal("closed.ini", ready=1)


# --- the log ---------------------------------------------------------------------------------------------------------


def _eventful(emperor: EmperorUnderTest, *options: str) -> None:
    emperor.add("a.ini", loyal_after=0)
    emperor.add("b.ini", exit_after=0, exit_code=3)
    emperor.add("line\nbreak.ini", send=99, send_after=0)
    emperor.start("--reload-mercy", "1", "--log-level", "debug", *options)
    emperor.wait_vassal("a.ini", loyal=1)
    emperor.touch("a.ini")
    emperor.wait_vassal("a.ini", respawns=1, ready=1)
    emperor.wait(lambda: emperor.blacklisted("b.ini"))
    emperor.remove("a.ini")
    emperor.wait_gone("a.ini")
    assert emperor.stop() == 0


def test_every_line_of_the_log_can_be_read(emperor: EmperorUnderTest) -> None:
    _eventful(emperor)
    lines = emperor.log().splitlines()
    assert len(lines) > 15
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    assert "\x1b" not in emperor.log()


def test_every_line_of_the_json_log_can_be_parsed(emperor: EmperorUnderTest) -> None:
    _eventful(emperor, "--log-format", "json")
    entries = [json.loads(line) for line in emperor.log().splitlines()]
    assert len(entries) > 15
    common = set.intersection(*(set(entry) for entry in entries))
    assert {"event", "level", "text"} <= common, common
    assert any("line\nbreak.ini" in json.dumps(entry, ensure_ascii=False).replace("\\n", "\n") for entry in entries)


NO_INOTIFY = ["strace", "-f", "-qq", "-o", "trace", "-e", "trace=inotify_init1,inotify_init,getdents64",
              "-e", "inject=inotify_init1,inotify_init:error=EMFILE"]  # fmt: skip


def test_without_inotify_it_scans_and_says_so_and_repeats_nothing(emperor: EmperorUnderTest) -> None:
    """Everything that is wrong with a source is said once, not with every scan."""
    os.chown(emperor.add("a.ini"), 12_001, 13_001)
    emperor.add("root.ini")
    emperor.add("no-config.txt")
    (emperor.vassals / "dangling.ini").symlink_to("nowhere")
    (emperor.vassals / "loop.ini").symlink_to("loop.ini")
    os.mkfifo(emperor.vassals / "fifo.ini")
    (emperor.vassals / "folder.ini").mkdir()
    monitors: list[str | Path] = [emperor.vassals, "no*where/*.ini"]
    emperor.start("--emperor-tyrant", "--log-level", "debug", frequency=0.1, prefix=NO_INOTIFY, monitors=monitors)
    emperor.wait_vassal("a.ini", ready=1)
    emperor.wait_logged("inotify")
    emperor.wait_logged("root.ini")

    def scans() -> int:
        return (emperor.folder / "trace").read_text().count("getdents64")

    before = scans()
    emperor.wait(lambda: scans() > before + 20, "it does not scan")
    length = len(emperor.log())
    emperor.wait(lambda: scans() > before + 60, "it does not scan")
    assert emperor.log()[length:] == ""
    texts = [line.split("[emperor]")[1] for line in emperor.log().splitlines()]
    assert sorted(set(texts)) == sorted(texts)
    emperor.touch("a.ini")
    emperor.wait_vassal("a.ini", respawns=1, ready=1)


def test_logto_takes_the_log_and_what_vassals_print(emperor: EmperorUnderTest) -> None:
    log = emperor.folder / "elsewhere.log"
    log.write_text("from before\n")
    emperor.add("a.ini", text="")
    script = emperor.folder / "talkative"
    script.write_text("#!/bin/sh\necho out\necho err >&2\nexec sleep 600\n")
    script.chmod(0o755)
    emperor.start("--logto", log, binary=script)
    emperor.wait(lambda: {"from before", "out", "err"} <= set(log.read_text().splitlines()))
    emperor.wait(lambda: "spawned" in log.read_text(), "the log's own lines are not there")
    assert emperor.log() == ""


def test_a_log_that_nobody_reads_delays_nothing(emperor: EmperorUnderTest) -> None:
    """Its pipe is full: what the log loses it loses, the vassals notice nothing."""
    names = [f"{number}.ini" for number in range(20)]
    for name in names:
        emperor.add(name)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        with contextlib.suppress(BlockingIOError):
            while os.write(writer, b"x" * 4096):
                pass
        os.set_blocking(writer, True)
        pipe = f"/proc/{os.getpid()}/fd/{writer}"
        emperor.start("--log-level", "debug", prefix=["/bin/sh", "-c", f'exec "$@" 2>{pipe}', "sh"])
        emperor.wait_running(*names)
        for name in names:
            emperor.touch(name)
        for name in names:
            emperor.wait_vassal(name, respawns=1, ready=1)
        assert emperor.stop() == 0
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("where", ["a closed pipe", "a full disk"])
def test_a_log_that_cant_be_written_ends_nothing(emperor: EmperorUnderTest, where: str) -> None:
    emperor.add("a.ini")
    target = "/dev/full" if where == "a full disk" else " >(true)"
    emperor.start(prefix=["bash", "-c", f'exec "$@" 2>{target}', "bash"])
    emperor.wait_vassal("a.ini", ready=1)
    emperor.add("b.ini")
    emperor.wait_vassal("b.ini", ready=1)
    assert emperor.stop() == 0


# --- its own process -------------------------------------------------------------------------------------------------


def test_without_standard_descriptors(emperor: EmperorUnderTest) -> None:
    """Whatever it opens then must not end up in a vassal's hands under the numbers 0, 1 and 2."""
    emperor.add("a.ini")
    emperor.add("b.ini")
    emperor.start(prefix=["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"])
    emperor.wait_running("a.ini", "b.ini")
    for start in emperor.reported("start"):
        pipe = next(entry.split("=")[1] for entry in start["env"] if entry.startswith("UWSGI_EMPEROR_FD="))
        others = {number: target for number, target in start["fds"].items() if number != pipe}
        assert set(others.values()) <= {"/dev/null"}, others
    assert emperor.stop() == 0


def test_its_pid_file_is_gone_afterwards(emperor: EmperorUnderTest) -> None:
    path = emperor.folder / "pid"
    path.write_text("999999\n")
    emperor.start("--emperor-pidfile", path)
    assert path.read_text() == f"{emperor.pid}\n"
    assert emperor.stop() == 0
    assert not path.exists()


def test_a_pid_file_of_somebody_else_stays(emperor: EmperorUnderTest) -> None:
    path = emperor.folder / "pid"
    emperor.start("--emperor-pidfile", path)
    path.write_text("1\n")
    assert emperor.stop() == 0
    assert path.read_text() == "1\n"


def test_a_pipe_in_the_place_of_its_pid_file_does_not_hold_up_its_end(emperor: EmperorUnderTest) -> None:
    path = emperor.folder / "pid"
    emperor.start("--emperor-pidfile", path)
    path.unlink()
    os.mkfifo(path)
    assert emperor.stop() == 0
    assert path.is_fifo()


def test_chdir_is_where_patterns_begin(emperor: EmperorUnderTest) -> None:
    emperor.add("a.ini")
    emperor.start("--chdir", emperor.vassals, monitors=["*.ini"], cwd=Path("/"))
    emperor.wait_vassal("a.ini", ready=1)
    assert emperor.reported("start")[0]["cwd"] == str(emperor.vassals)
    assert emperor.stats()["cwd"] == str(emperor.vassals)


def test_env_sets_and_removes(emperor: EmperorUnderTest) -> None:
    emperor.add("a.ini")
    options = ["--env", "SET=a=b", "--env", "TAKEN", "--env", "UWSGI_VASSAL_COLOUR=blue"]
    emperor.start(*options, environment={"TAKEN": "x", "SET": "y"})
    emperor.wait_vassal("a.ini", ready=1)
    found = dict(entry.split("=", 1) for entry in emperor.reported("start")[0]["env"])
    assert (found.get("SET"), found.get("TAKEN"), found.get("UWSGI_COLOUR")) == ("a=b", None, "blue")


@pytest.mark.parametrize(
    "variable", ["OPTIND=not a number", "IFS=abc", "PS4=x", "ENV=/nowhere", "BASH_ENV=/nowhere", "A.B=c", "A-B=c"]
)
def test_no_variable_disturbs_a_start(emperor: EmperorUnderTest, variable: str) -> None:
    """Vassals are started through a shell, which has its own ideas about some variables."""
    emperor.add("a.ini")
    emperor.start(environment=dict([variable.split("=")]))
    emperor.wait_vassal("a.ini", ready=1)
    assert variable in emperor.reported("start")[0]["env"]


def test_its_own_signals_being_ignored_disturb_nobody(emperor: EmperorUnderTest) -> None:
    """As under nohup: what the emperor's parent ignored is at its default in vassals, and obeyed by the emperor."""
    emperor.add("a.ini")
    emperor.start(prefix=["/bin/sh", "-c", "trap '' HUP INT TERM QUIT USR1 PIPE CHLD; exec \"$@\"", "sh"])
    emperor.wait_vassal("a.ini", ready=1)
    status = emperor.reported("start")[0]["status"]
    assert (int(status["SigIgn"], 16), int(status["SigBlk"], 16)) == (0, 0)
    os.kill(emperor.wait_vassal("a.ini")["pid"], 9)
    emperor.wait_reported("start", count=2)
    assert emperor.stop() == 0


def test_blocked_signals_disturb_nobody(emperor: EmperorUnderTest) -> None:
    mask = "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))"
    block = f"import os, signal, sys; {mask}; os.execvp(sys.argv[1], sys.argv[1:])"
    emperor.add("a.ini")
    emperor.start(prefix=[sys.executable, "-c", block])
    emperor.wait_vassal("a.ini", ready=1)
    status = emperor.reported("start")[0]["status"]
    assert int(status["SigBlk"], 16) == 0
    os.kill(emperor.wait_vassal("a.ini")["pid"], 9)
    emperor.wait_reported("start", count=2)
    assert emperor.stop() == 0
