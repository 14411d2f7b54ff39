"""What one znode comes to: its data is the config, or an envelope that brings owner and socket along. Pure.

The envelope is a JSON object with ``config`` and any of ``uid``, ``gid`` and ``socket``. It is one znode, so that all
of it changes in one transaction: no config is ever seen with the owner that it had before.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from emperor_trio.model import MAX_CONFIG, config_option
from emperor_trio.monitors._answers import Entry
from emperor_trio.monitors._rows import BadField, RowRules, make_spec

KEYS = ("config", "uid", "gid", "socket")

MAX_DATA = 8 * MAX_CONFIG
"""Bytes of a znode that are looked at: a config whose every character is escaped in JSON is no larger than that."""

_MASK = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells one state of a znode's data from another, over wiped and restored servers, too.

    ``mtime`` is in milliseconds since the epoch.
    """

    czxid: int
    mzxid: int
    mtime: int
    version: int

    @property
    def as_number(self) -> int:
        """The ``mzxid``, and below it the time: a server that was wiped or set back counts the same numbers again."""
        return self.mzxid << 64 | self.mtime & _MASK


def read_node(rules: RowRules, name: str, data: bytes | None, stamp: Stamp) -> Entry:
    """Judge one znode. Never raises, whatever its data are."""
    try:
        fields = _open_envelope(name, data or b"", rules)
        return make_spec(rules, name=name, version=stamp.as_number, modified=stamp.mtime // 1000, **fields)
    except BadField as bad:
        return bad.of(name)


def _open_envelope(name: str, data: bytes, rules: RowRules) -> dict[str, Any]:
    """The fields in an envelope, or the data as the config where they are none."""
    if len(data) > MAX_DATA:
        raise BadField("config", f"{len(data):,} bytes", f"a config has {MAX_CONFIG:,} bytes at most")
    if not data.lstrip().startswith(b"{"):
        return {"config": data}
    try:
        content = json.loads(data.decode())
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict) and isinstance(content.get("config"), str):
        for key in content:
            if key not in KEYS:
                raise BadField(key, content[key], f"is nothing that an envelope has; it has {', '.join(KEYS)}")
        return content
    if config_option(name, rules.extra_extensions) in ("--ini", "--xml"):  # other formats do begin with a brace
        raise BadField("config", data, "begins like an envelope, but is no JSON object with a text as its config")
    return {"config": data}
