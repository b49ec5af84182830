"""Indicators: golden numbers, obvious twins, and the law that a prefix gives the same bits."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastertrade.quant.bars import Bars, FloatArray
from mastertrade.quant.indicators import FLAT_RSI, atr, ema, rsi, sma, true_range, wilder_average
from tests.pure.sample_bars import random_walk

HIGH = np.array([104.0, 106, 103, 101, 107, 108, 105])
LOW = np.array([99.0, 101, 97, 96, 99, 103, 100])
CLOSE = np.array([103.0, 102, 98, 100, 106, 104, 101])

INDICATORS: dict[str, Callable[[Bars, int], FloatArray]] = {
    "sma": lambda bars, period: sma(bars.close, period),
    "ema": lambda bars, period: ema(bars.close, period),
    "rsi": lambda bars, period: rsi(bars.close, period),
    "atr": lambda bars, period: atr(bars.high, bars.low, bars.close, period),
}
FIRST_VALUE = {"sma": -1, "ema": -1, "rsi": 0, "atr": -1}
"""Where the first value stands, counted from the period."""


def test_the_true_range_reaches_to_the_close_before() -> None:
    assert true_range(HIGH, LOW, CLOSE).tolist() == [5, 5, 6, 5, 8, 5, 5]


def test_atr_gives_the_golden_numbers_of_wilder() -> None:
    values = atr(HIGH, LOW, CLOSE, 3)
    assert np.isnan(values[:2]).all()
    assert values[2:] == pytest.approx([5.333333, 5.222222, 6.148148, 5.765432, 5.510288], abs=5e-7)


def test_sma_is_the_mean_of_the_last_values() -> None:
    close = random_walk(200, seed=1).close
    expected = [np.mean(close[i - 19 : i + 1]) for i in range(19, 200)]
    assert sma(close, 20)[19:] == pytest.approx(expected, rel=1e-13)


def test_ema_moves_by_its_weight_towards_each_new_value() -> None:
    assert ema(np.array([1.0, 2.0, 3.0, 7.0, 1.0]), 3)[2:].tolist() == [2.0, 4.5, 2.75]


def test_rsi_follows_wilder_step_by_step() -> None:
    close = random_walk(120, seed=2).close
    changes = [later - earlier for earlier, later in pairwise(close)]
    gain = sum(max(change, 0.0) for change in changes[:14]) / 14
    loss = sum(max(-change, 0.0) for change in changes[:14]) / 14
    expected = [100 - 100 / (1 + gain / loss)]
    for change in changes[14:]:
        gain, loss = (gain * 13 + max(change, 0.0)) / 14, (loss * 13 + max(-change, 0.0)) / 14
        expected.append(100 - 100 / (1 + gain / loss))
    assert rsi(close, 14)[14:] == pytest.approx(expected, rel=1e-12)


def test_rsi_knows_only_winners_only_losers_and_no_movement() -> None:
    rising = np.arange(1.0, 31.0)
    assert rsi(rising, 14)[14:].tolist() == [100.0] * 16
    assert rsi(rising[::-1], 14)[14:].tolist() == [0.0] * 16
    assert rsi(np.full(30, 7.0), 14)[14:].tolist() == [FLAT_RSI] * 16


@pytest.mark.parametrize("name", INDICATORS)
@given(count=st.integers(0, 60), period=st.integers(1, 25), seed=st.integers(0, 2**32 - 1))
def test_there_is_no_value_before_warm_up_and_always_one_after(name: str, count: int, period: int, seed: int) -> None:
    values = INDICATORS[name](random_walk(count, seed), period)
    first = period + FIRST_VALUE[name]
    assert len(values) == count
    assert np.isnan(values[:first]).all()
    assert np.isfinite(values[first:]).all()


@pytest.mark.parametrize("name", INDICATORS)
@given(count=st.integers(1, 120), period=st.integers(1, 40), seed=st.integers(0, 2**32 - 1), data=st.data())
def test_a_prefix_gives_the_same_bits_as_the_whole_series(
    name: str, count: int, period: int, seed: int, data: st.DataObject
) -> None:
    bars = random_walk(count, seed)
    known = data.draw(st.integers(1, count))
    whole, prefix = INDICATORS[name](bars, period), INDICATORS[name](bars[:known], period)
    assert prefix.tobytes() == whole[:known].tobytes()


@pytest.mark.parametrize("name", INDICATORS)
def test_long_series_keep_the_bits_of_their_prefixes(name: str) -> None:
    bars = random_walk(20_000, seed=3)
    whole = INDICATORS[name](bars, 50)
    for known in (1, 49, 50, 51, 8_191, 8_192, 8_193, 16_385, 19_999):
        assert INDICATORS[name](bars[:known], 50).tobytes() == whole[:known].tobytes()


def test_indicators_leave_their_input_alone() -> None:
    bars = random_walk(100, seed=4)
    for column in (bars.high, bars.low, bars.close):
        column.flags.writeable = False
    for indicator in INDICATORS.values():
        indicator(bars, 10)


@pytest.mark.parametrize("indicator", [sma, ema, rsi, wilder_average])
def test_a_period_below_one_is_refused(indicator: Callable[[FloatArray, int], FloatArray]) -> None:
    with pytest.raises(ValueError, match="period 0 is below 1"):
        indicator(CLOSE, 0)
