"""Longer bars out of shorter ones."""

import numpy as np

from mastertrade.quant.bars import Bars, TimeArray

MILLISECONDS_PER_SECOND = 1000


def floor_to_grid(time_ms: int, interval_s: int) -> int:
    """The start of the bar that contains ``time_ms``; bars start on multiples of their length since 1970 UTC."""
    step_ms = interval_s * MILLISECONDS_PER_SECOND
    return time_ms // step_ms * step_ms


def ceil_to_grid(time_ms: int, interval_s: int) -> int:
    """The first bar start that is not before ``time_ms``."""
    step_ms = interval_s * MILLISECONDS_PER_SECOND
    return -(-time_ms // step_ms) * step_ms


def merge(bars: Bars, interval_s: int) -> tuple[Bars, TimeArray]:
    """``bars`` merged into bars of ``interval_s``, and of how many each is made: fewer than ``interval_s`` holds means
    that parts are missing."""
    if interval_s <= 0 or interval_s % bars.interval_s:
        raise ValueError(f"bars of {bars.interval_s} s do not merge into bars of {interval_s} s: not a whole multiple")
    if len(bars) == 0:
        return empty_bars(interval_s), np.empty(0, dtype=np.int64)
    step_ms = interval_s * MILLISECONDS_PER_SECOND
    start = bars.time // step_ms * step_ms
    first = np.flatnonzero(np.concatenate(([True], start[1:] != start[:-1])))
    last = np.append(first[1:], len(bars)) - 1
    merged = Bars(
        interval_s=interval_s,
        time=start[first],
        open=bars.open[first],
        high=np.maximum.reduceat(bars.high, first),
        low=np.minimum.reduceat(bars.low, first),
        close=bars.close[last],
        volume=np.add.reduceat(bars.volume, first),
    )
    return merged, last - first + 1


def resample(bars: Bars, interval_s: int) -> Bars:
    """``bars`` merged into bars of ``interval_s``. A bar is made only if not one of its parts is missing: half a bar
    would show a high, a low and a volume that the whole one never had."""
    if interval_s == bars.interval_s:
        return bars
    merged, parts = merge(bars, interval_s)
    whole = parts == interval_s // bars.interval_s
    return Bars(
        interval_s=interval_s,
        time=merged.time[whole],
        open=merged.open[whole],
        high=merged.high[whole],
        low=merged.low[whole],
        close=merged.close[whole],
        volume=merged.volume[whole],
    )


def join(earlier: Bars, later: Bars) -> Bars:
    """Two stretches of one series, the second wholly after the first."""
    if earlier.interval_s != later.interval_s:
        raise ValueError(f"bars of {earlier.interval_s} s and of {later.interval_s} s are different series")
    if len(earlier) == 0 or len(later) == 0:
        return later if len(earlier) == 0 else earlier
    if later.time[0] <= earlier.time[-1]:
        raise ValueError(f"the later bars begin at {later.time[0]} ms, not after {earlier.time[-1]} ms")
    return Bars(
        interval_s=earlier.interval_s,
        time=np.concatenate((earlier.time, later.time)),
        open=np.concatenate((earlier.open, later.open)),
        high=np.concatenate((earlier.high, later.high)),
        low=np.concatenate((earlier.low, later.low)),
        close=np.concatenate((earlier.close, later.close)),
        volume=np.concatenate((earlier.volume, later.volume)),
    )


def empty_bars(interval_s: int) -> Bars:
    none = np.empty(0, dtype=np.float64)
    return Bars(
        interval_s=interval_s,
        time=np.empty(0, dtype=np.int64),
        open=none,
        high=none,
        low=none,
        close=none,
        volume=none,
    )
