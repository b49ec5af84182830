"""Maintenance margin and the moment at which an account no longer keeps it."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastertrade.backtest.options import Margin
from mastertrade.exchanges.paper_margin import Held, Tier, broken_at, maintenance, most_notional

D = Decimal
TIERS = [
    Tier(notional_from=D(0), notional_to=D(1000), maintenance_rate=D("0.004"), max_leverage=D(125)),
    Tier(notional_from=D(1000), notional_to=D(5000), maintenance_rate=D("0.01"), max_leverage=D(50)),
    Tier(notional_from=D(5000), notional_to=D(20000), maintenance_rate=D("0.05"), max_leverage=D(10)),
]


def held(quantity: str, cost: str, open_: str, worst: str, symbol: str = "BTC/USDT:USDT") -> Held:
    return Held(symbol=symbol, quantity=D(quantity), cost=D(cost), open=D(open_), worst=D(worst))


def test_without_tiers_it_is_what_a_backtest_assumes() -> None:
    assert float(maintenance(D(1), [])) == Margin().maintenance


@pytest.mark.parametrize(
    ("notional", "needed"), [("500", "2"), ("1000", "4"), ("1001", "4.01"), ("6000", "94"), ("30000", "1294")]
)
def test_each_part_of_a_position_needs_the_rate_of_its_tier(notional: str, needed: str) -> None:
    assert maintenance(D(notional), TIERS) == D(needed)


@pytest.mark.parametrize(
    ("leverage", "most"),
    [("1", "20000"), ("10", "20000"), ("11", "5000"), ("50", "5000"), ("51", "1000"), ("126", "0")],
)
def test_the_more_leverage_the_smaller_a_position_may_be(leverage: str, most: str) -> None:
    assert most_notional(D(leverage), TIERS) == D(most)


def test_no_size_is_too_large_where_nothing_is_known() -> None:
    assert most_notional(D(125), []) is None


def test_what_keeps_its_margin_to_the_end_of_the_bar_is_never_broken() -> None:
    assert broken_at(D(100), [held("10", "1000", "100", "90.5")]) is None
    assert broken_at(D(-5), []) is None


def test_what_opens_beyond_it_is_broken_at_once_and_what_comes_later_is_found() -> None:
    assert broken_at(D(100), [held("10", "1000", "89", "80")]) == 0
    moment = broken_at(D(100), [held("10", "1000", "100", "80")])
    assert moment is not None
    assert float(held("10", "1000", "100", "80").price(moment)) == pytest.approx(90 / 0.995)
    assert broken_at(D(100), [held("10", "1000", "100", "80")], D("0.7")) == D("0.7")


def test_a_gain_of_one_market_carries_the_loss_of_another_where_both_are_at_their_worst() -> None:
    losing, winning = held("10", "1000", "95", "85"), held("-10", "1000", "80", "85", "ETH/USDT:USDT")
    assert broken_at(D(50), [losing, winning]) is None
    assert broken_at(D(50), [losing]) == 0


@given(
    st.lists(
        st.tuples(st.integers(-50, 50).filter(bool), st.integers(50, 150), st.integers(50, 150), st.integers(0, 40)),
        min_size=1, max_size=4,
    ),
    st.integers(0, 2000),
)  # fmt: skip
def test_at_the_moment_found_the_margin_is_gone_and_just_before_it_was_there(
    drawn: list[tuple[int, int, int, int]], wallet: int
) -> None:
    positions = [
        Held(
            symbol=str(place), quantity=D(quantity), cost=D(abs(quantity) * entry), open=D(open_),
            worst=D(open_ - move if quantity > 0 else open_ + move), tiers=TIERS if place % 2 else (),
        )
        for place, (quantity, entry, open_, move) in enumerate(drawn)
    ]  # fmt: skip
    moment = broken_at(D(wallet), positions)

    def left(moment: Decimal) -> Decimal:
        return wallet + sum((one.excess(moment) for one in positions), D(0))

    if moment is None:
        assert left(D(1)) > 0
    else:
        assert left(moment) <= 0
        assert moment == 0 or left(moment - D("1e-15")) > 0
