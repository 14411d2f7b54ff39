"""When a command has really come true: held against what the emperor tells of each vassal. Pure.

A command says which revision a vassal has to reach (:class:`~emperor_trio.control.messages.Outcome`); rows say where it
is. What is old news counts for nothing: a death before the command is no failure of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from emperor_trio.control.messages import Changes, Key, Lagged, Outcome, Snapshot, State, Vassal
from emperor_trio.model import Verb

AT_REST = {State.UP, State.WAITING}
"""The states in which a vassal is as it should be."""

GIVEN_UP = {State.FAILED, State.EXILED, State.STOPPED}
"""The states that a vassal leaves only for a reason."""


@dataclass(frozen=True, slots=True)
class End:
    """How it ended for one vassal: ``text`` says why not, where it is not ``reached``."""

    reached: bool
    text: str = ""


def judge(verb: Verb, outcome: Outcome, deaths: int, row: Vassal | None) -> End | None:
    """Whether it is over for one vassal, by its newest ``row`` (``None``: it is gone); ``None`` while it is not.

    ``deaths`` is how often it had died when the command was given.
    """
    if row is None:
        return End(verb is Verb.STOP, "it was removed at its source")
    if verb is Verb.STOP:
        return End(True) if row.state is State.STOPPED else None
    if verb is Verb.FORGIVE:
        return End(True) if row.state is not State.BLACKLISTED else None
    if row.state in AT_REST and row.revision >= outcome.revision:
        return End(True)
    if row.deaths > deaths:
        return End(False, f"it died{_how(row)}")
    if row.state in GIVEN_UP and row.revision >= outcome.revision:
        return End(False, f"it is {row.state.value}{_why(row)}")
    return None


def _how(row: Vassal) -> str:
    if row.exit_code is None:
        return _why(row)
    return f", signal {-row.exit_code}" if row.exit_code < 0 else f", exit code {row.exit_code}"


def _why(row: Vassal) -> str:
    return f": {row.reason}" if row.reason else ""


class Wait:
    """What is waited for, of several vassals: feed it with messages until nobody is ``pending``."""

    def __init__(self, verb: Verb, outcomes: Iterable[Outcome], rows: Iterable[Vassal]) -> None:
        self._verb = verb
        self._deaths = {row.key: row.deaths for row in rows}
        self.pending: dict[Key, Outcome] = {
            Key(outcome.monitor, outcome.name, outcome.ordinal): outcome for outcome in outcomes if outcome.ok
        }
        self.ends: dict[Key, End] = {}
        self._rows: dict[Key, Vassal] = {}
        self._whole = False

    def take(self, message: object) -> None:
        """One message of the subscription that was begun after the command was answered."""
        match message:
            case Snapshot():
                if self._whole:
                    self._rows, self._whole = {}, False
                self._rows |= {row.key: row for row in message.vassals}
                self._whole = message.last
            case Changes():
                self._rows |= {row.key: row for row in message.vassals}
                for key in message.gone:
                    self._rows.pop(key, None)
            case Lagged():
                self._whole = True  # the snapshot that follows replaces all
                return
            case _:
                return
        if self._whole:
            self._settle()

    def give_up(self, text: str) -> None:
        """Nothing more is waited for."""
        for key in self.pending:
            row = self._rows.get(key)
            where = f", it is {row.state.value}{_why(row)}" if row is not None else ""
            self.ends[key] = End(False, text + where)
        self.pending.clear()

    def _settle(self) -> None:
        for key, outcome in list(self.pending.items()):
            end = judge(self._verb, outcome, self._deaths.get(key, 0), self._rows.get(key))
            if end is not None:
                self.ends[key] = end
                del self.pending[key]
