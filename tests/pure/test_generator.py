"""Generated strategies: the same for the same seed, no two alike, each a rule that runs and does what its words say."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mastertrade as mt
from mastertrade.quant.columns import columns_of
from mastertrade.research.generating import make_generated
from mastertrade.shared.errors import UsageError
from mastertrade.strategies import find
from mastertrade.strategies.generator import FAMILIES, generate
from mastertrade.strategies.rule_reading import read

DAY_MS = 86_400_000


def walk(seed: int, count: int = 3_000) -> mt.Bars:
    chance = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(chance.normal(0, 0.004, count)))
    opened = np.concatenate(([100.0], close[:-1]))
    return mt.Bars(
        interval_s=300,
        time=DAY_MS * 20_000 + np.arange(count, dtype=np.int64) * 300_000,
        open=opened,
        high=np.maximum(opened, close) * 1.001,
        low=np.minimum(opened, close) * 0.999,
        close=close,
        volume=chance.exponential(10, count),
    )


def test_a_seed_makes_the_same_strategies_and_more_of_them_begin_alike() -> None:
    assert generate(50, seed=3) == generate(80, seed=3)[:50]
    assert generate(50, seed=3) != generate(50, seed=4)


@given(st.integers(0, 2**32))
@settings(max_examples=20)
def test_no_two_are_alike_and_every_rule_can_be_read(seed: int) -> None:
    made = generate(60, seed=seed)
    keys = {(read(one.rule).canonical, tuple(sorted(one.exits.items()))) for one in made}
    assert len(keys) == 60
    for one in made:
        rule = read(one.rule)
        assert rule.long is not None
        assert str(rule).startswith("Buy when ")
        assert 0.005 <= one.exits["stop_loss"] <= 0.025
        assert 0.01 <= one.exits["take_profit"] <= 0.05
        assert 0 < rule.warm_up <= 250


def test_all_families_are_drawn() -> None:
    families = Counter(json.loads(one.rule)["name"].split()[0] for one in generate(400))
    assert set(families) == set(FAMILIES)
    assert min(families.values()) > 60


def test_each_is_a_trial_and_the_table_is_what_single_runs_say() -> None:
    bars = walk(1)
    table = mt.generate(bars, 12, seed=5, workers=1)
    rows = table.to_rows()
    assert [row["status"] for row in rows] == ["done"] * 12
    for row, one in list(zip(rows, generate(12, seed=5), strict=True))[::4]:
        single = mt.backtest(bars, "rule", **one.parameters)
        assert row["rule"] == one.rule
        assert row["total_trades"] == len(single.trades)
        assert row["final_capital"] == single.metrics["final_capital"]
    assert rows == [row | {"seconds": other["seconds"]} for row, other in zip(
        mt.generate(bars, 12, seed=5, workers=2).to_rows(), rows, strict=True)]  # fmt: skip


def test_several_markets_share_the_cash_three_positions_at_most() -> None:
    table = mt.generate({"A/USDT": walk(1), "B/USDT": walk(2)}, 4, workers=1, cash=1_000.0)
    assert len(table) == 4
    assert all(row["status"] == "done" for row in table)


@pytest.mark.parametrize("count", [0, -1, 10_000_000, None])
def test_a_number_that_cannot_be_made_is_refused(count: int | None) -> None:
    with pytest.raises(UsageError, match="from 1 to 1,000,000 strategies can be generated"):
        make_generated(count, 0)


def test_generated_rules_see_no_future() -> None:
    """A longer history changes no earlier target."""
    bars = walk(7, 1_200)
    template = find("rule")
    names = ("time", "open", "high", "low", "close", "volume")
    part = mt.Bars(interval_s=300, **{name: getattr(bars, name)[:900] for name in names})
    for one in generate(25, seed=9):
        params = template.parameter_type(rule=one.rule)
        whole = template.positions(columns_of(bars), params)
        assert np.array_equal(whole[:900], template.positions(columns_of(part), params)), one.rule
