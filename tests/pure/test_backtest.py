"""The slow engine: hand-computed runs, its five rules one by one, and the laws that hold on any bars."""

import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastertrade.backtest import BacktestResult, Rules, format_summary, run, summarise
from mastertrade.quant.bars import Bars, FloatArray
from mastertrade.quant.costs import FREE, Costs
from mastertrade.strategies import TEMPLATES, build
from tests.pure.sample_bars import MINUTE_S, START_MS, among_others, random_walk, recorded_bars, written_bars

MINUTE_MS = MINUTE_S * 1000
DAY_S = 86_400


class Scripted:
    """Targets written by the test, by the time of the bar; its parameters say what to hold when."""

    def positions(self, bars: Bars, params: Mapping[int, float]) -> FloatArray:
        return np.array([params.get(time, 0.0) for time in bars.time.tolist()], dtype=np.float64)


def script(bars: Bars, targets: Sequence[float]) -> dict[int, float]:
    return dict(zip(bars.time.tolist(), targets, strict=True))


class Symbolic:
    """Targets written by the test for each of several markets, told apart by their first close."""

    def positions(self, bars: Bars, params: Mapping[float, Sequence[float]]) -> FloatArray:
        return np.array(params[float(bars.close[0])], dtype=np.float64)


class Hold:
    """Held from the first bar on."""

    def positions(self, bars: Bars, params: None) -> FloatArray:
        return np.ones(len(bars))


class Coin:
    """Random targets that depend on the bar's time alone, so that cutting bars off changes no earlier one."""

    def positions(self, bars: Bars, params: int) -> FloatArray:
        minutes = (bars.time // MINUTE_MS).astype(np.uint64)
        mixed = (minutes * np.uint64(2_654_435_761) + np.uint64(params)) % np.uint64(1_000_003)
        return (mixed % np.uint64(7) < np.uint64(3)).astype(np.float64)


ONE_TRIP = written_bars(opens=[99, 100, 104, 105, 110, 111], closes=[100, 100, 105, 110, 111, 90])
BUY_AND_SELL = script(ONE_TRIP, [0, 1, 1, 0, 0, 0])


def test_one_round_trip_is_what_pencil_and_paper_say() -> None:
    result = run({"BTC/USDT": ONE_TRIP}, Scripted(), BUY_AND_SELL, cash=10_000.0, position_fraction=0.5)
    (trade,) = result.trades
    # Decided at the close of 100: 5,000 buy 50. Bought at the open of 104, sold at the open of 110, 0.05 % worse each.
    assert trade.quantity == 50.0
    assert trade.entry_price == pytest.approx(104.052, abs=1e-12)
    assert trade.exit_price == pytest.approx(109.945, abs=1e-12)
    assert trade.gross == pytest.approx(300.0, abs=1e-9)
    assert trade.spread == pytest.approx(50 * (0.0208 + 0.022), abs=1e-9)
    assert trade.slippage == pytest.approx(50 * (0.0312 + 0.033), abs=1e-9)
    assert trade.fees == pytest.approx(5.2026 + 5.49725, abs=1e-9)
    assert trade.net == pytest.approx(283.95015, abs=1e-9)
    assert (trade.symbol, trade.bars_held, trade.closed_at_end) == ("BTC/USDT", 2, False)
    assert (trade.entry_time, trade.exit_time) == (START_MS + 2 * MINUTE_MS, START_MS + 4 * MINUTE_MS)
    cash_while_held = 10_000.0 - 5_202.6 - 5.2026
    expected = [10_000.0, 10_000.0, cash_while_held + 5_250.0, cash_while_held + 5_500.0, 10_283.95015, 10_283.95015]
    assert result.equity == pytest.approx(expected, abs=1e-9)
    assert result.invested.tolist() == [0.0, 0.0, 5_250.0, 5_500.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "costs",
    [Costs(), Costs(taker_fee=0.002), Costs(half_spread=0.01), FREE, Costs(taker_fee=0.0, slippage=0.0)],
)
def test_costs_take_exactly_what_they_say(costs: Costs) -> None:
    free = run(ONE_TRIP, Scripted(), BUY_AND_SELL, costs=FREE, position_fraction=0.5)
    paid = run(ONE_TRIP, Scripted(), BUY_AND_SELL, costs=costs, position_fraction=0.5)
    buy, sell = 104 * (1 + costs.price_impact), 110 * (1 - costs.price_impact)
    fees, slippage = 50 * costs.taker_fee * (buy + sell), 50 * costs.price_impact * (104 + 110)
    assert paid.trades[0].fees == pytest.approx(fees, abs=1e-9)
    assert paid.trades[0].spread + paid.trades[0].slippage == pytest.approx(slippage, abs=1e-9)
    assert free.final_equity - paid.final_equity == pytest.approx(fees + slippage, abs=1e-9)
    assert free.final_equity == pytest.approx(10_300.0, abs=1e-9)


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(2, 60))
def test_buying_and_holding_without_costs_is_owning_the_market(seed: int, count: int) -> None:
    bars = random_walk(count, seed)
    result = run(bars, Hold(), None, costs=FREE, cash=1_000.0, position_fraction=1.0)
    quantity = 1_000.0 / max(bars.close[0], bars.open[1])
    assert result.final_equity == pytest.approx(1_000.0 + quantity * (bars.close[-1] - bars.open[1]), rel=1e-12)
    assert [trade.closed_at_end for trade in result.trades] == [True]


def test_buying_with_everything_leaves_room_for_the_fee_and_spends_all() -> None:
    result = run(ONE_TRIP, Scripted(), BUY_AND_SELL, position_fraction=1.0)
    (trade,) = result.trades
    assert trade.quantity * trade.entry_price * 1.001 == pytest.approx(10_000.0, abs=1e-9)
    assert result.final_equity == pytest.approx(trade.quantity * 109.945 * 0.999, abs=1e-9)


def test_an_order_waits_out_a_gap_for_the_next_bar() -> None:
    bars = written_bars(opens=[100, 100, 70], closes=[100, 100, 71], places=[0, 1, 500])
    (trade,) = run(bars, Scripted(), script(bars, [0, 1, 1]), costs=FREE).trades
    assert trade.entry_time == START_MS + 500 * MINUTE_MS
    assert trade.entry_price == 70.0


def test_an_order_of_the_last_bar_is_never_filled() -> None:
    result = run(ONE_TRIP, Scripted(), script(ONE_TRIP, [0, 0, 0, 0, 0, 1]))
    assert result.trades == ()
    assert result.final_equity == 10_000.0


def test_what_is_held_at_the_end_is_sold_at_the_last_close_and_counted_as_that() -> None:
    result = run(ONE_TRIP, Scripted(), script(ONE_TRIP, [0, 1, 1, 1, 1, 1]), position_fraction=0.5)
    (trade,) = result.trades
    assert trade.closed_at_end
    assert trade.exit_price == pytest.approx(90 * 0.9995)
    assert trade.exit_time == START_MS + 6 * MINUTE_MS
    assert result.final_equity == pytest.approx(10_000.0 + trade.net, abs=1e-9)
    assert summarise(result)["closed_at_end"] == 1


FLAT = [100.0] * 6
LEFT = written_bars(FLAT, [100.0, *FLAT[1:]])
RIGHT = written_bars(FLAT, [101.0, *FLAT[1:]])
THIRD = written_bars(FLAT, [102.0, *FLAT[1:]])


def test_markets_share_one_cash_and_the_last_to_ask_gets_what_is_left() -> None:
    targets = {close: [0, 1, 1, 1, 1, 1] for close in (100.0, 101.0, 102.0)}
    markets = {"L": LEFT, "R": RIGHT, "T": THIRD}
    result = run(markets, Symbolic(), targets, costs=FREE, position_fraction=0.8)
    assert [(trade.symbol, trade.quantity) for trade in result.trades] == [("L", 80.0), ("R", 20.0)]
    assert result.unfilled == 1


def test_at_one_open_sales_come_before_purchases() -> None:
    targets = {100.0: [0, 0, 0, 1, 1, 1], 101.0: [0, 1, 1, 0, 0, 0]}
    result = run({"L": LEFT, "R": RIGHT}, Symbolic(), targets, costs=FREE, position_fraction=1.0)
    assert [(trade.symbol, trade.quantity, trade.bars_held) for trade in result.trades] == [
        ("R", 100.0, 2),
        ("L", 100.0, 2),
    ]
    assert result.unfilled == 0


def test_a_market_without_a_bar_keeps_its_last_price() -> None:
    left = written_bars([100, 100, 100], [100, 100, 120], places=[0, 1, 2])
    right = written_bars([101, 101, 101, 101, 101], [101, 101, 101, 101, 101])
    targets = {100.0: [1, 1, 1], 101.0: [0] * 5}
    result = run({"L": left, "R": right}, Symbolic(), targets, costs=FREE, position_fraction=0.5)
    assert result.equity.tolist() == [10_000.0, 10_000.0, 11_000.0, 11_000.0, 11_000.0]


def test_size_is_a_part_of_the_equity_that_decided_it() -> None:
    bars = written_bars([100, 100, 200, 200, 200, 200], [100, 100, 200, 200, 200, 200])
    result = run(bars, Scripted(), script(bars, [1, 1, 0, 1, 1, 1]), costs=FREE, position_fraction=0.5)
    first, second = result.trades
    assert first.quantity * 100.0 == 5_000.0
    assert second.quantity * 200.0 == 7_500.0


def test_quantities_keep_the_lot_and_prices_the_tick_against_us() -> None:
    rules = {"B": Rules(lot=0.3, tick=0.5)}
    (trade,) = run({"B": ONE_TRIP}, Scripted(), BUY_AND_SELL, position_fraction=0.5, rules=rules).trades
    assert trade.quantity == pytest.approx(49.8)
    assert (trade.entry_price, trade.exit_price) == (104.5, 109.5)
    assert trade.spread + trade.slippage == pytest.approx(49.8 * (0.5 + 0.5))


def test_a_price_on_the_tick_stays_there_without_costs() -> None:
    bars = written_bars([0.1, 0.3, 0.7, 0.7], [0.1, 0.3, 0.7, 0.7])
    rules = {"B": Rules(tick=0.1)}
    (trade,) = run({"B": bars}, Scripted(), script(bars, [1, 0, 0, 0]), costs=FREE, rules=rules).trades
    assert (trade.entry_price, trade.exit_price) == pytest.approx((0.3, 0.7))


@pytest.mark.parametrize("rules", [Rules(lot=1_000.0), Rules(min_notional=6_000.0)])
def test_a_purchase_the_market_would_not_take_is_counted_not_made(rules: Rules) -> None:
    result = run({"B": ONE_TRIP}, Scripted(), BUY_AND_SELL, position_fraction=0.5, rules={"B": rules})
    assert (result.trades, result.unfilled, result.final_equity) == ((), 1, 10_000.0)


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_template_trades_before_its_warm_up(name: str) -> None:
    markets, built = among_others(random_walk(600, seed=11, gaps=False)).markets, build(name)
    trades = run(markets, built.template, built.params).trades
    assert trades
    assert all(trade.entry_time > markets[trade.symbol].time[built.warm_up] for trade in trades)


MARKETS = st.lists(st.tuples(st.integers(1, 80), st.integers(0, 2**32 - 1)), min_size=1, max_size=3)
SOME_COSTS = st.builds(Costs, taker_fee=st.floats(0, 0.01), half_spread=st.floats(0, 0.01), slippage=st.floats(0, 0.01))
SOME_RULES = st.builds(
    Rules, lot=st.sampled_from([0.0, 0.001, 1.0]), tick=st.sampled_from([0.0, 0.01]), min_notional=st.just(10.0)
)


@settings(deadline=None)
@given(markets=MARKETS, costs=SOME_COSTS, rules=SOME_RULES, fraction=st.floats(0.01, 1), coin=st.integers(0, 1000))
def test_money_is_neither_made_nor_lost_outside_trades(
    markets: list[tuple[int, int]], costs: Costs, rules: Rules, fraction: float, coin: int
) -> None:
    bars = {f"M{i}": random_walk(count, seed) for i, (count, seed) in enumerate(markets)}
    result = run(bars, Coin(), coin, costs=costs, position_fraction=fraction, rules=dict.fromkeys(bars, rules))
    assert result.final_equity == pytest.approx(10_000.0 + math.fsum(trade.net for trade in result.trades), abs=1e-6)
    assert all(
        trade.fees >= 0.0 and trade.slippage >= -1e-9 and trade.impact >= 0.0 and trade.quantity > 0.0
        for trade in result.trades
    )
    assert (result.equity >= result.invested - 1e-6)[:-1].all(), "cash went below zero"
    assert (result.equity > 0.0).all()


@settings(deadline=None)
@given(markets=MARKETS, cut=st.integers(0, 100), fraction=st.floats(0.01, 1), coin=st.integers(0, 1000))
def test_the_account_never_knows_later_bars(
    markets: list[tuple[int, int]], cut: int, fraction: float, coin: int
) -> None:
    bars = {f"M{i}": random_walk(count, seed) for i, (count, seed) in enumerate(markets)}
    whole = run(bars, Coin(), coin, position_fraction=fraction)
    cut_ms = START_MS + cut * MINUTE_MS
    past = {symbol: one[: int(np.searchsorted(one.time, cut_ms))] for symbol, one in bars.items()}
    known = run(past, Coin(), coin, position_fraction=fraction)
    # The last point of the shorter run is after its own closing sales; every earlier one must be the same bits.
    assert known.equity[:-1].tolist() == whole.equity[: max(len(known.equity) - 1, 0)].tolist()
    assert known.invested.tolist() == whole.invested[: len(known.invested)].tolist()
    closed = [trade for trade in known.trades if not trade.closed_at_end]
    assert closed == list(whole.trades[: len(closed)])


@pytest.mark.parametrize("name", TEMPLATES)
def test_recorded_prices_give_a_whole_and_consistent_report(name: str, real_data: Path) -> None:
    pairs = ("BTC_USDT", "ETH_USDT", "SOL_USDT")
    bars = {pair.replace("_", "/"): recorded_bars(real_data, pair)[12_000:18_000] for pair in pairs}
    built = build(name)
    result = run(bars, built.template, built.params, position_fraction=0.2)
    summary = summarise(result)
    assert summary["total_trades"] > 20
    assert summary["fees"] > 0.0
    assert summary["spread"] + summary["slippage"] == pytest.approx(summary["fees"] / 2, rel=1e-3)
    assert 0.0 < summary["impact"] < summary["fees"]
    assert summary["final_capital"] == pytest.approx(10_000.0 + summary["net_profit"], abs=1e-6)
    paid = sum(summary[kind] for kind in ("fees", "spread", "slippage", "impact", "funding"))
    assert summary["net_profit"] == pytest.approx(summary["gross_profit"] - paid)


@pytest.mark.parametrize("targets", [[math.nan] * 6, [2.0] * 6, [-1.0] * 6, [0, 0, math.inf, 0, 0, 0]])
def test_targets_outside_zero_to_one_are_refused(targets: list[float]) -> None:
    with pytest.raises(ValueError, match="a target from 0 to 1 for each of 6 bars; at bar"):
        run(ONE_TRIP, Scripted(), script(ONE_TRIP, targets))


def test_targets_that_do_not_fit_the_bars_are_refused() -> None:
    with pytest.raises(ValueError, match="each of 6 bars"):
        run({"L": LEFT}, Symbolic(), {100.0: [1.0]})


def test_bars_of_several_intervals_or_of_none_are_refused() -> None:
    hourly = written_bars([1], [1], interval_s=3_600)
    with pytest.raises(ValueError, match=r"one interval, not of \[60, 3600\] seconds"):
        run({"A": LEFT, "B": hourly}, Hold(), None)
    with pytest.raises(ValueError, match="one interval"):
        run({}, Hold(), None)


@pytest.mark.parametrize("cash", [0.0, -1.0, math.nan, math.inf])
def test_starting_cash_must_be_an_amount(cash: float) -> None:
    with pytest.raises(ValueError, match="starting cash"):
        run(LEFT, Hold(), None, cash=cash)


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01, math.nan])
def test_the_position_must_be_a_part_of_the_account(fraction: float) -> None:
    with pytest.raises(ValueError, match="position fraction"):
        run(LEFT, Hold(), None, position_fraction=fraction)


def daily_run(closes: Sequence[float]) -> BacktestResult:
    """An account that is all in from the second day on, so that its returns are the market's."""
    opens = [closes[0], *closes[:-1]]
    bars = written_bars(opens, closes, interval_s=DAY_S)
    return run({"BTC/USDT": bars}, Hold(), None, costs=FREE, position_fraction=1.0)


def test_the_summary_measures_days_months_and_years() -> None:
    closes = [100.0 * 1.01**day * (1.02 if day % 2 else 1.0) for day in range(60)]
    summary = summarise(daily_run(closes))
    returns = np.array([0.0, *(later / earlier - 1 for earlier, later in pairwise(closes))])
    assert summary["sharpe_ratio"] == pytest.approx(returns.mean() / returns.std(ddof=1) * math.sqrt(365))
    assert summary["total_return"] == pytest.approx(closes[-1] / closes[0] - 1)
    assert summary["cagr"] == pytest.approx((closes[-1] / closes[0]) ** (365 / 60) - 1)
    assert (summary["start"], summary["end"]) == ("2021-01-01T00:00:00Z", "2021-03-02T00:00:00Z")
    months = summary["monthly_returns"]
    assert months == pytest.approx(
        {
            "2021-01": closes[30] / closes[0] - 1,
            "2021-02": closes[58] / closes[30] - 1,
            "2021-03": closes[59] / closes[58] - 1,
        }
    )
    assert summary["median_monthly_return"] == pytest.approx(sorted(months.values())[1])
    assert summary["exposure"] == pytest.approx(59 / 60)


def test_the_summary_says_how_long_the_account_was_under_water() -> None:
    summary = summarise(daily_run([100, 100, 120, 90, 60, 110, 119, 121, 120]))
    assert summary["max_drawdown"] == pytest.approx(0.5)
    assert summary["max_drawdown_days"] == pytest.approx(4.0)


def test_an_idle_run_has_no_ratios_and_loses_nothing() -> None:
    summary = summarise(run({"BTC/USDT": LEFT}, Scripted(), {}))
    assert summary["total_return"] == summary["max_drawdown"] == summary["exposure"] == 0.0
    assert summary["total_trades"] == summary["fees"] == 0
    for key in ("sharpe_ratio", "sortino_ratio", "calmar_ratio", "win_rate", "profit_factor", "expectancy", "avg_win"):
        assert summary[key] is None


def test_a_run_without_bars_is_empty_and_can_be_told() -> None:
    result = run({"BTC/USDT": LEFT[:0]}, Hold(), None)
    summary = summarise(result)
    assert (summary["bars"], summary["start"], summary["end"], summary["final_capital"]) == (0, None, None, 10_000.0)
    assert format_summary(summary).startswith("backtest on BTC/USDT\n")


def test_the_summary_is_json_without_nan_and_the_page_shows_every_cost() -> None:
    summary = summarise(run({"BTC/USDT": ONE_TRIP}, Scripted(), BUY_AND_SELL, position_fraction=0.5))
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    page = format_summary(summary, "ma_cross").splitlines()
    assert page[0] == "ma_cross on BTC/USDT"
    assert "  equity         10,000.00 -> 10,283.95" in page
    assert "  without costs  +3.00 %" in page
    assert "  fees           -0.11 %" in page
    assert "  spread         -0.02 %" in page
    assert "  slippage       -0.03 %" in page
    assert "  trades         1, 100.00 % won, 0 closed at the end, 0 not filled" in page
    assert len({len(line) - len(line[2:].lstrip()) for line in page[1:]}) == 1


def test_five_markets_of_three_thousand_bars_take_no_patience() -> None:
    from time import process_time

    bars = {f"M{i}": random_walk(3_000, seed=i) for i in range(5)}
    built = build("ma_cross")
    started = process_time()
    summarise(run(bars, built.template, built.params))
    assert process_time() - started < 0.5
