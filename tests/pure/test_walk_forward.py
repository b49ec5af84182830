"""Walk-forward: windows that keep off their test, a choice that cannot see it, and an account stitched together."""

import numpy as np
import pytest

import mastertrade as mt
from mastertrade.backtest.objective import CONVINCING, with_deflated_sharpe
from mastertrade.backtest.trials import Outcome, Trial, Tried
from mastertrade.backtest.walk_forward import Plan, between, stretches
from mastertrade.quant.bars import Bars
from mastertrade.quant.metrics import DAY_MS
from mastertrade.research.walking import WalkForward
from mastertrade.shared.errors import UsageError
from tests.pure.sample_bars import START_MS, random_walk

HOURS = random_walk(24 * 60, seed=11, interval_s=3600, gaps=False)
GRID = {"fast": [3, 6], "slow": [12, 24]}


def walk(bars: Bars = HOURS, **options: object) -> WalkForward:
    settings = {"train_days": 20, "test_days": 10, "workers": 1, "position_fraction": 0.5, **options}
    return mt.walk_forward(bars, "ma_cross", GRID, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("scheme", ["rolling", "anchored"])
def test_tests_follow_each_other_without_a_hole_and_training_ends_a_gap_before(scheme: str) -> None:
    plan = Plan(train_days=20, test_days=10, scheme=scheme, purge_days=1, embargo_days=0.5)  # type: ignore[arg-type]
    found = stretches(0, 60 * DAY_MS, plan)
    assert [one.test_start for one in found[1:]] == [one.test_end for one in found[:-1]]
    assert found[0].test_start == round(21.5 * DAY_MS)
    assert found[-1].test_end == 60 * DAY_MS
    for one in found:
        assert one.test_start - one.train_end == round(1.5 * DAY_MS)
        if scheme == "anchored":
            assert one.train_start == 0
        else:
            assert one.train_end - one.train_start == 20 * DAY_MS


def test_the_last_test_may_be_short_but_not_shorter_than_half() -> None:
    plan = Plan(train_days=20, test_days=10)
    assert len(stretches(0, 34 * DAY_MS, plan)) == 1
    assert len(stretches(0, 36 * DAY_MS, plan)) == 2
    with pytest.raises(UsageError, match=r"it takes 25\.0"):
        stretches(0, 24 * DAY_MS, plan)


def test_the_choice_of_a_window_does_not_change_with_what_comes_after_its_training() -> None:
    """Every bar after the first training time is replaced: what was chosen there, and its trials, stay the same."""
    other = random_walk(24 * 60, seed=12, interval_s=3600, gaps=False)
    cut = 20 * 24
    mixed = Bars(
        interval_s=3600,
        time=HOURS.time,
        **{
            name: np.concatenate((getattr(HOURS, name)[:cut], getattr(other, name)[cut:]))
            for name in ("open", "high", "low", "close", "volume")
        },
    )
    one, two = walk(), walk(mixed)
    assert one.windows[0].parameters == two.windows[0].parameters
    assert one.windows[0].in_sample == two.windows[0].in_sample
    assert one.windows[0].out_of_sample != two.windows[0].out_of_sample


def test_slices_hold_nothing_beyond_themselves() -> None:
    part = between({"x": HOURS}, START_MS + DAY_MS, START_MS + 2 * DAY_MS)["x"]
    assert len(part) == 24
    assert part.close.base is None
    assert between({"x": HOURS}, 0, START_MS) == {}


def test_the_account_goes_on_from_window_to_window_and_trades_in_test_times_only() -> None:
    found = walk(purge_days=1)
    assert len(found.windows) == 4
    assert len(found.time) == len(found.equity) == sum(len(one.time) for one in found.results)
    for before, after in zip(found.results, found.results[1:], strict=False):
        assert after.cash == before.final_equity
    for window, result in zip(found.windows, found.results, strict=True):
        assert all(window.test_start <= trade.entry_time < window.test_end for trade in result.trades)
        assert window.trials == 4
    assert found.figures["total_return"] == pytest.approx(found.equity[-1] / found.cash - 1)
    assert found.luck.sentence in " ".join(repr(found).split())
    assert found.objective_value is not None


def test_a_window_is_traded_as_a_single_backtest_of_its_parameters_would() -> None:
    found = walk()
    window = found.windows[0]
    seen = between({"": HOURS}, window.train_start, window.test_end)[""]
    single = mt.backtest(seen, "ma_cross", parameters=window.parameters, position_fraction=0.5)
    inside = [trade for trade in single.trades if trade.entry_time > window.test_start + 2 * DAY_MS]
    traded = [t for t in found.results[0].trades if t.entry_time > window.test_start + 2 * DAY_MS]
    assert [t.entry_time for t in inside] == [t.entry_time for t in traded]
    # The account has another size there, and a market's price gives way to size.
    assert [t.entry_price for t in inside] == pytest.approx([t.entry_price for t in traded], rel=1e-4)


def test_the_objective_takes_trials_and_trades_into_account() -> None:
    returns = np.random.default_rng(1).normal(0.002, 0.01, (200, 3))

    def row(number: int, trades: float) -> Tried:
        outcome = Outcome(figures={"total_trades": trades}, daily_returns=returns[:, number])
        return Tried(trial=Trial(number=number, parameters={}), outcome=outcome)

    failed = Tried(trial=Trial(number=2, parameters={}), outcome=Outcome(failure="no"))
    few, many = with_deflated_sharpe([row(0, 10.0), row(1, 50.0), failed]), with_deflated_sharpe([row(0, 200.0)])
    first, alone = few[0].outcome.value(CONVINCING), many[0].outcome.value(CONVINCING)
    assert first is not None
    assert alone is not None
    assert first < 0.1 < alone
    assert few[2].outcome.value(CONVINCING) is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scheme": "zigzag"}, "'zigzag' is unknown"),
        ({"train_days": 0}, "needs days to train"),
        ({"train_days": 500}, "too few for one window"),
        ({"objective": "sharp"}, "nearest is"),
    ],
)
def test_a_walk_that_cannot_be_is_refused_with_what_it_takes(options: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        walk(**options)
