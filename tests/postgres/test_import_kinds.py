"""Trades, funding rates, books and tickers: stored once, refused when they differ, counted as the real files are."""

import gzip
import json
from pathlib import Path

import pytest

from mastertrade.market_data_service.importing.importer import FileImporter, understand
from mastertrade.market_data_service.importing.report import FileReport
from mastertrade.market_data_service.kind_rows import Book, Funding, Ticker, Trade, moment
from mastertrade.market_data_service.kind_store import KindStore
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase
from mastertrade.market_data_service.postgres_imports import ImportsPostgresDatabase
from mastertrade.market_data_service.postgres_kinds import KindsPostgresDatabase
from mastertrade.market_data_service.rules import listing
from mastertrade.shared.clock import SystemClock
from mastertrade.shared.postgres_manager import PostgresManager

START_US = 1_700_000_000_000_000
DATABASE = KindsPostgresDatabase()


async def imported(database: PostgresManager, path: Path, home: Path, venue: str = "binance") -> FileReport:
    importer = FileImporter(manager=database, clock=SystemClock(), home=home)
    return await importer.run(path, understand(path, venue=venue))


async def instrument(database: PostgresManager) -> int:
    await MarketDataPostgresDatabase().add_instruments(
        database, [listing("binance", "BTC/USDT")], at=SystemClock().now()
    )
    found = await ImportsPostgresDatabase().instrument_id(database, "binance", "BTC/USDT")
    assert found is not None
    return found


async def test_the_same_rows_twice_change_nothing_and_other_numbers_are_refused(database: PostgresManager) -> None:
    """store_trades, store_funding, store_books and store_tickers, and book_kind, which keeps their catalogue."""
    store, market = KindStore(manager=database, clock=SystemClock()), await instrument(database)
    trades = [Trade(START_US + place, str(place), 100.0 + place, 1.0, place % 2 == 0) for place in range(5)]
    rates = [Funding(START_US + place, 0.0001 * place) for place in range(4)]
    books = [
        Book(START_US + place, place, place == 0, [(100.0, 1.0)] * place, [(101.0, 2.0)] * 2) for place in range(3)
    ]
    tickers = [Ticker(symbol, START_US, bid=1.0) for symbol in ("A/B", "C/D")]
    for new, unchanged in ((1, 0), (0, 1)):
        for loaded, count in (
            (await store.store_trades(market, [*trades, trades[0]]), 5),
            (await store.store_funding(market, rates), 4),
            (await store.store_books(market, books), 3),
            (await store.store_tickers("binance", tickers), 2),
        ):
            assert (loaded.new, loaded.unchanged, loaded.conflicts) == (new * count, unchanged * count, [])
    other = Trade(START_US, "0", 99.0, 1.0, True)
    assert (await store.store_trades(market, [other])).conflicts == [other]
    first = await DATABASE.market_trades(database, market, moment(START_US), moment(START_US + 1))
    assert [row["price"] for row in first] == [100.0]
    assert len(await DATABASE.funding_rates(database, market, moment(START_US), moment(START_US + 3))) == 3
    stored = await database.fetch("SELECT bid_prices, ask_amounts FROM book_updates ORDER BY sequence")
    assert [len(row["bid_prices"]) for row in stored] == [0, 1, 2]
    assert all(row["ask_amounts"] == [2.0, 2.0] for row in stored)
    catalogue = {(one.kind, one.symbol): one.rows for one in await DATABASE.kind_series(database)}
    assert catalogue == {
        ("trades", "BTC/USDT"): 5, ("funding", "BTC/USDT"): 4, ("book", "BTC/USDT"): 3,
        ("tickers", "A/B"): 1, ("tickers", "C/D"): 1,
    }  # fmt: skip


async def test_partitions_are_made_for_known_tables_only(database: PostgresManager) -> None:
    """ensure_month_partitions"""
    made = [
        await DATABASE.ensure_month_partitions(database, "market_trades", moment(START_US), moment(START_US + 10**13))
        for _ in range(2)
    ]
    assert made == [5, 0]
    with pytest.raises(Exception, match="must be one that has months"):
        await DATABASE.ensure_month_partitions(database, "orders", moment(START_US), moment(START_US))


async def test_trades_of_archives_and_bots_say_the_same(database: PostgresManager, tmp_path: Path) -> None:
    rows = [(START_US // 1000 + place * 10, 1000 + place, 50_000 + place, 0.5, place % 2) for place in range(10)]
    single = "".join(f"{id},{price},{amount},1,{at},{bool(maker)},True\n" for at, id, price, amount, maker in rows)
    (tmp_path / "BTCUSDT-trades-2023-11.csv").write_text(single)
    bot = [
        [time, str(id), None, "sell" if maker else "buy", price, amount, 1] for time, id, price, amount, maker in rows
    ]
    (tmp_path / "BTC_USDT-trades.json.gz").write_bytes(gzip.compress(json.dumps(bot).encode()))
    head = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"
    agg = "".join(f"{id},{price},{amount},1,1,{time},{bool(maker)}\n" for time, id, price, amount, maker in rows)
    (tmp_path / "BTCUSDT-aggTrades-2023-11.csv").write_text(head + agg)
    names = ("BTCUSDT-aggTrades-2023-11.csv", "BTCUSDT-trades-2023-11.csv", "BTC_USDT-trades.json.gz")
    reports = [await imported(database, tmp_path / name, tmp_path) for name in names]
    assert [(one.rows_stored, one.unchanged, one.rejected) for one in reports] == [(10, 0, 0), (0, 10, 0), (0, 10, 0)]


REAL = {
    "orderbook/tardis_samples/deribit_incremental_book_L2_BTC-PERPETUAL.csv": {"book": 15},
    "orderbook/tardis_samples/binance-futures_book_snapshot_25_BTCUSDT.csv": {"book": 10},
    "orderbook/tardis_samples/bitmex_trades_XBTUSD.csv": {"trades": 10},
    "orderbook/tardis_samples/huobi-dm-swap_quotes_BTC-USD.csv": {"tickers": 10},
    "orderbook/bybit_ob500/XRPUSDT_ob500.jsonl.gz": {"book": 50},
    "orderbook/binance_spot_triangle_20201101T09/ETHBTC_trades.json.gz": {"trades": 1736},
    "orderbook/binance_spot_triangle_20201101T09/ETHBTC_snapshot.json.gz": {"book": 1},
    "trades/freqtrade/kraken_BCHEUR_trades.csv": {"trades": 147},
    "trades/nautilus_binance/btcusdt-quotes.parquet": {"tickers": 451},
    "perps/binance_2024-10/WIF_USDT_USDT-8h-funding_rate.feather": {"funding": 854},
    "perps/freqtrade_XRP/XRP_USDT_USDT-8h-funding_rate.feather": {"funding": 91},
    "tickers/2022-11-22/zb.json.gz": {"tickers": 310},
    "tickers/2022-11-22/coinspot.json.gz": {"tickers": 12},
    "tickers/2022-11-22/deribit.json.gz": {"tickers": 639},
    "tickers/kucoin_2018-01-17_all_tickers.json.gz": {"tickers": 179},
}


async def test_real_files_of_each_kind_are_stored_to_the_last_row(
    database: PostgresManager, real_data: Path, tmp_path: Path
) -> None:
    found = {}
    for name in REAL:
        report = await imported(database, real_data / name, tmp_path)
        assert report.is_clean, (name, report)
        found[name] = report.stored_by_kind
    assert found == REAL


async def test_a_shallower_snapshot_of_a_moment_is_the_top_of_a_deeper_one(database: PostgresManager) -> None:
    store, market = KindStore(manager=database, clock=SystemClock()), await instrument(database)
    levels = [(100.0 - place, 1.0 + place) for place in range(5)]

    def book(depth: int, first: float = 100.0) -> Book:
        return Book(
            START_US, 7, True, [(first, 1.0), *levels[1:depth]], [(200 - price, size) for price, size in levels[:2]]
        )

    for depth, new, deepest in ((3, 1, 3), (2, 0, 3), (5, 0, 5), (3, 0, 5)):
        loaded = await store.store_books(market, [book(depth)])
        assert (loaded.new, loaded.conflicts) == (new, [])
        stored = await database.fetchval("SELECT cardinality(bid_prices) FROM book_updates")
        assert stored == deepest
    other = book(4, first=99.5)
    assert (await store.store_books(market, [other])).conflicts == [other]
    change = Book(START_US + 1, 8, False, levels[:2], [])
    assert (await store.store_books(market, [change])).new == 1
    longer = Book(START_US + 1, 8, False, levels[:3], [])
    assert (await store.store_books(market, [longer])).conflicts == [longer], "of changes every level counts"
