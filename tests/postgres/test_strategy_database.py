"""The older system's strategy database: its answers, and the defects that must not come back."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.errors import DatabaseError, NotFound, UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from mastertrade.shared.serialization import legacy_uuid
from mastertrade.strategy_service.database import Database
from mastertrade.strategy_service.models import Signal, StrategyConfig, StrategyResult
from tests.postgres.strategy_seed import START, add_account, add_instrument, count

SHAPE = (
    "id name type parameters configuration metadata symbols is_active status enabled allocation activation_state"
    " created_at updated_at activated_at deactivated_at replaced_at replaced_by replaces legacy_id"
)
SIGNAL_SHAPE = "id strategy_id symbol signal_type confidence price quantity metadata timestamp created_at"
CROSS: dict[str, Any] = {
    "id": "momentum_1_0",
    "name": "cross",
    "type": "SMA",
    "symbols": ["btcusdc", {"symbol": "ETHUSDC", "weight": 0.4}],
}


@pytest.fixture
def legacy(database: PostgresManager) -> Database:
    return Database(database, clock=ReplayClock(START))


async def created(legacy: Database, **more: Any) -> dict[str, Any]:
    assert await legacy.create_strategy(CROSS | more)
    strategy = await legacy.get_strategy((CROSS | more)["id"])
    assert strategy is not None
    return strategy


async def test_a_strategy_has_the_older_shape(legacy: Database) -> None:
    strategy = await created(legacy, parameters={"fast": 5, "timeframe": "1h"}, allocation=2)
    assert list(strategy) == SHAPE.split()
    assert strategy["id"] == str(legacy_uuid("strategies", "momentum_1_0"))
    assert strategy["legacy_id"] == "momentum_1_0"
    assert strategy["symbols"] == [
        {"symbol": "BTCUSDC", "weight": 1.0, "metadata": {}},
        {"symbol": "ETHUSDC", "weight": 0.4, "metadata": {}},
    ]
    assert (strategy["status"], strategy["is_active"], strategy["enabled"]) == ("active", True, True)
    assert (strategy["activation_state"], strategy["allocation"]) == ("paper", 2.0)
    assert strategy["created_at"] == strategy["activated_at"] == "2021-09-18T00:00:00+00:00"
    assert strategy["replaced_by"] is None


async def test_a_strategy_is_created_from_the_model_and_runs_on_the_only_paper_account(
    legacy: Database, database: PostgresManager
) -> None:
    account_id = await add_account(database, "simulated")
    assert await legacy.create_strategy(StrategyConfig(name="rsi", type="RSI", symbols=["BTCUSDT"]))
    row = await database.fetchrow(
        "SELECT * FROM strategies s JOIN strategy_environment_configs c ON c.strategy_id = s.id"
    )
    assert row is not None
    assert (row["template"], row["timeframe_s"], row["account_id"]) == ("rsi_reversion", 900, account_id)


async def test_the_same_id_a_second_time_creates_nothing(legacy: Database, database: PostgresManager) -> None:
    await created(legacy)
    assert await legacy.create_strategy(CROSS | {"name": "another"}) is False
    assert (await count(database, "strategies"), await count(database, "strategy_symbols")) == (1, 2)


@pytest.mark.parametrize("kind", [str, UUID, "legacy", int])
async def test_every_kind_of_id_finds_its_strategy(legacy: Database, kind: Any) -> None:
    given: Any = 17 if kind is int else "momentum_1_0"
    strategy = await created(legacy, id=given)
    lookup = given if kind in ("legacy", int) else kind(strategy["id"])
    found = await legacy.get_strategy(lookup)
    assert found is not None
    assert found["id"] == strategy["id"]


@pytest.mark.parametrize("bad", ["", "no such", "a\x00b", "\ud800", "'; DROP TABLE strategies; --", -1, "x" * 5000])
async def test_a_malformed_id_means_not_found_and_never_raises(legacy: Database, bad: Any) -> None:
    await created(legacy)
    assert await legacy.get_strategy(bad) is None
    assert await legacy.update_strategy(bad, {"name": "x"}) is None
    assert await legacy.get_signals_by_strategy(bad) == []
    assert await legacy.get_strategy_performance_summary(bad) == {
        "execution_count": 0,
        "avg_execution_time": 0.0,
        "total_signals": 0,
    }
    for change in (legacy.delete_strategy, legacy.toggle_strategy_status):
        assert await change(bad) is False
    assert await legacy.update_strategy_status(bad, "paused") is False


async def test_toggle_ends_with_the_status_that_follows_the_new_flag(legacy: Database) -> None:
    strategy_id = (await created(legacy))["id"]

    async def toggled() -> tuple[bool, str]:
        assert await legacy.toggle_strategy_status(strategy_id)
        strategy = await legacy.get_strategy(strategy_id)
        assert strategy is not None
        return strategy["is_active"], strategy["status"]

    assert [await toggled(), await toggled()] == [(False, "inactive"), (True, "active")]


async def test_a_paused_strategy_is_not_active_and_no_longer_listed(legacy: Database) -> None:
    strategy_id = (await created(legacy))["id"]
    assert [strategy.id for strategy in await legacy.get_active_strategies()] == [strategy_id]

    assert await legacy.update_strategy_status(strategy_id, "paused")

    strategy = await legacy.get_strategy(strategy_id)
    assert strategy is not None
    assert (strategy["is_active"], strategy["status"]) == (False, "paused")
    assert await legacy.get_active_strategies() == []


async def test_active_strategies_are_read_as_objects_and_as_dicts_and_obey_the_kill_switch(
    legacy: Database,
) -> None:
    await created(legacy)
    (strategy,) = await legacy.get_active_strategies()
    assert strategy.id == strategy["id"]
    assert strategy.get("symbols")[0]["symbol"] == "BTCUSDC"
    await legacy.update_strategy(strategy.id, {"enabled": False})
    assert await legacy.get_active_strategies() == []


async def test_an_update_changes_what_is_given_and_ignores_what_nobody_knows(legacy: Database) -> None:
    strategy_id = (await created(legacy, parameters={"fast": 5}))["id"]
    updated = await legacy.update_strategy(
        strategy_id,
        {"name": "new", "symbols": ["solusdc"], "allocation": 0.5, "status; DROP TABLE strategies": 1, "id": "other"},
    )
    assert updated is not None
    assert (updated["id"], updated["name"], updated["allocation"]) == (strategy_id, "new", 0.5)
    assert [entry["symbol"] for entry in updated["symbols"]] == ["SOLUSDC"]
    assert (updated["parameters"], updated["status"]) == ({"fast": 5}, "active")


@pytest.mark.parametrize(
    ("updates", "status", "is_active"),
    [
        ({"is_active": False}, "inactive", False),
        ({"status": "paused"}, "paused", False),
        ({"status": "paused", "is_active": True}, "paused", False),
        ({"status": "ACTIVE", "is_active": False}, "active", True),
    ],
)
async def test_the_flag_always_follows_the_status(
    legacy: Database, updates: dict[str, Any], status: str, is_active: bool
) -> None:
    updated = await legacy.update_strategy((await created(legacy))["id"], updates)
    assert updated is not None
    assert (updated["status"], updated["is_active"]) == (status, is_active)


async def test_an_unknown_status_is_refused_with_the_known_ones(legacy: Database) -> None:
    strategy_id = (await created(legacy))["id"]
    with pytest.raises(UsageError, match="'sleeping' is unknown; known: pending_backtest"):
        await legacy.update_strategy_status(strategy_id, "sleeping")


async def test_deleting_archives_and_keeps_what_was_recorded(legacy: Database, database: PostgresManager) -> None:
    strategy_id = (await created(legacy))["id"]
    await legacy.insert_signal(
        Signal(strategy_id=strategy_id, symbol="BTCUSDC", signal_type="BUY", confidence=70, price=1)
    )
    assert await legacy.delete_strategy(strategy_id) is True
    assert await legacy.delete_strategy(strategy_id) is False
    assert await legacy.toggle_strategy_status(strategy_id) is False
    (strategy,) = await legacy.get_all_strategies()
    assert (strategy["status"], strategy["is_active"]) == ("archived", False)
    assert await count(database, "signals") == 1


async def test_a_signal_comes_back_as_it_was_given_and_is_tied_to_its_market(
    legacy: Database, database: PostgresManager
) -> None:
    instrument_id = await add_instrument(database, "simulated", "BTC/USDC")
    account_id = await add_account(database, "simulated")
    strategy_id = (await created(legacy))["id"]
    signal = Signal(
        strategy_id="momentum_1_0",
        symbol="btcusdc",
        signal_type="SELL",
        confidence=66.5,
        price=0.1 + 0.2,
        quantity=1.5e-7,
        metadata={"rsi": 71.2, "at": datetime(2021, 1, 1, tzinfo=UTC)},
        timestamp=datetime(2021, 9, 1),  # noqa: DTZ001 - older callers pass naive times, meant as UTC
    )
    assert await legacy.insert_signal(signal)

    (found,) = await legacy.get_recent_signals()
    assert list(found) == SIGNAL_SHAPE.split()
    assert (found["strategy_id"], found["symbol"], found["signal_type"]) == (strategy_id, "BTCUSDC", "SELL")
    assert (found["confidence"], found["price"], found["quantity"]) == (66.5, 0.1 + 0.2, 1.5e-7)
    assert found["metadata"] == {"rsi": 71.2, "at": "2021-01-01T00:00:00+00:00"}
    assert found["timestamp"] == "2021-09-01T00:00:00+00:00"
    assert await legacy.get_signals_by_strategy("momentum_1_0") == [found]
    row = await database.fetchrow("SELECT * FROM signals")
    assert row is not None
    assert (row["instrument_id"], row["account_id"], row["bar_close"]) == (instrument_id, account_id, None)


async def test_signals_come_newest_first_up_to_the_limit_and_only_for_known_strategies(legacy: Database) -> None:
    strategy_id = (await created(legacy))["id"]
    for hour in (2, 3, 1):
        await legacy.insert_signal(
            Signal(
                strategy_id=strategy_id,
                symbol="BTCUSDC",
                signal_type="HOLD",
                confidence=50,
                price=hour,
                timestamp=START + timedelta(hours=hour),
            )
        )
    assert [signal["price"] for signal in await legacy.get_recent_signals(limit=2)] == [3.0, 2.0]
    assert await legacy.get_recent_signals(limit=0) == []
    stranger = Signal(strategy_id="stranger", symbol="BTCUSDC", signal_type="BUY", confidence=50, price=1)
    assert await legacy.insert_signal(stranger) is False


async def test_performance_sums_up_the_window_and_is_zero_without_rows(legacy: Database) -> None:
    strategy_id = (await created(legacy))["id"]
    none = {"execution_count": 0, "avg_execution_time": 0.0, "total_signals": 0}
    assert await legacy.get_strategy_performance_summary(strategy_id) == none

    signal = Signal(strategy_id=strategy_id, symbol="BTCUSDC", signal_type="BUY", confidence=70, price=10)
    for signals, seconds in (([signal, signal], 0.2), ([], 0.4)):
        result = StrategyResult(strategy_id=strategy_id, symbol="BTCUSDC", signals=signals, execution_time=seconds)
        assert await legacy.insert_strategy_performance(result)

    summary = await legacy.get_strategy_performance_summary(strategy_id)
    assert summary == {"execution_count": 2, "avg_execution_time": pytest.approx(0.3), "total_signals": 2}
    later = Database(legacy._manager, clock=ReplayClock(START + timedelta(hours=25)))
    assert await later.get_strategy_performance_summary(strategy_id) == none
    assert await later.get_strategy_performance_summary(strategy_id, hours_back=48) == summary


async def test_backtest_results_come_back_newest_first_with_iso_times(legacy: Database) -> None:
    strategy_id = (await created(legacy))["id"]
    await legacy.store_backtest_result(
        "momentum_1_0",
        {
            "backtest_id": "b1",
            "metrics": {"sharpe_ratio": float("nan"), "monthly_returns": {"2021-09": 0.1}},
            "parameters": {"fast": 5},
            "period_start": START,
            "period_end": "2021-09-20T00:00:00Z",
        },
    )
    (found,) = await legacy.get_backtest_results()
    assert found["strategy_id"] == strategy_id
    assert found["metrics"] == {"sharpe_ratio": None, "monthly_returns": {"2021-09": 0.1}}
    assert (found["period_start"], found["period_end"]) == ("2021-09-18T00:00:00+00:00", "2021-09-20T00:00:00+00:00")
    with pytest.raises(NotFound):
        await legacy.store_backtest_result("stranger", {})


async def test_put_setting_changes_the_value_and_keeps_what_is_not_given(legacy: Database) -> None:
    """Through put_setting: the table is the order executor's."""
    assert await legacy.get_setting("NO_SUCH") is None
    await legacy.upsert_setting("MAX_ACTIVE_STRATEGIES", "3")
    setting = await legacy.get_setting("MAX_ACTIVE_STRATEGIES")
    assert setting is not None
    assert list(setting) == ["key", "value", "type", "description", "metadata", "updated_at"]
    assert (setting["value"], setting["type"], setting["metadata"]) == ("3", "integer", {})
    assert setting["updated_at"] == "2021-09-18T00:00:00+00:00"
    await legacy.upsert_setting("COLOUR", "blue", description="of the sky", value_type="string", metadata={"by": "me"})
    await legacy.upsert_setting("COLOUR", "grey")
    setting = await legacy.get_setting("COLOUR")
    assert setting is not None
    assert (setting["value"], setting["description"], setting["metadata"]) == ("grey", "of the sky", {"by": "me"})


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("get_active_strategies", ()),
        ("get_all_strategies", ()),
        ("get_strategy", ("momentum_1_0",)),
        ("create_strategy", (CROSS,)),
        ("toggle_strategy_status", ("momentum_1_0",)),
        ("get_recent_signals", ()),
        ("get_backtest_results", ()),
        ("get_setting", ("MAX_ACTIVE_STRATEGIES",)),
    ],
)
async def test_a_database_that_fails_raises_instead_of_answering_nothing(
    legacy: Database, database: PostgresManager, method: str, arguments: tuple[Any, ...]
) -> None:
    for table in ("strategies", "signals", "backtest_results", "settings"):
        await database.execute(f"ALTER TABLE {table} RENAME TO {table}_gone")
    with pytest.raises(DatabaseError):
        await getattr(legacy, method)(*arguments)


@pytest.mark.parametrize("end", ["close", "disconnect"])
async def test_life_is_idempotent_and_a_manager_handed_in_stays_open(
    legacy: Database, database: PostgresManager, end: str
) -> None:
    stop: Callable[[], Awaitable[None]] = getattr(legacy, end)
    for _ in range(2):
        await legacy.connect()
        await legacy.initialize()
        await stop()
    assert await database.healthcheck()
