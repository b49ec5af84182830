"""Which bars of a stream are closed, and in which order they may be told: decided from what came, without a clock."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mastertrade.exchanges.market_feed import CandleRow
from mastertrade.exchanges.market_streams import LiveCandle

REMEMBERED = 4
"""Told bars that a late message may still correct."""


@dataclass(slots=True)
class ClosingBars:
    """One market. Bars are told in the order of time, each once; before ``next_ms`` everything was told. A bar is
    closed when the venue says so; where it never does, when a later bar has come."""

    step_ms: int
    next_ms: int
    _waiting: dict[int, LiveCandle] = field(default_factory=dict)
    _told: dict[int, CandleRow] = field(default_factory=dict)

    def take(self, candle: LiveCandle) -> tuple[list[CandleRow], CandleRow | None]:
        """The bars that are closed now, and a bar told before that this one corrects."""
        row = candle.row
        if row.time_ms % self.step_ms:
            return [], None
        if row.time_ms < self.next_ms:
            told = self._told.get(row.time_ms)
            if candle.is_final is not True or told is None or told == row:
                return [], None
            self._remember(row)
            return [], row
        known = self._waiting.get(row.time_ms)
        if known is None or known.is_final is not True or candle.is_final is True:
            self._waiting[row.time_ms] = candle
        return list(self._closed()), None

    @property
    def has_hole(self) -> bool:
        """A closed bar waits for earlier ones that did not come."""
        later = [time_ms for time_ms, one in self._waiting.items() if one.is_final is True]
        return bool(later) and min(later) > self.next_ms

    def told_until(self, next_ms: int) -> None:
        """Everything before was told from elsewhere."""
        self.next_ms = max(self.next_ms, next_ms)
        for time_ms in [time_ms for time_ms in self._waiting if time_ms < self.next_ms]:
            del self._waiting[time_ms]

    def after_pages(self) -> list[CandleRow]:
        """Bars that waited for those that have been told from elsewhere meanwhile."""
        return list(self._closed())

    def _closed(self) -> Iterator[CandleRow]:
        while (candle := self._waiting.get(self.next_ms)) is not None and self._is_closed(candle):
            del self._waiting[self.next_ms]
            self.next_ms += self.step_ms
            self._remember(candle.row)
            yield candle.row

    def _is_closed(self, candle: LiveCandle) -> bool:
        if candle.is_final is None:
            return max(self._waiting) > candle.row.time_ms
        return candle.is_final

    def _remember(self, row: CandleRow) -> None:
        self._told[row.time_ms] = row
        while len(self._told) > REMEMBERED:
            del self._told[min(self._told)]
