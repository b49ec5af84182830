"""Indicators: golden numbers, obvious twins, and the law that a prefix gives the same bits."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastertrade.quant.bars import Bars, FloatArray
from mastertrade.quant.indicators import (
    FLAT_RSI,
    ago,
    atr,
    correlation,
    deviation,
    ema,
    ichimoku,
    obv,
    rsi,
    session_vwap,
    sma,
    supertrend,
    true_range,
    volatility,
    vwap,
    wilder_average,
    wma,
    z_score,
)
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


def test_obv_adds_volume_on_a_rise_takes_it_off_on_a_fall_and_keeps_it_on_neither() -> None:
    close, volume = np.array([10.0, 11, 11, 9, 12]), np.array([5.0, 3, 4, 2, 7])
    assert obv(close, volume).tolist() == [5, 8, 8, 6, 13]


def test_the_lines_of_ichimoku_stand_where_they_are_known() -> None:
    lines = ichimoku(HIGH, LOW, CLOSE, 2, 3, 4)
    nan = np.nan
    assert lines.conversion.tolist() == pytest.approx([nan, 102.5, 101.5, 99.5, 101.5, 103.5, 104.0], nan_ok=True)
    assert lines.base.tolist() == pytest.approx([nan, nan, 101.5, 101.0, 101.5, 102.0, 103.5], nan_ok=True)
    assert lines.span_a.tolist() == pytest.approx([nan] * 5 + [101.5, 100.25], nan_ok=True), "made three bars before"
    assert lines.span_b.tolist() == pytest.approx([nan] * 6 + [101.0], nan_ok=True)
    assert lines.lagging.tolist() == pytest.approx([nan] * 3 + [-3 / 103, 4 / 102, 6 / 98, 1 / 100], nan_ok=True)
    with pytest.raises(ValueError, match="lies in the future"):
        ago(CLOSE, -26)


def test_supertrend_trails_the_price_and_turns_when_the_close_is_beyond_it() -> None:
    close = np.array([10.0, 11, 12, 13, 12.5, 9, 8, 8.5, 14])
    line, direction = supertrend(close + 0.5, close - 0.5, close, 1, 1.0)
    ranges = [1.0, 1.5, 1.5, 1.5, 1, 4, 1.5, 1, 6]
    upper, lower, trend = close[0] + ranges[0], close[0] - ranges[0], 1
    for i, price in enumerate(close):
        if i:
            trend = 1 if price > upper else -1 if price < lower else trend
            above, below = price + ranges[i], price - ranges[i]
            upper = above if above < upper or close[i - 1] > upper else upper
            lower = below if below > lower or close[i - 1] < lower else lower
        assert (line[i], direction[i]) == (lower if trend == 1 else upper, trend), i
    assert direction.tolist() == [1, 1, 1, 1, 1, -1, -1, -1, 1]


def test_vwap_weighs_the_typical_price_and_a_session_begins_at_midnight() -> None:
    high, low, close = np.array([4.0, 7, 10, 13]), np.array([2.0, 5, 8, 11]), np.array([3.0, 6, 9, 12])
    volume = np.array([0.0, 1, 3, 2])
    assert vwap(high, low, close, volume, 2).tolist() == pytest.approx([np.nan, 6, 8.25, 10.2], nan_ok=True)
    day_ms = 86_400_000
    time = np.array([day_ms - 2, day_ms - 1, day_ms, day_ms + 1])
    assert session_vwap(time, high, low, close, volume).tolist() == pytest.approx([np.nan, 6, 9, 10.2], nan_ok=True)


def test_volatility_is_the_sample_deviation_of_logarithmic_returns() -> None:
    returns = np.diff(np.log(CLOSE))
    expected = [np.std(returns[i - 3 : i], ddof=1) for i in range(3, len(returns) + 1)]
    assert volatility(CLOSE, 3)[3:] == pytest.approx(expected, rel=1e-12)


def test_windows_keep_their_digits_where_prices_are_large_and_moves_small() -> None:
    steps = np.array([1.0, 2, 3, 4, 5, 4, 3, 2, 1, 2, 3, 4])
    large = steps / 128 + 2.0**17
    assert deviation(large, 5)[4:] == pytest.approx(deviation(steps, 5)[4:] / 128, rel=1e-8)
    assert correlation(large, steps, 5)[4:] == pytest.approx(np.ones(8), rel=1e-8)
    assert z_score(np.full(9, 0.1), 4)[3:].tolist() == [0.0] * 6, "nothing is far away in a flat window"


def test_a_jump_leaves_no_trace_in_the_windows_behind_it() -> None:
    values = np.concatenate((np.full(10, 1e12), [1.0, 2, 3, 4, 5, 6, 7]))
    assert deviation(values, 4)[13:] == pytest.approx(deviation(values[10:], 4)[3:], rel=1e-12)
    assert wma(values, 4)[13:] == pytest.approx(wma(values[10:], 4)[3:], rel=1e-12)
