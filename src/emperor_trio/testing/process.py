"""Fake processes and listeners, and how they behave. :class:`~emperor_trio.testing.spawner.FakeSpawner` makes them.

A test may leave a process to its :class:`Behaviour`, or play it by hand with :meth:`FakeProcess.say`,
:meth:`FakeProcess.exit` and the like.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from emperor_trio.law.protocol import Order, Signal
from emperor_trio.model import VassalId, VassalSpec
from emperor_trio.ports import Deliver, Exited, Listener, PipeClosed, ProcessEvent, Received
from emperor_trio.testing.agenda import Agenda

SIGKILL = 9


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a fake process does by itself. Times in seconds; ``None`` is never.

    ``ready`` counts from the spawn (then byte 1 is sent) or from the order to reload (then byte 5), ``accepting`` and
    ``loyal`` from ``ready``, ``dies`` (with ``code``) from the spawn, ``stops`` from the order to stop. One that does
    not ``obey`` ignores orders to reload; one that does not ``read`` leaves its config in the pipe. ``killable`` is
    false for one that hangs in the kernel.
    """

    ready: float | None = 0.0
    accepting: float | None = None
    loyal: float | None = None
    dies: float | None = None
    code: int = 1
    stops: float | None = 0.0
    obeys: bool = True
    reads: bool = True
    killable: bool = True


LOYAL = Behaviour(accepting=0.0, loyal=0.0)
"""Ready, accepting and loyal at once."""

CRASHING = Behaviour(ready=None, dies=0.0)
"""Dies at once with exit code 1."""

STUBBORN = Behaviour(stops=None)
"""Ready at once, and ignores the order to stop."""


class FakeListener:
    """Implements :class:`emperor_trio.ports.Listener` without a socket. ``backlog`` counts connections that wait."""

    def __init__(self, address: str, agenda: Agenda) -> None:
        self.address = address
        self.backlog: int = 0
        self.closed: bool = False
        self._agenda = agenda
        self._notify: Callable[[], None] | None = None

    @property
    def armed(self) -> bool:
        return self._notify is not None

    def connect(self) -> None:
        """A client connects, and waits to be accepted."""
        if self.closed:
            raise ConnectionRefusedError(self.address)
        self.backlog += 1
        self._agenda.after(0, self._ring)

    def accept_all(self) -> None:
        """Take every connection that waits, as a vassal does."""
        self.backlog = 0

    def arm(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        if self.backlog:
            self._agenda.after(0, self._ring)

    def disarm(self) -> None:
        self._notify = None

    def close(self) -> None:
        self.closed = True
        self._notify = None

    def _ring(self) -> None:
        notify, self._notify = self._notify, None
        if notify is not None:
            notify()


@dataclass(eq=False)
class FakeProcess:
    """Implements :class:`emperor_trio.ports.Process` without the OS, and records what it was told.

    ``number`` counts the vassal's processes from 1; ``orders`` are the bytes that came; ``unread`` are the configs that
    lie in its pipe and ``configs`` those that it read; ``stuck`` makes it take no more orders. ``code`` is ``None``
    while it lives.
    """

    pid: int
    vassal: VassalId
    spec: VassalSpec
    number: int
    zergs: int
    listener: Listener | None
    behaviour: Behaviour
    born: float
    agenda: Agenda = field(repr=False)
    deliver: Deliver = field(repr=False)
    orders: list[Order] = field(default_factory=list)
    unread: deque[bytes] = field(default_factory=deque)
    configs: list[bytes] = field(default_factory=list)
    stuck: bool = False
    closed: bool = False
    code: int | None = None
    _round: int = 0
    _waits_for_config: bool = False

    @property
    def alive(self) -> bool:
        return self.code is None

    @property
    def config(self) -> bytes | None:
        """The config that it runs with: the last one that it read."""
        return self.configs[-1] if self.configs else None

    # --- played by a test ---

    def say(self, *data: int) -> None:
        """Send bytes over the emperor pipe."""
        self._tell(Received(bytes(data)))

    def close_pipe(self) -> None:
        """Close the emperor pipe, and live on."""
        self._tell(PipeClosed())

    def exit(self, code: int = 0) -> None:
        """End. Nothing happens where it has ended already."""
        if self.alive:
            self.code = code
            if not self.closed:
                self.deliver(Exited(code))

    def read_config(self) -> bytes:
        """Take the oldest config out of the pipe. Raises IndexError where there is none."""
        config = self.unread.popleft()
        self.configs.append(config)
        return config

    def reload(self) -> None:
        """Execute itself anew, as if told by a signal: ask for the config, read it, and be ready again."""
        self._round += 1
        if self.spec.config is not None:
            self.say(Signal.SEND_CONFIG)
        self._boot()

    # --- the port ---

    def send(self, order: int) -> bool:
        if self.stuck or self.closed or not self.alive:
            return False
        self.orders.append(Order(order))
        if order == Order.RELOAD:
            if self.behaviour.obeys:
                self.agenda.after(0, self._if_alive(self.reload))
        elif self.behaviour.stops is not None:
            self.agenda.after(self.behaviour.stops, self.exit)
        return True

    def send_config(self, config: bytes) -> bool:
        if self.spec.config is None or self.closed or not self.alive:
            return False
        self.unread.append(config)
        if self._waits_for_config:
            self._waits_for_config = False
            self.agenda.after(0, self._if_alive(self._boot))
        return True

    def has_unread_config(self) -> bool:
        return bool(self.unread)

    def kill(self) -> None:
        if self.behaviour.killable:
            self.agenda.after(0, lambda: self.exit(-SIGKILL))

    def close(self) -> None:
        self.closed = True

    # --- by itself ---

    def begin(self) -> None:
        """Start to behave; the spawner calls this once."""
        if self.spec.config is not None:
            self.send_config(self.spec.config)
        self._boot()
        if self.behaviour.dies is not None:
            self.agenda.after(self.behaviour.dies, lambda: self.exit(self.behaviour.code))

    def _boot(self) -> None:
        if self.spec.config is not None and self.behaviour.reads:
            if not self.unread:
                self._waits_for_config = True
                return
            self.read_config()
        self._later(self.behaviour.ready, self._be_ready)

    def _be_ready(self) -> None:
        if isinstance(self.listener, FakeListener):
            self.listener.accept_all()
        if self._round:
            self.say(Signal.ACCEPTING)  # as uWSGI, which sends byte 1 once in its life
        else:
            self.say(Signal.READY)
            self._later(self.behaviour.accepting, lambda: self.say(Signal.ACCEPTING))
        self._later(self.behaviour.loyal, lambda: self.say(Signal.LOYAL))

    def _later(self, delay: float | None, action: Callable[[], None]) -> None:
        if delay is None:
            return
        now = self._round
        self.agenda.after(delay, self._if_alive(lambda: action() if self._round == now else None))

    def _if_alive(self, action: Callable[[], None]) -> Callable[[], None]:
        return lambda: action() if self.alive else None

    def _tell(self, event: ProcessEvent) -> None:
        if self.alive and not self.closed:
            self.deliver(event)
