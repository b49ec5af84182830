"""Metrics: golden numbers of the reference returns, and a plain None where a number cannot be had."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastertrade.quant import metrics
from mastertrade.quant.bars import FloatArray
from tests.pure.sample_bars import START_MS

R20 = np.fromstring(
    ".012 -.008 .005 -.021 .017 .003 -.014 .009 -.035 .022 .006 -.011 .015 -.004 .008 -.027 .019 .001 -.006 .013",
    sep=" ",
)
EQUITY = np.concatenate(([1.0], np.cumprod(1.0 + R20)))
YEARS = 20 / 365
EQUITIES = st.lists(st.floats(1e-6, 1e9), max_size=60).map(lambda values: np.array(values, dtype=np.float64))


def test_the_reference_returns_give_the_golden_numbers() -> None:
    assert EQUITY[-1] == pytest.approx(1.00162748, abs=5e-9)
    assert metrics.total_return(EQUITY) == pytest.approx(0.00162748, abs=5e-9)
    assert metrics.sharpe(R20) == pytest.approx(0.2425510556, abs=5e-11)
    assert metrics.sharpe(R20, periods_per_year=1) == pytest.approx(0.0126957025, abs=5e-11)
    assert metrics.sortino(R20) == pytest.approx(0.3213303323, abs=5e-11)
    assert metrics.cagr(EQUITY, YEARS) == pytest.approx(0.03012213064, abs=5e-12)
    assert metrics.calmar(EQUITY, YEARS) == pytest.approx(0.6818587711, abs=5e-11)


def test_the_reference_drawdown_has_its_golden_depth_places_and_length() -> None:
    drawdown = metrics.max_drawdown(EQUITY)
    assert drawdown is not None
    assert drawdown.depth == pytest.approx(0.04417649506, abs=5e-12)
    assert (drawdown.peak, drawdown.trough) == (1, 9)
    assert (drawdown.longest_from, drawdown.periods) == (1, 19)


def test_the_longest_drawdown_need_not_be_the_deepest() -> None:
    drawdown = metrics.max_drawdown(np.array([10.0, 5.0, 11.0, 10.5, 10.6, 10.9, 11.0, 10.0]))
    assert drawdown == metrics.Drawdown(depth=0.5, peak=0, trough=1, periods=3, longest_from=2)


def test_returns_of_the_equity_are_the_returns_it_was_made_of() -> None:
    assert metrics.period_returns(EQUITY) == pytest.approx(R20, abs=1e-15)


def test_sharpe_and_sortino_measure_against_what_they_are_given() -> None:
    mean = float(np.mean(R20))
    assert metrics.sharpe(R20, risk_free=mean) == pytest.approx(0.0, abs=1e-12)
    assert metrics.sortino(R20, target=0.0) != metrics.sortino(R20, target=0.001)


def test_trade_statistics_follow_their_definitions() -> None:
    profits = [10.0, -4.0, 6.0, -4.0, 0.0]
    assert metrics.profit_factor(profits) == 2.0
    assert metrics.win_rate(profits) == 0.4
    assert metrics.expectancy(profits) == 1.6
    assert metrics.exposure(np.array([0.0, 10.0, 0.5, 0.0])) == 0.5


def test_nothing_gives_no_numbers() -> None:
    empty: FloatArray = np.array([])
    assert metrics.total_return(empty) is None
    assert metrics.max_drawdown(empty) is None
    assert metrics.sharpe(empty) is None
    assert metrics.sortino(empty) is None
    assert metrics.cagr(empty, 1.0) is None
    assert metrics.calmar(empty, 1.0) is None
    assert metrics.exposure(empty) is None
    assert metrics.profit_factor([]) is metrics.win_rate([]) is metrics.expectancy([]) is None
    assert len(metrics.period_returns(empty)) == 0


def test_a_flat_account_has_no_ratio_and_no_drawdown() -> None:
    flat = np.full(10, 500.0)
    returns = metrics.period_returns(flat)
    assert metrics.total_return(flat) == 0.0
    assert metrics.sharpe(returns) is metrics.sortino(returns) is metrics.calmar(flat, 1.0) is None
    assert metrics.cagr(flat, 1.0) == 0.0
    drawdown = metrics.max_drawdown(flat)
    assert drawdown is not None
    assert (drawdown.depth, drawdown.periods) == (0.0, 0)


def test_steady_growth_has_no_measurable_risk() -> None:
    steady = metrics.period_returns(1.001 ** np.arange(300.0))
    assert metrics.sharpe(steady) is None
    assert metrics.sortino(steady) is None
    assert metrics.profit_factor([1.0, 2.0]) is None


def test_a_lost_account_is_a_loss_of_everything() -> None:
    lost = np.array([100.0, 50.0, 0.0])
    assert metrics.total_return(lost) == metrics.cagr(lost, 1.0) == -1.0
    drawdown = metrics.max_drawdown(lost)
    assert drawdown is not None
    assert drawdown.depth == 1.0


def test_a_moment_is_not_blown_up_to_a_year_beyond_measure() -> None:
    assert metrics.cagr(np.array([1.0, 10.0]), 1e-6) is None
    assert metrics.cagr(np.array([1.0, 10.0]), 0.0) is None


def test_daily_equity_takes_the_last_bar_of_each_day_and_repeats_through_days_without_bars() -> None:
    hour = 3_600_000
    hours = np.array([0, 5, 23, 24, 47, 96, 100])
    equity = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    daily = metrics.daily_equity(9.0, START_MS + hours * hour, equity)
    assert daily.tolist() == [9.0, 3.0, 5.0, 5.0, 5.0, 7.0]
    assert metrics.daily_equity(9.0, np.array([], dtype=np.int64), np.array([])).tolist() == [9.0]


@pytest.mark.parametrize("broken", [[1.0, math.nan], [1.0, math.inf], [0.0, 1.0], [1.0, -1.0], [-1.0, 1.0]])
def test_an_impossible_equity_curve_is_refused(broken: list[float]) -> None:
    for metric in (metrics.total_return, metrics.period_returns, metrics.max_drawdown):
        with pytest.raises(ValueError, match="equity"):
            metric(np.array(broken))


def test_ratios_of_nan_are_refused() -> None:
    for metric in (metrics.sharpe, metrics.sortino, metrics.exposure):
        with pytest.raises(ValueError, match="finite"):
            metric(np.array([0.1, math.nan]))


@given(equity=EQUITIES, years=st.floats(0, 10))
def test_every_number_is_finite_or_none(equity: FloatArray, years: float) -> None:
    returns = metrics.period_returns(equity)
    for value in (
        metrics.total_return(equity),
        metrics.sharpe(returns),
        metrics.sortino(returns),
        metrics.cagr(equity, years),
        metrics.calmar(equity, years),
        metrics.profit_factor(np.diff(equity).tolist()),
        metrics.exposure(equity),
    ):
        assert value is None or math.isfinite(value)


@given(equity=EQUITIES.filter(len))
def test_a_drawdown_is_between_nothing_and_everything_and_runs_from_peak_to_trough(equity: FloatArray) -> None:
    drawdown = metrics.max_drawdown(equity)
    assert drawdown is not None
    assert 0.0 <= drawdown.depth < 1.0
    assert drawdown.peak <= drawdown.trough
    assert drawdown.depth == pytest.approx(1 - equity[drawdown.trough] / max(equity[: drawdown.trough + 1]))
    assert drawdown.longest_from + drawdown.periods < len(equity)
