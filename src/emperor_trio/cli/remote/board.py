"""What ``top`` shows and how its keys change it. Pure: knows neither the terminal nor the channel.

Only the rows that fit are laid out; all are sorted anew only where something changed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from emperor_trio.cli.remote import rows
from emperor_trio.cli.remote.paint import Ink, cut, heading, line, natural_widths, safe, widths
from emperor_trio.cli.remote.words import meaning, title, why
from emperor_trio.control.messages import Changes, Greeting, Key, Lagged, Monitor, Snapshot, Tick, Vassal

SORT_KEYS = {"c": "cpu", "m": "memory", "n": "name", "s": "trouble", "r": "restarts", "u": "uptime"}

HELP = (
    "c m n s r u   sort by CPU, memory, name, state, restarts, uptime; again: the other way round",
    "↑ ↓ PgUp PgDn Home End   move          Enter   all about a vassal",
    "/   search (Enter keeps it, Esc ends it)          ?   this help          q   quit",
)


@dataclass(slots=True)
class Board:
    """Everything that is on the screen. ``dirty`` says that it has to be painted again."""

    ink: Ink
    sort: str = "trouble"
    reverse: bool = False
    greeting: Greeting | None = None
    lost: str = ""
    vassals: dict[Key, Vassal] = field(default_factory=dict)
    absent: tuple[Key, ...] = ()
    monitors: dict[str, Monitor] = field(default_factory=dict)
    used: dict[int, rows.Used] = field(default_factory=dict)
    cursor: Key | None = None
    first: int = 0
    room: int = 1
    search: str = ""
    typing: bool = False
    helping: bool = False
    detail: bool = False
    quit: bool = False
    dirty: bool = True
    _ahead: float = 0.0
    _whole: bool = True
    _order: list[Vassal] | None = None

    # --- what comes ---

    def take(self, message: object) -> None:
        """One message of the subscription."""
        match message:
            case Snapshot():
                if self._whole:
                    self.vassals, self.monitors = {}, {}
                self._whole = message.last
                self.absent = message.absent
                self._merge(message.vassals, message.monitors, message.at)
            case Changes():
                for key in message.gone:
                    self.vassals.pop(key, None)
                if message.absent is not None:
                    self.absent = message.absent
                self._merge(message.vassals, message.monitors, message.at)
            case Tick(at):
                self._ahead = at - time.time()
            case Lagged():
                self._whole = True
            case _:
                return
        self.dirty = True

    def _merge(self, vassals: tuple[Vassal, ...], monitors: tuple[Monitor, ...], at: float) -> None:
        self.vassals |= {vassal.key: vassal for vassal in vassals}
        self.monitors |= {monitor.name: monitor for monitor in monitors}
        self._ahead = at - time.time()
        self._order = None

    def measured(self, used: dict[int, rows.Used]) -> None:
        self.used = used
        self.dirty = True
        if self.sort in ("cpu", "memory"):
            self._order = None

    @property
    def now(self) -> float:
        """The emperor's time."""
        return time.time() + self._ahead

    # --- what is there ---

    def ordered(self) -> list[Vassal]:
        """Those that the search finds, in order."""
        if self._order is None:
            sought = self.search.lower()
            found = [v for v in self.vassals.values() if sought in v.name.lower()] if sought else self.vassals.values()
            self._order = sorted(found, key=rows.order_of(self.sort, self.used, self.now), reverse=self.reverse)
        return self._order

    def in_view(self) -> list[Vassal]:
        return self.ordered()[self.first : self.first + self.room]

    def to_measure(self) -> list[Vassal]:
        """Whose use of the machine is needed now: of those in view; of all, where it is the order."""
        return list(self.vassals.values()) if self.sort in ("cpu", "memory") else self.in_view()

    # --- keys ---

    def press(self, key: str) -> None:
        """A key by its letter or name (``up``, ``enter``, …)."""
        self.dirty = True
        if self.typing:
            self._type(key)
        elif key in ("q", "escape") and (self.helping or self.detail):
            self.helping = self.detail = False
        elif key == "q":
            self.quit = True
        elif key == "?":
            self.helping = not self.helping
        elif key == "enter":
            self.detail = not self.detail and bool(self.ordered())
        elif key == "/":
            self.typing, self.search, self._order = True, "", None
        elif key == "escape":
            self.search, self._order = "", None
        elif key in SORT_KEYS:
            self.reverse = not self.reverse if SORT_KEYS[key] == self.sort else False
            self.sort, self._order = SORT_KEYS[key], None
        else:
            self._move(key)

    def _type(self, key: str) -> None:
        if key in ("enter", "escape"):
            self.typing = False
            self.search = self.search if key == "enter" else ""
        elif key == "backspace":
            self.search = self.search[:-1]
        elif len(key) == 1 and key.isprintable():
            self.search += key
        self._order = None

    def _move(self, key: str) -> None:
        steps = {"up": -1, "down": 1, "k": -1, "j": 1, "pgup": -self.room, "pgdn": self.room, "home": -(10**9),
                 "end": 10**9}  # fmt: skip
        there = self.ordered()
        if key in steps and there:
            self.cursor = there[min(max(self._place() + steps[key], 0), len(there) - 1)].key

    def _place(self) -> int:
        """Where the cursor is; on top where its vassal is gone."""
        if self.cursor is None:
            return 0
        return next((at for at, vassal in enumerate(self.ordered()) if vassal.key == self.cursor), 0)

    # --- the screen ---

    def lines(self, width: int, height: int) -> list[str]:
        """So many lines, each at most so wide."""
        ink = Ink(self.ink.colour, width)
        self.dirty = False
        head = self._head(ink)
        if self.detail:
            return self._fill(head + self._details(ink), height, ink)
        self.room = max(height - len(head) - 3, 1)
        place = self._place()
        there = self.ordered()
        self.first = min(max(self.first, place - self.room + 1, 0), place, max(len(there) - self.room, 0) or place)
        shown = self.in_view()
        names = rows.short_names({*self.monitors, *(vassal.monitor for vassal in shown)})
        cells = [rows.cells(vassal, self.used.get(vassal.pid), self.now, names) for vassal in shown]
        found = widths(rows.COLUMNS, natural_widths(rows.COLUMNS, cells), width)
        body = [heading(rows.COLUMNS, found, ink)] if cells else [ink(self._nothing(), "dim")]
        for at, row in enumerate(cells):
            if self.first + at == place:
                plain = line(rows.COLUMNS, found, row, Ink(False))
                body.append(ink(plain.ljust(width), "reverse") if ink.colour else plain)
            else:
                body.append(line(rows.COLUMNS, found, row, ink))
        return self._fill([*head, *body], height, ink)

    def _head(self, ink: Ink) -> list[str]:
        if self.greeting is None:
            return [ink("connecting …", "dim"), ""]
        head = rows.summary(self.greeting, self.vassals.values(), len(self.absent), self.now, ink)
        width = ink.width or 80
        if self.lost:
            head.insert(1, ink(cut(f"✖ connection lost, trying again: {safe(self.lost)}", width), "alarm"))
        plain = rows.complaints(self.monitors.values(), self.now, Ink(False))
        return [*head, *(ink(cut(text, width), "alarm") for text in plain[:3]), ""]

    def _details(self, ink: Ink) -> list[str]:
        vassal = self.ordered()[self._place()] if self.ordered() else None
        if vassal is None:
            return [self._nothing()]
        name = title(vassal)
        facts = {"monitor": safe(vassal.monitor), "pid": vassal.pid or "–", "deaths": vassal.deaths,
                 "reloads": vassal.reloads}  # fmt: skip
        texts = [name, "", meaning(vassal, self.now), why(vassal, self.now), ""]
        texts += [*(f"{label:<12}{value}" for label, value in facts.items()), ""]
        texts.append(f"'emperor-trio show {name}' tells more")
        return [cut(text, ink.width or 80) for text in texts]

    def _nothing(self) -> str:
        return f"no vassal has {self.search!r} in its name" if self.search else "there is no vassal"

    def _fill(self, lines: list[str], height: int, ink: Ink) -> list[str]:
        """Cut or filled up to the height, with the line at the bottom."""
        width = ink.width or 80
        foot = list(HELP) if self.helping else [self._foot()]
        lines = lines[: height - len(foot)]
        return [*lines, *[""] * (height - len(foot) - len(lines)), *(ink(cut(text, width), "dim") for text in foot)]

    def _foot(self) -> str:
        if self.typing:
            return f"/{self.search}▏"
        order = self.sort + (" reversed" if self.reverse else "")
        search = f" · with {self.search!r}" if self.search else ""
        there = len(self.ordered())
        rows_shown = f"{min(self.first + 1, there)}–{min(self.first + self.room, there)} of {there:,}"
        return f"{rows_shown} · by {order}{search} · ? help · q quit"
