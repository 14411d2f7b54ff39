"""One vassal's actor: feeds its rules, carries out their effects, and reports to the supervisor.

Owns the process, the on-demand socket and the hooks of one vassal. What is to happen next is decided in
:mod:`emperor_trio.law.lifecycle`; when a spawn may go out, by the supervisor.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

import trio

from emperor_trio import events
from emperor_trio.actors.guard import Delays, explain
from emperor_trio.actors.mailbox import Mailbox
from emperor_trio.errors import SpawnDeferred, SpawnError
from emperor_trio.law import effects as do
from emperor_trio.law import stimuli as hear
from emperor_trio.law.lifecycle import step
from emperor_trio.law.protocol import Order, condense
from emperor_trio.law.state import Leaving, LifecycleRules, Phase, State
from emperor_trio.model import Desired, VassalId, VassalSpec
from emperor_trio.ports import (
    Exited,
    HookPoint,
    Listener,
    PipeClosed,
    Process,
    ProcessEvent,
    Received,
    Spawner,
)

Report = (
    do.AskLeave
    | do.Withdraw
    | do.ReportReady
    | do.ReportLoyal
    | do.ReportDeath
    | do.ReportShortage
    | do.AskReinforcement
    | do.EndZerg
)
"""The effects that only the supervisor can carry out."""

CRASH_DELAYS = Delays(first=1.0, most=60.0)


class VassalActor:
    """One task. Others only call :meth:`want`, :meth:`post` and read ``state``; none of them waits.

    ``report`` hands a report to the supervisor; ``gone`` is called in the very step that ends the vassal, so that
    nothing can come between its last look at what is desired and its leaving the table.
    """

    __slots__ = (
        "_ended",
        "_gone",
        "_hook_job",
        "_jobs",
        "_listener",
        "_mail",
        "_outbox",
        "_process",
        "_publish",
        "_report",
        "_rules",
        "_socket_job",
        "_spawner",
        "_zergs",
        "born",
        "deaths",
        "desired",
        "exit_code",
        "since",
        "state",
        "vassal",
    )

    def __init__(
        self,
        vassal: VassalId,
        desired: Desired,
        rules: LifecycleRules,
        spawner: Spawner,
        publish: Callable[[events.Event], None],
        jobs: trio.Nursery,
        report: Callable[[VassalActor, Report], Awaitable[None]],
        gone: Callable[[VassalActor], None],
        zergs: Callable[[], int],
    ) -> None:
        self.vassal: VassalId = vassal
        self.desired: Desired = desired
        self.born: int = desired.spec.modified if desired.spec else 0
        self.state: State = State()
        self.since: float = trio.current_time()
        self.deaths: int = 0
        self.exit_code: int | None = None
        self._rules = rules
        self._spawner = spawner
        self._publish = publish
        self._jobs = jobs
        self._report = report
        self._gone = gone
        self._zergs = zergs
        self._mail: Mailbox[hear.Stimulus] = Mailbox(_merge)
        self._outbox: list[Report] = []
        self._process: Process | None = None
        self._ended = 0
        self._listener: Listener | None = None
        self._socket_job: trio.CancelScope | None = None
        self._hook_job: trio.CancelScope | None = None

    def want(self, desired: Desired) -> None:
        """Overwrite what is desired; the actor looks at it at its next step."""
        if desired.spec is not None and desired.life != self.desired.life:
            self.born = desired.spec.modified
        self.desired = desired
        self._mail.post(hear.Look())

    def post(self, stimulus: hear.Stimulus) -> None:
        self._mail.post(stimulus)

    def begin(self) -> list[Report]:
        """Take the first step at once, for the supervisor that has just made this actor: its reports, in order.

        A fault in it is left to :meth:`run`, which takes the step again.
        """
        try:
            self._turn(hear.Look())
        except Exception:
            self._start_over()
            self.post(hear.Look())
        reports, self._outbox = self._outbox, []
        return reports

    async def run(self) -> None:
        """Live until the vassal is gone. A fault of ours ends the process, never the actor."""
        crashes = 0
        try:
            while self.state.phase is not Phase.GONE:
                try:
                    await self._live()
                except Exception as error:
                    crashes += 1
                    delay = CRASH_DELAYS.after(crashes)
                    self._publish(events.ActorCrashed(self.vassal, explain(error), delay))
                    self._start_over()
                    await self._report(self, do.Withdraw())
                    await self._pause(delay)
                    self.post(hear.Look())
        finally:
            self._let_go()

    async def _pause(self, delay: float) -> None:
        """Wait, unless the vassal must go."""
        resume_at = trio.current_time() + delay
        while self.desired.spec is not None and trio.current_time() < resume_at:
            with trio.move_on_at(resume_at):
                await self._mail.wait()

    async def _live(self) -> None:
        while self.state.phase is not Phase.GONE:
            self._turn(await self._mail.take(self.state.deadline) or hear.Tick())
            while self._outbox:
                await self._report(self, self._outbox.pop(0))

    def _turn(self, stimulus: hear.Stimulus) -> None:
        """One stimulus, and what its effects bring about at once."""
        pending = [stimulus]
        while pending:
            before, now = self.state, trio.current_time()
            self.state, effects = step(self.vassal, before, now, pending.pop(0), self.desired, self._rules)
            phase = self.state.phase
            if phase is not before.phase:
                self.since = now
            moved = phase is not before.phase or self.state.ready is not before.ready
            if moved and phase is not Phase.STARTING and not any(map(_tells, effects)):  # how a spawn went is told next
                self._publish(events.VassalMoved(self.vassal, phase.value))
            for effect in effects:
                answer = self._do(effect)
                if answer is not None:
                    pending.append(answer)

    def _do(self, effect: do.Effect) -> hear.Stimulus | None:
        """Carry out one effect; its answer, where it is known at once."""
        match effect:
            case do.Publish(event):
                self._publish(event)
            case do.Spawn():
                return self._spawn(effect)
            case do.Send(order, config):
                return self._send(order, config)
            case do.AnswerConfig(config):
                if self._process and not self._process.has_unread_config():
                    self._process.send_config(config)
            case do.Kill():
                if self._process:
                    self._process.kill()
            case do.Release():
                self._release()
            case do.RunSpawnHook(pid, spec):
                self._jobs.start_soon(self._run_hook, HookPoint.AFTER_SPAWN, spec, pid)
            case do.RunStopHook():
                self._hook_job = trio.CancelScope()
                self._jobs.start_soon(self._run_stop_hook, effect, self._hook_job)
            case do.AbandonHook():
                self._cancel_hook()
            case do.AskSocket():
                self._socket_job = trio.CancelScope()
                self._jobs.start_soon(self._ask_socket, effect, self._socket_job)
            case do.Bind():
                self._socket_job = trio.CancelScope()
                self._jobs.start_soon(self._bind, effect, self._socket_job)
            case do.Arm():
                if self._listener:
                    self._listener.arm(partial(self.post, hear.Connection()))
            case do.Disarm():
                if self._listener:
                    self._listener.disarm()
            case do.CloseListener():
                self._close_listener()
            case do.Vanish():
                self._gone(self)
            case _:
                self._outbox.append(effect)
        return None

    def _spawn(self, effect: do.Spawn) -> hear.Stimulus:
        deliver = partial(self._deliver, effect.generation)
        try:
            self._process = self._spawner.spawn(self.vassal, effect.spec, self._zergs(), self._listener, deliver)
        except SpawnDeferred as error:
            return hear.SpawnRefused(str(error), deferred=True)
        except SpawnError as error:
            return hear.SpawnRefused(str(error))
        return hear.Spawned(self._process.pid)

    def _deliver(self, generation: int, event: ProcessEvent) -> None:
        match event:
            case Received(data):
                self.post(hear.Heard(generation, data))
            case PipeClosed():
                self.post(hear.Lost(generation))
            case Exited(code):
                self._ended = generation
                self.exit_code = code
                self.post(hear.Ended(generation, code))

    def _send(self, order: Order, config: bytes | None) -> hear.Stimulus | None:
        process = self._process
        if process is None:
            return None
        taken = config is None or (not process.has_unread_config() and process.send_config(config))
        return None if taken and process.send(order) else hear.OrderFailed(self.state.generation)

    async def _run_hook(self, point: HookPoint, spec: VassalSpec, pid: int) -> None:
        wrong: str | None = None
        try:
            wrong = await self._spawner.run_hook(point, self.vassal, spec, pid)
        except* Exception as faults:
            wrong = explain(faults)
        if wrong is not None:
            self._publish(events.HookFailed(self.vassal, point.value, wrong))

    async def _run_stop_hook(self, effect: do.RunStopHook, scope: trio.CancelScope) -> None:
        with scope:
            await self._run_hook(HookPoint.AFTER_DEATH, effect.spec, effect.pid)
        self.post(hear.HookDone(effect.generation))

    async def _ask_socket(self, effect: do.AskSocket, scope: trio.CancelScope) -> None:
        with scope:
            try:
                address = await self._spawner.ask_socket(self.vassal, effect.spec)
            except* Exception as faults:
                self.post(hear.SocketFailed(effect.ticket, explain(faults)))
            else:
                self.post(hear.SocketTold(effect.ticket, address))

    async def _bind(self, effect: do.Bind, scope: trio.CancelScope) -> None:
        with scope:
            try:
                listener = await self._spawner.listen(self.vassal, effect.spec, effect.address)
            except* Exception as faults:
                self.post(hear.SocketFailed(effect.ticket, explain(faults)))
            else:
                if scope.cancel_called:
                    listener.close()
                else:
                    self._listener = listener
                    self.post(hear.Bound(effect.ticket, listener.address))

    def _release(self) -> None:
        process, self._process = self._process, None
        if process:
            process.close()

    def _cancel_hook(self) -> None:
        if self._hook_job:
            self._hook_job.cancel()
            self._hook_job = None

    def _close_listener(self) -> None:
        if self._socket_job:
            self._socket_job.cancel()
            self._socket_job = None
        listener, self._listener = self._listener, None
        if listener:
            listener.close()

    def _start_over(self) -> None:
        """After a fault of ours: the process is killed and its end awaited; nothing else is left. The numbers go on."""
        old, process = self.state, self._process
        alive = process is not None and self._ended != old.generation
        if process is not None and alive:
            self._process = None
            with suppress(Exception):
                process.kill()
        self._let_go()
        self._outbox.clear()
        self.state = State(generation=old.generation, ticket=old.ticket + 1, asked=old.asked + 1)
        if alive:
            self._process = process
            self.state = replace(
                self.state,
                phase=Phase.STOPPING,
                leaving=Leaving.REPLACED,
                spec=old.spec,
                pid=old.pid,
                loyal=old.loyal,
                first_run=old.first_run,
                kill_at=trio.current_time() + self._rules.curse_tolerance,
            )

    def _let_go(self) -> None:
        """Give back everything, whatever may be wrong with some of it."""
        if self._process:
            with suppress(Exception):
                self._process.kill()
        for give_back in (self._release, self._cancel_hook, self._close_listener):
            with suppress(Exception):
                give_back()


def _tells(effect: do.Effect) -> bool:
    return isinstance(effect, do.Publish)


def _merge(newest: hear.Stimulus, posted: hear.Stimulus) -> hear.Stimulus | None:
    """A hundred looks are one, and bytes that wait to be heard are heard together."""
    match newest, posted:
        case hear.Look(), hear.Look():
            return posted
        case hear.Heard(generation, data), hear.Heard(other, more) if generation == other:
            return hear.Heard(generation, condense(data + more))
    return None
