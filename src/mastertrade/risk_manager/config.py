"""Settings of the risk manager; names and defaults of the older system where it had them."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Final

from pydantic import Field

from mastertrade.risk_manager.asset_classes import AssetClass
from mastertrade.risk_manager.limits import KINDS, Limits
from mastertrade.risk_manager.protections import Protections
from mastertrade.risk_manager.sizing_methods import Sizing, SizingMethod
from mastertrade.shared.config import Settings

SETTING_OF: Final = {
    "position_percent": "default_position_percent",
    "risk_per_trade_percent": "default_risk_per_trade",
    "stop_percent": "default_stop_loss_percent",
    "max_position_percent": "max_single_position_percent",
    "max_leverage": "max_leverage_ratio",
    "max_concentration": "max_concentration_hhi",
    "correlation_threshold": "max_correlation_exposure",
    "max_correlated_percent": "max_sector_exposure_percent",
    "max_adjusted_percent": "max_adjusted_exposure_percent",
    "max_value_at_risk_percent": "max_var_percent",
    "var_confidence": "var_confidence_level",
    "breaker_daily_percent": "circuit_breaker_loss_percent",
    "reserve_percent": "reserve_balance_percent",
    "min_notional": "min_position_size_usd",
    "max_notional": "max_position_size_usd",
    "slippage_percent": "slippage_buffer_percent",
}
"""Limits whose setting has the older system's name."""


class RiskSettings(Settings):
    """The limits of the scope ``global`` until a stored one stands instead. Percentages are percent of an account's
    equity; amounts are in its quote asset, which counts as US dollars."""

    default_position_percent: Decimal = Field(Decimal(6), gt=0, le=100, validation_alias="DEFAULT_POSITION_PERCENT")
    """What a signal of full strength asks for. An ordinary one (confidence 60 to 80) asks for 0.8 of it."""
    default_risk_per_trade: Decimal = Field(Decimal(2), gt=0, le=10, validation_alias="DEFAULT_RISK_PER_TRADE")
    """The largest part of equity an entry may lose when its stop is hit, costs included; larger ones are cut to it."""
    default_stop_loss_percent: Decimal = Field(
        Decimal(2), ge=Decimal("0.1"), le=50, validation_alias="DEFAULT_STOP_LOSS_PERCENT"
    )
    """The stop's distance where the market's volatility is not known."""
    adaptive_limits: bool = Field(False, validation_alias="ADAPTIVE_LIMITS")
    """Whether the limits on positions shrink in wild markets; the regime is kept either way."""
    sizing_method: SizingMethod = Field(SizingMethod.FIXED_FRACTION, validation_alias="SIZING_METHOD")
    """How entries are sized, where their strategy does not say otherwise."""
    volatility_target_percent: Decimal = Field(Decimal(20), gt=0, le=1000, validation_alias="VOLATILITY_TARGET_PERCENT")
    """What a position may move in a year, for the method volatility_target."""
    max_single_position_percent: Decimal = Field(
        Decimal(5), gt=0, le=100, validation_alias="MAX_SINGLE_POSITION_PERCENT"
    )
    """The largest share of equity in one asset; larger orders are cut to it."""
    max_class_percent: Decimal = Field(Decimal(80), gt=0, le=1000, validation_alias="MAX_CLASS_PERCENT")
    """Of one class of assets (stable coins, memes, DeFi, layers 1 and 2, all others)."""
    max_stablecoin_percent: Decimal = Field(Decimal(20), gt=0, le=100, validation_alias="MAX_STABLECOIN_PERCENT")
    """Of stable coins other than the account's own currency."""
    max_venue_percent: Decimal = Field(Decimal(100), gt=0, le=100, validation_alias="MAX_VENUE_PERCENT")
    """What one venue may hold of the equity of all accounts, for new entries there."""
    max_exposure_percent: Decimal = Field(Decimal(100), gt=0, le=1000, validation_alias="MAX_EXPOSURE_PERCENT")
    """Of everything that is held and reserved for buying."""
    max_leverage_ratio: Decimal = Field(Decimal(3), gt=0, le=125, validation_alias="MAX_LEVERAGE_RATIO")
    """Exposure over equity."""
    max_concentration_hhi: Decimal = Field(Decimal("0.3"), gt=0, le=1, validation_alias="MAX_CONCENTRATION_HHI")
    """Sum of the squared shares of equity; 0.3 is a single holding of 55 %."""
    max_open_positions: Decimal = Field(Decimal(100), ge=1, le=10000, validation_alias="MAX_OPEN_POSITIONS")
    """Assets held at once."""
    max_correlation_exposure: Decimal = Field(Decimal("0.7"), ge=0, le=1, validation_alias="MAX_CORRELATION_EXPOSURE")
    """From this correlation on, either way, two markets count as one."""
    max_sector_exposure_percent: Decimal = Field(
        Decimal(25), gt=0, le=1000, validation_alias="MAX_SECTOR_EXPOSURE_PERCENT"
    )
    """Of markets that count as one with the ordered one."""
    max_adjusted_exposure_percent: Decimal = Field(
        Decimal(60), gt=0, le=1000, validation_alias="MAX_ADJUSTED_EXPOSURE_PERCENT"
    )
    """Of exposure after correlation: what the holdings are worth in one market that moves as they do."""
    max_var_percent: Decimal = Field(Decimal(10), gt=0, le=100, validation_alias="MAX_VAR_PERCENT")
    """Loss of one day, not exceeded with the confidence, after the trade."""
    var_confidence_level: Decimal = Field(
        Decimal("0.95"), gt=Decimal("0.5"), lt=1, validation_alias="VAR_CONFIDENCE_LEVEL"
    )
    """Of the value at risk."""
    max_daily_loss_percent: Decimal = Field(Decimal(5), gt=0, le=100, validation_alias="MAX_DAILY_LOSS_PERCENT")
    """Loss since the start of the UTC day, unrealised included, at which entries stop."""
    max_weekly_loss_percent: Decimal = Field(Decimal(10), gt=0, le=100, validation_alias="MAX_WEEKLY_LOSS_PERCENT")
    """The same since Monday."""
    max_drawdown_percent: Decimal = Field(Decimal(15), gt=0, le=100, validation_alias="MAX_DRAWDOWN_PERCENT")
    """Loss from the highest equity ever at which entries stop."""
    breaker_warning_percent: Decimal = Field(Decimal(5), gt=0, le=100, validation_alias="BREAKER_WARNING_PERCENT")
    """Drawdown from where on entries are three quarters of their size."""
    breaker_level_1_percent: Decimal = Field(Decimal(10), gt=0, le=100, validation_alias="BREAKER_LEVEL_1_PERCENT")
    """Drawdown from where on entries are halved."""
    breaker_level_2_percent: Decimal = Field(Decimal(15), gt=0, le=100, validation_alias="BREAKER_LEVEL_2_PERCENT")
    """Drawdown from where on there are none."""
    breaker_level_3_percent: Decimal = Field(Decimal(20), gt=0, le=100, validation_alias="BREAKER_LEVEL_3_PERCENT")
    """Drawdown at which everything is sold and the account is halted."""
    circuit_breaker_loss_percent: Decimal = Field(
        Decimal(3), gt=0, le=100, validation_alias="CIRCUIT_BREAKER_LOSS_PERCENT"
    )
    """Loss since the start of the UTC day from where on entries are halved."""
    reserve_balance_percent: Decimal = Field(Decimal(10), ge=0, le=100, validation_alias="RESERVE_BALANCE_PERCENT")
    """The part of equity that stays free of orders."""
    min_position_size_usd: Decimal = Field(Decimal(10), ge=0, validation_alias="MIN_POSITION_SIZE_USD")
    """Entries worth less are not sent."""
    max_position_size_usd: Decimal = Field(Decimal(10_000), gt=0, validation_alias="MAX_POSITION_SIZE_USD")
    """Orders worth more are cut to it."""
    max_volume_percent: Decimal = Field(Decimal(1), gt=0, le=100, validation_alias="MAX_VOLUME_PERCENT")
    """What an order may be of the market's last whole day; larger ones are cut to it."""
    min_liquidation_distance: Decimal = Field(Decimal(3), ge=0, le=1000, validation_alias="MIN_LIQUIDATION_DISTANCE")
    """Average daily ranges between the price and that of liquidation, for perpetuals."""
    max_price_deviation_percent: Decimal = Field(
        Decimal(5), gt=0, le=100, validation_alias="MAX_PRICE_DEVIATION_PERCENT"
    )
    """How far a signal's price may be from the market's."""
    max_price_jump_percent: Decimal = Field(Decimal(20), gt=0, le=100, validation_alias="MAX_PRICE_JUMP_PERCENT")
    """How far the market's price may be from the median of its last five bars; beyond it three bars must confirm it."""
    max_orders_per_second: Decimal = Field(Decimal(50), ge=1, validation_alias="MAX_ORDERS_PER_SECOND")
    """Approved entries of an account."""
    max_orders_per_minute: Decimal = Field(Decimal(200), ge=1, validation_alias="MAX_ORDERS_PER_MINUTE")
    """Approved entries of an account."""
    max_orders_per_day: Decimal = Field(Decimal(5000), ge=1, validation_alias="MAX_ORDERS_PER_DAY")
    """Approved entries of an account in a UTC day."""
    slippage_buffer_percent: Decimal = Field(Decimal("0.5"), ge=0, le=50, validation_alias="SLIPPAGE_BUFFER_PERCENT")
    """Reserved on top of the price of a market buy."""
    max_signal_age_s: Decimal = Field(Decimal(60), gt=0, le=86_400, validation_alias="MAX_SIGNAL_AGE_SECONDS")
    """A signal older than this is refused even if its own deadline is later."""
    max_price_age_s: Decimal = Field(Decimal(120), gt=0, le=86_400, validation_alias="MAX_PRICE_AGE_SECONDS")
    """How old the last price may be for an entry: two one-minute candles."""
    max_clock_skew_s: Decimal = Field(Decimal(5), ge=0, le=300, validation_alias="MAX_CLOCK_SKEW_SECONDS")
    """How far in the future a signal or price may seem to be."""
    approval_valid_s: Decimal = Field(Decimal(30), gt=0, le=3_600, validation_alias="APPROVAL_VALID_SECONDS")
    """How long an approval may be sent; never beyond the signal's own deadline."""
    crypto_max_position_percent: Decimal = Field(
        Decimal(5), gt=0, le=100, validation_alias="CRYPTO_MAX_POSITION_PERCENT"
    )
    stablecoin_max_position_percent: Decimal = Field(
        Decimal(20), gt=0, le=100, validation_alias="STABLECOIN_MAX_POSITION_PERCENT"
    )
    defi_max_position_percent: Decimal = Field(Decimal(3), gt=0, le=100, validation_alias="DEFI_MAX_POSITION_PERCENT")
    """The largest share of equity in one asset of the class; the tighter of it and the one above counts."""
    cooldown_minutes: int = Field(0, ge=0, le=100_000, validation_alias="COOLDOWN_MINUTES")
    """How long a market that was just sold is not bought again; 0 is off."""
    stop_guard_count: int = Field(4, ge=0, le=1000, validation_alias="STOP_GUARD_COUNT")
    """Stopped-out losses of a strategy within the window that lock it; 0 is off."""
    stop_guard_window_minutes: int = Field(1440, ge=1, le=100_000, validation_alias="STOP_GUARD_WINDOW_MINUTES")
    stop_guard_lock_minutes: int = Field(240, ge=1, le=100_000, validation_alias="STOP_GUARD_LOCK_MINUTES")
    low_profit_trades: int = Field(20, ge=0, le=1000, validation_alias="LOW_PROFIT_TRADES")
    """So many trades of a strategy in a market are looked at; 0 is off."""
    low_profit_percent: Decimal = Field(Decimal("-0.5"), ge=-100, le=100, validation_alias="LOW_PROFIT_PERCENT")
    """A mean result below locks the market."""
    low_profit_lock_minutes: int = Field(1440, ge=1, le=100_000, validation_alias="LOW_PROFIT_LOCK_MINUTES")
    max_consecutive_losses: int = Field(5, ge=0, le=1000, validation_alias="MAX_CONSECUTIVE_LOSSES")
    """Losing trades of a strategy in a row that lock it; 0 is off."""
    consecutive_losses_lock_minutes: int = Field(
        1440, ge=1, le=100_000, validation_alias="CONSECUTIVE_LOSSES_LOCK_MINUTES"
    )
    drawdown_lock_percent: Decimal = Field(Decimal(15), ge=0, le=100, validation_alias="DRAWDOWN_LOCK_PERCENT")
    """A drawdown, open positions included, that locks the account; 0 is off."""
    drawdown_lock_minutes: int = Field(1440, ge=1, le=100_000, validation_alias="DRAWDOWN_LOCK_MINUTES")
    volatility_lock_factor: Decimal = Field(Decimal(3), ge=0, le=100, validation_alias="VOLATILITY_LOCK_FACTOR")
    """Times its usual volatility at which a market is locked, if above HIGH_VOLATILITY_THRESHOLD; 0 is off."""
    volatility_lock_minutes: int = Field(60, ge=1, le=100_000, validation_alias="VOLATILITY_LOCK_MINUTES")
    spread_lock_percent: Decimal = Field(Decimal(1), ge=0, le=100, validation_alias="SPREAD_LOCK_PERCENT")
    """Between recorded bid and ask, above which a market is locked; 0 is off."""
    spread_lock_minutes: int = Field(5, ge=1, le=100_000, validation_alias="SPREAD_LOCK_MINUTES")
    stale_data_minutes: int = Field(10, ge=0, le=100_000, validation_alias="STALE_DATA_MINUTES")
    """A market without a candle for so long is locked until it has one again; 0 is off."""
    reject_storm_count: int = Field(5, ge=0, le=1000, validation_alias="REJECT_STORM_COUNT")
    """Rejected orders of an account within a minute that lock it; 0 is off."""
    reject_storm_lock_minutes: int = Field(15, ge=1, le=100_000, validation_alias="REJECT_STORM_LOCK_MINUTES")
    clock_skew_lock_s: int = Field(5, ge=0, le=3600, validation_alias="CLOCK_SKEW_LOCK_SECONDS")
    """A candle that closes later than our clock says by more locks everything; 0 is off."""
    clock_skew_lock_minutes: int = Field(10, ge=1, le=100_000, validation_alias="CLOCK_SKEW_LOCK_MINUTES")
    portfolio_check_interval_s: int = Field(300, ge=60, le=86_400, validation_alias="PORTFOLIO_CHECK_INTERVAL")
    """How often accounts are looked at, in seconds of the market's time."""
    high_volatility_threshold: Decimal = Field(
        Decimal("0.05"), gt=0, le=1, validation_alias="HIGH_VOLATILITY_THRESHOLD"
    )
    """A day's volatility below this is no spike, whatever it was before; a fraction."""
    volatility_lookback_days: int = Field(20, ge=5, le=365, validation_alias="VOLATILITY_LOOKBACK_DAYS")
    """What is usual for a market, in days."""
    var_lookback_days: int = Field(252, ge=20, le=3650, validation_alias="VAR_LOOKBACK_DAYS")
    """Daily returns that volatilities and correlations are measured over."""

    def limits(self) -> Limits:
        return Limits(**{name: getattr(self, SETTING_OF.get(name, name)) for name in KINDS})

    def sizing(self) -> Sizing:
        return Sizing(
            method=self.sizing_method,
            volatility_target=float(self.volatility_target_percent) / 100,
            wild=float(self.high_volatility_threshold),
        )

    def protections(self) -> Protections:
        def minutes(number: int) -> timedelta:
            return timedelta(minutes=number)

        return Protections(
            cooldown=minutes(self.cooldown_minutes),
            stop_count=self.stop_guard_count,
            stop_window=minutes(self.stop_guard_window_minutes),
            stop_lock=minutes(self.stop_guard_lock_minutes),
            low_profit_trades=self.low_profit_trades,
            low_profit_percent=self.low_profit_percent,
            low_profit_lock=minutes(self.low_profit_lock_minutes),
            losses_in_a_row=self.max_consecutive_losses,
            losses_lock=minutes(self.consecutive_losses_lock_minutes),
            drawdown_percent=self.drawdown_lock_percent,
            drawdown_lock=minutes(self.drawdown_lock_minutes),
            volatility_factor=self.volatility_lock_factor,
            volatility_lock=minutes(self.volatility_lock_minutes),
            spread_percent=self.spread_lock_percent,
            spread_lock=minutes(self.spread_lock_minutes),
            stale_after=minutes(self.stale_data_minutes),
            rejects=self.reject_storm_count,
            rejects_lock=minutes(self.reject_storm_lock_minutes),
            skew=timedelta(seconds=self.clock_skew_lock_s),
            skew_lock=minutes(self.clock_skew_lock_minutes),
        )

    def class_limits(self) -> Mapping[AssetClass, Mapping[str, Decimal]]:
        """Of classes that have numbers of their own."""
        return {
            AssetClass.CRYPTO: {"max_position_percent": self.crypto_max_position_percent},
            AssetClass.STABLECOIN: {"max_position_percent": self.stablecoin_max_position_percent},
            AssetClass.DEFI: {"max_position_percent": self.defi_max_position_percent},
        }
