"""The older system's mutable risk models: stop-losses, alerts and metrics as its callers build and read them."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from mastertrade.domain.risk import RiskLevel

AlertSeverity = RiskLevel


class AlertType(StrEnum):
    EXPOSURE_LIMIT = "exposure_limit"
    CORRELATION_BREACH = "correlation_breach"
    VAR_EXCEEDED = "var_exceeded"
    DRAWDOWN_WARNING = "drawdown_warning"
    CONCENTRATION_RISK = "concentration_risk"
    LIQUIDITY_RISK = "liquidity_risk"
    VOLATILITY_SPIKE = "volatility_spike"


class StopLossType(StrEnum):
    FIXED = "fixed"
    TRAILING = "trailing"
    VOLATILITY_BASED = "volatility_based"
    ATR_BASED = "atr_based"
    SUPPORT_RESISTANCE = "support_resistance"


class StopLossStatus(StrEnum):
    ACTIVE = "active"
    TRIGGERED = "triggered"
    CANCELLED = "cancelled"
    MODIFIED = "modified"
    EXPIRED = "expired"


SEVERITY_ALIASES = {"warning": RiskLevel.MEDIUM, "error": RiskLevel.HIGH, "info": RiskLevel.LOW}
ALERT_ALIASES = {
    "leverage": AlertType.EXPOSURE_LIMIT,
    "exposure": AlertType.EXPOSURE_LIMIT,
    "position": AlertType.EXPOSURE_LIMIT,
    "var": AlertType.VAR_EXCEEDED,
    "drawdown": AlertType.DRAWDOWN_WARNING,
    "correlation": AlertType.CORRELATION_BREACH,
    "concentration": AlertType.CONCENTRATION_RISK,
    "liquidity": AlertType.LIQUIDITY_RISK,
    "volatility": AlertType.VOLATILITY_SPIKE,
}
STOP_TYPE_ALIASES = {"atr": StopLossType.ATR_BASED, "volatility": StopLossType.VOLATILITY_BASED}
STOP_STATUS_ALIASES = {"canceled": StopLossStatus.CANCELLED}


@dataclass(slots=True)
class StopLossConfig:
    """Percentages are percent; ``None`` means that the rule does not apply."""

    stop_type: StopLossType
    initial_stop_percent: float
    trailing_distance_percent: float | None = None
    max_loss_percent: float | None = None
    min_profit_before_trail: float | None = None
    volatility_multiplier: float | None = None
    support_resistance_buffer: float | None = None
    time_decay_enabled: bool = False
    breakeven_protection: bool = True


@dataclass(slots=True)
class StopLossOrder:
    """Ids are ``sl_{position_id}_{epoch_s}``."""

    id: str
    position_id: str
    symbol: str
    stop_type: StopLossType
    status: StopLossStatus
    entry_price: float
    current_price: float
    stop_price: float
    initial_stop_price: float
    quantity: float
    created_at: datetime
    last_updated: datetime
    config: StopLossConfig
    profit_loss: float = 0.0
    highest_price: float = 0.0
    lowest_price: float = 0.0
    trigger_count: int = 0
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class RiskAlert:
    id: str
    alert_type: AlertType
    severity: RiskLevel
    title: str
    message: str
    symbol: str | None
    current_value: float
    threshold_value: float
    recommendation: str
    created_at: datetime
    resolved_at: datetime | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class RiskMetrics:
    """Money in US dollars, ``*_percent`` and drawdowns in percent, the HHI 0..1, ``risk_score`` 0..100."""

    timestamp: datetime
    total_portfolio_value: float
    total_exposure: float
    cash_balance: float
    leverage_ratio: float
    var_1d: float
    var_5d: float
    expected_shortfall: float
    max_drawdown: float
    current_drawdown: float
    concentration_hhi: float
    correlation_risk: float
    sector_concentration: dict[str, float]
    largest_position_percent: float
    positions_over_5pct: int
    positions_over_10pct: int
    avg_liquidity_score: float
    illiquid_positions_percent: float
    risk_level: RiskLevel
    risk_score: float
