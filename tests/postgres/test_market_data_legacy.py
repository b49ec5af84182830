"""The older API of market data: its names, arguments and answers."""

import inspect
from datetime import datetime, timedelta
from typing import Any

import pytest

from mastertrade.market_data_service.database import Database
from mastertrade.market_data_service.models import MarketData, OrderBookData, SymbolTracking, TradeData
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.errors import BadData
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.market_seed import MINUTE, NOON, SmallMarket, minutes, service

NOW = NOON + timedelta(hours=2)


def api(database: PostgresManager) -> Database:
    return Database(database, clock=ReplayClock(NOW))


def candle(opened: datetime = NOON, **changes: Any) -> MarketData:
    values: dict[str, Any] = {
        "symbol": "BTCUSDC",
        "timestamp": opened,
        "open_price": 100.0,
        "high_price": 110.0,
        "low_price": 95.0,
        "close_price": 105.0,
        "volume": 2.5,
        "quote_volume": 260.0,
        "trades_count": 12,
    }
    return MarketData.model_validate({**values, **changes})


async def test_a_candle_comes_back_in_the_older_shape(database: PostgresManager) -> None:
    db = api(database)
    await db.insert_market_data(candle())
    (found,) = await db.get_latest_market_data("BTCUSDC")
    assert found["id"] == f"BTCUSDC_1m_{int(NOON.timestamp())}"
    assert found["timestamp"] == "2024-05-01T12:00:00+00:00"
    assert (found["symbol"], found["interval"], found["asset_type"]) == ("BTCUSDC", "1m", "crypto")
    assert (found["open_price"], found["high_price"], found["low_price"], found["close_price"]) == (
        100.0,
        110.0,
        95.0,
        105.0,
    )
    assert (found["volume"], found["quote_volume"], found["trades_count"]) == (2.5, 260.0, 12)


async def test_the_exchange_s_own_spelling_is_understood(database: PostgresManager) -> None:
    db = api(database)
    await db.upsert_market_data(
        {
            "symbol": "ETHUSDT",
            "interval": "5m",
            "timestamp": "2024-05-01T12:00:00Z",
            "open_price": "3000.10",
            "high_price": "3001",
            "low_price": "2999",
            "close_price": "3000.50",
            "volume": "12.481",
            "quote_asset_volume": "37449.1",
            "number_of_trades": 842,
            "taker_buy_base_asset_volume": "6.2",
        }
    )
    (found,) = await db.get_latest_market_data("ETHUSDT")
    assert (found["interval"], found["open_price"], found["quote_volume"], found["trades_count"]) == (
        "5m",
        3000.1,
        37449.1,
        842,
    )
    assert found["taker_buy_base_asset_volume"] == "6.2"
    assert await database.fetchval("SELECT symbol FROM instruments") == "ETH/USDT"


async def test_storing_the_same_time_again_replaces_the_candle(database: PostgresManager) -> None:
    db = api(database)
    await db.insert_market_data(candle())
    await db.upsert_market_data(candle(close_price=109.0, trades_count=13))
    (found,) = await db.get_latest_market_data("BTCUSDC")
    assert (found["close_price"], found["trades_count"]) == (109.0, 13)


async def test_a_bad_record_of_a_batch_is_left_out_and_the_others_are_stored(database: PostgresManager) -> None:
    db = api(database)
    good = [candle(NOON + n * MINUTE) for n in range(5)]
    bad = [
        {"symbol": "BTCUSDC"},
        candle(NOON, interval="7m"),
        candle(NOON + timedelta(seconds=1)),
        candle(NOW),
        candle(NOON, high_price=101.0),
        {**candle(NOON).model_dump(), "volume": "NaN"},
        candle(NOON, symbol="NOSUCHPAIR"),
    ]
    await db.upsert_market_data_batch([*bad, *good, *bad])
    assert [row["timestamp"] for row in await db.get_latest_market_data("BTCUSDC", limit=3)] == [
        (NOON + n * MINUTE).isoformat() for n in (4, 3, 2)
    ]
    with pytest.raises(BadData, match=r"BTCUSDC 1m: .*has not closed yet"):
        await db.insert_market_data(candle(NOW))


async def test_analysis_reads_the_last_hours_in_the_order_of_time(database: PostgresManager) -> None:
    source = SmallMarket({("binance", "BTC/USDC"): minutes(120)})
    await service(database).load_history(source, until=NOW)
    db = api(database)
    found = await db.get_market_data_for_analysis("BTCUSDC", hours_back=1)
    assert [row["timestamp"] for row in found] == [(NOON + (60 + n) * MINUTE).isoformat() for n in range(60)]
    quarters = await db.get_market_data_for_analysis("BTCUSDC", "15m", 2)
    assert [row["close_price"] for row in quarters] == [100.0 + 14 + 15 * n for n in range(8)]
    assert quarters[0]["id"] == f"BTCUSDC_15m_{int(NOON.timestamp())}"
    assert quarters[0].keys() == found[0].keys()
    assert await db.get_market_data_for_analysis("XRPUSDC") == []
    assert await db.get_latest_market_data("XRPUSDC") == []


async def test_the_preferred_venue_is_meant_where_none_is_named(database: PostgresManager) -> None:
    source = SmallMarket({("kraken", "BTC/USDC"): minutes(3, price=50.0), ("binance", "BTC/USDC"): minutes(3)})
    await service(database).load_history(source, until=NOW)
    assert (await api(database).get_latest_market_data("BTCUSDC", 1))[0]["close_price"] == 102.0


async def test_trades_and_books_are_kept_until_they_expire(database: PostgresManager) -> None:
    db = api(database)
    trade = TradeData(symbol="BTCUSDC", timestamp=NOON, price=100.0, quantity=0.5, is_buyer_maker=True)
    await db.insert_trade_data(trade)
    await db.insert_trade_data(trade)
    book = OrderBookData(symbol="BTCUSDC", timestamp=NOON, bids=[["99.9", "1"]], asks=[["100.1", "2"]])
    await db.insert_orderbook_data(book)
    stored = await database.fetchrow("SELECT * FROM trades_stream")
    assert stored is not None
    assert stored["id"] == f"BTCUSDC_{int(NOON.timestamp()) * 1_000_000}"
    assert (stored["partition_key"], stored["expires_at"]) == ("BTCUSDC", NOW + timedelta(days=7))
    assert stored["data"]["price"] == 100.0
    stored = await database.fetchrow("SELECT * FROM order_book")
    assert stored is not None
    assert stored["id"] == f"BTCUSDC_{int(NOON.timestamp()) * 1_000}"
    assert (stored["data"]["bids"], stored["expires_at"]) == ([["99.9", "1"]], NOW + timedelta(hours=1))


async def test_symbol_info_shows_the_rules_of_the_instrument(database: PostgresManager) -> None:
    db = api(database)
    assert await db.get_symbol_info("BTCUSDC") is None
    await db.insert_market_data(candle())
    info = await db.get_symbol_info("BTCUSDC")
    assert info is not None
    assert (info["base_asset"], info["tick_size"], info["step_size"], info["min_qty"]) == (
        "BTC",
        0.01,
        0.00001,
        0.00001,
    )
    await database.execute(
        "INSERT INTO symbols (id, partition_key, data) VALUES ('BTCUSDC', 'BTC', $1)", {"max_qty": 9000.0}
    )
    assert await db.get_symbol_info("BTCUSDC") == {"max_qty": 9000.0}


async def test_a_symbol_is_tracked_once_and_changed_in_place(database: PostgresManager) -> None:
    db = api(database)
    tracked = SymbolTracking(id="BTCUSDC", symbol="BTCUSDC", base_asset="BTC", quote_asset="USDC")
    assert await db.add_symbol_tracking(tracked)
    assert not await db.add_symbol_tracking(tracked)
    assert await db.update_symbol_tracking("BTCUSDC", {"priority": 3, "symbol": "ETHUSDC", "id": "x"})
    info = await db.get_symbol_tracking_info("BTC/USDC")
    assert info is not None
    assert (info["id"], info["symbol"], info["priority"], info["updated_at"]) == (
        "BTCUSDC",
        "BTCUSDC",
        3,
        NOW.isoformat(),
    )
    assert not await db.update_symbol_tracking("XRPUSDC", {"priority": 1})
    assert await db.remove_symbol_tracking("BTCUSDC")
    assert not await db.remove_symbol_tracking("BTCUSDC")
    assert await db.get_symbol_tracking_info("BTCUSDC") is None


async def test_tracked_symbols_come_by_priority_then_name(database: PostgresManager) -> None:
    db = api(database)
    assert await db.ensure_symbol_tracking("ETHUSDC")
    assert await db.ensure_symbol_tracking("BTCUSDC", {"notes": "first", "symbol": "ignored"})
    assert await db.ensure_symbol_tracking("ADABTC", {"priority": 10, "exchange": "kraken"})
    assert not await db.ensure_symbol_tracking("ETHUSDC")
    assert [row["symbol"] for row in await db.get_tracked_symbols()] == ["BTCUSDC", "ETHUSDC", "ADABTC"]
    assert [row["symbol"] for row in await db.get_tracked_symbols("crypto", "kraken")] == ["ADABTC"]
    assert (await db.get_symbol_tracking_info("ADABTC") or {})["quote_asset"] == "BTC"
    assert await db.set_symbol_tracking("ETHUSDC", False)
    assert [row["symbol"] for row in await db.get_tracked_symbols()] == ["BTCUSDC", "ADABTC"]
    assert [row["symbol"] for row in await db.get_all_symbols()] == ["BTCUSDC", "ADABTC"]
    assert len(await db.get_all_symbols(include_inactive=True)) == 3
    with pytest.raises(BadData, match="NOPAIR"):
        await db.ensure_symbol_tracking("NOPAIR")


async def test_default_symbols_are_seeded_once(database: PostgresManager) -> None:
    db = api(database)
    assert await db.initialize_default_symbols()
    assert not await db.initialize_default_symbols()
    assert len(await db.get_all_symbols()) == 15


async def test_life_cycle_calls_may_be_repeated(database: PostgresManager) -> None:
    db = api(database)
    for call in (db.connect, db.initialize, db.connect, db.disconnect, db.close, db.disconnect):
        await call()
    assert await database.healthcheck()  # a manager handed in is not ours to close
    with pytest.raises(RuntimeError, match=r"call connect\(\) first"):
        await Database().get_latest_market_data("BTCUSDC")


@pytest.mark.parametrize(
    ("name", "signature"),
    [
        ("insert_market_data", "(data)"),
        ("upsert_market_data", "(data)"),
        ("upsert_market_data_batch", "(data_list)"),
        ("insert_trade_data", "(data)"),
        ("insert_orderbook_data", "(data)"),
        ("get_latest_market_data", "(symbol, limit=100)"),
        ("get_market_data_for_analysis", "(symbol, interval='1m', hours_back=24)"),
        ("get_symbol_info", "(symbol)"),
        ("add_symbol_tracking", "(symbol_data)"),
        ("update_symbol_tracking", "(symbol, updates)"),
        ("set_symbol_tracking", "(symbol, tracking)"),
        ("remove_symbol_tracking", "(symbol)"),
        ("ensure_symbol_tracking", "(symbol, metadata=None)"),
        ("get_tracked_symbols", "(asset_type=None, exchange=None)"),
        ("get_all_symbols", "(include_inactive=False)"),
        ("get_symbol_tracking_info", "(symbol)"),
        ("initialize_default_symbols", "()"),
    ],
)
def test_the_older_signatures_are_kept(name: str, signature: str) -> None:
    method = getattr(Database, name)
    assert inspect.iscoroutinefunction(method)
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in list(inspect.signature(method).parameters.values())[1:]
    ]
    assert str(inspect.Signature(parameters)) == signature
