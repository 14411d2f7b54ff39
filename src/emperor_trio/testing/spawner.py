"""A spawner without an operating system: records every spawn, and lets a test say how each one goes."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

import trio

from emperor_trio.errors import ListenError
from emperor_trio.model import VassalId, VassalSpec
from emperor_trio.ports import Deliver, HookPoint, Listener, Process
from emperor_trio.testing.agenda import Agenda
from emperor_trio.testing.process import Behaviour, FakeListener, FakeProcess

FIRST_PID = 100_000


@dataclass(frozen=True, slots=True)
class Hook:
    """How a hook goes: it takes ``seconds``, and ``wrong`` is what it says in the end (``None``: success)."""

    seconds: float = 0.0
    wrong: str | None = None


@dataclass(frozen=True, slots=True)
class HookCall:
    point: HookPoint
    vassal: VassalId
    pid: int


class FakeSpawner:
    """Implements :class:`emperor_trio.ports.Spawner`. Give :meth:`run` to the emperor as a service.

    Names are those of configs; a zerg goes by its vassal's. ``spawned`` are all processes ever, oldest first;
    ``sockets`` answers ``--emperor-on-demand-exec`` by name (an exception is raised; ``None`` where nothing is said);
    ``hooks`` are those there are, and ``hook_calls`` those that began. ``bind_seconds`` is the time that binding and
    asking take. ``overlaps`` are vassals that got a process while an earlier one lived: a fault in whoever spawned.
    """

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        self.behaviour: Behaviour = behaviour or Behaviour()
        self.spawned: list[FakeProcess] = []
        self.listeners: list[FakeListener] = []
        self.sockets: dict[str, str | Exception | None] = {}
        self.hooks: dict[HookPoint, Hook] = {}
        self.hook_calls: list[HookCall] = []
        self.bind_seconds: float = 0.0
        self.overlaps: list[VassalId] = []
        self._agenda = Agenda()
        self._behaviours: dict[str, deque[Behaviour]] = {}
        self._failures: dict[str, deque[Exception]] = {}
        self._refusals: dict[str, Exception] = {}
        self._newest: dict[VassalId, FakeProcess] = {}
        self._numbers: Counter[VassalId] = Counter()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """What makes the fakes move."""
        await self._agenda.run(task_status)

    # --- said by a test ---

    def behave(self, name: str, *behaviours: Behaviour) -> None:
        """How this vassal's next processes behave, one after the other; the last behaviour stays."""
        self._behaviours[name] = deque(behaviours)

    def fail(self, name: str, *errors: Exception) -> None:
        """Have this vassal's next spawns raise these errors, one after the other."""
        self._failures[name] = deque(errors)

    def refuse(self, address: str, error: Exception | None = None) -> None:
        """Have the address be taken (or fail as ``error`` says), until it is :meth:`allow`-ed."""
        self._refusals[address] = error or ListenError(f"{address}: address already in use")

    def allow(self, address: str) -> None:
        self._refusals.pop(address, None)

    # --- asked by a test ---

    @property
    def live(self) -> list[FakeProcess]:
        return [process for process in self.spawned if process.alive]

    @property
    def open_listeners(self) -> list[FakeListener]:
        return [listener for listener in self.listeners if not listener.closed]

    def of(self, name: str, ordinal: int = 0) -> list[FakeProcess]:
        """All processes of one vassal, oldest first."""
        return [p for p in self.spawned if (p.vassal.name, p.vassal.ordinal) == (name, ordinal)]

    def newest(self, name: str, ordinal: int = 0) -> FakeProcess:
        """The newest process of one vassal. Raises IndexError where it never had one."""
        return self.of(name, ordinal)[-1]

    def listener(self, address: str) -> FakeListener:
        """The open listener of an address. Raises IndexError where there is none."""
        return [listener for listener in self.open_listeners if listener.address == address][-1]

    # --- the port ---

    def spawn(
        self, vassal: VassalId, spec: VassalSpec, zergs: int, listener: Listener | None, deliver: Deliver
    ) -> Process:
        failures = self._failures.get(vassal.name)
        if failures:
            raise failures.popleft()
        former = self._newest.get(vassal)
        if former is not None and former.alive:
            self.overlaps.append(vassal)
        self._numbers[vassal] += 1
        process = self._newest[vassal] = FakeProcess(
            pid=FIRST_PID + len(self.spawned),
            vassal=vassal,
            spec=spec,
            number=self._numbers[vassal],
            zergs=zergs,
            listener=listener,
            behaviour=self._next_behaviour(vassal.name),
            born=trio.current_time(),
            agenda=self._agenda,
            deliver=deliver,
        )
        self.spawned.append(process)
        process.begin()
        return process

    def command_line(self, vassal: VassalId, spec: VassalSpec) -> tuple[str, ...]:
        """As a uWSGI that needs no options of its own would have it."""
        return ("uwsgi", "--ini", spec.name)

    async def listen(self, vassal: VassalId, spec: VassalSpec, address: str) -> Listener:
        await trio.sleep(self.bind_seconds)
        if address in self._refusals:
            raise self._refusals[address]
        if any(listener.address == address for listener in self.open_listeners):
            raise ListenError(f"{address}: address already in use")
        listener = FakeListener(address, self._agenda)
        self.listeners.append(listener)
        return listener

    async def ask_socket(self, vassal: VassalId, spec: VassalSpec) -> str | None:
        await trio.sleep(self.bind_seconds)
        answer = self.sockets.get(vassal.name)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def has_hook(self, point: HookPoint) -> bool:
        return point in self.hooks

    async def run_hook(self, point: HookPoint, vassal: VassalId, spec: VassalSpec, pid: int) -> str | None:
        self.hook_calls.append(HookCall(point, vassal, pid))
        hook = self.hooks[point]
        await trio.sleep(hook.seconds)
        return hook.wrong

    def _next_behaviour(self, name: str) -> Behaviour:
        behaviours = self._behaviours.get(name)
        if not behaviours:
            return self.behaviour
        return behaviours.popleft() if len(behaviours) > 1 else behaviours[0]
