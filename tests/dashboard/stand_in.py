"""An emperor's gateway without an emperor: thousands of vassals that exist only on the control channel.

``python -m tests.dashboard.stand_in --vassals 10000 --rate 100`` prints its port, and serves the dashboard's own files
and made-up answers, encoded by ``control.messages``, until its stdin closes. The token of commands is ``TOKEN``.
"""

from __future__ import annotations

import argparse
import base64
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, wrap_server_stream

from emperor_trio.control import messages as m
from emperor_trio.outlets.gateway_pages import dashboard
from emperor_trio.outlets.http_head import SAFETY, Replayed

TOKEN = "a token of tests, long enough"

STATES = [
    *[m.State.UP] * 80,
    *[m.State.WAITING] * 12,
    *[m.State.STOPPED] * 3,
    *[m.State.BLACKLISTED] * 2,
    m.State.FAILED,
    m.State.STARTING,
    m.State.QUEUED,
]
MONITORS = ("/etc/uwsgi/vassals", "pg://127.0.0.1/tenants", "/srv/*/uwsgi.ini")
LEVELS = ("debug", "info", "warning", "error")

HOSTILE = (
    "<img src=x onerror=window.hacked=1>.ini",
    "\u202egnp.ini",
    "line\nbreak.ini",
    "bytes\udcff\udc80.ini",
    "a/b%2F c#?&.ini",
    "x" * 240 + ".ini",
    "мир-世界.ini",
)


@dataclass
class Empire:
    vassals: dict[m.Key, m.Vassal]
    monitors: tuple[m.Monitor, ...]
    readers: set[trio.MemorySendChannel[m.Changes]] = field(default_factory=set)
    sent: int = 0

    def tell(self, changes: m.Changes) -> None:
        for vassal in changes.vassals:
            self.vassals[vassal.key] = vassal
        for key in changes.gone:
            self.vassals.pop(key, None)
        for reader in self.readers:
            reader.send_nowait(changes)
        self.sent += len(changes.events)


def make_vassal(monitor: str, name: str, state: m.State, number: int) -> m.Vassal:
    now = time.time()
    runs = state in (m.State.UP, m.State.STARTING, m.State.RELOADING, m.State.STOPPING)
    began = now - number % 86400 - 5
    return m.Vassal(
        monitor=monitor,
        name=name,
        ordinal=0,
        state=state,
        phase={m.State.UP: "running", m.State.BLACKLISTED: "queued"}.get(state, state.value),
        pid=1000 + number if runs else 0,
        ready=state is m.State.UP,
        accepting=state is m.State.UP,
        loyal=state is m.State.UP,
        held="stopped by a command" if state is m.State.STOPPED else "",
        since=began,
        first_run=began,
        last_run=began,
        last_ready=began + 1,
        last_heartbeat=0.0,
        cursed_at=0.0,
        generation=1 + number % 7,
        reloads=number % 3,
        deaths=number % 2,
        exit_code=1 if state is m.State.FAILED else None,
        next_spawn=now + 3600 if state is m.State.BLACKLISTED else 0.0,
        reason="5 restarts within 60 s" if state is m.State.FAILED else "",
        revision=3,
        wanted=3,
        modified=int(began),
        on_demand="127.0.0.1:8000" if state is m.State.WAITING else "",
        owner="1000:1000",
    )


def make_empire(number: int) -> Empire:
    chance = random.Random(7)
    names = [(MONITORS[0], name) for name in HOSTILE] if number > 2 * len(HOSTILE) else []
    names += [(MONITORS[index % 10 // 7], f"tenant-{index}.ini") for index in range(number - len(names))]
    vassals = [make_vassal(monitor, name, chance.choice(STATES), index) for index, (monitor, name) in enumerate(names)]
    now = time.time()
    return Empire(
        {vassal.key: vassal for vassal in vassals},
        (
            m.Monitor(MONITORS[0], True, now - 7200, "", "", 0.0, number),
            m.Monitor(MONITORS[1], True, now - 60, "", "connection refused", 0.0, number),
            m.Monitor(MONITORS[2], False, now - 9, "can't be read: permission denied", "", now + 3600, 0),
        ),
    )


def make_event(vassal: m.Vassal, kind: str, text: str, level: str = "info") -> m.Event:
    return m.Event(time.time(), level, kind, vassal.monitor, vassal.name, vassal.ordinal, text, {})


async def stir(empire: Empire, rate: float) -> None:
    """So many events a second: vassals that reload and are ready again, in frames of 50 ms."""
    chance = random.Random(11)
    keys = list(empire.vassals)
    owed, before = 0.0, trio.current_time()
    while True:
        await trio.sleep(0.05)
        now = trio.current_time()
        owed, before = owed + (now - before) * rate, now
        changed: dict[m.Key, m.Vassal] = {}
        events = []
        for _ in range(int(owed)):
            key = chance.choice(keys)
            vassal = changed.get(key) or empire.vassals[key]
            back = vassal.state is m.State.RELOADING
            changed[key] = replace(
                vassal,
                state=m.State.UP if back else m.State.RELOADING,
                ready=back,
                pid=vassal.pid or 40000,
                reloads=vassal.reloads + (not back),
            )
            events.append(
                make_event(vassal, "VassalReady", "ready")
                if back
                else make_event(vassal, "ReloadSent", "told to reload")
            )
        owed -= int(owed)
        if events:
            empire.tell(m.Changes(0, time.time(), tuple(changed.values()), events=tuple(events)))


class Guest:
    """One websocket."""

    def __init__(self, empire: Empire, socket: WebSocketConnection, commands: bool) -> None:
        self.empire = empire
        self.socket = socket
        self.commands = commands
        self.ends: dict[int, trio.CancelScope] = {}

    async def send(self, message: m.AnyAnswer) -> None:
        await self.socket.send_message(m.encode(message))

    async def serve(self) -> None:
        await self.send(
            m.Greeting(
                "0.1.0",
                4711,
                time.time() - 100000,
                time.time(),
                self.commands,
                MONITORS,
                "/var/log/vassals",
                "stand-in",
            )
        )
        async with trio.open_nursery() as nursery:
            while True:
                request = m.decode_request(str(await self.socket.get_message()))
                nursery.start_soon(self.answer, request)

    async def answer(self, request: m.AnyRequest) -> None:
        with trio.CancelScope() as scope:
            self.ends[request.id] = scope
            match request:
                case m.Subscribe():
                    await self.follow(request)
                case m.Unsubscribe():
                    self.ends.pop(request.subscription, trio.CancelScope()).cancel()
                    await self.send(m.Done(request.id))
                case m.Measure():
                    await self.measure(request)
                case m.Show():
                    await self.show(request)
                case m.Tail():
                    await self.tail(request)
                case m.Command():
                    await self.command(request)
                case m.Scan() if self.commands:
                    await self.send(m.Done(request.id, "scanned"))
                case _:
                    await self.send(m.Refused(request.id, "not here"))

    async def follow(self, request: m.Subscribe) -> None:
        if request.vassals:
            vassals = list(self.empire.vassals.values())
            parts = [vassals[at : at + m.MOST_ROWS] for at in range(0, len(vassals), m.MOST_ROWS)] or [[]]
            send, receive = trio.open_memory_channel[m.Changes](1000)
            self.empire.readers.add(send)
            for part in parts:
                await self.send(
                    m.Snapshot(request.id, time.time(), tuple(part), self.empire.monitors, last=part is parts[-1])
                )
        else:
            send, receive = trio.open_memory_channel[m.Changes](1000)
            self.empire.readers.add(send)
        least = LEVELS.index(request.level)
        if request.recent:
            past = (
                make_event(
                    vassal, "VassalBlacklisted", "blacklisted, death 3 before loyalty: next spawn in 9.0 s", "warning"
                )
                for vassal in self.empire.vassals.values()
                if vassal.state is m.State.BLACKLISTED
            )
            await self.send(m.Changes(request.id, time.time(), events=tuple(past)[: request.recent]))
        try:
            while True:
                changes = None
                with trio.move_on_after(1):
                    changes = await receive.receive()
                if changes is None:
                    await self.send(m.Tick(time.time()))
                    continue
                events = tuple(e for e in changes.events if LEVELS.index(e.level) >= least and self.wants(request, e))
                found = m.Changes(
                    request.id,
                    changes.at,
                    changes.vassals if request.vassals else (),
                    changes.gone if request.vassals else (),
                    events=events if request.events else (),
                )
                if found.vassals or found.gone or found.events:
                    await self.send(found)
        finally:
            self.empire.readers.discard(send)

    def wants(self, request: m.Subscribe, event: m.Event) -> bool:
        return not request.which.names or event.name in request.which.names

    async def measure(self, request: m.Measure) -> None:
        assert len(request.vassals) <= m.MOST_MEASURED
        while True:
            measured = tuple(
                m.Measured(key.monitor, key.name, key.ordinal, random.random() / 5, random.randrange(20, 90) * 2**20, 3)
                for key in request.vassals
            )
            await self.send(m.Usage(request.id, time.time(), measured))
            await trio.sleep(2)

    async def show(self, request: m.Show) -> None:
        vassal = self.empire.vassals.get(request.vassal)
        if vassal is None:
            await self.send(m.Refused(request.id, "no such vassal"))
            return
        events = (make_event(vassal, "VassalSpawned", f"spawned, pid {vassal.pid}"),)
        await self.send(
            m.Details(request.id, vassal, events, ("uwsgi", "--ini", vassal.name), "/var/log/vassals/x.log")
        )

    async def tail(self, request: m.Tail) -> None:
        await self.send(m.LogLines(request.id, tuple(f"line {number}" for number in range(request.lines))))
        await trio.sleep_forever()

    async def command(self, request: m.Command) -> None:
        if not self.commands:
            await self.send(m.Refused(request.id, "this connection may not command"))
            return
        outcomes = tuple(
            m.Outcome(key.monitor, key.name, key.ordinal, True, f"told to {request.verb.value}", 1)
            for key in self.empire.vassals
            if key.name in request.which.names
        )
        await self.send(m.Verdicts(request.id, outcomes))


async def receive(empire: Empire, stream: trio.SocketStream) -> None:
    async with stream:
        head = b""
        while b"\r\n\r\n" not in head:
            data = await stream.receive_some(65536)
            if not data:
                return
            head += data
        if b"upgrade: websocket" in head.lower():
            await converse(empire, Replayed(stream, head))
            return
        page = dashboard().get(head.split()[1].decode())
        headers = [*SAFETY, ("Connection", "close"), ("Content-Type", page.kind if page else "text/plain")]
        body = page.body if page else b"nothing here"
        headers.append(("Content-Length", str(len(body))))
        lines = [f"HTTP/1.1 {200 if page else 404} -", *(f"{name}: {value}" for name, value in headers), "", ""]
        await stream.send_all("\r\n".join(lines).encode() + body)


async def converse(empire: Empire, stream: Replayed) -> None:
    encoded = base64.urlsafe_b64encode(TOKEN.encode()).decode().rstrip("=")
    async with trio.open_nursery() as nursery:
        request: WebSocketRequest = await wrap_server_stream(nursery, stream)
        offered = request.proposed_subprotocols
        socket = await request.accept(subprotocol="emperor-trio.v1" if "emperor-trio.v1" in offered else None)
        await Guest(empire, socket, f"emperor-trio.token.{encoded}" in offered).serve()


async def guarded(empire: Empire, stream: trio.SocketStream) -> None:
    try:
        await receive(empire, stream)
    except* (ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError):
        pass


async def main(options: argparse.Namespace) -> None:
    empire = make_empire(options.vassals)
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(options.port, host="127.0.0.1")
        print(listener.socket.getsockname()[1], flush=True)
        if options.rate:
            nursery.start_soon(stir, empire, options.rate)
        nursery.start_soon(partial(trio.serve_listeners, partial(guarded, empire), [listener]))
        await trio.lowlevel.wait_readable(sys.stdin.fileno())  # nothing is ever written there: it was closed
        nursery.cancel_scope.cancel()


@contextmanager
def standing_in(vassals: int, rate: float = 0.0) -> Iterator[str]:
    """The address of a dashboard over so many vassals, in a process of its own."""
    command = [sys.executable, "-m", "tests.dashboard.stand_in", "--vassals", str(vassals), "--rate", str(rate)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/"
        finally:
            process.stdin.close()
            try:
                process.wait(10)
            finally:
                process.kill()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--vassals", type=int, default=500)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--port", type=int, default=0)
    trio.run(main, parser.parse_args())
