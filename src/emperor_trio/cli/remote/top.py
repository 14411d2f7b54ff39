"""``emperor-trio top``: the vassals live."""

from __future__ import annotations

import os
import signal
import sys
import time

import trio

from emperor_trio.cli.exits import EXIT_OK
from emperor_trio.cli.output import stdout
from emperor_trio.cli.remote import rows
from emperor_trio.cli.remote.board import Board
from emperor_trio.cli.remote.flags import Given
from emperor_trio.cli.remote.follow import Connected, LostConnection, News, follow
from emperor_trio.cli.remote.link import connect, find, ink_of, run_trio
from emperor_trio.cli.remote.terminal import Terminal, terminal
from emperor_trio.control.messages import Refused, Selection, Subscribe
from emperor_trio.control.usage import Meter, read
from emperor_trio.errors import ControlError, UsageError

FRAME = 0.1
"""Seconds between two frames at least."""

CLOCK = 1.0
"""Seconds after which there is a new frame though nothing came."""

MEASURE = 2.0
"""Seconds between two looks at what vassals use."""


def run(given: Given) -> int:
    if not (sys.stdin.isatty() and stdout().isatty()):
        raise UsageError("top: it needs a terminal; 'emperor-trio status' is for pipes and files")
    return run_trio(lambda: _top(given))


async def _top(given: Given) -> int:
    async with connect(find(given), given["--timeout"]):
        pass  # where there is no emperor, it is said on the ordinary screen
    board = Board(ink_of(os.environ), given["--sort"])
    request = Subscribe(0, Selection(given.names, given["--monitor"]), vassals=True, events=False)
    with terminal() as screen:
        async with trio.open_nursery() as nursery:
            send, receive = trio.open_memory_channel[News](0)
            nursery.start_soon(follow, given, send, request)
            nursery.start_soon(_listen, board, receive)
            nursery.start_soon(_measure, board)
            nursery.start_soon(_hear_signals, board, screen)
            nursery.start_soon(_hear_keys, board, screen)
            await _paint(board, screen)
            screen.leave()  # at once: to say goodbye to the emperor may take a moment
            nursery.cancel_scope.cancel()
    return EXIT_OK


async def _listen(board: Board, receive: trio.MemoryReceiveChannel[News]) -> None:
    async for news in receive:
        match news:
            case Connected(greeting):
                board.greeting, board.lost, board.dirty = greeting, "", True
            case LostConnection(why):
                board.lost, board.dirty = why, True
            case Refused(error=error):
                raise ControlError(error)
            case _:
                board.take(news)


async def _measure(board: Board) -> None:
    """What vassals use, read in a thread. The first look at one only begins its share."""
    meter = Meter()
    while True:
        greeting = board.greeting
        if greeting is not None and rows.is_here(greeting):
            pids = {vassal.pid for vassal in board.to_measure() if vassal.pid}
            readings = await trio.to_thread.run_sync(read, pids)
            shares = meter.shares(readings, time.monotonic())
            board.measured(
                {
                    pid: rows.Used(shares.get(pid, 0.0), reading.memory_bytes, reading.processes)
                    for pid, reading in readings.items()
                }
            )
            if not readings or len(shares) * 2 < len(readings):
                await trio.sleep(MEASURE / 4)  # most are new in view
                continue
        await trio.sleep(MEASURE if greeting is not None else FRAME)


async def _hear_keys(board: Board, screen: Terminal) -> None:
    while not board.quit:
        keys = await screen.read()
        if not keys:
            board.quit = True  # the terminal is gone
        for key in keys:
            board.press(key)


async def _hear_signals(board: Board, screen: Terminal) -> None:
    with trio.open_signal_receiver(signal.SIGWINCH, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP) as signals:
        async for number in signals:
            if number == signal.SIGTSTP:
                screen.suspend()
            board.quit = board.quit or number in (signal.SIGTERM, signal.SIGHUP)
            if not board.quit:
                screen.paint([], anew=True)
                board.dirty = True


async def _paint(board: Board, screen: Terminal) -> None:
    """At most ten frames a second, and one each second where nothing changes, for the times in it."""
    painted = 0.0
    while not board.quit:
        if board.dirty or trio.current_time() - painted >= CLOCK:
            painted = trio.current_time()
            screen.paint(board.lines(*screen.size()))
        await trio.sleep(FRAME)
