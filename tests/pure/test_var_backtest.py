"""Backtests of forecast losses: right ones pass, wrong ones are told from them, and no forecast sees its own day."""

import numpy as np
import pytest

from mastertrade.quant.risk.forecasts import Light
from mastertrade.quant.risk.tails import TailMethod, tail_of
from mastertrade.risk_manager.var_backtest import backtest_holdings, evaluate


def returns(seed: int = 7, days: int = 500) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 0.02, days)


def test_a_right_forecast_passes_and_too_small_a_one_does_not() -> None:
    losses = -returns()[:250]
    right = evaluate("right", 0.95, losses, np.full(250, 1.6449 * 0.02))
    assert right.days == 250
    assert right.expected == pytest.approx(12.5)
    assert abs(right.hits - 12.5) < 8
    assert (right.light, right.words) == (Light.GREEN, "as forecast")
    small = evaluate("small", 0.95, losses, np.full(250, 0.01))
    assert small.light is Light.RED
    assert small.words == "losses beyond it come too often"
    large = evaluate("large", 0.95, losses, np.full(250, 0.5))
    assert (large.hits, large.light, large.worst) == (0, Light.GREEN, 0.0)
    assert large.words == "losses beyond it come too seldom"


def test_losses_that_come_together_are_clusters() -> None:
    losses = np.zeros(250)
    losses[100:112] = 0.05
    found = evaluate("flat", 0.95, losses, np.full(250, 0.01))
    assert found.hits == 12
    assert found.words == "losses beyond it come in clusters"
    assert found.worst == pytest.approx(4.0)


def test_days_without_a_forecast_do_not_count() -> None:
    forecasts = np.full(50, 0.01)
    forecasts[:10] = np.nan
    found = evaluate("some", 0.95, np.full(50, 0.02), forecasts)
    assert (found.days, found.hits) == (40, 40)


def test_each_day_is_forecast_from_the_days_before_it_alone() -> None:
    series = returns(days=200)
    [one] = backtest_holdings(series, window=100, confidences=(0.95,), methods=(TailMethod.HISTORICAL,), days=120)
    hits = [
        -series[day] > (tail_of(TailMethod.HISTORICAL, series[day - min(day, 100) : day], 0.95).value_at_risk or 0.0)
        for day in range(80, 200)
    ]
    assert (one.days, one.hits) == (120, sum(hits))
    crash = series.copy()
    crash[-1] = -0.9
    [after] = backtest_holdings(crash, window=100, confidences=(0.95,), methods=(TailMethod.HISTORICAL,), days=120)
    assert after.hits - one.hits == (not hits[-1]), "only the day itself is a hit, no forecast knew of it"


def test_every_method_is_tested_and_too_little_history_tests_none() -> None:
    found = backtest_holdings(returns(), window=252, confidences=(0.95, 0.99))
    assert {(one.method, one.confidence) for one in found} == {
        (str(method), confidence)
        for method in TailMethod
        if method is not TailMethod.MONTE_CARLO
        for confidence in (0.95, 0.99)
    }
    assert all(one.days == 250 for one in found)
    assert backtest_holdings(returns(days=79), window=252, confidences=(0.95,)) == []
    assert len(backtest_holdings(returns(days=80), window=252, confidences=(0.95,))) == 6
