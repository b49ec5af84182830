"""Evaluation: a signal is a change of the target at the last bar, and nothing else."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastertrade.domain.strategy import Signal, SignalType
from mastertrade.quant.bars import Bars, FloatArray
from mastertrade.shared.errors import BadData, UsageError
from mastertrade.shared.serialization import new_id
from mastertrade.strategies import TEMPLATES, build
from mastertrade.strategies.template import Parameters
from mastertrade.strategy_service.evaluation import Assignment, Templates, evaluate, template_of, valid_until
from tests.pure.sample_bars import among_others, random_walk, written_bars

NOW = datetime(2021, 1, 1, 12, tzinfo=UTC)
ASSIGNMENT = Assignment(
    strategy_id=new_id(NOW),
    account_id=new_id(NOW),
    type="SMA",
    template="ma_cross",
    parameters={"fast": 2, "slow": 3},
    timeframe_s=60,
    instrument_id=7,
    symbol="BTC/USDT",
)


def run(bars: Bars, assignment: Assignment = ASSIGNMENT, templates: Templates = TEMPLATES) -> Signal | None:
    return evaluate(assignment, bars, templates, raised_at=NOW, valid_s=30, make_id=new_id)


def bars_of(*closes: float) -> Bars:
    return written_bars(closes, closes)


class Fixed:
    """A template that wants what it is told, whatever the bars."""

    name, legacy_type, parameter_type = "fixed", "FIXED", Parameters

    def __init__(self, *targets: float) -> None:
        self.targets = targets

    def warm_up(self, params: Parameters) -> int:
        return 0

    def positions(self, bars: Bars, params: Parameters) -> FloatArray:
        return np.array(self.targets)

    def evidence(self, bars: Bars, params: Parameters, i: int) -> dict[str, float]:
        return {}

    def confidence(self, bars: Bars, params: Parameters, i: int) -> float:
        return 50.0


def fixed(*targets: float) -> Templates:
    return {"fixed": Fixed(*targets)}


FIXED = replace(ASSIGNMENT, template="fixed", parameters={})


def test_a_rising_target_is_a_buy_and_a_falling_one_a_sell() -> None:
    bars = bars_of(1, 2, 3)
    assert [run(bars, FIXED, fixed(1, 0, 1)).type, run(bars, FIXED, fixed(0, 1, 0)).type] == [  # type: ignore[union-attr]
        SignalType.BUY,
        SignalType.SELL,
    ]


@pytest.mark.parametrize("targets", [(0, 0, 0), (1, 0, 0), (0, 1, 1)])
def test_an_unchanged_target_is_no_signal(targets: tuple[float, ...]) -> None:
    assert run(bars_of(1, 2, 3), FIXED, fixed(*targets)) is None


def test_one_bar_changes_nothing() -> None:
    assert run(bars_of(1), FIXED, fixed(1)) is None


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), name=st.sampled_from(sorted(TEMPLATES)))
def test_signals_of_growing_prefixes_are_the_changes_of_the_targets_over_all_bars(seed: int, name: str) -> None:
    """Live equals backtest: what a service sees bar by bar is what a backtest sees at once."""
    parameters: dict[str, Any] = {
        "ma_cross": {"fast": 3, "slow": 7},
        "rsi_reversion": {"period": 3},
        "macd": {"fast": 3, "slow": 7, "signal": 3},
        "momentum_rank": {"lookback": 5, "every": 3},
        "btc_correlation": {"window": 10},
    }.get(name, {})
    assignment = replace(ASSIGNMENT, template=name, parameters=parameters)
    bars = among_others(random_walk(120, seed))
    targets = build(name, parameters).positions(bars)
    changes = {i: "BUY" if targets[i] else "SELL" for i in range(1, len(bars)) if targets[i] != targets[i - 1]}

    live = {i: signal.type for i in range(1, len(bars)) if (signal := run(bars[: i + 1], assignment))}

    assert live == changes


def test_a_signal_carries_the_bar_and_the_indicators_it_was_raised_on() -> None:
    signal = run(bars_of(5, 4, 3, 6))

    assert signal is not None
    assert signal.type is SignalType.BUY
    assert signal.price == 6
    assert signal.confidence == 75
    assert signal.bar_close == datetime(2021, 1, 1, 0, 4, tzinfo=UTC)
    assert signal.evidence == {
        "time": "2021-01-01T00:03:00+00:00",
        "open": 6.0,
        "high": 6.0,
        "low": 6.0,
        "close": 6.0,
        "volume": 1_000_000.0,
        "sma_2": 4.5,
        "sma_3": pytest.approx(13 / 3),
    }


def test_a_signal_is_valid_for_the_given_time_when_it_is_raised_at_the_close() -> None:
    assert valid_until(NOW, NOW, 900, 30) == NOW + timedelta(seconds=30)


def test_a_signal_raised_late_is_never_valid_beyond_the_next_bar() -> None:
    assert valid_until(NOW, NOW + timedelta(hours=3), 900, 30) == NOW + timedelta(seconds=900)


def test_a_type_without_template_is_named_in_the_error() -> None:
    with pytest.raises(UsageError, match="'swing' has no template; known: bollinger_reversion, "):
        run(bars_of(1, 2, 3), replace(ASSIGNMENT, type="swing", template=None))


def test_an_unknown_parameter_is_named_in_the_error() -> None:
    with pytest.raises(UsageError, match="'fasst' is unknown; the nearest is 'fast'"):
        run(bars_of(1, 2, 3), replace(ASSIGNMENT, parameters={"fasst": 3}))


def test_the_timeframe_that_older_strategies_state_among_their_parameters_is_no_parameter() -> None:
    parameters = ASSIGNMENT.parameters | {"timeframe": "15m"}
    assert run(bars_of(5, 4, 3, 6), replace(ASSIGNMENT, parameters=parameters)) is not None


@pytest.mark.parametrize("targets", [(0, 0, float("nan")), (0, 0.5, 1), (0, 1)])
def test_targets_that_are_not_one_0_or_1_for_each_bar_are_refused(targets: tuple[float, ...]) -> None:
    with pytest.raises(BadData, match="each bar needs one target, 0 or 1"):
        run(bars_of(1, 2, 3), FIXED, fixed(*targets))


def test_older_type_names_mean_the_templates_that_replaced_them() -> None:
    names = [template_of(kind, TEMPLATES) for kind in ("SMA", "rsi", "ma_cross", "momentum", "swing")]
    assert names == ["ma_cross", "rsi_reversion", "ma_cross", "momentum_rank", None]


def test_a_swap_is_shorted_turned_and_given_up() -> None:
    swap = replace(FIXED, symbol="BTC/USDT:USDT")

    def raised(*targets: float) -> Signal:
        found = run(bars_of(1, 2, 3), swap, fixed(*targets))
        assert found is not None
        return found

    short = raised(0, 0, -1)
    assert (short.type, short.turns, short.terms.reduce_only) == (SignalType.SELL, False, False)
    turned = raised(0, 1, -1)
    assert (turned.type, turned.turns, turned.terms.reduce_only) == (SignalType.SELL, True, False)
    bought_back = raised(0, -1, 0)
    assert (bought_back.type, bought_back.turns, bought_back.terms.reduce_only) == (SignalType.BUY, False, True)
    assert bought_back.evidence["target"] == 0.0
    with pytest.raises(BadData, match="each bar needs one target, 0 or 1"):
        run(bars_of(1, 2, 3), FIXED, fixed(0, 0, -1))
    with pytest.raises(BadData, match="each bar needs one target, -1, 0 or 1"):
        run(bars_of(1, 2, 3), swap, fixed(0, 0, -2))
