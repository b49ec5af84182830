"""Oscillators: how far and how steadily a price has gone."""

from math import isfinite, nan

from mastertrade.quant.bars import FloatArray
from mastertrade.quant.compiled import kernel
from mastertrade.quant.indicators.series import checked_period, contiguous, room_for

FLAT_RSI = 50.0
"""The strength of a price that has not moved at all: neither buyers nor sellers. (TA-Lib says 0.)"""


def rsi(close: FloatArray, period: int = 14) -> FloatArray:
    """Wilder's relative strength, 0..100; the first value stands at bar ``period``."""
    close, strength = contiguous(close), room_for(close)
    _relative_strength(close, checked_period(period), strength)
    return strength


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
