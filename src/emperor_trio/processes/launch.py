"""What is to be started, as data: :class:`LaunchPolicy` is what the settings say, :func:`plan` makes a :class:`Launch`.

Pure: nothing here touches the operating system; :mod:`emperor_trio.processes.launcher` carries a launch out.
Source of argv, environment and order: uWSGI 2.0.31, ``core/emperor.c``.
"""

from __future__ import annotations

import os
import posixpath
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from emperor_trio.errors import SpawnError, UsageError
from emperor_trio.law.protocol import EXILE_CODE
from emperor_trio.model import CAPABILITIES, NAMESPACES, Owner, VassalId, VassalSpec, config_option
from emperor_trio.ports import HookPoint

SERVICE_ONLY = frozenset(
    {
        "FDSTORE",
        "LISTEN_FDNAMES",
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_PIDFDID",
        "NOTIFY_SOCKET",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
    }
)
"""Variables by which a service manager speaks to one process: a child would say in our name that it is ready. They are
for children only where ``--env`` sets them."""

EMPEROR_ONLY = frozenset(
    {
        "UWSGI_RELOADS",
        "UWSGI_EMPEROR_FD",
        "UWSGI_EMPEROR_FD_CONFIG",
        "UWSGI_EMPEROR_PROXY",
        "UWSGI_BROODLORD_NUM",
    }
)
"""Variables about the emperor's own process. No child may see them: it would take its parent's place."""

VASSAL_PREFIX = "UWSGI_VASSAL_"
NO_UWSGI = (
    "there is no uwsgi in PATH or beside this Python: pip install 'emperor-trio[uwsgi]', or the system's uwsgi"
    " (Debian: apt install uwsgi), or name it with --binary-path"
)
MAX_ID = 2**32 - 2
"""The largest uid or gid. The next number is −1 to the kernel: *leave it as it is*, which would be root."""


@dataclass(frozen=True, slots=True)
class LaunchPolicy:
    """What the emperor's settings say about every launch. Each field names its option; times are in seconds.

    ``environment`` is the emperor's own, with ``--env`` applied, and ``given`` the names that this option has set in
    it; ``directory`` is its current folder, absolute.
    ``descriptor_limit`` is the soft limit of descriptors that vassals get back (``None``: the emperor's own).

    Raises :class:`~emperor_trio.errors.UsageError` for a capability or a namespace that does not exist.
    """

    environment: Mapping[str, str]
    directory: str
    given: frozenset[str] = frozenset()  # --env
    binary: str | None = None  # --binary-path
    wrapper: str | None = None  # --emperor-wrapper
    wrapper_override: tuple[str, ...] = ()  # --emperor-wrapper-override
    wrapper_fallback: tuple[str, ...] = ()  # --emperor-wrapper-fallback
    wrapper_attribute: str | None = None  # --emperor-wrapper-attr
    folder_attribute: str | None = None  # --emperor-chdir-attr
    extra_extensions: frozenset[str] = frozenset()  # --emperor-extra-extension
    inherit_before: tuple[str, ...] = ()  # --vassals-inherit-before
    include_before: tuple[str, ...] = ()  # --vassals-include-before
    sets: tuple[str, ...] = ()  # --vassal-set
    inherit: tuple[str, ...] = ()  # --vassals-inherit
    include: tuple[str, ...] = ()  # --vassals-include
    tyrant: bool = False  # --emperor-tyrant
    initgroups: bool = False  # --emperor-tyrant-initgroups
    capabilities: tuple[str, ...] = ()  # --emperor-cap, split at commas
    namespaces: tuple[str, ...] = ()  # --emperor-use-clone, split at commas
    umask: int | None = None  # --umask
    descriptor_limit: int | None = None
    start_hook: str | None = None  # --vassals-start-hook
    stop_hook: str | None = None  # --vassals-stop-hook
    exec_as_vassal: tuple[str, ...] = ()  # --exec-as-vassal
    exec_as_emperor: tuple[str, ...] = ()  # --exec-as-emperor
    hook_timeout: float = 60.0
    on_demand_exec: str | None = None  # --emperor-on-demand-exec
    on_demand_exec_timeout: float = 10.0
    listen: int = 100  # --listen
    chmod_socket: int | None = None  # --chmod-socket; 0o666 where it is not given
    chown_socket: str | None = None  # --chown-socket USER[:GROUP]

    def __post_init__(self) -> None:
        for name in self.capabilities:
            if not (name.isdecimal() or name in CAPABILITIES):
                raise UsageError(f"--emperor-cap: there is no capability {name!r}{_nearest(name, CAPABILITIES)}")
        try:
            shlex.split(self.on_demand_exec or "")
        except ValueError as error:
            raise UsageError(f"--emperor-on-demand-exec {self.on_demand_exec}: {error}") from error
        for name in self.namespaces:
            if name not in NAMESPACES:
                raise UsageError(f"--emperor-use-clone: there is no namespace {name!r}{_nearest(name, NAMESPACES)}")


@dataclass(frozen=True, slots=True)
class Pipes:
    """The descriptors made for one vassal; a pair is (the emperor's number now, the number that the vassal sees).

    ``output`` is for its stdout and stderr (``None``: the emperor's).
    """

    emperor: tuple[int, int]
    config: tuple[int, int] | None = None
    stdin: int | None = None
    output: int | None = None


@dataclass(frozen=True, slots=True)
class Launch:
    """One process to be started, completely. No field holds anything that is looked up later.

    ``commands`` are argument lists, tried in order until one is executable. ``descriptors`` are pairs (number here,
    number in the child); ``stdin`` is a descriptor (``None``: ``/dev/null``), as are ``stdout`` and ``stderr``
    (``None``: the emperor's). ``capabilities`` is the bounding set to keep (``None``: left alone). Privileges are
    dropped to ``owner`` first; then ``start_hook`` runs, whose result is ignored, and each of ``checks`` by the shell,
    which fails the launch unless it returns 0, each for ``hook_timeout`` seconds at most; then the command.
    """

    commands: tuple[tuple[str, ...], ...]
    environment: Mapping[str, str]
    directory: str | None = None
    stdin: int | None = None
    stdout: int | None = None
    stderr: int | None = None
    descriptors: tuple[tuple[int, int], ...] = ()
    owner: Owner | None = None
    initgroups: bool = False
    capabilities: tuple[str, ...] | None = None
    namespaces: frozenset[str] = field(default_factory=frozenset)
    umask: int | None = None
    descriptor_limit: int | None = None
    start_hook: tuple[str, ...] | None = None
    checks: tuple[str, ...] = ()
    hook_timeout: float = 60.0


def plan(
    policy: LaunchPolicy,
    vassal: VassalId,
    spec: VassalSpec,
    pipes: Pipes,
    *,
    binary: tuple[str, ...] | None = None,
    zergs: int = 0,
) -> Launch:
    """The launch of one vassal.

    ``binary`` is the path of uWSGI with the options that it needs to find itself again (see
    :func:`~emperor_trio.processes.binary.find_binary`), ``None`` where there is none or ``--emperor-wrapper`` stands in
    its place. ``zergs`` is the value of ``UWSGI_BROODLORD_NUM`` for a zerg.

    Raises :class:`~emperor_trio.errors.SpawnError` where the vassal may not be started as asked.
    """
    attributes = dict(spec.attributes)
    folder = attributes.get(policy.folder_attribute or "")
    arguments = _arguments(policy, vassal, spec, elsewhere=bool(folder))
    wrapper = attributes.get(policy.wrapper_attribute or "") or policy.wrapper
    main = (wrapper,) if wrapper is not None else binary
    heads = [*((name,) for name in policy.wrapper_override), *([main] if main else [])]
    heads += [(name,) for name in policy.wrapper_fallback]
    if not heads:
        raise SpawnError(NO_UWSGI)
    name = argv_name(vassal, spec)
    return Launch(
        commands=tuple((*(_within(folder) if folder else ()), *head, *arguments) for head in heads),
        environment=_environment(policy, vassal, spec, pipes, zergs),
        directory=spec.directory or policy.directory,
        stdin=pipes.stdin,
        stdout=pipes.output,
        stderr=pipes.output,
        descriptors=(pipes.emperor,) if pipes.config is None else (pipes.emperor, pipes.config),
        owner=owner_of(policy, spec),
        initgroups=policy.initgroups,
        capabilities=policy.capabilities or None,
        namespaces=frozenset(NAMESPACES[name] for name in policy.namespaces),
        umask=policy.umask,
        descriptor_limit=policy.descriptor_limit,
        start_hook=(policy.start_hook, name) if policy.start_hook else None,
        checks=policy.exec_as_vassal,
        hook_timeout=policy.hook_timeout,
    )


def plan_hook(
    policy: LaunchPolicy, spec: VassalSpec, command: tuple[str, ...], extra: Mapping[str, str] | None = None
) -> Launch:
    """A command of the emperor's side: with the emperor's rights and environment, in the vassal's folder.

    A relative path of its program starts in the emperor's folder: what lies in the vassal's may be a tenant's.
    """
    program, *arguments = command
    program = posixpath.join(policy.directory, program) if "/" in program else program
    environment = _inherited(policy)
    environment["UWSGI_VASSALS_DIR"] = vassals_dir(policy, spec)
    return Launch(
        commands=((program, *arguments),),
        environment=environment | dict(extra or {}),
        directory=spec.directory or policy.directory,
        descriptor_limit=policy.descriptor_limit,
    )


def plan_hooks(
    policy: LaunchPolicy, point: HookPoint, vassal: VassalId, spec: VassalSpec, pid: int, emperor: Owner
) -> tuple[Launch, ...]:
    """What runs as the emperor after a vassal's spawn or death, in order. ``emperor`` is whom the emperor runs as."""
    name = argv_name(vassal, spec)
    match point:
        case HookPoint.AFTER_DEATH:
            return (plan_hook(policy, spec, (policy.stop_hook, name)),) if policy.stop_hook is not None else ()
        case HookPoint.AFTER_SPAWN:
            owner = owner_of(policy, spec) or emperor
            extra = {
                "UWSGI_VASSAL_CONFIG": name,
                "UWSGI_VASSAL_PID": str(pid),
                "UWSGI_VASSAL_UID": str(owner.uid),
                "UWSGI_VASSAL_GID": str(owner.gid),
            }
            return tuple(plan_hook(policy, spec, ("/bin/sh", "-c", line), extra) for line in policy.exec_as_emperor)


def argv_name(vassal: VassalId, spec: VassalSpec) -> str:
    """The name by which the vassal's process and the hooks know it."""
    return f"{spec.name}:zerg" if vassal.ordinal else spec.name


def vassals_dir(policy: LaunchPolicy, spec: VassalSpec) -> str:
    """``UWSGI_VASSALS_DIR``: the watched folder, else the emperor's own."""
    return spec.directory or policy.directory


def owner_of(policy: LaunchPolicy, spec: VassalSpec) -> Owner | None:
    """Whom the vassal runs as; ``None`` without Tyrant. Raises SpawnError for root and for what is nobody's number."""
    if not policy.tyrant:
        return None
    owner = spec.owner
    if owner is None:
        raise SpawnError("Tyrant mode: the source names no uid and gid for this vassal")
    if not (0 < owner.uid <= MAX_ID and 0 < owner.gid <= MAX_ID):
        raise SpawnError(f"Tyrant mode: a vassal may not run as {owner}; give its config another owner and group")
    return owner


def _within(folder: str) -> tuple[str, ...]:
    """What enters a folder before the rest is executed: as whom the vassal runs, since its source names the folder."""
    return ("/bin/sh", "-c", f'cd -- "$1" || exit {EXILE_CODE}; shift; exec "$@"', "sh", folder)


def _arguments(policy: LaunchPolicy, vassal: VassalId, spec: VassalSpec, *, elsewhere: bool) -> tuple[str, ...]:
    """``elsewhere``: it does not start in the folder in which its config lies."""
    try:
        option = config_option(spec.name, policy.extra_extensions)
    except UnicodeError as error:
        raise SpawnError(f"its name can't be handed to a process: {error}") from error
    if option is None:
        raise SpawnError(f"{spec.name!r} ends in no config's extension; see --emperor-extra-extension")
    name = argv_name(vassal, spec)
    if spec.config is not None:
        name = f"emperor://{name}"
    elif spec.executable:
        # uWSGI's vassal hands it to a shell, which looks a name without a slash up in PATH.
        name = f"exec://{name}" if "/" in name else f"exec://./{name}"
    elif elsewhere:
        name = os.path.join(vassals_dir(policy, spec), name)
    return (
        *_repeat("--inherit", policy.inherit_before),
        *_repeat("--include", policy.include_before),
        *_repeat("--set", policy.sets),
        option,
        name,
        *_repeat("--inherit", policy.inherit),
        *_repeat("--include", policy.include),
    )


def _environment(policy: LaunchPolicy, vassal: VassalId, spec: VassalSpec, pipes: Pipes, zergs: int) -> dict[str, str]:
    inherited = _inherited(policy)
    environment = {key: value for key, value in inherited.items() if not key.startswith(VASSAL_PREFIX)}
    for key, value in inherited.items():
        if key.startswith(VASSAL_PREFIX):
            environment["UWSGI_" + key.removeprefix(VASSAL_PREFIX)] = value
    for key in EMPEROR_ONLY:
        environment.pop(key, None)
    environment["UWSGI_EMPEROR_FD"] = str(pipes.emperor[1])
    if pipes.config is not None:
        environment["UWSGI_EMPEROR_FD_CONFIG"] = str(pipes.config[1])
    if vassal.ordinal:
        environment["UWSGI_BROODLORD_NUM"] = str(zergs)
    if policy.start_hook or policy.exec_as_vassal:
        environment["UWSGI_VASSALS_DIR"] = vassals_dir(policy, spec)
    return environment


def _inherited(policy: LaunchPolicy) -> dict[str, str]:
    """The emperor's environment without what is about its own process."""
    own = EMPEROR_ONLY | (SERVICE_ONLY - policy.given)
    return {key: value for key, value in policy.environment.items() if key not in own}


def _repeat(option: str, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for value in values for word in (option, value))


def _nearest(name: str, known: Iterable[str]) -> str:
    match = get_close_matches(name, list(known), 1)
    return f"; did you mean {match[0]!r}?" if match else f"; there are {', '.join(known)}"
