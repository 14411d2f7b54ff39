"""One tree of errors. Each text says what is wrong, where, and what to do about it."""

from __future__ import annotations


class EmperorError(Exception):
    """Anything that emperor-trio raises on purpose."""


class UsageError(EmperorError):
    """The command line or the emperor's own config is wrong: exit code 2.

    The text names the file (where there is one), the option and the value, and the way out.
    """


class MonitorError(EmperorError):
    """A source can't be read now. Nothing changes; the monitor is tried again."""


class DriverMissing(UsageError):
    """A monitor's driver is not installed; the text has the command that installs it."""


class SpawnError(EmperorError):
    """A vassal could not be started, and would not be next time either: it counts as a death before loyalty."""


class SpawnDeferred(SpawnError):
    """The system has no room for one more process now (EAGAIN, EMFILE, ENFILE, ENOMEM): tried again, blames nobody."""


class ListenError(SpawnError):
    """The socket of an on-demand vassal can't be bound. The text names the address and the reason."""


class ControlError(EmperorError):
    """The control channel: no emperor answers there, it refuses, or a message is not understood."""
