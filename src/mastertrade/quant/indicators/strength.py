"""Oscillators: how far and how steadily a price has gone."""

from math import isfinite, nan
from typing import NamedTuple

import numpy as np

from mastertrade.quant.bars import FloatArray
from mastertrade.quant.compiled import kernel
from mastertrade.quant.indicators.averages import ema, late_ema, sma
from mastertrade.quant.indicators.series import checked_period, contiguous, room_for, same_length, typical_price
from mastertrade.quant.indicators.windows import highest, lowest, mean_distance

FLAT_RSI = 50.0
"""The strength of a price that has not moved at all: neither buyers nor sellers. (TA-Lib says 0.) So too where the
stochastic finds no range and the money flow no flow."""
CCI_SCALE = 0.015
"""Lambert's constant: it puts most values between -100 and 100."""


class Macd(NamedTuple):
    line: FloatArray
    signal: FloatArray
    histogram: FloatArray


class StochasticLines(NamedTuple):
    k: FloatArray
    d: FloatArray


class Directional(NamedTuple):
    adx: FloatArray
    plus: FloatArray
    minus: FloatArray


def rsi(close: FloatArray, period: int = 14) -> FloatArray:
    """Wilder's relative strength, 0..100; the first value stands at bar ``period`` (New Concepts in Technical Trading
    Systems, 1978)."""
    close, strength = contiguous(close), room_for(close)
    _relative_strength(close, checked_period(period), strength)
    return strength


def macd(close: FloatArray, fast: int = 12, slow: int = 26, signal: int = 9) -> Macd:
    """Appel's convergence and divergence: the fast average less the slow one, the average of that, and what lies
    between them (Technical Analysis: Power Tools for Active Investors, 2005). Both averages begin at bar ``slow - 1``,
    as in TA-Lib, which shows the line only from where the signal is known too."""
    return macd_of(late_ema(close, fast, slow - 1), ema(close, slow), signal)


def macd_of(fast_average: FloatArray, slow_average: FloatArray, signal: int) -> Macd:
    line = fast_average - slow_average
    smooth = ema(line, signal)
    return Macd(line, smooth, line - smooth)


def stochastic(
    high: FloatArray, low: FloatArray, close: FloatArray, period: int = 14, smooth: int = 3, signal: int = 3
) -> StochasticLines:
    """Lane's slow stochastic, 0..100: where the close stands in the range of ``period`` bars, averaged over ``smooth``
    of them (k), and the average of that over ``signal`` (d). A window without a range counts 50; TA-Lib says 0, and
    shows k only from where d is known too."""
    high, low, close = same_length(high, low, close)
    bottom = lowest(low, period)
    width = highest(high, period) - bottom
    place = np.where(np.isnan(width + close), np.nan, FLAT_RSI)
    np.divide(100.0 * (close - bottom), width, out=place, where=width > 0.0)
    k = sma(place, smooth)
    return StochasticLines(k, sma(k, signal))


def cci(high: FloatArray, low: FloatArray, close: FloatArray, period: int = 20) -> FloatArray:
    """Lambert's commodity channel index: the typical price's distance from its average, in mean distances × 0.015
    (Commodities, October 1980); 0 in a window that is flat."""
    high, low, close = same_length(high, low, close)
    typical = typical_price(high, low, close)
    spread = mean_distance(typical, period)
    away = typical - sma(typical, period)
    return np.divide(away, CCI_SCALE * spread, out=np.where(np.isnan(spread), np.nan, 0.0), where=spread > 0.0)


def adx(high: FloatArray, low: FloatArray, close: FloatArray, period: int = 14) -> Directional:
    """Wilder's directional movement, 0..100: the average index of the trend's strength and the two directions it is
    made of. As TA-Lib reckons it: the first sums hold ``period - 1`` moves, ADX begins at bar ``2 × period - 1``."""
    high, low, close = same_length(high, low, close)
    strength, plus, minus = room_for(close), room_for(close), room_for(close)
    _directional(high, low, close, checked_period(period, 2), strength, plus, minus)
    return Directional(strength, plus, minus)


@kernel("vio")
def _relative_strength(close: FloatArray, period: int, strength: FloatArray) -> None:
    weight = 1.0 / period
    seen, gain, loss, before = 0, 0.0, 0.0, nan
    for i in range(len(close)):
        change = close[i] - before
        before = close[i]
        if not isfinite(change):
            seen, gain, loss = 0, 0.0, 0.0
            strength[i] = nan
            continue
        up, down = max(change, 0.0), max(-change, 0.0)
        if seen < period:
            gain += up
            loss += down
            seen += 1
            if seen == period:
                gain /= period
                loss /= period
        else:
            gain += weight * (up - gain)
            loss += weight * (down - loss)
        movement = gain + loss
        if seen < period:
            strength[i] = nan
        elif movement > 0.0:
            strength[i] = 100.0 * gain / movement
        else:
            strength[i] = FLAT_RSI


@kernel("vvviooo")
def _directional(
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    period: int,
    strength: FloatArray,
    plus: FloatArray,
    minus: FloatArray,
) -> None:
    moves, ups, downs, ranges, average = 0, 0.0, 0.0, 0.0, 0.0
    for i in range(len(close)):
        strength[i], plus[i], minus[i] = nan, nan, nan
        known = high[i] - low[i] + close[i]
        before = high[i - 1] - low[i - 1] + close[i - 1] if i else nan
        if not isfinite(known + before):
            moves, ups, downs, ranges, average = 0, 0.0, 0.0, 0.0, 0.0
            continue
        moves += 1
        rise, fall = high[i] - high[i - 1], low[i - 1] - low[i]
        reach = max(high[i] - low[i], abs(high[i] - close[i - 1]), abs(low[i] - close[i - 1]))
        up = rise if rise > 0.0 and rise > fall else 0.0
        down = fall if fall > 0.0 and fall > rise else 0.0
        if moves < period:
            ups += up
            downs += down
            ranges += reach
            continue
        ups += up - ups / period
        downs += down - downs / period
        ranges += reach - ranges / period
        plus[i] = 100.0 * ups / ranges if ranges > 0.0 else 0.0
        minus[i] = 100.0 * downs / ranges if ranges > 0.0 else 0.0
        both = plus[i] + minus[i]
        index = 100.0 * abs(plus[i] - minus[i]) / both if both > 0.0 else 0.0
        if moves < 2 * period:
            average += index / period
        elif both > 0.0:
            average = (average * (period - 1) + index) / period
        if moves >= 2 * period - 1:
            strength[i] = average
