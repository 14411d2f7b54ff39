"""A terminal that is painted on and read from key by key, and is left as it was found, whatever happens."""

from __future__ import annotations

import os
import re
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

import trio

_ENTER = "\033[?1049h\033[?25l\033[H\033[2J"
_LEAVE = "\033[?25h\033[?1049l"

_NAMED = {
    "\033[A": "up", "\033[B": "down", "\033OA": "up", "\033OB": "down", "\033[5~": "pgup", "\033[6~": "pgdn",
    "\033[H": "home", "\033[F": "end", "\033[1~": "home", "\033[4~": "end", "\033OH": "home", "\033OF": "end",
    "\r": "enter", "\n": "enter", "\x7f": "backspace", "\b": "backspace", "\033": "escape",
}  # fmt: skip
_KEY = re.compile(r"\033\[[0-9;]*[A-Za-z~]|\033O[A-Z]|.", re.DOTALL)


class Terminal:
    """Use it in :func:`terminal`."""

    def __init__(self) -> None:
        self._keys = sys.stdin.fileno()
        self._screen = sys.stdout.fileno()
        self._before = termios.tcgetattr(self._keys)
        self._shown: list[str] = []
        self._entered = False

    def enter(self) -> None:
        tty.setcbreak(self._keys, termios.TCSADRAIN)
        self._entered = True
        self._write(_ENTER)
        self._shown = []

    def leave(self) -> None:
        """Idempotent."""
        if not self._entered:
            return
        self._entered = False
        self._write(_LEAVE)
        termios.tcsetattr(self._keys, termios.TCSADRAIN, self._before)

    def suspend(self) -> None:
        """Ctrl-Z: the terminal is the shell's until we are told to go on."""
        self.leave()
        os.kill(os.getpid(), signal.SIGSTOP)
        self.enter()

    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        found = os.get_terminal_size(self._screen)
        return max(found.columns, 20), max(found.lines, 5)

    def paint(self, lines: list[str], *, anew: bool = False) -> None:
        """Write the lines that are others than before."""
        if anew or len(lines) != len(self._shown):
            self._shown = [""] * len(lines)
            self._write("\033[2J")
        changed = [
            f"\033[{at};1H{text}\033[0m\033[K"
            for at, (text, before) in enumerate(zip(lines, self._shown, strict=True), 1)
            if text != before
        ]
        self._shown = lines
        if changed:
            self._write("".join(changed))

    async def read(self) -> list[str]:
        """The keys that were pressed. Empty where there will be none any more."""
        await trio.lowlevel.wait_readable(self._keys)
        text = os.read(self._keys, 1024).decode("utf-8", "replace")
        return [_NAMED.get(key, key) for key in _KEY.findall(text)]

    def _write(self, text: str) -> None:
        encoding = sys.stdout.encoding or "utf-8"
        rest = memoryview(text.encode(encoding, "replace"))
        while rest:
            rest = rest[os.write(self._screen, rest) :]


@contextmanager
def terminal() -> Iterator[Terminal]:
    """The terminal for the time of the block."""
    found = Terminal()
    found.enter()
    try:
        yield found
    finally:
        found.leave()
