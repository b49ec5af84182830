"""Ranges: how much a price moves, and channels made of that."""

from math import nan

from mastertrade.quant.bars import FloatArray
from mastertrade.quant.compiled import kernel
from mastertrade.quant.indicators.averages import wilder_average
from mastertrade.quant.indicators.series import room_for, same_length


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


@kernel("vvvo")
def _true_range(high: FloatArray, low: FloatArray, close: FloatArray, widest: FloatArray) -> None:
    for i in range(len(close)):
        own = high[i] - low[i]
        if i == 0:
            widest[i] = own
            continue
        above, below = abs(high[i] - close[i - 1]), abs(low[i] - close[i - 1])
        if own - own + above - above + below - below != 0.0:
            widest[i] = nan
        else:
            widest[i] = max(own, above, below)
