"""``python -m benchmarks.dashboard_pictures FOLDER``: pictures of the dashboard over a real, lively empire."""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests.dashboard.conftest import a_browser
from tests.support.vassal import build_vassal
from tests.system.empire import EmperorUnderTest, Kind, free_port

KINDS = ("shop", "blog", "wiki", "api", "forum", "mail", "cms", "docs")
PEOPLE = (
    *("ada", "alan", "anita", "barbara", "brian", "dennis", "donald", "edsger", "frances", "grace", "guido", "hedy"),
    *("jean", "john", "karen", "ken", "linus", "margaret", "radia", "rob", "sophie", "steve", "tim", "vint"),
)
VERBS = ("GET /", "GET /login", "POST /cart", "GET /static/site.css", "GET /api/items?page=2", "POST /comments")


def settle(emperor: EmperorUnderTest) -> None:
    """Put vassals in place, some of them troubled, and let some things happen."""
    chance = random.Random(3)
    names = [f"{kind}-{who}.ini" for kind in KINDS for who in PEOPLE]
    for place, name in enumerate(names):
        if place % 31 == 7:
            emperor.add(name, exit_after=5000 if place % 2 else 40, exit_code=1)
        elif place % 47 == 11:
            emperor.add(name, ready_after=600_000)
        elif place % 61 == 40:
            emperor.add(name, leave_after=2500)
        elif place % 6 == 5:
            (emperor.vassals / f"{name}.socket").write_text(f"127.0.0.1:{free_port()}\n")
            emperor.add(name, serve=1000)
        else:
            emperor.add(
                name, loyal_after=100, workers=chance.randrange(3), reload_after=90_000 if place % 23 == 3 else 50
            )
    for who in PEOPLE:
        app = emperor.folder / "apps" / who
        app.mkdir(parents=True)
        emperor.add("uwsgi.ini", app, loyal_after=100)


def stir(emperor: EmperorUnderTest) -> None:
    control = emperor.folder / "control.sock"
    command = [str(Path(sys.executable).with_name("emperor-trio")), "stop", "--control", str(control)]
    subprocess.run([*command, "wiki-guido.ini", "cms-hedy.ini"], check=False, timeout=30)
    for name in ("shop-grace.ini", "api-tim.ini", "forum-ada.ini", "blog-alan.ini"):
        emperor.touch(name)
        time.sleep(0.7)
    for place, name in enumerate(sorted(path.name for path in emperor.vassals.glob("*.ini"))):
        if place % 23 == 3:
            emperor.touch(name)


def take(browser: Browser, url: str, folder: Path, name: str, route: str = "", **window: object) -> None:
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **window})  # type: ignore[arg-type]
    page: Page = context.new_page()
    page.goto(url + route)
    page.wait_for_selector("html[data-connection=live]")
    if not route:
        page.click("[data-column=state] button")
    page.wait_for_timeout(25_000 if route else 4_000)  # for lines to have something to show
    page.screenshot(path=folder / f"{name}.png")
    context.close()


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.dashboard_pictures", description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    with tempfile.TemporaryDirectory(prefix="pictures-") as name:
        place = Path(name)
        place.chmod(0o755)
        binary = build_vassal(place)
        with EmperorUnderTest(Kind.OURS, binary) as emperor, a_browser() as browser:
            script = emperor.folder / "uwsgi"
            lines = "; ".join(f'echo "{verb} 200"' for verb in VERBS)
            script.write_text(f'#!/bin/sh\necho "*** starting, pid $$ ***"; {lines}\nexec {binary} "$@"\n')
            script.chmod(0o755)
            settle(emperor)
            (place / "logs").mkdir()
            port = free_port()
            emperor.start(
                "--gateway",
                f"127.0.0.1:{port}",
                "--vassal-logs",
                place / "logs",
                "--control",
                emperor.folder / "control.sock",
                "--emperor-max-restarts",
                "4",
                "--emperor-on-demand-extension",
                ".socket",
                monitors=["vassals", "apps/*/uwsgi.ini", "pg://host=127.0.0.1 port=1 dbname=tenants"],
                binary=script,
            )  # fmt: skip
            time.sleep(20)
            stir(emperor)
            url = f"http://127.0.0.1:{port}/"
            take(browser, url, folder, "light", color_scheme="light")
            take(browser, url, folder, "dark", color_scheme="dark")
            take(browser, url, folder, "narrow", viewport={"width": 360, "height": 740})
            route = "#/vassal/vassals/shop-grace.ini"
            take(browser, url, folder, "vassal", route, color_scheme="dark", viewport={"width": 1180, "height": 1250})


if __name__ == "__main__":
    main()
