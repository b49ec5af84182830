"""Indicators: one value a bar, NaN until enough bars are known.

The value at bar ``i`` is made of bars ``0..i`` only, by the same operations in the same order however many bars follow.
So a prefix gives the same bits as the whole series. A value that is not finite counts as unknown: what is made of a
window is NaN while the window holds it, what is carried on from bar to bar begins its warm-up again behind it, and a
running total passes over it.
"""

from mastertrade.quant.indicators.averages import ema, late_ema, sma, wilder_average, wma
from mastertrade.quant.indicators.ranges import (
    Bands,
    Ichimoku,
    SuperTrend,
    ago,
    around,
    atr,
    bollinger,
    donchian,
    ichimoku,
    keltner,
    supertrend,
    true_range,
)
from mastertrade.quant.indicators.strength import (
    FLAT_RSI,
    Directional,
    Macd,
    StochasticLines,
    adx,
    cci,
    macd,
    macd_of,
    rsi,
    stochastic,
)
from mastertrade.quant.indicators.volume import mfi, obv, session_vwap, vwap
from mastertrade.quant.indicators.windows import (
    correlation,
    deviation,
    highest,
    lowest,
    mean_distance,
    rate_of_change,
    volatility,
    z_score,
)

__all__ = [
    "FLAT_RSI",
    "Bands",
    "Directional",
    "Ichimoku",
    "Macd",
    "StochasticLines",
    "SuperTrend",
    "adx",
    "ago",
    "around",
    "atr",
    "bollinger",
    "cci",
    "correlation",
    "deviation",
    "donchian",
    "ema",
    "highest",
    "ichimoku",
    "keltner",
    "late_ema",
    "lowest",
    "macd",
    "macd_of",
    "mean_distance",
    "mfi",
    "obv",
    "rate_of_change",
    "rsi",
    "session_vwap",
    "sma",
    "stochastic",
    "supertrend",
    "true_range",
    "volatility",
    "vwap",
    "wilder_average",
    "wma",
    "z_score",
]
