"""The numbers of a portfolio that the checks see: equal to the whole computation, for every size of the order."""

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastertrade.quant.bars import FloatArray
from mastertrade.risk_manager.asset_classes import AssetClass
from mastertrade.risk_manager.exposure import Exposure, Held, exposure_of, largest_within

ASSETS = ("BTC", "DOGE", "ETH", "SHIB", "USDC", "XRP")


def portfolio(seed: int) -> tuple[list[Held], FloatArray, FloatArray, Exposure]:
    """Six holdings and ether as the judged market."""
    draw = np.random.default_rng(seed)
    returns = draw.normal(size=(60, 7)) + draw.normal(size=(60, 1))
    correlation = np.corrcoef(returns.T)
    volatilities = draw.uniform(0.01, 0.1, 7)
    held = [
        Held(asset=asset, instrument_id=at, value=Decimal(repr(float(draw.uniform(1, 1_000)))))
        for at, asset in enumerate(ASSETS)
    ]
    found = exposure_of(
        held, base="PEPE", pending=Decimal(50), venue_equity=Decimal(1), total_equity=Decimal(2),
        correlation=correlation, volatilities=volatilities, threshold=0.5, true_range=None, volume=None, assumed="",
    )  # fmt: skip
    return held, correlation, volatilities, found


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("order", [0.0, 17.0, 5_000.0])
def test_three_numbers_give_the_variance_of_the_whole_portfolio(seed: int, order: float) -> None:
    held, correlation, volatilities, found = portfolio(seed)
    weights = np.array([*(float(one.value) for one in held), order])
    covariance = correlation * np.outer(volatilities, volatilities)
    own = found.volatility**2
    assert found.variance + 2 * order * found.covariance + order**2 * own == pytest.approx(
        weights @ covariance @ weights
    )
    adjusted = found.adjusted_square + 2 * order * found.adjusted_cross + order**2
    assert adjusted == pytest.approx(weights @ correlation @ weights)


def test_values_are_summed_by_class_and_correlation() -> None:
    held, correlation, _, found = portfolio(1)
    value = {one.asset: one.value for one in held}
    assert found.gross == sum(value.values()) + 50
    assert (found.asset_class, found.class_value) == (AssetClass.MEME, value["DOGE"] + value["SHIB"])
    assert found.stablecoin_value == value["USDC"]
    alike = [asset for asset, rho in zip(ASSETS, correlation[6], strict=False) if abs(rho) > 0.5]
    assert 0 < len(alike) < len(ASSETS)
    assert found.correlated_value == pytest.approx(sum(float(value[asset]) for asset in alike))
    assert [part.split()[0] for part in found.correlated_with.split(", ")] == alike


def test_an_empty_account_has_no_exposure() -> None:
    found = exposure_of(
        [], base="BTC", pending=Decimal(0), venue_equity=Decimal(0), total_equity=Decimal(0), threshold=0.7,
        correlation=np.ones((1, 1)), volatilities=np.array([0.03]), true_range=0.04, volume=Decimal(5), assumed="",
    )  # fmt: skip
    assert (found.gross, found.positions, found.variance, found.correlated_with) == (0, 0, 0.0, "")


@given(st.floats(0, 1e6), st.floats(-1e3, 1e3), st.floats(1e-6, 10), st.floats(0, 2e3))
def test_the_largest_order_within_a_limit_reaches_it_and_one_more_breaks_it(
    square: float, cross: float, own: float, limit: float
) -> None:
    most = largest_within(square, cross, own, limit)
    assert most >= 0
    at = square + 2 * most * cross + most * most * own
    if most > 0:
        assert math.isclose(at, limit * limit, rel_tol=1e-6, abs_tol=1e-3)
    else:
        assert square >= limit * limit * (1 - 1e-9) or square == limit * limit


def test_an_asset_without_risk_is_bounded_by_what_it_adds_to_others() -> None:
    assert largest_within(1.0, 0.0, 0.0, 2.0) == math.inf
    assert largest_within(1.0, 0.5, 0.0, 2.0) == 3.0
    assert largest_within(5.0, 0.5, 0.0, 2.0) == 0.0
