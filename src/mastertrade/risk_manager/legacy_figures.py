"""The older API's figures of markets and of the portfolio: volatility, liquidity, correlations, exposure, balances."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import numpy as np

from mastertrade.domain.market import legacy_symbol
from mastertrade.quant.bars import FloatArray
from mastertrade.quant.risk.covariance import shrink_to_constant_correlation
from mastertrade.risk_manager.asset_classes import asset_class
from mastertrade.risk_manager.legacy import stored_symbol
from mastertrade.shared.owned_database import OwnedDatabase
from mastertrade.shared.postgres_manager import Row
from mastertrade.shared.queries import load_queries
from mastertrade.shared.serialization import parse_datetime, to_serializable

QUERIES = load_queries(Path(__file__).with_name("legacy_figures.sql"))
HIGH_VOLATILITY: Final = 0.05
LOW_LIQUIDITY: Final = 100_000.0
"""What an unknown market counts as: wild and thin."""
FEWEST_RETURNS: Final = 5
LOOKBACK_DAYS: Final = 252
REFERENCE: Final = "BTC/USDT"
"""The symbol that stands for the market."""
DAYS_A_YEAR: Final = 365


class LegacyFigures(OwnedDatabase):
    """Reads are as of the newest candle of a market, which may lie in the past of the clock."""

    async def get_symbol_volatility(self, symbol: str, days: int = 20) -> float:
        """A day's, as a fraction, over the last ``days`` daily returns. Kept for 24 hours. A market with fewer than
        five returns counts as wild: 0.05."""
        name, now = stored_symbol(symbol), self._clock.now()
        cached: float | None = await QUERIES.fetchval(self._db, "cached_volatility", symbol=name, days=days, now=now)
        if cached is not None:
            return cached
        returns = await self._returns(name, days)
        if len(returns) < FEWEST_RETURNS:
            return HIGH_VOLATILITY
        volatility = float(np.std(returns, ddof=1))
        await QUERIES.execute(self._db, "cache_volatility", symbol=name, days=days, volatility=volatility, now=now)
        return volatility

    async def get_symbol_liquidity(self, symbol: str) -> float:
        """What was traded in quote in the last 24 hours of its candles. Kept for 24 hours; an unknown market counts as
        thin: 100,000."""
        name, now = stored_symbol(symbol), self._clock.now()
        cached: float | None = await QUERIES.fetchval(self._db, "cached_liquidity", symbol=name, now=now)
        if cached is not None:
            return cached
        market = await QUERIES.fetchrow(self._db, "newest_market", symbol=name)
        volume: float | None = None
        if market is not None:
            volume = await QUERIES.fetchval(
                self._db, "traded_volume", instrument_id=market["id"], last=market["last_close_time"]
            )
        if volume is None:
            return LOW_LIQUIDITY
        await QUERIES.execute(self._db, "cache_liquidity", symbol=name, volume=round(volume, 8), now=now)
        return volume

    async def get_recent_market_returns(self, days: int = 30) -> list[float]:
        """Daily returns of bitcoin, oldest first."""
        return [float(one) for one in await self._returns(REFERENCE, days)]

    async def get_market_volatility(self) -> float:
        """Of bitcoin, for a year."""
        return float(await self.get_symbol_volatility(REFERENCE) * np.sqrt(DAYS_A_YEAR))

    # --- the portfolio ---

    async def get_portfolio_exposure(self) -> dict[str, Any]:
        """``{total_value_usd, by_symbol, by_asset_class}`` of the open positions."""
        rows = await QUERIES.fetch(self._db, "open_exposure")
        by_class: dict[str, float] = {}
        for row in rows:
            name = str(asset_class(row["symbol"].partition("/")[0]))
            by_class[name] = by_class.get(name, 0.0) + row["value"]
        return {
            "total_value_usd": sum((row["value"] for row in rows), start=0.0),
            "by_symbol": {legacy_symbol(row["symbol"]): row["value"] for row in rows},
            "by_asset_class": by_class,
        }

    async def get_account_balance(self) -> dict[str, float]:
        """All accounts together. Spot: what positions are worth is their margin."""
        row = await QUERIES.fetchrow(self._db, "balances_and_profits")
        assert row is not None, "sums are always one row"
        return {
            "total_balance_usd": row["free"] + row["reserved"] + row["held"],
            "available_balance_usd": row["free"],
            "reserved_balance_usd": row["reserved"],
            "unrealized_pnl": row["unrealized"],
            "realized_pnl": row["realized"],
            "margin_used": row["held"],
            "margin_available": row["free"],
        }

    async def store_portfolio_snapshot(self, snapshot_data: dict[str, Any]) -> bool:
        """False when a snapshot of this id exists; a missing id is generated and filled in on the argument."""
        snapshot_data.setdefault("id", str(uuid4()))
        given = snapshot_data.get("timestamp")
        done = await QUERIES.execute(
            self._db,
            "store_snapshot",
            id=str(snapshot_data["id"]),
            at=parse_datetime(given) if given else self._clock.now(),
            snapshot=to_serializable(snapshot_data),
        )
        return not done.endswith(" 0")

    # --- joint movement and losses ---

    async def store_correlation_matrix(self, correlation_data: dict[str, Any]) -> bool:
        """Of a pair under ``A_B``; readers try both orders. One matrix per UTC date, the last one wins."""
        await QUERIES.execute(
            self._db, "store_correlations", at=self._clock.now(), correlations=to_serializable(correlation_data)
        )
        return True

    async def get_latest_correlation_matrix(self) -> dict[str, float]:
        found: dict[str, float] | None = await QUERIES.fetchval(self._db, "latest_correlations")
        return found or {}

    async def update_correlation_matrix(self) -> bool:
        """Of the markets of all open positions, shrunk, over the days they have in common. False where no two of them
        have enough."""
        rows = await QUERIES.fetch(self._db, "open_exposure")
        closes = {row["symbol"]: await self._closes(row["symbol"], LOOKBACK_DAYS) for row in rows}
        names = [name for name, found in closes.items() if len(found) > FEWEST_RETURNS]
        if len(names) < 2:
            return False
        days = sorted(set.intersection(*({row["day"] for row in closes[name]} for name in names)))
        if len(days) <= FEWEST_RETURNS:
            return False
        table = np.column_stack([_on(closes[name], days) for name in names])
        found = shrink_to_constant_correlation(table[1:] / table[:-1] - 1.0).correlation
        pairs = combinations(range(len(names)), 2)
        return await self.store_correlation_matrix(
            {f"{legacy_symbol(names[i])}_{legacy_symbol(names[j])}": float(found[i, j]) for i, j in pairs}
        )

    async def store_var_calculation(self, var_data: dict[str, Any]) -> bool:
        """One row per UTC date and method, the last one wins."""
        values: Mapping[str, Any] = to_serializable(var_data)
        given = var_data.get("date") or var_data.get("timestamp")
        await QUERIES.execute(
            self._db,
            "store_var",
            date=parse_datetime(given).date() if given else None,
            at=self._clock.now(),
            method=str(var_data.get("method") or "historical_simulation"),
            values=values,
        )
        return True

    async def _returns(self, symbol: str, days: int) -> FloatArray:
        closes = np.array([row["close"] for row in await self._closes(symbol, days)])
        return closes[1:] / closes[:-1] - 1.0 if len(closes) > 1 else np.zeros(0)

    async def _closes(self, symbol: str, days: int) -> Sequence[Row]:
        market = await QUERIES.fetchrow(self._db, "newest_market", symbol=symbol)
        if market is None:
            return []
        return await QUERIES.fetch(
            self._db, "daily_closes", instrument_id=market["id"], last=market["last_close_time"], days=max(days, 0)
        )


def _on(closes: Sequence[Row], days: Sequence[Any]) -> list[float]:
    by_day = {row["day"]: row["close"] for row in closes}
    return [by_day[day] for day in days]
