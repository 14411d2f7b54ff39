"""The dashboard over a real emperor: what it shows is so, what it commands happens, and a lost connection shows."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.conftest import LOST, Complaints, Open
from tests.dashboard.test_page import unlock
from tests.system.empire import EmperorUnderTest, Kind, free_port

TOKEN = "0123456789abcdef0123456789abcdef"
NAMES = tuple(f"app-{number}.ini" for number in range(5))


@dataclass
class Reign:
    """An emperor over five vassals that say a line when they start, and its dashboard."""

    emperor: EmperorUnderTest
    logs: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def page_of(self, name: str) -> str:
        return f"{self.url}#/vassal/{str(self.emperor.vassals).replace('/', '%2F')}/{name}"

    def start(self) -> None:
        token = self.emperor.folder / "token"
        token.write_text(TOKEN)
        token.chmod(0o600)
        self.logs.mkdir(exist_ok=True)
        self.emperor.start(
            "--gateway", f"127.0.0.1:{self.port}", "--gateway-token-file", token, "--vassal-logs", self.logs,
            "--control", self.emperor.folder / "control.sock",
            binary=self.emperor.folder / "talkative",
        )  # fmt: skip
        self.emperor.wait_running(*NAMES)


@pytest.fixture
def reign(vassal_binary: Path, tmp_path: Path) -> Iterator[Reign]:
    with EmperorUnderTest(Kind.OURS, vassal_binary) as emperor:
        script = emperor.folder / "talkative"
        script.write_text(f'#!/bin/sh\necho "hello from $$"\nexec {vassal_binary} "$@"\n')
        script.chmod(0o755)
        for name in NAMES:
            emperor.add(name)
        reign = Reign(emperor, tmp_path / "logs", free_port())
        reign.start()
        yield reign


def state(page: Page, name: str) -> object:
    return page.locator("#list-rows .row", has_text=name).locator(".state")


def pid_of(emperor: EmperorUnderTest, name: str) -> int:
    found = emperor.vassal(name)
    assert found is not None
    return int(found["pid"])


def test_what_happens_is_shown_as_it_happens(reign: Reign, open_page: Open) -> None:
    page = open_page(reign.url)
    emperor = reign.emperor
    rows = page.locator("#list-rows .row")
    expect(rows).to_have_count(5)
    expect(rows.locator(".state")).to_have_text(["up"] * 5)
    expect(rows.locator(".pid")).to_have_text([str(pid_of(emperor, name)) for name in NAMES])
    expect(rows.locator(".memory")).to_have_text([re.compile(r"^[\d.]+ [KM]iB$")] * 5)

    first = rows.filter(has_text="app-0.ini")
    old = pid_of(emperor, "app-0.ini")
    os.kill(old, signal.SIGKILL)
    expect(first.locator(".pid")).not_to_have_text(str(old))
    expect(first.locator(".state")).to_have_text("up")
    expect(first.locator(".restarts")).to_have_text("1")
    expect(page.locator("#events .event", has_text="app-0.ini").filter(has_text="signal 9")).to_be_visible()

    emperor.touch("app-1.ini")
    expect(page.locator("#events .event", has_text="app-1.ini").filter(has_text="told to reload")).to_be_visible()
    emperor.remove("app-2.ini")
    expect(rows).to_have_count(4)
    emperor.add("app-9.ini", exit_after=0, exit_code=1)
    expect(rows.filter(has_text="app-9.ini").locator(".state")).to_have_text("blacklisted")
    expect(page.locator("#trouble")).to_have_text("1")
    expect(rows.filter(has_text="app-9.ini").locator(".why")).to_contain_text("start")


def test_one_vassal_in_full(reign: Reign, open_page: Open) -> None:
    page = open_page(reign.page_of("app-3.ini"))
    emperor = reign.emperor
    pid = pid_of(emperor, "app-3.ini")
    expect(page.locator("#vassal-name")).to_have_text("app-3.ini")
    expect(page.locator("#vassal-state")).to_have_text("up")
    expect(page.locator("#facts div").first).to_contain_text(f"pid {pid}")
    expect(page.locator("#command-line")).to_contain_text("talkative")
    expect(page.locator("#vassal-events li", has_text=f"spawned, pid {pid}")).to_be_visible()
    expect(page.locator("#restarts-chart .now")).to_have_text("1 start, 0 deaths")
    expect(page.locator("#memory-chart .now")).to_have_text(re.compile("iB$"))

    os.kill(pid, signal.SIGKILL)
    emperor.wait_vassal("app-3.ini", pid=lambda new: new not in (pid, -1), ready=1)
    expect(page.locator("#facts div").first).to_contain_text(f"pid {pid_of(emperor, 'app-3.ini')}")
    expect(page.locator("#restarts-chart .now")).to_have_text("2 starts, 1 death")


def test_the_log_is_followed(reign: Reign, open_page: Open) -> None:
    page = open_page(reign.page_of("app-3.ini"))
    lines = page.locator("#log div")
    expect(lines.last).to_have_text(f"hello from {pid_of(reign.emperor, 'app-3.ini')}")
    log = next(reign.logs.glob("*app-3*"))
    with log.open("a") as file:
        file.write("\x1b[31mred\x1b[0m <b>bold</b>\n")
    expect(lines.last).to_have_text("red <b>bold</b>")
    page.click("#log-pause")
    with log.open("a") as file:
        file.write("while it was paused\n")
    expect(page.locator("#log-missed")).to_have_text("1 more")
    expect(lines.last).to_have_text("red <b>bold</b>")
    page.click("#log-pause")
    expect(lines.last).to_have_text("while it was paused")


def test_commands_happen_and_their_effect_is_told(reign: Reign, open_page: Open) -> None:
    page = open_page(reign.page_of("app-4.ini"))
    emperor = reign.emperor
    unlock(page, TOKEN)
    pid = pid_of(emperor, "app-4.ini")
    for verb, told, shown in (
        ("reload", "ready,", "up"),
        ("restart", "ready,", "up"),
        ("stop", "stopped,", "stopped"),
        ("start", "ready,", "up"),
    ):
        page.click(f"#verbs [data-verb={verb}]")
        expect(page.locator("#confirm-name")).to_have_text("app-4.ini")
        page.click("#confirm-yes")
        expect(page.locator("#notes li").last).to_contain_text(told, timeout=20_000)
        expect(page.locator("#vassal-state")).to_have_text(shown)
        page.click("#notes li button")
        expect(page.locator("#notes li")).to_have_count(0)
    emperor.wait_vassal("app-4.ini", ready=1, pid=lambda new: new not in (pid, -1))
    assert len(emperor.reported("start", "app-4.ini")) == 3
    page.keyboard.press("Escape")
    page.click("#scan-all")
    expect(page.locator("#notes li.good")).to_have_count(1)


def test_a_wrong_token_commands_nothing(reign: Reign, open_page: Open) -> None:
    page = open_page(reign.page_of("app-4.ini"))
    page.click("#unlock")
    page.fill("#token", TOKEN[::-1])
    page.keyboard.press("Enter")
    expect(page.locator("#token-error")).to_have_text("The emperor does not accept this token.", timeout=20_000)
    expect(page.locator("#verbs button:visible")).to_have_count(0)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_a_lost_emperor_shows_at_once_and_its_return_too(
    reign: Reign, open_page: Open, complaints: Complaints, how: signal.Signals
) -> None:
    complaints.allowed.append(LOST)
    page = open_page(reign.url)
    expect(page.locator("#list-rows .row")).to_have_count(5)
    reign.emperor.stop(how)
    expect(page.locator("#connection")).to_have_text(re.compile(r"^lost \d s ago, trying again$"))
    expect(page.locator("#announce")).to_have_text("The connection to the emperor is lost. Trying again.")
    reign.emperor.remove("app-0.ini")
    reign.emperor.add("app-7.ini")
    reign.emperor.wait(lambda: True) if how == signal.SIGTERM else None
    reign.emperor.stats_path.unlink(missing_ok=True)
    reign.emperor.start("--gateway", f"127.0.0.1:{reign.port}", "--control", reign.emperor.folder / "control.sock")
    expect(page.locator("#connection")).to_have_text("live", timeout=20_000)
    expect(page.locator("#list-rows .row .name")).to_have_text([*NAMES[1:], "app-7.ini"])
    expect(page.locator("#pid")).to_have_text(f"pid {reign.emperor.pid}")


def test_an_emperor_that_hangs_shows(reign: Reign, open_page: Open, complaints: Complaints) -> None:
    complaints.allowed.append(LOST)
    page = open_page(reign.url)
    reign.emperor.send_signal(signal.SIGSTOP)
    try:
        expect(page.locator("#connection")).to_have_text(re.compile("^lost "))
    finally:
        reign.emperor.send_signal(signal.SIGCONT)
    expect(page.locator("#connection")).to_have_text("live", timeout=20_000)
