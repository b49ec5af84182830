"""The market of now played like any other: a real ccxt client at a local venue whose time the tests move."""

import asyncio
from datetime import timedelta

import pytest

from mastertrade.domain.events import CandlesClosed
from mastertrade.exchanges.market_feed import UnknownSymbol
from mastertrade.exchanges.simulated import Fault, FaultKind
from mastertrade.market_data_service.config import MarketDataSettings
from mastertrade.market_data_service.live_market import LiveMarket
from mastertrade.market_data_service.player import PlayReport
from mastertrade.market_data_service.service import MarketDataService
from mastertrade.market_data_service.source import to_milliseconds
from mastertrade.shared.clock import LiveClock
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.executor_seed import RecordingBus
from tests.postgres.live_venue import LiveVenue, VenueClock, live_venue
from tests.postgres.test_candle_store import catalogue_is_true

PATIENCE_S = 30.0
SYMBOLS = ("BTC/USDT", "ETH/USDT")


class MovedClock(VenueClock, LiveClock):
    """The venue's time, where the market moves by itself."""


class Played:
    """A service that plays the market of a venue, and the bus that hears of it."""

    def __init__(self, live: LiveVenue, database: PostgresManager) -> None:
        self.bus = RecordingBus()
        self.clock = MovedClock(live.venue)
        self.service = MarketDataService(
            settings=MarketDataSettings(), clock=self.clock, bus=self.bus, manager=database
        )
        self._live = live
        self._database = database

    async def begin(self) -> "asyncio.Task[PlayReport]":
        live = self._live
        source = await LiveMarket.open(
            feed=live.feed, streams=live.streams, symbols=SYMBOLS, manager=self._database, clock=self.clock
        )
        await self.service.begin_feed("now", source, after=self.clock.now() - timedelta(minutes=1))
        return asyncio.create_task(self.service.play())

    @property
    def events(self) -> list[CandlesClosed]:
        return [event for event in self.bus.events if isinstance(event, CandlesClosed)]

    @property
    def minutes(self) -> list[int]:
        return [to_milliseconds(event.open_time) // 60_000 for event in self.events]

    async def until(self, minutes: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.events) < minutes:
                await self._live.go_on(4)


async def stop(played: Played, playing: "asyncio.Task[PlayReport]") -> PlayReport:
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(played.service.stop(), playing)
    return playing.result()


async def test_each_minute_is_stored_and_told_once_with_all_its_markets(database: PostgresManager) -> None:
    async with live_venue() as live:
        begun = live.venue.time.now_ms() // 60_000
        played = Played(live, database)
        playing = await played.begin()
        await played.until(4)
        report = await stop(played, playing)
        assert not report.is_finished
        assert played.minutes == list(range(begun - 1, begun - 1 + len(played.events)))
        for event in played.events:
            assert [candle.symbol for candle in event.candles] == list(SYMBOLS)
            for candle in event.candles:
                market = live.venue.markets[candle.symbol.replace("/", "")]
                truth = market.bar_at(60, to_milliseconds(candle.open_time), now_ms=live.venue.time.now_ms())
                assert truth is not None
                assert (candle.open, candle.high, candle.low, candle.close) == (
                    truth.open, truth.high, truth.low, truth.close,
                )  # fmt: skip
        await catalogue_is_true(database)


async def test_stopping_does_not_wait_for_the_next_minute(database: PostgresManager) -> None:
    async with live_venue() as live:
        played = Played(live, database)
        playing = await played.begin()
        await played.until(1)
        await stop(played, playing)  # the venue's time stands still: no next minute will ever come
        assert playing.done()


async def test_what_closed_while_nobody_ran_is_stored_and_acted_on_by_nobody(database: PostgresManager) -> None:
    async with live_venue() as live:
        first = Played(live, database)
        playing = await first.begin()
        await first.until(2)
        await stop(first, playing)
        await live.venue.advance(7 * 60)
        away = live.venue.time.now_ms() // 60_000
        again = Played(live, database)
        playing = await again.begin()
        await again.until(2)
        await stop(again, playing)
        assert again.minutes[:2] == [away - 1, away]
        stored = await database.fetchval("SELECT sum(rows) FROM series WHERE interval_s = 60")
        assert stored >= 2 * (again.minutes[1] - first.minutes[0] + 1)


@pytest.mark.filterwarnings("ignore")
async def test_a_stream_that_breaks_costs_no_minute(database: PostgresManager) -> None:
    faults = [
        Fault(kind=FaultKind.DROP, on="kline", after=40, times=1),
        Fault(kind=FaultKind.STATUS, on="klines", after=3),
    ]
    async with live_venue(*faults) as live:
        played = Played(live, database)
        playing = await played.begin()
        await played.until(6)
        await stop(played, playing)
        assert played.minutes == list(range(played.minutes[0], played.minutes[0] + len(played.minutes)))
        assert len(live.venue.faults.happened) == 2


async def test_a_market_that_is_not_there_is_told_by_its_name(database: PostgresManager) -> None:
    async with live_venue() as live:
        with pytest.raises(UnknownSymbol, match="BTC/USDX"):
            await LiveMarket.open(
                feed=live.feed,
                streams=live.streams,
                symbols=["BTC/USDX"],
                manager=database,
                clock=live.clock,
            )
