"""The older system's arbitrage database: its answers, and the defects that must not come back."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from mastertrade.arbitrage_service.database import Database
from mastertrade.arbitrage_service.models import (
    ArbitrageOpportunity,
    DEXPrice,
    FlashLoanOpportunity,
    GasPrice,
    TriangularArbitrageOpportunity,
)
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.errors import DatabaseError, UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.strategy_seed import START

KEYS = (
    "id pair buy_venue sell_venue buy_price sell_price profit_percent estimated_profit_usd trade_amount gas_cost"
    " arbitrage_type timestamp executed execution_id metadata"
)
DEX = {"type": "dex", "chain": "gnosis", "dex": "honeyswap", "price": 3011.2, "liquidity": 250000}
CEX = {"type": "cex", "exchange": "binance", "price": 3034.9, "bid": 3034.5}


@pytest.fixture
def legacy(database: PostgresManager) -> Database:
    return Database(database, clock=ReplayClock(START))


def opportunity(**more: Any) -> ArbitrageOpportunity:
    values = {
        "pair": "WETH/USDC",
        "buy_venue": DEX,
        "sell_venue": CEX,
        "buy_price": 3011.2,
        "sell_price": 3034.9,
        "profit_percent": 0.787,
        "estimated_profit_usd": 21.4,
        "trade_amount": 1.0,
        "gas_cost": 2.3,
        "arbitrage_type": "cex_dex",
        "timestamp": START,
    }
    return ArbitrageOpportunity(**(values | more))


async def test_an_opportunity_gets_an_id_and_comes_back_in_the_older_shape(legacy: Database) -> None:
    given = opportunity()
    assert await legacy.insert_arbitrage_opportunity(given)
    assert given.id is not None
    assert str(UUID(given.id)) == given.id

    (found,) = await legacy.get_profitable_opportunities()
    assert list(found) == KEYS.split()
    assert found == given.model_dump() | {"timestamp": "2021-09-18T00:00:00+00:00", "metadata": {}}
    assert await legacy.insert_arbitrage_opportunity(given) is False


async def test_venues_are_stored_under_their_key_and_described_from_it_when_nothing_else_is_known(
    legacy: Database, database: PostgresManager
) -> None:
    await legacy.insert_arbitrage_opportunity(opportunity())
    row = await database.fetchrow("SELECT * FROM arbitrage_opportunities")
    assert row is not None
    assert (row["buy_venue"], row["sell_venue"]) == ("dex:gnosis:honeyswap", "cex:binance")
    await database.execute("UPDATE arbitrage_opportunities SET buy_venue_data = '{}', sell_venue_data = '{}'")
    (found,) = await legacy.get_profitable_opportunities()
    assert found["buy_venue"] == {"type": "dex", "chain": "gnosis", "dex": "honeyswap"}
    assert found["sell_venue"] == {"type": "cex", "exchange": "binance"}


async def test_profitable_ones_are_not_executed_above_the_threshold_and_the_best_first(legacy: Database) -> None:
    for percent, executed in ((0.05, False), (0.5, False), (2.0, False), (9.0, True)):
        await legacy.insert_arbitrage_opportunity(opportunity(profit_percent=percent, executed=executed))
    assert [o["profit_percent"] for o in await legacy.get_profitable_opportunities()] == [2.0, 0.5]
    assert [o["profit_percent"] for o in await legacy.get_profitable_opportunities(1.0)] == [2.0]


async def test_a_type_means_every_chain_unless_one_is_named(legacy: Database) -> None:
    for hour, kind in enumerate(("intra_chain_gnosis", "intra_chain_polygon", "intra_chain", "cex_dex")):
        await legacy.insert_arbitrage_opportunity(
            opportunity(arbitrage_type=kind, timestamp=START + timedelta(hours=hour), executed=hour == 0)
        )
    every = await legacy.get_opportunities_by_type("intra_chain")
    assert [o["metadata"].get("chain") for o in every] == [None, "polygon", "gnosis"]
    assert {o["arbitrage_type"] for o in every} == {"intra_chain"}
    assert [o["executed"] for o in await legacy.get_opportunities_by_type("intra_chain_gnosis")] == [True]


async def test_a_success_marks_the_opportunity_executed_by_that_execution(legacy: Database) -> None:
    given = opportunity()
    await legacy.insert_arbitrage_opportunity(given)
    execution_id = await legacy.create_arbitrage_execution(given)
    (pending,) = await legacy.get_execution_history()
    assert (pending["status"], pending["opportunity_id"], pending["end_time"]) == ("pending", given.id, None)

    assert await legacy.update_arbitrage_execution(
        execution_id, {"success": True, "actual_profit": 18.9, "gas_used": 181000, "transactions": [{"leg": "buy"}]}
    )

    (done,) = await legacy.get_execution_history()
    assert (done["id"], done["status"], done["actual_profit_usd"]) == (execution_id, "success", 18.9)
    assert (done["gas_used"], done["transactions"], done["error_message"]) == (181000.0, [{"leg": "buy"}], None)
    assert done["end_time"] == "2021-09-18T00:00:00+00:00"
    assert await legacy.get_profitable_opportunities() == []
    (executed,) = await legacy.get_opportunities_by_type("cex_dex")
    assert (executed["executed"], executed["execution_id"]) == (True, execution_id)


@pytest.mark.parametrize(
    ("result", "status"),
    [
        ({}, "failed"),
        ({"error": "slippage"}, "failed"),
        ({"success": False}, "failed"),
        ({"status": "partial"}, "partial"),
        ({"status": "completed"}, "success"),
        ({"status": "SUCCESS"}, "success"),
    ],
)
async def test_how_an_execution_ended_is_read_from_any_of_the_older_forms(
    legacy: Database, result: dict[str, Any], status: str
) -> None:
    given = opportunity()
    await legacy.insert_arbitrage_opportunity(given)
    execution_id = await legacy.create_arbitrage_execution(given.model_dump())
    assert await legacy.update_arbitrage_execution(execution_id, result)
    (done,) = await legacy.get_execution_history()
    assert (done["status"], done["error_message"]) == (status, result.get("error"))
    assert bool(await legacy.get_profitable_opportunities()) is (status != "success")


async def test_an_unknown_end_is_refused_and_an_unknown_execution_is_not_found(legacy: Database) -> None:
    assert await legacy.update_arbitrage_execution("no such", {"success": True}) is False
    with pytest.raises(UsageError, match="'exploded' is unknown; known: pending, success"):
        await legacy.update_arbitrage_execution("no such", {"status": "exploded"})


@pytest.mark.parametrize("id", [None, "", "opp-17"])
async def test_an_execution_of_an_opportunity_nobody_stored_still_gets_its_id(legacy: Database, id: str | None) -> None:
    execution_id = await legacy.create_arbitrage_execution(opportunity(id=id))
    (found,) = await legacy.get_execution_history()
    assert (found["id"], found["opportunity_id"], found["execution_type"]) == (execution_id, None, "cex_dex")
    assert found["metadata"] == ({"opportunity_id": id} if id else {})


async def test_the_latest_price_of_each_chain_and_venue_is_returned(legacy: Database) -> None:
    for chain, dex, hour, price in (("gnosis", "honeyswap", 1, 2.0), ("gnosis", "honeyswap", 0, 1.0), ("polygon", "quickswap", 0, 3.0)):  # fmt: skip  # noqa: E501
        price_read = DEXPrice(
            pair="GNO/USDC", dex=dex, chain=chain, price=price, liquidity=1e6, reserve0=1.5,
            timestamp=START + timedelta(hours=hour),
        )  # fmt: skip
        assert await legacy.insert_dex_price(price_read)
    found = await legacy.get_latest_dex_prices("GNO/USDC")
    assert [(row["dex"], row["price"], row["reserve0"], row["reserve1"]) for row in found] == [
        ("honeyswap", 2.0, 1.5, None),
        ("quickswap", 3.0, 1.5, None),
    ]
    assert await legacy.get_latest_dex_prices("WETH/DAI") == []


async def test_flash_loans_keep_their_path_and_need_the_amount_as_capital(legacy: Database) -> None:
    path = [{"dex": "uniswap_v2", "in": "USDC", "out": "WETH"}]
    loan = FlashLoanOpportunity(
        protocol="aave", token="USDC", amount=1e5, fee_percent=0.05, arbitrage_path=path, estimated_profit=-3.5,
        gas_estimate=350_000, timestamp=START,
    )  # fmt: skip
    assert await legacy.insert_flash_loan_opportunity(loan)
    (found,) = await legacy.get_flash_loan_opportunities("aave")
    assert (found["capital_required"], found["amount"], found["estimated_profit"]) == (1e5, 1e5, -3.5)
    assert (found["arbitrage_path"], found["gas_estimate"], found["fee_percent"]) == (path, 350_000.0, 0.05)
    assert await legacy.get_flash_loan_opportunities("dydx") == []


async def test_cycles_keep_their_path_and_prices(legacy: Database) -> None:
    cycle = TriangularArbitrageOpportunity(
        exchange="binance", path=["USDC", "BTC", "ETH", "USDC"], prices=[60000.0, 0.05, 3016.0],
        profit_percent=0.23, estimated_profit_usd=23.0, base_amount=1e4, timestamp=START,
    )  # fmt: skip
    assert await legacy.insert_triangular_opportunity(cycle)
    (found,) = await legacy.get_triangular_opportunities("binance")
    assert (found["path"], found["prices"], found["chain"]) == (cycle.path, cycle.prices, None)
    assert "route" not in found
    assert await legacy.get_triangular_opportunities(exchange="kraken", limit=5) == []


async def test_the_latest_gas_price_of_a_chain(legacy: Database) -> None:
    assert await legacy.get_latest_gas_price("ethereum") is None
    for hour, gwei in ((1, 40.0), (0, 20.0)):
        gas = GasPrice(
            chain="ethereum", standard_gwei=gwei, fast_gwei=gwei + 5, instant_gwei=gwei + 9,
            timestamp=START + timedelta(hours=hour),
        )  # fmt: skip
        assert await legacy.insert_gas_price(gas)
    found = await legacy.get_latest_gas_price("ethereum")
    assert found is not None
    assert (found["standard_gwei"], found["fast_gwei"], found["instant_gwei"], found["safe_gwei"]) == (40, 45, 49, None)


async def test_statistics_have_every_key_and_zeros_when_there_is_nothing(legacy: Database) -> None:
    assert await legacy.get_arbitrage_stats() == {
        "total_opportunities": 0,
        "profitable_opportunities": 0,
        "executed_count": 0,
        "avg_profit_percent": 0.0,
        "max_profit_percent": 0.0,
        "total_estimated_profit": 0.0,
        "total_executions": 0,
        "successful_executions": 0,
        "failed_executions": 0,
        "total_profit_usd": 0.0,
        "success_rate": 0.0,
        "period_hours": 24,
        "timestamp": "2021-09-18T00:00:00+00:00",
    }


async def test_statistics_count_the_window_only(legacy: Database) -> None:
    for hours, profit in ((1, 20.0), (2, -5.0), (30, 50.0)):
        given = opportunity(timestamp=START - timedelta(hours=hours), estimated_profit_usd=profit, profit_percent=hours)
        await legacy.insert_arbitrage_opportunity(given)
    for result in ({"success": True, "actual_profit": 12.0}, {"status": "failed", "actual_profit": -2.0}, None):
        execution_id = await legacy.create_arbitrage_execution(given)
        if result:
            await legacy.update_arbitrage_execution(execution_id, result)
    stats = await legacy.get_arbitrage_stats(hours_back=24)
    assert (stats["total_opportunities"], stats["profitable_opportunities"]) == (2, 1)
    assert (stats["avg_profit_percent"], stats["max_profit_percent"], stats["total_estimated_profit"]) == (
        1.5,
        2.0,
        15.0,
    )
    assert (stats["total_executions"], stats["successful_executions"], stats["failed_executions"]) == (3, 1, 1)
    assert (stats["total_profit_usd"], stats["success_rate"]) == (10.0, 0.5)


@pytest.mark.parametrize(
    "call",
    [
        lambda db: db.get_profitable_opportunities(),
        lambda db: db.create_arbitrage_execution(opportunity()),
        lambda db: db.get_arbitrage_stats(),
    ],
)
async def test_a_database_that_fails_raises_instead_of_answering_nothing(
    legacy: Database, database: PostgresManager, call: Any
) -> None:
    await database.execute("ALTER TABLE arbitrage_opportunities RENAME TO gone")
    with pytest.raises(DatabaseError):
        await call(legacy)
