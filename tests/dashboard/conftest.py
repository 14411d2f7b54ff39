"""Debian's Chromium, one for all tests of the dashboard, and pages in it that tolerate no error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.dashboard.stand_in import standing_in

CHROMIUM = "/usr/bin/chromium"
PATIENCE = 7_000
"""Milliseconds after which what a test waits for is taken to come never."""

LOST = "WebSocket connection to"
"""What Chromium itself says where nobody answers: right in tests that take the emperor away."""


@dataclass
class Complaints:
    """What the page's console said that it should not have."""

    allowed: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)

    def hear(self, text: str) -> None:
        if not any(allowed in text for allowed in self.allowed):
            self.found.append(text)


Open = Callable[..., Page]


@contextmanager
def a_browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=60_000)
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Headless. It ends with the package: Playwright's loop would be in the way of other tests."""
    with a_browser() as browser:
        yield browser


@pytest.fixture
def complaints() -> Complaints:
    return Complaints()


@pytest.fixture
def open_page(browser: Browser, complaints: Complaints) -> Iterator[Open]:
    """Opens an address in a window of its own. At the end, no window may have complained about anything."""
    with ExitStack() as stack:

        def open_page(url: str, *, live: bool = True, **window: Any) -> Page:
            context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **window})
            stack.callback(context.close)
            context.set_default_timeout(PATIENCE)
            page = context.new_page()
            page.on("console", lambda message: complaints.hear(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: complaints.hear(f"uncaught: {error}"))
            page.add_init_script(
                "addEventListener('securitypolicyviolation', e => console.error('CSP: ' + e.violatedDirective))"
            )
            page.goto(url)
            if live:
                page.wait_for_selector("html[data-connection=live]")
            return page

        yield open_page
    assert complaints.found == []


@pytest.fixture(scope="package")
def five_hundred() -> Iterator[str]:
    with standing_in(500) as url:
        yield url


@pytest.fixture(scope="package")
def ten_thousand() -> Iterator[str]:
    """With a hundred events a second."""
    with standing_in(10_000, 100) as url:
        yield url
