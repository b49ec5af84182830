"""Settings of the arbitrage service; names and defaults of the older system."""

from decimal import Decimal

from pydantic import Field

from mastertrade.arbitrage_service.detectors import ArbitrageLimits
from mastertrade.shared.config import Settings

QUOTE_INTERVALS = 3
"""A price is too old once this many of its update intervals have passed."""


class ArbitrageSettings(Settings):
    min_profit_percent: Decimal = Field(Decimal("0.5"), ge=0, le=100, validation_alias="MIN_ARBITRAGE_PROFIT_PERCENT")
    """Percent of the bought amount that must be left after both fees."""
    min_profit_usd: Decimal = Field(Decimal(10), ge=0, validation_alias="MIN_ARBITRAGE_PROFIT_USD")
    """Dollars that must be left after both fees."""
    max_trade_amount_usd: Decimal = Field(Decimal(10_000), gt=0, validation_alias="MAX_TRADE_AMOUNT_USD")
    """The most one opportunity may buy."""
    price_update_interval_s: float = Field(5.0, gt=0, le=3600, validation_alias="CEX_PRICE_UPDATE_INTERVAL")
    """Seconds in which a venue's prices are expected to be renewed; older than three of them is too old."""

    @property
    def limits(self) -> ArbitrageLimits:
        return ArbitrageLimits(
            min_net_percent=self.min_profit_percent,
            min_net_profit_usd=self.min_profit_usd,
            max_trade_amount_usd=self.max_trade_amount_usd,
            max_quote_age_s=QUOTE_INTERVALS * self.price_update_interval_s,
        )
