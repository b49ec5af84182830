"""Sizing methods: golden numbers, every step told, and what bad numbers give."""

import math
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastertrade.domain.risk import Check
from mastertrade.risk_manager.exposure import Exposure
from mastertrade.risk_manager.sizing_methods import Sizing, SizingMethod, Wish, amount_of
from tests.pure.risk_case import NOW, check_of, entry, exit_, judged, signal


def wish(method: SizingMethod, **changes: Any) -> Wish:
    """10,000 of equity, a market that moves 3 % a day, a signal of strength 0.9 (which takes the whole size)."""
    known = {"trades", "win_rate", "payoff", "holding", "volatility_target"}
    fields: dict[str, Any] = {
        "equity": 10_000.0, "price": 60_000.0, "strength": 0.9, "position_fraction": 0.06, "risk_fraction": 0.01,
        "loss_per_unit": 1_947.30, "costs_per_unit": 147.30, "exposure": Exposure(volatility=0.03, true_range=0.015),
        "at": NOW,
    }  # fmt: skip
    sizing = Sizing(method=method, **{name: changes.pop(name) for name in list(changes) if name in known})
    return Wish(sizing=sizing, **(fields | changes))


def steps_of(one: Wish) -> tuple[float, dict[str, Check]]:
    amount, steps = amount_of(one)
    assert all(step.passed and step.limit is None and step.detail for step in steps)
    return amount, {step.name: step for step in steps}


def test_a_fixed_fraction_is_a_part_of_equity_by_the_strength_of_the_signal() -> None:
    assert steps_of(wish(SizingMethod.FIXED_FRACTION))[0] == pytest.approx(600.0)
    assert steps_of(wish(SizingMethod.FIXED_FRACTION, strength=0.5))[0] == pytest.approx(360.0)


def test_fixed_risk_with_costs_is_the_published_quantity() -> None:
    amount, steps = steps_of(wish(SizingMethod.FIXED_RISK))
    assert amount / 60_000.0 == pytest.approx(0.05135, abs=5e-6)
    assert "1947.3 a unit" in steps["sizing"].detail
    with pytest.raises(ValueError, match="without a loss there is no size"):
        amount_of(wish(SizingMethod.FIXED_RISK, loss_per_unit=0.0))


def test_atr_puts_the_stop_two_ranges_away() -> None:
    amount, _ = steps_of(wish(SizingMethod.ATR))
    assert amount / 60_000.0 == pytest.approx(0.05135, abs=5e-6), "900 is the range, the costs are the same"
    young = wish(SizingMethod.ATR, exposure=Exposure(volatility=0.03))
    assert steps_of(young)[0] == steps_of(wish(SizingMethod.FIXED_RISK))[0]


def test_a_volatility_target_holds_less_of_what_moves_more() -> None:
    daily = 0.60 / math.sqrt(365)
    found, _ = steps_of(wish(SizingMethod.VOLATILITY_TARGET, exposure=Exposure(volatility=daily)))
    assert found == pytest.approx(10_000 / 3)
    with pytest.raises(ValueError, match="without one there is no size"):
        amount_of(wish(SizingMethod.VOLATILITY_TARGET, exposure=Exposure(volatility=math.nan)))


def test_kelly_is_a_quarter_of_a_shrunk_edge_and_never_more_than_the_fixed_fraction() -> None:
    known = {"trades": 400, "win_rate": 0.55, "payoff": 1.0, "position_fraction": 1.0, "strength": 1.0}
    rate = 0.55 - 1.2815515655 * math.sqrt(0.55 * 0.45 / 400)
    amount, steps = steps_of(wish(SizingMethod.KELLY, **known))
    assert amount == pytest.approx(10_000 * 0.25 * (rate - (1 - rate)))
    assert "400 trades" in steps["sizing"].detail
    assert steps_of(wish(SizingMethod.KELLY, **(known | {"position_fraction": 0.001})))[0] == pytest.approx(10.0)
    assert steps_of(wish(SizingMethod.KELLY, **(known | {"win_rate": 0.4})))[0] == 0.0, "no edge, no size"
    few = steps_of(wish(SizingMethod.KELLY, **(known | {"trades": 19})))
    assert few[0] == pytest.approx(10_000 * 0.25 * (0.55 - 0.45 / 1.5))
    assert "19 trades are too few" in few[1]["sizing"].detail


def test_equal_risk_adds_as_much_as_each_holding_has() -> None:
    covariance = np.array([[0.0009, 0.0006, 0.0003], [0.0006, 0.0016, 0.0004], [0.0003, 0.0004, 0.0025]])
    held = np.array([3_000.0, 2_000.0])
    variance = float(held @ covariance[:2, :2] @ held)
    exposure = Exposure(
        volatility=0.05, variance=variance, covariance=float(covariance[2, :2] @ held), positions=2,
        gross=Decimal(5_000),
    )  # fmt: skip
    amount, _ = steps_of(wish(SizingMethod.EQUAL_RISK, exposure=exposure))
    weights = np.append(held, amount)
    parts = weights * (covariance @ weights)
    assert parts[2] == pytest.approx(variance / 2)
    alone = steps_of(wish(SizingMethod.EQUAL_RISK))
    assert alone[0] == steps_of(wish(SizingMethod.VOLATILITY_TARGET))[0]
    assert "nothing else is held" in alone[1]["sizing"].detail


def test_the_combined_method_is_the_older_system_s() -> None:
    amount, steps = steps_of(wish(SizingMethod.COMBINED, risk_fraction=0.02))
    by_volatility = 10_000 * 0.02 * (0.02 / 0.03)
    by_kelly = 0.25 * (0.55 - 0.45 / 1.5) * 0.9 * 10_000
    by_parity = min(10_000 * 0.03 / 1 / 0.03, 1_500)
    assert steps["sizing_volatility"].value == pytest.approx(by_volatility)
    assert steps["sizing_kelly"].value == pytest.approx(by_kelly)
    assert steps["sizing_parity"].value == by_parity
    together = 0.40 * by_volatility + 0.35 * by_kelly + 0.25 * by_parity
    assert steps["sizing_together"].value == pytest.approx(together)
    assert amount == steps["sizing"].value == pytest.approx(together)
    assert list(steps) == ["sizing_volatility", "sizing_kelly", "sizing_parity", "sizing_together", "sizing"]


@pytest.mark.parametrize(("hour", "factor"), [(5, 0.8), (6, 1.0), (22, 1.0), (23, 0.8)])
def test_the_combined_method_asks_for_less_at_night_and_of_weak_signals(hour: int, factor: float) -> None:
    at = datetime.fromisoformat(f"2023-03-10T{hour:02}:00Z")
    whole, steps = steps_of(wish(SizingMethod.COMBINED, at=at))
    assert whole == pytest.approx((steps["sizing_together"].value or 0.0) * factor)
    weak, steps = steps_of(wish(SizingMethod.COMBINED, at=NOW, strength=0.3))
    assert weak == pytest.approx((steps["sizing_together"].value or 0.0) * 0.4)


def test_a_wild_market_is_asked_less_of_and_never_more_than_its_cap() -> None:
    wild = steps_of(wish(SizingMethod.COMBINED, exposure=Exposure(volatility=0.1)))[1]["sizing_volatility"]
    assert wild.value == pytest.approx(10_000 * 0.01 * 0.2 * 0.6)
    assert "wild" in wild.detail
    calm = steps_of(wish(SizingMethod.COMBINED, risk_fraction=0.5, exposure=Exposure(volatility=0.001)))[1]
    assert calm["sizing_volatility"].value == 2_000.0


@given(
    st.sampled_from(list(SizingMethod)), st.floats(0, 1), st.floats(0.001, 0.5), st.integers(0, 500), st.floats(0, 1),
    st.floats(0, 10),
)  # fmt: skip
def test_no_method_asks_for_less_than_nothing_or_tells_no_step(
    method: SizingMethod, strength: float, volatility: float, trades: int, rate: float, payoff: float
) -> None:
    one = wish(method, strength=strength, trades=trades, win_rate=rate, payoff=payoff)
    amount, steps = steps_of(replace(one, exposure=Exposure(volatility=volatility, true_range=volatility)))
    assert amount >= 0.0
    assert steps["sizing"].value == amount


def test_the_steps_stand_in_the_verdict_and_the_multiplier_is_one_of_them() -> None:
    judgement = judged(entry(sizing=Sizing(method=SizingMethod.COMBINED), risk_multiplier=0.5))
    names = [one.name for one in judgement.verdict.checks][:6]
    assert names[-1] == "sizing_multiplier"
    whole = check_of(judgement, "sizing").value
    assert whole is not None
    assert check_of(judgement, "sizing_multiplier").value == pytest.approx(whole / 2)
    asked = judgement.verdict.requested_quantity * 50_000
    assert float(asked) == pytest.approx(whole / 2, abs=0.5), "down to the lot"


def test_an_exit_is_not_sized_and_nonsense_refuses() -> None:
    assert not any(one.name.startswith("sizing") for one in judged(exit_()).verdict.checks)
    broken = judged(entry(exposure=Exposure(volatility=math.nan), sizing=Sizing(method=SizingMethod.VOLATILITY_TARGET)))
    assert broken.order is None
    assert "could not be evaluated" in check_of(broken, "requested_size").detail
    assert judged(entry(signal=signal(confidence=10.0))).verdict.requested_quantity > 0
