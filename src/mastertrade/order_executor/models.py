"""The order executor's data as the older system's callers pass and get it. Mutable, with floats and text ids."""

from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID, uuid4

from pydantic import BaseModel, Field, model_validator

from mastertrade.domain.orders import Environment
from mastertrade.shared.serialization import utc_now

StrategyId = str | UUID | int


class OrderRequest(BaseModel):
    """What an older caller wants recorded. The same ``client_order_id`` twice is one order."""

    client_order_id: str = Field(default_factory=lambda: str(uuid4()), min_length=1)
    strategy_id: StrategyId
    symbol: str
    side: Literal["BUY", "SELL"]
    order_type: Literal["MARKET", "LIMIT", "STOP_LOSS", "TAKE_PROFIT"] = "MARKET"
    quantity: float = Field(gt=0, allow_inf_nan=False)
    price: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    stop_price: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    signal_id: StrategyId | None = None
    environment: str = Environment.PAPER.value
    metadata: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _limit_has_a_price(self) -> Self:
        if self.order_type == "LIMIT" and self.price is None:
            raise ValueError("a LIMIT order needs a price")
        return self


class Order(BaseModel):
    """``status`` is one an older reader knows: NEW while the order may still trade and nothing is filled."""

    id: UUID
    strategy_id: str | None
    symbol: str
    signal_id: str | None = None
    exchange_order_id: str | None = None
    client_order_id: str
    order_type: str
    side: str
    quantity: float
    price: float | None = None
    stop_price: float | None = None
    status: str = "NEW"
    filled_quantity: float = 0
    avg_fill_price: float | None = None
    commission: float = 0
    commission_asset: str | None = None
    environment: str
    order_time: datetime
    update_time: datetime | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)


class Trade(BaseModel):
    """One execution as the exchange reports it; a commission without an asset is in the quote asset."""

    id: str | UUID | None = None
    order_id: UUID
    exchange_trade_id: str = Field(min_length=1)
    symbol: str
    side: Literal["BUY", "SELL"]
    quantity: float = Field(gt=0, allow_inf_nan=False)
    price: float = Field(gt=0, allow_inf_nan=False)
    commission: float = Field(default=0, allow_inf_nan=False)
    commission_asset: str | None = None
    is_maker: bool = False
    trade_time: datetime = Field(default_factory=utc_now)


class StrategyEnvironmentConfig(BaseModel):
    """Where and within which limits a strategy trades; ``max_position_size`` is in base units per order."""

    strategy_id: str
    environment: str
    max_position_size: float | None = None
    max_daily_trades: int | None = None
    risk_multiplier: float = 1.0
    enabled: bool = True
    metadata: dict[str, Any] = Field(default_factory=dict)
    created_at: datetime
    updated_at: datetime


class Position(BaseModel):
    symbol: str
    strategy_id: str
    quantity: float
    avg_entry_price: float | None = None
    unrealized_pnl: float = 0
    realized_pnl: float = 0
    is_long: bool = True
    entry_time: datetime | None = None
    exit_time: datetime | None = None
