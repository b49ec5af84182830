"""Trades, tickers and books recorded from streams and by questions: what is kept, what is repaired, what is bounded."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mastertrade.exchanges.market_feed import FeedKind
from mastertrade.exchanges.simulated import Fault, FaultKind
from mastertrade.market_data_service import kind_recording
from mastertrade.market_data_service.kind_recording import KindRecording
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.live_venue import START_MS, LiveVenue, live_venue

SYMBOLS = ("BTC/USDT", "ETH/USDT")
PATIENCE_S = 30.0


@asynccontextmanager
async def recording(
    database: PostgresManager, live: LiveVenue, kind: FeedKind, *, with_streams: bool = True
) -> AsyncIterator[KindRecording]:
    one = KindRecording(
        feed=live.feed, streams=live.streams if with_streams else None, symbols=SYMBOLS, kind=kind, manager=database,
        clock=live.clock, silent_after_s=45.0,
    )  # fmt: skip
    task = asyncio.create_task(one.run())
    try:
        yield one
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def trades_in(database: PostgresManager, symbol: str) -> list[str]:
    rows = await database.fetch(
        "SELECT trade_id FROM market_trades JOIN instruments i ON i.id = instrument_id WHERE symbol = $1 "
        "ORDER BY time, trade_id::bigint",
        symbol,
    )
    return [row["trade_id"] for row in rows]


async def reaches(live: LiveVenue, condition: object, *, step_s: float = 2.0) -> None:
    """Until the condition holds, while the venue's time goes on."""
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():  # type: ignore[operator]
            await live.go_on(step_s, step_s=step_s)


async def has_no_hole(database: PostgresManager) -> bool:
    """Trades of this venue are numbered one after the other."""
    found = [[int(id) for id in await trades_in(database, symbol)] for symbol in SYMBOLS]
    return all(ids == list(range(ids[0], ids[-1] + 1)) for ids in found)


async def test_every_trade_of_a_stream_is_stored_and_heard_of(database: PostgresManager) -> None:
    async with live_venue() as live, recording(database, live, FeedKind.TRADES) as one:

        async def enough() -> bool:
            return min([len(await trades_in(database, symbol)) for symbol in SYMBOLS]) > 40

        await reaches(live, enough)
        states = one.states()
        assert [state.symbol for state in states] == list(SYMBOLS)
        assert all(state.is_streaming and not state.is_stale and state.rows > 40 for state in states)
        assert await has_no_hole(database)


async def test_what_a_broken_stream_of_trades_did_not_bring_is_asked_for(database: PostgresManager) -> None:
    faults = [Fault(kind=FaultKind.DROP, on="btcusdt@aggTrade", after=after) for after in (15, 40)]
    async with live_venue(*faults) as live, recording(database, live, FeedKind.TRADES) as one:

        async def mended() -> bool:
            rows = min([len(await trades_in(database, symbol)) for symbol in SYMBOLS])
            is_mended = one.health.breaks >= 2 and one.health.repaired > 0 and one.health.is_streaming and rows > 80
            return is_mended and await has_no_hole(database)

        await reaches(live, mended)
        assert one.health.last_break


async def test_of_tickers_and_books_the_newest_is_kept_once_a_second(database: PostgresManager) -> None:
    async with live_venue() as live:
        for kind, table, count in ((FeedKind.TICKERS, "market_tickers", 8), (FeedKind.BOOK, "book_updates", 8)):
            async with recording(database, live, kind) as one:

                async def enough(table: str = table, count: int = count) -> bool:
                    return bool(await database.fetchval(f"SELECT count(*) FROM {table}") >= 2 * count)

                began_ms = live.venue.time.now_ms()
                await reaches(live, enough, step_s=0.5)
                passed_s = (live.venue.time.now_ms() - began_ms) / 1000
                rows = await database.fetchval(f"SELECT count(*) FROM {table}")
                assert rows <= len(SYMBOLS) * (passed_s + 2), "conflated"
                assert {state.rows > 0 for state in one.states()} == {True}
        crossed = await database.fetchval("SELECT count(*) FROM market_tickers WHERE bid >= ask")
        assert crossed == 0
        depths = await database.fetch("SELECT cardinality(bid_prices) AS n, is_snapshot FROM book_updates")
        assert {(row["n"], row["is_snapshot"]) for row in depths} == {(kind_recording.DEPTH, True)}


@pytest.mark.parametrize("kind", [FeedKind.TRADES, FeedKind.TICKERS, FeedKind.BOOK])
async def test_a_venue_without_streams_is_asked(database: PostgresManager, kind: FeedKind) -> None:
    table = {FeedKind.TRADES: "market_trades", FeedKind.TICKERS: "market_tickers", FeedKind.BOOK: "book_updates"}[kind]
    async with live_venue() as live, recording(database, live, kind, with_streams=False) as one:

        async def enough() -> bool:
            return bool(await database.fetchval(f"SELECT count(*) FROM {table}") > 10)

        await reaches(live, enough)
        assert not one.health.is_streaming
        if kind is FeedKind.TRADES:
            assert await has_no_hole(database)
            first = await database.fetchval("SELECT min(time) FROM market_trades")
            assert first.timestamp() * 1000 >= START_MS


async def test_a_stream_is_not_read_on_while_too_much_waits(
    database: PostgresManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind_recording, "MOST_WAITING", 5)
    async with live_venue() as live, recording(database, live, FeedKind.TRADES):

        async def enough() -> bool:
            return len(await trades_in(database, "BTC/USDT")) > 30

        await reaches(live, enough)
        assert await has_no_hole(database)
