"""Columns: bars that remember what was computed of them, so that a sweep computes each indicator once."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

import numpy as np

from mastertrade.quant import indicators
from mastertrade.quant.bars import Bars, FloatArray
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

    def sma(self, period: int, of: str = "close") -> FloatArray:
        return self.once(("sma", period, of), lambda: indicators.sma(self.series(of), period))

    def ema(self, period: int, of: str = "close") -> FloatArray:
        return self.once(("ema", period, of), lambda: indicators.ema(self.series(of), period))

    def rsi(self, period: int = 14, of: str = "close") -> FloatArray:
        return self.once(("rsi", period, of), lambda: indicators.rsi(self.series(of), period))

    def true_range(self) -> FloatArray:
        return self.once(("true_range",), lambda: indicators.true_range(self.high, self.low, self.close))

    def atr(self, period: int = 14) -> FloatArray:
        return self.once(("atr", period), lambda: indicators.wilder_average(self.true_range(), period))

    def series(self, name: str) -> FloatArray:
        """A price or the volume by its name."""
        if name not in PRICES:
            raise ValueError(f"bars have no column {name!r}; they have {', '.join(PRICES)}")
        found: FloatArray = getattr(self, name)
        return found


PRICES = ("open", "high", "low", "close", "volume")


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
