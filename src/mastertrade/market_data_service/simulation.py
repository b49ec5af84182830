"""A simulated market as a source: five pairs on two venues, the same for the same seed, from any minute on."""

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal

import numpy as np

from mastertrade.domain.market import MINUTE_S, Candle
from mastertrade.market_data_service.rules import ASSUMED_FEE
from mastertrade.market_data_service.source import (
    CandleBatch,
    Listing,
    RefusedRows,
    SeriesHistory,
    to_datetime,
    to_milliseconds,
)
from mastertrade.quant.bars import Bars
from mastertrade.quant.simulated_pairs import PAIRS
from mastertrade.quant.simulator import simulate_day
from mastertrade.shared.errors import UsageError

DAY_MS = 86_400_000
MINUTE_MS = 60_000
VENUES = ("simulated-a", "simulated-b")
"""The first has the price itself; the second differs a little, now and then enough for arbitrage."""
MIN_NOTIONAL = Decimal(10)


class SimulatedMarket:
    """Candles of one minute from ``start`` to ``end`` (None: without end). A seed gives the same candle for a minute
    whatever the start is."""

    interval_s = MINUTE_S

    def __init__(self, *, seed: int, start: datetime, end: datetime | None = None, symbols: Iterable[str] = PAIRS):
        self._seed = seed
        self._start_ms = to_milliseconds(start) // MINUTE_MS * MINUTE_MS
        self._end_ms = None if end is None else to_milliseconds(end)
        self._symbols = tuple(symbols)
        unknown = [symbol for symbol in self._symbols if symbol not in PAIRS]
        if unknown or not self._symbols:
            raise UsageError(
                f"the simulator has no {', '.join(unknown) or 'symbols to play'}; it has {', '.join(PAIRS)}"
            )
        self.instruments = tuple(_listing(venue, symbol) for venue in VENUES for symbol in self._symbols)

    @property
    def name(self) -> str:
        return f"simulator:seed={self._seed}"

    def refused(self) -> RefusedRows:
        return RefusedRows()

    def history(self, until: datetime) -> Iterable[SeriesHistory]:
        until_ms = to_milliseconds(until)
        end_ms = until_ms if self._end_ms is None else min(until_ms, self._end_ms)
        for listing in self.instruments:
            yield SeriesHistory(
                listing=listing,
                interval_s=MINUTE_S,
                expected_rows=max(0, end_ms - self._start_ms) // MINUTE_MS,
                chunks=self._days(listing, self._start_ms, end_ms),
            )

    async def batches(
        self, ids: Mapping[tuple[str, str], int], after: datetime | None
    ) -> AsyncGenerator[CandleBatch, None]:
        from_ms = self._start_ms if after is None else max(self._start_ms, to_milliseconds(after) + MINUTE_MS)
        while self._end_ms is None or from_ms < self._end_ms:
            next_day_ms = from_ms // DAY_MS * DAY_MS + DAY_MS
            end_ms = next_day_ms if self._end_ms is None else min(next_day_ms, self._end_ms)
            for batch in self._batches_of_a_day(ids, from_ms, end_ms):
                yield batch
            from_ms = next_day_ms

    def _batches_of_a_day(self, ids: Mapping[tuple[str, str], int], from_ms: int, end_ms: int) -> Iterator[CandleBatch]:
        listings = sorted(self.instruments, key=lambda listing: ids[listing.key])
        walks = [
            _candles(bars, listing, ids[listing.key])
            for listing in listings
            for bars in self._days(listing, from_ms, end_ms)
        ]
        for candles in zip(*walks, strict=True):
            yield CandleBatch(interval_s=MINUTE_S, open_time=candles[0].open_time, candles=candles)

    def _days(self, listing: Listing, from_ms: int, end_ms: int) -> Iterator[Bars]:
        """Whole candles between two times, a chunk a day."""
        pair, venue = PAIRS[listing.symbol], VENUES.index(listing.venue)
        for day in range(from_ms // DAY_MS, -(-end_ms // DAY_MS)):
            bars = simulate_day(pair, seed=self._seed, day=day, venue=venue)
            first, last = np.searchsorted(bars.time, (from_ms, end_ms - MINUTE_MS + 1))
            if first < last:
                yield bars[int(first) : int(last)]


def _listing(venue: str, symbol: str) -> Listing:
    pair = PAIRS[symbol]
    return Listing(
        venue=venue,
        symbol=symbol,
        tick_size=Decimal(1).scaleb(-pair.price_decimals),
        lot_size=Decimal(1).scaleb(-pair.volume_decimals),
        min_notional=MIN_NOTIONAL,
        maker_fee=ASSUMED_FEE,
        taker_fee=ASSUMED_FEE,
        rules_source="simulated",
    )


def _candles(bars: Bars, listing: Listing, instrument_id: int) -> Iterator[Candle]:
    columns = (bars.time, bars.open, bars.high, bars.low, bars.close, bars.volume)
    for time, open_, high, low, close, volume in zip(*(column.tolist() for column in columns), strict=True):
        yield Candle(
            instrument_id=instrument_id,
            venue=listing.venue,
            symbol=listing.symbol,
            interval_s=bars.interval_s,
            open_time=to_datetime(time),
            open=open_,
            high=high,
            low=low,
            close=close,
            volume=volume,
        )
