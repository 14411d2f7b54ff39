"""Metrics as text, in either of the formats that Prometheus reads. The only place that knows prometheus_client.

Names come from tenants: whatever they hold, one is told from another and none breaks the text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import Metric, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.exposition import generate_latest as plain_text
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_text

from emperor_trio.outlets.metrics_families import FAMILIES, Family, Kind
from emperor_trio.outlets.metrics_tally import BUCKETS, Histogram
from emperor_trio.ports import VassalStatistics

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_END = b"# EOF\n"


def wants_openmetrics(accept: str) -> bool:
    """Whether the value of an ``Accept`` header names that format."""
    return any(part.partition(";")[0].strip().lower() == "application/openmetrics-text" for part in accept.split(","))


def label(text: str) -> str:
    """Text as the value of a label: what is no plain character is spelled, so that no two texts are spelled alike.

    Bytes that are no UTF-8 as ``\\xNN``, other characters that can't be shown as ``\\uNNNN``, a backslash doubled.
    """
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(c if c.isprintable() and c != "\\" else _spelled(c) for c in text)


def _spelled(character: str) -> str:
    code = ord(character)
    if character == "\\":
        return "\\\\"
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def values(name: str, series: Mapping[tuple[str, ...], float]) -> Metric:
    """A counter, gauge or info, by the values of its labels."""
    family = FAMILIES[name]
    metric = _empty(family)
    for labels, value in series.items():
        if isinstance(metric, InfoMetricFamily):
            metric.add_metric((), dict(zip(family.labels, labels, strict=True)))
        else:
            metric.add_metric(labels, value)
    return metric


def times(name: str, series: Mapping[tuple[str, ...], Histogram]) -> Metric:
    """A histogram, by the values of its labels."""
    family = FAMILIES[name]
    metric = HistogramMetricFamily(family.name, family.text, labels=family.labels)
    for labels, histogram in series.items():
        metric.add_metric(labels, list(_cumulated(histogram)), histogram.total)
    return metric


def _cumulated(histogram: Histogram) -> Iterator[tuple[str, float]]:
    so_far = 0
    for bound, count in zip((*BUCKETS, None), histogram.counts, strict=True):
        so_far += count
        yield ("+Inf" if bound is None else str(bound)), so_far


def _empty(family: Family) -> CounterMetricFamily | GaugeMetricFamily | InfoMetricFamily:
    match family.kind:
        case Kind.COUNTER:
            return CounterMetricFamily(family.name, family.text, labels=family.labels)
        case Kind.INFO:
            return InfoMetricFamily(family.name.removesuffix("_info"), family.text)
        case _:
            return GaugeMetricFamily(family.name, family.text, labels=family.labels)


def head(name: str, openmetrics: bool) -> bytes:
    """The lines before the series of a metric."""
    return text(_empty(FAMILIES[name]), openmetrics)


def text(metric: Metric, openmetrics: bool) -> bytes:
    """One metric, whole."""
    encode: Callable[..., bytes] = openmetrics_text if openmetrics else plain_text
    return encode(_One(metric)).removesuffix(_END)


def end(openmetrics: bool) -> bytes:
    """What comes last of all."""
    return _END if openmetrics else b""


def vassal_lines(seen: VassalStatistics, monitor: str, state: str) -> tuple[str, ...]:
    """One vassal's series, a line for each of PER_VASSAL in that order, "" where it has none.

    By hand: prometheus_client takes ten times as long for a line. ``monitor`` is a label's value already.
    """
    vassal = seen.vassal
    labels = (
        f"monitor={_quoted(monitor)},vassal={_quoted(label(vassal.name))},zerg={_quoted(str(vassal.ordinal or ''))}"
    )
    return (
        f'emperor_vassal_state{{{labels},state="{state}"}} 1\n',
        f"emperor_vassal_since_timestamp_seconds{{{labels}}} {seen.since}\n",
        f"emperor_vassal_restarts_total{{{labels}}} {max(seen.generation - 1, 0)}\n",
        "" if seen.exit_code is None else f"emperor_vassal_exit_code{{{labels}}} {seen.exit_code}\n",
    )


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'  # a line's end is in no label's value


class _One:
    """What prometheus_client takes for a registry."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        return (self._metric,)


class OwnProcess:
    """Of the emperor's own process: processor time, memory, descriptors. Nothing of prometheus_client's is shared."""

    def __init__(self) -> None:
        self._collector = ProcessCollector(registry=None)

    def look(self) -> Sequence[Metric]:
        """Reads ``/proc``, which takes milliseconds where there are many descriptors: not for the loop."""
        return list(self._collector.collect())
