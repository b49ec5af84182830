"""Ranges: how much a price moves, and channels made of that."""

from math import isfinite, nan
from typing import NamedTuple

import numpy as np

from mastertrade.quant.bars import FloatArray
from mastertrade.quant.compiled import kernel
from mastertrade.quant.indicators.averages import ema, sma, wilder_average
from mastertrade.quant.indicators.series import contiguous, room_for, same_length
from mastertrade.quant.indicators.windows import deviation, highest, lowest, rate_of_change


class Bands(NamedTuple):
    lower: FloatArray
    middle: FloatArray
    upper: FloatArray


class SuperTrend(NamedTuple):
    line: FloatArray
    direction: FloatArray
    """1 while the trend is up and the line below the price, -1 while it is down."""


class Ichimoku(NamedTuple):
    conversion: FloatArray
    base: FloatArray
    span_a: FloatArray
    span_b: FloatArray
    lagging: FloatArray


def true_range(high: FloatArray, low: FloatArray, close: FloatArray) -> FloatArray:
    """The bar's range, widened to the close before it; the first bar has only its own range."""
    high, low, close = same_length(high, low, close)
    widest = room_for(close)
    _true_range(high, low, close, widest)
    return widest


def atr(high: FloatArray, low: FloatArray, close: FloatArray, period: int = 14) -> FloatArray:
    """Wilder's average true range; the first value stands at bar ``period - 1``, as in his book. (TA-Lib leaves the
    first bar out and begins one bar later.)"""
    return wilder_average(true_range(high, low, close), period)


def bollinger(close: FloatArray, period: int = 20, deviations: float = 2.0) -> Bands:
    """The average and a number of deviations (of the population) around it (Bollinger on Bollinger Bands, 2001)."""
    return around(sma(close, period), deviations * deviation(close, period))


def keltner(
    high: FloatArray, low: FloatArray, close: FloatArray, period: int = 20, ranges: float = 2.0, range_period: int = 10
) -> Bands:
    """An exponential average and a number of average true ranges around it (Keltner's channel as Raschke drew it)."""
    return around(ema(close, period), ranges * atr(high, low, close, range_period))


def around(middle: FloatArray, distance: FloatArray) -> Bands:
    """The band as far above as below; all three unknown where one of them is."""
    lower, upper = middle - distance, middle + distance
    return Bands(lower, np.where(np.isnan(lower), np.nan, middle), upper)


def donchian(high: FloatArray, low: FloatArray, period: int = 20) -> Bands:
    """The highest high and lowest low of the last ``period`` bars, this one included, and the middle between them. What
    is to be broken is the channel of the bar before."""
    high, low = same_length(high, low)
    top, bottom = highest(high, period), lowest(low, period)
    return Bands(bottom, (top + bottom) / 2.0, top)


def ichimoku(
    high: FloatArray, low: FloatArray, close: FloatArray, conversion: int = 9, base: int = 26, span: int = 52
) -> Ichimoku:
    """Hosoda's lines as they are known at their bar: middles of the range over three periods, and the cloud that stands
    at this bar, which was made ``base`` bars ago. On a chart the lagging line is the close drawn ``base`` bars into the
    past; what is read off it is whether the close is above the one of then, so that is what is given, as a fraction."""
    high, low, close = same_length(high, low, close)
    turning, standard, slowest = (donchian(high, low, period).middle for period in (conversion, base, span))
    cloud = ago((turning + standard) / 2.0, base), ago(slowest, base)
    return Ichimoku(turning, standard, *cloud, rate_of_change(close, base))


def ago(values: FloatArray, bars: int) -> FloatArray:
    """At each bar the value of so many bars before."""
    if bars < 0:
        raise ValueError(f"a value of {bars} bars ago lies in the future; bars must not be below 0")
    values = contiguous(values)
    bars = min(bars, len(values))
    return np.concatenate((np.full(bars, np.nan), values[: len(values) - bars]))


def supertrend(
    high: FloatArray, low: FloatArray, close: FloatArray, period: int = 10, ranges: float = 3.0
) -> SuperTrend:
    """Seban's trailing line: a number of average true ranges from the middle of the bar, moved only with the trend
    until the close is beyond it. A trend begins upwards."""
    return trailing(high, low, close, atr(high, low, close, period), ranges)


def trailing(
    high: FloatArray, low: FloatArray, close: FloatArray, average_range: FloatArray, ranges: float
) -> SuperTrend:
    high, low, close, average_range = same_length(high, low, close, average_range)
    line, direction = room_for(close), room_for(close)
    _supertrend(high, low, close, average_range, ranges, line, direction)
    return SuperTrend(line, direction)


@kernel("vvvo")
def _true_range(high: FloatArray, low: FloatArray, close: FloatArray, widest: FloatArray) -> None:
    for i in range(len(close)):
        own = high[i] - low[i]
        if i == 0:
            widest[i] = own if own - own == 0.0 else nan
            continue
        above, below = abs(high[i] - close[i - 1]), abs(low[i] - close[i - 1])
        if own - own + above - above + below - below != 0.0:
            widest[i] = nan
        else:
            widest[i] = max(own, above, below)


@kernel("vvvvfoo")
def _supertrend(
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    average_range: FloatArray,
    ranges: float,
    line: FloatArray,
    direction: FloatArray,
) -> None:
    begun, trend, upper, lower, before = False, 1.0, 0.0, 0.0, 0.0
    for i in range(len(close)):
        middle = (high[i] + low[i]) / 2.0
        above, below = middle + ranges * average_range[i], middle - ranges * average_range[i]
        if not isfinite(above + below + close[i]):
            begun = False
            line[i], direction[i] = nan, nan
            continue
        if begun:
            if close[i] > upper:
                trend = 1.0
            elif close[i] < lower:
                trend = -1.0
            upper = above if above < upper or before > upper else upper
            lower = below if below > lower or before < lower else lower
        else:
            begun, trend, upper, lower = True, 1.0, above, below
        before = close[i]
        line[i] = lower if trend > 0.0 else upper
        direction[i] = trend
