"""Under systemd: a stand-in for its socket hears what a real daemon says; its own tools pass sockets, check units."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.empire import PATIENCE, TOKEN, EmperorUnderTest, Kind, ask, command_of, connect, free_port

PACKAGING = Path(__file__).parents[2] / "packaging" / "systemd"
UNITS = ("emperor-trio.service", "emperor-trio.socket")
OURS = command_of(Kind.OURS)[0]

WATCHED = ["/bin/sh", "-c", 'export WATCHDOG_PID=$$; exec "$@"', "sh"]
"""Tells the process that it is the one whose life is watched, as systemd does after its fork."""


class Manager:
    """The other end of ``NOTIFY_SOCKET``. Whoever speaks must be the emperor itself: systemd hears nobody else."""

    def __init__(self, emperor: EmperorUnderTest) -> None:
        self.emperor = emperor
        self.path = emperor.folder / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.setblocking(False)
        self.socket.bind(str(self.path))
        self.path.chmod(0o777)
        self.environment = {"NOTIFY_SOCKET": str(self.path)}
        self._heard: list[str] = []

    def heard(self) -> list[str]:
        """Every message so far."""
        with contextlib.suppress(BlockingIOError):
            while True:
                words, ancillary, _, _ = self.socket.recvmsg(65536, socket.CMSG_SPACE(12))
                pid, _, _ = struct.unpack("iII", ancillary[0][2])
                assert pid == self.emperor.pid, f"{pid} says {words!r}"
                self._heard.append(words.decode())
        return self._heard

    def wait(self, words: str, count: int = 1) -> str:
        """Wait until a message begins so for the ``count``-th time: the whole of it."""
        self.emperor.wait(lambda: len(self._of(words)) >= count, f"{words!r} is not heard, but {self._heard}")
        return self._of(words)[count - 1]

    def _of(self, words: str) -> list[str]:
        return [told for told in self.heard() if told.startswith(words)]


@pytest.fixture
def manager(emperor: EmperorUnderTest) -> Iterator[Manager]:
    made = Manager(emperor)
    with contextlib.closing(made.socket):
        yield made


# --- sd_notify -------------------------------------------------------------------------------------------------------


def test_a_life_as_systemd_hears_it(emperor: EmperorUnderTest, manager: Manager) -> None:
    emperor.add("a.ini")
    emperor.start(environment=manager.environment)
    assert manager.wait("READY=1") == "READY=1\nSTATUS=governing 1 vassal"
    emperor.add("b.ini")
    manager.wait("STATUS=governing 2 vassals")
    emperor.wait_running("a.ini", "b.ini")

    before = time.monotonic_ns() // 1000
    emperor.send_signal(signal.SIGHUP)
    reloading = manager.wait("RELOADING=1\nMONOTONIC_USEC=")
    assert before <= int(reloading.rpartition("=")[2]) <= time.monotonic_ns() // 1000
    manager.wait("READY=1", count=2)
    emperor.wait(lambda: emperor.orders("a.ini") == emperor.orders("b.ini") == [1], "both are reloaded")

    assert emperor.stop() == 0
    told = manager.heard()
    assert told.index("STOPPING=1\nSTATUS=stopping all vassals") > told.index("READY=1")
    assert told[-1].startswith("EXTEND_TIMEOUT_USEC=")
    assert not any("WATCHDOG" in words for words in told)  # nobody wants it


def test_an_abstract_socket_is_spoken_to(emperor: EmperorUnderTest) -> None:
    name = f"emperor-{emperor.token}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as abstract:
        abstract.bind("\0" + name)
        abstract.settimeout(PATIENCE)
        emperor.start(environment={"NOTIFY_SOCKET": f"@{name}"})
        assert abstract.recv(65536).startswith(b"READY=1")
    assert emperor.stop() == 0


def test_a_database_that_is_away_does_not_hold_up_the_boot(emperor: EmperorUnderTest, manager: Manager) -> None:
    away = f"pg://host=127.0.0.1 port={free_port()} user=u password=hunter2 dbname=d"
    emperor.add("a.ini")
    emperor.start(monitors=[emperor.vassals, away], environment=manager.environment)
    ready = manager.wait("READY=1")
    assert ready.startswith("READY=1\nSTATUS=governing 1 vassal, 1 monitor failing: pg://")
    assert "hunter2" not in ready
    assert emperor.stop() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become someone else")
def test_a_user_whom_it_becomes_is_heard(emperor: EmperorUnderTest, manager: Manager) -> None:
    emperor.start("--uid", "65534", "--gid", "65534", environment=manager.environment)
    manager.wait("READY=1")
    assert emperor.stop() == 0


def test_the_watchdog_is_fed_by_a_loop_that_turns_alone(emperor: EmperorUnderTest, manager: Manager) -> None:
    emperor.start(environment=manager.environment | {"WATCHDOG_USEC": "100000"}, prefix=WATCHED)
    manager.wait("WATCHDOG=1", count=3)
    emperor.send_signal(signal.SIGSTOP)
    stat = Path(f"/proc/{emperor.pid}/stat")
    emperor.wait(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "it is stopped")
    fed = len(manager.heard())
    time.sleep(0.5)  # five times what the manager would wait
    assert len(manager.heard()) == fed
    emperor.send_signal(signal.SIGCONT)
    manager.wait("WATCHDOG=1", count=manager.heard().count("WATCHDOG=1") + 3)
    assert emperor.stop() == 0


BLOCKING = """
import sys, time
from pathlib import Path
import trio
from emperor_trio.cli.main import main
from emperor_trio.monitors.dir import DirMonitor

async def run(self, emit):
    while not Path("block").exists():
        await trio.sleep(0.01)
    Path("blocked").touch()
    time.sleep(3600)

DirMonitor.run = run
sys.exit(main())
"""


def test_a_loop_that_one_monitor_holds_up_feeds_no_watchdog(emperor: EmperorUnderTest, manager: Manager) -> None:
    """The process lives, and so do its threads: only nothing is decided any more."""
    script = emperor.folder / "blocking.py"
    script.write_text(BLOCKING)
    environment = manager.environment | {"WATCHDOG_USEC": "100000"}
    emperor.launch([*WATCHED, sys.executable, script, "--emperor", emperor.vassals], environment)
    manager.wait("WATCHDOG=1", count=3)
    (emperor.folder / "block").touch()
    emperor.wait((emperor.folder / "blocked").exists)
    fed = len(manager.heard())
    time.sleep(0.5)
    assert len(manager.heard()) == fed


@pytest.mark.parametrize(
    "watchdog",
    [{"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "0"}],
    ids=["another's", "no number", "off"],
)
def test_a_watchdog_that_is_not_ours_is_not_fed(
    emperor: EmperorUnderTest, manager: Manager, watchdog: dict[str, str]
) -> None:
    emperor.start(environment=manager.environment | watchdog)
    manager.wait("READY=1")
    emperor.add("a.ini")
    manager.wait("STATUS=governing 1 vassal")
    assert emperor.stop() == 0
    assert "WATCHDOG=1" not in manager.heard()


def test_a_stop_that_takes_long_is_prolonged(emperor: EmperorUnderTest, manager: Manager) -> None:
    emperor.add("a.ini", ignore_stop=True, ignore_eof=True)
    emperor.start(environment=manager.environment)
    emperor.wait_running("a.ini")
    emperor.send_signal(signal.SIGTERM)
    manager.wait("EXTEND_TIMEOUT_USEC=20000000", count=2)
    assert emperor.stop() == 0  # a second signal waits no longer


@pytest.mark.parametrize(
    ("address", "clue"),
    [
        ("/nowhere/notify", "the service manager can't be told: No such file or directory"),
        ("vsock:2:9999", "it is neither a path nor @NAME; nobody is told anything"),
        ("/" + "n" * 200, "it is longer than a unix socket's address can be, 107 bytes; nobody is told anything"),
    ],
)
def test_a_manager_that_cant_be_told_costs_one_line(emperor: EmperorUnderTest, address: str, clue: str) -> None:
    emperor.add("a.ini")
    emperor.start(environment={"NOTIFY_SOCKET": address})
    emperor.wait_running("a.ini")
    emperor.send_signal(signal.SIGHUP)
    emperor.wait(lambda: emperor.orders("a.ini") == [1], "it is reloaded")
    assert emperor.stop() == 0
    (line,) = [line for line in emperor.log().splitlines() if "NOTIFY_SOCKET" in line]
    assert line.endswith(f"{address}: {clue}")


# --- what children are told ------------------------------------------------------------------------------------------


def told_to(entries: list[str]) -> list[str]:
    return sorted(entry for entry in entries if entry.startswith(("NOTIFY_", "WATCHDOG_", "LISTEN_")))


def test_neither_vassals_nor_hooks_can_speak_in_the_emperors_name(emperor: EmperorUnderTest, manager: Manager) -> None:
    found = emperor.folder / "environment"
    emperor.add("a.ini")
    emperor.start(
        "--exec-as-emperor",
        f"env > {found}.draft && mv {found}.draft {found}",
        environment=manager.environment | {"WATCHDOG_USEC": "30000000", "LISTEN_FDS": "1", "LISTEN_PID": "1"},
        prefix=WATCHED,
    )
    emperor.wait_running("a.ini")
    emperor.wait(found.exists)
    assert told_to(emperor.reported("start")[0]["env"]) == told_to(found.read_text().splitlines()) == []
    manager.wait("READY=1")
    assert emperor.stop() == 0


def test_what_is_given_to_vassals_on_purpose_arrives(emperor: EmperorUnderTest, manager: Manager) -> None:
    emperor.add("a.ini")
    emperor.start("--env", "NOTIFY_SOCKET=/theirs", "--env", "LISTEN_FDS=9", environment=manager.environment)
    emperor.wait_running("a.ini")
    assert told_to(emperor.reported("start")[0]["env"]) == ["LISTEN_FDS=9", "NOTIFY_SOCKET=/theirs"]
    manager.wait("READY=1")  # the emperor's own is what it was started with
    assert emperor.stop() == 0


# --- sockets ---------------------------------------------------------------------------------------------------------


def activated(emperor: EmperorUnderTest, *options: str | Path) -> list[str | Path]:
    """Systemd's own tool in front: it listens, and becomes the emperor with the first connection."""
    return ["systemd-socket-activate", "-E", TOKEN, *options]


def test_statistics_are_served_on_a_socket_that_systemd_opened(emperor: EmperorUnderTest) -> None:
    emperor.add("a.ini")
    emperor.start(prefix=activated(emperor, "--fdname=stats", "-l", emperor.stats_path))
    emperor.wait_running("a.ini")
    assert emperor.stats()["pid"] == emperor.pid
    (start,) = emperor.reported("start")
    assert told_to(start["env"]) == []
    pipe = next(entry.partition("=")[2] for entry in start["env"] if entry.startswith("UWSGI_EMPEROR_FD="))
    assert set(start["fds"]) == {"0", "1", "2", pipe}
    assert emperor.stop() == 0
    assert emperor.stats_path.is_socket()  # the file is systemd's


def test_a_port_that_systemd_opened(emperor: EmperorUnderTest) -> None:
    port = free_port()
    command = [*activated(emperor, "--fdname=stats", "-l", f"127.0.0.1:{port}"), OURS, "--emperor", emperor.vassals]
    emperor.launch(command)
    with connect(port) as connection:
        assert connection.recv(10) == b'{"version"'
    assert emperor.stop() == 0


@pytest.mark.parametrize(
    ("options", "clue"),
    [
        (
            ["--fdname=statistics", "-l", "a"],
            "calls 'statistics', and an emperor takes control, gateway, stats: name it",
        ),
        (["-l", "a"], "calls 'unknown', and an emperor takes"),
        (["--fdname=stats:stats", "-l", "a", "-l", "b"], "two sockets that it calls 'stats'"),
        (["--fdname=stats", "--datagram", "-l", "a"], "'stats' of the service manager does not listen for streams"),
    ],
    ids=["unknown", "without a name", "twice", "datagrams"],
)
def test_a_socket_that_cant_be_meant_ends_with_2_and_one_clear_line(
    emperor: EmperorUnderTest, options: list[str], clue: str
) -> None:
    options = [str(emperor.folder / option) if len(option) == 1 else option for option in options]
    emperor.launch([*activated(emperor, *options), OURS, "--emperor", emperor.vassals])
    path = emperor.folder / "a"
    kind = socket.SOCK_DGRAM if "--datagram" in options else socket.SOCK_STREAM
    emperor.wait(path.is_socket)
    with socket.socket(socket.AF_UNIX, kind) as client:
        emperor.wait(lambda: client.connect_ex(str(path)) == 0)
        client.send(b"?")
        assert emperor.exit_code() == 2
    (line,) = [line for line in emperor.log().splitlines() if line.startswith("emperor-trio: ")]
    assert clue in line


def test_sockets_of_another_process_are_not_ours(emperor: EmperorUnderTest) -> None:
    emperor.add("a.ini")
    emperor.start(environment={"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "nonsense"})
    emperor.wait_running("a.ini")
    assert told_to(emperor.reported("start")[0]["env"]) == []
    assert emperor.stop() == 0


# --- the journal -----------------------------------------------------------------------------------------------------


def test_the_journal_gets_priorities_and_vassals_lines_as_they_are(emperor: EmperorUnderTest) -> None:
    emperor.log_path.touch()
    found = emperor.log_path.stat()
    emperor.add("a.ini")
    emperor.start("--exec-as-vassal", "echo as it is", environment={"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"})
    emperor.wait_running("a.ini")
    assert emperor.stop() == 0
    lines = emperor.log().splitlines()
    assert "as it is" in lines
    ours = [line for line in lines if line != "as it is"]
    assert [
        line for line in ours if not re.fullmatch(r"<[3467]>\[emperor\] (debug|info|warn|error) +\S.*: \S.*", line)
    ] == []
    assert any(line.startswith("<6>[emperor] info  a.ini: spawned") for line in ours)


def test_a_log_file_gets_times_also_beside_a_journal(emperor: EmperorUnderTest) -> None:
    emperor.log_path.touch()
    found = emperor.log_path.stat()
    own = emperor.folder / "own"
    emperor.start("--logto", own, environment={"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"})
    assert emperor.stop() == 0
    assert emperor.log() == ""
    assert all(re.match(r"\d{4}-\d\d-\d\d ", line) for line in own.read_text().splitlines())


# --- the units -------------------------------------------------------------------------------------------------------


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """The units that we ship, with the program where it is here."""
    found = []
    for name in UNITS:
        text = (PACKAGING / name).read_text()
        found.append(tmp_path / name)
        found[-1].write_text(text.replace("/opt/emperor-trio/bin/emperor-trio", OURS))
    return found


def value_of(key: str) -> list[str]:
    """All values of a key in the service's unit."""
    text = re.sub(r"\\\n", " ", (PACKAGING / "emperor-trio.service").read_text())
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


def test_systemd_finds_no_fault_with_the_units(units: list[Path]) -> None:
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, timeout=PATIENCE
    )
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


def test_systemd_finds_faults_where_there_are_some(units: list[Path]) -> None:
    """Lest the test before this one passes whatever stands there."""
    units[0].write_text(units[0].read_text().replace("KillMode=mixed", "KillMood=mixed"))
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", units[0]], capture_output=True, text=True, timeout=PATIENCE
    )
    assert "'KillMood'" in verified.stderr


def test_what_the_service_is_exposed_to_stays_small(units: list[Path]) -> None:
    """In systemd's own measure, from 0 to 10; a service that says nothing of it has 9.6."""
    measured = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=50", units[0]],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert measured.returncode == 0, measured.stdout
    assert "Overall exposure level" in measured.stdout


def test_the_service_stops_as_long_as_an_emperor_may_take() -> None:
    assert int(value_of("TimeoutStopSec")[0]) > 30 + 5  # --reload-mercy, and what the last kill may take
    assert value_of("KillMode") == ["mixed"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become someone else")
def test_the_options_of_the_service_are_ours(emperor: EmperorUnderTest) -> None:
    """Started as the unit says, but for the paths: with its capabilities alone, it governs other users' vassals."""
    (command,) = value_of("ExecStart")
    options = command.split()[1:]
    places = {"/etc/uwsgi/vassals": emperor.vassals, "/var/lib/emperor-trio/state": emperor.folder / "state" / "file"}
    assert set(places) <= set(options)
    (emperor.folder / "state").mkdir(mode=0o700)
    capabilities = " ".join(value_of("CapabilityBoundingSet")).lower().replace("cap_", "+").split()
    owners = {"a": 1001, "b": 1002}
    (emperor.folder / "sockets").mkdir()
    (emperor.folder / "sockets").chmod(0o777)
    for name, owner in owners.items():
        os.chown(emperor.add(f"{name}.ini", workers=1, serve=1), owner, owner)
    emperor.launch(
        [
            "setpriv",
            f"--bounding-set={','.join(['-all', *capabilities])}",
            OURS,
            *(places.get(option, option) for option in options),
            *("--emperor-stats", emperor.stats_path, "--binary-path", emperor.binary),
            *("--emperor-on-demand-directory", emperor.folder / "sockets", "--chmod-socket=660"),
        ]
    )
    emperor.wait_started()
    for name, owner in owners.items():
        ask(emperor.folder / "sockets" / f"{name}.socket")
        emperor.wait_vassal(f"{name}.ini", ready=1, uid=owner)
        assert emperor.reported("start", f"{name}.ini")[0]["uid"] == owner
        assert (emperor.folder / "sockets" / f"{name}.socket").stat().st_uid == owner
    assert emperor.stop() == 0
    assert emperor.processes() == []
