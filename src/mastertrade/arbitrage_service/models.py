"""The arbitrage service's data as the older system's callers pass and get it. Mutable, with floats and text ids."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from mastertrade.shared.serialization import utc_now


class DEXPrice(BaseModel):
    pair: str
    dex: str
    chain: str
    price: float = Field(gt=0, allow_inf_nan=False)
    liquidity: float = Field(ge=0, allow_inf_nan=False)
    reserve0: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    reserve1: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    timestamp: datetime = Field(default_factory=utc_now)


class ArbitrageOpportunity(BaseModel):
    """Venues are dicts: ``{"type": "cex", "exchange": …}`` or ``{"type": "dex", "chain": …, "dex": …}``."""

    id: str | None = None
    pair: str
    buy_venue: dict[str, Any]
    sell_venue: dict[str, Any]
    buy_price: float = Field(gt=0, allow_inf_nan=False)
    sell_price: float = Field(gt=0, allow_inf_nan=False)
    profit_percent: float = Field(ge=0, allow_inf_nan=False)
    estimated_profit_usd: float = Field(allow_inf_nan=False)
    trade_amount: float = Field(gt=0, allow_inf_nan=False)
    gas_cost: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    arbitrage_type: str
    timestamp: datetime = Field(default_factory=utc_now)
    executed: bool = False
    execution_id: str | None = None


class ArbitrageExecution(BaseModel):
    id: str | None = None
    opportunity_id: str
    execution_type: str
    start_time: datetime = Field(default_factory=utc_now)
    end_time: datetime | None = None
    status: Literal["pending", "success", "failed", "partial"] = "pending"
    transactions: list[dict[str, Any]] = Field(default_factory=list)
    actual_profit_usd: float | None = None
    gas_used: float | None = None
    error_message: str | None = None


class FlashLoanOpportunity(BaseModel):
    id: str | None = None
    protocol: str
    token: str
    amount: float = Field(gt=0, allow_inf_nan=False)
    fee_percent: float = Field(ge=0, allow_inf_nan=False)
    arbitrage_path: list[dict[str, Any]] = Field(default_factory=list)
    estimated_profit: float = Field(allow_inf_nan=False)
    gas_estimate: int
    timestamp: datetime = Field(default_factory=utc_now)


class TriangularArbitrageOpportunity(BaseModel):
    id: str | None = None
    exchange: str
    chain: str | None = None
    path: list[str]
    prices: list[float] = Field(default_factory=list)
    profit_percent: float = Field(allow_inf_nan=False)
    estimated_profit_usd: float = Field(allow_inf_nan=False)
    base_amount: float = Field(gt=0, allow_inf_nan=False)
    timestamp: datetime = Field(default_factory=utc_now)


class GasPrice(BaseModel):
    chain: str
    standard_gwei: float = Field(gt=0, allow_inf_nan=False)
    fast_gwei: float = Field(gt=0, allow_inf_nan=False)
    instant_gwei: float = Field(gt=0, allow_inf_nan=False)
    timestamp: datetime = Field(default_factory=utc_now)
