"""The log says each event once, on one line, and no stream can hold up the loop: not a full, broken or stubborn one."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import IO

import pytest
import trio

from emperor_trio import events
from emperor_trio.actors.bus import Bus
from emperor_trio.events import Event, Level
from emperor_trio.model import VassalId
from emperor_trio.outlets.log import LogOutlet, colour_line, json_line, plain_line
from emperor_trio.ports import Occurrence

SHOP = VassalId("/etc/vassals", "shop.ini")
AT = 1_790_000_000.25


class Script:
    """A subscription that gives these events and ends."""

    def __init__(self, *shown: Event) -> None:
        self._events = list(shown)

    async def __aiter__(self) -> AsyncIterator[Occurrence]:
        for event in self._events:
            await trio.lowlevel.checkpoint()
            yield Occurrence(AT, event)


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def pipe() -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    reader, writer = os.pipe()
    with open(reader, "rb", buffering=0) as out, open(writer, "wb", buffering=0) as stream:
        yield out, stream


async def logged(path: Path, *shown: Event, style: str = "text", level: Level = Level.INFO) -> list[str]:
    with path.open("wb") as stream:
        await LogOutlet(Script(*shown), stream, style, level).run()
    return path.read_text().splitlines()


def all_event_classes(root: type[Event] = Event) -> list[type[Event]]:
    return [root, *(found for child in root.__subclasses__() for found in all_event_classes(child))]


# --- layouts ---


async def test_one_line_an_event_with_time_level_name_and_text(tmp_path: Path) -> None:
    lines = await logged(
        tmp_path / "log",
        events.VassalSpawned(SHOP, 123, 1),
        events.MonitorFailed("/etc/vassals", "away", 3.0),
        events.EmperorStopped(),
    )
    assert lines == [
        "2026-09-21 14:13:20.250 [emperor] info  shop.ini: spawned, pid 123",
        "2026-09-21 14:13:20.250 [emperor] error /etc/vassals: away; vassals stay as they are, again in 3.0 s",
        "2026-09-21 14:13:20.250 [emperor] info  emperor: all vassals are gone; bye",
    ]


async def test_less_important_events_are_left_out(tmp_path: Path) -> None:
    shown = [events.VassalAdded(SHOP), events.VassalLoyal(SHOP), events.SpawnFailed(SHOP, "no such file")]
    assert [line.split()[3] for line in await logged(tmp_path / "a", *shown, level=Level.DEBUG)] == [
        "debug",
        "info",
        "error",
    ]
    assert [line.split()[3] for line in await logged(tmp_path / "b", *shown, level=Level.WARNING)] == ["error"]


async def test_names_can_not_forge_lines_or_reach_the_terminal(tmp_path: Path) -> None:
    evil = VassalId("/etc/vassals", "x.ini\n2026 [emperor] info  shop.ini: died\x1b[2J")
    [line] = await logged(tmp_path / "log", events.SpawnFailed(evil, "no\nsuch \x1b]0;file"))
    assert "\x1b" not in line
    assert r"x.ini\n2026" in line


def test_a_name_with_spaces_is_quoted() -> None:
    spaced = VassalId("/etc/vassals", 'my "shop" info.ini')
    assert ' "my \\"shop\\" info.ini": now loyal' in plain_line(Occurrence(AT, events.VassalLoyal(spaced)))


def test_passwords_of_sources_are_not_logged() -> None:
    failed = events.MonitorFailed("amqp://me:s3cret@rabbit", "cannot reach amqp://me:s3cret@rabbit", 1.0)
    started = events.EmperorStarted(1, "0.1", ("pg://host=db password=s3cret",))
    for event in (failed, started):
        for layout in (plain_line, colour_line, json_line):
            line = layout(Occurrence(AT, event))
            assert "s3cret" not in line
            assert "***" in line


def test_a_terminal_gets_columns_in_colour() -> None:
    line = colour_line(Occurrence(AT, events.SpawnFailed(SHOP, "no such file")))
    assert line.startswith("\x1b[2m14:13:20.250\x1b[0m \x1b[1;31merror\x1b[0m \x1b[36mshop.ini ")
    assert line.endswith(
        "\x1b[1;31mcould not be spawned: no such file (tried again; said again when it changes)\x1b[0m\n"
    )


@pytest.mark.parametrize(
    ("no_color", "term", "coloured"), [("", "xterm", True), ("1", "xterm", False), ("", "dumb", False)]
)
async def test_colour_only_on_a_terminal_that_is_to_have_it(
    no_color: str, term: str, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", term)
    ours, theirs = pty.openpty()
    with open(ours, "rb", buffering=0) as out, open(theirs, "wb", buffering=0) as stream:
        await LogOutlet(Script(events.EmperorStopped()), stream).run()
        assert (b"\x1b[" in out.read(4096)) is coloured


async def test_json_has_every_field_of_the_event(tmp_path: Path) -> None:
    [line] = await logged(
        tmp_path / "log", events.VassalExited(SHOP, 123, -9, expected=False, loyal=True), style="json"
    )
    entry = json.loads(line)
    assert entry == {
        "time": "2026-09-21T14:13:20.250000Z",
        "epoch": AT,
        "level": "info",
        "event": "VassalExited",
        "text": "died, pid 123, signal 9",
        "vassal": {"monitor": "/etc/vassals", "name": "shop.ini", "ordinal": 0},
        "pid": 123,
        "code": -9,
        "expected": False,
        "loyal": True,
    }
    assert datetime.fromisoformat(entry["time"]).timestamp() == AT


def test_json_stays_json_whatever_the_values_are() -> None:
    odd = VassalId("/etc/vassals", "\udcff\n.ini")
    entry = json.loads(json_line(Occurrence(AT, events.VassalBlacklisted(odd, 1, float("inf")))).encode())
    assert entry["delay"] is None
    assert entry["vassal"]["name"] == "\\xff\n.ini"


@pytest.mark.parametrize("event", all_event_classes())
def test_no_field_hides_one_of_the_logs_own(event: type[Event]) -> None:
    assert not {field.name for field in fields(event)} & {"time", "epoch", "level", "event", "text"}


# --- the journal ---


def journal(monkeypatch: pytest.MonkeyPatch, stream: IO[bytes]) -> None:
    """Say what systemd says of a stream that goes to its journal."""
    found = os.fstat(stream.fileno())
    monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")


async def test_the_journal_is_given_priorities_in_place_of_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "log").open("wb") as stream:
        journal(monkeypatch, stream)
        said = Script(
            events.VassalAdded(SHOP),
            events.VassalSpawned(SHOP, 1, 1),
            events.Notice("full\n<0>empty"),
            events.MonitorFailed("/v", "away", 3.0),
        )
        await LogOutlet(said, stream, level=Level.DEBUG).run()
    assert (tmp_path / "log").read_text().splitlines() == [
        "<7>[emperor] debug shop.ini: added",
        "<6>[emperor] info  shop.ini: spawned, pid 1",
        r"<4>[emperor] warn  emperor: full\n<0>empty",
        "<3>[emperor] error /v: away; vassals stay as they are, again in 3.0 s",
    ]


async def test_what_goes_elsewhere_has_no_priorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is inherited by whoever is started below, with another stream."""
    with (tmp_path / "journal").open("wb") as stream:
        journal(monkeypatch, stream)
    (line,) = await logged(tmp_path / "log", events.VassalSpawned(SHOP, 1, 1))
    assert line.startswith("2026-09-21 ")


async def test_json_for_the_journal_is_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "log").open("wb") as stream:
        journal(monkeypatch, stream)
        await LogOutlet(Script(events.VassalSpawned(SHOP, 1, 1)), stream, "json").run()
    assert json.loads((tmp_path / "log").read_text())["level"] == "info"


# --- streams ---


async def test_everything_said_before_the_end_is_written(tmp_path: Path) -> None:
    bus = Bus()
    with bus.subscribe() as subscription, (tmp_path / "log").open("wb") as stream:
        for pid in range(4000):
            bus.publish(events.VassalSpawned(SHOP, pid, 1))
        bus.close()
        await LogOutlet(subscription, stream).run()
    lines = (tmp_path / "log").read_text().splitlines()
    assert [int(line.rpartition(" ")[2]) for line in lines] == list(range(4000))


async def test_a_full_pipe_holds_up_nobody_and_the_loss_is_told(pipe: tuple[IO[bytes], IO[bytes]]) -> None:
    out, stream = pipe
    fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, 4096)
    bus = Bus()
    with bus.subscribe(limit=10) as subscription:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(LogOutlet(subscription, stream).run)
            for pid in range(10_000):
                bus.publish(events.VassalSpawned(SHOP, pid, 1))
                await trio.lowlevel.checkpoint()
            bus.close()
            written = b""
            while b"pid 9999\n" not in written:
                written += await trio.to_thread.run_sync(out.read, 65536)
    lines = written.decode().splitlines()
    told = [line for line in lines if " dropped here" in line]
    assert told
    lost = sum(int(line.split("emperor: ")[1].split()[0]) for line in told)
    assert lost == 10_000 - (len(lines) - len(told))


async def test_a_full_pipe_does_not_hold_up_the_end(pipe: tuple[IO[bytes], IO[bytes]]) -> None:
    out, stream = pipe
    fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, 4096)
    lines = Script(*(events.VassalSpawned(SHOP, pid, 1) for pid in range(1000)))
    with trio.move_on_after(0.1) as scope:
        await LogOutlet(lines, stream).run()
    assert scope.cancelled_caught
    fcntl.fcntl(out, fcntl.F_SETFL, os.O_NONBLOCK)  # lets the abandoned thread go on to its end
    while out.read(65536):
        await trio.sleep(0.01)


async def test_what_waits_is_written_when_cancelled(tmp_path: Path) -> None:
    bus = Bus()
    with bus.subscribe() as subscription, (tmp_path / "log").open("wb") as stream:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(LogOutlet(subscription, stream).run)
            bus.publish(events.VassalSpawned(SHOP, 1, 1))
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert "pid 1\n" in (tmp_path / "log").read_text()


async def test_a_stream_that_someone_made_non_blocking_loses_nothing(pipe: tuple[IO[bytes], IO[bytes]]) -> None:
    out, stream = pipe
    fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(stream.fileno(), False)
    lines = [events.VassalSpawned(SHOP, pid, 1) for pid in range(500)]
    written = b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(LogOutlet(Script(*lines), stream).run)
        while written.count(b"\n") < 500:
            written += await trio.to_thread.run_sync(out.read, 65536)
    assert not os.get_blocking(stream.fileno())


async def test_a_full_disk_costs_only_the_lines() -> None:
    with open("/dev/full", "wb", buffering=0) as stream:
        await LogOutlet(Script(events.EmperorStopped()), stream).run()


async def test_a_broken_pipe_costs_only_the_lines(pipe: tuple[IO[bytes], IO[bytes]]) -> None:
    out, stream = pipe
    out.close()
    await LogOutlet(Script(events.EmperorStopped(), events.EmperorStopped()), stream).run()


async def test_a_closed_stream_costs_only_the_lines(pipe: tuple[IO[bytes], IO[bytes]]) -> None:
    _, stream = pipe
    outlet = LogOutlet(Script(events.EmperorStopped()), stream)
    stream.close()
    await outlet.run()


async def test_lines_that_could_not_be_written_are_counted(tmp_path: Path) -> None:
    with open("/dev/full", "wb", buffering=0) as stream, (tmp_path / "log").open("wb") as disk:
        bus = Bus()
        with bus.subscribe() as subscription:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(LogOutlet(subscription, stream).run)
                bus.publish(events.VassalSpawned(SHOP, 1, 1))
                bus.publish(events.VassalSpawned(SHOP, 2, 1))
                await trio.testing.wait_all_tasks_blocked(0.05)
                os.dup2(disk.fileno(), stream.fileno())  # there is room again
                bus.publish(events.VassalSpawned(SHOP, 3, 1))
                bus.close()
    told, line = (tmp_path / "log").read_text().splitlines()
    assert told == "2 lines of the emperor's log could not be written here"
    assert line.endswith("pid 3")


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (events.EmperorStopping("SIGTERM", 1), "SIGTERM: stopping 1 vassal"),
        (events.EmperorStopping("SIGTERM", 0), "SIGTERM: stopping 0 vassals"),
        (events.EmperorStopped(1), "1 vassal hangs in the kernel and could not be killed; bye"),
        (events.EmperorStopped(2), "2 vassals hang in the kernel and could not be killed; bye"),
        (events.MonitorReady("x", 1), "watching, 1 vassal"),
        (events.MonitorReady("x", 2), "watching, 2 vassals"),
        (events.Lagged(1), "1 event was dropped here, not taken fast enough"),
        (events.Lagged(2), "2 events were dropped here, not taken fast enough"),
        (
            events.VassalParked(SHOP, 1, 9.0),
            "failed: 1 restart within 9 s; parked until its config changes or a command starts it",
        ),
    ],
)
def test_one_is_no_many(event: events.Event, text: str) -> None:
    assert event.text == text
