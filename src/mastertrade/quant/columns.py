"""Columns: bars that remember what was computed of them, so that a sweep computes each indicator once, and that know
the markets beside them."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from operator import getitem
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import numpy as np

from mastertrade.quant import indicators
from mastertrade.quant.bars import Bars, FloatArray
from mastertrade.quant.indicators.catalogue import PRICES
from mastertrade.quant.indicators.ranges import around, trailing
from mastertrade.quant.masks import Words, packed
from mastertrade.quant.memory import Memory
from mastertrade.quant.targets import Truths

MAX_BYTES = 96 * 2**20
"""Columns kept: 96 of 131,072 bars."""

Kept = TypeVar("Kept")


class Columns(Bars):
    """Bars with every indicator a method: ``columns.sma(20)`` is computed at the first call and found at the others, by
    whichever strategy. A slice knows nothing yet: its columns are computed from its own bars."""

    __slots__ = ("__weakref__", "_markets", "_memory", "symbol")

    symbol: str
    _markets: "Markets | None"
    _memory: Memory

    def __init__(
        self,
        bars: Bars,
        *,
        max_bytes: int = MAX_BYTES,
        symbol: str = "",
        markets: "Markets | None" = None,
        memory: Memory | None = None,
    ) -> None:
        super().__init__(
            interval_s=bars.interval_s,
            time=bars.time,
            open=bars.open,
            high=bars.high,
            low=bars.low,
            close=bars.close,
            volume=bars.volume,
        )
        object.__setattr__(self, "_memory", memory or Memory(max_bytes))
        object.__setattr__(self, "_markets", markets)
        object.__setattr__(self, "symbol", symbol)

    def __getitem__(self, window: slice) -> "Columns":
        """A part of the bars, and of the markets beside them what was known then: no later bar comes along, and no
        earlier one if the part begins later than the bars."""
        part = super().__getitem__(window)
        if self._markets is None:
            return Columns(part, max_bytes=self._memory.max_bytes, symbol=self.symbol)
        begins_later = window.indices(len(self))[0] > 0
        beside = {symbol: _within(one, part, begins_later) for symbol, one in self._markets.items()}
        return Markets({**beside, self.symbol: part})[self.symbol]

    def __reduce__(self) -> tuple[Any, ...]:
        """Bars travel to another process, what was computed of them does not."""
        if self._markets is None:
            return Columns, (Bars.__getitem__(self, slice(None)),)
        return getitem, (self._markets, self.symbol)

    @property
    def markets(self) -> "Markets":
        """The markets traded together, this one among them, by symbol; bars that came alone are the only one."""
        return self._markets or Markets({self.symbol: self})

    def sealed(self) -> "Columns":
        """The same for somebody's code that may read and not change what others see too: read-only, remembering with
        these."""
        if self._markets is not None:
            return self._markets.sealed()[self.symbol]
        return Columns(_read_only(self), symbol=self.symbol, memory=self._memory)

    @property
    def kept_bytes(self) -> int:
        """What the remembered columns take now."""
        return self._memory.bytes

    def once(self, key: Hashable, make: Callable[[], Kept]) -> Kept:
        """What ``make`` gives, computed the first time this key is asked for: an array, or a tuple of arrays. For
        columns of your own put the name of your strategy in front of the key; what is made of other markets too belongs
        to ``markets.once``."""
        return self._memory.once(key, make)

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


class Markets(Mapping[str, Columns]):
    """Columns of several instruments by symbol, each knowing the others. What concerns several is computed once too;
    what was computed of one alone is found again. Columns hold their markets and not the other way round: in a circle
    all that was computed would stay until somebody looks for circles."""

    __slots__ = ("_bars", "_held", "_memories", "_memory")

    def __init__(self, bars: Mapping[str, Bars]) -> None:
        self._bars = dict(bars)
        self._memories = {
            symbol: one._memory if isinstance(one, Columns) else Memory(MAX_BYTES) for symbol, one in bars.items()
        }
        self._memory = Memory(MAX_BYTES)
        self._held: WeakValueDictionary[str, Columns] = WeakValueDictionary()

    def __getitem__(self, symbol: str) -> Columns:
        """The same object as long as somebody holds it."""
        found = self._held.get(symbol)
        if found is None:
            found = Columns(self._bars[symbol], symbol=symbol, markets=self, memory=self._memories[symbol])
            self._held[symbol] = found
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._bars)

    def __len__(self) -> int:
        return len(self._bars)

    def __reduce__(self) -> tuple[Any, ...]:
        return Markets, ({symbol: Bars.__getitem__(one, slice(None)) for symbol, one in self.items()},)

    def sealed(self) -> "Markets":
        """As of ``Columns``."""
        made = Markets({symbol: Columns(_read_only(one), memory=one._memory) for symbol, one in self.items()})
        made._memory = self._memory
        return made

    def once(self, key: Hashable, make: Callable[[], Kept]) -> Kept:
        """As of ``Columns``: for arrays made of several markets."""
        return self._memory.once(key, make)


def columns_of(bars: Bars) -> Columns:
    """The bars as columns; bars that already are keep what they remember."""
    return bars if isinstance(bars, Columns) else Columns(bars)


def together(bars: Mapping[str, Bars]) -> Markets:
    """The bars as columns that know each other; markets that already do keep what they remember."""
    return bars if isinstance(bars, Markets) else Markets(bars)


def _read_only(bars: Bars) -> Bars:
    views = {name: getattr(bars, name).view() for name in ("time", *PRICES)}
    for view in views.values():
        view.flags.writeable = False
    return Bars(interval_s=bars.interval_s, **views)


def _within(bars: Bars, part: Bars, begins_later: bool) -> Bars:
    """What of the bars was known at the end of the part, and since its beginning."""
    span = (part.time[0], part.time[-1] + 1) if len(part) else (0, 0)
    first, last = np.searchsorted(bars.time, span)
    return Bars.__getitem__(bars, slice(int(first) if begins_later else 0, int(last)))
