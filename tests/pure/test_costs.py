"""The cost model: the written percentages, in floats and exactly."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastertrade.quant.costs import BUY_SIGN, FREE, SELL_SIGN, Costs, fee, fill_price

PRICES = st.floats(1e-8, 1e8)


def test_by_default_a_side_costs_a_tenth_of_a_percent_and_half_of_that_in_price() -> None:
    costs = Costs()
    assert costs.price_impact == 0.0005
    assert costs.market_price(60_000.0, BUY_SIGN) == pytest.approx(60_030.0, rel=1e-15)
    assert costs.market_price(60_000.0, SELL_SIGN) == pytest.approx(59_970.0, rel=1e-15)
    assert costs.taker_fee_on(2.0, 100.0) == 0.2


def test_exact_rooms_get_the_rates_as_they_were_written() -> None:
    costs = Costs()
    half_spread, slippage = Decimal(str(costs.half_spread)), Decimal(str(costs.slippage))
    assert fill_price(Decimal("43210.98"), BUY_SIGN, half_spread, slippage) == Decimal("43210.98") * Decimal("1.0005")
    assert fill_price(Decimal("43210.98"), SELL_SIGN, half_spread, slippage) == Decimal("43210.98") * Decimal("0.9995")
    assert fee(Decimal("0.5"), Decimal("100.1"), Decimal(str(costs.taker_fee))) == Decimal("0.05005")


@given(price=PRICES, half_spread=st.floats(0, 0.1), slippage=st.floats(0, 0.1), side=st.sampled_from([1, -1]))
def test_floats_and_decimals_agree_to_the_last_bits(
    price: float, half_spread: float, slippage: float, side: int
) -> None:
    exact = fill_price(Decimal(str(price)), side, Decimal(str(half_spread)), Decimal(str(slippage)))
    costs = Costs(half_spread=half_spread, slippage=slippage)
    assert costs.market_price(price, side) == pytest.approx(float(exact), rel=1e-14)


@given(price=PRICES)
def test_a_market_order_never_gets_a_better_price_than_it_meets(price: float) -> None:
    assert Costs().market_price(price, BUY_SIGN) > price > Costs().market_price(price, SELL_SIGN)


@given(price=PRICES, quantity=st.floats(0, 1e6))
def test_free_trading_changes_no_number(price: float, quantity: float) -> None:
    assert FREE.market_price(price, BUY_SIGN) == FREE.market_price(price, SELL_SIGN) == price
    assert FREE.taker_fee_on(quantity, price) == 0.0


@pytest.mark.parametrize("name", ["taker_fee", "maker_fee", "half_spread", "slippage"])
@pytest.mark.parametrize("rate", [-0.0001, 1.0, 10.0, float("nan"), float("inf")])
def test_a_rate_that_is_no_fraction_is_refused_by_name(name: str, rate: float) -> None:
    with pytest.raises(ValueError, match=f"{name} .* is outside 0..1"):
        Costs(**{name: rate})


def test_rates_that_together_eat_the_sale_are_refused() -> None:
    with pytest.raises(ValueError, match="whole value"):
        Costs(taker_fee=0.5, half_spread=0.3, slippage=0.2)


@pytest.mark.parametrize("given", [{"impact": -0.1}, {"impact": float("nan")}, {"participation": 1.5}])
def test_an_impact_or_participation_that_makes_no_sense_is_refused_by_name(given: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=rf"{next(iter(given))} .* is outside 0\.\.1"):
        Costs(**given)


def test_a_tenth_of_the_volume_is_taken_unless_said_otherwise_or_size_does_not_matter() -> None:
    assert Costs().participation_cap == 0.1
    assert Costs(impact=0).participation_cap == FREE.participation_cap == 0.0
    assert Costs(participation=0).participation_cap == 0.0
    assert Costs(impact=0, participation=0.3).participation_cap == 0.3
