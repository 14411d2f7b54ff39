"""The bytes of the emperor protocol, and the config chunk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emperor_trio.law.protocol import FLOOD, SIGNALS, Order, Signal, condense, config_chunk, parse_config_chunk
from emperor_trio.model import MAX_CONFIG


def test_orders_are_uwsgis_numbers() -> None:
    assert {order.name: order.value for order in Order} == {"STOP": 0, "RELOAD": 1, "STOP_GRACEFULLY": 2}


def test_signals_are_uwsgis_numbers() -> None:
    assert {number: signal.name for number, signal in SIGNALS.items()} == {
        1: "READY",
        2: "SEND_CONFIG",
        5: "ACCEPTING",
        17: "LOYAL",
        22: "LEAVE",
        26: "HEARTBEAT",
        30: "REINFORCEMENT",
    }
    assert set(SIGNALS.values()) == set(Signal)


def test_signals_are_heard_in_order_without_immediate_repeats() -> None:
    assert condense(b"") == b""
    assert condense(b"\x02\x02\x05\x02\x1a\x1a") == b"\x02\x05\x02\x1a"


@given(data=st.binary())
def test_flood_of_signals_is_heard_as_one_of_each(data: bytes) -> None:
    heard = condense(b"\x02\x05" * FLOOD + data)
    assert len(heard) == len(set(heard)) <= 256
    assert set(heard) == {2, 5, *data}


def test_chunk_is_115_then_the_size_as_little_endian_then_0_then_the_config() -> None:
    assert config_chunk(b"x" * 0x0102) == b"\x73\x02\x01\x00" + b"x" * 0x0102


def test_empty_config_is_a_chunk_too() -> None:
    assert config_chunk(b"") == b"\x73\x00\x00\x00"


def test_largest_config_goes_through_whole() -> None:
    config = bytes(MAX_CONFIG)
    assert parse_config_chunk(config_chunk(config)) == (config, b"")


def test_larger_config_is_refused_not_truncated() -> None:
    with pytest.raises(ValueError, match="65,536 bytes; the emperor protocol carries 65,535 at most"):
        config_chunk(bytes(MAX_CONFIG + 1))


@given(config=st.binary(max_size=300), rest=st.binary(max_size=10))
def test_chunk_is_read_back_with_what_follows(config: bytes, rest: bytes) -> None:
    assert parse_config_chunk(config_chunk(config) + rest) == (config, rest)


@given(config=st.binary(max_size=30), data=st.data())
def test_incomplete_chunk_is_awaited(config: bytes, data: st.DataObject) -> None:
    chunk = config_chunk(config)
    assert parse_config_chunk(chunk[: data.draw(st.integers(0, len(chunk) - 1))]) is None


@pytest.mark.parametrize("header", [b"\x72\x00\x00\x00", b"\x73\x00\x00\x01"])
def test_other_modifiers_are_no_chunk(header: bytes) -> None:
    with pytest.raises(ValueError, match="no config chunk: modifiers"):
        parse_config_chunk(header)
