"""``zmq://ENDPOINT``: a ZeroMQ PULL socket that takes commands, ``touch`` and ``destroy``, as multipart messages.

ZeroMQ keeps nothing and tells nobody whether a message arrived, so what was received is kept in the state file where
there is one. What a message means is judged in :mod:`._zmq_commands`, who may send one in :mod:`._zmq_curve`.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import ClassVar, TypeVar, TypeVarTuple

import trio
import zmq

from emperor_trio.errors import MonitorError, UsageError
from emperor_trio.events import MonitorNotice
from emperor_trio.model import Destroy, Observation, Snapshot, Touch, VassalSpec
from emperor_trio.monitors._complaints import ROUND, Complaints
from emperor_trio.monitors._rows import RowRules, Wrong, show
from emperor_trio.monitors._zmq_commands import DestroyCommand, TouchCommand, read_command, read_endpoint
from emperor_trio.monitors._zmq_curve import SIGNS, read_curve
from emperor_trio.monitors._zmq_socket import END_LIMIT, explain_bind, free_path, receive, zmq_library
from emperor_trio.ports import Emit, Kept, MonitorContext

LARGEST_FRAME = 131_072
"""Bytes. A config that is too large is refused by name up to here; who sends more is disconnected by libzmq."""

QUEUE = 1000
"""Messages of one sender that wait here; more of them wait at the sender's."""

TAKEN = 1000
"""Messages that are taken before what they ask for is passed on."""

FAIR = 50
"""Messages after which everyone else has a turn."""

IDLE = 60
"""Seconds of silence after which TCP asks whether a sender is still there."""


_Args = TypeVarTuple("_Args")
_Result = TypeVar("_Result")


class ZmqMonitor:
    """``context.argument`` is the endpoint to bind: ``tcp://ADDRESS:PORT`` or ``ipc://PATH``.

    Raises :class:`~emperor_trio.errors.UsageError` for any other one, and for keys that are not to be used.
    """

    only_announced: ClassVar[bool] = True
    """Nothing is known of a vassal before it is announced: there is nothing to look at."""

    def __init__(self, context: MonitorContext) -> None:
        self._context = context
        self._rules = RowRules.of(context)
        self._complaints = Complaints(context.name, context.publish, "message")
        try:
            self._endpoint = read_endpoint(context.argument)
        except ValueError as error:
            raise UsageError(f"--emperor {context.name}: {error}") from None
        self._curve = read_curve(context.zmq_curve_key, context.zmq_curve_clients)
        self._folder = os.getcwd()
        self._recalled = False
        self._warned = False
        self._known: dict[str, VassalSpec] = {}
        self._files: dict[str, TouchCommand] = {}
        self._outbox: dict[str, tuple[Observation, ...]] = {}
        self._newest = 0
        self._speaking = trio.Lock()
        self._limiter = trio.CapacityLimiter(1)

    async def run(self, emit: Emit) -> None:
        """Take commands until cancelled. Raises :class:`~emperor_trio.errors.MonitorError` where it can't listen."""
        if not self._recalled:
            await self._recall()
        async with self._own_path(), zmq_library(self._limiter) as library:
            door = self._curve.open_door(library) if self._curve is not None else None
            pull = self._listen(library)
            async with trio.open_nursery() as nursery:
                if self._curve is not None:
                    nursery.start_soon(self._curve.watch_handshakes, pull.get_monitor_socket(SIGNS), self._complain)
                    if door is not None:
                        nursery.start_soon(self._curve.keep_door, door, self._complain, self._limiter)
                await self._say_all(emit)
                nursery.start_soon(self._answer_rings, emit)
                nursery.start_soon(self._count_complaints)
                await self._take_for_ever(pull, emit)

    @asynccontextmanager
    async def _own_path(self) -> AsyncIterator[None]:
        """See that the path of a unix socket is free, and leave it so: libzmq cares for neither."""
        if not self._endpoint.path:
            yield
            return
        await self._in_thread(free_path, self._endpoint.path)
        try:
            yield
        finally:
            with suppress(MonitorError), trio.move_on_after(END_LIMIT, shield=True):
                await self._in_thread(free_path, self._endpoint.path)

    def _listen(self, library: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
        """The bound socket. Raises :class:`~emperor_trio.errors.MonitorError`."""
        pull = library.socket(zmq.PULL)
        pull.set(zmq.RCVHWM, QUEUE)
        pull.set(zmq.MAXMSGSIZE, LARGEST_FRAME)
        pull.set(zmq.TCP_KEEPALIVE, 1)
        pull.set(zmq.TCP_KEEPALIVE_IDLE, IDLE)
        pull.set(zmq.IPV6, self._endpoint.is_ipv6)
        if self._curve is not None:
            self._curve.secure(pull)
        elif self._endpoint.is_public and not self._warned:
            self._warned = True
            advice = "whoever reaches it runs what they like: name 127.0.0.1, or give --emperor-zmq-curve-key"
            self._context.publish(MonitorNotice(self._context.name, f"takes commands from other machines; {advice}"))
        try:
            pull.bind(self._endpoint.text)
        except zmq.ZMQError as error:
            raise MonitorError(explain_bind(self._endpoint.text, error)) from error
        return pull

    # --- what is received --------------------------------------------------------------------------------------------

    async def _take_for_ever(self, pull: zmq.Socket[bytes], emit: Emit) -> None:
        while True:
            empty = await self._take_what_is_there(pull)
            await self._find_files()
            await self._pass_on(emit)
            if empty:
                await trio.lowlevel.wait_readable(pull.FD)

    async def _take_what_is_there(self, pull: zmq.Socket[bytes]) -> bool:
        """Take messages, of each vassal the newest; whether all there were. Cancelled anywhere it loses none."""
        for taken in range(1, TAKEN + 1):
            try:
                frames, count = await receive(pull)
            except zmq.Again:
                return True
            self._take(frames, count)
            if taken % FAIR == 0:
                await trio.lowlevel.checkpoint()
        return False

    def _take(self, frames: list[bytes], count: int) -> None:
        match read_command(frames, count, self._rules):
            case Wrong() as wrong:
                self._complain(wrong)
            case DestroyCommand(name):
                self._destroy(name)
            case TouchCommand(config=None) as command:
                self._files[command.name] = command
            case TouchCommand(name, config, owner, socket):
                self._files.pop(name, None)
                self._newest = max(self._newest + 1, time.time_ns())
                seconds = self._newest // 1_000_000_000
                self._touch(VassalSpec(name, self._newest, seconds, config, owner, socket))

    def _touch(self, spec: VassalSpec) -> None:
        """A vassal is to be added or reloaded; anew, where its end is not passed on yet."""
        self._complaints.settle(spec.name)
        self._known[spec.name] = spec
        if self._context.memory is not None:
            self._context.memory.keep(Kept(spec))
        ends = tuple(said for said in self._outbox.get(spec.name, ()) if isinstance(said, Destroy))
        self._outbox[spec.name] = (*ends, Touch(spec, force=True))

    def _destroy(self, name: str) -> None:
        waiting = self._files.pop(name, None)
        if self._known.pop(name, None) is not None:
            if self._context.memory is not None:
                self._context.memory.forget(name)
            self._outbox[name] = (Destroy(name),)
        elif waiting is None:
            self._complain(Wrong(name, "command", "'destroy'", "there is no vassal of this name"))

    async def _find_files(self) -> None:
        """Look at the files of those that were touched without a config."""
        commands, self._files = self._files, {}
        if not commands:
            return
        try:
            found = await self._in_thread(_find_files, self._folder, [*map(_spec_of, commands.values())])
        except trio.Cancelled:
            self._files = commands
            raise
        for entry in found:
            if isinstance(entry, Wrong):
                self._complain(entry)
            else:
                self._touch(entry)

    async def _in_thread(self, function: Callable[[*_Args], _Result], *arguments: *_Args) -> _Result:
        """A cancellation does not wait for it: a file system may hang."""
        return await trio.to_thread.run_sync(function, *arguments, limiter=self._limiter, abandon_on_cancel=True)

    # --- what is said ------------------------------------------------------------------------------------------------

    async def _recall(self) -> None:
        """What an emperor before this one received. Raises :class:`~emperor_trio.errors.MonitorError`."""
        kept = await self._context.memory.recall() if self._context.memory is not None else ()
        recalled = {one.spec.name: one.spec for one in kept}
        files = [spec for spec in recalled.values() if spec.config is None]
        for entry in await self._in_thread(_find_files, self._folder, files):
            if isinstance(entry, Wrong):
                self._complain(entry)  # it is tried all the same: its folder may be mounted later
            else:
                recalled[entry.name] = entry
        self._known = recalled
        self._newest = max((spec.version for spec in recalled.values()), default=0)
        self._recalled = True

    async def _say_all(self, emit: Emit) -> None:
        async with self._speaking:
            await emit(Snapshot(tuple(self._known.values())))

    async def _answer_rings(self, emit: Emit) -> None:
        while True:
            await self._context.doorbell.wait()
            await self._say_all(emit)

    async def _pass_on(self, emit: Emit) -> None:
        while self._outbox:
            name = next(iter(self._outbox))
            async with self._speaking:
                for observation in self._outbox[name]:
                    await emit(observation)
            del self._outbox[name]

    def _complain(self, wrong: Wrong) -> None:
        self._complaints.take(wrong, trio.current_time())

    async def _count_complaints(self) -> None:
        while True:
            await trio.sleep(ROUND)
            self._complaints.tell_rest()


def _spec_of(command: TouchCommand) -> VassalSpec:
    """What a command says of a vassal whose config is a file; the file's time is still to come."""
    return VassalSpec(command.name, 0, owner=command.owner, socket=command.socket)


def _find_files(folder: str, specs: Iterable[VassalSpec]) -> list[VassalSpec | Wrong]:
    """Vassals whose configs are files, as those files are now. Blocks."""
    return [_find_file(folder, spec) for spec in specs]


def _find_file(folder: str, spec: VassalSpec) -> VassalSpec | Wrong:
    path = os.path.join(folder, spec.name)
    try:
        found = os.stat(path)
    except OSError as error:
        return Wrong(spec.name, "file", show(path), f"{error.strerror}; a vassal without a config is a file there")
    if not stat.S_ISREG(found.st_mode):
        return Wrong(spec.name, "file", show(path), "is no regular file")
    return replace(spec, version=found.st_mtime_ns, modified=int(found.st_mtime))
