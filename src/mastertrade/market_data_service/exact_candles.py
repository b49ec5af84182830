"""Candles as exact decimals, for books, reports and comparison with a venue's own text.

Stored are float64. One gives back up to 15 significant digits of the venue exactly: the shortest text that names a
float is the venue's own number. Of longer ones the importer records a finding."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from mastertrade.market_data_service.source import to_datetime
from mastertrade.quant.bars import Bars


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactCandle:
    open_time: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


def exact_candles(bars: Bars) -> Iterator[ExactCandle]:
    """The bars one by one, each number with the digits the venue gave and no others."""
    values = [map(repr, getattr(bars, name).tolist()) for name in ("open", "high", "low", "close", "volume")]
    for time, opened, high, low, close, volume in zip(bars.time.tolist(), *values, strict=True):
        yield ExactCandle(
            open_time=to_datetime(time),
            open=Decimal(opened),
            high=Decimal(high),
            low=Decimal(low),
            close=Decimal(close),
            volume=Decimal(volume),
        )
