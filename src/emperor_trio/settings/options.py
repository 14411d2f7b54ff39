"""The declaration of all options: name, kind of value, default, group and help, each once.

How a value is read is in :mod:`emperor_trio.settings.values`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeVar

import attrs

from emperor_trio.settings import values
from emperor_trio.settings.values import Kind, Priority

T = TypeVar("T")


class Group(Enum):
    """The chapters of ``--help``, in their order."""

    MONITORS = "What to watch"
    SOURCES = "Sources on other servers"
    START = "How vassals are started"
    CONFIG = "What is added to vassals' configs"
    LAW = "When vassals die, hang, reload and stop"
    TYRANT = "Whom vassals run as"
    ON_DEMAND = "Vassals on demand"
    HOOKS = "Hooks"
    REPORT = "Log and statistics"
    CONTROL = "Seen and steered"
    SELF = "The emperor's own process"
    FILES = "The emperor's own config"
    SHOW = "Look, and leave"
    NO_EFFECT = "Taken for uWSGI's sake, without effect"


@dataclass(frozen=True, slots=True)
class Option:
    """One option. ``name`` and ``aliases`` are written without dashes; ``short`` is uWSGI's one letter, if any.

    ``many`` says that it may be given many times: the attribute is then a tuple of all values in their order, otherwise
    the last one counts. ``ours`` says that uWSGI has no such option.
    """

    name: str
    kind: Kind
    group: Group
    help: str
    default: object = None
    aliases: tuple[str, ...] = ()
    short: str = ""
    many: bool = False
    ours: bool = False

    @property
    def attribute(self) -> str:
        """The attribute of :class:`Settings` that holds it."""
        return self.name.replace("-", "_")

    @property
    def is_setting(self) -> bool:
        """Whether it has an attribute in :class:`Settings`, and is no directive."""
        return self.group not in (Group.FILES, Group.SHOW)


def option(
    default: T,
    kind: Kind,
    group: Group,
    help: str,  # noqa: A002
    *,
    aliases: tuple[str, ...] = (),
    short: str = "",
    many: bool = False,
    ours: bool = False,
) -> T:
    """Declare an attribute of :class:`Settings` as an option, named as the attribute with dashes."""
    declared = Option("", kind, group, help, default, aliases, short, many, ours)
    return attrs.field(default=default, metadata={Option: declared})


@attrs.frozen(kw_only=True)
class Settings:
    """All options of one emperor, with their defaults; each in its own unit (see :attr:`Option.kind`).

    ``ignored`` names the options of uWSGI that were given and mean nothing here, for one warning at the start.
    """

    ignored: tuple[str, ...] = ()

    # --- what to watch -----------------------------------------------------------------------------------------------
    emperor: tuple[str, ...] = option(
        (), values.MONITOR, Group.MONITORS, many=True,
        help="A folder, a pattern such as '/srv/*/uwsgi.ini', or SCHEME://… to take vassals from.",
    )  # fmt: skip
    emperor_freq: float = option(
        3.0, values.POSITIVE_SECONDS, Group.MONITORS,
        help="Time between two scans of a source that can't announce its changes.",
    )  # fmt: skip
    emperor_nofollow: bool = option(
        False, values.FLAG, Group.MONITORS,
        help="Take a link's own times, not those of the file it points at.",
    )  # fmt: skip
    emperor_extra_extension: tuple[str, ...] = option(
        (), values.TEXT, Group.MONITORS, many=True, aliases=("emperor-extra-ext",),
        help="Take files with this ending for vassals, too; they are started with --config.",
    )  # fmt: skip
    emperor_magic_exec: bool = option(
        False, values.FLAG, Group.MONITORS,
        help="Run a vassal's file where it is executable, and take what it prints for its config.",
    )  # fmt: skip
    emperor_priority: tuple[Priority, ...] = option(
        (), values.PRIORITY, Group.MONITORS, many=True, ours=True,
        help="Start order: vassals whose name matches PATTERN get the number N. Lower numbers start first, 0 is the"
        " default, N may be negative; the first pattern that matches counts, and names decide among equals.",
    )  # fmt: skip

    # --- sources on other servers ------------------------------------------------------------------------------------
    emperor_state: str | None = option(
        None, values.FILE, Group.SOURCES, ours=True,
        help="Keep vassals that are known only from messages (amqp://, zmq://) in FILE, so that they come back when the"
        " emperor is started again.",
    )  # fmt: skip
    emperor_http_host: tuple[str, ...] = option(
        (), values.HTTP_HOST, Group.SOURCES, many=True, ours=True,
        help="Fetch configs by HTTP from this host only: HOST, HOST:PORT or *.DOMAIN. Without it, from any host.",
    )  # fmt: skip
    emperor_http_timeout: float = option(
        10.0, values.POSITIVE_SECONDS, Group.SOURCES, ours=True,
        help="How long fetching a config by HTTP may take.",
    )  # fmt: skip
    emperor_ldap_bind_dn: str | None = option(
        None, values.TEXT, Group.SOURCES, ours=True,
        help="Log in to LDAP servers as this entry; without it, anonymously.",
    )  # fmt: skip
    emperor_ldap_password_file: str | None = option(
        None, values.FILE, Group.SOURCES, ours=True,
        help="The file that holds the password for --emperor-ldap-bind-dn.",
    )  # fmt: skip
    emperor_ldap_starttls: bool = option(
        False, values.FLAG, Group.SOURCES, ours=True,
        help="Encrypt connections to ldap:// servers, and refuse those that can't.",
    )  # fmt: skip
    emperor_zmq_curve_key: str | None = option(
        None, values.FILE, Group.SOURCES, ours=True,
        help="Let zmq:// take encrypted commands only; FILE is the secret certificate of the emperor.",
    )  # fmt: skip
    emperor_zmq_curve_clients: str | None = option(
        None, values.DIRECTORY, Group.SOURCES, ours=True,
        help="The folder with the public certificates of those whose commands are taken; without it, anyone's are who"
        " knows the emperor's public key.",
    )  # fmt: skip

    # --- how vassals are started -------------------------------------------------------------------------------------
    binary_path: str | None = option(
        None, values.FILE, Group.START,
        help="The uwsgi binary. Default: uwsgi in PATH, else the one beside the running Python.",
    )  # fmt: skip
    emperor_wrapper: str | None = option(
        None, values.FILE, Group.START,
        help="A program that is started in place of the uwsgi binary, with the same arguments.",
    )  # fmt: skip
    emperor_wrapper_override: tuple[str, ...] = option(
        (), values.FILE, Group.START, many=True,
        help="A program to try before --emperor-wrapper and the uwsgi binary, in the order given.",
    )  # fmt: skip
    emperor_wrapper_fallback: tuple[str, ...] = option(
        (), values.FILE, Group.START, many=True,
        help="A program to try where all others can't be executed, in the order given.",
    )  # fmt: skip
    emperor_max_starting: int = option(
        0, values.COUNT, Group.START, ours=True,
        help="Hold further starts back while this many vassals are starting; 0 holds none back.",
    )  # fmt: skip
    emperor_broodlord: int = option(
        0, values.COUNT, Group.START,
        help="Grant up to this many reinforcements (zergs) to vassals that ask for them; 0 grants none.",
    )  # fmt: skip
    emperor_use_clone: tuple[str, ...] = option(
        (), values.NAMESPACE_LIST, Group.START, many=True,
        help="Start vassals in namespaces of their own: fs, ipc, net, pid, uts, user.",
    )  # fmt: skip
    emperor_subreaper: bool = option(
        False, values.FLAG, Group.START,
        help="Adopt the orphaned processes that vassals leave behind.",
    )  # fmt: skip
    env: tuple[str, ...] = option(
        (), values.ENVIRONMENT, Group.START, many=True, aliases=("ienv",),
        help="Set a variable of the emperor's environment, which vassals inherit; without '=' remove it.",
    )  # fmt: skip

    # --- what is added to vassals' configs ---------------------------------------------------------------------------
    vassals_inherit: tuple[str, ...] = option(
        (), values.FILE, Group.CONFIG, many=True,
        help="Give every vassal --inherit FILE after its own config.",
    )  # fmt: skip
    vassals_inherit_before: tuple[str, ...] = option(
        (), values.FILE, Group.CONFIG, many=True,
        help="Give every vassal --inherit FILE before its own config.",
    )  # fmt: skip
    vassals_include: tuple[str, ...] = option(
        (), values.FILE, Group.CONFIG, many=True,
        help="Give every vassal --include FILE after its own config.",
    )  # fmt: skip
    vassals_include_before: tuple[str, ...] = option(
        (), values.FILE, Group.CONFIG, many=True,
        help="Give every vassal --include FILE before its own config.",
    )  # fmt: skip
    vassal_set: tuple[str, ...] = option(
        (), values.PAIR, Group.CONFIG, many=True, aliases=("vassals-set",),
        help="Give every vassal --set NAME=VALUE.",
    )  # fmt: skip

    # --- when vassals die, hang, reload and stop ---------------------------------------------------------------------
    emperor_throttle: int = option(
        1000, values.MILLISECONDS, Group.LAW,
        help="A vassal that keeps dying before it was loyal waits this much longer before each further start.",
    )  # fmt: skip
    emperor_max_throttle: int = option(
        180_000, values.MILLISECONDS, Group.LAW,
        help="The longest such wait.",
    )  # fmt: skip
    emperor_no_blacklist: bool = option(
        False, values.FLAG, Group.LAW,
        help="Start dying vassals again at once, always; only a start that came to no process waits a second.",
    )  # fmt: skip
    emperor_max_restarts: int = option(
        0, values.COUNT, Group.LAW, ours=True,
        help="Park a vassal as failed after this many restarts within --emperor-restart-window; 0 never parks.",
    )  # fmt: skip
    emperor_restart_window: float = option(
        60.0, values.POSITIVE_SECONDS, Group.LAW, ours=True,
        help="The time over which --emperor-max-restarts counts.",
    )  # fmt: skip
    emperor_required_heartbeat: float = option(
        30.0, values.POSITIVE_SECONDS, Group.LAW,
        help="Kill and restart a vassal whose heartbeat, once begun, is missing for this long.",
    )  # fmt: skip
    emperor_curse_tolerance: float = option(
        30.0, values.SECONDS, Group.LAW,
        help="Kill a vassal that is still there this long after it was told to stop or closed its pipe.",
    )  # fmt: skip
    emperor_reload_tolerance: float = option(
        10.0, values.POSITIVE_SECONDS, Group.LAW, ours=True,
        help="How long a reload may stay unacknowledged before the next one may follow.",
    )  # fmt: skip
    emperor_graceful_shutdown: bool = option(
        False, values.FLAG, Group.LAW,
        help="Let vassals finish their requests when the emperor stops.",
    )  # fmt: skip
    reload_mercy: float = option(
        30.0, values.POSITIVE_SECONDS, Group.LAW,
        help="When the emperor stops, kill what is left after this long.",
    )  # fmt: skip

    # --- whom vassals run as -----------------------------------------------------------------------------------------
    emperor_tyrant: bool = option(
        False, values.FLAG, Group.TYRANT,
        help="Run each vassal as the user and group that own its config, never as root.",
    )  # fmt: skip
    emperor_tyrant_nofollow: bool = option(
        False, values.FLAG, Group.TYRANT,
        help="Of a link, take its own owner, not that of the file it points at.",
    )  # fmt: skip
    emperor_tyrant_initgroups: bool = option(
        False, values.FLAG, Group.TYRANT,
        help="Give vassals the further groups of their user; without, they have none.",
    )  # fmt: skip
    emperor_cap: tuple[str, ...] = option(
        (), values.CAPABILITY_LIST, Group.TYRANT, aliases=("vassal-cap", "vassals-cap"),
        help="The capabilities that vassals keep, by name or number.",
    )  # fmt: skip

    # --- vassals on demand -------------------------------------------------------------------------------------------
    emperor_on_demand_extension: str | None = option(
        None, values.TEXT, Group.ON_DEMAND, aliases=("emperor-on-demand-ext",),
        help="Where a file named as the vassal plus this ending exists, it holds the socket to wait on.",
    )  # fmt: skip
    emperor_on_demand_directory: str | None = option(
        None, values.DIRECTORY, Group.ON_DEMAND, aliases=("emperor-on-demand-dir",),
        help="Wait for each vassal on DIR/NAME.socket, NAME without its extension.",
    )  # fmt: skip
    emperor_on_demand_exec: str | None = option(
        None, values.COMMAND, Group.ON_DEMAND,
        help="Run this, with the vassal's name as argument, and wait on the socket that it prints.",
    )  # fmt: skip
    chmod_socket: int | None = option(
        None, values.MODE, Group.ON_DEMAND, aliases=("chmod",), short="C",
        help="The mode of the emperor's unix sockets; without MODE, 666. Default: 666 on demand, else the umask's.",
    )  # fmt: skip
    chown_socket: str | None = option(
        None, values.OWNER, Group.ON_DEMAND,
        help="The owner of the emperor's unix sockets.",
    )  # fmt: skip
    listen: int = option(
        100, values.POSITIVE, Group.ON_DEMAND, short="l",
        help="How many connections may wait on a listening socket.",
    )  # fmt: skip

    # --- hooks -------------------------------------------------------------------------------------------------------
    vassals_start_hook: str | None = option(
        None, values.FILE, Group.HOOKS,
        help="A program to run in the vassal's place before it starts; the name is its argument.",
    )  # fmt: skip
    exec_as_vassal: tuple[str, ...] = option(
        (), values.COMMAND, Group.HOOKS, many=True,
        help="A shell command to run in the vassal's place before it starts; where it fails, so does the start.",
    )  # fmt: skip
    exec_as_emperor: tuple[str, ...] = option(
        (), values.COMMAND, Group.HOOKS, many=True,
        help="A shell command to run after a start, with UWSGI_VASSAL_CONFIG, _PID, _UID and _GID set.",
    )  # fmt: skip
    vassals_stop_hook: str | None = option(
        None, values.FILE, Group.HOOKS,
        help="A program to run after a vassal's death; the name is its argument.",
    )  # fmt: skip
    emperor_hook_timeout: float = option(
        60.0, values.POSITIVE_SECONDS, Group.HOOKS, ours=True,
        help="How long a hook may run before it is killed.",
    )  # fmt: skip

    # --- log and statistics ------------------------------------------------------------------------------------------
    log_format: str = option(
        "text", values.LOG_FORMAT, Group.REPORT, ours=True,
        help="One line an event for people (text) or for machines (json).",
    )  # fmt: skip
    log_level: str = option(
        "info", values.LOG_LEVEL, Group.REPORT, ours=True,
        help="The least important events to show: debug, info, warning or error.",
    )  # fmt: skip
    logto: str | None = option(
        None, values.FILE, Group.REPORT, aliases=("logto2",),
        help="Append the log, and what vassals print, to this file.",
    )  # fmt: skip
    emperor_stats: str | None = option(
        None, values.ADDRESS, Group.REPORT, aliases=("emperor-stats-server",),
        help="Serve statistics as JSON here: HOST:PORT, :PORT or the path of a unix socket.",
    )  # fmt: skip
    stats_http: bool = option(
        False, values.FLAG, Group.REPORT,
        help="Send the statistics with HTTP headers.",
    )  # fmt: skip
    vassal_logs: str | None = option(
        None, values.VASSAL_LOGS, Group.REPORT, ours=True,
        help="Write what each vassal prints to DIR/NAME.log; with '-', to the emperor's own stdout, each line with the"
        " vassal's name before it. By default vassals share the emperor's stdout and stderr.",
    )  # fmt: skip
    vassal_log_size: int = option(
        10 * 2**20, values.SIZE, Group.REPORT, ours=True,
        help="Rotate a vassal's log once it is larger than this; 0 is never.",
    )  # fmt: skip
    vassal_log_age: float = option(
        0.0, values.AGE, Group.REPORT, ours=True,
        help="Rotate a vassal's log once its oldest line is older than this, such as 12h or 7d; 0 is never.",
    )  # fmt: skip
    vassal_log_keep: int = option(
        5, values.COUNT, Group.REPORT, ours=True,
        help="How many rotated logs to keep of each vassal.",
    )  # fmt: skip

    # --- seen and steered --------------------------------------------------------------------------------------------
    control: str | None = option(
        None, values.CONTROL, Group.CONTROL, ours=True,
        help="The unix socket of the control channel, on which 'emperor-trio status' and the other commands find the"
        " emperor; 'none' for no channel. Default: /run/emperor-trio/control.sock as root, else"
        " $XDG_RUNTIME_DIR/emperor-trio/control.sock.",
    )  # fmt: skip
    gateway: str | None = option(
        None, values.GATEWAY, Group.CONTROL, ours=True,
        help="Serve the dashboard, /metrics, /stats, /healthz and /readyz over HTTP here: HOST:PORT, or :PORT for"
        " 127.0.0.1. It shows everything and commands nothing, unless there is a token.",
    )  # fmt: skip
    gateway_token_file: str | None = option(
        None, values.FILE, Group.CONTROL, ours=True,
        help="A file with the token that lets a browser command vassals, too.",
    )  # fmt: skip
    gateway_host: tuple[str, ...] = option(
        (), values.HTTP_HOST, Group.CONTROL, many=True, ours=True,
        help="A name by which browsers may reach the gateway, besides localhost and addresses; behind a proxy, its.",
    )  # fmt: skip
    metrics_per_vassal: bool = option(
        False, values.FLAG, Group.CONTROL, ours=True,
        help="Give each vassal series of its own in /metrics, too: many in a large empire.",
    )  # fmt: skip
    emperor_command_socket: str | None = option(
        None, values.FILE, Group.CONTROL,
        help="Take uWSGI's commands (spawn, respawn, stop, log) as packets on this unix datagram socket.",
    )  # fmt: skip
    emperor_wait_for_command: bool = option(
        False, values.FLAG, Group.CONTROL,
        help="Start no vassal before it is commanded: by 'emperor-trio start', or by spawn on the command socket.",
    )  # fmt: skip
    emperor_wait_for_command_ignore: tuple[str, ...] = option(
        (), values.TEXT, Group.CONTROL, many=True,
        help="The name of a vassal that starts by itself all the same.",
    )  # fmt: skip
    emperor_collect_attribute: tuple[str, ...] = option(
        (), values.TEXT, Group.CONTROL, many=True, aliases=("emperor-collect-attr",),
        help="Collect this attribute of each vassal from its source, for the statistics.",
    )  # fmt: skip
    emperor_chdir_attr: str | None = option(
        None, values.TEXT, Group.CONTROL,
        help="Start each vassal in the folder that this attribute of it names.",
    )  # fmt: skip
    emperor_wrapper_attr: str | None = option(
        None, values.TEXT, Group.CONTROL,
        help="Run each vassal by the binary that this attribute of it names.",
    )  # fmt: skip

    # --- the emperor's own process -----------------------------------------------------------------------------------
    emperor_procname: str | None = option(
        None, values.TEXT, Group.SELF,
        help="The name of the emperor's process in ps.",
    )  # fmt: skip
    emperor_pidfile: str | None = option(
        None, values.FILE, Group.SELF,
        help="Write the emperor's process id to this file.",
    )  # fmt: skip
    pidfile: str | None = option(
        None, values.FILE, Group.SELF, aliases=("pidfile2", "safe-pidfile", "safe-pidfile2"),
        help="The same, under uWSGI's name for any instance.",
    )  # fmt: skip
    uid: str | None = option(
        None, values.USER, Group.SELF,
        help="Become this user, by name or number, once all that needs root is open.",
    )  # fmt: skip
    gid: str | None = option(
        None, values.GROUP, Group.SELF,
        help="Become this group, by name or number.",
    )  # fmt: skip
    chdir: str | None = option(
        None, values.DIRECTORY, Group.SELF,
        help="Go to this folder first.",
    )  # fmt: skip
    umask: int | None = option(
        None, values.UMASK, Group.SELF,
        help="Set the umask, which vassals inherit.",
    )  # fmt: skip

    # --- taken for uWSGI's sake, without effect ----------------------------------------------------------------------
    master: bool = option(
        False, values.FLAG, Group.NO_EFFECT, short="M",
        help="There is no master process to ask for.",
    )  # fmt: skip
    early_emperor: bool = option(
        False, values.FLAG, Group.NO_EFFECT,
        help="The emperor starts as soon as it can, always.",
    )  # fmt: skip
    die_on_term: bool = option(
        False, values.FLAG, Group.NO_EFFECT,
        help="SIGTERM stops, always.",
    )  # fmt: skip
    plugin: tuple[str, ...] = option(
        (), values.TEXT, Group.NO_EFFECT, many=True, aliases=("plugins", "need-plugin", "need-plugins"),
        help="Monitors need no loading; see --imperial-monitors-list.",
    )  # fmt: skip


DIRECTIVES: tuple[Option, ...] = (
    Option("ini", values.FILE, Group.FILES, "Read options from [uwsgi] in FILE; FILE:SECTION from another section."),
    Option("xml", values.FILE, Group.FILES, "Read options from <uwsgi>.", aliases=("xmlconfig",), short="x"),
    Option("yaml", values.FILE, Group.FILES, "Read options from uwsgi:.", aliases=("yml",), short="y"),
    Option("json", values.FILE, Group.FILES, 'Read options from {"uwsgi": …}.', aliases=("js",), short="j"),
    Option("config", values.FILE, Group.FILES, "Read options from FILE.toml, or from any file above by its extension."),
    Option("include", values.FILE, Group.FILES, "The same; meant for use inside configs.", aliases=("inherit",)),
    Option("set", values.PAIR, Group.FILES, "Set an option, or a placeholder that configs use as %(NAME).", short="S"),
    Option("set-placeholder", values.PAIR, Group.FILES, "Set a placeholder.", aliases=("set-ph",)),
    Option("help", values.FLAG, Group.SHOW, "Show this text.", aliases=("usage",), short="h"),
    Option("version", values.FLAG, Group.SHOW, "Show the version."),
    Option("imperial-monitor-list", values.FLAG, Group.SHOW, "Show which SCHEME:// there are.",
           aliases=("imperial-monitors-list",)),
)  # fmt: skip
"""Options that say where further options stand, or show something; they are no part of :class:`Settings`."""


def _declared() -> Iterable[Option]:
    for field in attrs.fields(Settings):
        if Option in field.metadata:
            yield replace(field.metadata[Option], name=field.name.replace("_", "-"))


OPTIONS: tuple[Option, ...] = (*_declared(), *DIRECTIVES)
"""All options, in the order of their declaration."""

NAMES: Mapping[str, Option] = {name: option for option in OPTIONS for name in (option.name, *option.aliases)}
"""Every long name, aliases included, and its option."""
