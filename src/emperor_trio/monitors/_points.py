"""Who depends on which names elsewhere: the index behind links, so that a change of a link's target is noticed."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from emperor_trio.monitors._entries import Point

T = TypeVar("T", bound=Hashable)


def own_key(folder: str) -> str:
    """Another path of the same folder, under which only what befalls itself is watched. Its point has no name."""
    return f"{folder}/."


@dataclass(slots=True)
class Points(Generic[T]):
    """Points, by folder and name, and what depends on each."""

    _dependents: dict[str, dict[str, set[T]]] = field(default_factory=dict)
    _points: dict[T, tuple[Point, ...]] = field(default_factory=dict)

    def depend(self, dependent: T, points: tuple[Point, ...]) -> list[str]:
        """From now on it depends on these points alone; which folders nobody depends on any more."""
        old = self._points.pop(dependent, ())
        if points:
            self._points[dependent] = points
        for folder, name in points:
            self._dependents.setdefault(folder, {}).setdefault(name, set()).add(dependent)
        freed = []
        for folder, name in set(old) - set(points):
            names = self._dependents[folder]
            names[name].discard(dependent)
            if not names[name]:
                del names[name]
            if not names:
                del self._dependents[folder]
                freed.append(folder)
        return freed

    def at(self, folder: str, name: str) -> tuple[T, ...]:
        """What depends on a name in a folder; with the empty name, on any."""
        names = self._dependents.get(folder, {})
        chosen = [names.get(name, set())] if name else names.values()
        return tuple(dependent for dependents in chosen for dependent in dependents)

    def of(self, dependent: T) -> tuple[Point, ...]:
        return self._points.get(dependent, ())

    def has(self, folder: str) -> bool:
        return folder in self._dependents

    def folders(self) -> frozenset[str]:
        return frozenset(self._dependents)
