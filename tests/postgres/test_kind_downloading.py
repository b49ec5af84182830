"""Trades and funding rates from the real ccxt client against a local venue: stored as they are, and asked for once."""

from datetime import timedelta

import pytest

from mastertrade.exchanges.ccxt_markets import CcxtFeed
from mastertrade.exchanges.market_feed import FeedKind, NotOffered, UnknownSymbol
from mastertrade.exchanges.simulated import Fault, FaultKind
from mastertrade.market_data_service.kind_downloading import KindDownload, KindDownloader, trade_of
from mastertrade.market_data_service.kind_store import KindStore
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase
from mastertrade.market_data_service.postgres_kinds import KindsPostgresDatabase
from mastertrade.market_data_service.source import to_datetime
from mastertrade.shared.errors import UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.retry import Backoff
from tests.postgres.live_venue import START_MS, LiveVenue, live_venue

KINDS = KindsPostgresDatabase()
IMPATIENT = Backoff(first_s=0.01, longest_s=0.05, for_s=5.0)
HOUR_MS = 3_600_000
NOW = to_datetime(START_MS)
UNTIL_MS = START_MS - 10_000


def downloader(database: PostgresManager, live: LiveVenue) -> KindDownloader:
    return KindDownloader(feed=live.feed, manager=database, clock=live.clock, patience=IMPATIENT)


async def trades_of(
    database: PostgresManager, live: LiveVenue, *, hours: int, symbols: tuple[str, ...] = ("BTC/USDT",)
) -> list[KindDownload]:
    door = downloader(database, live)
    since, until = NOW - timedelta(hours=hours), to_datetime(UNTIL_MS)
    return list(await door.run(symbols, FeedKind.TRADES, since=since, until=until))


async def stored_trades(database: PostgresManager, one: KindDownload) -> list[tuple[int, str, float, float]]:
    rows = await KINDS.market_trades(database, one.instrument_id, to_datetime(0), NOW + timedelta(days=1))
    return [(round(row["time"].timestamp() * 1000), row["trade_id"], row["price"], row["amount"]) for row in rows]


def truth_of(live: LiveVenue, market: str, from_ms: int, to_ms: int) -> list[tuple[int, str, float, float]]:
    trades = live.venue.markets[market].trades(from_ms, to_ms)
    return [(one.time_ms, str(one.id), float(one.price), float(one.quantity)) for one in trades]


FAULTS = {
    "none": [],
    "limited": [Fault(kind=FaultKind.RATE_LIMIT, on="aggTrades", after=2, seconds=0.05)],
    "cut": [
        Fault(kind=FaultKind.DROP, on="aggTrades", after=3),
        Fault(kind=FaultKind.TRUNCATE, on="aggTrades", after=5),
    ],
    "broken": [Fault(kind=FaultKind.STATUS, on="aggTrades", after=1, times=2)],
}


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
async def test_trades_are_stored_as_the_venue_has_them_whatever_the_wire_does(
    database: PostgresManager, faults: list[Fault]
) -> None:
    async with live_venue(*faults) as live:
        for one in await trades_of(database, live, hours=8, symbols=("BTC/USDT", "ETH/USDT")):
            truth = truth_of(live, one.symbol.replace("/", ""), START_MS - 8 * HOUR_MS, UNTIL_MS)
            assert len(truth) > 2_000, "more than a page"
            assert await stored_trades(database, one) == truth
            assert (one.failure, one.new, one.rows, one.note) == (None, len(truth), len(truth), "")
        assert {fault.kind for fault in faults} == {fault.kind for fault in live.venue.faults.happened}


async def test_the_same_download_asks_for_nothing_and_a_wider_one_for_the_rest(database: PostgresManager) -> None:
    async with live_venue() as live:
        (first,) = await trades_of(database, live, hours=3)
        (again,) = await trades_of(database, live, hours=3)
        (wider,) = await trades_of(database, live, hours=5)
        assert (again.requests, again.rows, again.total_s) == (0, 0, 0.0)
        assert (wider.total_s, wider.rows) == (2 * 3_600, wider.new)
        truth = truth_of(live, "BTCUSDT", START_MS - 5 * HOUR_MS, UNTIL_MS)
        assert await stored_trades(database, first) == truth
        assert wider.requests >= 2


async def test_a_market_that_rests_for_hours_is_asked_on(database: PostgresManager) -> None:
    """An answer without a trade speaks for an hour only, not for all the time to come."""
    async with live_venue() as live:
        page = await live.feed.trades("BTC/USDT", since=NOW - timedelta(hours=30))
        assert page.until_ms <= START_MS - 29 * HOUR_MS
        assert not page.is_last


async def test_funding_rates_are_stored_once(database: PostgresManager) -> None:
    async with live_venue() as live:
        feed = CcxtFeed("binance", url=live.venue.url)  # which lists the swaps, too
        for new in (True, False):
            door = KindDownloader(feed=feed, manager=database, clock=live.clock)
            since, until = NOW - timedelta(hours=40), to_datetime(UNTIL_MS)
            (one,) = await door.run(["BTC/USDT:USDT"], FeedKind.FUNDING, since=since, until=until)
            assert (one.new > 0, one.requests > 0) == (new, new)
        await feed.close()
        rates = await KINDS.funding_rates(database, one.instrument_id, to_datetime(0), NOW)
        times = [round(row["time"].timestamp() * 1000) for row in rates]
        assert times == list(range(times[0], UNTIL_MS, 8 * HOUR_MS))
        market = live.venue.markets["BTCUSDT"]
        assert [row["rate"] for row in rates] == [float(market.funding(time)) for time in times]


async def test_what_cannot_be_asked_for_is_refused_before_anything_is_asked(database: PostgresManager) -> None:
    async with live_venue() as live:
        door = downloader(database, live)
        with pytest.raises(UsageError, match=r"BTC/USDT is a spot market .* BTC/USDT:USDT"):
            await door.run(["BTC/USDT"], FeedKind.FUNDING, since=NOW)
        with pytest.raises(NotOffered, match="data record --kind tickers"):
            await door.run(["BTC/USDT"], FeedKind.TICKERS, since=NOW)
        with pytest.raises(UnknownSymbol, match="FOO/USDT"):
            await door.run(["FOO/USDT"], FeedKind.TRADES, since=NOW)
    feed = CcxtFeed("bybit")
    assert FeedKind.TRADES in feed.kinds
    assert FeedKind.TRADES not in feed.histories
    await feed.close()


async def test_a_stored_trade_with_other_numbers_is_told_and_stays(database: PostgresManager) -> None:
    async with live_venue() as live:
        (first,) = await trades_of(database, live, hours=1)
        page = await live.feed.trades("BTC/USDT", since=NOW - timedelta(minutes=30))
        other = trade_of(page.rows[0])
        other.price += 1
        loaded = await KindStore(manager=database, clock=live.clock).store_trades(first.instrument_id, [other])
        assert loaded.conflicts == [other]
        assert await MarketDataPostgresDatabase().instruments(database)
