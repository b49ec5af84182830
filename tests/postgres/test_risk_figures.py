"""The older API's figures of markets and of the portfolio."""

from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest

from mastertrade.risk_manager.database import RiskManagementDatabase
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.test_portfolio_meter import DAYS, NOW, an_account


async def opened(database: PostgresManager) -> RiskManagementDatabase:
    await an_account(database)
    return RiskManagementDatabase(database, clock=ReplayClock(NOW))


async def closes(database: PostgresManager, symbol: str) -> np.ndarray:
    rows = await database.fetch(
        "SELECT c.close FROM candles c JOIN instruments i ON i.id = c.instrument_id WHERE i.symbol = $1"
        " ORDER BY c.open_time", symbol,
    )  # fmt: skip
    return np.array([row["close"] for row in rows])


async def test_volatility_is_measured_once_a_day_and_an_unknown_market_is_wild(database: PostgresManager) -> None:
    risk = await opened(database)
    prices = (await closes(database, "BTC/USDT"))[-21:]
    measured = float(np.std(prices[1:] / prices[:-1] - 1.0, ddof=1))
    assert await risk.get_symbol_volatility("BTCUSDT") == pytest.approx(measured)
    await database.execute("UPDATE symbol_volatility_cache SET volatility = 0.5")
    assert await risk.get_symbol_volatility("BTC/USDT") == 0.5, "within a day it is the one kept"
    await database.execute("UPDATE symbol_volatility_cache SET refreshed_at = $1", NOW - timedelta(hours=25))
    assert await risk.get_symbol_volatility("BTCUSDT") == pytest.approx(measured)
    assert await risk.get_market_volatility() == pytest.approx(measured * 365**0.5)
    assert await risk.get_symbol_volatility("NONEUSDT") == 0.05
    assert len(await risk.get_recent_market_returns(10)) == 10
    assert len(await risk.get_recent_market_returns(1000)) == DAYS - 1


async def test_liquidity_is_what_was_traded_and_an_unknown_market_is_thin(database: PostgresManager) -> None:
    risk = await opened(database)
    last = (await closes(database, "ETH/USDT"))[-1]
    assert await risk.get_symbol_liquidity("ETHUSDT") == pytest.approx(last), "one ether was traded that day"
    await database.execute("UPDATE symbol_liquidity_cache SET liquidity_score = 7")
    assert await risk.get_symbol_liquidity("ETHUSDT") == 7.0
    assert await risk.get_symbol_liquidity("NONEUSDT") == 100_000.0


async def test_exposure_and_balances_are_sums_of_what_there_is(database: PostgresManager) -> None:
    risk = await opened(database)
    assert await risk.get_portfolio_exposure() == {"total_value_usd": 0.0, "by_symbol": {}, "by_asset_class": {}}
    for id, symbol, price in (("a", "BTCUSDT", 100.0), ("b", "BTCUSDT", 200.0), ("c", "SOLUSDT", 50.0)):
        await risk.create_position(
            {"id": id, "symbol": symbol, "side": "BUY", "quantity": 2, "entry_price": price, "unrealized_pnl": 1}
        )
    assert await risk.get_portfolio_exposure() == {
        "total_value_usd": 700.0,
        "by_symbol": {"BTCUSDT": 600.0, "SOLUSDT": 100.0},
        "by_asset_class": {"CRYPTO": 600.0, "LAYER1": 100.0},
    }
    await risk.close_position("c", 12.5)
    balance = await risk.get_account_balance()
    assert balance["available_balance_usd"] == 6_000.0
    assert balance["reserved_balance_usd"] == 1_000.0
    assert balance["total_balance_usd"] == 7_600.0
    assert balance["realized_pnl"] == 12.5
    assert set(balance) == {
        "total_balance_usd", "available_balance_usd", "reserved_balance_usd", "unrealized_pnl", "realized_pnl",
        "margin_used", "margin_available",
    }  # fmt: skip


async def test_correlations_are_recomputed_from_candles_and_the_last_of_a_day_wins(database: PostgresManager) -> None:
    risk = await opened(database)
    assert await risk.get_latest_correlation_matrix() == {}
    assert await risk.update_correlation_matrix() is False, "nothing is held"
    for symbol in ("BTCUSDT", "ETHUSDT", "NONEUSDT"):
        await risk.create_position({"id": symbol, "symbol": symbol, "side": "BUY", "quantity": 1, "entry_price": 1})
    assert await risk.update_correlation_matrix() is True
    found = await risk.get_latest_correlation_matrix()
    assert list(found) == ["BTCUSDT_ETHUSDT"]
    btc, eth = (await closes(database, "BTC/USDT"), await closes(database, "ETH/USDT"))
    plain = np.corrcoef(btc[1:] / btc[:-1] - 1, eth[1:] / eth[:-1] - 1)[0, 1]
    assert found["BTCUSDT_ETHUSDT"] == pytest.approx(plain), (
        "two markets have one correlation, there is nothing to shrink"
    )
    await risk.store_correlation_matrix({"A_B": Decimal("0.5")})
    assert await risk.get_latest_correlation_matrix() == {"A_B": 0.5}
    assert await database.fetchval("SELECT count(*) FROM correlation_matrices") == 1


async def test_losses_and_snapshots_are_kept(database: PostgresManager) -> None:
    risk = await opened(database)
    await risk.store_var_calculation({"var_1d": 1.0})
    await risk.store_var_calculation({"var_1d": 2.0})
    await risk.store_var_calculation({"var_1d": 3.0, "method": "monte_carlo", "date": "2023-05-30"})
    rows = await database.fetch('SELECT date, method, "values" FROM var_calculations ORDER BY date')
    assert [(row["date"].day, row["method"], row["values"]["var_1d"]) for row in rows] == [
        (30, "monte_carlo", 3.0),
        (1, "historical_simulation", 2.0),
    ]
    snapshot: dict[str, object] = {"total": Decimal("1.5")}
    assert await risk.store_portfolio_snapshot(snapshot) is True
    assert await risk.store_portfolio_snapshot({**snapshot, "total": 2}) is False
    [row] = await database.fetch("SELECT id, snapshot FROM portfolio_snapshots")
    assert (row["id"], row["snapshot"]["total"]) == (snapshot["id"], 1.5)
