"""How much our own size moves the price: what the square-root law needs to know at each bar.

The law, I = Y·σ_d·√(Q/V_d), is the empirical one of Torre (1997) and Almgren et al. (2005), confirmed for crypto by
Donier and Bonart (2015).
"""

import math

import numpy as np

from mastertrade.quant.bars import Bars, FloatArray

DAY_S = 86_400
FEWEST_BARS = 20
"""Below this many bars neither volatility nor volume of a day is known; the impact is then taken as none."""


def impact_per_root(bars: Bars) -> FloatArray:
    """σ_d/√V_d at each bar's close, from the trailing day of bars (at least twenty): times √Q it is the fraction by
    which an order of Q worsens its price at Y = 1. 0 where nothing was traded or too little is known.

    σ_d is the root of the mean squared log return times the bars of a day, V_d the mean volume times the bars of a day.
    A prefix of the bars gives the same values as the whole.
    """
    count = len(bars)
    found = np.zeros(count)
    if count < FEWEST_BARS:
        return found
    per_day = DAY_S / bars.interval_s
    window = max(math.ceil(per_day), FEWEST_BARS)
    squares = np.zeros(count)
    squares[1:] = np.square(np.log(bars.close[1:] / bars.close[:-1]))
    known = np.minimum(np.arange(1, count + 1), window)
    variance = trailing_sum(squares, window) / known * per_day
    volume = trailing_sum(bars.volume, window) / known * per_day
    usable = (known >= FEWEST_BARS) & (volume > 0.0)
    found[usable] = np.sqrt(np.maximum(variance[usable], 0.0) / volume[usable])
    return found


def trailing_sum(values: FloatArray, window: int) -> FloatArray:
    """Of the last ``window`` values, or of as many as there are."""
    totals = np.cumsum(values)
    if len(totals) > window:
        totals[window:] -= totals[:-window].copy()
    return totals
