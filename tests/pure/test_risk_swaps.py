"""Judging swaps: longs, shorts, exits of either, turns, and margin in the place of full payment."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from mastertrade.domain.market import InstrumentKind
from mastertrade.domain.orders import Side, Terms
from mastertrade.domain.risk import Check, Disposition, TradingMode
from mastertrade.domain.strategy import SignalType
from mastertrade.risk_manager.case import Case
from mastertrade.risk_manager.exposure import Exposure
from mastertrade.risk_manager.judge import Judgement, judge
from tests.pure.risk_case import INSTRUMENT, LIMITS, VERDICT_ID, entry, signal

SWAP = replace(INSTRUMENT, symbol="BTC/USDT:USDT", kind=InstrumentKind.SWAP, settle="USDT")
BUY, SELL = SignalType.BUY, SignalType.SELL
CLOSES = Terms(reduce_only=True)


def swap(type_: SignalType = BUY, *, held: object = 0, wants: Any = {}, **changes: Any) -> Case:  # noqa: B006
    """On an account for swaps with two times leverage; ``held`` is the strategy's, and all that there is."""
    quantity = Decimal(str(held))
    base = entry(
        instrument=SWAP,
        signal=signal(type_, symbol=SWAP.symbol, **wants),
        account_kind=InstrumentKind.SWAP,
        leverage=Decimal(2),
        position_quantity=quantity,
        base_held=abs(quantity),
        maintenance_rate=0.004,
    )
    return replace(base, **{"exposure": replace(base.exposure, true_range=0.03), **changes})


def judged(case: Case) -> Judgement:
    return judge(case, LIMITS, verdict_id=VERDICT_ID)


def check(found: Judgement, name: str) -> Check:
    return next(one for one in found.verdict.checks if one.name == name)


def test_a_sale_of_nothing_held_opens_a_short_with_its_stop_above() -> None:
    found = judged(swap(SELL))
    assert found.order is not None, found.verdict.reason
    assert (found.order.side, found.order.reduces) == (Side.SELL, False)
    assert found.order.stop_price is not None
    assert found.order.stop_price > 50_000
    assert found.order.reserve_asset == "USDT"
    notional = found.order.quantity * 50_000
    assert notional / 2 < found.order.reserve_amount < notional * Decimal("0.52"), "half, slippage and the fee"


def test_a_short_and_a_long_of_the_same_market_ask_for_the_same_size() -> None:
    short, long = judged(swap(SELL)), judged(swap(BUY))
    assert short.order
    assert long.order
    assert short.order.quantity == long.order.quantity
    assert (long.order.stop_price or 0) < 50_000 < (short.order.stop_price or 0)


@pytest.mark.parametrize(("type_", "held"), [(BUY, "-0.2"), (SELL, "0.2")])
def test_what_goes_against_the_position_gives_it_up_and_sets_nothing_aside(type_: SignalType, held: str) -> None:
    found = judged(swap(type_, held=held, quote_free=Decimal(-50), mode=TradingMode.HALTED))
    assert found.order is not None, found.verdict.reason
    assert (found.order.quantity, found.order.reduces) == (Decimal("0.2"), True)
    assert (found.order.reserve_asset, found.order.reserve_amount) == ("USDT", Decimal(0))
    assert found.order.stop_price is None


def test_reduce_only_never_opens_and_never_closes_more_than_is_held() -> None:
    nothing = judged(swap(BUY, wants={"terms": CLOSES}))
    assert nothing.verdict.disposition is Disposition.REFUSED
    assert not check(nothing, "exit_has_position").passed
    same_side = judged(swap(SELL, held="-0.2", wants={"terms": CLOSES, "quantity": Decimal("0.1")}))
    assert same_side.order is None
    too_much = judged(swap(BUY, held="-0.2", wants={"terms": CLOSES, "quantity": Decimal("0.5")}))
    assert too_much.order is not None
    assert too_much.order.quantity == Decimal("0.2")


def test_a_turn_is_one_order_that_closes_and_opens() -> None:
    fresh = judged(swap(SELL))
    turned = judged(swap(SELL, held="0.03", wants={"turns": True}))
    assert fresh.order
    assert turned.order
    assert turned.order.quantity == fresh.order.quantity + Decimal("0.03")
    assert turned.order.reduces is False
    assert turned.verdict.approved_quantity == turned.order.quantity
    fee_of_closing = Decimal("0.03") * 50_000 * SWAP.taker_fee
    assert turned.order.reserve_amount - fresh.order.reserve_amount == fee_of_closing


def test_a_turn_that_may_not_open_still_gives_the_position_up() -> None:
    found = judged(swap(SELL, held="0.03", wants={"turns": True}, mode=TradingMode.HALTED))
    assert found.order is not None
    assert (found.order.quantity, found.order.reduces) == (Decimal("0.03"), True)
    assert "only gives the position up: trading_state" in found.verdict.reason


def test_a_hand_that_sells_more_than_is_held_turns_the_position() -> None:
    found = judged(swap(SELL, held="0.03", wants={"quantity": Decimal("0.05")}))
    assert found.order is not None, found.verdict.reason
    assert (found.order.quantity, found.order.reduces) == (Decimal("0.05"), False)


def test_strategies_of_an_account_hold_one_direction() -> None:
    against = judged(swap(SELL, others_quantity=Decimal("0.1")))
    assert not check(against, "one_direction").passed
    assert "an account of its own" in check(against, "one_direction").detail
    assert judged(swap(BUY, others_quantity=Decimal("0.001"), base_held=Decimal("0.001"))).order is not None
    exit_ = judged(swap(SELL, held="0.2", others_quantity=Decimal("0.1")))
    assert exit_.order is not None


def test_an_account_trades_the_kind_of_market_it_is_for() -> None:
    spot = judged(entry(account_kind=InstrumentKind.SWAP))
    assert "is a spot market, the account is for swap" in check(spot, "instrument_tradable").detail
    of_spot = judged(replace(swap(), account_kind=InstrumentKind.SPOT))
    assert "is a swap market, the account is for spot" in check(of_spot, "instrument_tradable").detail
    inverse = replace(SWAP, symbol="BTC/USD:BTC", quote="USD", settle="BTC")
    assert "settles in BTC" in check(judged(replace(swap(), instrument=inverse)), "instrument_tradable").detail


def test_leverage_lets_free_money_carry_more() -> None:
    wants = {"quantity": Decimal("0.09")}  # 4,500 of notional
    poor = {"quote_free": Decimal(12_000), "equity": Decimal(100_000)}
    full = judged(swap(BUY, wants=wants, leverage=Decimal(1), **poor))
    twice = judged(swap(BUY, wants=wants, leverage=Decimal(5), **poor))
    assert full.order is None or full.order.quantity < Decimal("0.09")
    assert twice.order is not None
    assert twice.order.quantity == Decimal("0.09")


def test_a_short_beside_a_long_that_moves_alike_lowers_the_value_at_risk() -> None:
    beside = Exposure(variance=100.0**2, covariance=0.5 * 100.0 * 0.05, volatility=0.05, true_range=0.03)
    wants = {"quantity": Decimal("0.05")}
    long, short = (judged(swap(type_, wants=wants, exposure=beside)) for type_ in (BUY, SELL))
    values = [check(one, "value_at_risk").value or 0.0 for one in (short, long)]
    assert values[0] < values[1]


def test_a_stop_that_costs_the_same_on_both_sides_risks_nearly_the_same() -> None:
    wants = {"quantity": Decimal("0.05")}
    long, short = (check(judged(swap(type_, wants=wants)), "risk_per_trade").value or 0.0 for type_ in (BUY, SELL))
    assert long == pytest.approx(short, rel=0.02)
    assert short > long, "the fee and slippage of a stop above are those of a higher price"
