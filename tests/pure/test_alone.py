"""One meaning everywhere: a run, a sweep's row, a portfolio of one market and the slow twin tell the same, whichever
loop answers."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mastertrade as mt
from mastertrade import strategies
from mastertrade.backtest import twin
from mastertrade.backtest.alone import Alone, result_of
from mastertrade.backtest.market import prepare
from mastertrade.backtest.options import Exits, Sizing, Terms
from mastertrade.backtest.result import Rules
from mastertrade.backtest.score import score_of
from mastertrade.backtest.simulation import compiled
from mastertrade.quant import masks, targets
from mastertrade.quant.bars import Bars, FloatArray
from mastertrade.quant.columns import Columns, columns_of
from mastertrade.quant.costs import Costs
from tests.pure.sample_bars import random_walk

RULES = Rules(lot=1e-5, tick=0.01, min_notional=10.0)
TERMS = {
    "usual": Terms(),
    "stops": Terms(sizing=Sizing.fraction(0.9), exits=Exits(stop_loss=0.004, take_profit=0.006)),
    "ranges": Terms(sizing=Sizing.quantity(0.05), exits=Exits(stop_atr=1.5, target_atr=3.0, time_bars=40)),
    "risk": Terms(sizing=Sizing.risk(0.01), exits=Exits(stop_loss=0.01)),
    "volatility": Terms(sizing=Sizing.volatility(0.5)),
    "too large for the market": Terms(cash=1e9, sizing=Sizing.fraction(1.0), costs=Costs(participation=0.1)),
    "trailing": Terms(sizing=Sizing.fraction(0.5), exits=Exits(trailing=0.01)),
}
STRATEGIES: list[tuple[str, dict[str, Any]]] = [
    ("ma_cross", {"fast": 5, "slow": 30}),
    ("ma_cross", {"fast": 20, "slow": 90}),
    ("rsi_reversion", {"period": 9, "oversold": 35.0}),
    ("rule", {}),
]


@pytest.fixture(scope="module")
def recorded(real_candles: Path) -> list[Bars]:
    """Two pairs of very unlike prices, 20,000 minutes each, as they were and as five-minute bars."""
    found = [mt.bars(real_candles / f"{pair}-1m.csv.gz")[:20_000] for pair in ("BTC_USDT", "ADA_USDT")]
    return [found[0][:4_000], found[1][-4_000:], mt.bars(found[0], interval="5m")]


@pytest.mark.parametrize("named", TERMS)
def test_a_run_a_row_and_the_twin_tell_the_same_of_recorded_prices(named: str, recorded: list[Bars]) -> None:
    terms, met = TERMS[named], Counter[str]()
    for bars in recorded:
        columns = columns_of(bars)
        alone = Alone("", columns, rules=RULES)
        for name, parameters in STRATEGIES:
            built = strategies.build(name, parameters)
            market = prepare("", columns, built.positions(columns), terms, rules=RULES)
            slow = twin.simulate([market], terms)
            run = alone.result(built.template, built.params, terms)
            for other in (run, compiled([market], terms)):
                assert other.trades.rows.tobytes() == slow.trades.rows.tobytes()
                assert other.equity.tobytes() == slow.equity.tobytes()
                assert other.invested.tobytes() == slow.invested.tobytes()
                assert other.counts == slow.counts
            expected = score_of(result_of(slow, terms, ("",), bars.interval_s, len(bars)))
            row = alone.score(built.template, built.params, terms)
            assert row.figures == expected.figures
            assert row.daily_returns.tobytes() == expected.daily_returns.tobytes()
            met["trades"] += len(run.trades)
            met["carried"] += run.counts.carried
    assert met["trades"] > 50
    assert (alone.prepared(terms)[1] is not None) == (named != "trailing")
    assert met["carried"] or named != "too large for the market", "what only the general loop can answer is met"


class Drawing:
    """Holds at random: asked twice it answers otherwise. ``is_partly`` holds halves too."""

    def __init__(self, *, is_partly: bool) -> None:
        self.choices = [0.0, 0.5, 1.0] if is_partly else [0.0, 1.0]

    def positions(self, columns: Columns, params: None) -> FloatArray:
        return np.repeat(np.random.choice(self.choices, len(columns) // 50 + 1), 50)[: len(columns)]


@pytest.mark.parametrize("named", ["usual", "too large for the market"])
@pytest.mark.parametrize("is_partly", [False, True])
def test_a_strategy_is_asked_once_whoever_answers(named: str, *, is_partly: bool, recorded: list[Bars]) -> None:
    alone, template = Alone("", recorded[2]), Drawing(is_partly=is_partly)
    told = []
    for answer in (alone.score, lambda *given: score_of(alone.result(*given))):
        np.random.seed(4)
        told.append(answer(template, None, TERMS[named]))
        assert np.random.random() == told_next(template, alone)
    assert told[0].figures == told[1].figures
    assert told[0].figures["total_trades"]


def told_next(template: Drawing, alone: Alone) -> float:
    np.random.seed(4)
    template.positions(alone.columns, None)
    return float(np.random.random())


def test_targets_that_are_wrong_are_refused_with_their_place() -> None:
    class Wrong:
        def __init__(self, targets: list[float]) -> None:
            self.targets = np.array(targets)

        def positions(self, columns: Columns, params: None) -> FloatArray:
            return self.targets

    alone = Alone("", random_walk(3, seed=1))
    with pytest.raises(ValueError, match="a template gave 2 targets, and must give one for each of 3 bars"):
        alone.score(Wrong([0.0, 1.0]), None, Terms())
    with pytest.raises(ValueError, match=r"at bar 1 it is -1\.0; targets below 0 need shorts=True"):
        alone.result(Wrong([0.0, -1.0, 0.0]), None, Terms())
    with pytest.raises(ValueError, match="at bar 2 it is nan"):
        alone.score(Wrong([0.0, 1.0, np.nan]), None, Terms())


def test_a_sweep_of_options_has_the_rows_of_single_runs(recorded: list[Bars]) -> None:
    grid = {"fast": [5, 9], "slow": [30], "stop_loss": [0.0, 0.003], "position_fraction": [0.1, 1.0]}
    for row in mt.sweep(recorded[2], "ma_cross", grid, workers=1, rules=RULES, trailing=0.02).to_rows()[:2]:
        check_row(row, grid, recorded[2], rules=RULES, trailing=0.02)
    rows = mt.sweep(recorded[2], "ma_cross", grid, workers=1, rules=RULES).to_rows()
    assert len({row["final_capital"] for row in rows}) == 8
    for row in rows:
        check_row(row, grid, recorded[2], rules=RULES)


def check_row(row: dict[str, Any], grid: dict[str, list[Any]], bars: Bars, **options: Any) -> None:
    single = mt.backtest(bars, "ma_cross", **{name: row[name] for name in grid}, **options).metrics
    for name in (
        "final_capital",
        "sharpe_ratio",
        "max_drawdown",
        "profit_factor",
        "expectancy",
        "fees",
        "calmar_ratio",
    ):
        assert row[name] == single[name], name


series = st.lists(st.sampled_from([1.0, 2.0, 3.0, np.nan]), max_size=200)


@given(fast=series, slow=series, seed=st.integers(0, 2**32 - 1))
def test_masks_are_held_as_targets_are(fast: list[float], slow: list[float], seed: int) -> None:
    count = min(len(fast), len(slow))
    quick, lazy = np.array(fast[:count]), np.array(slow[:count])
    above = targets.held_above(quick, lazy)
    assert masks.held_above(quick, lazy).tolist() == masks.packed(above == 1.0).tolist()
    numbers = np.random.default_rng(seed)
    enters, leaves = (numbers.random(count) < often for often in numbers.choice([0.9, 0.1, 0.01], 2))
    held = masks.held_between(masks.packed(enters), masks.packed(leaves), count)
    assert held.tolist() == masks.packed(targets.held_between(enters, leaves) == 1.0).tolist()
    first = int(numbers.integers(0, count + 1))
    known = masks.unpacked(masks.known_from(masks.packed(enters), first), count)
    assert known.tolist() == (enters & (np.arange(count) >= first)).tolist()
