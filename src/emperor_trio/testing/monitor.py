"""A monitor that sees what a test says, fails when a test says so, and counts how often its doorbell rang."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import trio

from emperor_trio.errors import MonitorError
from emperor_trio.events import Event
from emperor_trio.model import Observation, Snapshot, VassalSpec
from emperor_trio.ports import Doorbell, Emit, Monitor


class ScriptedMonitor:
    """Implements :class:`emperor_trio.ports.Monitor`; :meth:`make` is what an Emperor takes.

    ``runs`` counts its starts and ``rings`` its doorbell's. What was shown last is shown again at every start and ring,
    as a real source would be read again.
    """

    def __init__(self) -> None:
        self.runs: int = 0
        self.rings: int = 0
        self.publish: Callable[[Event], None] | None = None
        self._doorbell: Doorbell | None = None
        self._shown: Snapshot | None = None
        self._script: deque[tuple[Observation, trio.Event]] = deque()
        self._broken: Exception | None = None
        self._failures: deque[Exception] = deque()
        self._changed = trio.Event()

    def make(self, doorbell: Doorbell, publish: Callable[[Event], None]) -> Monitor:
        self._doorbell = doorbell
        self.publish = publish
        return self

    # --- said by a test ---

    async def emit(self, *observations: Observation) -> None:
        """See these, one after the other; returns when the supervisor has taken them."""
        for observation in observations:
            taken = trio.Event()
            self._script.append((observation, taken))
            self._changed.set()
            await taken.wait()

    async def show(self, *specs: VassalSpec) -> None:
        """The source holds exactly these from now on."""
        self._shown = Snapshot(specs)
        await self.emit(self._shown)

    def fail(self, error: Exception | str) -> None:
        """Fail once, now; the next start is well."""
        self._failures.append(_error(error))
        self._changed.set()

    def break_down(self, error: Exception | str) -> None:
        """Fail now and at every start, until :meth:`heal`."""
        self._broken = _error(error)
        self._changed.set()

    def heal(self) -> None:
        self._broken = None

    # --- the port ---

    async def run(self, emit: Emit) -> None:
        self.runs += 1
        self._raise()
        if self._shown is not None and all(observation is not self._shown for observation, _ in self._script):
            await emit(self._shown)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._answer_doorbell, emit)
            while True:
                self._changed = trio.Event()
                self._raise()
                while self._script:
                    observation, taken = self._script[0]
                    await emit(observation)
                    self._script.popleft()
                    taken.set()
                    self._raise()
                await self._changed.wait()

    async def _answer_doorbell(self, emit: Emit) -> None:
        assert self._doorbell is not None, "make the monitor with ScriptedMonitor.make"
        while True:
            await self._doorbell.wait()
            self.rings += 1
            if self._shown is not None:
                await emit(self._shown)

    def _raise(self) -> None:
        if self._broken is not None:
            raise self._broken
        if self._failures:
            raise self._failures.popleft()


def _error(error: Exception | str) -> Exception:
    return MonitorError(error) if isinstance(error, str) else error
