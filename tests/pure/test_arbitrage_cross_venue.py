"""Cross-venue differences: only what outlives both fees is an opportunity."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mastertrade.arbitrage_service.detectors import DETECTORS, ArbitrageLimits, Detector
from mastertrade.arbitrage_service.detectors.cross_venue import break_even_percent, find_cross_venue
from mastertrade.domain.arbitrage import Opportunity, Quote
from mastertrade.shared.serialization import new_id

NOW = datetime(2023, 3, 11, 6, tzinfo=UTC)
NO_MINIMUM = ArbitrageLimits(
    min_net_percent=Decimal(0),
    min_net_profit_usd=Decimal(0),
    max_trade_amount_usd=Decimal(10_000),
    max_quote_age_s=15,
)
prices = st.decimals("0.00000001", "1000000", places=8)
fees = st.decimals("0", "0.02", places=5)
minimums = st.decimals("0", "5", places=4)


def quote(
    venue: str,
    bid: Decimal | str,
    ask: Decimal | str | None = None,
    *,
    fee: Decimal | str = "0.001",
    symbol: str = "BTC/USDT",
    age_s: float = 0,
) -> Quote:
    return Quote(
        venue=venue,
        instrument_id=sum(map(ord, venue)),
        symbol=symbol,
        bid=Decimal(bid),
        ask=Decimal(bid if ask is None else ask),
        as_of=NOW - timedelta(seconds=age_s),
        taker_fee=Decimal(fee),
    )


def find(*quotes: Quote, limits: ArbitrageLimits = NO_MINIMUM) -> list[Opportunity]:
    return find_cross_venue(quotes, limits, NOW)


@pytest.mark.parametrize("detect", DETECTORS.values(), ids=DETECTORS.keys())
@given(price=prices, buy_fee=fees, sell_fee=fees, percent=minimums, profit=minimums)
def test_equal_quotes_and_any_cost_give_no_opportunity(
    detect: Detector, price: Decimal, buy_fee: Decimal, sell_fee: Decimal, percent: Decimal, profit: Decimal
) -> None:
    limits = ArbitrageLimits(
        min_net_percent=percent,
        min_net_profit_usd=profit,
        max_trade_amount_usd=Decimal(10_000),
        max_quote_age_s=15,
    )
    quotes = [quote("here", price, fee=buy_fee), quote("there", price, fee=sell_fee)]
    assert detect(quotes, limits, NOW, new_id) == []


@given(first=prices, second=prices, spread=fees, first_fee=fees, second_fee=fees)
def test_what_is_found_leaves_exactly_the_profit_it_states_and_stays_within_the_amount(
    first: Decimal, second: Decimal, spread: Decimal, first_fee: Decimal, second_fee: Decimal
) -> None:
    quotes = {
        "here": quote("here", first, first * (1 + spread), fee=first_fee),
        "there": quote("there", second, second * (1 + spread), fee=second_fee),
    }
    for found in find(*quotes.values()):
        buy, sell = quotes[found.buy_venue], quotes[found.sell_venue]
        exact = found.quantity * (sell.bid * (1 - sell.taker_fee) - buy.ask * (1 + buy.taker_fee))
        assert found.net_profit > 0
        assert 0 <= exact - found.net_profit <= Decimal("0.00000004")  # rounded against us, by a few steps at most
        assert found.quantity * found.buy_price <= NO_MINIMUM.max_trade_amount_usd
        assert found.gross_percent > break_even_percent(buy.taker_fee, sell.taker_fee) - Decimal("1e-9")


@given(price=st.decimals("1", "100000", places=2), gross=st.decimals("0", "2", places=6), buy_fee=fees, sell_fee=fees)
def test_a_difference_below_the_break_even_is_none_and_one_above_it_is(
    price: Decimal, gross: Decimal, buy_fee: Decimal, sell_fee: Decimal
) -> None:
    even = break_even_percent(buy_fee, sell_fee)
    assume(abs(gross - even) > Decimal("0.0001"))  # within the rounding of a small trade either answer is right
    found = find(quote("here", price, fee=buy_fee), quote("there", price * (1 + gross / 100), fee=sell_fee))
    assert bool(found) is (gross > even)


def test_two_fees_of_a_tenth_of_a_percent_break_even_at_this_gross_difference() -> None:
    assert round(break_even_percent(Decimal("0.001"), Decimal("0.001")), 7) == Decimal("0.2002002")


def test_an_opportunity_states_prices_size_fees_and_what_is_left() -> None:
    (found,) = find(quote("kraken", "20000", "20010"), quote("coinbase", "20200", "20210"))
    assert (found.buy_venue, found.sell_venue, found.buy_price, found.sell_price) == (
        "kraken",
        "coinbase",
        Decimal(20010),
        Decimal(20200),
    )
    assert found.quantity == Decimal("0.49975012")  # 10,000 / 20,010, down to eight decimals
    assert found.fees == Decimal("20.09495233")
    assert found.net_profit == Decimal("74.85757047")
    assert round(found.gross_percent, 6) == Decimal("0.949525")
    assert found.found_at == NOW


def test_both_minimums_must_be_exceeded() -> None:
    quotes = [quote("here", "100"), quote("there", "101")]  # leaves about 0.8 percent of 10,000

    def with_minimums(percent: str, profit: str) -> bool:
        limits = ArbitrageLimits(
            min_net_percent=Decimal(percent),
            min_net_profit_usd=Decimal(profit),
            max_trade_amount_usd=Decimal(10_000),
            max_quote_age_s=15,
        )
        return bool(find(*quotes, limits=limits))

    assert [with_minimums("0.5", "10"), with_minimums("0.5", "90"), with_minimums("0.9", "10")] == [True, False, False]


@pytest.mark.parametrize("age_s", [16, -1])
def test_a_price_that_is_too_old_or_from_the_future_is_ignored(age_s: float) -> None:
    assert find(quote("here", "100"), quote("there", "110")) != []
    assert find(quote("here", "100"), quote("there", "110", age_s=age_s)) == []


def test_symbols_are_never_mixed() -> None:
    assert find(quote("here", "100", symbol="BTC/USDC"), quote("there", "110", symbol="BTC/USDT")) == []


def test_pairs_that_are_not_quoted_in_dollars_are_left_out() -> None:
    assert find(quote("here", "0.05", symbol="ETH/BTC"), quote("there", "0.06", symbol="ETH/BTC")) == []


def test_the_most_profitable_comes_first() -> None:
    found = find(quote("low", "100"), quote("middle", "102"), quote("high", "105"))
    assert [(o.buy_venue, o.sell_venue) for o in found] == [("low", "high"), ("middle", "high"), ("low", "middle")]


def test_an_amount_too_small_to_buy_anything_is_no_opportunity() -> None:
    limits = ArbitrageLimits(
        min_net_percent=Decimal(-1),
        min_net_profit_usd=Decimal(-1),
        max_trade_amount_usd=Decimal("0.000001"),
        max_quote_age_s=15,
    )
    assert find(quote("here", "50000"), quote("there", "60000"), limits=limits) == []
