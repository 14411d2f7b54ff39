"""The door to the operating system for vassals' actors: :class:`SystemSpawner`.

Puts this room together; the parts know each other only through it.
"""

from __future__ import annotations

import os
import shlex
import socket
from contextlib import ExitStack, suppress
from typing import Literal

import trio

from emperor_trio.errors import ListenError, SpawnError, UsageError
from emperor_trio.model import Owner, VassalId, VassalSpec
from emperor_trio.ports import Deliver, HookPoint, Listener, Outputs, Process
from emperor_trio.processes.binary import find_binary
from emperor_trio.processes.binding import Binder
from emperor_trio.processes.children import Children
from emperor_trio.processes.launch import LaunchPolicy, Pipes, owner_of, plan, plan_hook, plan_hooks
from emperor_trio.processes.launcher import Launcher, on_main_thread, refusal
from emperor_trio.processes.poller import Poller
from emperor_trio.processes.process import ConfigPipe, VassalProcess
from emperor_trio.processes.reaper import PidfdReaper, Reaper, SigchldReaper
from emperor_trio.processes.sockets import SystemListener, parse_address


class SystemSpawner:
    """Implements :class:`emperor_trio.ports.Spawner` with real processes.

    ``reap="sigchld"`` is for a process that is an emperor and nothing else: it handles SIGCHLD and reaps every child.
    ``reap="pidfd"`` leaves signals and other children alone, for one descriptor a vassal. ``outputs`` is where what
    vassals print goes, if not to the emperor's own stdout and stderr. Everything but the constructor needs :meth:`run`
    to be running, on the main thread. Raises UsageError for a policy that can't work.
    """

    def __init__(
        self,
        policy: LaunchPolicy,
        *,
        reap: Literal["sigchld", "pidfd"] = "pidfd",
        outputs: Outputs | None = None,
    ) -> None:
        self._policy = policy
        self._outputs = outputs
        self._poller = Poller()
        self._reaper: Reaper = SigchldReaper() if reap == "sigchld" else PidfdReaper(self._poller)
        self._launcher = Launcher()
        self._children = Children(self._launcher, self._reaper)
        self._binder = Binder(policy, self._children, self._launcher.slots[0])
        self._binary: tuple[str, ...] | None = None
        self._running = False

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Notice exits and what vassals say, until cancelled; what still runs then is killed. Once for each object."""
        if not on_main_thread():
            raise UsageError(
                "vassals die with the thread that started them: run the emperor on the main thread of its process"
            )
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._reaper.run)
                nursery.start_soon(self._poller.run)
                self._running = True
                task_status.started()
        finally:
            self._running = False
            with trio.CancelScope(shield=True):
                await self._reaper.bury()
            self._poller.close()
            self._launcher.close()

    def spawn(
        self, vassal: VassalId, spec: VassalSpec, zergs: int, listener: Listener | None, deliver: Deliver
    ) -> Process:
        self._require_running()
        with ExitStack() as theirs, ExitStack() as ours:
            try:
                process, pipes = self._equip(vassal, spec, listener, deliver, theirs, ours)
            except OSError as error:
                raise refusal(error) from error
            launch = plan(self._policy, vassal, spec, pipes, binary=self._find_binary(), zergs=zergs)
            process.began(self._children.start(launch, process.ended))
            ours.pop_all()
        return process

    def command_line(self, vassal: VassalId, spec: VassalSpec) -> tuple[str, ...]:
        with suppress(SpawnError):
            return plan(self._policy, vassal, spec, Pipes((0, 0)), binary=self._find_binary()).commands[0]
        return ()

    async def listen(self, vassal: VassalId, spec: VassalSpec, address: str) -> Listener:
        self._require_running()
        parsed = parse_address(address, spec.directory or self._policy.directory)
        bound, parsed, place = await self._binder.bind(parsed, owner_of(self._policy, spec))
        try:
            return SystemListener(bound, parsed, place, self._poller, self._children.discard_listener)
        except OSError as error:
            bound.close()
            raise ListenError(f"can't watch {parsed}: {error.strerror}") from error

    async def ask_socket(self, vassal: VassalId, spec: VassalSpec) -> str | None:
        self._require_running()
        command = self._policy.on_demand_exec
        if command is None:
            return None
        launch = plan_hook(self._policy, spec, (*shlex.split(command), spec.name))
        try:
            finished = await self._children.ask(launch, self._policy.on_demand_exec_timeout)
        except SpawnError as error:
            raise SpawnError(f"--emperor-on-demand-exec {command}: {error}") from error
        if finished.code != 0:
            raise SpawnError(f"--emperor-on-demand-exec {command}: {finished.how}")
        lines = os.fsdecode(finished.output).splitlines()
        return (lines[0].strip() or None) if lines else None

    def has_hook(self, point: HookPoint) -> bool:
        match point:
            case HookPoint.AFTER_SPAWN:
                return bool(self._policy.exec_as_emperor)
            case HookPoint.AFTER_DEATH:
                return self._policy.stop_hook is not None

    async def run_hook(self, point: HookPoint, vassal: VassalId, spec: VassalSpec, pid: int) -> str | None:
        faults = []
        for launch in plan_hooks(self._policy, point, vassal, spec, pid, Owner(os.geteuid(), os.getegid())):
            try:
                finished = await self._children.run(launch, self._policy.hook_timeout)
            except SpawnError as error:
                faults.append(f"{launch.commands[0][-1]}: {error}")
            else:
                if finished.code != 0:
                    faults.append(f"{launch.commands[0][-1]}: {finished.how}")
        return "; ".join(faults) or None

    def _equip(
        self,
        vassal: VassalId,
        spec: VassalSpec,
        listener: Listener | None,
        deliver: Deliver,
        theirs: ExitStack,
        ours: ExitStack,
    ) -> tuple[VassalProcess, Pipes]:
        """Make all that a vassal is given: our ends are closed if it does not start, its ends in any case."""
        first, second = self._launcher.slots
        pipe, their_pipe = _pipe(theirs, ours)
        config, their_config = None, None
        if spec.config is not None:
            our_config, far_config = _pipe(theirs, ours)
            config, their_config = ConfigPipe(our_config, self._children.discard), (far_config.fileno(), second)
            config.send_first(spec.config)
        process = VassalProcess(pipe, config, self._poller, deliver, self._children.discard)
        ours.callback(process.close)
        stdin = _stdin(listener)
        output = self._outputs.open(vassal) if self._outputs is not None else None
        if output is not None:
            theirs.callback(os.close, output)
        return process, Pipes((their_pipe.fileno(), first), their_config, stdin, output)

    def _find_binary(self) -> tuple[str, ...] | None:
        """Looked up once, and again when it is gone."""
        if self._binary is None or not os.access(self._binary[0], os.X_OK):
            self._binary = find_binary(self._policy)
        return self._binary

    def _require_running(self) -> None:
        if not self._running:
            raise SpawnError("the spawner is not running")


def _pipe(theirs: ExitStack, ours: ExitStack) -> tuple[socket.socket, socket.socket]:
    near, far = socket.socketpair()
    return ours.enter_context(near), theirs.enter_context(far)


def _stdin(listener: Listener | None) -> int | None:
    if listener is None:
        return None
    if not isinstance(listener, SystemListener) or listener.fileno() < 0:
        raise SpawnError("its socket is closed")
    return listener.fileno()
