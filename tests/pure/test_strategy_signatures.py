"""The older system's strategy database keeps its signatures."""

import inspect

import pytest

from mastertrade.strategy_service import database as module
from mastertrade.strategy_service.database import Database
from mastertrade.strategy_service.models import Signal, Strategy, StrategyConfig, StrategyResult

SIGNATURES = {
    "connect": "()",
    "disconnect": "()",
    "initialize": "()",
    "close": "()",
    "get_active_strategies": "()",
    "get_all_strategies": "()",
    "get_strategy": "(strategy_id)",
    "create_strategy": "(strategy_config)",
    "update_strategy": "(strategy_id, updates)",
    "delete_strategy": "(strategy_id)",
    "toggle_strategy_status": "(strategy_id)",
    "update_strategy_status": "(strategy_id, status)",
    "insert_signal": "(signal)",
    "get_recent_signals": "(limit=100)",
    "get_signals_by_strategy": "(strategy_id, limit=100)",
    "insert_strategy_performance": "(result)",
    "get_strategy_performance_summary": "(strategy_id, hours_back=24)",
    "store_backtest_result": "(strategy_id, result)",
    "get_backtest_results": "(limit=100)",
    "upsert_setting": "(key, value, *, description=None, value_type=None, metadata=None)",
    "get_setting": "(key)",
}


def shape(name: str) -> str:
    """The signature without self and types."""
    signature = inspect.signature(getattr(Database, name))
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty) for parameter in list(signature.parameters.values())[1:]
    ]
    return str(inspect.Signature(bare))


@pytest.mark.parametrize("name", SIGNATURES)
def test_the_method_is_a_coroutine_with_the_older_names_order_and_defaults(name: str) -> None:
    assert inspect.iscoroutinefunction(getattr(Database, name))
    assert shape(name) == SIGNATURES[name]


def test_the_ready_instance_is_not_connected_until_it_is_used() -> None:
    assert isinstance(module.database, Database)
    with pytest.raises(RuntimeError, match=r"call connect\(\) first"):
        module.database._db  # noqa: B018


def test_the_models_have_the_older_fields() -> None:
    assert list(Strategy.model_fields)[:6] == ["id", "name", "type", "parameters", "is_active", "symbols"]
    assert list(StrategyConfig.model_fields) == ["name", "type", "parameters", "symbols", "is_active"]
    assert list(Signal.model_fields) == (
        ["strategy_id", "symbol", "signal_type", "confidence", "price", "quantity", "metadata", "timestamp"]
    )
    assert list(StrategyResult.model_fields) == ["strategy_id", "symbol", "signals", "execution_time", "error"]


def test_a_strategy_is_read_as_an_object_and_as_a_dict() -> None:
    strategy = Strategy(id="1", name="cross", type="SMA")
    assert (strategy.id, strategy["id"], strategy.get("name")) == ("1", "1", "cross")
    assert strategy.get("colour", "none") == "none"
    assert "type" in strategy
    assert dict(strategy)["type"] == "SMA"
    with pytest.raises(KeyError):
        strategy["colour"]
