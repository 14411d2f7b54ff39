"""``python -m benchmarks.dashboard``: what the dashboard costs a browser, over empires made up for it.

For each size: the time to the first paint and to all vassals shown, frames a second while events arrive, and the heap
of the page after minutes of them. Needs Chromium, as the tests do.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

from playwright.sync_api import Browser, CDPSession, Page

from tests.dashboard.conftest import a_browser
from tests.dashboard.stand_in import standing_in

WINDOW = {"width": 1440, "height": 900}

WHOLE = """window.whole = new Promise((resolve) => {
  const look = () => {
    if (document.querySelector("#total")?.textContent.replace(",", "") === "SIZE") resolve(performance.now());
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})"""
"""When all vassals are counted in the page, ``SIZE`` of them."""

PAINT = """new Promise((resolve) => new PerformanceObserver((list) =>
  list.getEntriesByName("first-contentful-paint").forEach((entry) => resolve(entry.startTime))
).observe({ type: "paint", buffered: true }))"""

FRAMES = """(seconds) => new Promise((resolve) => {
  const began = performance.now(), gaps = [];
  let before = began;
  const frame = (now) => {
    gaps.push(now - before);
    before = now;
    if (now - began < seconds * 1000) requestAnimationFrame(frame);
    else resolve([gaps.length / ((now - began) / 1000), gaps.sort((a, b) => a - b)[Math.floor(gaps.length * 0.99)]]);
  };
  requestAnimationFrame(frame);
})"""


@dataclass(frozen=True, slots=True)
class Figures:
    """Times in milliseconds, heaps in MiB, ``busy`` the share of time in which the page computes."""

    size: int
    paint: float
    whole: float
    frames: float
    slow: float
    busy: float
    heaps: list[float]
    elements: int


def measure(browser: Browser, size: int, rate: float, minutes: float) -> Figures:
    with standing_in(size, rate) as url:
        context = browser.new_context(viewport=WINDOW)  # type: ignore[arg-type]
        page = context.new_page()
        page.add_init_script(WHOLE.replace("SIZE", str(size)))
        page.goto(url)
        whole, paint = page.evaluate("whole"), page.evaluate(PAINT)
        session = context.new_cdp_session(page)
        session.send("Performance.enable")
        before, began = computed(session), time.monotonic()
        frames, slow = page.evaluate(FRAMES, 10)
        busy = (computed(session) - before) / (time.monotonic() - began)
        heaps = [heap(session)]
        until = time.monotonic() + 60 * minutes
        while (left := until - time.monotonic()) > 0:
            page.wait_for_timeout(min(60.0, left) * 1000)
            heaps.append(heap(session))
        elements = int(page.evaluate("document.querySelectorAll('*').length"))
        check(page)
        context.close()
    return Figures(size, paint, whole, frames, slow, busy, heaps, elements)


def computed(session: CDPSession) -> float:
    metrics = {entry["name"]: entry["value"] for entry in session.send("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"])


def heap(session: CDPSession) -> float:
    session.send("HeapProfiler.collectGarbage")
    return float(session.send("Runtime.getHeapUsage")["usedSize"]) / 2**20


def check(page: Page) -> None:
    if page.get_attribute("html", "data-connection") != "live":
        raise SystemExit("the connection was lost under way: these figures mean nothing")


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.dashboard", description=__doc__)
    parser.add_argument("--sizes", nargs="+", type=int, default=[5, 500, 10_000])
    parser.add_argument("--rate", type=float, default=100.0, help="events a second (100)")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long the heap is watched (10)")
    options = parser.parse_args()
    heads = (
        "vassals",
        "first paint",
        "all shown",
        "frames/s",
        "99 % of frames within",
        "busy",
        "heap, MiB",
        "elements",
    )
    print(f"| {' | '.join(heads)} |")
    print("|---:|---:|---:|---:|---:|---:|---|---:|")
    with a_browser() as browser:
        for size in options.sizes:
            f = measure(browser, size, options.rate, options.minutes)
            heaps = " ".join(f"{value:.1f}" for value in f.heaps)
            print(
                f"| {f.size:,} | {f.paint:.0f} ms | {f.whole:.0f} ms | {f.frames:.0f} | {f.slow:.0f} ms |"
                f" {100 * f.busy:.0f} % | {heaps} | {f.elements} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
