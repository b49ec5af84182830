"""Bars: the columns every calculation reads, and the port that yields them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
TimeArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Closed bars of one instrument, oldest first. ``time`` is the bar's start in UTC epoch milliseconds, strictly
    rising and on the grid of ``interval_s``; a missing bar is a hole in ``time``, never an invented row."""

    interval_s: int
    time: TimeArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray

    def __len__(self) -> int:
        return len(self.time)

    def __getitem__(self, window: slice) -> "Bars":
        return Bars(
            interval_s=self.interval_s,
            time=self.time[window],
            open=self.open[window],
            high=self.high[window],
            low=self.low[window],
            close=self.close[window],
            volume=self.volume[window],
        )


class BarSource(Protocol):
    """Where bars come from. A read returns what was known at ``as_of``: no bar that closed later, and nothing that was
    revised or arrived later. Strategies always name it; without it a read returns what is stored now."""

    async def read(
        self, instrument_id: int, interval_s: int, start: datetime, end: datetime, *, as_of: datetime | None = None
    ) -> Bars:
        """Closed bars with ``start <= bar start < end``, built from stored candles; an incomplete bar is left out."""
        ...
