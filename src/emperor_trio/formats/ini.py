"""Reads ini the way uWSGI does, which is not Python's: no continued lines, no quotes, comments on own lines."""

from __future__ import annotations

from emperor_trio.formats.items import Item

_BLANK = " \t\r"


def read_ini(data: bytes, name: str, section: str | None = None) -> list[Item] | None:
    """The keys of ``[uwsgi]``, or of another section, from all places where it stands.

    A key may be repeated; a key without ``=`` has an empty value; everything behind the first ``=`` is the value. A
    byte that is not UTF-8 is kept as it is, for it may be part of a file's name.
    """
    wanted = "uwsgi" if section is None else section
    current: str | None = None
    found: list[Item] | None = None
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    for number, whole_line in enumerate(text.split("\n"), 1):
        line = whole_line.strip(_BLANK)
        if not line or line[0] in ";#":
            continue
        if line[0] == "[":
            current = line[1:-1] if line[-1] == "]" else None
        if current != wanted:
            continue
        found = found or []
        if line[0] != "[":
            key, _, value = line.partition("=")
            found.append(Item(key.rstrip(_BLANK), value.lstrip(_BLANK), f"{name}:{number}"))
    return found
