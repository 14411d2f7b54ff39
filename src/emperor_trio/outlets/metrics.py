"""Metrics for Prometheus: what a scraper is given, kept up to date by the events of the bus.

Owns when and how the answer is made without holding up the loop. What is counted is :mod:`.metrics_tally`'s, which
metrics there are :mod:`.metrics_families`', how they are written :mod:`.metrics_text`'s.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from itertools import product
from typing import TYPE_CHECKING, Protocol

import trio

from emperor_trio.control.messages import State, state_of
from emperor_trio.errors import DriverMissing
from emperor_trio.masking import masked
from emperor_trio.model import VassalId
from emperor_trio.outlets.metrics_families import FAMILIES, PER_VASSAL
from emperor_trio.outlets.metrics_tally import Histogram, Tally
from emperor_trio.ports import MonitorStatistics, Subscription, VassalStatistics

if TYPE_CHECKING:
    from prometheus_client import Metric

FARE = 10.0
"""An answer serves every scraper for this many times what it took, so that scrapers cost a tenth of a core at most."""

OLDEST = 1.0
"""Seconds after which no answer is served any more, however long it took."""

CHUNK = 100
"""Vassals that are looked at, and events that are counted, before others get their turn; under a millisecond."""

LOOP_PERIOD = 1.0
"""Seconds between two looks at how late the loop is."""

STATES: dict[State, str] = {state: state.name.lower() for state in State}
"""The values of the label ``state``."""


class Empire(Protocol):
    """What this needs of an emperor."""

    def monitors(self) -> Sequence[MonitorStatistics]: ...

    def vassal(self, vassal: VassalId) -> VassalStatistics | None: ...

    def vassal_ids(self) -> Sequence[VassalId]: ...


class MetricsOutlet:
    """Counts the events of a subscription of its own, and renders metrics whenever :meth:`render` is called.

    With ``per_vassal`` each vassal has series of its own. ``dropped`` gives, by outlet, how many events each of the
    others lost so far; ``extra`` the values of metrics of :mod:`.metrics_families` that others know, by name.

    Raises :class:`~emperor_trio.errors.DriverMissing`, which says what to install, where prometheus_client is missing.
    """

    def __init__(
        self,
        events: Subscription,
        empire: Empire,
        *,
        per_vassal: bool = False,
        dropped: Mapping[str, Callable[[], int]] | None = None,
        extra: Mapping[str, Callable[[], float]] | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        try:
            from emperor_trio.outlets import metrics_text
        except ModuleNotFoundError as error:
            raise DriverMissing(
                f"--gateway: /metrics needs the Python module {error.name!r}, which is not installed: "
                "pip install 'emperor-trio[metrics]'"
            ) from error
        unknown = sorted((extra or {}).keys() - FAMILIES.keys())
        if unknown:
            raise ValueError(f"no such metric: {', '.join(unknown)}; it belongs into metrics_families.py")
        self._text = metrics_text
        self._process = metrics_text.OwnProcess()
        self._events = events
        self._empire = empire
        self._per_vassal = per_vassal
        self._dropped = dict(dropped or {})
        self._extra = dict(extra or {})
        self._wall = wall
        self._started = wall()
        self._version = version("emperor-trio")  # read now: later, the package's metadata may be closed to us
        self._tally = Tally((seen.name, metrics_text.label(masked(seen.name))) for seen in empire.monitors())
        self._loop = Histogram()
        self._rendering = trio.Lock()
        self._rendered: dict[bool, tuple[float, bytes]] = {}

    async def run(self) -> None:
        """Count until the subscription ends or this is cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_loop)
            number = 0
            async for occurrence in self._events:
                self._tally.take(occurrence)
                number += 1
                if number % CHUNK == 0:
                    await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

    async def _watch_loop(self) -> None:
        while True:
            due = trio.current_time() + LOOP_PERIOD
            await trio.sleep_until(due)
            self._loop.observe(trio.current_time() - due)

    # --- the answer ---

    async def render(self, accept: str = "") -> tuple[str, bytes]:
        """Content type and body for a scraper that sent this ``Accept`` header, as of now or of a moment ago."""
        openmetrics = self._text.wants_openmetrics(accept)
        async with self._rendering:
            good_until, body = self._rendered.get(openmetrics, (-1.0, b""))
            if trio.current_time() >= good_until:
                # Shielded: to end scrapers just before their answer would otherwise keep us rendering for nobody.
                with trio.CancelScope(shield=True):
                    body = await self._render_now(openmetrics)
        return (self._text.OPENMETRICS if openmetrics else self._text.PLAIN), body

    async def _render_now(self, openmetrics: bool) -> bytes:
        as_of, begun = trio.current_time(), time.perf_counter()
        states, vassals = await self._survey()
        parts = []
        for metric in [*self._metrics(states), *await self._own_process()]:
            parts.append(self._text.text(metric, openmetrics))
            await trio.lowlevel.checkpoint()
        for name, lines in vassals.items():
            parts += [self._text.head(name, openmetrics), *lines]
        body = b"".join([*parts, self._text.end(openmetrics)])
        took = time.perf_counter() - begun
        self._rendered[openmetrics] = as_of + min(took * FARE, OLDEST), body
        return body

    async def _own_process(self) -> Sequence[Metric]:
        try:
            return await trio.to_thread.run_sync(self._process.look)
        except RuntimeError:
            return ()  # the system has no room for a thread now

    async def _survey(self) -> tuple[Counter[tuple[str, ...]], dict[str, list[bytes]]]:
        """One walk past all vassals: how many are in which state, and with ``per_vassal`` the series of each."""
        label = self._tally.label
        states: Counter[tuple[str, ...]] = Counter()
        monitors = [label(seen.name) for seen in self._empire.monitors()]
        states.update(dict.fromkeys(product(monitors, STATES.values()), 0))
        series: dict[str, list[bytes]] = {name: [] for name in PER_VASSAL} if self._per_vassal else {}
        ids = self._empire.vassal_ids()
        for start in range(0, len(ids), CHUNK):
            lines = []
            for seen in filter(None, map(self._empire.vassal, ids[start : start + CHUNK])):
                monitor, state = label(seen.vassal.monitor), STATES[state_of(seen)]
                states[monitor, state] += 1
                if series:
                    lines.append(self._text.vassal_lines(seen, monitor, state))
            for name, column in zip(series, zip(*lines, strict=True), strict=False):
                series[name].append("".join(column).encode())
            await trio.lowlevel.checkpoint()
        return states, series

    def _metrics(self, states: Mapping[tuple[str, ...], float]) -> list[Metric]:
        """Everything but the series of single vassals and of the process."""
        values, times, tally, now = self._text.values, self._text.times, self._tally, self._wall()
        monitors = [(tally.label(seen.name), seen) for seen in self._empire.monitors()]
        found = [
            values("emperor_info", {(self._version,): 1}),
            values("emperor_start_time_seconds", {(): self._started}),
            values("emperor_vassals", states),
            values("emperor_monitor_up", {(name,): int(seen.healthy) for name, seen in monitors}),
            values(
                "emperor_monitor_lag_seconds",
                {(name,): 0.0 if seen.healthy else max(now - seen.since, 0.0) for name, seen in monitors},
            ),
            *(values(name, counts) for name, counts in tally.counters.items()),
        ]
        dropped: dict[tuple[str, ...], float] = {(name,): count() for name, count in self._dropped.items()}
        dropped["metrics",] = tally.dropped
        found += [
            values("emperor_events_dropped_total", dropped),
            times("emperor_change_to_action_seconds", {(action,): seen for action, seen in tally.reactions.items()}),
            times("emperor_change_to_ready_seconds", {(): tally.change_to_ready}),
            times("emperor_spawn_to_ready_seconds", {(): tally.spawn_to_ready}),
            times("emperor_loop_lateness_seconds", {(): self._loop}),
            *(values(name, {(): read()}) for name, read in self._extra.items()),
        ]
        return found
