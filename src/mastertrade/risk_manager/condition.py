"""The condition of an account: its portfolio risk with what limits and people look at besides, one score and a level.
Pure. The figures and the weights of the score are the older system's; percentages are of actual equity."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import NormalDist
from typing import Final

import numpy as np

from mastertrade.domain.risk import RiskLevel
from mastertrade.quant.bars import FloatArray
from mastertrade.risk_manager.asset_classes import asset_class
from mastertrade.risk_manager.exposure import ASSUMED_VOLUME
from mastertrade.risk_manager.market_risk import Market, Together
from mastertrade.risk_manager.portfolio import Book, Figure, Holding, PortfolioRisk

BEST_LIQUIDITY: Final = 10.0
ILLIQUID: Final = 3.0
"""A market whose score is lower is illiquid: it trades less than 300,000 a day."""
WEIGHTS: Final = {
    "value_at_risk": (0.25, 10.0),
    "leverage": (0.20, 50.0),
    "concentration": (0.20, 200.0),
    "drawdown": (0.15, 5.0),
    "correlation": (0.10, 1.0),
    "illiquidity": (0.10, 10.0),
}
"""Of each part of the score: its weight, and what its number is multiplied with before it is cut off at 100."""
LEVELS: Final = ((80.0, RiskLevel.CRITICAL), (60.0, RiskLevel.HIGH), (30.0, RiskLevel.MEDIUM))
NORMAL: Final = NormalDist()


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What may be lost at the first confidence, in money. ``is_assumed``: markets are too young to be measured, so that
    the normal distribution speaks with volatilities and correlations that are guessed on the safe side."""

    one_day: float
    five_days: float
    shortfall: float
    is_assumed: bool

    def percent(self, equity: float) -> float:
        return self.one_day / equity * 100.0 if equity > 0.0 else 100.0 if self.one_day > 0.0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """``correlation`` is 0..100, ``liquidity`` 0..10 weighted by value, ``score`` 0..100; ``classes`` is the value held
    of each class of assets. Drawdowns are in percent of the high-water mark."""

    risk: PortfolioRisk
    loss: Loss
    correlation: float
    liquidity: float
    illiquid_percent: float
    classes: Mapping[str, float]
    score: float
    level: RiskLevel

    @property
    def book(self) -> Book:
        return self.risk.book


def condition_of(
    risk: PortfolioRisk, *, markets: Sequence[Market | None], together: Together, confidence: float
) -> Condition:
    """``markets`` and ``together`` are of the priced holdings in their order. Nothing held is no risk at all."""
    priced = priced_holdings(risk.book)
    values = np.array([float(one.value or 0) for one in priced])
    sizes, equity = np.abs(values), float(risk.book.equity)
    total = float(np.sum(sizes))
    scores = np.array([liquidity_score(None if one is None else one.volume) for one in markets])
    liquidity = float(sizes @ scores / total) if total else BEST_LIQUIDITY
    loss = _loss(risk.figures, values, together, confidence)
    correlation = correlation_risk(sizes, together.correlation)
    score = risk_score(
        value_at_risk=loss.percent(equity),
        leverage=risk.leverage if risk.leverage is not None else math.inf if total else 0.0,
        concentration=risk.concentration,
        drawdown=risk.drawdown_percent if total else 0.0,
        correlation=correlation,
        illiquidity=BEST_LIQUIDITY - liquidity,
    )
    return Condition(
        risk=risk,
        loss=loss,
        correlation=correlation,
        liquidity=liquidity,
        illiquid_percent=float(np.sum(sizes[scores < ILLIQUID]) / total * 100.0) if total else 0.0,
        classes=_classes(priced),
        score=score,
        level=level_of(score),
    )


def priced_holdings(book: Book) -> list[Holding]:
    return [one for one in book.holdings if one.value]


def correlation_risk(sizes: FloatArray, correlation: FloatArray) -> float:
    """The mean of the absolute correlations of all pairs, weighted by both sizes, times 100; 0 without a pair."""
    weights = np.outer(sizes, sizes)
    np.fill_diagonal(weights, 0.0)
    pairs = float(np.sum(weights))
    return float(np.sum(np.abs(correlation) * weights) / pairs * 100.0) if pairs > 0.0 else 0.0


def liquidity_score(volume: Decimal | None) -> float:
    """Of what a market trades in a day, in quote; a market nobody has a whole day of counts as thin."""
    return min(max(float(volume if volume is not None else ASSUMED_VOLUME) / 100_000.0, 0.0), BEST_LIQUIDITY)


def risk_score(**parts: float) -> float:
    return sum(weight * min(max(parts[name] * factor, 0.0), 100.0) for name, (weight, factor) in WEIGHTS.items())


def level_of(score: float) -> RiskLevel:
    return next((level for lowest, level in LEVELS if score >= lowest), RiskLevel.LOW)


def _loss(figures: Sequence[Figure], values: FloatArray, together: Together, confidence: float) -> Loss:
    """The historical figures, which stand first; without any the normal ones of assumed markets."""
    first = next((one for one in figures if one.horizon_days == 1), None)
    if first is not None and first.value_at_risk is not None:
        later = next((one.value_at_risk for one in figures if one.horizon_days == 5), None)
        five = later if later is not None else first.value_at_risk * math.sqrt(5)
        shortfall = first.expected_shortfall if first.expected_shortfall is not None else first.value_at_risk
        return Loss(one_day=first.value_at_risk, five_days=five, shortfall=shortfall, is_assumed=False)
    risks = values * together.volatilities
    deviation = math.sqrt(max(float(risks @ together.correlation @ risks), 0.0))
    z = NORMAL.inv_cdf(confidence)
    return Loss(
        one_day=z * deviation,
        five_days=z * deviation * math.sqrt(5),
        shortfall=deviation * NORMAL.pdf(z) / (1.0 - confidence),
        is_assumed=deviation > 0.0,
    )


def _classes(priced: Sequence[Holding]) -> dict[str, float]:
    found: dict[str, float] = {}
    for one in priced:
        name = str(asset_class(one.asset))
        found[name] = found.get(name, 0.0) + float(one.value or 0)
    return found
