"""Statistics of a moving window, each made of its window alone and in a few passes, however long the window is.

The series is cut into blocks as long as the window, so a window is the end of one block and the start of the next (van
Herk 1992). Means and squares around them are built up value by value (Welford 1962) and the two parts put together
(Chan, Golub and LeVeque 1979): the shortcut over sums of squares loses the digits that matter when prices are large and
moves small, and finds a spread in a window that is flat.
"""

from math import nan, sqrt

import numpy as np

from mastertrade.quant.bars import FloatArray
from mastertrade.quant.compiled import kernel
from mastertrade.quant.indicators.averages import sma
from mastertrade.quant.indicators.series import checked_period, contiguous, room_for, same_length

ROUNDING = 1e-13
"""A mean distance below this share of the mean is rounding."""


def deviation(values: FloatArray, period: int, *, sample: bool = False) -> FloatArray:
    """Standard deviation of the last ``period`` values: of the population, as TA-Lib's STDDEV, or estimated from a
    sample (divided by ``period - 1``)."""
    values, deviations = contiguous(values), room_for(values)
    period = checked_period(period, 2 if sample else 1)
    _window_deviation(values, period, float(period - sample), deviations)
    return deviations


def mean_distance(values: FloatArray, period: int) -> FloatArray:
    """Mean absolute distance of the last ``period`` values from their mean."""
    values, distances = contiguous(values), room_for(values)
    period = checked_period(period)
    _window_distance(values, sma(values, period), period, distances)
    return distances


def z_score(values: FloatArray, period: int) -> FloatArray:
    """How many deviations (of the population) the value lies from the mean of its window; 0 in a flat window."""
    values = contiguous(values)
    spread = deviation(values, period)
    away = values - sma(values, period)
    return np.divide(away, spread, out=np.where(np.isnan(spread), np.nan, 0.0), where=spread > 0.0)


def correlation(left: FloatArray, right: FloatArray, period: int) -> FloatArray:
    """Pearson's correlation of two series over the last ``period`` bars, -1..1; 0 when one of them is flat, as in
    TA-Lib's CORREL."""
    left, right = same_length(left, right)
    period, found = checked_period(period, 2), room_for(left)
    _window_correlation(left, right, period, found)
    return found


def volatility(close: FloatArray, period: int) -> FloatArray:
    """Deviation (of a sample) of the last ``period`` logarithmic returns, per bar; first known at bar ``period``. Times
    the root of the bars in a year it is the yearly one (Hull, Options, Futures and Other Derivatives)."""
    close = contiguous(close)
    with np.errstate(divide="ignore", invalid="ignore"):
        returns = np.diff(np.log(close), prepend=np.nan)
    return deviation(returns, period, sample=True)


def rate_of_change(values: FloatArray, period: int) -> FloatArray:
    """What the value has gained over ``period`` bars, as a fraction (TA-Lib's ROCP); unknown where it was 0."""
    values, gained = contiguous(values), room_for(values)
    _gain(values, checked_period(period), gained)
    return gained


def highest(values: FloatArray, period: int) -> FloatArray:
    """The largest of the last ``period`` values."""
    values, found = contiguous(values), room_for(values)
    _window_minimum(values, -1.0, checked_period(period), found)
    return found


def lowest(values: FloatArray, period: int) -> FloatArray:
    """The smallest of the last ``period`` values."""
    values, found = contiguous(values), room_for(values)
    _window_minimum(values, 1.0, checked_period(period), found)
    return found


@kernel("vio")
def _gain(values: FloatArray, period: int, gained: FloatArray) -> None:
    for i in range(min(period, len(values))):
        gained[i] = nan
    for i in range(period, len(values)):
        before, gain = values[i - period], values[i] / values[i - period] - 1.0
        gained[i] = gain if gain - gain + before - before == 0.0 else nan


@kernel("vifo")
def _window_deviation(values: FloatArray, period: int, divisor: float, found: FloatArray) -> None:
    count, share = len(values), 1.0 / np.arange(1, period + 1)
    means, squares = np.zeros(period + 1), np.zeros(period + 1)
    last_means, last_squares = np.zeros(period + 1), np.zeros(period + 1)
    start_means, start_squares = np.empty(period), np.empty(period)
    for at in range(0, count, period):
        length = min(period, count - at)
        block, results = values[at : at + length], found[at : at + length]
        mean, square, end_mean, end_square = 0.0, 0.0, 0.0, 0.0
        for j in range(length):
            away = block[j] - mean
            mean += away * share[j]
            square += away * (block[j] - mean)
            start_means[j], start_squares[j] = mean, square
            k = length - 1 - j
            away = block[k] - end_mean
            end_mean += away * share[j]
            end_square += away * (block[k] - end_mean)
            means[k], squares[k] = end_mean, end_square
        for j in range(length):
            apart = start_means[j] - last_means[j + 1]
            between = apart * apart * ((j + 1) * (period - j - 1) / period)
            spread = sqrt((start_squares[j] + last_squares[j + 1] + between) / divisor)
            results[j] = spread if spread - spread == 0.0 else nan
        means, last_means = last_means, means
        squares, last_squares = last_squares, squares
    for i in range(min(period - 1, count)):
        found[i] = nan


@kernel("vvio")
def _window_distance(values: FloatArray, means: FloatArray, period: int, found: FloatArray) -> None:
    """One pass for each place in the window: what lies around a mean is not put together from parts."""
    for start in range(0, len(values), 4096):
        results, centres = found[start : start + 4096], means[start : start + 4096]
        for j in range(len(results)):
            results[j] = 0.0
        for back in range(min(period, start + len(results))):
            skip = max(0, back - start)
            summed, around, inputs = results[skip:], centres[skip:], values[start + skip - back :]
            for j in range(len(summed)):
                summed[j] += abs(inputs[j] - around[j])
        for j in range(len(results)):
            results[j] = 0.0 if results[j] <= ROUNDING * period * abs(centres[j]) else results[j] / period


@kernel("vvio")
def _window_correlation(left: FloatArray, right: FloatArray, period: int, found: FloatArray) -> None:
    """The rows of the tables: both means, both squares around them, and the product."""
    count, share = len(left), 1.0 / np.arange(1, period + 1)
    starts, ends, last_ends = np.zeros((5, period + 1)), np.zeros((5, period + 1)), np.zeros((5, period + 1))
    for at in range(0, count, period):
        length = min(period, count - at)
        for table, first, step in ((starts, 0, 1), (ends, length - 1, -1)):
            left_mean, right_mean, left_square, right_square, product = 0.0, 0.0, 0.0, 0.0, 0.0
            for j in range(length):
                k = first + step * j
                left_apart, right_apart = left[at + k] - left_mean, right[at + k] - right_mean
                left_mean += left_apart * share[j]
                right_mean += right_apart * share[j]
                left_square += left_apart * (left[at + k] - left_mean)
                right_square += right_apart * (right[at + k] - right_mean)
                product += left_apart * (right[at + k] - right_mean)
                table[0, k], table[1, k] = left_mean, right_mean
                table[2, k], table[3, k], table[4, k] = left_square, right_square, product
        for j in range(length):
            weight = (j + 1) * (period - j - 1) / period
            left_apart, right_apart = starts[0, j] - last_ends[0, j + 1], starts[1, j] - last_ends[1, j + 1]
            left_square = starts[2, j] + last_ends[2, j + 1] + left_apart * left_apart * weight
            right_square = starts[3, j] + last_ends[3, j + 1] + right_apart * right_apart * weight
            product = starts[4, j] + last_ends[4, j + 1] + left_apart * right_apart * weight
            spread = sqrt(left_square) * sqrt(right_square)
            found[at + j] = min(1.0, max(-1.0, product / spread)) if spread > 0.0 else 0.0
            if left_square - left_square + right_square - right_square != 0.0:
                found[at + j] = nan
        ends, last_ends = last_ends, ends
    for i in range(min(period - 1, count)):
        found[i] = nan


@kernel("vfio")
def _window_minimum(values: FloatArray, sign: float, period: int, found: FloatArray) -> None:
    """The largest values are the smallest of the negative ones. ``unknown`` is 0 until a value is not finite, and NaN
    from there on."""
    count = len(values)
    ends, last_ends = np.full(period + 1, np.inf), np.full(period + 1, np.inf)
    starts = np.empty(period)
    for at in range(0, count, period):
        length = min(period, count - at)
        block, results = values[at : at + length], found[at : at + length]
        start, end, unknown, end_unknown = np.inf, np.inf, 0.0, 0.0
        for j in range(length):
            value = sign * block[j]
            unknown += value - value
            start = value if value < start else start
            starts[j] = start + unknown
            value = sign * block[length - 1 - j]
            end_unknown += value - value
            end = value if value < end else end
            ends[length - 1 - j] = end + end_unknown
        for j in range(length):
            here, before = starts[j], last_ends[j + 1]
            smallest = sign * (here if here < before or here != here else before)
            results[j] = smallest if smallest - smallest == 0.0 else nan
        ends, last_ends = last_ends, ends
    for i in range(min(period - 1, count)):
        found[i] = nan
