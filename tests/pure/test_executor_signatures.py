"""The older system's order database keeps its signatures and its models."""

import inspect
from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError

from mastertrade.order_executor import database as module
from mastertrade.order_executor.database import Database
from mastertrade.order_executor.models import Order, OrderRequest, Position, StrategyEnvironmentConfig, Trade

SIGNATURES = {
    "connect": "()",
    "disconnect": "()",
    "initialize": "()",
    "close": "()",
    "create_order": "(order_request)",
    "update_order_exchange_info": "(order_id, exchange_order_id)",
    "update_order_status": "(order_id, status)",
    "update_order_from_exchange": "(order_id, exchange_order)",
    "get_active_orders": "()",
    "get_recent_orders": "(limit=100)",
    "insert_trade": "(trade)",
    "get_recent_trades": "(limit=100)",
    "update_portfolio_from_trade": "(order, exchange_order)",
    "get_portfolio_balance": "(environment=None)",
    "is_trading_enabled": "()",
    "toggle_trading_enabled": "()",
    "get_position_size_for_strategy": "(strategy_id, symbol)",
    "upsert_strategy_environment_config": "(*, strategy_id, environment, max_position_size=None, "
    "max_daily_trades=None, risk_multiplier=1.0, enabled=True, metadata=None)",
    "get_strategy_environment_config": "(strategy_id)",
    "get_all_strategy_environment_configs": "()",
    "get_order": "(id)",
    "get_orders": "(*, status=None, symbol=None, strategy_id=None, limit=100)",
    "update_order": "(id, updates)",
    "get_trades": "(order_id=None, limit=100)",
    "get_positions": "(strategy_id=None, is_open=None)",
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_the_method_is_a_coroutine_with_the_older_names_order_and_defaults(name: str) -> None:
    method = getattr(Database, name)
    assert inspect.iscoroutinefunction(method)
    parameters = list(inspect.signature(method).parameters.values())[1:]
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
    assert str(inspect.Signature(bare)) == SIGNATURES[name]


def test_the_ready_instance_is_not_connected_until_it_is_used() -> None:
    with pytest.raises(RuntimeError, match=r"call connect\(\) first"):
        module.database._db  # noqa: B018


def test_what_is_no_amount_is_refused_before_anything_is_written() -> None:
    order = {"strategy_id": 1, "symbol": "BTCUSDT", "side": "BUY", "quantity": 1.0, "price": 1.0}
    trade = order | {"order_id": uuid4(), "exchange_trade_id": "1"}
    for bad in (float("nan"), float("inf"), float("-inf"), 0.0, -1.0):
        for wrong in ({"quantity": bad}, {"price": bad}):
            with pytest.raises(ValidationError):
                OrderRequest.model_validate(order | wrong)
            with pytest.raises(ValidationError):
                Trade.model_validate(trade | wrong)
    with pytest.raises(ValidationError, match="a LIMIT order needs a price"):
        OrderRequest.model_validate(order | {"order_type": "LIMIT", "price": None})


def test_the_models_have_the_older_fields_and_defaults() -> None:
    request = OrderRequest(strategy_id=7, symbol="BTCUSDT", side="BUY", quantity=1)
    assert " ".join(OrderRequest.model_fields) == (
        "client_order_id strategy_id symbol side order_type quantity price stop_price signal_id environment metadata"
    )
    assert UUID(request.client_order_id).version == 4
    assert (request.order_type, request.environment, request.metadata) == ("MARKET", "paper", {})
    assert " ".join(Order.model_fields) == (
        "id strategy_id symbol signal_id exchange_order_id client_order_id order_type side quantity price stop_price "
        "status filled_quantity avg_fill_price commission commission_asset environment order_time update_time metadata"
    )
    assert " ".join(Trade.model_fields) == (
        "id order_id exchange_trade_id symbol side quantity price commission commission_asset is_maker trade_time"
    )
    assert " ".join(StrategyEnvironmentConfig.model_fields) == (
        "strategy_id environment max_position_size max_daily_trades risk_multiplier enabled metadata "
        "created_at updated_at"
    )
    assert " ".join(Position.model_fields) == (
        "symbol strategy_id quantity avg_entry_price unrealized_pnl realized_pnl is_long entry_time exit_time"
    )
