"""Writes all ways between a vassal's phases into ``docs/architecture.md``: ``python tools/lifecycle_table.py``.

It is found out by trying: every stimulus, and every change of what is desired, in every state that can be reached.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from emperor_trio.law import stimuli as hear
from emperor_trio.law.lifecycle import step
from emperor_trio.law.protocol import EXILE_CODE, Signal
from emperor_trio.law.state import NEVER, LifecycleRules, Phase, State
from emperor_trio.model import Desired, VassalId, VassalSpec

TARGET = Path(__file__).parents[1] / "docs/architecture.md"
BEGIN = "<!-- Made by tools/lifecycle_table.py; don't edit. -->\n"
END = "<!-- Until here. -->\n"

Ways = Mapping[tuple[Phase, Phase], frozenset[str]]
"""From one phase into another: by what, in words."""

PLAIN = VassalSpec("a.ini", 1)
SPECS = (PLAIN, replace(PLAIN, config=b""), replace(PLAIN, socket="/a.sock"), replace(PLAIN, ask_socket=True))
NOW = 1000.0


def explore() -> Ways:
    """Every way there is. What only zergs go says so."""
    own = _explore_as(VassalId("dir", "a.ini"), SPECS)
    zergs = _explore_as(VassalId("dir", "a.ini", 1), [spec for spec in SPECS if not spec.on_demand])
    both: dict[tuple[Phase, Phase], frozenset[str]] = {}
    for way in own.keys() | zergs.keys():
        words = own.get(way, frozenset())
        both[way] = words | {f"{word} (a zerg)" for word in zergs.get(way, frozenset()) - words}
    return both


def _explore_as(vassal: VassalId, specs: Sequence[VassalSpec]) -> Ways:
    ways: dict[tuple[Phase, Phase], frozenset[str]] = {}
    for rules in (LifecycleRules(), LifecycleRules(stop_hook=True)):
        waiting = [(State(), Desired(spec, 1, 1)) for spec in specs]
        seen: set[object] = set()
        while waiting:
            state, desired = waiting.pop()
            if (key := _essence(state, desired)) in seen:
                continue
            seen.add(key)
            for word, stimulus, wanted, now in _happenings(state, desired, specs):
                after, _ = step(vassal, state, now, stimulus, wanted, rules)
                if after.phase is not state.phase:
                    way = (state.phase, after.phase)
                    ways[way] = ways.get(way, frozenset()) | {word}
                if after is not state or wanted is not desired:
                    waiting.append((after, wanted))
    return ways


def _happenings(
    state: State, desired: Desired, specs: Sequence[VassalSpec]
) -> Iterator[tuple[str, hear.Stimulus, Desired, float]]:
    """All that can happen to a vassal in a state: in words, the stimulus, what is desired then, and when."""
    if state.phase is Phase.NEW:
        yield "wanted", hear.Look(), desired, NOW
        return
    generation = state.generation
    happens: list[tuple[str, hear.Stimulus]] = [
        ("leave to spawn", hear.Leave(state.asked)),
        ("restart intensity", hear.Park(state.asked, 1, 1.0)),
        ("no process came of the spawn", hear.SpawnRefused("")),
        ("no room for a process", hear.SpawnRefused("", deferred=True)),
        ("", hear.Spawned(1)),
        *((f"byte {int(signal)}", hear.Heard(generation, bytes([signal]))) for signal in Signal),
        ("its pipe closes", hear.Lost(generation)),
        ("its end", hear.Ended(generation, 1)),
        (f"exit code {EXILE_CODE}", hear.Ended(generation, EXILE_CODE)),
        ("it takes no orders", hear.OrderFailed(generation)),
        ("an address is told", hear.SocketTold(state.ticket, "/a.sock")),
        ("no address is told", hear.SocketTold(state.ticket, None)),
        ("its socket fails", hear.SocketFailed(state.ticket, "")),
        ("bound", hear.Bound(state.ticket, "/a.sock")),
        ("first connection", hear.Connection()),
        ("its hook is over", hear.HookDone(generation)),
        ("no mercy", hear.NoMercy()),
    ]
    for word, stimulus in happens:
        yield word, stimulus, desired, NOW
    if state.deadline != NEVER:
        late = "no heartbeat" if state.deadline == state.heartbeat_until else "a time limit"
        yield late, hear.Tick(), desired, state.deadline
    yield "not wanted any more", hear.Look(), Desired(None), NOW
    number = desired.revision + 1
    if desired.spec is not None and not desired.held:
        yield "stopped by a command", hear.Look(), replace(desired, held="by a command"), NOW
    if desired.spec is not None and desired.held:
        yield "started by a command", hear.Look(), replace(desired, revision=number, life=number, held=""), NOW
    for spec in specs:
        newer = replace(spec, version=2)
        yield "a changed config", hear.Look(), replace(desired, spec=newer, revision=number), NOW
        word = "another owner or socket, or back after a removal"
        yield word, hear.Look(), replace(desired, spec=newer, revision=number, life=number), NOW


def _essence(state: State, desired: Desired) -> object:
    """What of a state, beside what is desired, decides what can become of it: neither numbers nor times."""
    return (
        (state.phase, state.leaving, state.code == EXILE_CODE, state.ready, state.chunk_sent),
        (state.address, state.bound_for, state.reload_until == NEVER, state.heartbeat_until == NEVER),
        (_kind(state.spec), _kind(desired.spec), state.revision == desired.revision, state.life == desired.life),
        desired.held,
    )


def _kind(spec: VassalSpec | None) -> object:
    return spec and (spec.config, spec.socket, spec.ask_socket)


def table(ways: Ways) -> str:
    """The table, between its two marks."""
    lines = [BEGIN, "| from | to | by |\n", "|---|---|---|\n"]
    order = list(Phase)
    for old, new in sorted(ways, key=lambda way: (order.index(way[0]), order.index(way[1]))):
        lines.append(f"| {old.value} | {new.value} | {'; '.join(sorted(ways[old, new]))} |\n")
    return "".join([*lines, END])


def page(text: str) -> str:
    """The page with the table as it should be."""
    before, _, rest = text.partition(BEGIN)
    return before + table(explore()) + rest.partition(END)[2]


if __name__ == "__main__":
    TARGET.write_text(page(TARGET.read_text()))
