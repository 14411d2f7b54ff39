"""Every metric there is: its name, kind, labels and what it says. ``docs/metrics.md`` has this table for people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What Prometheus is told that a metric is."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. ``when`` is what it takes for it to be there, "" where it always is."""

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()
    when: str = ""


_PER_VASSAL = "--metrics-per-vassal"
_CONTROL = "--control"
_VASSAL = ("monitor", "vassal", "zerg")

_DECLARED = (
    Family("emperor_info", Kind.INFO, "The emperor's version.", ("version",)),
    Family("emperor_start_time_seconds", Kind.GAUGE, "When the emperor began, in seconds since the epoch."),
    # --- what is ---
    Family("emperor_vassals", Kind.GAUGE, "Vassals and zergs by what they are doing.", ("monitor", "state")),
    Family("emperor_monitor_up", Kind.GAUGE, "1 while the monitor can read its source, else 0.", ("monitor",)),
    Family(
        "emperor_monitor_lag_seconds",
        Kind.GAUGE,
        "For how long the monitor has had no answer from its source; 0 while it has.",
        ("monitor",),
    ),
    # --- what happened ---
    Family("emperor_spawns_total", Kind.COUNTER, "Processes that were started.", ("monitor",)),
    Family(
        "emperor_spawn_failures_total",
        Kind.COUNTER,
        "Starts that came to no process; of one cause in a row only the first counts.",
        ("monitor",),
    ),
    Family("emperor_reloads_total", Kind.COUNTER, "Reloads that were sent to vassals.", ("monitor",)),
    Family("emperor_stops_total", Kind.COUNTER, "Vassals that were told to stop.", ("monitor",)),
    Family("emperor_kills_total", Kind.COUNTER, "SIGKILLs to vassals.", ("monitor",)),
    Family("emperor_deaths_total", Kind.COUNTER, "Processes that ended, by why.", ("monitor", "reason")),
    Family(
        "emperor_blacklistings_total",
        Kind.COUNTER,
        "Deaths before loyalty, each of which delays the next start.",
        ("monitor",),
    ),
    Family("emperor_exiles_total", Kind.COUNTER, "Vassals that asked to stay away.", ("monitor",)),
    Family("emperor_failed_total", Kind.COUNTER, "Vassals that were given up for restarting too often.", ("monitor",)),
    Family("emperor_refusals_total", Kind.COUNTER, "Entries of sources that are wrong or not allowed.", ("monitor",)),
    Family(
        "emperor_monitor_failures_total",
        Kind.COUNTER,
        "Failures of a monitor's source; of one cause in an outage only the first counts.",
        ("monitor",),
    ),
    Family("emperor_events_total", Kind.COUNTER, "Everything that happened, by the event's class.", ("event",)),
    Family(
        "emperor_events_dropped_total",
        Kind.COUNTER,
        "Events that an outlet did not take fast enough and lost.",
        ("outlet",),
    ),
    # --- how long it took ---
    Family(
        "emperor_change_to_action_seconds",
        Kind.HISTOGRAM,
        "From a change, a command or a first connection to what is done about it.",
        ("action",),
    ),
    Family(
        "emperor_change_to_ready_seconds",
        Kind.HISTOGRAM,
        "From a change, a command or a first connection until the vassal runs with it.",
    ),
    Family("emperor_spawn_to_ready_seconds", Kind.HISTOGRAM, "From the start of a process until it is ready."),
    Family(
        "emperor_loop_lateness_seconds",
        Kind.HISTOGRAM,
        "How late the emperor's loop woke up, looked at once a second.",
    ),
    # --- who looks on ---
    Family("emperor_control_clients", Kind.GAUGE, "Clients of the control channel.", when=_CONTROL),
    Family(
        "emperor_control_events_dropped_total",
        Kind.COUNTER,
        "Events that clients of the control channel lost, not taking them fast enough.",
        when=_CONTROL,
    ),
    # --- each vassal ---
    Family(
        "emperor_vassal_state", Kind.GAUGE, "1 for the state that the vassal is in.", (*_VASSAL, "state"), _PER_VASSAL
    ),
    Family(
        "emperor_vassal_since_timestamp_seconds",
        Kind.GAUGE,
        "When the vassal began what it is doing, in seconds since the epoch.",
        _VASSAL,
        _PER_VASSAL,
    ),
    Family(
        "emperor_vassal_restarts_total",
        Kind.COUNTER,
        "Processes of the vassal that came after its first one.",
        _VASSAL,
        _PER_VASSAL,
    ),
    Family(
        "emperor_vassal_exit_code",
        Kind.GAUGE,
        "How the vassal's last process ended: its exit code, −N for signal N; not there before the first end.",
        _VASSAL,
        _PER_VASSAL,
    ),
)

FAMILIES: dict[str, Family] = {family.name: family for family in _DECLARED}
"""By name, in the order in which they are shown."""

PER_VASSAL: tuple[str, ...] = tuple(family.name for family in _DECLARED if family.when == _PER_VASSAL)
"""Those with a series for each vassal."""

PROCESS = {
    "process_cpu_seconds_total": "Processor time of the emperor's own process.",
    "process_resident_memory_bytes": "Memory of the emperor's own process.",
    "process_virtual_memory_bytes": "Its address space.",
    "process_open_fds": "Its descriptors in use.",
    "process_max_fds": "The most descriptors it may use.",
    "process_start_time_seconds": "When it was started, in seconds since the epoch.",
}
"""What prometheus_client tells of the emperor's process."""
