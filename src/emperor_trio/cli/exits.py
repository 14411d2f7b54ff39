"""The exit codes of every command, in one place, and the error that stands for the one of commands to an emperor."""

from __future__ import annotations

from emperor_trio.errors import ControlError

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NO_EMPEROR = 3
EXIT_INTERRUPTED = 130

MEANINGS = {
    EXIT_OK: "all is as asked",
    EXIT_FAILED: "something failed, or there is no such vassal or monitor",
    EXIT_USAGE: "the command line is wrong",
    EXIT_NO_EMPEROR: "no emperor answers",
    EXIT_INTERRUPTED: "ended by Ctrl-C",
}
"""What ``--help`` of the commands to a running emperor says of them."""


class NoEmperor(ControlError):
    """No emperor answers on the control channel: :data:`EXIT_NO_EMPEROR`. The text says how to find or start one."""
