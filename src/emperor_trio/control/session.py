"""One client of the control channel, from its greeting to its end: its requests answered, its subscriptions served.

Two things are kept apart. Answers to requests wait until the client has taken them, and the client waits for them.
What nobody waits for (changes) is dropped where the client is too slow, and made good by a new snapshot.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import trio

from emperor_trio.control.hub import Filter, Hub, Selector
from emperor_trio.control.messages import (
    MOST_MEASURED,
    MOST_ROWS,
    AnyAnswer,
    AnyRequest,
    Changes,
    Command,
    Details,
    Done,
    Key,
    Lagged,
    LogLines,
    Look,
    Measure,
    Measured,
    Monitor,
    NameList,
    Names,
    Outcome,
    Refused,
    Scan,
    Selection,
    SettingList,
    Settings,
    Show,
    Shutdown,
    Snapshot,
    Subscribe,
    Tail,
    Tick,
    Unsubscribe,
    Usage,
    Vassal,
    Verdicts,
    decode_request,
    encode,
    event_of,
    readable_id,
)
from emperor_trio.control.turns import Allowance
from emperor_trio.control.usage import Meter, read
from emperor_trio.errors import ControlError
from emperor_trio.events import Level
from emperor_trio.masking import masked
from emperor_trio.model import VassalId, Verb
from emperor_trio.ports import Realm

MOST_WAITING = 1024 * 1024
"""Characters of changes that wait for one client at most; what comes then is lost to it. Where they are the same for
several clients, they wait in memory once."""

MOST_SUBSCRIPTIONS = 16
MOST_AT_ONCE = 16
"""Requests of one client that are answered at once."""

STUCK = 30.0
"""Seconds after which a client that takes nothing is let go."""

QUIET = 1.0
"""Seconds without news until a subscriber hears that the emperor lives."""

MEASURE = 2.0
"""Seconds between two looks at CPU and memory."""

MOST_CHOSEN = 200
"""Vassals that are held against a selection before everyone else has a turn."""

SCAN_LIMIT = 60.0
"""Seconds until a scan is answered though a monitor still looks."""


class Socket(Protocol):
    """A websocket, as trio-websocket has it."""

    async def get_message(self) -> str | bytes: ...

    async def send_message(self, message: str | bytes) -> None: ...


LogReader = Callable[[VassalId, int, bool], AsyncIterator[tuple[Sequence[str], int]]]
"""The last lines of a vassal's log, and with ``True`` what comes then; each time with how many were lost before. Raises
:class:`~emperor_trio.errors.ControlError` where there is no log."""


@dataclass(frozen=True)
class Services:
    """What a session needs besides the realm and the hub; ``None`` for what there is not."""

    wall: Callable[[], float]
    settings: Callable[[], SettingList] | None = None
    log_path: Callable[[VassalId], str] = lambda vassal: ""
    logs: LogReader | None = None
    lost: Callable[[int], None] = lambda events: None


@dataclass(eq=False)
class _Subscription:
    """Implements :class:`~emperor_trio.control.hub.Follower`. ``stale`` says that a snapshot is due.

    Once it is ``lagging``, nothing more is queued until what is ``lost`` is told and made good.
    """

    id: int
    filter: Filter
    session: Session
    stale: bool
    lagging: bool = False
    lost: int = 0

    def offer(self, body: str, events: int) -> None:
        if self.lagging or not self.session.queue(self.id, body, events):
            self.lose(events)

    def lose(self, events: int) -> None:
        if not self.lagging:
            events += self.session.unqueue(self.id)
        self.lost += events
        self.lagging = self.stale = True
        self.session.services.lost(events)
        self.session.wake()


@dataclass(eq=False)
class Session:
    """``commands`` says whether this client may command; ``allowance`` bounds what it and its like cost."""

    socket: Socket
    realm: Realm
    hub: Hub
    services: Services
    commands: bool
    allowance: Allowance
    subscriptions: dict[int, _Subscription] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._waiting: deque[tuple[int, str, int]] = deque()
        self._size = 0
        self._bell = trio.Event()
        self._sending = trio.Lock()
        self._jobs: dict[int, trio.CancelScope] = {}
        self._measure: trio.CancelScope | None = None
        self._slots = trio.Semaphore(MOST_AT_ONCE)
        self._stack = ExitStack()
        self._leave: dict[int, ExitStack] = {}

    async def run(self) -> None:
        """Serve until the client leaves (the websocket's own exception then comes out) or is let go."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._serve_subscriptions)
                while True:
                    message = await self.socket.get_message()
                    await self._slots.acquire()
                    nursery.start_soon(self._answer, message)
        finally:
            for stack in self._leave.values():
                stack.close()

    # --- out ---

    def queue(self, number: int, body: str, events: int) -> bool:
        """Have a change sent, under the ``id`` of its subscription; false where too much waits already."""
        if self._size + len(body) > MOST_WAITING and self._waiting:
            return False
        self._waiting.append((number, body, events))
        self._size += len(body)
        self.wake()
        return True

    def unqueue(self, number: int) -> int:
        """Let go what waits for a subscription: a snapshot will say more. How many events those were."""
        mine = [waiting for waiting in self._waiting if waiting[0] == number]
        self._waiting = deque(waiting for waiting in self._waiting if waiting[0] != number)
        self._size -= sum(len(body) for _, body, _ in mine)
        return sum(events for _, _, events in mine)

    def wake(self) -> None:
        self._bell.set()

    async def send(self, answer: AnyAnswer) -> None:
        """Encoded when it is its turn, so that of many answers one is in memory as text."""
        with self._patience():
            async with self._sending:
                await self.socket.send_message(encode(answer))

    async def _send(self, text: str) -> None:
        with self._patience():
            async with self._sending:
                await self.socket.send_message(text)

    @contextmanager
    def _patience(self) -> Iterator[None]:
        with trio.move_on_after(STUCK) as limit:
            yield
        if limit.cancelled_caught:
            raise ControlError("it takes nothing")

    async def _serve_subscriptions(self) -> None:
        while True:
            if lagging := next((s for s in self.subscriptions.values() if s.lagging), None):
                await self._renew(lagging)
            elif self._waiting:
                number, body, _ = self._waiting.popleft()
                self._size -= len(body)
                await self._send(f'{{"id":{number},{body}')
            elif stale := next((s for s in self.subscriptions.values() if s.stale), None):
                await self._renew(stale)
            else:
                self._bell = trio.Event()
                with trio.move_on_after(QUIET if self.subscriptions or self._jobs else float("inf")) as quiet:
                    await self._bell.wait()
                if quiet.cancelled_caught:
                    await self.send(Tick(self.services.wall()))

    async def _renew(self, subscription: _Subscription) -> None:
        """Tell what was lost, and how all is now."""
        lagging, lost = subscription.lagging, subscription.lost
        subscription.lagging, subscription.lost, subscription.stale = False, 0, False
        if lagging:
            await self.send(Lagged(subscription.id, lost))
        if subscription.filter.vassals:
            await self._send_snapshot(subscription.id, subscription.filter.selector)

    async def _chosen(self, selector: Selector, vassals: Sequence[VassalId]) -> list[VassalId]:
        """Those that are meant, found piece by piece."""
        found: list[VassalId] = []
        for first in range(0, len(vassals), MOST_CHOSEN):
            those = vassals[first : first + MOST_CHOSEN]
            found += await self.allowance.turns.take(lambda those=those: list(filter(selector, those)))  # type: ignore[misc]
        return found

    async def _send_snapshot(self, number: int, selector: Selector) -> None:
        absent = tuple(map(Key.of, await self._chosen(selector, self.realm.absent())))
        meant = await self._chosen(selector, self.realm.vassal_ids())
        for first in range(0, max(len(meant), 1), MOST_ROWS):
            those, last = meant[first : first + MOST_ROWS], first + MOST_ROWS >= len(meant)
            await self._send(await self.allowance.turns.take(partial(self._piece, number, those, absent, last)))

    def _piece(self, number: int, those: Sequence[VassalId], absent: tuple[Key, ...], last: bool) -> str:
        """A part of a snapshot, as it goes out; the last one has all that is told once."""
        rows = tuple(Vassal.of(seen) for seen in map(self.realm.vassal, those) if seen is not None)
        if not last:
            return encode(Snapshot(number, self.services.wall(), rows, last=False))
        monitors = tuple(map(Monitor.of, self.realm.monitors()))
        return encode(Snapshot(number, self.services.wall(), rows, monitors, absent))

    # --- in ---

    async def _answer(self, message: str | bytes) -> None:
        try:
            await self._take(message)
        finally:
            self._slots.release()

    async def _take(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            await self.send(Refused(0, "messages are text"))
            return
        try:
            request = await self.allowance.turns.take(partial(decode_request, message))
        except ControlError as error:
            await self.send(Refused(readable_id(message), str(error)))
            return
        try:
            answer = await self._obey(request)
        except ControlError as error:
            answer = Refused(request.id, str(error))
        if answer is not None:
            await self.send(answer)

    async def _obey(self, request: AnyRequest) -> AnyAnswer | None:
        """Carry out a request; its answer, unless that was sent already."""
        match request:
            case Command() | Scan() | Shutdown() if not self.commands:
                raise ControlError("this connection may only look: see 'The token' in docs/gateway.md")
            case Command(number, verb, which):
                return await self._command(number, verb, which)
            case Scan(number, monitor):
                return await self._scan(number, monitor)
            case Shutdown(number):
                await self.send(Done(number, "the emperor stops"))
                self.realm.stop("told to stop over the control channel")
                return None
            case Look(number, which):
                await self._send_snapshot(number, Selector(which))
                return None
            case Show(number, key):
                return self._show(number, key)
            case Subscribe():
                return await self._subscribe(request)
            case Unsubscribe(number, subscription):
                return self._unsubscribe(number, subscription)
            case Measure():
                return await self._measure_on(request)
            case Tail():
                return await self._tail(request)
            case Settings(number):
                if self.services.settings is None:
                    raise ControlError("this emperor runs inside another program, which has its settings")
                told = self.services.settings()
                return SettingList(number, told.settings, told.arguments, told.directory)
            case Names(number, prefix, monitor, most):
                return await self.allowance.turns.take(partial(self._names, number, prefix, monitor, most))

    async def _command(self, number: int, verb: Verb, which: Selection) -> AnyAnswer:
        selector = Selector(which)
        vassals = await self._chosen(selector, self.realm.vassal_ids())
        if not (which.exact and which.names):
            vassals = [vassal for vassal in vassals if not vassal.ordinal]
        if verb is Verb.START:
            vassals += await self._chosen(selector, self.realm.absent())
        verdicts = await self.realm.order(verb, vassals) if vassals else ()
        return Verdicts(
            number,
            tuple(
                Outcome(
                    verdict.vassal.monitor,
                    verdict.vassal.name,
                    verdict.vassal.ordinal,
                    verdict.ok,
                    masked(verdict.text),
                    verdict.revision,
                )
                for verdict in verdicts
            ),
        )

    async def _scan(self, number: int, monitor: str | None) -> AnyAnswer:
        with trio.move_on_after(SCAN_LIMIT) as limit:
            try:
                await self.realm.scan(monitor)
            except KeyError:
                raise ControlError(f"there is no monitor {monitor!r}") from None
        return Done(number, f"a monitor still looks after {SCAN_LIMIT:g} s" if limit.cancelled_caught else "")

    def _show(self, number: int, key: Key) -> AnyAnswer:
        seen = self.realm.vassal(key.vassal)
        if seen is None:
            raise ControlError(f"there is no vassal {key.name!r}")
        return Details(
            number,
            Vassal.of(seen),
            tuple(map(event_of, self.hub.history.of(key.vassal))),
            tuple(map(masked, self.realm.command_line(key.vassal))),
            self.services.log_path(key.vassal),
            dict(self.realm.attributes(key.vassal)),
        )

    def _names(self, number: int, prefix: str, monitor: str | None, most: int) -> AnyAnswer:
        names = {
            vassal.name
            for vassal in (*self.realm.vassal_ids(), *self.realm.absent())
            if vassal.name.startswith(prefix) and monitor in (None, vassal.monitor)
        }
        return NameList(number, tuple(sorted(names)[: max(most, 0)]))

    # --- subscriptions ---

    async def _subscribe(self, request: Subscribe) -> AnyAnswer | None:
        try:
            level = Level[request.level.upper()]
        except KeyError:
            raise ControlError(f"{request.level!r} is no level: debug, info, warning, error") from None
        self._check_id(request.id)
        if len(self._leave) >= MOST_SUBSCRIPTIONS:
            raise ControlError(f"there are {MOST_SUBSCRIPTIONS} subscriptions at most")
        filter_ = Filter(request.which, request.vassals, request.events, level)
        subscription = _Subscription(request.id, filter_, self, stale=request.vassals)
        leave = ExitStack()
        leave.enter_context(self.hub.follow(filter_, subscription, trusted=self.commands))
        self._leave[request.id] = leave
        if request.recent > 0:
            meant = filter_.selector if filter_.selector.narrow else None
            recent = self.hub.history.recent(filter_.wants, request.recent, meant)
            if recent:
                await self.send(Changes(request.id, self.services.wall(), events=tuple(map(event_of, recent))))
        self.subscriptions[request.id] = subscription
        self.wake()
        return None if request.vassals else Done(request.id)

    def _unsubscribe(self, number: int, which: int) -> AnyAnswer:
        self.subscriptions.pop(which, None)
        leave = self._leave.pop(which, None)
        job = self._jobs.get(which)
        if leave is None and job is None:
            raise ControlError(f"there is no subscription {which}")
        if leave is not None:
            leave.close()
        if job is not None:
            job.cancel()
        return Done(number)

    async def _measure_on(self, request: Measure) -> AnyAnswer | None:
        """Look every two seconds, until a newer request comes."""
        if len(request.vassals) > MOST_MEASURED:
            raise ControlError(f"at most {MOST_MEASURED} vassals are measured at once: those in view")
        self._check_id(request.id)
        if self._measure is not None:
            self._measure.cancel()
        self._make_room()
        meter = Meter()
        with trio.CancelScope() as scope:
            self._measure = self._jobs[request.id] = scope
            self.wake()
            try:
                while request.vassals:
                    await self.send(Usage(request.id, self.services.wall(), await self._look(request.vassals, meter)))
                    await trio.sleep(MEASURE)
            finally:
                del self._jobs[request.id]
        return None if request.vassals else Done(request.id)

    def _check_id(self, number: int) -> None:
        """Raises ControlError where something that lasts has this id already."""
        if number in self._jobs or number in self._leave:
            raise ControlError(f"the id {number} is in use: unsubscribe from it first, or take another one")

    def _make_room(self) -> None:
        """Raises ControlError where this client has enough under way."""
        if len(self._jobs) >= MOST_AT_ONCE // 2:
            raise ControlError(f"at most {MOST_AT_ONCE // 2} logs and measurements at once: unsubscribe from one")

    async def _look(self, keys: Sequence[Key], meter: Meter) -> tuple[Measured, ...]:
        pids = {}
        for key in keys:
            seen = self.realm.vassal(key.vassal)
            if seen is not None and seen.pid > 0:
                pids[key] = seen.pid
        found = await self.allowance.look(partial(read, list(pids.values())))
        shares = meter.shares(found)
        return tuple(
            Measured(key.monitor, key.name, key.ordinal, shares.get(pid, 0.0), use.memory_bytes, use.processes)
            for key, pid in pids.items()
            if (use := found.get(pid)) is not None
        )

    async def _tail(self, request: Tail) -> AnyAnswer | None:
        if self.services.logs is None:
            raise ControlError(
                "vassals print where the emperor does; start it with --vassal-logs DIR to keep each one's log"
            )
        self._check_id(request.id)
        self._make_room()
        try:
            self.allowance.logs.acquire_nowait()
        except trio.WouldBlock:
            raise ControlError("too many logs are read at once; try again later") from None
        with trio.CancelScope() as scope:
            self._jobs[request.id] = scope
            self.wake()
            try:
                async for lines, lost in self.services.logs(request.vassal.vassal, request.lines, request.follow):
                    await self.send(LogLines(request.id, tuple(lines), lost))
            finally:
                del self._jobs[request.id]
                self.allowance.logs.release()
        return LogLines(request.id, (), last=True)
