"""Fewer points that look the same: every bucket keeps its first, lowest, highest and last, so no peak and no trough is
lost and every point kept is one that was there."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mastertrade.quant.bars import Bars, FloatArray, TimeArray

IndexArray = NDArray[np.int64]


def curve_places(values: FloatArray, buckets: int) -> IndexArray:
    """Rising indices into ``values``, at most four a bucket; all of them when there are no more than that."""
    if len(values) <= 4 * buckets:
        return np.arange(len(values), dtype=np.int64)
    edges = bucket_starts(len(values), buckets)
    ends = np.append(edges[1:], len(values))
    kept = [edges, ends - 1]
    for start, end in zip(edges.tolist(), ends.tolist(), strict=True):
        part = values[start:end]
        kept.append(np.array([start + int(part.argmin()), start + int(part.argmax())], dtype=np.int64))
    return np.unique(np.concatenate(kept))


def bucket_starts(count: int, buckets: int) -> IndexArray:
    """Where each of at most ``buckets`` equal parts of ``count`` things begins."""
    parts = min(count, buckets)
    return (np.arange(parts, dtype=np.int64) * count) // max(parts, 1)


def merged_bars(bars: Bars, most: int) -> tuple[Bars, int]:
    """The bars, or candles over as many neighbours as it takes to be at most ``most``; and how many that is. A merged
    candle has the first open, the highest high, the lowest low and the last close of its bars."""
    size = max(1, -(-len(bars) // max(most, 1)))
    if size == 1:
        return bars, 1
    starts = np.arange(0, len(bars), size)
    ends = np.append(starts[1:], len(bars)) - 1
    merged = Bars(
        interval_s=bars.interval_s * size,
        time=bars.time[starts],
        open=bars.open[starts],
        high=np.maximum.reduceat(bars.high, starts),
        low=np.minimum.reduceat(bars.low, starts),
        close=bars.close[ends],
        volume=np.add.reduceat(bars.volume, starts),
    )
    return merged, size


def nice_ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers at equal distances that enclose low and high."""
    if not high > low:
        span = abs(high) * 0.01 or 1.0
        low, high = low - span, high + span
    raw = (high - low) / max(wanted - 1, 1)
    magnitude = 10.0 ** np.floor(np.log10(raw))
    step = float(next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= raw * (1 - 1e-9)))
    first, last = int(np.floor(low / step + 1e-9)), int(np.ceil(high / step - 1e-9))
    return [place * step for place in range(first, last + 1)]


def sampled(values: Sequence[float] | FloatArray, count: int) -> FloatArray:
    """The last value of each of ``count`` equal parts, for a drawing of ``count`` letters."""
    array = np.asarray(values, dtype=np.float64)
    if len(array) <= count:
        return array
    last_of_each: FloatArray = array[np.append(bucket_starts(len(array), count)[1:], len(array)) - 1]
    return last_of_each


def closes_of(time: TimeArray, interval_s: int) -> TimeArray:
    """When the bars that start at ``time`` are over."""
    return time + interval_s * 1000
