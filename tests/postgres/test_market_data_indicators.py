"""The older API of market data: sentiment, indicator configurations and calculated values."""

import asyncio
import inspect
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from mastertrade.market_data_service import database as module
from mastertrade.market_data_service.database import Database
from mastertrade.market_data_service.models import IndicatorCalculationResult, IndicatorConfigurationDB, IndicatorType
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.errors import BadData, MasterTradeError
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.market_seed import NOON

NOW = NOON + timedelta(hours=2)
LATER = NOW + timedelta(minutes=10)


def api(database: PostgresManager, now: Any = NOW) -> Database:
    return Database(database, clock=ReplayClock(now))


def feeling(source: str, hours_ago: float, **fields: Any) -> dict[str, Any]:
    at = (NOW - timedelta(hours=hours_ago)).isoformat().replace("+00:00", "Z")
    return {"source": source, "type": f"{source}_kind", "timestamp": at, **fields}


def configuration(id: str = "rsi", strategy_id: str = "7", **fields: Any) -> IndicatorConfigurationDB:
    return IndicatorConfigurationDB(
        id=id, strategy_id=strategy_id, indicator_type=IndicatorType.RSI, symbol="BTC/USDC", interval="1m",
        periods_required=14, **fields,
    )  # fmt: skip


def result(minutes_ago: int, **fields: Any) -> dict[str, Any]:
    return {
        "configuration_id": "rsi", "symbol": "BTCUSDC", "interval": "1m",
        "timestamp": NOW - timedelta(minutes=minutes_ago), "values": {"rsi": 50.0 + minutes_ago},
        "calculation_time_ms": 1.5, "data_points_used": 14, **fields,
    }  # fmt: skip


async def test_sentiment_keeps_its_id_or_gets_one_and_expires_in_a_month(database: PostgresManager) -> None:
    db = api(database)
    kept = await db.upsert_sentiment_data(feeling("news", 1, id="news_1", symbol="BTC", polarity=0.5))
    assert (kept["id"], kept["timestamp"], kept["updated_at"]) == (
        "news_1",
        (NOW - timedelta(hours=1)).isoformat(),
        NOW.isoformat(),
    )
    made = await db.upsert_sentiment_data({"type": "global_crypto_sentiment", "value": 61})
    assert (made["id"], made["source"], made["timestamp"]) == (
        f"sentiment_{int(NOW.timestamp() * 1000)}",
        "global",
        NOW.isoformat(),
    )
    await db.upsert_sentiment_data({**kept, "polarity": -0.25})
    assert [one["id"] for one in await db.get_sentiment_data()] == [made["id"], "news_1"]
    assert (await db.get_sentiment_data(symbol="BTC"))[0]["polarity"] == -0.25
    assert await database.fetchval("SELECT array_agg(DISTINCT expires_at) FROM sentiment_data") == [
        NOW + timedelta(days=30)
    ]
    with pytest.raises(BadData, match="x: timestamp: Invalid isoformat string: 'soon'"):
        await db.upsert_sentiment_data({"id": "x", "timestamp": "soon"})


async def test_a_bad_sentiment_document_of_a_batch_is_left_out_and_the_others_are_stored(
    database: PostgresManager,
) -> None:
    db = api(database)
    batch: list[Any] = [{"value": 1}, {"timestamp": []}, "gossip", {"value": 2}, feeling("news", 3)]
    assert await db.upsert_sentiment_data_batch(batch) == 3
    assert len({one["id"] for one in await db.get_sentiment_data()}) == 3


async def test_sentiment_is_found_by_source_type_symbol_and_age(database: PostgresManager) -> None:
    db = api(database)
    await db.upsert_sentiment_data_batch(
        [
            feeling("news", 1, id="a", symbol="BTC", polarity=0.5),
            feeling("news", 2, id="b", symbol="ETH", polarity=-0.1),
            feeling("news", 3, id="c", symbol="BTC", polarity=None),
            feeling("index", 30, id="d", value=61),
        ]
    )
    assert [one["id"] for one in await db.get_sentiment_data("news", limit=2)] == ["a", "b"]
    assert [one["id"] for one in await db.get_sentiment_data(symbol="BTC")] == ["a", "c"]
    assert [one["id"] for one in await db.get_sentiment_data(sentiment_type="index_kind", hours_back=48)] == ["d"]
    assert ((await db.get_latest_sentiment_by_type("news_kind")) or {})["id"] == "a"
    assert await db.get_latest_sentiment_by_type("index_kind") is None
    assert await db.get_sentiment_summary() == {
        "news_news_kind": {
            "source": "news",
            "type": "news_kind",
            "count": 3,
            "avg_polarity": 0.2,
            "latest_timestamp": (NOW - timedelta(hours=1)).isoformat(),
        }
    }
    assert (await db.get_sentiment_summary(48))["index_index_kind"]["avg_polarity"] == 0.0


async def test_an_indicator_is_configured_once_a_strategy_and_changed_in_place(database: PostgresManager) -> None:
    db = api(database)
    assert await db.create_indicator_configuration(configuration())
    assert not await db.create_indicator_configuration(configuration(priority=9))
    assert await db.create_indicator_configuration(configuration(strategy_id=str(UUID(int=5)), priority=0).model_dump())
    assert [one["strategy_id"] for one in await db.get_configurations_by_symbol_interval("BTCUSDC", "1m")] == [
        str(UUID(int=5)),
        "7",
    ]
    assert await db.get_configurations_by_symbol_interval("BTC/USDC", "5m") == []
    assert await db.update_indicator_configuration("rsi", 7, {"active": False, "id": "x", "strategy_id": "8"})
    found = await db.get_indicator_configuration("rsi", "7")
    assert found is not None
    assert (found["id"], found["strategy_id"], found["active"], found["priority"]) == ("rsi", "7", False, 1)
    assert [one["strategy_id"] for one in await db.get_active_indicator_configurations()] == [str(UUID(int=5))]
    assert await db.get_active_indicator_configurations(UUID(int=5)) != []
    assert await db.get_active_indicator_configurations("7") == []
    with pytest.raises(BadData, match="IndicatorConfigurationDB rsi: periods_required 'many'"):
        await db.update_indicator_configuration("rsi", "7", {"periods_required": "many"})
    with pytest.raises(BadData, match="IndicatorConfigurationDB without id: id"):
        await db.create_indicator_configuration({"symbol": "BTCUSDC"})
    assert await db.delete_indicator_configuration("rsi", "7")
    assert not await db.delete_indicator_configuration("rsi", "7")
    assert not await db.update_indicator_configuration("rsi", "7", {"active": True})
    assert await db.get_indicator_configuration("rsi", "not a uuid") is None


async def test_calculations_are_counted_and_make_a_mean_also_two_at_once(database: PostgresManager) -> None:
    db = api(database)
    await db.create_indicator_configuration(configuration())
    assert await db.update_calculation_statistics("rsi", "7", 3.0, False, "no candles")
    failed = await db.get_indicator_configuration("rsi", "7") or {}
    assert (failed["error_count"], failed["last_error"], failed["calculation_count"]) == (1, "no candles", 0)
    assert failed["last_calculated"] is None
    await asyncio.gather(*(db.update_calculation_statistics("rsi", "7", float(ms)) for ms in range(1, 10)))
    counted = await db.get_indicator_configuration("rsi", "7") or {}
    assert (counted["calculation_count"], counted["avg_calculation_time_ms"]) == (9, pytest.approx(5.0))
    assert (counted["error_count"], counted["last_error"], counted["last_calculated"]) == (1, "", NOW.isoformat())
    assert not await db.update_calculation_statistics("macd", "7", 1.0)


async def test_what_is_active_continuous_and_old_is_due_what_never_was_first(database: PostgresManager) -> None:
    db = api(database)
    for id, fields in (
        ("old", {"last_calculated": NOW - timedelta(minutes=6)}),
        ("older", {"last_calculated": NOW - timedelta(hours=6)}),
        ("fresh", {"last_calculated": NOW - timedelta(minutes=4)}),
        ("never", {}),
        ("off", {"active": False}),
        ("once", {"continuous_calculation": False}),
    ):
        await db.create_indicator_configuration(configuration(id, **fields))
    assert [one["id"] for one in await db.get_configurations_due_for_calculation()] == ["never", "older", "old"]
    assert len(await db.get_configurations_due_for_calculation(60)) == 4


async def test_calculated_values_come_newest_first_and_go_when_they_are_old(database: PostgresManager) -> None:
    db = api(database)
    assert await db.store_indicator_result(IndicatorCalculationResult.model_validate(result(30)))
    for minutes_ago in (10, 20, 60 * 30):
        assert await db.store_indicator_result(result(minutes_ago, id=f"r{minutes_ago}"))
    assert await db.store_indicator_result(result(10, id="r10", values={"rsi": 71.5}))
    latest = await db.get_latest_indicator_result("rsi", "BTC/USDC")
    assert latest is not None
    assert (latest["values"], latest["symbol"]) == ({"rsi": 71.5}, "BTCUSDC")
    assert [one["values"]["rsi"] for one in await db.get_indicator_results_history("rsi", "BTCUSDC")] == [71.5, 70, 80]
    assert len(await db.get_indicator_results_history("rsi", "BTCUSDC", 48)) == 4
    assert await db.get_latest_indicator_result("rsi", "ETHUSDC") is None
    assert await database.fetchval("SELECT max(expires_at) FROM indicator_results") == NOW + timedelta(days=7)
    assert await db.cleanup_old_indicator_results(1) == 1
    assert await db.cleanup_old_indicator_results() == 0
    with pytest.raises(BadData, match="values"):
        await db.store_indicator_result(result(1, values={"rsi": "high"}))


async def test_a_failing_database_is_no_empty_answer(database: PostgresManager) -> None:
    db = api(database)
    await database.execute(
        "ALTER TABLE sentiment_data RENAME TO gone; ALTER TABLE indicator_configurations RENAME TO g"
    )
    for call in (db.get_sentiment_data(), db.get_sentiment_summary(), db.get_active_indicator_configurations()):
        with pytest.raises(MasterTradeError):
            await call


@pytest.mark.parametrize(
    ("name", "signature"),
    [
        ("upsert_sentiment_data", "(sentiment_data)"),
        ("upsert_sentiment_data_batch", "(sentiment_data_list)"),
        ("get_sentiment_data", "(source=None, sentiment_type=None, symbol=None, hours_back=24, limit=100)"),
        ("get_latest_sentiment_by_type", "(sentiment_type)"),
        ("get_sentiment_summary", "(hours_back=24)"),
        ("create_indicator_configuration", "(config)"),
        ("get_indicator_configuration", "(config_id, strategy_id)"),
        ("get_active_indicator_configurations", "(strategy_id=None)"),
        ("get_configurations_by_symbol_interval", "(symbol, interval)"),
        ("update_indicator_configuration", "(config_id, strategy_id, updates)"),
        ("delete_indicator_configuration", "(config_id, strategy_id)"),
        (
            "update_calculation_statistics",
            "(config_id, strategy_id, calculation_time_ms, success=True, error_message='')",
        ),
        ("get_configurations_due_for_calculation", "(max_age_seconds=300)"),
        ("store_indicator_result", "(result)"),
        ("get_latest_indicator_result", "(configuration_id, symbol)"),
        ("get_indicator_results_history", "(configuration_id, symbol, hours_back=24, limit=100)"),
        ("cleanup_old_indicator_results", "(days_old=7)"),
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


def test_the_ready_instance_is_not_connected_until_it_is_used() -> None:
    assert isinstance(module.database, Database)
    with pytest.raises(RuntimeError, match=r"call connect\(\) first"):
        module.database._db  # noqa: B018
