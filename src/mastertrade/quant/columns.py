"""Columns: bars that remember what was computed of them, so that a sweep computes each indicator once."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

import numpy as np

from mastertrade.quant import indicators
from mastertrade.quant.bars import Bars, FloatArray
from mastertrade.quant.indicators.catalogue import PRICES
from mastertrade.quant.indicators.ranges import around, trailing
from mastertrade.quant.masks import Words, packed
from mastertrade.quant.targets import Truths

MAX_BYTES = 96 * 2**20
"""Columns kept: 96 of 131,072 bars. The one not asked for the longest is dropped; whoever still holds it keeps it."""

Kept = TypeVar("Kept")


class Columns(Bars):
    """Bars with every indicator a method: ``columns.sma(20)`` is computed at the first call and found at the others, by
    whichever strategy. What is handed out is read-only, because others hold it too. A slice knows nothing yet: its
    columns are computed from its own bars."""

    __slots__ = ("_kept", "_kept_bytes", "_max_bytes")

    _kept: OrderedDict[Hashable, tuple[object, int]]
    _kept_bytes: int
    _max_bytes: int

    def __init__(self, bars: Bars, *, max_bytes: int = MAX_BYTES) -> None:
        super().__init__(
            interval_s=bars.interval_s,
            time=bars.time,
            open=bars.open,
            high=bars.high,
            low=bars.low,
            close=bars.close,
            volume=bars.volume,
        )
        object.__setattr__(self, "_kept", OrderedDict())
        object.__setattr__(self, "_kept_bytes", 0)
        object.__setattr__(self, "_max_bytes", max_bytes)

    def __getitem__(self, window: slice) -> "Columns":
        return Columns(super().__getitem__(window), max_bytes=self._max_bytes)

    @property
    def kept_bytes(self) -> int:
        """What the remembered columns take now."""
        return self._kept_bytes

    def once(self, key: Hashable, make: Callable[[], Kept]) -> Kept:
        """What ``make`` gives, computed the first time this key is asked for: an array, or a tuple of arrays. For
        columns of your own put the name of your strategy in front of the key."""
        found = self._kept.get(key)
        if found is None:
            made = make()
            size = _seal(made)
            self._kept[key] = (made, size)
            object.__setattr__(self, "_kept_bytes", self._kept_bytes + size)
            while self._kept_bytes > self._max_bytes and len(self._kept) > 1:
                _, (_, dropped) = self._kept.popitem(last=False)
                object.__setattr__(self, "_kept_bytes", self._kept_bytes - dropped)
            return made
        self._kept.move_to_end(key)
        return found[0]  # type: ignore[return-value] # the key says what was made

    def mask(self, key: Hashable, truths: Callable[[], Truths]) -> Words:
        """A condition as one bit a bar, packed the first time this key is asked for; see ``quant.masks``."""
        return self.once(("mask", key), lambda: packed(truths()))

    def sma(self, period: int = 20, of: str = "close") -> FloatArray:
        return self.once(("sma", period, of), lambda: indicators.sma(self.series(of), period))

    def ema(self, period: int = 20, of: str = "close") -> FloatArray:
        return self.once(("ema", period, of), lambda: indicators.ema(self.series(of), period))

    def rsi(self, period: int = 14, of: str = "close") -> FloatArray:
        return self.once(("rsi", period, of), lambda: indicators.rsi(self.series(of), period))

    def wma(self, period: int = 20, of: str = "close") -> FloatArray:
        return self.once(("wma", period, of), lambda: indicators.wma(self.series(of), period))

    def deviation(self, period: int = 20, of: str = "close") -> FloatArray:
        return self.once(("deviation", period, of), lambda: indicators.deviation(self.series(of), period))

    def z_score(self, period: int = 20, of: str = "close") -> FloatArray:
        return self.once(("z_score", period, of), lambda: indicators.z_score(self.series(of), period))

    def volatility(self, period: int = 20, of: str = "close") -> FloatArray:
        return self.once(("volatility", period, of), lambda: indicators.volatility(self.series(of), period))

    def rate_of_change(self, period: int = 10, of: str = "close") -> FloatArray:
        return self.once(("rate_of_change", period, of), lambda: indicators.rate_of_change(self.series(of), period))

    def highest(self, period: int = 20, of: str = "close") -> FloatArray:
        return self.once(("highest", period, of), lambda: indicators.highest(self.series(of), period))

    def lowest(self, period: int = 20, of: str = "close") -> FloatArray:
        return self.once(("lowest", period, of), lambda: indicators.lowest(self.series(of), period))

    def correlation(self, period: int = 20, of: str = "close", to: str = "volume") -> FloatArray:
        key = ("correlation", period, of, to)
        return self.once(key, lambda: indicators.correlation(self.series(of), self.series(to), period))

    def macd(self, fast: int = 12, slow: int = 26, signal: int = 9, of: str = "close") -> indicators.Macd:
        key = ("macd", fast, slow, signal, of)
        return self.once(key, lambda: indicators.macd(self.series(of), fast, slow, signal))

    def bollinger(self, period: int = 20, deviations: float = 2.0, of: str = "close") -> indicators.Bands:
        key = ("bollinger", period, deviations, of)
        return self.once(key, lambda: around(self.sma(period, of), deviations * self.deviation(period, of)))

    def true_range(self) -> FloatArray:
        return self.once(("true_range",), lambda: indicators.true_range(self.high, self.low, self.close))

    def atr(self, period: int = 14) -> FloatArray:
        return self.once(("atr", period), lambda: indicators.wilder_average(self.true_range(), period))

    def adx(self, period: int = 14) -> indicators.Directional:
        return self.once(("adx", period), lambda: indicators.adx(self.high, self.low, self.close, period))

    def stochastic(self, period: int = 14, smooth: int = 3, signal: int = 3) -> indicators.StochasticLines:
        key = ("stochastic", period, smooth, signal)
        make = indicators.stochastic
        return self.once(key, lambda: make(self.high, self.low, self.close, period, smooth, signal))

    def donchian(self, period: int = 20) -> indicators.Bands:
        return self.once(("donchian", period), lambda: indicators.donchian(self.high, self.low, period))

    def keltner(self, period: int = 20, ranges: float = 2.0, range_period: int = 10) -> indicators.Bands:
        key = ("keltner", period, ranges, range_period)
        return self.once(key, lambda: around(self.ema(period), ranges * self.atr(range_period)))

    def supertrend(self, period: int = 10, ranges: float = 3.0) -> indicators.SuperTrend:
        key = ("supertrend", period, ranges)
        return self.once(key, lambda: trailing(self.high, self.low, self.close, self.atr(period), ranges))

    def ichimoku(self, conversion: int = 9, base: int = 26, span: int = 52) -> indicators.Ichimoku:
        key = ("ichimoku", conversion, base, span)
        return self.once(key, lambda: indicators.ichimoku(self.high, self.low, self.close, conversion, base, span))

    def cci(self, period: int = 20) -> FloatArray:
        return self.once(("cci", period), lambda: indicators.cci(self.high, self.low, self.close, period))

    def obv(self) -> FloatArray:
        return self.once(("obv",), lambda: indicators.obv(self.close, self.volume))

    def mfi(self, period: int = 14) -> FloatArray:
        return self.once(("mfi", period), lambda: indicators.mfi(self.high, self.low, self.close, self.volume, period))

    def vwap(self, period: int = 20) -> FloatArray:
        make = indicators.vwap
        return self.once(("vwap", period), lambda: make(self.high, self.low, self.close, self.volume, period))

    def session_vwap(self) -> FloatArray:
        make = indicators.session_vwap
        return self.once(("session_vwap",), lambda: make(self.time, self.high, self.low, self.close, self.volume))

    def series(self, name: str) -> FloatArray:
        """A price or the volume by its name."""
        if name not in PRICES:
            raise ValueError(f"bars have no column {name!r}; they have {', '.join(PRICES)}")
        found: FloatArray = getattr(self, name)
        return found


def columns_of(bars: Bars) -> Columns:
    """The bars as columns; bars that already are keep what they remember."""
    return bars if isinstance(bars, Columns) else Columns(bars)


def _seal(made: object) -> int:
    """Make it read-only; how many bytes it takes."""
    if isinstance(made, np.ndarray):
        made.flags.writeable = False
        return made.nbytes
    if isinstance(made, tuple):
        return sum(_seal(part) for part in made)
    raise TypeError(f"a column must be an array or a tuple of arrays, not {type(made).__name__}")
