"""Sizing: golden numbers, and that nothing is sized out of nonsense."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mastertrade.quant.sizing import (
    fixed_fraction,
    fixed_fractional,
    floor_to_step,
    fractional_kelly,
    kelly_binary,
    signal_multiplier,
    volatility_target,
)


@pytest.mark.parametrize(
    ("strength", "part"),
    [(1.0, 1.0), (0.8, 1.0), (0.79, 0.8), (0.6, 0.8), (0.5, 0.6), (0.4, 0.6), (0.2, 0.4), (0.19, 0.2), (0.0, 0.2)],
)
def test_a_weaker_signal_gets_a_smaller_part(strength: float, part: float) -> None:
    assert signal_multiplier(strength) == part
    assert fixed_fraction(10_000.0, 0.02, strength) == pytest.approx(200.0 * part)


@pytest.mark.parametrize("strength", [-0.1, 1.1, 75.0, math.nan])
def test_a_strength_that_is_no_fraction_is_refused(strength: float) -> None:
    with pytest.raises(ValueError, match="strength"):
        signal_multiplier(strength)


def test_the_fixed_fractional_size_counts_the_costs_of_both_sides() -> None:
    stop = 60_000.0 - 2 * 900.0
    costs = {"fee_rate": 0.001, "slippage_rate": 0.0005}
    assert fixed_fractional(10_000.0, 0.01, 60_000.0, stop, **costs, lot=0.00001) == pytest.approx(0.05135, abs=1e-12)
    assert 100.0 / fixed_fractional(10_000.0, 0.01, 60_000.0, stop, **costs) == pytest.approx(1947.30)
    assert fixed_fractional(10_000.0, 0.01, 60_000.0, stop) == pytest.approx(0.0556, abs=5e-5)


@given(
    entry=st.floats(0.01, 1e5),
    distance=st.floats(0.01, 0.99),
    fee_rate=st.floats(0, 0.01),
    slippage=st.floats(0, 0.01),
)
def test_a_stopped_position_loses_what_was_risked(
    entry: float, distance: float, fee_rate: float, slippage: float
) -> None:
    stop = entry * (1 - distance)
    quantity = fixed_fractional(10_000.0, 0.01, entry, stop, fee_rate=fee_rate, slippage_rate=slippage)
    lost = quantity * ((entry - stop) + fee_rate * (entry + stop) + slippage * stop)
    assert lost == pytest.approx(100.0)


@pytest.mark.parametrize("stop", [60_000.0, 61_000.0, 0.0, -1.0, math.nan])
def test_a_stop_that_is_not_below_the_entry_is_refused(stop: float) -> None:
    with pytest.raises(ValueError, match="stop"):
        fixed_fractional(10_000.0, 0.01, 60_000.0, stop)


def test_the_volatility_target_gives_the_golden_weight_and_keeps_its_limit() -> None:
    assert volatility_target(0.20, 0.60) == pytest.approx(0.3333, abs=5e-5)
    assert volatility_target(0.20, 0.05) == 1.0
    assert volatility_target(0.20, 0.05, limit=3.0) == 3.0


@pytest.mark.parametrize("volatility", [0.0, -0.1, math.nan, math.inf])
def test_without_a_measured_volatility_there_is_no_size(volatility: float) -> None:
    with pytest.raises(ValueError, match="volatility"):
        volatility_target(0.2, volatility)


def test_kelly_gives_the_golden_weights() -> None:
    assert kelly_binary(0.55, 1.0) == pytest.approx(0.10)
    assert kelly_binary(0.40, 2.5) == pytest.approx(0.16)


def test_without_an_edge_kelly_bets_nothing() -> None:
    assert kelly_binary(0.4, 1.0) < 0.0
    assert fractional_kelly(kelly_binary(0.4, 1.0)) == 0.0


@given(win_rate=st.floats(0, 1), payoff=st.floats(0.01, 100), limit=st.floats(0, 1))
def test_a_part_of_kelly_stays_between_nothing_and_its_limit(win_rate: float, payoff: float, limit: float) -> None:
    assert 0.0 <= fractional_kelly(kelly_binary(win_rate, payoff), limit=limit) <= limit


@pytest.mark.parametrize(
    ("quantity", "step", "floored"),
    [
        (0.3, 0.1, 0.3),
        (0.29, 0.1, 0.2),
        (0.05135321, 0.00001, 0.05135),
        (7.9, 1.0, 7.0),
        (0.04, 0.1, 0.0),
        (1.23, 0.0, 1.23),
    ],
)
def test_a_quantity_is_floored_to_its_step(quantity: float, step: float, floored: float) -> None:
    assert floor_to_step(quantity, step) == pytest.approx(floored, abs=1e-15)


@given(quantity=st.floats(0, 1e6), step=st.floats(1e-6, 1e3))
@example(quantity=932654.0, step=1e-05)
@example(quantity=177890.0, step=1e-05)
def test_flooring_never_gives_more_and_never_takes_more_than_a_step(quantity: float, step: float) -> None:
    floored, rounding = floor_to_step(quantity, step), quantity * 2**-51
    assert floored <= quantity + step * 1e-6 + rounding
    assert floored > quantity - step * (1 + 1e-6) - rounding
