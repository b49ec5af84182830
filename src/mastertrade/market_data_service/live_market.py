"""The present market of a venue as a source: its bars as they close, those of all markets together."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import datetime, timedelta
from typing import Final, Self

from mastertrade.domain.market import MINUTE_S, Candle
from mastertrade.exchanges.market_feed import CandleRow, FeedKind, MarketFeed, VenueMarket
from mastertrade.exchanges.market_streams import MarketStreams
from mastertrade.market_data_service.candle_store import CandleStore
from mastertrade.market_data_service.instrument_sync import InstrumentSync
from mastertrade.market_data_service.live_candles import ClosedCandles, LiveCandles, LivePace
from mastertrade.market_data_service.live_recording import CandleRecorder, is_usable
from mastertrade.market_data_service.source import (
    CandleBatch,
    Listing,
    RefusedRows,
    SeriesHistory,
    to_datetime,
    to_milliseconds,
)
from mastertrade.shared.clock import Clock
from mastertrade.shared.postgres_manager import PostgresManager

log = logging.getLogger(__name__)

WAITS_FOR_OTHERS: Final = timedelta(seconds=10)
"""So long after the first market's bar of a minute the minute is played without those that have not come."""
LOOKS_EVERY_S: Final = 1.0


class LiveMarket:
    """Stores every bar with what is known about missing ones, as recording does, and hands out the minutes from the one
    on that has closed last; what closed before is history, and nobody acts on it.

    Made by ``open``, which needs an answer of the venue."""

    interval_s: Final = MINUTE_S

    def __init__(
        self,
        *,
        feed: MarketFeed,
        streams: MarketStreams | None,
        listings: Mapping[str, Listing],
        sync: InstrumentSync,
        manager: PostgresManager,
        clock: Clock,
        pace: LivePace | None,
    ) -> None:
        self._feed = feed
        self._streams = streams
        self._listings = listings
        self._sync = sync
        self._manager = manager
        self._clock = clock
        self._pace = pace

    @classmethod
    async def open(
        cls,
        *,
        feed: MarketFeed,
        streams: MarketStreams | None,
        symbols: Sequence[str],
        manager: PostgresManager,
        clock: Clock,
        pace: LivePace | None = None,
    ) -> Self:
        """Learn the venue's rules of these markets. UnknownSymbol, UnsupportedTimeframe: it does not have them."""
        sync = InstrumentSync(feed=feed, manager=manager, clock=clock)
        await sync.register(symbols, [MINUTE_S], FeedKind.CANDLES)
        markets = await feed.markets()
        listings = {symbol: _listing(feed.name, markets[symbol]) for symbol in dict.fromkeys(symbols)}
        return cls(
            feed=feed, streams=streams, listings=listings, sync=sync, manager=manager, clock=clock, pace=pace
        )  # fmt: skip

    @property
    def name(self) -> str:
        return f"{self._feed.name} live"

    @property
    def instruments(self) -> tuple[Listing, ...]:
        return tuple(self._listings.values())

    def history(self, until: datetime) -> Iterable[SeriesHistory]:
        """None: the past of a venue is downloaded."""
        return ()

    def refused(self) -> RefusedRows:
        return RefusedRows()

    async def batches(
        self, ids: Mapping[tuple[str, str], int], after: datetime | None
    ) -> AsyncGenerator[CandleBatch, None]:
        last = to_milliseconds(self._clock.now()) // (MINUTE_S * 1000) * (MINUTE_S * 1000) - MINUTE_S * 1000
        first_ms = last if after is None else max(last, to_milliseconds(after) + MINUTE_S * 1000)
        minutes = Minutes(self._listings, first_ms)
        coming: asyncio.Queue[ClosedCandles] = asyncio.Queue()
        own = {symbol: ids[self._feed.name, symbol] for symbol in self._listings}
        recording = asyncio.create_task(self._record(own, first_ms, coming), name="live_market.recording")
        try:
            while True:
                for open_time, rows in minutes.complete(self._clock.now()):
                    yield CandleBatch(
                        interval_s=MINUTE_S,
                        open_time=open_time,
                        candles=tuple(_candle(own[symbol], self._feed.name, symbol, row) for symbol, row in rows),
                    )
                if recording.done():
                    recording.result()
                with suppress(TimeoutError):
                    minutes.take(await asyncio.wait_for(coming.get(), LOOKS_EVERY_S), self._clock.now())
        finally:
            recording.cancel()
            await asyncio.gather(recording, return_exceptions=True)

    async def _record(self, ids: Mapping[str, int], first_ms: int, coming: "asyncio.Queue[ClosedCandles]") -> None:
        live = LiveCandles(
            feed=self._feed,
            streams=self._streams,
            symbols=list(ids),
            interval_s=MINUTE_S,
            clock=self._clock,
            pace=self._pace,
        )
        store = CandleStore(manager=self._manager, clock=self._clock)
        recorder = CandleRecorder(live=live, store=store, ids=ids, interval_s=MINUTE_S)
        begins = {}
        for symbol, id in ids.items():
            stored_to = await self._sync.last_close_time(id, MINUTE_S)
            begins[symbol] = first_ms if stored_to is None else min(first_ms, to_milliseconds(stored_to))
        async with aclosing(live.closed(begins)) as closed:
            async for told in closed:
                await recorder.keep(told)
                coming.put_nowait(told)


class Minutes:
    """Puts the bars of one minute together, whenever each of them comes."""

    def __init__(self, symbols: Iterable[str], first_ms: int) -> None:
        self._step_ms = MINUTE_S * 1000
        self._told = dict.fromkeys(symbols, first_ms)
        self._next_ms = first_ms
        self._rows: dict[int, dict[str, CandleRow]] = {}
        self._heard_at: dict[int, datetime] = {}

    def take(self, told: ClosedCandles, now: datetime) -> None:
        if told.refusal:
            self._told.pop(told.symbol, None)
            return
        self._told[told.symbol] = max(self._told[told.symbol], told.until_ms)
        for row in told.rows:
            if row.time_ms >= self._next_ms and is_usable(row):
                self._rows.setdefault(row.time_ms, {})[told.symbol] = row
                self._heard_at.setdefault(row.time_ms, now)
            elif not told.is_again and row.time_ms >= self._next_ms - self._step_ms:
                log.warning("a bar came after its minute was played", extra={"symbol": told.symbol})

    def complete(self, now: datetime) -> Iterator[tuple[datetime, list[tuple[str, CandleRow]]]]:
        """Minutes that hold all bars, or have waited long enough for them; one without any bar is passed over."""
        while self._told and self._next_ms < max(self._told.values()):
            is_waiting = self._next_ms >= min(self._told.values())
            if is_waiting and now < self._heard_at.get(self._next_ms, now) + WAITS_FOR_OTHERS:
                return
            self._heard_at.pop(self._next_ms, None)
            rows = self._rows.pop(self._next_ms, {})
            open_time = to_datetime(self._next_ms)
            self._next_ms += self._step_ms
            if rows:
                yield open_time, sorted(rows.items())


def _listing(venue: str, market: VenueMarket) -> Listing:
    one = market.instrument
    return Listing(
        venue=venue,
        symbol=one.symbol,
        tick_size=one.tick_size,
        lot_size=one.lot_size,
        min_notional=one.min_notional,
        maker_fee=one.maker_fee,
        taker_fee=one.taker_fee,
        rules_source="venue",
    )


def _candle(id: int, venue: str, symbol: str, row: CandleRow) -> Candle:
    return Candle(
        instrument_id=id,
        venue=venue,
        symbol=symbol,
        interval_s=MINUTE_S,
        open_time=to_datetime(row.time_ms),
        open=float(row.open),
        high=float(row.high),
        low=float(row.low),
        close=float(row.close),
        volume=float(row.volume),
    )
