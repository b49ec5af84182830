"""Every fill rule in numbers worked out by hand; the compiled loop and its twin both have to give them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from mastertrade.backtest import twin
from mastertrade.backtest.market import prepare, volatility
from mastertrade.backtest.options import Exits, Funding, Margin, RulesVersion, Sizing, Terms
from mastertrade.backtest.result import ExitReason, Rules, Simulated
from mastertrade.backtest.simulation import compiled
from mastertrade.quant.bars import Bars
from mastertrade.quant.costs import FREE, Costs
from tests.pure.sample_bars import MINUTE_S, START_MS, written_bars

MINUTE_MS = MINUTE_S * 1000
ALL_IN = Sizing.fraction(1.0)
TEN = Sizing.quantity(10.0)


def candles(rows: Sequence[Sequence[float]], *, volume: float = 1e9, interval_s: int = MINUTE_S) -> Bars:
    """Rows of open, high, low, close, a minute each."""
    open_, high, low, close = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    return Bars(
        interval_s=interval_s,
        time=START_MS + np.arange(len(rows)) * interval_s * 1000,
        open=open_, high=high, low=low, close=close, volume=np.full(len(rows), volume),
    )  # fmt: skip


def flat(price: float, count: int = 1) -> list[tuple[float, float, float, float]]:
    return [(price, price, price, price)] * count


def trade(
    bars: Bars | Mapping[str, Bars],
    targets: Sequence[float] | Mapping[str, Sequence[float]],
    *,
    rules: Rules | Sequence[RulesVersion] | None = None,
    funding: Funding | None = None,
    detail: Bars | None = None,
    **terms: Any,
) -> Simulated:
    whole = Terms(**{"costs": FREE, "sizing": TEN, **terms})
    by_symbol = bars if isinstance(bars, Mapping) else {"B": bars}
    wanted = targets if isinstance(targets, Mapping) else {"B": targets}
    markets = [
        prepare(symbol, one, np.array(wanted[symbol], float), whole, rules=rules, funding=funding, detail=detail)
        for symbol, one in by_symbol.items()
    ]
    slow, fast = twin.simulate(markets, whole), compiled(markets, whole)
    assert slow.trades == fast.trades
    assert slow.counts == fast.counts
    assert slow.equity.tobytes() == fast.equity.tobytes()
    return fast


def only(result: Simulated) -> Any:
    (found,) = result.trades
    return found


# --- stops and targets ---


def entered_at_100(*rows: tuple[float, float, float, float]) -> Bars:
    """Two quiet bars, so that an order of the first is filled at 100 in the second, then these."""
    return candles([*flat(100.0, 2), *rows])


def leaves(bars: Bars, exits: Exits, **terms: Any) -> tuple[ExitReason, float, int]:
    """Reason, price and place of the exit of a position entered at 100 in the second bar."""
    found = only(trade(bars, [1.0] * len(bars), exits=exits, **terms))
    assert found.entry_price == 100.0
    return found.reason, found.exit_price, found.bars_held


STOP_AND_TARGET = Exits(stop_loss=0.05, take_profit=0.10)


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ((99.0, 99.0, 95.1, 99.0), (ExitReason.END, 99.0)),
        ((99.0, 99.0, 95.0, 99.0), (ExitReason.STOP, 95.0)),
        ((90.0, 97.0, 89.0, 96.0), (ExitReason.STOP, 90.0)),
        ((90.0, 111.0, 89.0, 96.0), (ExitReason.STOP, 90.0)),
        ((101.0, 110.1, 101.0, 105.0), (ExitReason.TARGET, 110.0)),
        ((112.0, 113.0, 94.0, 100.0), (ExitReason.TARGET, 112.0)),
        ((100.0, 111.0, 94.0, 100.0), (ExitReason.STOP, 95.0)),
    ],
    ids=["near", "stop", "stop gap", "stop gap, then target", "target", "target gap, then stop", "both"],
)
def test_a_long_leaves_at_its_level_or_at_the_open_that_jumps_over_it(
    row: tuple[float, float, float, float], found: tuple[ExitReason, float]
) -> None:
    reason, price, _held = leaves(entered_at_100(row), STOP_AND_TARGET)
    assert (reason, price) == (found[0], pytest.approx(found[1], rel=1e-12))


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ((101.0, 105.0, 101.0, 101.0), (ExitReason.STOP, 105.0)),
        ((108.0, 109.0, 80.0, 101.0), (ExitReason.STOP, 108.0)),
        ((99.0, 99.0, 90.0, 95.0), (ExitReason.TARGET, 90.0)),
        ((85.0, 120.0, 84.0, 95.0), (ExitReason.TARGET, 85.0)),
        ((100.0, 106.0, 89.0, 100.0), (ExitReason.STOP, 105.0)),
    ],
    ids=["stop", "stop gap", "target", "target gap", "both"],
)
def test_a_short_does_the_same_the_other_way_round(
    row: tuple[float, float, float, float], found: tuple[ExitReason, float]
) -> None:
    bars = entered_at_100(row)
    left = only(trade(bars, [-1.0] * 3, exits=STOP_AND_TARGET, shorts=True))
    assert left.side == -1
    assert (left.reason, left.exit_price) == (found[0], pytest.approx(found[1], rel=1e-12))
    assert left.net == pytest.approx(10.0 * (100.0 - found[1]), rel=1e-9)


def test_stop_and_target_live_from_the_entry_bar() -> None:
    bars = candles([*flat(100.0), (100.0, 100.0, 94.0, 99.0), *flat(99.0)])
    assert leaves(bars, STOP_AND_TARGET) == (ExitReason.STOP, 95.0, 0)


def test_a_stop_so_near_that_the_spread_reaches_it_fills_at_the_same_open() -> None:
    costs = Costs(taker_fee=0.0, maker_fee=0.0, half_spread=0.01, slippage=0.0, impact=0.0)
    left = only(trade(entered_at_100(*flat(100.0)), [1.0] * 3, exits=Exits(stop_loss=0.001), costs=costs))
    assert (left.reason, left.bars_held) == (ExitReason.STOP, 0)
    assert (left.entry_price, left.exit_price) == pytest.approx((101.0, 99.0))


def test_a_stop_pays_as_a_market_order_and_a_target_as_a_limit_order() -> None:
    costs = Costs(taker_fee=0.002, maker_fee=0.001, half_spread=0.01, slippage=0.005, impact=0.0)
    entry = 100.0 * 1.015
    stopped = only(
        trade(entered_at_100((100.0, 100.0, 90.0, 95.0)), [1.0] * 3, exits=Exits(stop_loss=0.05), costs=costs)
    )
    assert stopped.exit_price == pytest.approx(entry * 0.95 * 0.985)
    assert stopped.fees == pytest.approx(10 * 0.002 * (entry + stopped.exit_price))
    assert stopped.spread == pytest.approx(10 * 0.01 * (100.0 + entry * 0.95))
    assert stopped.slippage == pytest.approx(10 * 0.005 * (100.0 + entry * 0.95))
    taken = only(
        trade(entered_at_100((100.0, 130.0, 100.0, 120.0)), [1.0] * 3, exits=Exits(take_profit=0.1), costs=costs)
    )
    assert taken.exit_price == pytest.approx(entry * 1.1)
    assert taken.fees == pytest.approx(10 * (0.002 * entry + 0.001 * entry * 1.1))
    assert taken.spread == pytest.approx(10 * 0.01 * 100.0)


def test_a_bar_that_touches_both_is_counted_and_finer_bars_tell() -> None:
    bars = entered_at_100((100.0, 111.0, 94.0, 100.0))
    blind = trade(bars, [1.0] * 3, exits=STOP_AND_TARGET)
    assert (blind.counts.ambiguous, blind.counts.drilled, only(blind).is_ambiguous) == (1, 0, True)

    def fine(*rows: tuple[float, float, float, float]) -> Bars:
        return candles([*flat(100.0, 6), *rows], interval_s=20)

    up_first = fine((100.0, 111.0, 100.0, 108.0), (108.0, 108.0, 94.0, 95.0), *flat(100.0))
    told = trade(bars, [1.0] * 3, exits=STOP_AND_TARGET, detail=up_first)
    assert (only(told).reason, only(told).exit_price) == (ExitReason.TARGET, pytest.approx(110.0))
    assert (told.counts.ambiguous, told.counts.drilled, only(told).is_ambiguous) == (0, 1, False)
    gap_down = fine((100.0, 101.0, 99.0, 100.0), (94.0, 96.0, 94.0, 95.0), (100.0, 111.0, 95.0, 100.0))
    told = trade(bars, [1.0] * 3, exits=STOP_AND_TARGET, detail=gap_down)
    assert (only(told).reason, only(told).exit_price) == (ExitReason.STOP, 94.0)
    still_both = trade(bars, [1.0] * 3, exits=STOP_AND_TARGET, detail=fine((100.0, 111.0, 94.0, 100.0)))
    assert (only(still_both).reason, still_both.counts.ambiguous) == (ExitReason.STOP, 1)


def test_a_trailing_stop_follows_the_best_price_of_the_bars_before_never_its_own() -> None:
    rows = [(100.0, 120.0, 109.0, 118.0), (118.0, 119.0, 109.0, 110.0), (110.0, 110.0, 107.0, 108.0)]
    bars = entered_at_100(*rows)
    # The bar to 120 falls to 109 itself, but what it stops at comes from before. The next is stopped 10 % below 120.
    assert leaves(bars, Exits(trailing=0.1)) == (ExitReason.TRAILING, pytest.approx(108.0), 3)
    assert leaves(bars, Exits(trailing=0.1, stop_loss=0.01)) == (ExitReason.TRAILING, pytest.approx(108.0), 3)
    assert leaves(entered_at_100((100.0, 101.0, 98.0, 99.0)), Exits(trailing=0.1, stop_loss=0.01)) == (
        ExitReason.STOP, pytest.approx(99.0), 1,
    )  # fmt: skip


def test_a_break_even_stop_lies_at_the_price_paid_once_the_price_was_far_enough_ahead() -> None:
    ahead, back = (100.0, 106.0, 99.0, 105.0), (104.0, 104.0, 97.0, 98.0)
    assert leaves(entered_at_100(ahead, back), Exits(break_even=0.05)) == (ExitReason.BREAK_EVEN, 100.0, 2)
    assert leaves(entered_at_100(ahead, back), Exits(break_even=0.07)) == (ExitReason.END, 98.0, 3)


def test_stops_by_the_average_true_range_use_the_one_of_the_deciding_close() -> None:
    rows = [(100.0, 102.0, 98.0, 100.0)] * 4
    bars = candles([*rows, (100.0, 100.0, 91.0, 99.0), *flat(99.0)])
    exits = Exits(stop_atr=2.0, atr_period=2)
    left = only(trade(bars, [0.0, 0.0, 1.0, 1.0, 1.0, 1.0], exits=exits))
    assert (left.reason, left.exit_price) == (ExitReason.STOP, 92.0)  # 100 - 2 · 4
    too_early = trade(bars, [1.0] * 6, exits=exits)
    assert (len(too_early.trades), too_early.counts.unfilled) == (0, 1)


@pytest.mark.parametrize(("bars_held", "price"), [(1, 102.0), (2, 103.0), (3, 104.0)])
def test_a_time_exit_is_decided_at_the_close_it_names_and_leaves_at_the_next_open(bars_held: int, price: float) -> None:
    bars = candles([row for step in range(7) for row in flat(100.0 + step)])
    left = only(trade(bars, [1.0] * 7, exits=Exits(time_bars=bars_held)))
    assert (left.entry_price, left.exit_price) == (101.0, price)
    assert (left.reason, left.bars_held) == (ExitReason.TIME, bars_held)


def test_after_such_an_exit_nothing_is_entered_until_the_target_changes() -> None:
    bars = entered_at_100((100.0, 100.0, 94.0, 100.0), *flat(100.0, 6))
    kept = trade(bars, [1.0] * 9, exits=Exits(stop_loss=0.05))
    assert len(kept.trades) == 1
    anew = trade(bars, [1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0], exits=Exits(stop_loss=0.05))
    assert [one.entry_time for one in anew.trades] == [START_MS + MINUTE_MS, START_MS + 6 * MINUTE_MS]
    halved = trade(bars, [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5], exits=Exits(stop_loss=0.05))
    assert [one.quantity for one in halved.trades] == [10.0, 5.0]


# --- size ---


def test_a_change_of_the_target_changes_the_position_and_the_trade_keeps_the_averages() -> None:
    bars = candles([row for price in (100, 100, 110, 120, 130, 140) for row in flat(float(price))])
    left = only(trade(bars, [0.5, 1.0, 0.2, 0.2, 0.0, 0.0]))
    # 5 at 100, 5 more at 110, 8 away at 120, 2 away at 140.
    assert (left.quantity, left.entry_price, left.exit_price) == (10.0, 105.0, pytest.approx(124.0))
    assert left.net == pytest.approx(190.0)
    assert left.bars_held == 4


def test_a_target_of_the_other_sign_closes_and_opens_at_one_open() -> None:
    bars = candles([row for price in (100, 100, 110, 90, 90) for row in flat(float(price))])
    first, second = trade(bars, [1.0, -1.0, -1.0, 0.0, 0.0], shorts=True, cash=10_000.0).trades
    assert (first.side, first.exit_price, first.net) == (1, 110.0, 100.0)
    assert (second.side, second.entry_price, second.exit_price, second.net) == (-1, 110.0, 90.0, 200.0)
    assert first.exit_time == second.entry_time


def test_sizing_by_risk_loses_that_part_at_the_stop_costs_of_both_sides_included() -> None:
    costs = Costs(impact=0.0)
    bars = entered_at_100((100.0, 100.0, 90.0, 95.0))
    for target, row in ((1.0, bars), (-1.0, entered_at_100((100.0, 110.0, 100.0, 105.0)))):
        result = trade(
            row, [target] * 3, costs=costs, sizing=Sizing.risk(0.01), exits=Exits(stop_loss=0.05), shorts=True
        )
        assert only(result).reason is ExitReason.STOP
        assert only(result).net == pytest.approx(-100.0, rel=1e-9)


def test_sizing_by_range_and_by_volatility() -> None:
    rows = [(100.0, 102.0, 98.0, 100.0)] * 40
    targets = [0.0] * 30 + [1.0] * 10
    assert only(trade(candles(rows), targets, sizing=Sizing.atr(0.01, multiple=2.0))).quantity == pytest.approx(12.5)
    zigzag = candles([row for step in range(40) for row in flat(100.0 if step % 2 else 101.0)], interval_s=86_400)
    yearly = math.log(1.01) * math.sqrt(365)
    assert volatility(zigzag)[30] == pytest.approx(yearly)
    assert np.isnan(volatility(zigzag)[19])
    wanted = 10_000.0 * (0.05 / yearly) / 101.0
    assert only(trade(zigzag, targets, sizing=Sizing.volatility(0.05))).quantity == pytest.approx(wanted)
    capped = trade(zigzag, targets, sizing=Sizing.volatility(0.5, limit=0.3))
    assert only(capped).quantity == pytest.approx(10_000.0 * 0.3 / 101.0)


def test_kelly_is_a_share_of_the_best_fraction_and_nothing_is_staked_without_an_edge() -> None:
    assert Sizing.kelly(0.6, 1.0, share=0.25).value == pytest.approx(0.05)
    with pytest.raises(ValueError, match="no edge"):
        Sizing.kelly(0.5, 1.0)


def test_an_order_too_large_for_the_bar_fills_part_by_part_and_its_rest_at_later_opens() -> None:
    costs = Costs(taker_fee=0.0, maker_fee=0.0, half_spread=0.0, slippage=0.0, impact=0.0, participation=0.1)
    bars = candles([row for price in (100, 100, 110, 120, 130, 130) for row in flat(float(price))], volume=40.0)
    result = trade(bars, [1.0, 1.0, 1.0, 1.0, 0.0, 0.0], costs=costs)
    # 4 a bar: 4 at 100, 4 at 110, 2 at 120; then out, 4 at 130 and 6 at the end.
    left = only(result)
    assert (left.quantity, left.entry_price, left.exit_price) == (10.0, pytest.approx(108.0), pytest.approx(130.0))
    assert (left.reason, result.counts.carried) == (ExitReason.END, 3)
    replaced = trade(bars, [1.0, 0.0, 0.0, 0.0, 0.0, 0.0], costs=costs)
    assert (only(replaced).quantity, only(replaced).exit_price) == (4.0, 110.0)
    assert trade(bars, [1.0] * 6, costs=costs, exits=Exits(stop_loss=0.5)).counts.carried == 2


def test_nothing_fills_in_a_bar_without_volume() -> None:
    costs = Costs(taker_fee=0.0, maker_fee=0.0, half_spread=0.0, slippage=0.0, impact=0.0, participation=1.0)
    bars = candles([row for price in (100, 101, 102, 103) for row in flat(float(price))])
    bars.volume[1] = 0.0
    result = trade(bars, [1.0] * 4, costs=costs)
    assert (only(result).entry_price, result.counts.carried) == (102.0, 1)


def test_the_impact_of_an_order_is_the_square_root_law_over_the_day_before() -> None:
    costs = Costs(taker_fee=0.0, maker_fee=0.0, half_spread=0.0, slippage=0.0, impact=2.0, participation=0.0)
    swing = 0.03 / math.sqrt(24)
    rows = [row for step in range(48) for row in flat(100.0 * math.exp(swing * (step % 2)))]
    bars = candles([*rows, *flat(100.0, 2)], volume=1_000 / 24, interval_s=3_600)
    left = only(trade(bars, [0.0] * 47 + [1.0] * 3, costs=costs))
    expected = 2.0 * 0.03 * math.sqrt(10.0 / 1_000)
    assert left.entry_price == pytest.approx(100.0 * (1.0 + expected), rel=1e-9)
    assert left.impact == pytest.approx(10.0 * 100.0 * 2 * expected, rel=0.05)


def test_lot_tick_and_least_notional_are_those_of_the_time() -> None:
    bars = candles([row for price in (100, 100.2, 100, 100, 100.2, 100.2) for row in flat(float(price))])
    versions = [
        RulesVersion(valid_from=START_MS + 3 * MINUTE_MS, rules=Rules(lot=3.0, tick=0.5)),
        RulesVersion(valid_from=0, rules=Rules(lot=4.0, tick=0.0)),
    ]
    first, second = trade(bars, [1.0, 0.0, 0.0, 1.0, 1.0, 1.0], rules=versions).trades
    assert (first.quantity, first.entry_price) == (8.0, 100.2)
    assert (second.quantity, second.entry_price, second.exit_price) == (9.0, 100.5, 100.0)
    at_once = trade(bars, [0.0, 0.0, 1.0, 1.0, 1.0, 1.0], rules=versions)
    assert only(at_once).quantity == 6.0, "8 by the lot of the deciding bar, 6 by that of the open"
    small = trade(bars, [1.0] * 6, rules=Rules(min_notional=1_003.0))
    assert (len(small.trades), small.counts.unfilled) == (0, 1)
    assert len(trade(bars, [1.0] * 6, rules=Rules(min_notional=1_002.0)).trades) == 1


# --- margin ---


def test_funding_is_paid_at_the_open_after_it_settles_on_what_was_carried_there() -> None:
    bars = candles([row for price in (100, 100, 110, 120) for row in flat(float(price))])
    settled = Funding(
        time=[START_MS + MINUTE_MS, START_MS + 2 * MINUTE_MS - 1, START_MS + 3 * MINUTE_MS], rate=[0.5, 0.01, -0.02]
    )
    long = only(trade(bars, [1.0] * 4, funding=settled))
    # Nothing was carried into the second bar; 1 % of 10 at 110 into the third, -2 % of 10 at 120 into the fourth.
    assert long.funding == pytest.approx(11.0 - 24.0)
    assert long.net == pytest.approx(200.0 + 13.0)
    short = trade(bars, [-1.0] * 4, funding=settled, shorts=True)
    assert only(short).funding == pytest.approx(13.0)
    assert short.equity[-1] == pytest.approx(10_000.0 - 200.0 - 13.0)


def test_leverage_buys_more_than_the_cash_and_a_fee_is_paid_on_all_of_it() -> None:
    bars = entered_at_100(*flat(110.0))
    result = trade(bars, [1.0] * 3, sizing=Sizing.fraction(3.0), margin=Margin(leverage=3.0))
    assert only(result).quantity == 300.0
    assert result.equity[-1] == 13_000.0
    costs = Costs(taker_fee=0.01, maker_fee=0.0, half_spread=0.0, slippage=0.0, impact=0.0)
    dear = trade(bars, [1.0] * 3, sizing=Sizing.fraction(3.0), margin=Margin(leverage=3.0), costs=costs)
    assert only(dear).quantity == pytest.approx(10_000.0 / (100.0 * (1 / 3 + 0.01)))


@pytest.mark.parametrize(
    ("target", "row", "price"),
    [
        (1.0, (95.0, 95.0, 80.0, 85.0), 90.0 / 0.99),
        (1.0, (85.0, 95.0, 80.0, 85.0), 85.0),
        (-1.0, (105.0, 112.0, 105.0, 106.0), 110.0 / 1.01),
    ],
    ids=["long", "long gap", "short"],
)
def test_a_position_on_margin_is_liquidated_before_a_stop_beyond_that(
    target: float, row: tuple[float, float, float, float], price: float
) -> None:
    bars = entered_at_100(row)
    margin = Margin(leverage=10.0, maintenance=0.01)
    result = trade(bars, [target] * 3, margin=margin, shorts=True, exits=Exits(stop_loss=0.2))
    assert only(result).reason is ExitReason.LIQUIDATION
    assert only(result).exit_price == pytest.approx(price)
    assert result.counts.liquidations == 1
    nearer = trade(bars, [target] * 3, margin=margin, shorts=True, exits=Exits(stop_loss=0.02))
    assert only(nearer).reason is ExitReason.STOP


def test_a_short_without_leverage_is_liquidated_at_twice_its_price() -> None:
    bars = entered_at_100((150.0, 220.0, 150.0, 160.0))
    left = only(trade(bars, [-1.0] * 3, shorts=True, margin=Margin(maintenance=0.0)))
    assert (left.reason, left.exit_price) == (ExitReason.LIQUIDATION, 200.0)


def test_an_account_that_is_worth_nothing_ends_the_run() -> None:
    bars = candles([*flat(100.0, 2), (50.0, 50.0, 50.0, 50.0), *flat(100.0, 5)])
    result = trade(bars, [1.0] * 8, sizing=Sizing.fraction(10.0), margin=Margin(leverage=10.0, maintenance=0.0))
    assert result.is_ruined
    assert result.equity.tolist() == [10_000.0, 10_000.0, 0.0]
    assert only(result).reason is ExitReason.LIQUIDATION


# --- several markets ---


def test_no_more_positions_are_opened_than_allowed_in_the_order_of_the_symbols() -> None:
    markets = dict.fromkeys("ABC", candles(flat(100.0, 6)))
    targets = {"A": [0, 0, 0, 1, 1, 1], "B": [1, 1, 1, 0, 0, 0], "C": [1, 1, 1, 1, 1, 1]}
    result = trade(markets, targets, max_positions=2)
    # B and C fill both places; B leaves at the same open at which A comes.
    assert [(one.symbol, one.bars_held) for one in result.trades] == [("B", 3), ("A", 2), ("C", 5)]
    one = trade(markets, targets, max_positions=1)
    assert [found.symbol for found in one.trades] == ["B", "A"]
    assert one.counts.unfilled == 1


def test_markets_share_one_cash_and_each_keeps_its_last_price_where_it_has_no_bar() -> None:
    left, right = candles(flat(100.0, 3)), written_bars([50.0] * 6, [50.0] * 5 + [60.0])
    result = trade({"L": left, "R": right}, {"L": [1.0] * 3, "R": [1.0] * 6}, sizing=Sizing.fraction(0.7))
    assert [(one.symbol, one.quantity) for one in result.trades] == [("L", 70.0), ("R", 60.0)]
    assert result.equity.tolist() == [10_000.0] * 5 + [10_600.0]


def test_the_last_bars_order_is_dropped_and_what_is_held_is_closed_at_its_close() -> None:
    bars = candles([*flat(100.0, 2), (100.0, 110.0, 100.0, 108.0)])
    left = only(trade(bars, [1.0, 1.0, 0.0], costs=Costs(impact=0.0)))
    assert left.reason is ExitReason.END
    assert left.exit_price == pytest.approx(108.0 * 0.9995)
    assert left.exit_time == START_MS + 3 * MINUTE_MS
    assert len(trade(bars, [0.0, 0.0, 1.0]).trades) == 0


def test_what_cannot_be_meant_is_refused_with_the_limit() -> None:
    for make, said in (
        (lambda: Terms(sizing=Sizing.risk(0.01)), "needs a stop"),
        (lambda: Terms(sizing=Sizing.fraction(2.0)), "position fraction 2 needs leverage"),
        (lambda: Terms(max_positions=-1), "max positions -1"),
        (lambda: Exits(stop_loss=5), "5 % is written 0.05"),
        (lambda: Exits(time_bars=2.5), "whole bars"),  # type: ignore[arg-type]
        (lambda: Margin(leverage=0.5), r"leverage 0.5 is outside 1\.\.125"),
        (lambda: Margin(leverage=100.0, maintenance=0.02), "below 1/leverage 0.01"),
        (lambda: Funding(time=[1], rate=[]), "1 times, 0 rates"),
    ):
        with pytest.raises(ValueError, match=said):
            make()
    with pytest.raises(ValueError, match="targets below 0 need shorts=True"):
        trade(candles(flat(1.0, 2)), [0.0, -1.0])
    with pytest.raises(ValueError, match="detail of 60 s bars does not divide"):
        trade(candles(flat(1.0, 2)), [0.0, 1.0], detail=candles(flat(1.0, 2)))
