"""Recording a venue as a whole: instruments, several lengths, going on after an end, and what is told of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import numpy as np
import pytest

from mastertrade.exchanges.market_feed import UnknownSymbol
from mastertrade.market_data_service.live_candles import LivePace
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase
from mastertrade.market_data_service.recording import Recording
from mastertrade.market_data_service.source import to_datetime
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.live_venue import LiveVenue, live_venue
from tests.postgres.test_candle_store import catalogue_is_true

MARKET = MarketDataPostgresDatabase()
SYMBOLS = ("BTC/USDT", "ETH/USDT")
PATIENCE_S = 30.0


def recording_of(database: PostgresManager, live: LiveVenue, *symbols: str) -> Recording:
    return Recording(
        feed=live.feed,
        streams=live.streams,
        symbols=symbols or SYMBOLS,
        intervals_s=(60, 300),
        manager=database,
        clock=live.clock,
        pace=LivePace(silent_after_s=45.0),
    )


@asynccontextmanager
async def running(recording: Recording) -> AsyncIterator[None]:
    task = asyncio.create_task(recording.run())
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def stored(database: PostgresManager, symbol: str, interval_s: int) -> np.ndarray:
    ids = {one.symbol: one.id for one in await MARKET.instruments(database)}
    if symbol not in ids:
        return np.empty(0, np.int64)
    end = datetime.max.replace(tzinfo=to_datetime(0).tzinfo)
    return (await MARKET.candle_columns(database, ids[symbol], interval_s, to_datetime(0), end)).time


async def until(live: LiveVenue, database: PostgresManager, bars: int) -> None:
    """Until that many minutes of every market are stored, while the venue's time goes on."""
    async with asyncio.timeout(PATIENCE_S):
        while min([len(await stored(database, symbol, 60)) for symbol in SYMBOLS]) < bars:
            await live.go_on(4)


async def test_every_length_begins_with_the_bar_that_closed_last_and_tells_how_it_stands(
    database: PostgresManager,
) -> None:
    async with live_venue() as live:
        begun = live.venue.time.now_ms()
        recording = recording_of(database, live)
        async with running(recording):
            await until(live, database, 8)
            states = {(one.symbol, one.interval_s): one for one in recording.states()}
        for symbol in SYMBOLS:
            minutes, fives = [await stored(database, symbol, length) for length in (60, 300)]
            assert minutes[0] == (begun // 60_000 - 1) * 60_000
            assert set(np.diff(minutes)) == {60_000}
            assert fives[0] == (begun // 300_000 - 1) * 300_000
            state = states[symbol, 60]
            assert (state.rows, state.last_ms) == (len(minutes), minutes[-1])
            assert not state.is_stale
            assert state.age_s is not None
            assert 0 <= state.age_s < 45
            assert float(state.price or "nan") > 0
    await catalogue_is_true(database)


async def test_what_closed_while_nobody_recorded_is_asked_for(database: PostgresManager) -> None:
    async with live_venue() as live:
        async with running(recording_of(database, live)):
            await until(live, database, 3)
        await live.go_on(900, step_s=30)
        before = len(await stored(database, "BTC/USDT", 60))
        async with running(recording_of(database, live)):
            await until(live, database, before + 17)
        for symbol in SYMBOLS:
            assert set(np.diff(await stored(database, symbol, 60))) == {60_000}
    await catalogue_is_true(database)


async def test_a_market_that_the_venue_does_not_list_ends_it_before_a_bar_is_stored(database: PostgresManager) -> None:
    async with live_venue() as live:
        with pytest.raises(UnknownSymbol, match="FOO/USDT"):
            await recording_of(database, live, "BTC/USDT", "FOO/USDT").run()
    assert len(await stored(database, "BTC/USDT", 60)) == 0
