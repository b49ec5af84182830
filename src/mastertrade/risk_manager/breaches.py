"""What is wrong with an account: one breach for each condition that holds, the older system's eight. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from mastertrade.domain.risk import RiskLevel
from mastertrade.risk_manager.condition import Condition
from mastertrade.risk_manager.limits import Limits
from mastertrade.risk_manager.models import AlertType

NEAR: Final = 0.95
"""Times its limit: an alert stands until its number is below."""
WORSE: Final = 1.5
"""Times its limit, from where on a breach is a degree more severe."""
MOST_ILLIQUID_PERCENT: Final = 30.0
CONCENTRATED: Final = 0.5
"""Sum of the squared shares of what is held, with two positions or more."""
SPIKE: Final = 2.0
"""Times the volatility of the last weeks."""
ALERT_PREFIXES: Final = {
    AlertType.EXPOSURE_LIMIT: "exposure",
    AlertType.CORRELATION_BREACH: "correlation",
    AlertType.VAR_EXCEEDED: "var",
    AlertType.DRAWDOWN_WARNING: "drawdown",
    AlertType.CONCENTRATION_RISK: "concentration",
    AlertType.LIQUIDITY_RISK: "liquidity",
    AlertType.VOLATILITY_SPIKE: "volatility",
}
"""What the ids of each kind begin with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """``value`` and ``limit`` in ``unit``. ``symbol`` is None for what the account as a whole does."""

    type: AlertType
    severity: RiskLevel
    symbol: str | None
    title: str
    value: float
    limit: float
    unit: str
    recommendation: str

    @property
    def is_beyond(self) -> bool:
        """Otherwise it is near its limit: no reason to raise an alert, and none to resolve one."""
        return self.value > self.limit

    @property
    def message(self) -> str:
        where = "above" if self.is_beyond else "still near"
        return f"{self.title}: {_number(self.value)}{self.unit} is {where} {_number(self.limit)}{self.unit}"


@dataclass(frozen=True, slots=True)
class Volatility:
    """Of one market over the last 24 hours and over the last 20 days, both as a day's, as fractions."""

    today: float
    usual: float


def breaches_of(
    condition: Condition,
    limits: Limits,
    *,
    position_limit: Callable[[str], Decimal],
    volatilities: Mapping[str, Volatility],
    wild: float,
) -> list[Breach]:
    """``limits`` are the account's, ``position_limit`` those of one symbol in percent of equity; ``wild`` is the daily
    volatility below which no jump counts. A limit that is just reached is kept. What is near its
    limit is among them, so that an alert does not come and go with every tick around it."""
    found = [
        *_positions(condition, position_limit),
        *_whole(condition, limits),
        *_spikes(condition, volatilities, wild),
    ]
    return [one for one in found if one.value > max(NEAR * one.limit, 0.0)]


def _positions(condition: Condition, position_limit: Callable[[str], Decimal]) -> list[Breach]:
    return [
        Breach(
            type=AlertType.EXPOSURE_LIMIT,
            severity=_worse(abs(part.share_percent), limit, RiskLevel.MEDIUM, RiskLevel.HIGH),
            symbol=part.symbol,
            title=f"{part.symbol} is a large part of equity",
            value=abs(part.share_percent),
            limit=limit,
            unit=" %",
            recommendation=f"sell some {part.symbol}, or raise max_position_percent for it",
        )
        for part in condition.risk.parts
        for limit in (float(position_limit(part.symbol)),)
    ]


def _whole(condition: Condition, limits: Limits) -> list[Breach]:
    risk, equity = condition.risk, float(condition.book.equity)
    deepest = float(limits.max_drawdown_percent)
    found = [
        Breach(
            type=AlertType.EXPOSURE_LIMIT, severity=RiskLevel.HIGH, symbol=None, title="leverage",
            value=risk.leverage or 0.0, limit=float(limits.max_leverage), unit="x",
            recommendation="reduce the largest positions",
        ),
        Breach(
            type=AlertType.CORRELATION_BREACH, severity=RiskLevel.HIGH, symbol=None,
            title="the holdings move as one",
            value=condition.correlation / 100.0, limit=float(limits.correlation_threshold), unit="",
            recommendation="hold markets that move less alike, or fewer of these",
        ),
        Breach(
            type=AlertType.VAR_EXCEEDED, severity=RiskLevel.HIGH, symbol=None, title="the loss a day may bring",
            value=condition.loss.percent(equity), limit=float(limits.max_value_at_risk_percent), unit=" %",
            recommendation="reduce the holdings that add most; mastertrade risk var lists them",
        ),
        Breach(
            type=AlertType.DRAWDOWN_WARNING,
            severity=_worse(risk.drawdown_percent, deepest, RiskLevel.HIGH, RiskLevel.CRITICAL),
            symbol=None, title="drawdown", value=risk.drawdown_percent, limit=deepest, unit=" %",
            recommendation="look at what lost before anything new is opened; entries are refused meanwhile",
        ),
        Breach(
            type=AlertType.LIQUIDITY_RISK, severity=RiskLevel.MEDIUM, symbol=None,
            title="a large part is in thin markets",
            value=condition.illiquid_percent, limit=MOST_ILLIQUID_PERCENT, unit=" %",
            recommendation="leave in small orders while nobody else has to",
        ),
    ]  # fmt: skip
    if len(risk.parts) > 1:
        few = Breach(
            type=AlertType.CONCENTRATION_RISK, severity=RiskLevel.MEDIUM, symbol=None,
            title="few positions are most of it", value=risk.concentration, limit=CONCENTRATED, unit="",
            recommendation="spread over more markets",
        )  # fmt: skip
        found.append(few)
    return found


def _spikes(condition: Condition, volatilities: Mapping[str, Volatility], wild: float) -> list[Breach]:
    return [
        Breach(
            type=AlertType.VOLATILITY_SPIKE,
            severity=RiskLevel.MEDIUM,
            symbol=part.symbol,
            title=f"{part.symbol} swings more than usual",
            value=seen.today * 100.0,
            limit=max(SPIKE * seen.usual, wild) * 100.0,
            unit=" %",
            recommendation="smaller orders and wider stops until it calms down",
        )
        for part in condition.risk.parts
        if (seen := volatilities.get(part.symbol)) is not None
    ]


def _worse(value: float, limit: float, usual: RiskLevel, beyond: RiskLevel) -> RiskLevel:
    return beyond if value > WORSE * limit else usual


def _number(value: float) -> str:
    return f"{value:.2f}"
