"""The figures of a report, its text for a terminal, and its files."""

import io
import json
import math
import re
from dataclasses import fields, replace

import numpy as np
import pytest

from mastertrade.backtest import run
from mastertrade.backtest.report import Luck, RunReport, from_json, summarise, to_json
from mastertrade.backtest.report.decimate import curve_places, merged_bars, nice_ticks
from mastertrade.backtest.report.figures import cost_lines, drawdown_dates, histogram, holding_curve, month_grid
from mastertrade.backtest.report.luck import verdict
from mastertrade.backtest.report.model import Report
from mastertrade.backtest.report.tables import equity_csv, read_equity_csv, read_trades_csv, trades_csv
from mastertrade.backtest.report.terminal import run_text, sparkline
from mastertrade.quant.bars import Bars
from mastertrade.shared.errors import UsageError
from mastertrade.strategies import build
from tests.pure.sample_bars import START_MS, random_walk
from tests.pure.sample_reports import DAY_MS, run_report, sweep_report, total_return, walk_forward_report


def same(one: object, other: object) -> bool:
    """Equality down to the arrays, bars left out: reports do not carry them."""
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.dtype == other.dtype and np.array_equal(one, other, equal_nan=True)
    if hasattr(one, "__dataclass_fields__"):
        names = [field.name for field in fields(one) if not (isinstance(one, RunReport) and field.name == "bars")]  # type: ignore[arg-type]
        return type(one) is type(other) and all(same(getattr(one, name), getattr(other, name)) for name in names)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))  # type: ignore[arg-type]
    return one == other


@pytest.mark.parametrize("report", [run_report(), sweep_report(best=run_report()), walk_forward_report()])
def test_a_report_comes_back_from_json_as_it_was(report: Report) -> None:
    text = to_json(report)
    assert same(from_json(text), report)
    assert to_json(from_json(text)) == text
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_the_json_of_a_run_carries_its_figures_and_how_orders_were_filled() -> None:
    report = run_report()
    document = json.loads(to_json(report))
    assert document["metrics"] == json.loads(json.dumps(summarise(report.result)))
    assert document["kind"] == "run"
    assert any("the next open" in rule for rule in document["fill_rules"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read"),
        ('{"format": "other/1"}', "'other/1'"),
        ("[]", "'list'"),
        ('{"format": "mastertrade.report/1", "kind": "run", "title": "x"}', "damaged"),
    ],
)
def test_what_is_no_report_is_refused_and_named(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        from_json(text)


def test_trades_and_equity_come_back_from_csv_as_they_were() -> None:
    result = run_report().result
    assert read_trades_csv(io.StringIO(trades_csv(result))) == list(result.trades)
    time, equity, invested = read_equity_csv(io.StringIO(equity_csv(result)))
    assert np.array_equal(time, result.time)
    assert np.array_equal(equity, result.equity)
    assert np.array_equal(invested, result.invested)


def test_a_symbol_cannot_become_a_formula_of_a_spreadsheet() -> None:
    symbol = "=HYPERLINK(1)"
    result = run_report({symbol: random_walk(500, seed=1)}).result
    text = trades_csv(result)
    assert symbol in text
    assert not re.search(r"(^|,)\"?=", text, flags=re.MULTILINE)
    assert read_trades_csv(io.StringIO(text))[0].symbol == symbol


def test_a_table_with_a_broken_cell_names_line_column_and_value() -> None:
    text = trades_csv(run_report().result).splitlines()
    cells = text[2].split(",")
    cells[1] = "much"
    with pytest.raises(UsageError, match="line 3: quantity 'much'"):
        read_trades_csv(io.StringIO("\n".join([*text[:2], ",".join(cells)])))
    with pytest.raises(UsageError, match="no column equity"):
        read_equity_csv(io.StringIO("time,invested\n"))


def test_the_text_of_a_run_fits_80_columns_and_explains_every_figure() -> None:
    text = run_text(run_report())
    assert max(map(len, text.splitlines())) <= 80
    assert not re.search(r"\bnan\b", text.lower())
    for said in ("buy and hold", "max drawdown", "exposure", "Likely luck", "fees", "how orders were filled", "2021"):
        assert said in text
    for line in text.splitlines():
        if found := re.match(r"  (\S+(?: \S+)*) {2,}([-+\d.,]+(?: %| days)?)\s*(.*)", line):
            assert found[3], f"{found[1]} is not explained"


def test_a_run_that_never_traded_and_one_without_bars_can_be_told() -> None:
    built = build("ma_cross", {"fast": 400, "slow": 900})
    for bars in (random_walk(200, seed=1), random_walk(200, seed=1)[:0]):
        report = RunReport(title="idle", result=run({"A/B": bars}, built.template, built.params), bars={"A/B": bars})
        text = run_text(report)
        assert "never traded" in text
        assert not re.search(r"\bnan\b", text.lower())
        assert same(from_json(to_json(report)), report)


def test_control_characters_of_a_name_do_not_reach_the_terminal() -> None:
    text = run_text(run_report({"B\x1b[31mAD": random_walk(300, seed=2)}, title="evil\x07\nname"))
    assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("luck", "said"),
    [
        (Luck(), "not known"),
        (Luck(trials=40, deflated_sharpe=0.97), "Unlikely to be luck alone"),
        (Luck(trials=40, deflated_sharpe=0.85), "May well be luck"),
        (Luck(trials=40, deflated_sharpe=0.2), "Likely luck: 20 % deflated Sharpe after 40 trials"),
        (Luck(trials=40), "best of 40 trials looks good by chance alone"),
        (Luck(sentence="Said by others.", overfitting=0.7), "Said by others. Probability of backtest overfitting 70 %"),
        (Luck(deflated_sharpe=math.nan), "not known"),
    ],
)
def test_luck_is_always_spoken_of(luck: Luck, said: str) -> None:
    assert said in verdict(luck)


def test_the_deepest_fall_has_its_dates_and_its_recovery() -> None:
    report = run_report()
    result = replace(
        report.result,
        time=START_MS + np.arange(6, dtype=np.int64) * DAY_MS,
        interval_s=86_400,
        equity=np.array([10_500.0, 11_000.0, 8_800.0, 9_900.0, 11_000.0, 10_900.0]),
        invested=np.ones(6),
    )
    found = drawdown_dates(result)
    assert found is not None
    assert found.depth == pytest.approx(0.2)
    assert [found.peak_ms, found.trough_ms, found.recovered_ms] == [START_MS + n * DAY_MS for n in (2, 3, 5)]
    under = drawdown_dates(replace(result, equity=result.equity - np.array([0, 0, 0, 0, 10, 0])))
    assert under is not None
    assert under.recovered_ms is None


def test_holding_puts_all_the_cash_in_at_the_first_open_and_pays_both_ways() -> None:
    bars = random_walk(400, seed=5)
    report = run_report({"A/B": bars})
    curve, costs = holding_curve(report.result, report.bars), report.result.costs
    assert curve is not None
    bought = 10_000.0 / (bars.open[0] * (1 + costs.price_impact) * (1 + costs.taker_fee))
    assert curve[1] == pytest.approx(bought * bars.close[0])
    assert curve[-1] == pytest.approx(bought * bars.close[-1] * (1 - costs.price_impact) * (1 - costs.taker_fee))
    assert holding_curve(report.result, {}) is None


def test_costs_lead_from_gross_to_net_without_a_rest() -> None:
    result = run_report().result
    paid = sum(line.amount for line in cost_lines(result))
    gross = sum(trade.gross for trade in result.trades)
    assert gross - paid == pytest.approx(sum(trade.net for trade in result.trades))
    assert result.cash + gross - paid == pytest.approx(result.final_equity)


def test_months_stand_in_their_year_and_make_it_together() -> None:
    report = run_report()
    grid = month_grid(summarise(report.result)["monthly_returns"])
    assert np.prod([1 + whole for _, _, whole in grid]) - 1 == pytest.approx(total_return(report))
    assert all(len(months) == 12 for _, months, _ in grid)


def test_a_decimated_curve_keeps_its_ends_peak_and_trough() -> None:
    values = random_walk(50_000, seed=8).close
    places = curve_places(values, 200)
    assert len(places) <= 800
    assert (places[0], places[-1]) == (0, len(values) - 1)
    assert {int(values.argmin()), int(values.argmax())} <= set(places.tolist())
    assert curve_places(values[:500], 200).tolist() == list(range(500))


def test_merged_candles_hold_what_their_bars_held() -> None:
    bars = random_walk(1_003, seed=8)
    merged, size = merged_bars(bars, 100)
    assert size == 11
    assert len(merged) == 92
    assert merged.high.max() == bars.high.max()
    assert merged.low.min() == bars.low.min()
    assert (merged.open[0], merged.close[-1]) == (bars.open[0], bars.close[-1])
    assert merged.volume.sum() == pytest.approx(bars.volume.sum())
    assert merged_bars(bars, 2_000) == (bars, 1)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3e-7, 2e-7), (19_531.0, 24_012.0), (5.0, 5.0), (0.0, 0.0)])
def test_axis_marks_are_round_and_enclose_the_values(low: float, high: float) -> None:
    ticks = nice_ticks(low, high)
    assert 3 <= len(ticks) <= 8
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert np.allclose(np.diff(ticks), ticks[1] - ticks[0])


def test_a_histogram_counts_every_trade_and_never_mixes_winners_with_losers() -> None:
    values = np.random.default_rng(1).normal(0.001, 0.02, 5_000)
    values[0] = 40.0
    found = histogram(values)
    assert found is not None
    assert sum(found.counts) + found.below + found.above == len(values)
    assert np.abs(found.edges).min() == 0.0
    assert 10 <= len(found.counts) <= 60
    assert histogram(np.array([])) is None
    assert histogram(np.zeros(3)) is not None


def test_a_sparkline_shows_the_course_in_the_width_it_has() -> None:
    assert sparkline([1, 2, 3, 4, 5, 6, 7, 8], 20) == "▁▂▃▄▅▆▇█"
    assert len(sparkline(np.arange(1_000.0), 40)) == 40
    assert sparkline([5, 5, 5], 10) == "▁▁▁"


def test_a_report_over_several_markets_names_them_all() -> None:
    bars: dict[str, Bars] = {f"M{place}/USDT": random_walk(400, seed=place) for place in range(3)}
    assert "M0/USDT, M1/USDT, M2/USDT" in run_text(run_report(bars))
