"""Candles streamed from a local venue that misbehaves: what is stored is what the venue has."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import numpy as np
import pytest

from mastertrade.exchanges.simulated import Fault, FaultKind, GivenCandles, LocalMarket, simulated_market
from mastertrade.market_data_service.candle_store import CandleStore, select
from mastertrade.market_data_service.live_candles import LiveCandles, LivePace
from mastertrade.market_data_service.live_recording import CandleRecorder
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase
from mastertrade.market_data_service.rules import listing
from mastertrade.market_data_service.source import to_datetime
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.live_venue import START_MS, LiveVenue, live_venue
from tests.postgres.test_candle_store import catalogue_is_true

SYMBOLS = ("BTC/USDT", "ETH/USDT")
FIRST_MS = START_MS // 60_000 * 60_000
MARKET = MarketDataPostgresDatabase()
PACE = LivePace(silent_after_s=45.0)


@asynccontextmanager
async def recording(
    database: PostgresManager, live: LiveVenue, *, pace: LivePace = PACE, with_streams: bool = True
) -> AsyncIterator[tuple[CandleRecorder, LiveCandles]]:
    await MARKET.add_instruments(database, [listing("binance", symbol) for symbol in SYMBOLS], at=live.clock.now())
    ids = {one.symbol: one.id for one in await MARKET.instruments(database)}
    candles = LiveCandles(
        feed=live.feed,
        streams=live.streams if with_streams else None,
        symbols=SYMBOLS,
        interval_s=60,
        clock=live.clock,
        pace=pace,
    )
    store = CandleStore(manager=database, clock=live.clock)
    recorder = CandleRecorder(live=candles, store=store, ids=ids, interval_s=60)
    task = asyncio.create_task(recorder.run(dict.fromkeys(SYMBOLS, FIRST_MS - 120_000)))
    try:
        while with_streams and not candles.health.is_streaming:
            await live.go_on(1, step_s=1, pause_s=0.02)
        yield recorder, candles
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def equal_in_the_end(database: PostgresManager, live: LiveVenue, *, within_s: float = 15.0) -> None:
    """Every bar the venue has had closed is stored with the venue's numbers, none twice, none more."""
    ids = {one.symbol: one.id for one in await MARKET.instruments(database)}
    deadline = asyncio.get_running_loop().time() + within_s
    while True:
        now_ms = live.venue.time.now_ms() // 60_000 * 60_000
        same = []
        for symbol in SYMBOLS:
            truth = live.venue.markets[symbol.replace("/", "")].candles.minutes(FIRST_MS - 120_000, now_ms)
            stored = await MARKET.candle_columns(
                database, ids[symbol], 60, to_datetime(0), datetime.max.replace(tzinfo=live.clock.now().tzinfo)
            )
            same.append(
                all(
                    np.array_equal(getattr(truth, name), getattr(stored, name))
                    for name in ("time", "open", "high", "low", "close", "volume")
                )
            )
        if all(same):
            return
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"not equal: {same}; {len(truth)} bars at the venue, {len(stored)} stored")
        await live.go_on(2)


async def test_a_stream_stores_what_the_venue_has(database: PostgresManager) -> None:
    pace = LivePace(silent_after_s=45.0, grace_s=50.0)
    async with live_venue() as live, recording(database, live, pace=pace) as (recorder, candles):
        await equal_in_the_end(database, live)
        asked_for = candles.health.repaired
        await live.go_on(240)
        await equal_in_the_end(database, live)
        assert candles.health.is_streaming
        assert candles.health.stale(SYMBOLS, live.clock.now()) == []
        assert candles.health.repaired == asked_for
        assert {one.revised for one in recorder.recorded.values()} == {0}
    await catalogue_is_true(database)


FAULTS = {
    "drops": [Fault(kind=FaultKind.DROP, on="btcusdt@kline", after=after) for after in (7, 30)],
    "silence": [Fault(kind=FaultKind.SILENCE, on="btcusdt@kline", after=10, seconds=60)],
    "confusion": [
        *(Fault(kind=FaultKind.REORDER, on="@kline", after=3 * n) for n in range(1, 12)),
        Fault(kind=FaultKind.REPEAT, on="@kline", after=3, times=20),
        Fault(kind=FaultKind.SKIP, on="ethusdt@kline", after=5, times=10),
        Fault(kind=FaultKind.TRUNCATE, on="btcusdt@kline", after=30),
        Fault(kind=FaultKind.STATUS, on="klines", after=2, times=3),
    ],
}


@pytest.mark.filterwarnings("ignore")  # asyncio's, about callbacks of ccxt that broken messages end
@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
async def test_whatever_the_stream_does_the_stored_candles_are_the_venues(
    database: PostgresManager, faults: list[Fault]
) -> None:
    async with live_venue(*faults) as live, recording(database, live) as (_, candles):
        await live.go_on(360)
        await equal_in_the_end(database, live)
        assert {fault.kind for fault in faults} == {fault.kind for fault in live.venue.faults.happened}
        if faults[0].kind in (FaultKind.DROP, FaultKind.SILENCE):
            assert candles.health.breaks >= 1
            assert candles.health.last_break
    await catalogue_is_true(database)


async def test_a_venue_without_streams_is_asked_for_each_bar(database: PostgresManager) -> None:
    async with live_venue() as live, recording(database, live, with_streams=False):
        await live.go_on(240)
        await equal_in_the_end(database, live)


async def test_a_connection_is_replaced_before_the_venue_cuts_it(database: PostgresManager) -> None:
    pace = LivePace(silent_after_s=45.0, longest_connection_s=100.0)
    async with live_venue() as live, recording(database, live, pace=pace) as (_, candles):
        await live.go_on(360)
        await equal_in_the_end(database, live)
        assert candles.health.connections >= 2
        assert candles.health.breaks == 0


async def test_bars_the_venue_never_had_are_holes_with_a_reason(database: PostgresManager) -> None:
    now_ms = FIRST_MS + 600_000
    bars = simulated_market("BTC/USDT", seed=1, from_ms=FIRST_MS - 600_000).candles.minutes(0, now_ms)
    there = (bars.time < FIRST_MS + 60_000) | (bars.time >= FIRST_MS + 180_000)
    holed = GivenCandles(select(bars, there))
    markets = [
        LocalMarket(base=base, quote="USDT", price_decimals=2, volume_decimals=5, candles=holed)
        for base in ("BTC", "ETH")
    ]
    async with live_venue(markets=markets) as live, recording(database, live):
        await live.go_on(300)
        await equal_in_the_end(database, live)
        for _ in range(100):
            gaps = await CandleStore(manager=database, clock=live.clock).gaps()
            if {gap.starts for gap in gaps} == {to_datetime(FIRST_MS + 60_000)}:
                break
            await live.go_on(2)
    assert {(gap.starts, gap.ends, gap.reason) for gap in gaps} == {
        (to_datetime(FIRST_MS + 60_000), to_datetime(FIRST_MS + 180_000), "venue empty")
    }
