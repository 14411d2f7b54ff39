"""The mirror under any sequence of refreshes, changes and broken connections: it ends with what the server holds."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from emperor_trio.model import VassalSpec
from emperor_trio.monitors._ldap_ber import Info, State, SyncInfo, SyncState
from emperor_trio.monitors._ldap_entry import Mark
from emperor_trio.monitors._ldap_mirror import Held, Mirror
from emperor_trio.monitors._rows import Wrong

Entries = dict[bytes, int]


def key(number: int) -> bytes:
    return bytes([number]) * 16


def hold(uuid: bytes, version: int) -> Held:
    mark = Mark(uuid, f"cn={uuid[0]}", str(version).encode(), True)
    return Held(mark, VassalSpec(f"{uuid[0]}.ini", version))


def told(mirror: Mirror) -> dict[str, int]:
    return {entry.name: entry.version for entry in mirror.entries if isinstance(entry, VassalSpec)}


def expected(entries: Entries) -> dict[str, int]:
    return {f"{uuid[0]}.ini": version for uuid, version in entries.items()}


def refresh(mirror: Mirror, before: Entries, now: Entries, *, by_deletes: bool, cut: int) -> bool:
    """As a server does it, over a line that is cut after so many messages; whether it came to its end."""
    mirror.begin()
    fresh = mirror.cookie is None
    messages: list[tuple[SyncState, Held] | SyncInfo] = [
        (SyncState(State.ADD, uuid, b"early"), hold(uuid, version))
        for uuid, version in now.items()
        if fresh or before.get(uuid) != version
    ]
    same = tuple(uuid for uuid in now if not fresh and before.get(uuid) == now[uuid])
    if by_deletes or fresh:
        gone = tuple(before.keys() - now.keys())
        messages.append(SyncInfo(Info.DELETED_IDS, None, False, () if fresh else gone))
        messages.append(SyncInfo(Info.DELETES_TOLD, b"end", True))
    else:
        messages.append(SyncInfo(Info.PRESENT_IDS, None, False, same))
        messages.append(SyncInfo(Info.PRESENT_TOLD, b"end", True))
    for number, message in enumerate(messages):
        if number >= cut:
            return False
        if isinstance(message, SyncInfo):
            mirror.take_info(message)
        else:
            mirror.take_entry(*message)
    return True


entries = st.dictionaries(st.integers(0, 7).map(key), st.integers(0, 3), max_size=6)


@given(st.lists(st.tuples(entries, st.booleans(), st.integers(0, 12)), max_size=8), entries)
def test_after_a_whole_refresh_it_holds_what_the_server_holds(
    rounds: list[tuple[Entries, bool, int]], final: Entries
) -> None:
    mirror = Mirror()
    synced: Entries = {}
    for now, by_deletes, cut in [*rounds, (final, False, 99)]:
        if refresh(mirror, synced, now, by_deletes=by_deletes, cut=cut):
            synced = now
            assert told(mirror) == expected(now)
            assert (mirror.refreshing, mirror.doubtful, mirror.cookie) == (False, False, b"end")
    assert not mirror.differences(hold(uuid, version).mark for uuid, version in final.items())


def test_an_unknown_entry_that_is_said_to_be_unchanged_is_doubtful() -> None:
    mirror = Mirror()
    mirror.cookie = b"old"
    mirror.begin()
    mirror.take_info(SyncInfo(Info.PRESENT_IDS, None, False, (key(1),)))
    assert mirror.doubtful
    mirror.begin()
    assert not mirror.doubtful


def test_changes_name_whom_they_concern() -> None:
    mirror = Mirror()
    mirror.begin()
    mirror.take_info(SyncInfo(Info.DELETES_TOLD, b"1", True))
    assert mirror.take_entry(SyncState(State.ADD, key(1), b"2"), hold(key(1), 1)) == {"1.ini"}
    renamed = Held(hold(key(1), 2).mark, VassalSpec("new.ini", 2))
    assert mirror.take_entry(SyncState(State.MODIFY, key(1), b"3"), renamed) == {"1.ini", "new.ini"}
    assert mirror.take_entry(SyncState(State.DELETE, key(1), b"4"), None) == {"new.ini"}
    assert mirror.take_entry(SyncState(State.DELETE, key(1), b"5"), None) == set()
    assert (mirror.cookie, len(mirror)) == (b"5", 0)


def test_an_entry_that_lost_its_name_keeps_the_one_it_had() -> None:
    mirror = Mirror()
    mirror.put(hold(key(1), 1))
    mark = hold(key(1), 2).mark
    assert mirror.put(Held(mark, Wrong(mark.dn, "cn", "b'\\xff'", "is no UTF-8"))) == {"1.ini"}
    (entry,) = mirror.named("1.ini")
    assert isinstance(entry, Wrong)


def test_a_complete_answer_replaces_all() -> None:
    mirror = Mirror()
    mirror.replace([hold(key(1), 1), hold(key(2), 1)])
    mirror.replace([hold(key(2), 2), hold(key(3), 1)])
    assert told(mirror) == {"2.ini": 2, "3.ini": 1}
    assert mirror.find(hold(key(2), 2).mark) is not None
    assert mirror.find(hold(key(2), 1).mark) is None
