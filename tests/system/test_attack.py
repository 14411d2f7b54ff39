"""What tenants can do who may put any file into the watched folder, and any program into their own processes."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import signal
import socket
import stat
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.support.vassal import Setting, is_alive, vassal_config
from tests.system.empire import EmperorUnderTest, ask, connect, wait_until

MALLORY, ALICE = (12_666, 13_666), (12_001, 13_001)


def give(path: Path, owner: tuple[int, int]) -> Path:
    os.chown(path, *owner, follow_symlinks=False)
    return path


# --- names -----------------------------------------------------------------------------------------------------------

NAMES = [
    b"--die.ini", b"-.ini", b"--set.ini", b"-h.ini", b"two words.ini", b" first.ini", b"tab\t.ini", b"line\nbreak.ini",
    b"\x1b[31mred\x1b]0;title\x07.ini", b"'quoted'.ini", b'"double".ini', b"`id`.ini", b"$(id).ini", b"${HOME}.ini",
    b"a;b&c|d.ini", b"*.ini", b"?.ini", b"[a].ini", b"back\\slash.ini", b"percent%n%d.ini", b"{brace}.ini", b"~.ini",
    b"#.ini", b"a=b.ini", b"\xc3\xbcn\xc3\xafcode.ini", b"\xe6\x97\xa5\xe6\x9c\xac.ini", b"latin1-\xe9.ini",
    b"\xff\xfe.ini", b"\xed\xa0\x80.ini", b"\xe2\x80\xae.ini", b"\x7f\x01.ini", b"..ini", b".ini",
]  # fmt: skip


def latin(name: bytes) -> str:
    """As the test vassal reports bytes."""
    return name.decode("latin-1")


def add_raw(emperor: EmperorUnderTest, name: bytes, **settings: Setting) -> None:
    path = os.path.join(os.fsencode(emperor.vassals), name)
    text = vassal_config({"report": emperor.report.path, **settings})
    with open(path + b".draft", "w") as draft:
        draft.write(text)
    os.rename(path + b".draft", path)


@pytest.mark.parametrize("extra", [(), ("--emperor-tyrant",)], ids=["plain", "tyrant"])
def test_every_name_that_a_file_can_have(emperor: EmperorUnderTest, extra: tuple[str, ...]) -> None:
    """Each vassal is given exactly its name, as the argument of ``--ini``; reloaded, restarted and stopped under it."""
    os.chown(emperor.vassals, *MALLORY)
    for name in NAMES:
        add_raw(emperor, name, loyal_after=0)
        os.chown(os.path.join(os.fsencode(emperor.vassals), name), *MALLORY)
    out = emperor.folder / "out"
    hook = emperor.folder / "hook"
    hook.write_text(f'#!/bin/sh\nprintf "%s\\0" "$1" >> {out}\n')
    hook.chmod(0o755)
    emperor.start("--vassals-stop-hook", hook, "--log-level", "debug", *extra)
    emperor.wait(lambda: len(emperor.reported("sent", byte=17)) == len(NAMES), "not all are loyal")
    starts = emperor.reported("start")
    assert sorted(start["argv"][1:] for start in starts) == sorted(["--ini", latin(name)] for name in NAMES)
    assert len(emperor.stats()["vassals"]) == len(NAMES)
    emperor.send_signal(signal.SIGHUP)
    emperor.wait(lambda: len(emperor.reported("order", byte=1)) == len(NAMES), "not all were reloaded")
    for name in NAMES:
        os.unlink(os.path.join(os.fsencode(emperor.vassals), name))
    emperor.wait(lambda: not emperor.stats()["vassals"], "not all are gone")
    assert sorted(out.read_bytes().split(b"\0")[:-1]) == sorted(NAMES)
    assert emperor.stop() == 0
    control = {character for character in emperor.log_path.read_bytes() if character < 32} - {ord("\n")}
    assert control == set(), "the log passes on what a terminal would obey"
    assert all("[emperor]" in line for line in emperor.log().splitlines())


# --- files that are none ---------------------------------------------------------------------------------------------


def test_what_is_no_file_stops_nobody(emperor: EmperorUnderTest) -> None:
    """A FIFO blocks who opens it, a link can go round in a circle, a device can be endless."""
    odd = ("fifo.ini", "loop.ini", "zero.ini", "self.ini", "deep.ini", "socket.ini", "folder.ini")
    os.mkfifo(emperor.vassals / "fifo.ini")
    (emperor.vassals / "loop.ini").symlink_to("loop.ini")
    (emperor.vassals / "zero.ini").symlink_to("/dev/zero")
    (emperor.vassals / "self.ini").symlink_to(".")
    (emperor.vassals / "deep.ini").symlink_to("deeper.ini")
    (emperor.vassals / "deeper.ini").symlink_to("deep.ini")
    (emperor.vassals / "folder.ini").mkdir()
    for extension in (".socket",):
        os.mkfifo(emperor.vassals / f"a.ini{extension}")
        (emperor.vassals / f"b.ini{extension}").symlink_to("/dev/zero")
        (emperor.vassals / f"c.ini{extension}").write_bytes(b"x" * 10_000_000)
        (emperor.vassals / f"d.ini{extension}").symlink_to(f"d.ini{extension}")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(emperor.vassals / "socket.ini"))
        for name in ("a.ini", "b.ini", "c.ini", "d.ini", "good.ini"):
            emperor.add(name)
        emperor.start("--emperor-on-demand-extension", ".socket", frequency=0.2)
        emperor.wait_vassal("good.ini", ready=1)
        emperor.touch("good.ini")
        emperor.wait_vassal("good.ini", respawns=1, ready=1)
        emperor.pass_scans()
        known = {vassal["id"] for vassal in emperor.stats()["vassals"]}
        assert known & set(odd) == set()
        assert emperor.stop() == 0


# --- Tyrant mode -----------------------------------------------------------------------------------------------------


def test_a_link_to_a_file_of_root_is_refused(emperor: EmperorUnderTest) -> None:
    give(emperor.vassals, MALLORY)
    link = emperor.vassals / "shadow.ini"
    link.symlink_to("/etc/shadow")
    give(link, MALLORY)
    give(emperor.add("good.ini"), MALLORY)
    emperor.start("--emperor-tyrant")
    emperor.wait_vassal("good.ini", ready=1)
    emperor.wait_logged("shadow.ini")
    emperor.pass_scans(MALLORY)
    assert [vassal["id"] for vassal in emperor.stats()["vassals"]] == ["good.ini"]
    assert {start["uid"] for start in emperor.reported("start")} == {MALLORY[0]}
    assert emperor.stop() == 0
    assert "root:" not in emperor.log()


def test_with_tyrant_nofollow_a_link_to_it_is_read_by_its_own_owner_only(emperor: EmperorUnderTest) -> None:
    """The vassal runs as Mallory, so that the system itself refuses to read it."""
    link = emperor.vassals / "shadow.ini"
    link.symlink_to("/etc/shadow")
    give(link, MALLORY)
    give(emperor.add("good.ini"), MALLORY)
    emperor.start("--emperor-tyrant", "--emperor-tyrant-nofollow")
    emperor.wait_vassal("good.ini", ready=1)
    emperor.wait(lambda: emperor.blacklisted("shadow.ini"), "it did not fail")
    assert [start["name"] for start in emperor.reported("start")] == ["good.ini"]
    assert emperor.stop() == 0
    assert "root:" not in emperor.log()


def test_a_race_of_owners_never_runs_as_root(emperor: EmperorUnderTest) -> None:
    """The config is given to and fro, and linked to others' files, while the emperor looks."""
    path = give(emperor.add("a.ini", loyal_after=0), MALLORY)
    give(emperor.add("good.ini"), ALICE)
    emperor.start("--emperor-tyrant", frequency=0.1)
    emperor.wait_vassal("good.ini", ready=1)
    over = threading.Event()

    def race() -> None:
        owners = [MALLORY, (0, 0), ALICE, (0, 13_666), (12_666, 0)]
        while not over.is_set():
            for owner in owners:
                give(path, owner)

    racer = threading.Thread(target=race)
    racer.start()
    try:
        for _ in range(5):
            os.kill(emperor.pid, signal.SIGWINCH)
            emperor.touch("good.ini")
            emperor.pass_scans(ALICE)
    finally:
        over.set()
        racer.join()
    give(path, MALLORY)
    emperor.wait_vassal("a.ini", uid=MALLORY[0], loyal=1)
    starts = emperor.reported("start")
    assert {(start["uid"], start["euid"], start["gid"], start["egid"]) for start in starts} <= {
        (owner[0], owner[0], owner[1], owner[1]) for owner in (MALLORY, ALICE)
    }


def _tyrant_on_demand(emperor: EmperorUnderTest, address: str | Path, *options: str) -> None:
    give(emperor.vassals, MALLORY)
    socket_file = emperor.vassals / "a.ini.socket"
    if isinstance(address, Path) and address.name == "shadow":
        socket_file.symlink_to(address)
    else:
        socket_file.write_text(str(address))
    give(socket_file, MALLORY)
    give(emperor.add("a.ini"), MALLORY)
    give(emperor.add("good.ini"), ALICE)
    emperor.start("--emperor-tyrant", "--emperor-on-demand-extension", ".socket", *options)
    emperor.wait_vassal("good.ini", ready=1)


def test_a_tenants_socket_in_roots_folder_is_refused(emperor: EmperorUnderTest) -> None:
    closed = emperor.folder / "closed"
    closed.mkdir(mode=0o755)
    _tyrant_on_demand(emperor, closed / "a.sock")
    emperor.wait(lambda: emperor.blacklisted("a.ini"), "it did not fail")
    assert list(closed.iterdir()) == []


def test_a_tenants_socket_takes_nobodys_file_away(emperor: EmperorUnderTest) -> None:
    precious = emperor.folder / "precious"
    precious.write_text("data")
    precious.chmod(0o600)
    with socket.socket(socket.AF_UNIX) as other:
        _tyrant_on_demand(emperor, precious)
        emperor.wait(lambda: emperor.blacklisted("a.ini"), "it did not fail")
        assert precious.read_text() == "data"
        assert stat.S_IMODE(precious.stat().st_mode) == 0o600
        live = emperor.folder / "live"
        other.bind(str(live))
        other.listen()
        (emperor.vassals / "b.ini.socket").write_text(str(live))
        give(emperor.vassals / "b.ini.socket", MALLORY)
        give(emperor.add("b.ini"), MALLORY)
        emperor.wait(lambda: emperor.blacklisted("b.ini"), "it did not fail")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(live))


def test_a_tenants_socket_file_that_links_elsewhere_tells_nothing(emperor: EmperorUnderTest) -> None:
    """What stands in /etc/shadow must come out neither as an address nor in the log or the statistics."""
    secret = emperor.folder / "shadow"
    secret.write_text("root:$secret$:/tmp\n")
    secret.chmod(0o600)
    _tyrant_on_demand(emperor, secret)
    emperor.pass_scans(ALICE)
    assert "secret" not in str(emperor.stats())
    assert emperor.stop() == 0
    assert "secret" not in emperor.log()


def test_a_tenants_socket_belongs_to_the_tenant(emperor: EmperorUnderTest) -> None:
    own = emperor.folder / "own"
    own.mkdir()
    give(own, MALLORY)
    own.chmod(0o700)
    _tyrant_on_demand(emperor, own / "a.sock")
    emperor.wait((own / "a.sock").exists)
    assert emperor.wait_vassal("a.ini", pid=-1)["on_demand"] == str(own / "a.sock")
    assert (own / "a.sock").stat().st_uid in (MALLORY[0], 0)
    emperor.remove("a.ini")
    emperor.wait_gone("a.ini")
    with socket.socket(socket.AF_UNIX) as client:
        assert client.connect_ex(str(own / "a.sock")) in (errno.ECONNREFUSED, errno.ENOENT)
    give(emperor.add("a.ini", serve=1), MALLORY)  # the dead socket is in nobody's way
    assert ask(own / "a.sock") == emperor.reported("start", "a.ini")[0]["pid"]


def test_a_privileged_port_is_not_for_tenants(emperor: EmperorUnderTest) -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if first < 2:
        pytest.skip("every port is for everybody here")
    _tyrant_on_demand(emperor, "127.0.0.1:1")
    emperor.wait(lambda: emperor.blacklisted("a.ini"), "it did not fail")


# --- processes -------------------------------------------------------------------------------------------------------


def test_a_vassal_that_floods_its_pipe_delays_nobody(emperor: EmperorUnderTest) -> None:
    flood = emperor.folder / "flood"
    flood.write_text(
        "#!/bin/sh\n"
        f'case "$2" in flood*) exec cat /dev/zero >&"$UWSGI_EMPEROR_FD" ;; *) exec {emperor.binary} "$@" ;; esac\n'
    )
    flood.chmod(0o755)
    for number in range(2):
        emperor.add(f"flood{number}.ini")
    emperor.add("good.ini")
    emperor.start("--reload-mercy", "1", "--emperor-curse-tolerance", "1", binary=flood)
    emperor.wait_vassal("good.ini", ready=1)
    for count in (1, 2, 3):
        emperor.touch("good.ini")
        emperor.wait_vassal("good.ini", respawns=count, ready=1)
    emperor.add("later.ini")
    emperor.wait_vassal("later.ini", ready=1)
    emperor.remove("flood0.ini")
    emperor.wait_gone("flood0.ini")
    assert emperor.stop() == 0
    assert len(emperor.log()) < 20_000
    assert emperor.processes() == []


def test_a_vassal_that_never_reads_its_pipe_delays_nobody(emperor: EmperorUnderTest) -> None:
    deaf = emperor.folder / "deaf"
    deaf.write_text(f'#!/bin/sh\ncase "$2" in deaf*) exec sleep 600 ;; *) exec {emperor.binary} "$@" ;; esac\n')
    deaf.chmod(0o755)
    emperor.add("deaf.ini")
    emperor.add("good.ini")
    emperor.start(
        "--reload-mercy", "1", "--emperor-curse-tolerance", "1", "--emperor-reload-tolerance", "1", binary=deaf
    )
    emperor.wait_vassal("good.ini", ready=1)
    for count in range(1, 4):
        for _ in range(20):
            emperor.touch("deaf.ini")
        emperor.touch("good.ini")
        emperor.wait_vassal("good.ini", respawns=count, ready=1)
    emperor.remove("deaf.ini")
    emperor.wait_gone("deaf.ini")
    assert emperor.stop() == 0
    assert emperor.processes() == []


def test_a_crowd_of_children_that_ignore_signals_dies_with_its_vassal(emperor: EmperorUnderTest) -> None:
    crowd = emperor.folder / "crowd"
    crowd.write_text(
        "#!/bin/sh\n"
        f'case "$2" in crowd*) ;; *) exec {emperor.binary} "$@" ;; esac\n'
        "trap '' TERM INT QUIT HUP\n"
        "i=0; while [ $i -lt 60 ]; do sleep 600 & i=$((i+1)); done\n"
        f"touch {emperor.folder}/crowded\n"
        "while :; do wait; done\n"
    )
    crowd.chmod(0o755)
    emperor.add("crowd.ini")
    emperor.add("good.ini")
    emperor.start("--emperor-curse-tolerance", "1", binary=crowd)
    emperor.wait_vassal("good.ini", ready=1)
    emperor.wait((emperor.folder / "crowded").exists)
    emperor.wait(lambda: len(emperor.processes()) == 63, "the crowd is not there")  # some are on their way into sleep
    emperor.remove("crowd.ini")
    emperor.wait_gone("crowd.ini")
    emperor.wait(lambda: len(emperor.processes()) == 2, "children live on")
    emperor.wait_running("good.ini")


def test_a_vassal_that_dies_all_the_time_delays_nobody(emperor: EmperorUnderTest) -> None:
    for number in range(10):
        emperor.add(f"dying{number}.ini", exit_after=0)
    emperor.add("good.ini")
    emperor.start("--emperor-no-blacklist")
    emperor.wait_reported("start", count=100)
    emperor.wait_reported("start", "good.ini")
    emperor.touch("good.ini")
    emperor.wait_vassal("good.ini", respawns=1, ready=1)
    assert emperor.stop() == 0
    assert emperor.processes() == []


def test_a_vassal_that_writes_over_its_own_config_does_not_disturb(emperor: EmperorUnderTest) -> None:
    path = emperor.add("restless.ini")
    emperor.add("good.ini")
    emperor.start()
    emperor.wait_running("good.ini", "restless.ini")
    over = threading.Event()

    def restless() -> None:
        while not over.is_set():
            path.write_text(vassal_config({"report": emperor.report.path}))

    writer = threading.Thread(target=restless)
    writer.start()
    try:
        for count in (1, 2, 3):
            emperor.touch("good.ini")
            emperor.wait_vassal("good.ini", respawns=count, ready=1)
    finally:
        over.set()
        writer.join()
    emperor.wait_running("good.ini", "restless.ini")
    assert len(emperor.reported("start")) == 2


# --- readers of the statistics ---------------------------------------------------------------------------------------


def test_two_hundred_readers_that_never_read_shut_nobody_out(emperor: EmperorUnderTest) -> None:
    for number in range(30):
        emperor.add(f"{number}.ini")
    emperor.start()
    emperor.wait(lambda: sum(vassal["ready"] for vassal in emperor.stats()["vassals"]) == 30)
    before = len(os.listdir(f"/proc/{emperor.pid}/fd"))
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            slow = stack.enter_context(socket.socket(socket.AF_UNIX))
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            slow.connect(str(emperor.stats_path))
        assert len(emperor.stats()["vassals"]) == 30
        emperor.touch("1.ini")
        emperor.wait_vassal("1.ini", respawns=1, ready=1)
        assert len(os.listdir(f"/proc/{emperor.pid}/fd")) < before + 100
    emperor.wait(lambda: len(os.listdir(f"/proc/{emperor.pid}/fd")) <= before + 1, "descriptors leak")
    assert emperor.stop() == 0


def test_garbage_and_haste_at_the_statistics(emperor: EmperorUnderTest) -> None:
    emperor.add("a.ini")
    emperor.start("--stats-http", wait=False)
    emperor.wait_reported("start", "a.ini")
    for sent in (b"", b"\0" * 100_000, b"GET / HTTP/1.0\r\n\r\n", b"\xff"):
        with connect(emperor.stats_path) as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(sent)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    emperor.touch("a.ini")
    emperor.wait_reported("order", "a.ini", byte=1)
    assert is_alive(emperor.pid)
    assert emperor.stop() == 0
    assert "Traceback" not in emperor.log()


# --- haste -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_whatever_befalls_the_files_what_stands_there_in_the_end_runs(emperor: EmperorUnderTest, seed: int) -> None:
    """Writes, halves of writes, renames to and fro, touches and removals at random, faster than vassals can follow."""
    chance = random.Random(seed)
    names = [f"{number}.ini" for number in range(10)]
    elsewhere = emperor.folder / "elsewhere"
    elsewhere.mkdir()
    emperor.start("--emperor-no-blacklist")
    for turn in range(12):
        for step in range(chance.randint(1, 40)):
            with contextlib.suppress(FileNotFoundError):
                befall(emperor, chance, chance.choice(names), elsewhere, f"{turn}-{step}")
        there = {name: (emperor.vassals / name).read_text() for name in names if (emperor.vassals / name).exists()}
        emperor.wait(lambda there=there: runs(emperor) == there, "what runs is not what stands there")  # type: ignore[misc]
    assert emperor.stop() == 0


def befall(emperor: EmperorUnderTest, chance: random.Random, name: str, elsewhere: Path, mark: str) -> None:
    path, text = emperor.vassals / name, vassal_config({"report": emperor.report.path, "mark": mark})
    match chance.randrange(8):
        case 0:
            path.unlink()
        case 1:
            path.write_text(text)
        case 2:
            draft = path.with_suffix(".draft")
            draft.write_text(text)
            draft.rename(path)
        case 3:
            os.utime(path)
        case 4:
            path.rename(elsewhere / name)
        case 5:
            (elsewhere / name).rename(path)
        case 6:
            with path.open("w") as file:
                file.write(text[:20])
                file.flush()
                time.sleep(chance.random() / 50)
                file.write(text[20:])
        case _:
            path.rename(f"{path}~")
            path.write_text(text)


def runs(emperor: EmperorUnderTest) -> dict[str, str]:
    """The text that each vassal has read last; nothing for those that are not ready, or to go."""
    read = {entry["pid"]: entry["text"] for entry in emperor.reported("config")}
    return {
        vassal["id"]: read.get(vassal["pid"], "") if vassal["ready"] else "" for vassal in emperor.stats()["vassals"]
    }


HOSTAGE = """\
#!{python}
import os, socket, struct, sys, time
if sys.argv[-1] != "mallory.ini":
    os.execv("{binary}", ["{binary}", *sys.argv[1:]])
listener = socket.create_server(("127.0.0.1", 0))
sent = socket.create_connection(listener.getsockname())
kept = listener.accept()
sent.setblocking(False)
try:
    while True:
        sent.send(bytes(65536))
except BlockingIOError:
    pass
sent.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))
pipe = socket.socket(fileno=int(os.environ["UWSGI_EMPEROR_FD"]))
pipe.sendall(bytes(8192))  # so that the emperor has a rest, and ours is not the last one any more
try:
    socket.send_fds(pipe, [b"\\x11"], [sent.fileno()])
except PermissionError:
    pass
open("{folder}/sent", "w").close()
sent.close()
time.sleep(600)
"""


def test_a_vassal_that_sends_a_connection_which_is_slow_to_close_delays_nobody(emperor: EmperorUnderTest) -> None:
    """The emperor would close it, and wait as long as its sender likes (SO_LINGER)."""
    hostage = emperor.folder / "hostage"
    hostage.write_text(HOSTAGE.format(python=sys.executable, binary=emperor.binary, folder=emperor.folder))
    hostage.chmod(0o755)
    emperor.add("mallory.ini")
    emperor.add("good.ini")
    emperor.start("--reload-mercy", "1", "--emperor-curse-tolerance", "1", binary=hostage)
    emperor.wait_vassal("good.ini", ready=1)
    wait_until((emperor.folder / "sent").exists)
    emperor.touch("good.ini")
    emperor.wait_vassal("good.ini", respawns=1, ready=1)
    emperor.remove("mallory.ini")
    emperor.wait_gone("mallory.ini")
    assert emperor.stop() == 0
    assert emperor.processes() == []
