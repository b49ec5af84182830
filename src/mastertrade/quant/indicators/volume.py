"""Volume: what was traded, and at which prices."""

from math import isfinite, nan

import numpy as np

from mastertrade.quant.bars import FloatArray, TimeArray
from mastertrade.quant.compiled import kernel
from mastertrade.quant.indicators.averages import sma
from mastertrade.quant.indicators.series import room_for, same_length, typical_price
from mastertrade.quant.indicators.strength import FLAT_RSI

DAY_MS = 86_400_000


def obv(close: FloatArray, volume: FloatArray) -> FloatArray:
    """Granville's on-balance volume: volume added on a rising close, taken off on a falling one. It begins with the
    first bar's volume, as TA-Lib's; a bar that is not known adds nothing and has no value."""
    close, volume = same_length(close, volume)
    balance = room_for(close)
    _on_balance(close, volume, balance)
    return balance


def mfi(high: FloatArray, low: FloatArray, close: FloatArray, volume: FloatArray, period: int = 14) -> FloatArray:
    """Money flow index, 0..100: the share of the turnover at a rising typical price (Quong and Soudack, 1989). 50 where
    nothing flowed; TA-Lib says 0 below a turnover of 1."""
    high, low, close, volume = same_length(high, low, close, volume)
    up, down = room_for(close), room_for(close)
    _flows(typical_price(high, low, close), volume, up, down)
    rising = sma(up, period)
    flowing = rising + sma(down, period)
    index: FloatArray = np.where(np.isnan(flowing), np.nan, FLAT_RSI)
    np.divide(100.0 * rising, flowing, out=index, where=flowing > 0.0)
    return index


def vwap(high: FloatArray, low: FloatArray, close: FloatArray, volume: FloatArray, period: int = 20) -> FloatArray:
    """The typical price of the last ``period`` bars, weighted with their volume; unknown where none was traded."""
    high, low, close, volume = same_length(high, low, close, volume)
    traded, turnover = sma(volume, period), sma(typical_price(high, low, close) * volume, period)
    price: FloatArray = np.full(len(close), np.nan)
    np.divide(turnover, traded, out=price, where=traded > 0.0)
    return price


def session_vwap(
    time: TimeArray, high: FloatArray, low: FloatArray, close: FloatArray, volume: FloatArray
) -> FloatArray:
    """The volume-weighted typical price since the beginning of the UTC day; unknown until something was traded."""
    high, low, close, volume = same_length(high, low, close, volume)
    price = room_for(close)
    _since_midnight(np.ascontiguousarray(time, dtype=np.int64), typical_price(high, low, close), volume, price)
    return price


@kernel("vvo")
def _on_balance(close: FloatArray, volume: FloatArray, balance: FloatArray) -> None:
    total, before, begun = 0.0, 0.0, False
    for i in range(len(close)):
        if not isfinite(close[i] + volume[i]):
            balance[i] = nan
            continue
        if not begun or close[i] > before:
            total += volume[i]
        elif close[i] < before:
            total -= volume[i]
        begun, before = True, close[i]
        balance[i] = total


@kernel("vvoo")
def _flows(typical: FloatArray, volume: FloatArray, up: FloatArray, down: FloatArray) -> None:
    before = nan
    for i in range(len(typical)):
        change, turnover = typical[i] - before, typical[i] * volume[i]
        before = typical[i]
        if not isfinite(change + turnover):
            up[i], down[i] = nan, nan
        else:
            up[i] = turnover if change > 0.0 else 0.0
            down[i] = turnover if change < 0.0 else 0.0


@kernel("tvvo")
def _since_midnight(time: TimeArray, typical: FloatArray, volume: FloatArray, price: FloatArray) -> None:
    day, turnover, traded = -1, 0.0, 0.0
    for i in range(len(time)):
        if time[i] // DAY_MS != day:
            day, turnover, traded = time[i] // DAY_MS, 0.0, 0.0
        if isfinite(typical[i] * volume[i]):
            turnover += typical[i] * volume[i]
            traded += volume[i]
        price[i] = turnover / traded if traded > 0.0 else nan
