"""Laws of judging that hold for every case."""

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastertrade.domain.orders import Side
from mastertrade.domain.risk import Check, Disposition, TradingMode
from mastertrade.domain.strategy import SignalType
from mastertrade.risk_manager.case import Case, Limits
from mastertrade.risk_manager.judge import judge
from mastertrade.risk_manager.rules import RULES
from tests.pure.risk_case import INSTRUMENT, LIMITS, VERDICT_ID, check_of, entry, exit_, judged, signal


def money(most: int) -> st.SearchStrategy[Decimal]:
    return st.decimals(0, most, places=6, allow_nan=False)


percents = st.decimals("0.1", 100, places=2)
limits_ = st.builds(
    replace,
    st.just(LIMITS),
    position_percent=percents,
    max_position_percent=percents,
    max_daily_loss_percent=percents,
    max_drawdown_percent=percents,
    reserve_percent=st.decimals(0, 100, places=2),
    min_notional=money(1_000),
    max_notional=money(20_000),
    slippage_percent=st.decimals(0, 5, places=2),
)
instruments = st.builds(
    replace,
    st.just(INSTRUMENT),
    lot_size=st.sampled_from([Decimal(text) for text in ("0.00000001", "0.00001", "0.003", "0.7", "1", "25")]),
    min_notional=money(50),
    taker_fee=st.decimals(0, "0.05", places=4),
)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    equity = draw(money(200_000))
    held = draw(money(10))
    changes: dict[str, Any] = {
        "signal": signal(draw(st.sampled_from(SignalType)), confidence=draw(st.floats(0, 100))),
        "instrument": draw(instruments),
        "mode": draw(st.sampled_from(TradingMode)),
        "price": draw(st.decimals("0.0001", 70_000, places=4)),
        "equity": equity,
        "high_water_mark": equity + draw(money(30_000)),
        "day_start_equity": max(equity + draw(st.decimals(-10_000, 10_000, places=4)), Decimal(0)),
        "quote_free": draw(money(200_000)),
        "base_held": held,
        "base_free": min(held, draw(money(10))),
        "position_quantity": min(held, draw(money(10))),
        "pending_buys": draw(money(5_000)),
        "risk_multiplier": draw(st.floats(0, 3)),
        "max_order_quantity": draw(st.none() | money(10)),
    }
    return entry(**changes)


def approved(case: Case, limits: Limits) -> Decimal:
    return judge(case, limits, verdict_id=VERDICT_ID).verdict.approved_quantity


@given(cases(), limits_, st.data())
def test_a_tighter_limit_never_approves_more(case: Case, limits: Limits, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["max_position_percent", "max_daily_loss_percent", "max_drawdown_percent",
                                      "max_notional", "max_signal_age_s", "max_price_age_s"]))  # fmt: skip
    value = getattr(limits, name)
    factor = data.draw(st.sampled_from(["0", "0.01", "0.5", "0.9", "0.999"]))
    tighter = replace(limits, **{name: type(value)(factor) * value})
    assert approved(case, tighter) <= approved(case, limits)


@given(cases(), limits_, st.data())
def test_a_higher_threshold_never_approves_more(case: Case, limits: Limits, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["min_notional", "reserve_percent", "slippage_percent"]))
    tighter = replace(limits, **{name: getattr(limits, name) + data.draw(money(100))})
    assert approved(case, tighter) <= approved(case, limits)


@given(cases(), limits_)
def test_a_halt_never_approves_more(case: Case, limits: Limits) -> None:
    running = approved(replace(case, mode=TradingMode.RUNNING), limits)
    for mode in (TradingMode.REDUCE_ONLY, TradingMode.HALTED):
        stopped = approved(replace(case, mode=mode), limits)
        assert stopped == (running if case.is_exit else 0)


@given(cases(), limits_, st.permutations(RULES[:-1]))
def test_the_order_of_the_checks_changes_no_decision(case: Case, limits: Limits, rules: list[Any]) -> None:
    usual = judge(case, limits, verdict_id=VERDICT_ID)
    other = judge(case, limits, verdict_id=VERDICT_ID, rules=(*rules, RULES[-1]))
    assert other.order == usual.order
    assert other.verdict.disposition is usual.verdict.disposition
    assert {c.name for c in other.verdict.checks if not c.passed} == {
        c.name for c in usual.verdict.checks if not c.passed
    }


@given(cases(), limits_)
def test_an_approval_keeps_every_limit(case: Case, limits: Limits) -> None:
    judgement = judge(case, limits, verdict_id=VERDICT_ID)
    verdict, order = judgement.verdict, judgement.order
    assert verdict.disposition.is_approval is (order is not None)
    if order is None:
        assert verdict.approved_quantity == 0
        return
    assert 0 < order.quantity == verdict.approved_quantity <= verdict.requested_quantity
    assert order.quantity % case.instrument.lot_size == 0
    assert order.quantity * case.price >= case.instrument.min_notional
    if case.is_exit:
        assert (order.side, order.reduces, order.reserve_asset) == (Side.SELL, True, "BTC")
        assert order.quantity == order.reserve_amount <= min(case.position_quantity, case.base_free)
        return
    assert (order.side, order.reduces, order.reserve_asset) == (Side.BUY, False, "USDT")
    assert case.mode is TradingMode.RUNNING
    assert limits.min_notional <= order.quantity * case.price <= limits.max_notional
    assert (case.base_held + order.quantity) * case.price <= case.equity * limits.max_position_percent / 100
    assert order.reserve_amount >= order.quantity * case.price * (1 + case.instrument.taker_fee)
    assert order.reserve_amount <= case.quote_free - case.equity * limits.reserve_percent / 100


@given(cases(), limits_)
def test_a_verdict_is_reduced_exactly_when_less_is_approved_than_was_asked_for(case: Case, limits: Limits) -> None:
    verdict = judge(case, limits, verdict_id=VERDICT_ID).verdict
    if verdict.disposition.is_approval:
        less = verdict.approved_quantity < verdict.requested_quantity
        assert (verdict.disposition is Disposition.REDUCED) is less


@given(cases())
def test_the_same_case_gives_the_same_judgement(case: Case) -> None:
    assert judged(case) == judged(case)


def test_an_error_in_a_check_refuses_and_says_so() -> None:
    def breaks(case: Case, limits: Limits) -> Check:
        raise ZeroDivisionError("no denominator")

    judgement = judge(entry(), LIMITS, verdict_id=VERDICT_ID, rules=(*RULES, breaks))
    assert judgement.order is None
    assert judgement.verdict.reason == "breaks: could not be evaluated: ZeroDivisionError: no denominator"


def test_all_checks_are_shown_even_after_the_first_failed() -> None:
    judgement = judged(entry(mode=TradingMode.HALTED, in_flight="order 1 is OPEN", quote_free=Decimal(0)))
    assert len(judgement.verdict.checks) == len(RULES)
    assert [text.partition(":")[0] for text in judgement.verdict.reason.split("; ")] == [
        "trading_state",
        "nothing_in_flight",
        "free_balance",
    ]


def test_a_size_that_cannot_be_computed_refuses() -> None:
    judgement = judged(entry(signal=signal(confidence=101.0)))
    assert judgement.verdict.disposition is Disposition.REFUSED
    assert "signal strength 1.01" in check_of(judgement, "requested_size").detail


@pytest.mark.parametrize(("confidence", "percent"), [(10, "1.2"), (30, "2.4"), (50, "3.6"), (75, "4.8"), (100, "5")])
def test_a_stronger_signal_gets_more_up_to_the_cap(confidence: float, percent: str) -> None:
    judgement = judged(entry(signal=signal(confidence=float(confidence))))
    share = judgement.verdict.approved_quantity * 50_000 / 100_000 * 100
    assert share == Decimal(percent)


def test_an_ordinary_signal_asks_for_a_little_less_than_the_cap() -> None:
    judgement = judged(entry())
    assert judgement.verdict.disposition is Disposition.APPROVED
    assert check_of(judgement, "position_size").value == pytest.approx(4.8)
    assert check_of(judgement, "position_size").limit == 5.0


def test_the_strategy_s_multiplier_scales_entries_and_leaves_exits_whole() -> None:
    sizes = [judged(entry(risk_multiplier=factor)).verdict.approved_quantity for factor in (0.25, 0.5, 1.0)]
    assert all(large == 2 * small for small, large in pairwise(sizes))
    assert judged(exit_(risk_multiplier=0.25)).verdict.approved_quantity == Decimal("0.05")


def test_a_buy_reserves_its_price_its_fee_and_room_for_slippage() -> None:
    order = judged(entry()).order
    assert order is not None
    assert order.reserve_amount == order.quantity * 50_000 * Decimal("1.006")


def test_a_sale_reserves_what_it_sells() -> None:
    order = judged(exit_()).order
    assert order is not None
    assert (order.reserve_asset, order.reserve_amount) == ("BTC", Decimal("0.05"))
