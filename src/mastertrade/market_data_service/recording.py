"""Recording a venue: the closed candles of some markets at some lengths, each behind what is stored of it already."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mastertrade.exchanges.market_feed import FeedKind, MarketFeed
from mastertrade.exchanges.market_streams import MarketStreams
from mastertrade.market_data_service.candle_store import CandleStore
from mastertrade.market_data_service.instrument_sync import InstrumentSync
from mastertrade.market_data_service.live_candles import LiveCandles, LivePace
from mastertrade.market_data_service.live_recording import CandleRecorder
from mastertrade.market_data_service.source import to_milliseconds
from mastertrade.shared.clock import Clock
from mastertrade.shared.failpoints import Failpoints
from mastertrade.shared.postgres_manager import PostgresManager


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesState:
    """One series as it stands; ``interval_s`` is 0 where there are no bars. ``age_s`` is how long ago its price was
    heard of, None for never; ``repaired`` counts what a stream did not bring and what was asked for."""

    venue: str
    symbol: str
    kind: str
    interval_s: int
    rows: int
    revised: int
    unusable: int
    last_ms: int | None
    price: str | None
    age_s: float | None
    is_stale: bool
    is_streaming: bool
    breaks: int
    repaired: int
    last_break: str


class Recording:
    """``run`` goes on until it is cancelled; ``states`` may be asked at any time."""

    def __init__(
        self,
        *,
        feed: MarketFeed,
        streams: MarketStreams | None,
        symbols: Sequence[str],
        intervals_s: Sequence[int],
        manager: PostgresManager,
        clock: Clock,
        pace: LivePace | None = None,
        failpoints: Failpoints | None = None,
    ) -> None:
        self._feed = feed
        self._symbols = list(symbols)
        self._clock = clock
        self._manager = manager
        self._sync = InstrumentSync(feed=feed, manager=manager, clock=clock)
        self._store = CandleStore(manager=manager, clock=clock, failpoints=failpoints)
        self._failpoints = failpoints
        self._live = {
            interval_s: LiveCandles(
                feed=feed, streams=streams, symbols=self._symbols, interval_s=interval_s, clock=clock, pace=pace
            )
            for interval_s in intervals_s
        }
        self._recorders: dict[int, CandleRecorder] = {}

    async def run(self) -> None:
        """UnknownSymbol, UnsupportedTimeframe: the venue does not have what is asked for."""
        ids = await self._sync.register(self._symbols, list(self._live), FeedKind.CANDLES)
        now = self._clock.now()
        async with asyncio.TaskGroup() as group:
            for interval_s, live in self._live.items():
                recorder = CandleRecorder(
                    live=live, store=self._store, ids=ids, interval_s=interval_s, failpoints=self._failpoints
                )
                self._recorders[interval_s] = recorder
                begins = {symbol: await self._begins(id, interval_s, now) for symbol, id in ids.items()}
                group.create_task(recorder.run(begins), name=f"record {interval_s}")

    async def _begins(self, instrument_id: int, interval_s: int, now: datetime) -> int:
        """Behind the last stored bar, so that what closed meanwhile is asked for; a new series with the bar that has
        closed last."""
        last = await self._sync.last_close_time(instrument_id, interval_s)
        if last is not None:
            return to_milliseconds(last)
        step_ms = interval_s * 1000
        return to_milliseconds(now - timedelta(seconds=interval_s)) // step_ms * step_ms

    def states(self) -> list[SeriesState]:
        now = self._clock.now()
        found = []
        for interval_s, recorder in self._recorders.items():
            health = self._live[interval_s].health
            stale = set(health.stale(self._symbols, now))
            for symbol, count in recorder.recorded.items():
                found.append(
                    SeriesState(
                        venue=self._feed.name,
                        symbol=symbol,
                        kind=FeedKind.CANDLES.value,
                        interval_s=interval_s,
                        rows=count.candles,
                        revised=count.revised,
                        unusable=count.unusable,
                        last_ms=count.last_ms,
                        price=health.price.get(symbol),
                        age_s=health.age_s(symbol, now),
                        is_stale=symbol in stale,
                        is_streaming=health.is_streaming,
                        breaks=health.breaks,
                        repaired=health.repaired,
                        last_break=health.last_break,
                    )
                )
        return found
