"""Laws of judging that hold for every case."""

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastertrade.domain.orders import Side
from mastertrade.domain.risk import Check, Disposition, TradingMode
from mastertrade.domain.strategy import SignalType
from mastertrade.risk_manager.asset_classes import AssetClass
from mastertrade.risk_manager.case import Case
from mastertrade.risk_manager.exposure import Exposure
from mastertrade.risk_manager.judge import judge
from mastertrade.risk_manager.limits import KINDS, Limits, Tighter
from mastertrade.risk_manager.rules import RULES
from tests.pure.risk_case import INSTRUMENT, LIMITS, VERDICT_ID, check_of, entry, exit_, judged, signal


def money(most: int) -> st.SearchStrategy[Decimal]:
    return st.decimals(0, most, places=6, allow_nan=False)


class Draw(Random):
    """Even draws: hypothesis prefers the extreme, and a case that is extreme everywhere is refused everywhere."""

    def mostly(self, usual: Any, *others: Any) -> Any:
        return usual if self.random() < 0.96 else self.choice(others)

    def part(self, of: Decimal, least: float, most: float) -> Decimal:
        return (of * Decimal(repr(self.uniform(least, most)))).quantize(Decimal("0.000001"))


def exposure_drawn(draw: Draw, equity: Decimal) -> Exposure:
    """Of a portfolio whose parts go from nothing to a little more than is allowed."""
    whole = float(equity)
    held = draw.uniform(0, 0.5) * whole
    return Exposure(
        gross=draw.part(equity, 0, 1),
        positions=draw.mostly(5, 99, 100, 101),
        asset_class=draw.mostly(AssetClass.CRYPTO, AssetClass.STABLECOIN, AssetClass.MEME),
        class_value=draw.part(equity, 0, 0.82),
        stablecoin_value=draw.part(equity, 0, 0.22),
        venue_equity=equity,
        total_equity=equity,
        squares=held * held,
        correlated_value=draw.uniform(0, 0.26) * whole,
        adjusted_square=held * held,
        adjusted_cross=draw.uniform(-0.1, 1) * held,
        variance=(draw.uniform(0, 0.12) * held) ** 2,
        covariance=draw.uniform(-0.001, 0.002) * held,
        volatility=draw.uniform(0.001, 0.15),
        true_range=draw.mostly(0.04, None),
        volume=draw.mostly(Decimal(10_000_000), None, Decimal(0), Decimal(30_000)),
    )


def case_drawn(seed: int) -> Case:
    draw = Draw(seed)
    equity = draw.part(Decimal(1), 300, 200_000)
    price = Decimal(repr(round(10 ** draw.uniform(-3, 5), 4))) + Decimal("0.0001")
    held = draw.part(equity, 0, 0.04) / price
    type_ = draw.choice((SignalType.BUY, SignalType.BUY, SignalType.BUY, SignalType.SELL, SignalType.HOLD))
    lot = Decimal(draw.choice(("0.00000001", "0.00001", "0.003", "0.7")))
    changes: dict[str, Any] = {
        "signal": signal(type_, confidence=draw.uniform(0, 100), price=float(price)),
        "instrument": replace(
            INSTRUMENT,
            lot_size=min(lot, Decimal(100) / price),
            min_notional=draw.part(Decimal(1), 0, 50),
            taker_fee=draw.part(Decimal(1), 0, 0.01),
        ),
        "mode": draw.mostly(TradingMode.RUNNING, TradingMode.REDUCE_ONLY, TradingMode.HALTED),
        "locks": draw.mostly("", "global until tomorrow (cooldown): x"),
        "price": price,
        "market_price": draw.mostly(price, price * 2, None),
        "usual_price": draw.mostly(price, price * 2, None),
        "orders_this_day": draw.mostly(0, 4_999, 5_000),
        "equity": equity,
        "high_water_mark": equity + draw.part(equity, 0, 0.18),
        "day_start_equity": draw.part(equity, 0.95, 1.055),
        "week_start_equity": draw.part(equity, 0.95, 1.115),
        "quote_free": draw.part(equity, 0.05, 1),
        "base_held": held,
        "base_free": draw.part(held, 0.5, 1),
        "position_quantity": draw.part(held, 0.5, 1),
        "pending_buys": draw.part(equity, 0, 0.01),
        "risk_multiplier": draw.uniform(0, 3),
        "max_order_quantity": draw.mostly(None, Decimal(0), draw.part(Decimal(1), 0, 10)),
        "exposure": exposure_drawn(draw, equity),
    }
    return entry(**changes)


def limits_drawn(seed: int) -> Limits:
    draw = Draw(seed)
    return replace(
        LIMITS,
        position_percent=draw.part(Decimal(1), 1, 15),
        max_position_percent=draw.part(Decimal(1), 2, 15),
        max_daily_loss_percent=draw.part(Decimal(1), 1, 20),
        max_weekly_loss_percent=draw.part(Decimal(1), 2, 20),
        max_drawdown_percent=draw.part(Decimal(1), 5, 40),
        max_volume_percent=draw.part(Decimal(1), 0.1, 100),
        reserve_percent=draw.part(Decimal(1), 0, 20),
        min_notional=draw.part(Decimal(1), 0, 50),
        max_notional=draw.part(Decimal(1), 100, 20_000),
        slippage_percent=draw.part(Decimal(1), 0, 5),
    )


def cases() -> st.SearchStrategy[Case]:
    return st.integers(0, 2**62).map(case_drawn)


limits_ = st.integers(0, 2**62).map(limits_drawn)


def test_the_cases_are_approved_cut_and_refused_in_turn() -> None:
    found: Counter[tuple[Disposition, bool]] = Counter()
    for seed in range(400):
        case, limits = case_drawn(seed), limits_drawn(seed + 1_000_000)
        found[judge(case, limits, verdict_id=VERDICT_ID).verdict.disposition, case.is_exit] += 1
    for disposition in (Disposition.APPROVED, Disposition.REDUCED, Disposition.REFUSED):
        assert found[disposition, False] > 3, found
    assert found[Disposition.APPROVED, True] > 3, found


def approved(case: Case, limits: Limits) -> Decimal:
    return judge(case, limits, verdict_id=VERDICT_ID).verdict.approved_quantity


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=40)
@given(case=cases(), limits=limits_, part=st.sampled_from(["0", "0.01", "0.5", "0.9", "0.999"]))
def test_a_tighter_limit_never_approves_more(name: str, case: Case, limits: Limits, part: str) -> None:
    value, kind = getattr(limits, name), KINDS[name]
    end = kind.lowest if kind.tighter is Tighter.LOWER else kind.highest
    tighter = replace(limits, **{name: end + (value - end) * Decimal(part)})
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
    assert [one.name for one in judgement.verdict.checks] == ["sizing", *(rule.__name__ for rule in RULES)]
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
