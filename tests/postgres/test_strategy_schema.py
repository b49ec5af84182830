"""What the database itself keeps true about strategies and signals, whoever writes."""

from typing import Any
from uuid import UUID

import pytest

from mastertrade.shared.errors import ConstraintViolated
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.serialization import new_id
from tests.postgres.strategy_seed import START, add_account, add_instrument


async def seeded(database: PostgresManager) -> dict[str, Any]:
    """The columns of a signal that is allowed, with the rows it refers to."""
    strategy_id: UUID = new_id(START)
    await database.execute("INSERT INTO strategies (id, name, type) VALUES ($1, 'cross', 'SMA')", strategy_id)
    return {
        "strategy_id": strategy_id,
        "account_id": await add_account(database, "simulated"),
        "instrument_id": await add_instrument(database, "simulated", "BTC/USDT"),
        "symbol": "BTC/USDT",
        "signal_type": "BUY",
        "timeframe_s": 900,
        "bar_close": START,
        "confidence": 75.0,
        "price": 100,
        "timestamp": START,
        "valid_until": START,
    }


async def insert(database: PostgresManager, columns: dict[str, Any]) -> None:
    names, places = ", ".join(columns), ", ".join(f"${place}" for place in range(1, len(columns) + 1))
    await database.execute(f"INSERT INTO signals ({names}) VALUES ({places})", *columns.values())


async def test_one_bar_raises_one_signal_of_a_type(database: PostgresManager) -> None:
    columns = await seeded(database)
    await insert(database, columns)
    await insert(database, columns | {"signal_type": "SELL"})
    with pytest.raises(ConstraintViolated, match="signals_once_per_bar"):
        await insert(database, columns)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"account_id": None}, "signals_raised_on_a_bar_are_complete"),
        ({"valid_until": None}, "signals_raised_on_a_bar_are_complete"),
        ({"confidence": 100.1}, "signals_confidence_is_a_percentage"),
        ({"confidence": float("nan")}, "finite_is_a_sane_number"),
        ({"signal_type": "BUYY"}, "signals_type_is_known"),
        ({"price": -1}, "price_is_not_negative"),
    ],
)
async def test_a_signal_that_breaks_a_rule_is_refused(
    database: PostgresManager, change: dict[str, Any], rule: str
) -> None:
    columns = await seeded(database)
    with pytest.raises(ConstraintViolated, match=rule):
        await insert(database, columns | change)


async def test_a_strategy_with_signals_cannot_be_deleted(database: PostgresManager) -> None:
    await insert(database, await seeded(database))
    with pytest.raises(ConstraintViolated, match="signals"):
        await database.execute("DELETE FROM strategies")


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("status = 'paused'", "strategies_active_follows_status"),
        ("is_active = false", "strategies_active_follows_status"),
        ("timeframe_s = 90", "strategies_timeframe_divides_a_day"),
        ("timeframe_s = 420", "strategies_timeframe_divides_a_day"),
        ("allocation = 'NaN'", "finite_is_a_sane_number"),
        ("activation_state = 'production'", "strategies_activation_state_is_known"),
    ],
)
async def test_a_strategy_that_breaks_a_rule_is_refused(database: PostgresManager, change: str, rule: str) -> None:
    await seeded(database)
    with pytest.raises(ConstraintViolated, match=rule):
        await database.execute(f"UPDATE strategies SET {change}")
