"""Logs of vassals with a real emperor: a file for each, lines with names, what rotation may lose, hostile tenants."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.empire import PATIENCE, EmperorUnderTest, Kind, command_of, wait_until

OURS = command_of(Kind.OURS)[0]
TENANT = (12_666, 13_666)


@pytest.fixture
def logs() -> Iterator[Path]:
    """A folder into whose way nobody else may put anything: that of the test's emperor is everyone's."""
    with tempfile.TemporaryDirectory(prefix="logs of vassals ") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def test_each_vassal_has_its_file_over_reloads_and_restarts(emperor: EmperorUnderTest, logs: Path) -> None:
    emperor.add("a.ini", greet=True)
    emperor.add("b.ini", greet=True)
    emperor.start("--vassal-logs", str(logs))
    emperor.wait_running("a.ini", "b.ini")
    first = emperor.vassal("a.ini")
    assert first is not None
    emperor.touch("a.ini")
    emperor.wait_vassal("a.ini", respawns=1, ready=1)
    os.kill(first["pid"], 9)
    second = emperor.wait_vassal("a.ini", ready=1, pid=lambda pid: pid not in (first["pid"], -1))
    said = [line.split()[1:] for line in (logs / "a.ini.log").read_text().splitlines()]
    pids = [str(first["pid"]), str(first["pid"]), str(second["pid"])]
    assert said == [[pid, stream] for pid in pids for stream in ("out", "err")]
    assert len((logs / "b.ini.log").read_text().splitlines()) == 2
    assert stat.S_IMODE((logs / "a.ini.log").stat().st_mode) == 0o640
    assert emperor.stop() == 0
    assert "a.ini " + pids[0] not in emperor.log()


def test_the_emperor_holds_no_descriptor_of_a_log(emperor: EmperorUnderTest, logs: Path) -> None:
    for number in range(20):
        emperor.add(f"{number}.ini", greet=True)
    emperor.start("--vassal-logs", str(logs))
    emperor.wait_running(*(f"{number}.ini" for number in range(20)))
    held = [os.readlink(entry) for entry in Path(f"/proc/{emperor.pid}/fd").iterdir()]
    assert not [path for path in held if path.startswith(str(logs))]


def test_lines_of_all_vassals_have_their_names_before_them(emperor: EmperorUnderTest) -> None:
    emperor.add("a.ini", greet=True)
    emperor.add("b.ini", lines=100)
    emperor.start("--vassal-logs", "-")
    emperor.wait_running("a.ini", "b.ini")
    emperor.wait(lambda: "[b.ini] b.ini 100\n" in emperor.log(), "the last line is not there")
    said = [line for line in emperor.log().splitlines() if line.startswith("[")]
    assert [line for line in said if line.startswith("[b.ini]")] == [f"[b.ini] b.ini {n}" for n in range(1, 101)]
    assert len([line for line in said if line.startswith("[a.ini] a.ini")]) == 2
    assert "\033" not in emperor.log()


def test_who_prints_without_end_delays_nobody(emperor: EmperorUnderTest) -> None:
    emperor.add("loud.ini", lines="never", lines_width=1000)
    emperor.add("good.ini")
    emperor.start("--vassal-logs", "-")
    emperor.wait_running("loud.ini", "good.ini")
    for count in range(1, 4):
        emperor.touch("good.ini")
        emperor.wait_vassal("good.ini", respawns=count, ready=1)
    assert emperor.stop() == 0


def test_a_log_is_rotated_and_only_lines_of_the_cut_can_be_lost(emperor: EmperorUnderTest, logs: Path) -> None:
    emperor.add("a.ini", lines=3000, lines_every=1, lines_width=100)
    emperor.start("--vassal-logs", str(logs), "--vassal-log-size", "20K", "--vassal-log-keep", "100")
    emperor.wait_running("a.ini")
    last = f"a.ini {3000}"

    def said() -> list[str]:
        files = sorted(logs.glob("a.ini.log*"), key=lambda path: -int(path.suffix[1:]) if path.suffix != ".log" else 1)
        return [line for path in files for line in path.read_text().splitlines()]

    emperor.wait(lambda: any(line.startswith(last) for line in said()), "the last line is not there")
    numbers = [int(line.split()[1].rstrip(".")) for line in said() if line.startswith("a.ini ")]
    assert numbers == sorted(set(numbers)), "no line is there twice, and none in another order"


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "hard link"])
def test_what_lies_in_the_logs_place_is_left_alone_and_the_vassal_starts(
    emperor: EmperorUnderTest, logs: Path, kind: str
) -> None:
    victim = emperor.folder / "victim"
    victim.write_text("untouched")
    place = logs / "a.ini.log"
    match kind:
        case "link":
            place.symlink_to(victim)
        case "fifo":
            os.mkfifo(place)
        case "folder":
            place.mkdir()
        case "hard link":
            place.hardlink_to(victim)
    emperor.add("a.ini", greet=True)
    emperor.start("--vassal-logs", str(logs))
    emperor.wait_running("a.ini")
    emperor.wait_logged("its log can't be written")
    assert victim.read_text() == "untouched"
    assert emperor.stop() == 0
    assert "a.ini " in emperor.log()


def test_a_folder_in_which_others_may_write_is_refused(emperor: EmperorUnderTest, logs: Path) -> None:
    logs.chmod(0o777)
    done = subprocess.run(
        [OURS, str(emperor.vassals), "--control", "none", "--vassal-logs", str(logs)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 2
    assert "can be written by others" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for Tyrant mode")
def test_a_tenant_writes_its_log_and_can_open_nothing(emperor: EmperorUnderTest, logs: Path) -> None:
    os.chown(emperor.add("a.ini", greet=True), *TENANT)
    emperor.start("--emperor-tyrant", "--vassal-logs", str(logs))
    emperor.wait_running("a.ini")
    log = logs / "a.ini.log"
    wait_until(lambda: len(log.read_text().splitlines()) == 2, emperor.describe)
    assert (log.stat().st_uid, stat.S_IMODE(log.stat().st_mode)) == (0, 0o640)


def test_logs_are_read_and_followed_by_the_command(emperor: EmperorUnderTest, logs: Path) -> None:
    emperor.add("a.ini", lines=50)
    emperor.start("--vassal-logs", str(logs))
    emperor.wait_running("a.ini")
    emperor.wait(lambda: "a.ini 50\n" in (logs / "a.ini.log").read_text())
    words = [OURS, "logs", "a.ini", "--control", str(emperor.control_path)]
    done = subprocess.run([*words, "-n", "3"], capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout == "a.ini 48\na.ini 49\na.ini 50\n"
    with subprocess.Popen([*words, "-f", "-n", "1"], stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "a.ini 50\n"
        with (logs / "a.ini.log").open("a") as log:
            log.write("one more\n")
        assert follower.stdout.readline() == "one more\n"
        follower.terminate()
