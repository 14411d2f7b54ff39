"""The doors of the daemon: what listens, or speaks to the service manager, opened and added to the emperor.

All are opened before the privileges go. A socket ``given`` by the service manager goes before the option's address.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from emperor_trio import daemon, events
from emperor_trio.actors.bus import Subscriber
from emperor_trio.actors.emperor import Emperor
from emperor_trio.control.logs import FileLogs, PipedLogs
from emperor_trio.control.messages import SettingList
from emperor_trio.control.place import NONE, default_path
from emperor_trio.control.server import ControlServer
from emperor_trio.control.session import LogReader
from emperor_trio.errors import DriverMissing, UsageError
from emperor_trio.masking import masked
from emperor_trio.outlets.command_socket import CommandSocket
from emperor_trio.outlets.gateway import GatewayOutlet
from emperor_trio.outlets.metrics import MetricsOutlet
from emperor_trio.outlets.notify import NotifyOutlet
from emperor_trio.outlets.stats import StatsOutlet
from emperor_trio.settings import Settings


def open_statistics(emperor: Emperor, settings: Settings, given: socket.socket | None) -> None:
    """What ``--emperor-stats`` asks for."""
    address = given or settings.emperor_stats
    if address is not None:
        stats = StatsOutlet(
            address,
            emperor.statistics,
            http=settings.stats_http,
            tyrant=settings.emperor_tyrant,
            mode=settings.chmod_socket,
        )
        stats.open()
        emperor.add_outlet("statistics", stats)


def open_commands(emperor: Emperor, settings: Settings) -> None:
    """What ``--emperor-command-socket`` asks for."""
    if settings.emperor_command_socket is not None:
        commands = CommandSocket(settings.emperor_command_socket, emperor, emperor.publish, mode=settings.chmod_socket)
        commands.open()
        emperor.add_outlet("command socket", commands)


def open_control(
    emperor: Emperor, settings: Settings, given: socket.socket | None, told: Callable[[], SettingList] | None
) -> ControlServer:
    """The control channel, which listens, added to the emperor. Only an address that was asked for has to be had."""
    address = given or settings.control or default_path(os.environ)
    if address == NONE:
        address = None
    elif address is None:
        emperor.publish(events.Notice("there is no control channel: XDG_RUNTIME_DIR is not set; give --control PATH"))
    logs, files = settings.vassal_logs or "", None
    reader: LogReader | None = None
    if logs == "-":
        reader = PipedLogs(emperor.lines) if emperor.lines is not None else None
    elif logs:
        logs = os.path.abspath(logs)
        reader = files = FileLogs(logs, masked(settings.emperor[0]) if settings.emperor else "")

    def make(address: str | socket.socket | None) -> ControlServer:
        return ControlServer(
            emperor,
            emperor.publish,
            address,
            settings=told,
            logs=logs,
            log_path=files.path if files is not None else lambda vassal: "",
            read_log=reader,
        )

    control = make(address)
    try:
        control.open(daemon.future_owner(settings))
    except UsageError as error:
        if settings.control is not None:
            raise
        emperor.publish(events.Notice(f"there is no control channel: {error}"))
        control = make(None)
    emperor.add_outlet("control channel", control)
    return control


@contextmanager
def open_gateway(
    emperor: Emperor,
    settings: Settings,
    given: socket.socket | None,
    channel: ControlServer,
    log: Subscriber,
) -> Iterator[None]:
    """The gateway, which listens, and its metrics added to the emperor, where there is an address."""
    address = given or settings.gateway
    if address is None:
        yield
        return
    with emperor.subscribe() as seen:
        metrics, missing = None, ""
        try:
            metrics = MetricsOutlet(
                seen,
                emperor,
                per_vassal=settings.metrics_per_vassal,
                dropped={"log": lambda: log.lost, "metrics": lambda: seen.lost},
                extra={
                    "emperor_control_clients": lambda: channel.clients,
                    "emperor_control_events_dropped_total": lambda: channel.dropped,
                },
            )
            emperor.add_outlet("metrics", metrics, drain=True)
        except DriverMissing as error:
            missing = str(error)
        gateway = GatewayOutlet(
            address,
            emperor,
            channel,
            render=metrics.render if metrics is not None else None,
            no_metrics=missing,
            token_file=settings.gateway_token_file,
            hosts=settings.gateway_host,
            tyrant=settings.emperor_tyrant,
        )
        gateway.open()
        emperor.add_outlet("gateway", gateway)
        yield


def reach_manager(emperor: Emperor, manager: daemon.ServiceManager) -> NotifyOutlet | None:
    """What tells the service manager how the emperor is, added to it; ``None`` where there is nobody to tell."""
    if manager.notify_socket is None:
        return None
    try:
        notify = NotifyOutlet(manager.notify_socket, emperor, emperor.publish, watchdog=manager.watchdog)
    except ValueError as error:
        emperor.publish(events.Notice(f"NOTIFY_SOCKET {manager.notify_socket}: {error}; nobody is told anything"))
        return None
    emperor.add_outlet("service manager", notify)
    return notify
