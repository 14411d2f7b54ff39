"""The page in a browser, over hundreds and thousands of vassals: what it shows, how it is steered, what it costs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.conftest import Open
from tests.dashboard.stand_in import HOSTILE, TOKEN

ROWS = "#list-rows .row"


def total(page: Page) -> int:
    return int(page.inner_text("#total").replace(",", ""))


def choose(page: Page, state: str) -> None:
    page.click(f"#legend button:has(.is-{state})")


# --- the overview ----------------------------------------------------------------------------------------------------


def test_the_empire_is_summed_up(open_page: Open, five_hundred: str) -> None:
    page = open_page(five_hundred)
    expect(page.locator("#total")).to_have_text("500")
    expect(page.locator("#host")).to_have_text("stand-in")
    expect(page.locator("#version")).to_have_text("emperor-trio 0.1.0")
    expect(page.locator("#pid")).to_have_text("pid 4711")
    expect(page.locator("#uptime")).to_have_text(re.compile(r"up 1 d 3 h"))
    expect(page.locator("#connection")).to_have_text("live")
    numbers = page.locator("#legend .number").all_inner_texts()
    assert sum(int(number) for number in numbers) == 500
    expect(page).to_have_title(re.compile(r"\d+ in trouble – stand-in – emperor-trio"))


def test_monitors_show_their_health(open_page: Open, five_hundred: str) -> None:
    page = open_page(five_hundred)
    ill = page.locator("#monitors li").filter(has_text="/srv/*/uwsgi.ini")
    expect(ill).to_contain_text("failing for")
    expect(ill).to_contain_text("next try in")
    expect(ill.locator(".error")).to_have_text("can't be read: permission denied")
    expect(page.locator("#monitors li").first).to_contain_text("500 vassals, healthy for 2 h")


@pytest.mark.parametrize("empire", ["five_hundred", "ten_thousand"])
def test_only_rows_in_sight_are_in_the_page(open_page: Open, empire: str, request: pytest.FixtureRequest) -> None:
    page = open_page(request.getfixturevalue(empire))
    page.wait_for_selector(ROWS)
    assert page.locator(ROWS).count() < 60
    assert page.evaluate("document.querySelectorAll('*').length") < 1500
    assert page.get_attribute("#list", "aria-rowcount") == str(total(page) + 1)
    page.evaluate("document.querySelector('#list').scrollTop = 1e7")
    expect(page.locator(f'[aria-rowindex="{total(page) + 1}"]')).to_be_visible()
    assert page.locator(ROWS).count() < 60
    assert page.evaluate("document.querySelectorAll('*').length") < 1500


def test_names_are_text_whatever_is_in_them(open_page: Open, five_hundred: str) -> None:
    page = open_page(five_hundred)
    for name, shown in zip(
        HOSTILE,
        (HOSTILE[0], r"\u202egnp.ini", r"line\x0abreak.ini", r"bytes\xff\x80.ini", HOSTILE[4], HOSTILE[5], HOSTILE[6]),
        strict=True,
    ):
        page.fill("#search", name.replace("\udcff\udc80", " ").replace("\n", " ")[:200])
        row = page.locator(ROWS).filter(has=page.get_by_text(shown, exact=True))
        expect(row).to_have_count(1)
        row.locator("a").click()
        expect(page.locator("#vassal-name")).to_have_text(shown)
        expect(page.locator("#vassal-there")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "a long name widens the page"
        page.reload()
        expect(page.locator("#vassal-name")).to_have_text(shown)
        page.click("nav a")
    assert page.evaluate("window.hacked") is None


def test_search_and_filters(open_page: Open, five_hundred: str) -> None:
    page = open_page(five_hundred)
    page.keyboard.press("/")
    page.keyboard.type("TENANT-42")
    expect(page.locator("#list-count")).to_have_text("11 of 500 vassals")
    expect(page.locator(ROWS)).to_have_count(11)
    page.keyboard.press("Escape")
    expect(page.locator("#list-count")).to_have_text("500 vassals")

    choose(page, "failed")
    failed = int(page.inner_text("#legend button:has(.is-failed) .number"))
    expect(page.locator("#list-count")).to_have_text(f"{failed} of 500 vassals")
    assert set(page.locator(f"{ROWS} .state").all_inner_texts()) == {"failed"}
    choose(page, "blacklisted")
    page.select_option("#monitor", "pg://127.0.0.1/tenants")
    assert set(page.locator(f"{ROWS} .monitor").all_inner_texts()) == {"pg://127.0.0.1/tenants"}
    assert set(page.locator(f"{ROWS} .state").all_inner_texts()) == {"failed", "blacklisted"}
    page.fill("#search", "nothing is called so")
    expect(page.locator("#list-empty")).to_be_visible()
    page.click("#clear")
    expect(page.locator("#list-count")).to_have_text("500 vassals")


def test_search_finds_one_of_ten_thousand_at_once(open_page: Open, ten_thousand: str) -> None:
    page = open_page(ten_thousand)
    page.fill("#search", "tenant-9876.ini")
    expect(page.locator("#list-count")).to_have_text("1 of 10,000 vassals")
    expect(page.locator(f"{ROWS} .name")).to_have_text("tenant-9876.ini")


def test_columns_sort_both_ways(open_page: Open, five_hundred: str) -> None:
    page = open_page(five_hundred)
    page.wait_for_selector(ROWS)
    for expected in ("ascending", "descending"):
        page.click("[data-column=pid] button")
        expect(page.locator("[data-column=pid]")).to_have_attribute("aria-sort", expected)
        if expected == "ascending":
            pids = [int(text) for text in page.locator(f"{ROWS} .pid").all_inner_texts()]
            by_index = page.locator(ROWS).evaluate_all("rows => rows.map(row => Number(row.dataset.index))")
            assert [pid for _, pid in sorted(zip(by_index, pids, strict=True))] == sorted(pids)
        else:
            assert "–" in page.locator(f"{ROWS} .pid").all_inner_texts()
    expect(page.locator("[data-column=name]")).to_have_attribute("aria-sort", "none")


def test_processes_in_sight_are_measured(open_page: Open, five_hundred: str) -> None:
    page = open_page(five_hundred)
    up = page.locator(ROWS).filter(has=page.locator(".is-up")).first
    expect(up.locator(".cpu")).to_have_text(re.compile(r"^[\d.]+ %$"))
    expect(up.locator(".memory")).to_have_text(re.compile(r"^[\d.]+ MiB$"))
    page.evaluate("document.querySelector('#list').scrollTop = 5000")
    expect(page.locator(f"{ROWS}:has(.is-up)").last.locator(".cpu")).to_have_text(re.compile(r"^[\d.]+ %$"))


def test_the_field_tells_names_and_opens(open_page: Open, five_hundred: str) -> None:
    page = open_page(five_hundred)
    page.hover("#field", position={"x": 8, "y": 26})
    expect(page.locator("#tip bdi")).to_have_text(HOSTILE[0])
    page.click("#field", position={"x": 8, "y": 26})
    expect(page.locator("#vassal-name")).to_have_text(HOSTILE[0])
    page.keyboard.press("Escape")
    page.focus("#field")
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    expect(page.locator("#tip bdi")).not_to_be_empty()
    name = page.inner_text("#tip bdi")
    page.keyboard.press("Enter")
    expect(page.locator("#vassal-name")).to_have_text(name)


@pytest.mark.parametrize("order", ["monitor", "state", "name"])
def test_every_vassal_is_in_the_field(open_page: Open, five_hundred: str, order: str) -> None:
    """Its cells are counted by their pictures: as many as there are vassals, one each."""
    page = open_page(five_hundred)
    page.evaluate(
        "() => { const proto = CanvasRenderingContext2D.prototype, draw = proto.drawImage; window.drawn = new Set();"
        "proto.drawImage = function (...how) { drawn.add(`${how[1]} ${how[2]}`); draw.call(this, ...how); } }"
    )
    page.select_option("#order", order if order != "monitor" else "state")
    page.evaluate("drawn.clear()")
    page.select_option("#order", order if order != "state" else "name")
    page.evaluate("drawn.clear()")
    page.select_option("#order", order)
    page.click("#theme")
    assert page.evaluate("drawn.size") == 500


# --- the keyboard ----------------------------------------------------------------------------------------------------


def test_all_goes_by_keyboard(open_page: Open, five_hundred: str) -> None:
    page = open_page(five_hundred)
    page.wait_for_selector(ROWS)
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    page.keyboard.press("/")
    page.keyboard.type("tenant-1")
    page.keyboard.press("ArrowDown")
    expect(page.locator(f"{ROWS}.active .name")).to_have_text("tenant-1.ini")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.locator(f"{ROWS}.active .name")).to_have_text("tenant-11.ini")
    assert page.get_attribute("#list", "aria-activedescendant") == page.get_attribute(f"{ROWS}.active", "id")
    page.keyboard.press("End")
    expect(page.locator(f"{ROWS}.active .name")).to_have_text("tenant-199.ini")
    page.keyboard.press("Enter")
    expect(page.locator("#vassal-name")).to_have_text("tenant-199.ini")
    assert page.evaluate("document.activeElement.id") == "vassal-title"
    page.keyboard.press("Escape")
    expect(page.locator("#overview")).to_be_visible()
    expect(page.locator(f"{ROWS}.active .name")).to_have_text("tenant-199.ini")


def test_whatever_can_be_clicked_can_be_tabbed_to(open_page: Open, five_hundred: str) -> None:
    page = open_page(five_hundred)
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert {"unlock", "theme", "help-button", "order", "field", "monitor", "search", "list", "events-level"} <= seen
    assert {"events-pause", "events"} <= seen


# --- how it looks ----------------------------------------------------------------------------------------------------

CHECKS = Path(__file__).with_name("checks.js").read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("where", ["", "#/vassal/%2Fetc%2Fuwsgi%2Fvassals/tenant-0.ini"])
def test_all_have_names_and_can_be_read(open_page: Open, five_hundred: str, scheme: str, where: str) -> None:
    """Contrast of WCAG AA: 4.5 for texts, 3 for marks."""
    page = open_page(five_hundred + where, color_scheme=scheme, reduced_motion="reduce")
    page.wait_for_selector(".event")
    assert page.evaluate(f"{CHECKS}.nameless()") == []
    assert page.evaluate(f"{CHECKS}.pale()") == []


def test_the_theme_is_ones_choice(open_page: Open, five_hundred: str) -> None:
    page = open_page(five_hundred, color_scheme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.click("#theme")
    page.click("#theme")
    expect(page.locator("#theme")).to_have_text("Theme: dark")
    assert page.evaluate(paper) != light
    page.reload()
    expect(page.locator("#theme")).to_have_text("Theme: dark")


@pytest.mark.parametrize("where", ["", "#/vassal/%2Fetc%2Fuwsgi%2Fvassals/tenant-0.ini"])
def test_it_fits_a_phone(open_page: Open, five_hundred: str, where: str) -> None:
    page = open_page(five_hundred + where, viewport={"width": 360, "height": 740}, has_touch=True)
    page.wait_for_selector(".event")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    if not where:
        names = page.locator(f"{ROWS} .name")
        assert names.nth(6).evaluate("e => e.clientWidth") > 100


# --- one vassal ------------------------------------------------------------------------------------------------------


def test_a_page_can_be_linked_to(open_page: Open, five_hundred: str) -> None:
    page = open_page(f"{five_hundred}#/vassal/%2Fetc%2Fuwsgi%2Fvassals/tenant-0.ini")
    expect(page.locator("#vassal-name")).to_have_text("tenant-0.ini")
    expect(page.locator("#facts div", has_text="Owner")).to_contain_text("1000:1000")
    expect(page.locator("#command-line")).to_have_text("uwsgi --ini tenant-0.ini")
    expect(page.locator("#vassal-events li").first).to_contain_text("spawned, pid")
    expect(page.locator("#restarts-chart rect.started")).to_have_count(1)
    expect(page.locator("#cpu-chart .now")).to_have_text(re.compile("%$"))
    expect(page.locator("#memory-chart .line")).to_have_attribute("d", re.compile(r"^M.*L"))
    expect(page.locator("#log div").last).to_have_text("line 199")


def test_a_vassal_that_is_not_there(open_page: Open, five_hundred: str) -> None:
    page = open_page(f"{five_hundred}#/vassal/%2Fnowhere/no.ini")
    expect(page.locator("#vassal-gone")).to_be_visible()
    expect(page.locator("#vassal-error")).to_have_text("no such vassal")


def test_the_log_is_searched_and_paused(open_page: Open, five_hundred: str) -> None:
    page = open_page(f"{five_hundred}#/vassal/%2Fetc%2Fuwsgi%2Fvassals/tenant-0.ini")
    expect(page.locator("#log div")).to_have_count(200)
    page.keyboard.press("/")
    page.keyboard.type("line 12")
    expect(page.locator("#log div:visible")).to_have_count(11)
    page.click("#log-pause")
    expect(page.locator("#log-pause")).to_have_text("Follow")


# --- commands --------------------------------------------------------------------------------------------------------


def test_without_a_token_nothing_can_be_commanded(open_page: Open, five_hundred: str) -> None:
    page = open_page(f"{five_hundred}#/vassal/%2Fetc%2Fuwsgi%2Fvassals/tenant-0.ini")
    expect(page.locator("#facts div").first).to_be_visible()
    expect(page.locator("#verbs button:visible")).to_have_count(0)
    page.click("#unlock")
    page.fill("#token", "wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#token-error")).to_have_text("The emperor does not accept this token.")
    page.keyboard.press("Escape")
    expect(page.locator("#verbs button:visible")).to_have_count(0)
    assert page.evaluate("sessionStorage.length") == 0


def test_commands_are_confirmed_by_name_and_answered(open_page: Open, five_hundred: str) -> None:
    page = open_page(f"{five_hundred}#/vassal/%2Fetc%2Fuwsgi%2Fvassals/tenant-0.ini")
    unlock(page)
    page.click("#verbs [data-verb=reload]")
    expect(page.locator("#confirm-title")).to_have_text("Reload tenant-0.ini?")
    page.keyboard.press("Escape")
    expect(page.locator("#notes li")).to_have_count(0)
    page.click("#verbs [data-verb=forgive]")
    page.click("#confirm-yes")
    expect(page.locator("#notes li")).to_contain_text("told to forgive")
    page.reload()
    expect(page.locator("#verbs button:visible")).to_have_count(5)
    page.click("#unlock")
    expect(page.locator("#verbs button:visible")).to_have_count(0)
    assert page.evaluate("sessionStorage.length") == 0


def unlock(page: Page, token: str = TOKEN) -> None:
    page.click("#unlock")
    page.fill("#token", token)
    page.keyboard.press("Enter")
    expect(page.locator("#unlock")).to_have_text("Lock")


# --- under way -------------------------------------------------------------------------------------------------------


def test_events_can_be_held_while_one_reads(open_page: Open, ten_thousand: str) -> None:
    page = open_page(ten_thousand)
    page.wait_for_selector("#events .event")
    page.click("#events-pause")
    expect(page.locator("#events-missed")).to_have_text(re.compile(r"^\d+ newer$"))
    read = page.locator("#events .event").all_inner_texts()[:5]  # rows out of sight come and go
    before = page.inner_text("#events-missed")
    expect(page.locator("#events-missed")).not_to_have_text(before)
    assert page.locator("#events .event").all_inner_texts()[:5] == read
    page.click("#events-pause")
    expect(page.locator("#events-missed")).to_be_empty()
    page.select_option("#events-level", "error")
    expect(page.locator("#events .event")).to_have_count(0)


def test_much_that_happens_leaves_nothing_behind(open_page: Open, ten_thousand: str) -> None:
    """Elements stay as few as they were, over some hundred events."""
    page = open_page(ten_thousand)
    page.wait_for_selector("#events .event")
    elements = []
    for _ in range(5):
        first = page.inner_text("#events .event")
        expect(page.locator("#events .event").first).not_to_have_text(first)
        page.click("#list-rows .row >> nth=3 >> a")
        expect(page.locator("#vassal")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#overview")).to_be_visible()
        elements.append(page.evaluate("document.querySelectorAll('*').length"))
    assert elements[-1] < elements[0] + 100
    assert page.evaluate("document.querySelector('#events-rows').offsetHeight") <= 1000 * 44
