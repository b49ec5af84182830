"""Assumed trading rules, names of intervals, and the binary rows that carry candles."""

from decimal import Decimal

import numpy as np
import pytest

from mastertrade.market_data_service.binary_rows import COPY_COLUMNS, decode_rows, encode_copy
from mastertrade.market_data_service.intervals import interval_name, interval_seconds
from mastertrade.market_data_service.rules import default_rules
from tests.pure.sample_bars import random_walk


@pytest.mark.parametrize(
    ("symbol", "tick", "lot", "minimum"),
    [
        ("BTC/USDT", "0.01", "0.00001", "10"),
        ("BTCUSDC", "0.01", "0.00001", "10"),
        ("DOGE/USD", "0.00001", "1", "10"),
        ("ETH/BTC", "0.000001", "0.0001", "0.0001"),
        ("NEW/USDT", "0.0001", "0.01", "10"),
        ("NEW/BTC", "0.00000001", "0.01", "0.0001"),
        ("UNITTEST/EUR", "0.00000001", "0.01", "0"),
    ],
)
def test_rules_are_assumed_by_symbol(symbol: str, tick: str, lot: str, minimum: str) -> None:
    rules = default_rules(symbol)
    assert (rules.tick_size, rules.lot_size, rules.min_notional) == (Decimal(tick), Decimal(lot), Decimal(minimum))
    assert rules.taker_fee == Decimal("0.001")


@pytest.mark.parametrize(("name", "seconds"), [("1s", 1), ("1m", 60), ("15m", 900), ("4h", 14_400), ("1d", 86_400)])
def test_intervals_have_names(name: str, seconds: int) -> None:
    assert interval_seconds(name) == seconds
    assert interval_name(seconds) == name


@pytest.mark.parametrize("name", ["", "m", "0m", "7m", "2d", "1w", "1M", "-1m", "1.5h", "60"])
def test_what_is_no_interval_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="divides a day"):
        interval_seconds(name)


def test_the_binary_stream_has_the_shape_that_copy_expects() -> None:
    bars = random_walk(3, 1)
    stream = encode_copy(7, bars)
    assert stream.startswith(b"PGCOPY\n\xff\r\n\0")
    assert stream.endswith(b"\xff\xff")
    row = 2 + len(COPY_COLUMNS) * 4 + 2 * 4 + 6 * 8
    assert len(stream) == 19 + 3 * row + 2
    assert stream[19:29] == b"\x00\x08\x00\x00\x00\x04\x00\x00\x00\x07"


def test_no_value_is_no_bars() -> None:
    bars = decode_rows(None, 60)
    assert len(bars) == 0
    assert bars.time.dtype == np.int64
