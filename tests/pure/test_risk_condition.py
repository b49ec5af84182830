"""The condition of an account and what is wrong with it, by the formulas of the older system."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import numpy as np
import pytest

from mastertrade.domain.risk import RiskLevel
from mastertrade.risk_manager.breaches import Breach, Volatility, breaches_of
from mastertrade.risk_manager.condition import (
    Condition,
    condition_of,
    correlation_risk,
    level_of,
    liquidity_score,
    risk_score,
)
from mastertrade.risk_manager.config import RiskSettings
from mastertrade.risk_manager.market_risk import Market, Together
from mastertrade.risk_manager.models import AlertType
from mastertrade.risk_manager.portfolio import Book, Daily, Holding, measure

NOW = datetime(2023, 6, 1, tzinfo=UTC)
LIMITS = RiskSettings().limits()
SYMBOLS = ("BTC/USDT", "ETH/USDT")


def a_book(*values: float, equity: float = 10_000.0, peak: float | None = None) -> Book:
    return Book(
        account_id=UUID(int=1),
        account="main",
        venue="paper",
        quote="USDT",
        as_of=NOW,
        equity=Decimal(str(equity)),
        cash=Decimal(str(equity - sum(values))),
        high_water_mark=Decimal(str(peak or equity)),
        high_water_at=NOW - timedelta(days=3, hours=5),
        max_drawdown=Decimal("0.2"),
        holdings=tuple(
            Holding(
                asset=symbol.partition("/")[0],
                instrument_id=at,
                symbol=symbol,
                quantity=Decimal(1),
                value=Decimal(str(value)),
            )
            for at, (symbol, value) in enumerate(zip(SYMBOLS, values, strict=False))
        ),
    )


def condition(
    book: Book, *, volume: str | None = "500000", rho: float = 0.5, days: int = 0, volatility: float = 0.1
) -> Condition:
    """``days`` of daily returns of one market that all others share; without any they are assumed."""
    size = len(book.holdings)
    returns = np.random.default_rng(1).normal(0.0, 0.03, days)
    daily = Daily(np.arange(days, dtype=np.int64) * 86_400_000, returns)
    market = Market(daily=daily, volatility=None, true_range=None, volume=None if volume is None else Decimal(volume))
    correlation = np.full((size, size), rho)
    np.fill_diagonal(correlation, 1.0)
    together = Together(correlation, np.full(size, volatility), ())
    risk = measure(book, dict.fromkeys(range(size), daily), window_days=252)
    return condition_of(risk, markets=[market] * size, together=together, confidence=0.95)


def found(
    one: Condition, *, position_percent: str = "100", spikes: Mapping[str, Volatility] | None = None
) -> dict[tuple[AlertType, str | None], Breach]:
    breaches = breaches_of(
        one, LIMITS, position_limit=lambda _: Decimal(position_percent), volatilities=spikes or {}, wild=0.05
    )
    return {(breach.type, breach.symbol): breach for breach in breaches if breach.is_beyond}


def test_the_score_is_the_weighted_sum_of_its_capped_parts() -> None:
    parts = {"leverage": 0.0, "concentration": 0.0, "drawdown": 0.0, "correlation": 0.0, "illiquidity": 0.0}
    assert risk_score(value_at_risk=4.0, **parts) == pytest.approx(0.25 * 40)
    assert risk_score(value_at_risk=50.0, **parts) == pytest.approx(25.0), "each part is cut off at 100"
    everything = risk_score(
        value_at_risk=2.0, leverage=0.4, concentration=0.3, drawdown=6.0, correlation=70.0, illiquidity=4.0
    )
    assert everything == pytest.approx(0.25 * 20 + 0.2 * 20 + 0.2 * 60 + 0.15 * 30 + 0.1 * 70 + 0.1 * 40)


@pytest.mark.parametrize(
    ("score", "level"),
    [(0.0, "low"), (29.9, "low"), (30.0, "medium"), (59.9, "medium"), (60.0, "high"), (80.0, "critical")],
)
def test_a_score_has_a_level(score: float, level: str) -> None:
    assert level_of(score) == RiskLevel(level)


def test_pairs_weigh_by_both_their_sizes() -> None:
    correlation = np.array([[1.0, -0.5, 0.0], [-0.5, 1.0, 0.8], [0.0, 0.8, 1.0]])
    sizes = np.array([1.0, 2.0, 3.0])
    assert correlation_risk(sizes, correlation) == pytest.approx((0.5 * 2 + 0.8 * 6) / (2 + 3 + 6) * 100)
    assert correlation_risk(sizes[:1], correlation[:1, :1]) == 0.0


@pytest.mark.parametrize(("volume", "score"), [("0", 0.0), ("250000", 2.5), ("99000000", 10.0), (None, 1.0)], ids=str)
def test_liquidity_is_what_a_market_trades_and_unknown_ones_are_thin(volume: str | None, score: float) -> None:
    assert liquidity_score(None if volume is None else Decimal(volume)) == pytest.approx(score)


def test_an_account_that_holds_nothing_is_at_no_risk() -> None:
    one = condition(a_book())
    assert (one.score, one.level, one.loss.one_day, one.correlation) == (0.0, RiskLevel.LOW, 0.0, 0.0)
    assert found(one) == {}


def test_young_markets_count_as_wild_and_the_loss_says_so() -> None:
    one = condition(a_book(3_000.0, 1_000.0), rho=1.0)
    deviation = 0.1 * 4_000
    assert one.loss.is_assumed
    assert one.loss.one_day == pytest.approx(1.6448536 * deviation)
    assert one.loss.five_days == pytest.approx(one.loss.one_day * 5**0.5)
    assert one.loss.shortfall == pytest.approx(2.0627128 * deviation)


def test_measured_losses_are_the_historical_ones() -> None:
    one = condition(a_book(3_000.0, 1_000.0), days=200)
    assert not one.loss.is_assumed
    assert one.loss.one_day == one.risk.figures[0].value_at_risk
    assert one.loss.five_days == next(f.value_at_risk for f in one.risk.figures if f.horizon_days == 5)


def test_an_account_in_debt_is_critical() -> None:
    one = condition(a_book(3_000.0, equity=-10.0, peak=10_000.0), volume="0")
    assert one.level is RiskLevel.CRITICAL, "no division by nothing, and no comfort either"


def test_days_under_water_are_counted_from_the_last_peak() -> None:
    assert a_book(equity=9_000.0, peak=10_000.0).drawdown_days == 3
    assert a_book(equity=10_000.0, peak=10_000.0).drawdown_days == 0


def test_a_large_position_is_worse_the_larger_it_is() -> None:
    one = condition(a_book(600.0, 1_000.0))
    positions = found(one, position_percent="6")
    assert (AlertType.EXPOSURE_LIMIT, "BTC/USDT") not in positions, "6 % is just reached"
    assert positions[AlertType.EXPOSURE_LIMIT, "ETH/USDT"].severity is RiskLevel.HIGH
    assert found(one, position_percent="7")[AlertType.EXPOSURE_LIMIT, "ETH/USDT"].severity is RiskLevel.MEDIUM
    assert positions[AlertType.EXPOSURE_LIMIT, "ETH/USDT"].message == (
        "ETH/USDT is a large part of equity: 10.00 % is above 6.00 %"
    )


@pytest.mark.parametrize(
    ("equity", "severity"), [(8_500.0, None), (8_400.0, RiskLevel.HIGH), (7_700.0, RiskLevel.CRITICAL)]
)
def test_a_drawdown_warns_and_then_alarms(equity: float, severity: RiskLevel | None) -> None:
    alert = found(condition(a_book(equity=equity, peak=10_000.0))).get((AlertType.DRAWDOWN_WARNING, None))
    assert (alert and alert.severity) == severity


def test_what_the_account_does_as_a_whole() -> None:
    wild = condition(a_book(20_000.0, 12_000.0), volume="100", rho=0.9)
    assert set(found(wild)) == {
        (AlertType.EXPOSURE_LIMIT, "BTC/USDT"),
        (AlertType.EXPOSURE_LIMIT, "ETH/USDT"),
        (AlertType.EXPOSURE_LIMIT, None),
        (AlertType.CORRELATION_BREACH, None),
        (AlertType.VAR_EXCEEDED, None),
        (AlertType.LIQUIDITY_RISK, None),
        (AlertType.CONCENTRATION_RISK, None),
    }
    calm = condition(a_book(500.0, 500.0), rho=0.5, days=100)
    assert found(calm) == {}
    single = condition(a_book(500.0), days=100)
    assert single.risk.concentration == 1.0
    assert found(single) == {}, "one position alone is no concentration"


@pytest.mark.parametrize(
    ("today", "usual", "is_spike"), [(0.09, 0.04, True), (0.09, 0.05, False), (0.04, 0.01, False), (0.051, 0.01, True)]
)
def test_a_spike_is_twice_the_usual_and_wild(today: float, usual: float, is_spike: bool) -> None:
    one = condition(a_book(500.0), days=100)
    spikes = found(one, spikes={"BTC/USDT": Volatility(today, usual)})
    assert ((AlertType.VOLATILITY_SPIKE, "BTC/USDT") in spikes) is is_spike


def test_a_condition_is_the_same_for_the_same_facts() -> None:
    book = a_book(3_000.0, 1_000.0)
    assert condition(book, days=80).score == condition(replace(book), days=80).score
