"""What ZooKeeper's watches said since it was last asked for: where to look, never what is there. Pure."""

from __future__ import annotations

from collections.abc import Callable, Set

from emperor_trio.monitors import _zoo_wire as wire
from emperor_trio.monitors._zoo_address import ZooAddress


class Signs:
    """``names`` are the children that are watched now; signs of others are forgotten, so that all this is bounded.

    ``ring`` is called with every sign. ``deleted`` are those of ``names`` that a server expressly called deleted and
    that were not read since. ``listing`` says that there may be other names.
    """

    def __init__(self, address: ZooAddress, ring: Callable[[], None]) -> None:
        self._path = address.path
        self._prefix = address.child("")
        self._ring = ring
        self._changed: set[str] = set()
        self.names: Set[str] = frozenset()
        self.deleted: set[str] = set()
        self.listing = True

    def __bool__(self) -> bool:
        return self.listing or bool(self._changed)

    def fired(self, kind: int, path: str) -> None:
        """A watch fired."""
        if path == self._path:
            self.listing = True
        elif path.startswith(self._prefix) and (name := path[len(self._prefix) :]) in self.names:
            if kind == wire.DELETED:
                self.lacks(name)
            else:
                self._changed.add(name)
        self._ring()

    def lacks(self, name: str) -> None:
        """A server said that there is no such znode. Should it be listed again, it is another one, and to be read."""
        self.deleted.add(name)
        self._changed.add(name)
        self.listing = True

    def take_changed(self) -> set[str]:
        """The names whose data may be others; they count as told."""
        changed, self._changed = self._changed, set()
        return changed
