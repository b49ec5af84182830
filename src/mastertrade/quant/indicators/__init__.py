"""Indicators: one value a bar, NaN until enough bars are known.

The value at bar ``i`` is made of bars ``0..i`` only, by the same operations in the same order however many bars follow.
So a prefix gives the same bits as the whole series. A value that is not finite counts as unknown: what is made of a
window is NaN while the window holds it, what is carried on from bar to bar begins its warm-up again behind it.
"""

from mastertrade.quant.indicators.averages import ema, sma, wilder_average
from mastertrade.quant.indicators.ranges import atr, true_range
from mastertrade.quant.indicators.strength import FLAT_RSI, rsi

__all__ = ["FLAT_RSI", "atr", "ema", "rsi", "sma", "true_range", "wilder_average"]
