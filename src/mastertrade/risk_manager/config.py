"""Settings of the risk manager; names and defaults of the older system where it had them."""

from decimal import Decimal

from pydantic import Field

from mastertrade.risk_manager.case import Limits
from mastertrade.shared.config import Settings


class RiskSettings(Settings):
    """Percentages are percent of an account's equity; amounts are in its quote asset, which counts as US dollars."""

    default_position_percent: Decimal = Field(Decimal(6), gt=0, le=100, validation_alias="DEFAULT_POSITION_PERCENT")
    """What a signal of full strength asks for. An ordinary one (confidence 60 to 80) asks for 0.8 of it."""
    max_single_position_percent: Decimal = Field(
        Decimal(5), gt=0, le=100, validation_alias="MAX_SINGLE_POSITION_PERCENT"
    )
    """The largest share of equity in one instrument; larger orders are cut to it."""
    max_daily_loss_percent: Decimal = Field(Decimal(5), gt=0, le=100, validation_alias="MAX_DAILY_LOSS_PERCENT")
    """Loss since the start of the UTC day, unrealised included, at which entries stop."""
    max_drawdown_percent: Decimal = Field(Decimal(15), gt=0, le=100, validation_alias="MAX_DRAWDOWN_PERCENT")
    """Loss from the highest equity ever at which entries stop."""
    reserve_balance_percent: Decimal = Field(Decimal(10), ge=0, le=100, validation_alias="RESERVE_BALANCE_PERCENT")
    """The part of equity that stays free of orders."""
    min_position_size_usd: Decimal = Field(Decimal(10), ge=0, validation_alias="MIN_POSITION_SIZE_USD")
    """Entries worth less are not sent."""
    max_position_size_usd: Decimal = Field(Decimal(10_000), gt=0, validation_alias="MAX_POSITION_SIZE_USD")
    """Orders worth more are cut to it."""
    slippage_buffer_percent: Decimal = Field(Decimal("0.5"), ge=0, le=50, validation_alias="SLIPPAGE_BUFFER_PERCENT")
    """Reserved on top of the price of a market buy."""
    max_signal_age_s: float = Field(60.0, gt=0, le=86_400, validation_alias="MAX_SIGNAL_AGE_SECONDS")
    """A signal older than this is refused even if its own deadline is later."""
    max_price_age_s: float = Field(120.0, gt=0, le=86_400, validation_alias="MAX_PRICE_AGE_SECONDS")
    """How old the last price may be for an entry: two one-minute candles."""
    max_clock_skew_s: float = Field(5.0, ge=0, le=300, validation_alias="MAX_CLOCK_SKEW_SECONDS")
    """How far in the future a signal or price may seem to be."""
    approval_valid_s: float = Field(30.0, gt=0, le=3_600, validation_alias="APPROVAL_VALID_SECONDS")
    """How long an approval may be sent; never beyond the signal's own deadline."""

    def limits(self) -> Limits:
        return Limits(
            position_percent=self.default_position_percent,
            max_position_percent=self.max_single_position_percent,
            max_daily_loss_percent=self.max_daily_loss_percent,
            max_drawdown_percent=self.max_drawdown_percent,
            reserve_percent=self.reserve_balance_percent,
            min_notional=self.min_position_size_usd,
            max_notional=self.max_position_size_usd,
            slippage_percent=self.slippage_buffer_percent,
            max_signal_age_s=self.max_signal_age_s,
            max_price_age_s=self.max_price_age_s,
            max_clock_skew_s=self.max_clock_skew_s,
            approval_valid_s=self.approval_valid_s,
        )
