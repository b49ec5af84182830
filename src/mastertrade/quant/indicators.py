"""Indicators: one value a bar, NaN until enough bars are known.

The value at bar ``i`` is made of bars ``0..i`` only, by the same operations in the same order however many bars follow.
So a prefix gives the same bits as the whole series. That is why nothing here is a difference of running totals.
"""

from collections.abc import Callable

import numpy as np

from mastertrade.quant.bars import FloatArray

FLAT_RSI = 50.0
"""The strength of a price that has not moved at all: neither buyers nor sellers."""


def sma(values: FloatArray, period: int) -> FloatArray:
    """Simple moving average; the first value stands at bar ``period - 1``."""
    averages = _unknown(len(values), period)
    count = len(values) - period + 1
    if count > 0:
        total = np.zeros(count)
        for offset in range(period):
            total += values[offset : offset + count]
        averages[period - 1 :] = total / period
    return averages


def ema(values: FloatArray, period: int) -> FloatArray:
    """Exponential moving average with weight 2/(period+1), started with the mean of the first ``period`` values."""
    weight = 2.0 / (period + 1)
    return _recursive_average(values, period, lambda average, value: average + weight * (value - average))


def rsi(close: FloatArray, period: int = 14) -> FloatArray:
    """Wilder's relative strength, 0..100; the first value stands at bar ``period``."""
    strength = _unknown(len(close), period)
    if len(close) <= period:
        return strength
    change = np.diff(close)
    gain = wilder_average(np.maximum(change, 0.0), period)
    loss = wilder_average(np.maximum(-change, 0.0), period)
    movement = gain + loss
    moved = movement > 0.0
    strength[1:] = np.where(np.isnan(movement), np.nan, FLAT_RSI)
    strength[1:][moved] = 100.0 * gain[moved] / movement[moved]
    return strength


def true_range(high: FloatArray, low: FloatArray, close: FloatArray) -> FloatArray:
    """The bar's range, widened to the close before it; the first bar has only its own range."""
    widest = high - low
    before = close[:-1]
    widest[1:] = np.maximum(widest[1:], np.maximum(np.abs(high[1:] - before), np.abs(low[1:] - before)))
    return widest


def atr(high: FloatArray, low: FloatArray, close: FloatArray, period: int = 14) -> FloatArray:
    """Wilder's average true range; the first value stands at bar ``period - 1``."""
    return wilder_average(true_range(high, low, close), period)


def wilder_average(values: FloatArray, period: int) -> FloatArray:
    """Wilder's smoothing: (average × (period - 1) + value) / period, started with the mean of the first ``period``."""
    return _recursive_average(values, period, lambda average, value: (average * (period - 1) + value) / period)


def _recursive_average(values: FloatArray, period: int, step: Callable[[float, float], float]) -> FloatArray:
    averages = _unknown(len(values), period)
    if len(values) < period:
        return averages
    average = float(sma(values[:period], period)[-1])
    known = [average]
    for value in values[period:].tolist():
        average = step(average, value)
        known.append(average)
    averages[period - 1 :] = known
    return averages


def _unknown(length: int, period: int) -> FloatArray:
    if period < 1:
        raise ValueError(f"indicator period {period} is below 1")
    return np.full(length, np.nan)
