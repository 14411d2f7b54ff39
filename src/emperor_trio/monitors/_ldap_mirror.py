"""Which entries a directory holds, as far as it told, and how a refresh (RFC 4533) changes that. Pure.

It is kept over connections, with the cookie from which on the server has to tell. What is said of it to the supervisor
is :mod:`._answers`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from emperor_trio.monitors._answers import Entry
from emperor_trio.monitors._ldap_ber import Info, State, SyncInfo, SyncState
from emperor_trio.monitors._ldap_entry import Mark
from emperor_trio.monitors._rows import Wrong


@dataclass(frozen=True, slots=True)
class Held:
    """One entry: which version of which it is, and what it comes to."""

    mark: Mark
    entry: Entry


class Mirror:
    """Entries by their keys, and the refresh that is under way. ``refreshing`` until the server has told everything.

    ``doubtful`` says that the server named an entry that we should know and don't: its data are other ones.
    """

    def __init__(self) -> None:
        self.cookie: bytes | None = None
        self.refreshing = False
        self.doubtful = False
        self._held: dict[bytes, Held] = {}
        self._names: dict[str, set[bytes]] = {}
        self._seen: set[bytes] = set()
        self._anew = False
        self._next_cookie: bytes | None = None

    # --- what is there ---

    def __len__(self) -> int:
        return len(self._held)

    @property
    def entries(self) -> Iterator[Entry]:
        return (held.entry for held in self._held.values())

    def named(self, name: str) -> list[Entry]:
        """Every entry of this name, in no order."""
        return [self._held[key].entry for key in self._names.get(name, ())]

    def find(self, mark: Mark) -> Held | None:
        """The entry, if it is held in exactly this version."""
        held = self._held.get(mark.key)
        return held if held is not None and mark.exact and held.mark == mark else None

    def differences(self, marks: Iterable[Mark]) -> set[tuple[bytes, bytes]]:
        """Keys and stamps in which a complete list of what the server holds differs from what is held."""
        theirs = {(mark.key, mark.stamp) for mark in marks}
        ours = {(held.mark.key, held.mark.stamp) for held in self._held.values()}
        return theirs ^ ours

    # --- changes ---

    def put(self, held: Held) -> set[str]:
        """Take in an entry: the names that this concerns. One that lost its name keeps the one it had."""
        before = self._held.get(held.mark.key)
        if before is not None and isinstance(held.entry, Wrong) and held.entry.name == held.mark.dn:
            held = Held(held.mark, replace(held.entry, name=before.entry.name))
        concerned = self.drop(held.mark.key)
        self._held[held.mark.key] = held
        self._names.setdefault(held.entry.name, set()).add(held.mark.key)
        return concerned | {held.entry.name}

    def drop(self, key: bytes) -> set[str]:
        """Take in that an entry is gone: the names that this concerns."""
        held = self._held.pop(key, None)
        if held is None:
            return set()
        keys = self._names[held.entry.name]
        keys.discard(key)
        if not keys:
            del self._names[held.entry.name]
        return {held.entry.name}

    def replace(self, all_of_it: Iterable[Held]) -> None:
        """Take in a complete answer."""
        gone = set(self._held)
        for held in all_of_it:
            gone.discard(held.mark.key)
            self.put(held)
        for key in gone:
            self.drop(key)

    # --- a refresh, and what follows ---

    def begin(self) -> None:
        """A refresh begins: from the cookie on, or from nothing. What is held stays until the server told all.

        After one that broke off it is from nothing: some of what is held is newer than the cookie.
        """
        if self.refreshing:
            self.cookie = None
        self.refreshing, self.doubtful = True, False
        self._seen.clear()
        self._anew = self.cookie is None
        self._next_cookie = None

    def take_entry(self, state: SyncState, held: Held | None) -> set[str]:
        """An entry came, with its control; ``held`` is what it comes to, where it is there at all."""
        if state.state is State.DELETE:
            concerned = self.drop(state.uuid)
        elif state.state is State.PRESENT or held is None:
            concerned = self._note_present((state.uuid,))
        else:
            self._note_seen(state.uuid)
            concerned = self.put(held)
        self._take_cookie(state.cookie)
        return concerned

    def take_info(self, info: SyncInfo) -> set[str]:
        """A message between entries came: the names that this concerns."""
        concerned: set[str] = set()
        match info.kind:
            case Info.PRESENT_IDS:
                self._note_present(info.uuids)
            case Info.DELETED_IDS:
                concerned = self._drop_all(info.uuids)
            case Info.PRESENT_TOLD if self.refreshing:
                concerned = self._drop_unseen()
                self._anew = False
            case _:
                pass
        self._take_cookie(info.cookie)
        if info.done and self.refreshing:
            if self._anew:
                concerned |= self._drop_unseen()
            self.refreshing = False
            self.cookie, self._next_cookie = self._next_cookie or self.cookie, None
            self._seen.clear()
        return concerned

    def _note_present(self, uuids: Iterable[bytes]) -> set[str]:
        for uuid in uuids:
            self._note_seen(uuid)
            if uuid not in self._held:
                self.doubtful = True
        return set()

    def _note_seen(self, uuid: bytes) -> None:
        if self.refreshing:
            self._seen.add(uuid)

    def _drop_unseen(self) -> set[str]:
        return self._drop_all(self._held.keys() - self._seen)

    def _drop_all(self, keys: Iterable[bytes]) -> set[str]:
        concerned: set[str] = set()
        for key in keys:
            concerned |= self.drop(key)
        return concerned

    def _take_cookie(self, cookie: bytes | None) -> None:
        """Within a refresh a cookie counts only at its end: before, what it stands for was not told yet."""
        if cookie is None:
            return
        if self.refreshing:
            self._next_cookie = cookie
        else:
            self.cookie = cookie
