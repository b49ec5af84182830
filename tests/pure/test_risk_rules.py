"""Each check alone: what it stops, what it lets through, and which numbers it leaves behind."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from mastertrade.domain.market import InstrumentKind, InstrumentStatus
from mastertrade.domain.orders import Terms
from mastertrade.domain.risk import Disposition, TradingMode
from mastertrade.domain.strategy import SignalType
from mastertrade.risk_manager.asset_classes import AssetClass
from mastertrade.risk_manager.case import Case
from mastertrade.risk_manager.rules import RULES
from mastertrade.risk_manager.sizing import stop_percent
from tests.pure.risk_case import INSTRUMENT, LIMITS, NOW, check_of, entry, exit_, judged, signal


def failed(case: Case, **limits: Any) -> set[str]:
    return {check.name for check in judged(case, **limits).verdict.checks if not check.passed}


def test_an_ordinary_entry_passes_every_check_whole() -> None:
    judgement = judged(entry())
    assert judgement.verdict.disposition is Disposition.APPROVED
    assert [check.name for check in judgement.verdict.checks] == ["sizing", *(rule.__name__ for rule in RULES)]
    assert all(check.passed and check.reduced_to is None for check in judgement.verdict.checks)


def test_an_ordinary_exit_passes_every_check_whole() -> None:
    judgement = judged(exit_())
    assert judgement.verdict.disposition is Disposition.APPROVED
    assert judgement.verdict.approved_quantity == Decimal("0.05")


@pytest.mark.parametrize("mode", [TradingMode.REDUCE_ONLY, TradingMode.HALTED])
def test_a_halt_stops_entries_and_names_who_halted(mode: TradingMode) -> None:
    judgement = judged(entry(mode=mode, halts=f"global is {mode} by ann: night"))
    assert judgement.verdict.disposition is Disposition.REFUSED
    assert judgement.verdict.reason == f"trading_state: global is {mode} by ann: night"
    assert judgement.order is None


@pytest.mark.parametrize("mode", [TradingMode.REDUCE_ONLY, TradingMode.HALTED])
def test_exits_pass_a_halt(mode: TradingMode) -> None:
    assert judged(exit_(mode=mode)).verdict.disposition is Disposition.APPROVED


@pytest.mark.parametrize("late_s", [30.001, 61.0, 86_400.0])
def test_a_signal_past_its_deadline_expires(late_s: float) -> None:
    judgement = judged(entry(now=NOW + timedelta(seconds=late_s), price_as_of=NOW + timedelta(seconds=late_s)))
    assert judgement.verdict.disposition is Disposition.EXPIRED
    assert check_of(judgement, "signal_age").value == pytest.approx(late_s)
    assert check_of(judgement, "signal_age").limit == 30.0


def test_a_signal_is_good_until_the_very_end_of_its_deadline() -> None:
    assert judged(entry(now=NOW + timedelta(seconds=30))).verdict.disposition is Disposition.APPROVED


def test_a_long_deadline_does_not_make_an_old_signal_fresh() -> None:
    case = entry(signal=signal(valid_until=NOW + timedelta(days=1)), now=NOW + timedelta(seconds=61))
    assert judged(case).verdict.disposition is Disposition.EXPIRED


def test_an_expired_exit_expires_too() -> None:
    assert judged(exit_(now=NOW + timedelta(seconds=31))).verdict.disposition is Disposition.EXPIRED


def test_a_signal_from_the_future_is_refused_not_expired() -> None:
    case = entry(signal=signal(raised_at=NOW + timedelta(seconds=6), valid_until=NOW + timedelta(seconds=60)))
    judgement = judged(case)
    assert judgement.verdict.disposition is Disposition.REFUSED
    assert failed(case) == {"signal_age"}


def test_a_clock_slightly_behind_is_tolerated() -> None:
    case = entry(signal=signal(raised_at=NOW + timedelta(seconds=5), valid_until=NOW + timedelta(seconds=60)))
    assert failed(case) == set()


def test_a_disabled_strategy_may_only_leave() -> None:
    assert failed(entry(strategy_is_enabled=False)) == {"strategy_enabled"}
    assert failed(exit_(strategy_is_enabled=False)) == set()


@pytest.mark.parametrize("status", [InstrumentStatus.HALTED, InstrumentStatus.DELISTED])
def test_an_instrument_that_does_not_trade_is_refused_even_to_leave(status: InstrumentStatus) -> None:
    instrument = replace(INSTRUMENT, status=status)
    assert failed(entry(instrument=instrument)) == {"instrument_tradable"}
    assert failed(exit_(instrument=instrument)) == {"instrument_tradable"}


def test_an_instrument_of_another_venue_or_quote_is_refused() -> None:
    assert failed(entry(account_venue="kraken")) == {"instrument_tradable"}
    assert failed(entry(account_quote="USDC")) == {"instrument_tradable"}


@pytest.mark.parametrize("age_s", [121, -6])
def test_an_entry_needs_a_recent_price_and_an_exit_does_not(age_s: int) -> None:
    as_of = NOW - timedelta(seconds=age_s)
    assert failed(entry(price_as_of=as_of)) == {"price_age"}
    assert failed(exit_(price_as_of=as_of)) == set()


def test_nothing_new_while_something_is_in_flight() -> None:
    assert failed(entry(in_flight="order 1 is UNKNOWN")) == {"nothing_in_flight"}
    assert "order 1 is UNKNOWN" in judged(exit_(in_flight="order 1 is UNKNOWN")).verdict.reason


def test_an_exit_without_a_position_is_refused() -> None:
    case = exit_(position_quantity=Decimal(0))
    assert failed(case) == {"exit_has_position"}
    assert judged(case).verdict.disposition is Disposition.REFUSED


def test_an_exit_of_less_than_a_lot_is_refused() -> None:
    assert failed(exit_(position_quantity=Decimal("0.000009"))) == {"exit_has_position"}


def test_an_exit_gives_up_no_more_than_is_free() -> None:
    judgement = judged(exit_(base_free=Decimal("0.049955")))
    assert judgement.verdict.disposition is Disposition.REDUCED
    assert judgement.verdict.approved_quantity == Decimal("0.04995")


def test_a_reduce_only_sale_gives_up_no_more_than_its_strategy_holds() -> None:
    """The account may hold more of it, for others."""
    for reduce_only, sold in ((True, Decimal("0.05")), (False, Decimal(1))):
        wanted = signal(SignalType.SELL, quantity=Decimal(1), terms=Terms(reduce_only=reduce_only))
        case = exit_(signal=wanted, position_quantity=Decimal("0.05"), base_free=Decimal(2))
        assert judged(case).verdict.approved_quantity == sold


@pytest.mark.parametrize(
    ("equity", "stopped"), [(Decimal("95_000.01"), False), (Decimal(95_000), True), (Decimal(1), True)]
)
def test_the_daily_loss_limit_stops_entries_at_the_limit(equity: Decimal, stopped: bool) -> None:
    assert ("daily_loss" in failed(entry(equity=equity))) is stopped


@pytest.mark.parametrize(("equity", "stopped"), [(Decimal("85_000.01"), False), (Decimal(85_000), True)])
def test_the_drawdown_limit_stops_entries_at_the_limit(equity: Decimal, stopped: bool) -> None:
    assert ("drawdown" in failed(entry(equity=equity, day_start_equity=equity))) is stopped


def test_losses_do_not_stop_exits() -> None:
    assert failed(exit_(equity=Decimal(2_500))) == set()


def test_a_gain_is_no_loss() -> None:
    judgement = judged(entry(equity=Decimal(110_000), high_water_mark=Decimal(110_000)))
    assert check_of(judgement, "daily_loss").value == 0.0


def test_an_account_without_equity_is_refused_with_the_reason() -> None:
    case = entry(equity=Decimal(0), day_start_equity=Decimal(0), high_water_mark=Decimal(0), quote_free=Decimal(0))
    judgement = judged(case)
    assert judgement.verdict.disposition is Disposition.REFUSED
    assert "not above 0" in check_of(judgement, "drawdown").detail


def test_a_strong_signal_is_cut_to_the_position_cap() -> None:
    judgement = judged(entry(signal=signal(confidence=90.0)))
    assert judgement.verdict.disposition is Disposition.REDUCED
    assert judgement.verdict.requested_quantity == Decimal("0.12")
    assert judgement.verdict.approved_quantity == Decimal("0.1")
    assert judgement.verdict.reason == "cut from 0.12 to 0.1 by position_size"
    assert check_of(judgement, "position_size").reduced_to == Decimal("0.1")
    assert check_of(judgement, "position_size").value == pytest.approx(6.0)


def test_what_is_held_and_what_is_pending_count_towards_the_position_cap() -> None:
    held = judged(entry(base_held=Decimal("0.02"), base_free=Decimal("0.02")))
    assert held.verdict.approved_quantity == Decimal("0.08")
    pending = judged(entry(base_held=Decimal("0.02"), pending_buys=Decimal(1_500)))
    assert pending.verdict.approved_quantity == Decimal("0.05")


def test_a_full_position_refuses_more() -> None:
    case = entry(base_held=Decimal("0.1"))
    assert failed(case) == {"position_size"}


def test_the_strategy_s_own_largest_order_cuts() -> None:
    judgement = judged(entry(max_order_quantity=Decimal("0.033333333")))
    assert judgement.verdict.approved_quantity == Decimal("0.03333")


def test_the_largest_notional_cuts() -> None:
    judgement = judged(entry(), max_notional=Decimal(1_000))
    assert judgement.verdict.approved_quantity == Decimal("0.02")


def test_the_reserve_stays_free() -> None:
    judgement = judged(entry(quote_free=Decimal(11_006), equity=Decimal(100_000)))
    assert judgement.verdict.approved_quantity == Decimal("0.02")  # 1,006 pay for 1,000 with fee and slippage
    assert judgement.order is not None
    assert judgement.order.reserve_amount == Decimal(1_006)


def test_nothing_free_beyond_the_reserve_refuses() -> None:
    assert "free_balance" in failed(entry(quote_free=Decimal(10_000)))


def test_what_is_left_must_be_worth_sending() -> None:
    assert "min_notional" in failed(entry(), max_notional=Decimal("9.99"))
    assert "min_notional" in failed(entry(), min_notional=Decimal(4_800) + 1)


def test_our_own_minimum_does_not_hold_back_an_exit_and_the_venue_s_does() -> None:
    assert failed(exit_(), min_notional=Decimal(1_000_000)) == set()
    tiny = exit_(position_quantity=Decimal("0.00019"))
    assert failed(tiny) == {"min_notional"}


def test_a_limit_far_from_the_market_is_worth_what_the_venue_will_count() -> None:
    for limit, too_small in ((Decimal(5_000), False), (Decimal("100"), True)):
        by_hand = entry(signal=signal(quantity=Decimal("0.01"), limit_price=limit))
        assert ("min_notional" in failed(by_hand)) is too_small


def test_a_price_that_cannot_be_computed_with_refuses() -> None:
    for price in (Decimal("NaN"), Decimal(0), Decimal("Infinity")):
        judgement = judged(entry(price=price))
        assert judgement.verdict.disposition is Disposition.REFUSED
        assert judgement.order is None


def test_hold_is_held_without_a_check() -> None:
    judgement = judged(entry(signal=signal(SignalType.HOLD)))
    assert (judgement.verdict.disposition, judgement.verdict.checks) == (Disposition.HELD, ())


def holding(**changes: Any) -> Case:
    """An entry on an account that holds other things; ``changes`` are of its exposure."""
    return entry(exposure=replace(entry().exposure, **changes))


@pytest.mark.parametrize(
    ("case", "name"),
    [
        (entry(locks="global until 2021-09-02 00:00 (cooldown): a stop was hit"), "locks"),
        (entry(market_price=Decimal(47_000)), "price_sanity"),
        (entry(market_price=None), "price_sanity"),
        (entry(usual_price=Decimal(41_000)), "price_sanity"),
        (entry(usual_price=Decimal(63_000)), "price_sanity"),
        (entry(orders_this_second=50), "order_rate"),
        (entry(orders_this_minute=200), "order_rate"),
        (entry(orders_this_day=5_000), "order_rate"),
        (holding(gross=Decimal(100_000)), "exposure"),
        (holding(gross=Decimal(300_000)), "leverage"),
        (holding(positions=100), "open_positions"),
        (holding(class_value=Decimal(80_000)), "class_exposure"),
        (holding(venue_equity=Decimal(3), total_equity=Decimal(2)), "venue_share"),
        (holding(squares=0.31e10), "concentration"),
        (holding(correlated_value=25_000.0), "correlated_exposure"),
        (holding(adjusted_square=3.6e9), "adjusted_exposure"),
        (entry(week_start_equity=Decimal(111_112)), "weekly_loss"),
        (holding(variance=(10_000 / 1.6448) ** 2), "value_at_risk"),
        (holding(volume=Decimal(0)), "liquidity"),
    ],
)
def test_each_limit_of_the_account_stops_an_entry_and_lets_an_exit_pass(case: Case, name: str) -> None:
    assert name in failed(case)
    leaving = replace(
        case, signal=exit_().signal, base_held=Decimal(1), base_free=Decimal(1), position_quantity=Decimal(1)
    )
    assert failed(leaving) == set()


@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        ({"gross": Decimal(98_000)}, "exposure", 100.0),
        ({"class_value": Decimal(78_000)}, "class_exposure", 80.0),
        ({"correlated_value": 23_000.0}, "correlated_exposure", 25.0),
        ({"adjusted_square": 3.481e9, "adjusted_cross": 20_000.0}, "adjusted_exposure", 60.0),
        ({"squares": 2.999e9}, "concentration", 0.3),
        ({"variance": 6_000.0**2, "covariance": 200.0}, "value_at_risk", 10.0),
        ({"volume": Decimal(200_000)}, "liquidity", 1.0),
        ({"volatility": 0.5, "asset_class": AssetClass.MEME}, "risk_per_trade", None),
    ],
)
def test_an_entry_is_cut_until_it_fits_the_limit(changes: dict[str, Any], name: str, value: float | None) -> None:
    judgement = judged(holding(**changes), risk_per_trade_percent=Decimal("0.1") if value is None else Decimal(2))
    assert judgement.verdict.disposition is Disposition.REDUCED
    assert f"by {name}" in judgement.verdict.reason
    cut = judgement.verdict.approved_quantity
    assert 0 < cut < Decimal("0.096")
    limits = replace(LIMITS, risk_per_trade_percent=Decimal("0.1") if value is None else Decimal(2))
    [rule] = [rule for rule in RULES if rule.__name__ == name]
    again = rule(replace(holding(**changes), quantity=cut), limits)
    assert again.reduced_to is None
    assert again.value == pytest.approx(again.limit, rel=1e-3)
    assert value is None or again.limit == value


def test_a_stop_is_two_volatilities_away_within_bounds_and_wilder_for_memes() -> None:
    away = [
        stop_percent(holding(**changes), LIMITS)
        for changes in (
            {"volatility": 0.03}, {"volatility": 0.0001}, {"volatility": 0.2},
            {"volatility": 0.015, "asset_class": AssetClass.MEME}, {"volatility": 0.1, "assumed": "too short"},
        )
    ]  # fmt: skip
    assert away == [6, Decimal("0.5"), 10, Decimal("7.5"), 2]


def test_an_approved_entry_names_its_stop_and_an_exit_has_none() -> None:
    order = judged(entry()).order
    assert order is not None
    assert order.stop_price == Decimal("47000.00")
    leaving = judged(exit_()).order
    assert leaving is not None
    assert leaving.stop_price is None


def test_a_stable_coin_counts_with_the_others_of_its_kind() -> None:
    case = holding(asset_class=AssetClass.STABLECOIN, stablecoin_value=Decimal(20_000))
    assert "stablecoins" in failed(case)
    assert "stablecoins" not in failed(holding(stablecoin_value=Decimal(20_000)))


def test_a_leveraged_position_keeps_its_distance_to_liquidation() -> None:
    swap = replace(INSTRUMENT, symbol="BTC/USDT:USDT", kind=InstrumentKind.SWAP, settle="USDT")
    far, near = holding(), holding(gross=Decimal(900_000))
    far, near = replace(far, instrument=swap), replace(near, instrument=swap)
    assert "liquidation_distance" not in failed(far)
    assert "liquidation_distance" in failed(near, max_exposure_percent=Decimal(1000), max_leverage=Decimal(100))
    unknown = replace(holding(true_range=None), instrument=swap)
    assert "liquidation_distance" not in failed(unknown)
    wild = replace(near, exposure=replace(near.exposure, true_range=None))
    assert "liquidation_distance" in failed(wild, max_exposure_percent=Decimal(1000), max_leverage=Decimal(100))
    assert "liquidation_distance" not in failed(holding(true_range=None))
