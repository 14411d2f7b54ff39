"""The emperor protocol, sans-IO: the bytes on ``UWSGI_EMPEROR_FD`` and the chunks on ``UWSGI_EMPEROR_FD_CONFIG``.

Owns the numbers and the encoding. When which byte is sent is the business of :mod:`emperor_trio.law.lifecycle`.
Source: uWSGI 2.0.31, ``core/emperor.c`` and ``core/master_utils.c``.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from itertools import groupby

from emperor_trio.model import MAX_CONFIG

CONFIG_MODIFIER = 115
HEADER = struct.Struct("<BHB")

EXILE_CODE = 26
"""The exit code of a vassal that does not want to be spawned again (uWSGI: UWSGI_EXILE_CODE)."""


class Order(IntEnum):
    """One byte from the emperor."""

    STOP = 0
    RELOAD = 1
    STOP_GRACEFULLY = 2


class Signal(IntEnum):
    """One byte from a vassal."""

    READY = 1
    SEND_CONFIG = 2
    ACCEPTING = 5
    LOYAL = 17
    LEAVE = 22
    HEARTBEAT = 26
    REINFORCEMENT = 30


SIGNALS = {int(signal): signal for signal in Signal}
"""Every byte that a vassal may send; any other is unknown and ignored."""


FLOOD = 32
"""More signals than any vassal sends at a time, unless it wants to keep the emperor busy."""


def condense(data: bytes) -> bytes:
    """What a vassal said, in order but without immediate repeats; of a flood, one of each."""
    short = bytes(byte for byte, _ in groupby(data))
    return short if len(short) <= FLOOD else bytes(dict.fromkeys(short))


def config_chunk(config: bytes) -> bytes:
    """The chunk that carries a config: a header of four bytes (115, the size as little-endian u16, 0), then the config.

    Raises ValueError for a config over 65,535 bytes (uWSGI truncates it and serves the rest of nothing).
    """
    if len(config) > MAX_CONFIG:
        raise ValueError(f"the config has {len(config):,} bytes; the emperor protocol carries {MAX_CONFIG:,} at most")
    return HEADER.pack(CONFIG_MODIFIER, len(config), 0) + config


def parse_config_chunk(data: bytes) -> tuple[bytes, bytes] | None:
    """Split ``data`` into the first chunk's config and what follows, or ``None`` while the chunk is incomplete.

    Raises ValueError where it is no config chunk. Made for vassals in tests, and for whoever writes one in Python.
    """
    if len(data) < HEADER.size:
        return None
    modifier1, size, modifier2 = HEADER.unpack_from(data)
    if modifier1 != CONFIG_MODIFIER or modifier2 != 0:
        raise ValueError(f"no config chunk: modifiers {modifier1} and {modifier2}, expected {CONFIG_MODIFIER} and 0")
    end = HEADER.size + size
    return (data[HEADER.size : end], data[end:]) if len(data) >= end else None
