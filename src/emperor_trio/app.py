"""The one place where all is put together: settings in, a reigning emperor out.

:func:`main` is the daemon, with everything that concerns a whole process. :func:`make_emperor` is for programs that
run an emperor inside their own nursery; it touches nothing of theirs.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from importlib.metadata import version
from typing import Literal

import trio

from emperor_trio import daemon, doors, events
from emperor_trio.actors.emperor import DEFAULT_MERCY, Emperor, MakeMonitor
from emperor_trio.actors.supervisor import Command, Policy
from emperor_trio.control.messages import SettingList
from emperor_trio.errors import UsageError
from emperor_trio.law.fleet import FleetRules
from emperor_trio.law.state import LifecycleRules
from emperor_trio.law.throttle import Priorities, ThrottleRules
from emperor_trio.masking import masked
from emperor_trio.monitors import StateFile, StoredHolds, find_monitor
from emperor_trio.outlets.lines import LineWriter
from emperor_trio.outlets.log import LogOutlet
from emperor_trio.outlets.notify import NotifyOutlet
from emperor_trio.outlets.rotation import LogRotation, RotationRules
from emperor_trio.ports import Doorbell, Monitor, MonitorContext
from emperor_trio.processes import (
    LaunchPolicy,
    LogFolder,
    LogPipes,
    SystemSpawner,
    choose_programs,
    raise_descriptor_limit,
)
from emperor_trio.settings import Settings
from emperor_trio.vassal_logs import check_folder

RELOAD_PAUSE = 0.5
"""Seconds without a reload after a vassal came up: uWSGI's workers lose a signal while they start, and it hangs."""

STDOUT = 1

EXIT_STOPPED = 0
EXIT_FAILED = 1
EXIT_USAGE = 2


def make_policy(settings: Settings) -> Policy:
    """The rules that the settings ask for."""
    return Policy(
        lifecycle=LifecycleRules(
            curse_tolerance=settings.emperor_curse_tolerance,
            required_heartbeat=settings.emperor_required_heartbeat,
            reload_tolerance=settings.emperor_reload_tolerance,
            reload_pause=RELOAD_PAUSE,
            graceful_shutdown=settings.emperor_graceful_shutdown,
        ),
        throttle=ThrottleRules(
            throttle=settings.emperor_throttle / 1000,
            max_throttle=settings.emperor_max_throttle / 1000,
            blacklist=not settings.emperor_no_blacklist,
            max_starting=settings.emperor_max_starting,
            max_restarts=settings.emperor_max_restarts,
            restart_window=settings.emperor_restart_window,
        ),
        fleet=FleetRules(
            tyrant=settings.emperor_tyrant,
            extra_extensions=frozenset(settings.emperor_extra_extension),
            wait_for_command=settings.emperor_wait_for_command,
            unbidden=frozenset(settings.emperor_wait_for_command_ignore),
        ),
        priorities=Priorities(tuple((item.pattern, item.number) for item in settings.emperor_priority)),
        broodlord=settings.emperor_broodlord,
    )


def make_launch_policy(settings: Settings, descriptor_limit: int | None = None) -> LaunchPolicy:
    """What the settings say about every launch. ``descriptor_limit`` is the soft limit that vassals get back."""
    return LaunchPolicy(
        environment=dict(os.environ),
        given=frozenset(name for name, value in os.environ.items() if f"{name}={value}" in settings.env),
        directory=os.getcwd(),
        binary=settings.binary_path,
        wrapper=settings.emperor_wrapper,
        wrapper_override=settings.emperor_wrapper_override,
        wrapper_fallback=settings.emperor_wrapper_fallback,
        wrapper_attribute=settings.emperor_wrapper_attr,
        folder_attribute=settings.emperor_chdir_attr,
        extra_extensions=frozenset(settings.emperor_extra_extension),
        inherit_before=settings.vassals_inherit_before,
        include_before=settings.vassals_include_before,
        sets=settings.vassal_set,
        inherit=settings.vassals_inherit,
        include=settings.vassals_include,
        tyrant=settings.emperor_tyrant,
        initgroups=settings.emperor_tyrant_initgroups,
        capabilities=settings.emperor_cap,
        namespaces=settings.emperor_use_clone,
        descriptor_limit=descriptor_limit,
        start_hook=settings.vassals_start_hook,
        stop_hook=settings.vassals_stop_hook,
        exec_as_vassal=settings.exec_as_vassal,
        exec_as_emperor=settings.exec_as_emperor,
        hook_timeout=settings.emperor_hook_timeout,
        on_demand_exec=settings.emperor_on_demand_exec,
        listen=settings.listen,
        chmod_socket=settings.chmod_socket,
        chown_socket=settings.chown_socket,
    )


def make_monitors(settings: Settings, state: StateFile | None = None) -> Mapping[str, MakeMonitor]:
    """One monitor for each ``--emperor``, by the text as typed but for its passwords: nothing behind here shows them.

    ``state`` is where those keep what they know that have to. It may be opened later, but before they run.
    Raises :class:`~emperor_trio.errors.UsageError` for an unknown scheme, a missing driver or the same monitor twice.
    """
    monitors: dict[str, MakeMonitor] = {}
    for text in settings.emperor:
        name = masked(text)
        if name in monitors:
            raise UsageError(f"--emperor {name}: given twice; one monitor a source is enough")
        monitors[name] = _monitor_maker(name, text, settings, state)
    if not monitors:
        raise UsageError("there is nothing to watch: give --emperor FOLDER, a pattern or SCHEME://…; see --help")
    return monitors


def _monitor_maker(name: str, text: str, settings: Settings, state: StateFile | None) -> MakeMonitor:
    extra = frozenset(settings.emperor_extra_extension)
    found = find_monitor(text, extra)

    def make(doorbell: Doorbell, publish: Callable[[events.Event], None]) -> Monitor:
        context = MonitorContext(
            name=name,
            argument=found.argument,
            publish=publish,
            doorbell=doorbell,
            frequency=settings.emperor_freq,
            nofollow=settings.emperor_nofollow,
            extra_extensions=extra,
            magic_exec=settings.emperor_magic_exec,
            tyrant=settings.emperor_tyrant,
            tyrant_nofollow=settings.emperor_tyrant_nofollow,
            on_demand_extension=settings.emperor_on_demand_extension,
            on_demand_directory=settings.emperor_on_demand_directory,
            on_demand_exec=settings.emperor_on_demand_exec,
            memory=state.of(name, publish) if state else None,
            http_hosts=settings.emperor_http_host,
            http_timeout=settings.emperor_http_timeout,
            ldap_bind_dn=settings.emperor_ldap_bind_dn,
            ldap_password_file=settings.emperor_ldap_password_file,
            ldap_starttls=settings.emperor_ldap_starttls,
            zmq_curve_key=settings.emperor_zmq_curve_key,
            zmq_curve_clients=settings.emperor_zmq_curve_clients,
            attributes=frozenset(
                name
                for name in (
                    *settings.emperor_collect_attribute,
                    settings.emperor_chdir_attr,
                    settings.emperor_wrapper_attr,
                )
                if name
            ),
        )
        return found.factory(context)

    return make


def make_emperor(
    settings: Settings,
    *,
    reap: Literal["pidfd", "sigchld"] = "pidfd",
    mercy: float = DEFAULT_MERCY,
    descriptor_limit: int | None = None,
    state: StateFile | None = None,
) -> Emperor:
    """An emperor over real monitors and real processes, ready for ``await nursery.start(emperor.run)``.

    Inside your own program keep ``reap="pidfd"``: no signal handler is installed and none of your children is touched.
    The file of ``--emperor-state`` is opened when it runs, unless an open one is given as ``state``.
    Raises :class:`~emperor_trio.errors.UsageError`.
    """

    def publish(event: events.Event) -> None:
        emperor.publish(event)

    outputs, outlet = make_outputs(settings, publish)
    spawner = SystemSpawner(make_launch_policy(settings, descriptor_limit), reap=reap, outputs=outputs)
    services: list[Callable[..., Awaitable[object]]] = [spawner.run] if outputs is None else [outputs.run, spawner.run]
    if state is None:
        state = make_state(settings)
    if state is not None:
        services.append(state.run)
    emperor = Emperor(
        make_monitors(settings, state),
        spawner,
        make_policy(settings),
        services=services,
        holds=StoredHolds(state) if state is not None else None,
        lines=outputs if isinstance(outputs, LogPipes) else None,
        mercy=mercy,
    )
    if outlet is not None:
        emperor.add_outlet("--vassal-logs", outlet, drain=isinstance(outlet, LineWriter))
    return emperor


def make_outputs(
    settings: Settings, publish: Callable[[events.Event], None]
) -> tuple[LogFolder | LogPipes | None, LogRotation | LineWriter | None]:
    """What ``--vassal-logs`` asks for: where vassals print, and the outlet that looks after it."""
    if settings.vassal_logs is None:
        return None, None
    if settings.vassal_logs == "-":
        writer = LineWriter(STDOUT)
        return LogPipes(writer, publish), writer
    folder = os.path.abspath(settings.vassal_logs)
    rules = RotationRules(
        size=settings.vassal_log_size,
        age=settings.vassal_log_age,
        keep=settings.vassal_log_keep,
        extra=frozenset(settings.emperor_extra_extension),
    )
    first = masked(settings.emperor[0]) if settings.emperor else ""
    return LogFolder(folder, first, publish), LogRotation(folder, rules, publish) if rules.ever else None


def make_state(settings: Settings) -> StateFile | None:
    """The file of ``--emperor-state``, not yet opened; ``None`` without one."""
    return StateFile(settings.emperor_state) if settings.emperor_state is not None else None


def main(settings: Settings, told: Callable[[], SettingList] | None = None) -> int:
    """Run the daemon until it is told to stop; its exit code. Wrong settings raise UsageError before any start.

    ``told`` says on the control channel what the settings are, and where each came from.
    """
    manager, sockets = daemon.service_manager(), daemon.activated_sockets()  # before --env, which is for vassals
    daemon.prepare(settings)
    previous_limit = raise_descriptor_limit()
    state = make_state(settings)
    emperor = make_emperor(
        settings, reap="sigchld", mercy=settings.reload_mercy, descriptor_limit=previous_limit, state=state
    )
    policy = make_launch_policy(settings)
    programs = choose_programs(policy)
    with daemon.pid_files(settings):
        doors.open_statistics(emperor, settings, sockets.get("stats"))
        doors.open_commands(emperor, settings)
        control = doors.open_control(emperor, settings, sockets.get("control"), told)
        with emperor.subscribe() as log, doors.open_gateway(emperor, settings, sockets.get("gateway"), control, log):
            level = events.Level[settings.log_level.upper()]
            emperor.add_outlet("log", LogOutlet(log, sys.stderr, settings.log_format, level), drain=True)
            _announce(emperor, settings, programs)  # out of the package, which may be closed to the user we become
            notify = doors.reach_manager(emperor, manager)
            daemon.drop_privileges(settings)
            choose_programs(policy)  # again: what root may execute may be out of the reach of the user we have become
            if settings.vassal_logs is not None and settings.vassal_logs != "-":
                check_folder(settings.vassal_logs)  # as the user who writes there
            if state is not None:
                state.open()  # as the user we have become, to whom it belongs
            gc.freeze()  # what was imported stays: the collector need not walk it again and again
            trio.run(_reign, emperor, notify)
    return EXIT_FAILED if emperor.left_behind else EXIT_STOPPED


def _announce(emperor: Emperor, settings: Settings, programs: tuple[str, ...]) -> None:
    emperor.publish(events.EmperorStarted(os.getpid(), version("emperor-trio"), tuple(map(masked, settings.emperor))))
    emperor.publish(events.ProgramChosen(programs))
    if settings.ignored:
        names = ", ".join(f"--{name}" for name in settings.ignored)
        emperor.publish(events.Notice(f"options of uWSGI that mean nothing to an emperor, ignored: {names}"))


async def _reign(emperor: Emperor, notify: NotifyOutlet | None) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(_obey, emperor, notify)
        await emperor.run()
        nursery.cancel_scope.cancel()


async def _obey(emperor: Emperor, notify: NotifyOutlet | None, task_status: trio.TaskStatus[None]) -> None:
    """The signals of uWSGI's emperor."""
    reload = partial(emperor.command, Command.RELOAD_ALL)
    ends = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
    commands = {
        signal.SIGHUP: reload if notify is None else partial(notify.reload, reload),
        signal.SIGUSR1: partial(emperor.command, Command.LOG_STATUS),
        signal.SIGURG: partial(emperor.command, Command.FORGIVE_ALL),
    }
    # They would end the process without a word. Caught, not ignored: so vassals have their defaults again.
    strange = (signal.SIGUSR2, signal.SIGALRM)
    with trio.open_signal_receiver(*ends, *commands, signal.SIGWINCH, *strange) as received:
        daemon.hear()
        task_status.started()
        async for number in received:
            if number in ends:
                emperor.stop(signal.Signals(number).name)
            elif number == signal.SIGWINCH:
                emperor.ring()
            elif number in strange:
                name = signal.Signals(number).name
                emperor.publish(events.Notice(f"{name} means nothing to an emperor, ignored; SIGTERM stops it"))
            else:
                await commands[signal.Signals(number)]()
