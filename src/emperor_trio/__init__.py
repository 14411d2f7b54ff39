"""emperor-trio: an Emperor for vassals, on Trio.

Run one inside your own nursery::

    emperor = await nursery.start(make_emperor(Settings(emperor=("/srv/vassals",))).run)

The names are loaded when first used, so that the command line does not pay for what it does not need.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emperor_trio.actors.bus import Subscriber
    from emperor_trio.actors.emperor import Emperor
    from emperor_trio.actors.supervisor import Command, Policy
    from emperor_trio.app import make_emperor
    from emperor_trio.errors import DriverMissing, EmperorError, MonitorError, UsageError
    from emperor_trio.model import Destroy, Observation, Owner, Snapshot, Touch, VassalId, VassalSpec
    from emperor_trio.ports import EmperorStatistics, Monitor, MonitorContext, Occurrence
    from emperor_trio.settings import Settings

_HOMES = {
    "Command": "actors.supervisor",
    "Destroy": "model",
    "DriverMissing": "errors",
    "Emperor": "actors.emperor",
    "EmperorError": "errors",
    "EmperorStatistics": "ports",
    "Monitor": "ports",
    "MonitorContext": "ports",
    "MonitorError": "errors",
    "Observation": "model",
    "Occurrence": "ports",
    "Owner": "model",
    "Policy": "actors.supervisor",
    "Settings": "settings",
    "Snapshot": "model",
    "Subscriber": "actors.bus",
    "Touch": "model",
    "UsageError": "errors",
    "VassalId": "model",
    "VassalSpec": "model",
    "make_emperor": "app",
}

__all__ = [
    "Command",
    "Destroy",
    "DriverMissing",
    "Emperor",
    "EmperorError",
    "EmperorStatistics",
    "Monitor",
    "MonitorContext",
    "MonitorError",
    "Observation",
    "Occurrence",
    "Owner",
    "Policy",
    "Settings",
    "Snapshot",
    "Subscriber",
    "Touch",
    "UsageError",
    "VassalId",
    "VassalSpec",
    "make_emperor",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
