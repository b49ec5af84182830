"""The older API's models of market data."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import uuid4

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from mastertrade.shared.serialization import parse_datetime, utc_now

Moment = Annotated[datetime, BeforeValidator(parse_datetime)]
"""A time in any of the older spellings: datetime, ISO text with or without zone, epoch seconds."""


class IndicatorType(StrEnum):
    SMA = "sma"
    EMA = "ema"
    RSI = "rsi"
    MACD = "macd"
    BOLLINGER_BANDS = "bollinger_bands"
    STOCHASTIC = "stochastic"
    WILLIAMS_R = "williams_r"
    CCI = "cci"
    ATR = "atr"
    MOMENTUM = "momentum"
    ROC = "roc"
    CUSTOM = "custom"


class LegacyModel(BaseModel):
    """Fields beyond the named ones are kept: a document of the older system loses nothing."""

    model_config = ConfigDict(extra="allow", populate_by_name=True, allow_inf_nan=False)


class MarketData(LegacyModel):
    """A closed candle. The exchange's own names and numbers as text are understood too."""

    symbol: str = Field(min_length=1)
    timestamp: Moment
    open_price: float = Field(gt=0, validation_alias=AliasChoices("open_price", "open"))
    high_price: float = Field(gt=0, validation_alias=AliasChoices("high_price", "high"))
    low_price: float = Field(gt=0, validation_alias=AliasChoices("low_price", "low"))
    close_price: float = Field(gt=0, validation_alias=AliasChoices("close_price", "close"))
    volume: float = Field(ge=0)
    quote_volume: float = Field(0.0, ge=0, validation_alias=AliasChoices("quote_volume", "quote_asset_volume"))
    trades_count: int = Field(0, ge=0, validation_alias=AliasChoices("trades_count", "number_of_trades"))
    interval: str = "1m"


class TradeData(LegacyModel):
    symbol: str = Field(min_length=1)
    timestamp: Moment
    price: float = Field(gt=0)
    quantity: float = Field(gt=0)
    is_buyer_maker: bool


class OrderBookData(LegacyModel):
    """``bids`` and ``asks`` are pairs of price and quantity as text, best first."""

    symbol: str = Field(min_length=1)
    timestamp: Moment
    bids: list[list[str]]
    asks: list[list[str]]


class SymbolTracking(LegacyModel):
    id: str
    symbol: str
    base_asset: str
    quote_asset: str
    tracking: bool = True
    asset_type: str = "crypto"
    exchange: str = "binance"
    priority: int = 1
    intervals: list[str] = Field(default_factory=lambda: ["1m", "5m", "15m", "1h", "4h", "1d"])
    created_at: Moment = Field(default_factory=utc_now)
    updated_at: Moment = Field(default_factory=utc_now)
    notes: str = ""


class IndicatorConfigurationDB(LegacyModel):
    id: str
    strategy_id: str
    indicator_type: str
    symbol: str
    interval: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    output_fields: list[str] = Field(default_factory=list)
    periods_required: int
    active: bool = True
    priority: int = 1
    cache_duration_minutes: int = 5
    update_frequency_seconds: int = 60
    continuous_calculation: bool = True
    publish_to_rabbitmq: bool = True
    rabbitmq_routing_key: str = ""
    created_at: Moment = Field(default_factory=utc_now)
    updated_at: Moment = Field(default_factory=utc_now)
    last_calculated: Moment | None = None
    calculation_count: int = 0
    avg_calculation_time_ms: float = 0.0
    last_error: str = ""
    error_count: int = 0
    strategy_name: str = ""
    strategy_version: str = "1.0"
    notes: str = ""


class IndicatorCalculationResult(LegacyModel):
    id: str = Field(default_factory=lambda: str(uuid4()))
    configuration_id: str
    symbol: str
    interval: str
    timestamp: Moment
    values: dict[str, float]
    calculation_time_ms: float
    data_points_used: int
    cache_hit: bool = False
    data_quality_score: float = 1.0
    confidence_score: float = 1.0
    metadata: dict[str, Any] = Field(default_factory=dict)
