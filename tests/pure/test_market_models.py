"""The older models and settings of market data: fields, defaults and what they refuse."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from mastertrade.market_data_service.config import MarketDataSettings
from mastertrade.market_data_service.models import (
    IndicatorCalculationResult,
    IndicatorConfigurationDB,
    IndicatorType,
    MarketData,
    OrderBookData,
    SymbolTracking,
    TradeData,
)
from mastertrade.shared.config import load_settings
from mastertrade.shared.errors import ConfigurationError

FIELDS: dict[type[BaseModel], str] = {
    MarketData: """symbol timestamp open_price high_price low_price close_price volume quote_volume trades_count
        interval""",
    TradeData: "symbol timestamp price quantity is_buyer_maker",
    OrderBookData: "symbol timestamp bids asks",
    SymbolTracking: """id symbol base_asset quote_asset tracking asset_type exchange priority intervals created_at
        updated_at notes""",
    IndicatorConfigurationDB: """id strategy_id indicator_type symbol interval parameters output_fields periods_required
        active priority cache_duration_minutes update_frequency_seconds continuous_calculation publish_to_rabbitmq
        rabbitmq_routing_key created_at updated_at last_calculated calculation_count avg_calculation_time_ms last_error
        error_count strategy_name strategy_version notes""",
    IndicatorCalculationResult: """id configuration_id symbol interval timestamp values calculation_time_ms
        data_points_used cache_hit data_quality_score confidence_score metadata""",
}


@pytest.mark.parametrize("model", FIELDS)
def test_a_model_has_the_fields_of_the_older_one(model: type[BaseModel]) -> None:
    assert list(model.model_fields) == FIELDS[model].split()


def candle(**changes: Any) -> dict[str, Any]:
    prices = dict.fromkeys(("open_price", "high_price", "low_price", "close_price"), 1.0)
    return {"symbol": "BTCUSDC", "timestamp": "2025-10-30T09:00:00", **prices, "volume": 0.0, **changes}


@pytest.mark.parametrize(
    "time", ["2025-10-30T09:00:00Z", "2025-10-30T10:00:00+01:00", "2025-10-30 09:00", 1_761_814_800]
)
def test_times_are_taken_in_every_older_spelling(time: Any) -> None:
    assert MarketData.model_validate(candle(timestamp=time)).timestamp == datetime(2025, 10, 30, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    "changes", [{"open_price": 0}, {"volume": -1}, {"close_price": "nan"}, {"trades_count": -1}, {"timestamp": "soon"}]
)
def test_numbers_that_no_candle_has_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MarketData.model_validate(candle(**changes))


def test_defaults_are_those_of_the_older_system() -> None:
    tracking = SymbolTracking(id="BTCUSDC", symbol="BTCUSDC", base_asset="BTC", quote_asset="USDC")
    assert (tracking.tracking, tracking.exchange, tracking.priority) == (True, "binance", 1)
    assert tracking.intervals == ["1m", "5m", "15m", "1h", "4h", "1d"]
    indicator = IndicatorConfigurationDB(
        id="x", strategy_id="s", indicator_type=IndicatorType.RSI, symbol="BTCUSDC", interval="1m", periods_required=14
    )
    assert (indicator.active, indicator.update_frequency_seconds, indicator.strategy_version) == (True, 60, "1.0")


def test_settings_keep_the_older_names_and_defaults() -> None:
    (settings,) = load_settings(MarketDataSettings, environ={})
    assert len(settings.default_symbols) == 15
    assert (settings.historical_data_days, settings.historical_batch_size) == (365, 1_000)
    (settings,) = load_settings(
        MarketDataSettings, environ={"DEFAULT_SYMBOLS": "BTCUSDT,ETHUSDT", "HISTORICAL_INTERVALS": "1m,1h"}
    )
    assert settings.default_symbols == ("BTCUSDT", "ETHUSDT")
    assert settings.historical_intervals == ("1m", "1h")
    with pytest.raises(ConfigurationError, match="HISTORICAL_INTERVALS"):
        load_settings(MarketDataSettings, environ={"HISTORICAL_INTERVALS": "1m,7m"})
