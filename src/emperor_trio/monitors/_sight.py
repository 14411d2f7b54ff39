"""What a monitor of files is to look at, and what it saw: plain data between the loop, its thread and the rules."""

from __future__ import annotations

from dataclasses import dataclass, field

from emperor_trio.monitors._entries import Absent, Outcome, Point
from emperor_trio.monitors._patterns import Step, join


@dataclass(frozen=True, slots=True)
class Place:
    """A folder that the plan goes through: ``level`` is the step its names are held against."""

    path: str
    level: int = 0
    shown: str = ""
    parent: str | None = None

    def below(self, name: str, step: Step) -> Place:
        """The folder of this name in it, matched by ``step``."""
        return Place(join(self.path, name), self.level + 1, self.shown + name + step.separator, self.path)

    def holds(self, path: str) -> bool:
        """Whether a path is this folder's, or lies below it."""
        return path == self.path or path.startswith(join(self.path, ""))


@dataclass(frozen=True, slots=True)
class Glance:
    """One vassal to look at. Where something was just ``created`` (a path), its first write may still go on."""

    name: str
    folder: str
    file: str
    created: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """``places`` are walked with all that is below them; ``full`` where that is everything."""

    places: tuple[Place, ...] = ()
    full: bool = False
    glances: tuple[Glance, ...] = ()


@dataclass(slots=True)
class Visit:
    """One folder as it was found. ``covered``: inotify will tell of every change. With an ``error`` it could not be
    read, and says nothing about what is in it; without ``read`` it was only seen to be there. ``outcomes`` are of the
    entries by name, but for those that are no vassals: these are ``absent``."""

    place: Place
    identity: tuple[int, int] | None = None
    error: str = ""
    covered: bool = False
    local: bool = True
    read: bool = False
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    absent: dict[str, Absent] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    points: tuple[Point, ...] = ()


@dataclass(slots=True)
class Look:
    """What was seen: folders by their path, and the outcome of every glance.

    ``shortage`` says why inotify had no watch left to give, ``watched`` are the folders for which one was asked.
    """

    job: Job
    visits: dict[str, Visit] = field(default_factory=dict)
    glances: dict[Glance, Outcome] = field(default_factory=dict)
    base_points: tuple[Point, ...] = ()
    shortage: str = ""
    watched: set[str] = field(default_factory=set)
