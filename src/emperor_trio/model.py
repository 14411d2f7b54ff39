"""The nouns of an empire: who a vassal is, what it should be, and what a monitor saw.

Everything here is frozen, slotted and free of I/O, so that it can pass between actors. What a vassal *is doing* lives
in :mod:`emperor_trio.law`; what *happened* lives in :mod:`emperor_trio.events`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

CONFIG_OPTIONS = {
    ".xml": "--xml",
    ".ini": "--ini",
    ".yml": "--yaml",
    ".yaml": "--yaml",
    ".json": "--json",
    ".js": "--json",
}
"""The extensions that uWSGI's Emperor takes for a config, and the option that the vassal is started with."""

EXTRA_OPTION = "--config"
"""The option for an extension that was added by ``--emperor-extra-extension``."""

MAX_NAME = 255
"""Names of this many bytes or more are not taken (uWSGI's own limit)."""

MAX_CONFIG = 65_535
"""The largest config, in bytes, that one chunk of the config pipe can carry."""

NOBODY = 2**32 - 1
"""The number that is no user's and no group's: to the system it means "leave it as it is"."""

NAMESPACES = {
    "fs": "mount", "ns": "mount", "mnt": "mount", "mount": "mount",
    "ipc": "ipc", "net": "net", "pid": "pid", "uts": "uts", "user": "user",
}  # fmt: skip
"""What ``--emperor-use-clone`` may name, in uWSGI's spellings, and the namespace of Linux that each of them is."""

CAPABILITIES = (
    "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
    "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner",
    "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice",
    "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap",
    "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf",
    "checkpoint_restore",
)  # fmt: skip
"""Linux' capabilities in uWSGI's spelling, each at the place of its number."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom a vassal runs as, in Tyrant mode: the numeric user and group."""

    uid: int
    gid: int

    def __str__(self) -> str:
        return f"{self.uid}:{self.gid}"


@dataclass(frozen=True, slots=True, order=True)
class VassalId:
    """What makes a vassal the same one: its monitor, its name there, and its ordinal (0; 1 and up for its zergs)."""

    monitor: str
    name: str
    ordinal: int = 0

    def __str__(self) -> str:
        return f"{self.name}:zerg#{self.ordinal}" if self.ordinal else self.name


@dataclass(frozen=True, slots=True)
class VassalSpec:
    """One vassal as its source describes it.

    ``version`` is compared for equality only: any other number is a changed config. ``modified`` is the time of the
    config in whole seconds since the epoch, for people and statistics. ``config`` is sent over the config pipe; where
    it is ``None`` the vassal reads its file itself. ``socket`` is the address of an on-demand vassal (``host:port``,
    ``:port`` or a path); with ``ask_socket`` it is still to be asked for with ``--emperor-on-demand-exec``.
    ``directory`` is the folder the vassal starts in (``None``: the emperor's own). ``executable`` says that the file
    itself is to be executed for its config (``--emperor-magic-exec``). ``attributes`` are what else its source says of
    it, by name and value (``--emperor-collect-attribute``).
    """

    name: str
    version: int
    modified: int = 0
    config: bytes | None = None
    owner: Owner | None = None
    socket: str | None = None
    ask_socket: bool = False
    directory: str | None = None
    executable: bool = False
    attributes: tuple[tuple[str, str], ...] = ()

    @property
    def on_demand(self) -> bool:
        """Whether the vassal waits for a first connection (as far as is known before the socket was asked for)."""
        return self.socket is not None or self.ask_socket


@dataclass(frozen=True, slots=True)
class Desired:
    """What the supervisor wants of one vassal: the newest, never a history.

    ``spec`` is ``None`` where the vassal must go. ``revision`` rises with every reason to reload, ``life`` wherever the
    process must be another one. Both only ever rise. ``why`` it must go is for people. ``held`` is why there must be no
    process though its source wants one, "" where there may be.
    """

    spec: VassalSpec | None
    revision: int = 0
    life: int = 0
    why: str = "it is not wanted any more"
    held: str = ""


class Verb(Enum):
    """What an operator can command of single vassals."""

    RELOAD = "reload"
    RESTART = "restart"
    STOP = "stop"
    START = "start"
    FORGIVE = "forgive"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a command for one vassal: with ``ok`` it is carried out, or is so already; ``text`` says which.

    ``revision`` is the one that the vassal then has to reach, 0 where there is none to wait for.
    """

    vassal: VassalId
    ok: bool
    text: str
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a source holds, successfully read. A vassal of this monitor that is missing in it is gone; of several
    entries of one name the last one counts, and that is told of."""

    specs: tuple[VassalSpec, ...]


@dataclass(frozen=True, slots=True)
class Touch:
    """One vassal was added, or may have changed. With ``force`` it is reloaded though its version is the same."""

    spec: VassalSpec
    force: bool = False


@dataclass(frozen=True, slots=True)
class Destroy:
    """One vassal was removed at its source."""

    name: str


Observation = Snapshot | Touch | Destroy


def config_option(name: str, extra: frozenset[str] = frozenset()) -> str | None:
    """The option (``--ini``, …) that a vassal of this name is started with, or ``None`` where the name is no vassal's.

    ``extra`` holds the extensions added by ``--emperor-extra-extension``, compared as endings, as uWSGI does.
    """
    if len(name.encode("utf-8", "surrogateescape")) >= MAX_NAME:
        return None
    for extension, option in CONFIG_OPTIONS.items():
        if name.endswith(extension):
            return option
    return EXTRA_OPTION if any(extension and name.endswith(extension) for extension in extra) else None
