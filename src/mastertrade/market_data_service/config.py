"""Settings of market data; names and defaults of the older system."""

from pydantic import Field, field_validator

from mastertrade.market_data_service.intervals import interval_seconds
from mastertrade.shared.config import Settings

DEFAULT_BASES = (
    "BTC",
    "ETH",
    "ADA",
    "SOL",
    "DOT",
    "LINK",
    "AVAX",
    "MATIC",
    "ATOM",
    "LTC",
    "BNB",
    "XRP",
    "UNI",
    "AAVE",
    "SUSHI",
)


class MarketDataSettings(Settings):
    default_symbols: tuple[str, ...] = Field(
        tuple(f"{base}USDC" for base in DEFAULT_BASES), min_length=1, validation_alias="DEFAULT_SYMBOLS"
    )
    """Symbols that are followed from the beginning, in the older spelling."""
    default_exchange: str = Field("binance", min_length=1, validation_alias="DEFAULT_EXCHANGE")
    """The venue meant by the older API, which names none."""
    historical_data_days: int = Field(365, ge=1, le=10_000, validation_alias="HISTORICAL_DATA_DAYS")
    historical_intervals: tuple[str, ...] = Field(
        ("1m", "5m", "15m", "1h", "4h", "1d"), min_length=1, validation_alias="HISTORICAL_INTERVALS"
    )
    historical_batch_size: int = Field(1_000, ge=1, le=50_000, validation_alias="HISTORICAL_BATCH_SIZE")
    ws_reconnect_interval_s: float = Field(5.0, ge=0.1, le=600, validation_alias="WS_RECONNECT_INTERVAL")
    ws_max_reconnect_attempts: int = Field(10, ge=0, le=1_000, validation_alias="WS_MAX_RECONNECT_ATTEMPTS")
    trade_ttl_s: int = Field(7 * 86_400, ge=60, validation_alias="TRADE_TTL_SECONDS")
    """How long single trades are kept."""
    order_book_ttl_s: int = Field(3_600, ge=60, validation_alias="ORDER_BOOK_TTL_SECONDS")
    """How long order book snapshots are kept."""
    document_ttl_s: int = Field(30 * 86_400, ge=60, validation_alias="TTL_SECONDS")
    """How long sentiment is kept. Candles are kept as retention policies say."""
    indicator_ttl_s: int = Field(7 * 86_400, ge=60, validation_alias="INDICATOR_TTL_SECONDS")
    """How long calculated indicator values are kept."""
    cleanup_interval_s: float = Field(3_600.0, ge=1, le=86_400, validation_alias="CLEANUP_INTERVAL_SECONDS")
    """Seconds between two looks for expired documents."""
    retry_for_s: float = Field(60.0, ge=0, le=3_600, validation_alias="MARKET_RETRY_SECONDS")
    """How long playing is tried again after the database was lost, before it is given up."""

    @field_validator("historical_intervals")
    @classmethod
    def _intervals_are_known(cls, intervals: tuple[str, ...]) -> tuple[str, ...]:
        for interval in intervals:
            interval_seconds(interval)
        return intervals
