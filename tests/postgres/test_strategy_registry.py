"""The registry: a name on an account is one strategy, and every trial is kept."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from mastertrade.domain.strategy import StrategyStatus
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.errors import NotFound, UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.serialization import new_id
from mastertrade.strategies import TEMPLATES
from mastertrade.strategy_service.registry import StrategyRegistry
from tests.postgres.strategy_seed import START, add_account, add_instrument, count


def registry_of(manager: PostgresManager) -> StrategyRegistry:
    return StrategyRegistry(manager=manager, clock=ReplayClock(START), templates=TEMPLATES)


async def account_with_markets(manager: PostgresManager, environment: str = "paper") -> UUID:
    for symbol in ("BTC/USDT", "ETH/USDT"):
        await add_instrument(manager, "simulated", symbol)
    await add_instrument(manager, "elsewhere", "BTC/USDT")
    return await add_account(manager, "simulated", environment=environment)


async def test_a_strategy_trades_its_symbols_on_the_venue_of_its_account(database: PostgresManager) -> None:
    account_id = await account_with_markets(database, environment="testnet")
    strategy = await registry_of(database).create_strategy(
        name="cross",
        template="ma_cross",
        parameters={"fast": 5},
        account_id=account_id,
        symbols=["ETHUSDT", "BTC/USDT"],
    )
    names = await database.fetch(
        "SELECT venue, symbol FROM instruments WHERE id = ANY($1)", list(strategy.instrument_ids)
    )
    assert {(row["venue"], row["symbol"]) for row in names} == {("simulated", "BTC/USDT"), ("simulated", "ETH/USDT")}
    assert (strategy.template, strategy.timeframe_s, strategy.account_id) == ("ma_cross", 900, account_id)
    assert strategy.parameters == {"fast": 5, "slow": 50}
    row = await database.fetchrow(
        "SELECT s.*, c.environment FROM strategies s JOIN strategy_environment_configs c ON true"
    )
    assert row is not None
    assert (row["type"], row["activation_state"], row["environment"], row["is_active"]) == (
        "SMA",
        "testnet",
        "testnet",
        True,
    )


async def test_the_same_name_on_the_same_account_is_one_strategy_even_when_created_at_once(
    database: PostgresManager,
) -> None:
    account_id = await account_with_markets(database)
    create = registry_of(database).create_strategy
    made = await asyncio.gather(
        *(create(name="cross", template="ma_cross", account_id=account_id, symbols=["BTC/USDT"]) for _ in range(5))
    )
    assert len({strategy.id for strategy in made}) == 1
    assert await count(database, "strategies") == 1

    other = await add_account(database, "elsewhere", "second")
    elsewhere = await create(name="cross", template="ma_cross", account_id=other, symbols=["BTC/USDT"])
    assert elsewhere.id != made[0].id


async def test_a_name_never_changes_its_meaning_silently(database: PostgresManager) -> None:
    account_id = await account_with_markets(database)
    create = registry_of(database).create_strategy
    await create(name="cross", template="ma_cross", account_id=account_id, symbols=["BTC/USDT"])
    with pytest.raises(UsageError, match="'cross' already runs on this account with timeframe_s 900, not 60"):
        await create(name="cross", template="ma_cross", account_id=account_id, symbols=["BTC/USDT"], timeframe_s=60)


async def test_after_archiving_the_name_is_free_again(database: PostgresManager) -> None:
    account_id = await account_with_markets(database)
    registry = registry_of(database)
    old = await registry.create_strategy(name="cross", template="ma_cross", account_id=account_id, symbols=["BTC/USDT"])
    await registry.set_status(old.id, StrategyStatus.ARCHIVED)
    new = await registry.create_strategy(
        name="cross", template="rsi_reversion", account_id=account_id, symbols=["BTC/USDT"]
    )
    assert [strategy.id for strategy in await registry.list_strategies()] == [new.id]
    assert await count(database, "strategies") == 2


async def test_what_cannot_run_is_refused_when_it_is_created(database: PostgresManager) -> None:
    account_id = await account_with_markets(database)
    create = registry_of(database).create_strategy
    with pytest.raises(UsageError, match="'ma_crss' is unknown; the nearest is 'ma_cross'"):
        await create(name="x", template="ma_crss", account_id=account_id, symbols=["BTC/USDT"])
    with pytest.raises(UsageError, match="fast 50 must be below slow 20"):
        await create(
            name="x",
            template="ma_cross",
            parameters={"fast": 50, "slow": 20},
            account_id=account_id,
            symbols=["BTC/USDT"],
        )
    with pytest.raises(UsageError, match="420 s cannot be used: it must be whole minutes that divide a day"):
        await create(name="x", template="ma_cross", account_id=account_id, symbols=["BTC/USDT"], timeframe_s=420)
    with pytest.raises(NotFound, match="there is no account"):
        await create(name="x", template="ma_cross", account_id=new_id(START), symbols=["BTC/USDT"])
    assert await count(database, "strategies") == 0


async def test_a_status_moves_the_flag_and_stamps_the_time(database: PostgresManager) -> None:
    account_id = await account_with_markets(database)
    registry = registry_of(database)
    made = await registry.create_strategy(name="x", template="ma_cross", account_id=account_id, symbols=["BTC/USDT"])
    await registry.set_status(made.id, StrategyStatus.PAUSED)
    row = await database.fetchrow("SELECT * FROM strategies")
    assert row is not None
    assert (row["is_active"], row["deactivated_at"]) == (False, START)
    with pytest.raises(NotFound, match="there is no strategy"):
        await registry.set_status(new_id(START), StrategyStatus.ACTIVE)


async def test_every_trial_is_kept_and_the_same_run_is_one_trial(database: PostgresManager) -> None:
    account_id = await account_with_markets(database)
    registry = registry_of(database)
    made = await registry.create_strategy(name="x", template="ma_cross", account_id=account_id, symbols=["BTC/USDT"])
    result = {
        "backtest_id": "run-1",
        "metrics": {"sharpe_ratio": 1.5, "profit_factor": float("inf"), "at": START},
        "parameters": made.parameters,
        "period_start": "2021-09-17",
        "period_end": datetime(2021, 9, 20, tzinfo=UTC),
    }
    await registry.store_backtest_result(made.id, result)
    await registry.store_backtest_result(made.id, result)
    await registry.store_backtest_result(made.id, result | {"backtest_id": None})

    rows = await database.fetch("SELECT * FROM backtest_results ORDER BY backtest_id")
    assert [row["backtest_id"] for row in rows] == ["run-1", None]
    assert rows[0]["metrics"] == {"sharpe_ratio": 1.5, "profit_factor": None, "at": "2021-09-18T00:00:00+00:00"}
    assert rows[0]["period_start"] == datetime(2021, 9, 17, tzinfo=UTC)
    with pytest.raises(NotFound, match="to keep a backtest result for"):
        await registry.store_backtest_result(new_id(START), result)


async def test_configure_strategy_takes_the_only_account_of_the_environment_when_none_is_named(
    database: PostgresManager,
) -> None:
    strategy_id = new_id(START)
    await database.execute("INSERT INTO strategies (id, name, type) VALUES ($1, 'older', 'SMA')", strategy_id)

    async def account_of(environment: str, account_id: UUID | None = None) -> UUID | None:
        row = await database.fetchrow(
            "SELECT * FROM configure_strategy($1, $2, $3, 0.5, 3, 1.5, true, '{}', $4)",
            strategy_id, environment, account_id, START,
        )  # fmt: skip
        assert row is not None
        limits = (row["max_position_size"], row["max_daily_trades"], row["risk_multiplier"])
        assert limits == (Decimal("0.5"), 3, 1.5)
        bound: UUID | None = row["account_id"]
        return bound

    assert await account_of("paper") is None
    first = await add_account(database, "simulated", "first")
    assert await account_of("paper") == first
    second = await add_account(database, "simulated", "second")
    assert await account_of("paper") == first  # bound already, so the second one changes nothing
    assert await account_of("paper", second) == second
    assert await account_of("testnet") is None
