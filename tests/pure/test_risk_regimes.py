"""Regimes and the limits that follow them."""

from decimal import Decimal
from uuid import UUID

import numpy as np
import pytest

from mastertrade.risk_manager.limits import GLOBAL, REGIME, effective, scopes_of
from mastertrade.risk_manager.regimes import ADAPTING, Regime, weather_of
from tests.pure.risk_case import INSTRUMENT, LIMITS


def days(volatility: float, mean: float, count: int = 30) -> np.ndarray:
    """Daily returns of exactly this yearly volatility and daily mean."""
    steps = np.resize([1.0, -1.0], count)
    return np.asarray(mean + steps / np.std(steps, ddof=1) * volatility / 365**0.5)


@pytest.mark.parametrize(
    ("volatility", "mean", "fear", "regime", "factor"),
    [
        (0.3, 0.002, None, Regime.LOW_VOL_BULLISH, "1"),
        (0.3, 0.0, None, Regime.LOW_VOL_BEARISH, "1"),
        (0.5, 0.002, 50.0, Regime.HIGH_VOL_BULLISH, "0.5"),
        (0.5, -0.002, 50.0, Regime.HIGH_VOL_BEARISH, "0.5"),
        (0.61, 0.002, 20.0, Regime.EXTREME_VOLATILITY, "0.25"),
        (0.3, 0.002, 19.0, Regime.CRISIS, "0.25"),
    ],
)
def test_a_regime_is_how_wild_a_market_is_and_where_it_goes(
    volatility: float, mean: float, fear: float | None, regime: Regime, factor: str
) -> None:
    found = weather_of(days(volatility, mean), fear)
    assert (found.regime, found.regime.factor) == (regime, Decimal(factor))
    assert found.volatility == pytest.approx(volatility)
    assert found.mean == pytest.approx(mean)


def test_a_young_market_has_no_regime_but_fear_is_known_without_it() -> None:
    assert weather_of(days(0.9, 0.0, 19), None).regime is Regime.UNKNOWN
    assert weather_of(np.zeros(0), 5.0).regime is Regime.CRISIS
    assert Regime.UNKNOWN.factor == 1


@pytest.mark.parametrize("regime", list(Regime))
def test_limits_follow_as_one_more_candidate_that_only_tightens(regime: Regime) -> None:
    scopes = scopes_of(UUID(int=1), None, INSTRUMENT)
    plain = effective(LIMITS, [], scopes, class_defaults={}, version=0)
    found = effective(LIMITS, [], scopes, class_defaults={}, version=0, regime=regime)
    for name, candidates in found.candidates.items():
        before: Decimal = getattr(plain.limits, name)
        after: Decimal = getattr(found.limits, name)
        assert after == (before * regime.factor if name in ADAPTING else before)
        source = REGIME if name in ADAPTING and regime.factor < 1 else GLOBAL
        assert candidates[0].scope == source
