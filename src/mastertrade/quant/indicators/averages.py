"""Moving averages."""

from math import isfinite, nan

import numpy as np

from mastertrade.quant.bars import FloatArray
from mastertrade.quant.compiled import kernel
from mastertrade.quant.indicators.series import checked_period, contiguous, room_for


def sma(values: FloatArray, period: int) -> FloatArray:
    """Simple moving average; the first value stands at bar ``period - 1``. Each is added up of its window alone: no
    running total that drifts, or that one absurd value would spoil for all that follow."""
    values, averages = contiguous(values), room_for(values)
    _window_mean(values, checked_period(period), averages)
    return averages


def ema(values: FloatArray, period: int) -> FloatArray:
    """Exponential moving average with weight 2/(period+1), started with the mean of the first ``period`` values."""
    values, averages = contiguous(values), room_for(values)
    period = checked_period(period)
    _recursive_mean(values, 0, period, 2.0 / (period + 1), averages)
    return averages


def late_ema(values: FloatArray, period: int, first: int) -> FloatArray:
    """The exponential average that has its first value at bar ``first``, however short its period is."""
    values, averages = contiguous(values), room_for(values)
    period = checked_period(period)
    _recursive_mean(values, max(0, first + 1 - period), period, 2.0 / (period + 1), averages)
    return averages


def wilder_average(values: FloatArray, period: int) -> FloatArray:
    """Wilder's smoothing: each value moves the average by 1/period towards it; started with the mean of the first
    ``period`` (New Concepts in Technical Trading Systems, 1978)."""
    values, averages = contiguous(values), room_for(values)
    period = checked_period(period)
    _recursive_mean(values, 0, period, 1.0 / period, averages)
    return averages


def wma(values: FloatArray, period: int) -> FloatArray:
    """Linearly weighted average: the newest value weighs ``period``, the oldest 1 (as TA-Lib's WMA)."""
    values, averages = contiguous(values), room_for(values)
    _weighted_mean(values, checked_period(period), averages)
    return averages


@kernel("vio")
def _window_mean(values: FloatArray, period: int, means: FloatArray) -> None:
    """The series is cut into blocks as long as the window, so a window is the end of one block and the start of the
    next (van Herk 1992, there for maxima). Two blocks at a time, because an addition waits for the one before it."""
    count = len(values)
    ends, next_ends, last_ends = np.zeros(period + 1), np.zeros(period + 1), np.zeros(period + 1)
    starts, next_starts = np.empty(period), np.empty(period)
    at = 0
    while at + 2 * period <= count:
        block, next_block = values[at : at + period], values[at + period : at + 2 * period]
        start, next_start, end, next_end = 0.0, 0.0, 0.0, 0.0
        for j in range(period):
            start += block[j]
            starts[j] = start
            next_start += next_block[j]
            next_starts[j] = next_start
            k = period - 1 - j
            end += block[k]
            ends[k] = end
            next_end += next_block[k]
            next_ends[k] = next_end
        results, before = means[at : at + period], last_ends[1:]
        for j in range(period):
            mean = (before[j] + starts[j]) / period
            results[j] = mean if mean - mean == 0.0 else nan
        results, before = means[at + period : at + 2 * period], ends[1:]
        for j in range(period):
            mean = (before[j] + next_starts[j]) / period
            results[j] = mean if mean - mean == 0.0 else nan
        last_ends, next_ends = next_ends, last_ends
        at += 2 * period
    while at < count:
        length = min(period, count - at)
        start, end = 0.0, 0.0
        for j in range(length):
            start += values[at + j]
            mean = (last_ends[j + 1] + start) / period
            means[at + j] = mean if mean - mean == 0.0 else nan
        for k in range(length - 1, -1, -1):
            end += values[at + k]
            last_ends[k] = end
        at += period
    for i in range(min(period - 1, count)):
        means[i] = nan


@kernel("viifo")
def _recursive_mean(values: FloatArray, skipped: int, period: int, weight: float, means: FloatArray) -> None:
    seen, total, mean = -skipped, 0.0, 0.0
    for i in range(len(values)):
        value = values[i]
        if not isfinite(value):
            seen, total = -skipped, 0.0
            means[i] = nan
        elif seen < period:
            if seen >= 0:
                total += value
            seen += 1
            mean = total / period
            means[i] = mean if seen == period else nan
        else:
            mean += weight * (value - mean)
            means[i] = mean


@kernel("vio")
def _weighted_mean(values: FloatArray, period: int, means: FloatArray) -> None:
    """Blocks as in ``_window_mean``. Where the end of the block before holds ``n`` values, those of this block weigh
    ``n`` more than they would alone."""
    count, weights = len(values), period * (period + 1) / 2.0
    ends, last_ends = np.zeros(period + 1), np.zeros(period + 1)
    for at in range(0, count, period):
        length = min(period, count - at)
        block, results = values[at : at + length], means[at : at + length]
        total, weighted, end, end_weighted = 0.0, 0.0, 0.0, 0.0
        for j in range(length):
            total += block[j]
            weighted += (j + 1) * block[j]
            mean = (last_ends[j + 1] + weighted + (period - j - 1) * total) / weights
            results[j] = mean if mean - mean == 0.0 else nan
            end += block[length - 1 - j]
            end_weighted += end
            ends[length - 1 - j] = end_weighted
        ends, last_ends = last_ends, ends
    for i in range(min(period - 1, count)):
        means[i] = nan
