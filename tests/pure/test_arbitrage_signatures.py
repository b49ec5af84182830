"""The older system's arbitrage database keeps its signatures."""

import inspect

import pytest

from mastertrade.arbitrage_service import database as module
from mastertrade.arbitrage_service import database_wrapper, models
from mastertrade.arbitrage_service.database import Database

SIGNATURES = {
    "connect": "()",
    "disconnect": "()",
    "initialize": "()",
    "close": "()",
    "insert_arbitrage_opportunity": "(opportunity)",
    "get_profitable_opportunities": "(min_profit_percent=0.1)",
    "get_opportunities_by_type": "(arbitrage_type)",
    "create_arbitrage_execution": "(opportunity)",
    "update_arbitrage_execution": "(execution_id, result)",
    "get_execution_history": "(limit=100)",
    "insert_dex_price": "(price)",
    "get_latest_dex_prices": "(pair)",
    "insert_flash_loan_opportunity": "(opportunity)",
    "get_flash_loan_opportunities": "(protocol=None, limit=100)",
    "insert_triangular_opportunity": "(opportunity)",
    "get_triangular_opportunities": "(exchange=None, limit=100)",
    "insert_gas_price": "(gas_price)",
    "get_latest_gas_price": "(chain)",
    "get_arbitrage_stats": "(hours_back=24)",
}
FIELDS = {
    "DEXPrice": "pair dex chain price liquidity reserve0 reserve1 timestamp",
    "ArbitrageOpportunity": (
        "id pair buy_venue sell_venue buy_price sell_price profit_percent estimated_profit_usd trade_amount gas_cost"
        " arbitrage_type timestamp executed execution_id"
    ),
    "ArbitrageExecution": (
        "id opportunity_id execution_type start_time end_time status transactions actual_profit_usd gas_used"
        " error_message"
    ),
    "FlashLoanOpportunity": (
        "id protocol token amount fee_percent arbitrage_path estimated_profit gas_estimate timestamp"
    ),
    "TriangularArbitrageOpportunity": (
        "id exchange chain path prices profit_percent estimated_profit_usd base_amount timestamp"
    ),
    "GasPrice": "chain standard_gwei fast_gwei instant_gwei timestamp",
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_the_method_is_a_coroutine_with_the_older_names_order_and_defaults(name: str) -> None:
    method = getattr(Database, name)
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in list(inspect.signature(method).parameters.values())[1:]
    ]
    assert inspect.iscoroutinefunction(method)
    assert str(inspect.Signature(bare)) == SIGNATURES[name]


@pytest.mark.parametrize("name", FIELDS)
def test_the_models_have_the_older_fields(name: str) -> None:
    assert list(getattr(models, name).model_fields) == FIELDS[name].split()


def test_the_wrapper_hands_on_the_same_ready_and_unconnected_instance() -> None:
    assert database_wrapper.database is module.database
    assert database_wrapper.Database is Database
    with pytest.raises(RuntimeError, match=r"call connect\(\) first"):
        module.database._db  # noqa: B018
