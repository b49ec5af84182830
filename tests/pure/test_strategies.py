"""Templates: no look-ahead, no position before warm-up, the rules they promise, and parameters that are checked."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastertrade.quant.bars import Bars, FloatArray
from mastertrade.quant.columns import columns_of, together
from mastertrade.quant.indicators import rsi, sma
from mastertrade.quant.masks import packed
from mastertrade.shared.errors import UsageError
from mastertrade.strategies import TEMPLATES, Built, Parameters, Range, build, find_look_ahead, ranges
from mastertrade.strategies.rule import EXAMPLE
from mastertrade.strategies.template import make
from tests.pure.sample_bars import among_others, random_walk, recorded_bars, written_bars

every_template = pytest.mark.parametrize("name", TEMPLATES)


def drawn(name: str, data: st.DataObject) -> Built[Any]:
    """The template with random allowed parameters, small enough that something happens on short bars."""
    kinds = ranges(TEMPLATES[name].parameter_type)
    values = {
        parameter: data.draw(
            st.integers(int(allowed.low), int(min(allowed.high, 30)))
            if kind is int
            else st.floats(allowed.low, allowed.high)
        )
        for parameter, (kind, allowed) in kinds.items()
        if kind is not str and data.draw(st.booleans())
    }
    try:
        return build(name, values)
    except UsageError:  # the parameters contradict each other
        return build(name)


@every_template
@pytest.mark.parametrize("seed", range(3))
def test_on_a_random_walk_no_template_looks_ahead(name: str, seed: int) -> None:
    bars, built = among_others(random_walk(400, seed)), build(name)
    assert built.positions(bars).any(), "without a position the law would say nothing"
    assert find_look_ahead(built.positions, bars, range(1, 401)) is None


@every_template
def test_on_recorded_prices_no_template_looks_ahead(name: str, real_data: Path) -> None:
    built = build(name)
    pairs = {f"{coin}/USDT": recorded_bars(real_data, f"{coin}_USDT") for coin in ("BTC", "DOGE", "ETH")}
    for bars in (together(pairs)[pair][14_000:18_000] for pair in ("ETH/USDT", "DOGE/USDT")):  # with an outage
        assert built.positions(bars).any()
        known = np.random.default_rng(1).integers(1, 4_000, 100).tolist()
        assert find_look_ahead(built.positions, bars, known) is None
        targets = built.positions(bars)
        assert all(built.positions(bars[:k])[-1] == targets[k - 1] for k in range(3_900, 4_001))


@every_template
@settings(max_examples=25, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), count=st.integers(1, 150))
def test_whatever_the_parameters_no_template_looks_ahead(name: str, data: st.DataObject, seed: int, count: int) -> None:
    built, bars = drawn(name, data), among_others(random_walk(count, seed, deviation=0.02))
    assert find_look_ahead(built.positions, bars, [data.draw(st.integers(1, count))]) is None


def centred_average(bars: Bars) -> FloatArray:
    smooth = np.convolve(bars.close, np.ones(5) / 5)[2 : len(bars) + 2]
    return np.where(bars.close < smooth, 1.0, 0.0)


def tomorrows_close(bars: Bars) -> FloatArray:
    tomorrow = np.append(bars.close[1:], bars.close[-1])
    return np.where(tomorrow > bars.close, 1.0, 0.0)


def above_the_mean_of_all_time(bars: Bars) -> FloatArray:
    return np.where(bars.close > np.mean(bars.close), 1.0, 0.0)


def repainted_past(bars: Bars) -> FloatArray:
    """Every target is honest while it is the last, and in the end; in between it is sometimes another one."""
    targets = np.where(bars.close > bars.open, 1.0, 0.0)
    if len(bars) % 2 and len(bars) > 1:
        targets[-2] = 1.0 - targets[-2]
    return targets


def nan_for_unknown(bars: Bars) -> FloatArray:
    return np.where(np.isnan(sma(bars.close, 5)), np.nan, 1.0)


@pytest.mark.parametrize(
    "cheat", [centred_average, tomorrows_close, above_the_mean_of_all_time, repainted_past, nan_for_unknown]
)
def test_the_check_catches_a_template_that_cheats(cheat: Any) -> None:
    found = find_look_ahead(cheat, random_walk(120, seed=5), range(1, 121))
    assert found is not None
    assert found.bar < found.bars_known
    assert "looks into the future" in str(found)


@every_template
@settings(max_examples=25, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), count=st.integers(0, 150))
def test_targets_are_zero_or_one_and_zero_during_warm_up(name: str, data: st.DataObject, seed: int, count: int) -> None:
    built = drawn(name, data)
    targets = built.positions(among_others(random_walk(count, seed, deviation=0.02)))
    assert targets.dtype == np.float64
    assert len(targets) == count
    assert set(targets.tolist()) <= {0.0, 1.0}
    assert not targets[: built.warm_up].any()


@every_template
@settings(max_examples=25, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), count=st.integers(0, 150))
def test_a_mask_says_what_the_targets_say(name: str, data: st.DataObject, seed: int, count: int) -> None:
    built = drawn(name, data)
    columns = columns_of(random_walk(count, seed, deviation=0.02))
    give = getattr(built.template, "mask", None)
    words = None if give is None else give(columns, built.params)
    if words is not None:
        assert words.tolist() == packed(built.positions(columns) == 1.0).tolist()


@every_template
@settings(max_examples=25, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_a_change_of_target_has_confidence_and_evidence(name: str, data: st.DataObject, seed: int) -> None:
    built, bars = drawn(name, data), among_others(random_walk(120, seed, deviation=0.02))
    targets = built.positions(bars)
    for i in range(len(bars)):
        changed = targets[i] != (targets[i - 1] if i else 0.0)
        confidence = built.confidence(bars, i)
        assert 0.0 < confidence <= 100.0 if changed else confidence == 0.0
        evidence = built.evidence(bars, i)
        assert evidence["close"] == bars.close[i]
        assert all(math.isfinite(value) for value in evidence.values())
        assert len(evidence) >= 2 or not changed


@every_template
def test_evidence_and_confidence_know_no_later_bar(name: str) -> None:
    built, bars = build(name), among_others(random_walk(300, seed=6))
    for i in (0, 13, 50, 120, 299):
        assert built.evidence(bars, i) == built.evidence(bars[: i + 1], i) == built.evidence(bars[: i + 1], -1)
        assert built.confidence(bars, i) == built.confidence(bars[: i + 1], -1)


def test_the_averages_hold_from_one_cross_to_the_next() -> None:
    bars, built = random_walk(500, seed=7), build("ma_cross", {"fast": 5, "slow": 20})
    fast, slow = sma(bars.close, 5), sma(bars.close, 20)
    held, expected = False, []
    for i in range(len(bars)):
        if i and fast[i] > slow[i] and fast[i - 1] <= slow[i - 1]:
            held = True
        if held and fast[i] <= slow[i]:
            held = False
        expected.append(float(held))
    assert built.positions(bars).tolist() == expected
    assert 0 < sum(expected) < 500
    entry = expected.index(1.0)
    assert built.evidence(bars, entry) == {"close": bars.close[entry], "sma_5": fast[entry], "sma_20": slow[entry]}
    assert built.confidence(bars, entry) == 75.0


def test_averages_that_start_crossed_have_not_crossed() -> None:
    rising = np.arange(1.0, 101.0).tolist()
    assert not build("ma_cross").positions(written_bars(rising, rising)).any()


def test_reversion_holds_from_leaving_oversold_until_it_has_come_back() -> None:
    bars, built = random_walk(2_000, seed=8), build("rsi_reversion", {"exit": 60, "overbought": 65})
    strength = rsi(bars.close, 14)
    held, expected = False, []
    for i in range(len(bars)):
        if i and strength[i - 1] < 30.0 <= strength[i] < 60.0:
            held = True
        if strength[i] >= 60.0 or (i and strength[i - 1] > 65.0 >= strength[i]):
            held = False
        expected.append(float(held))
    assert built.positions(bars).tolist() == expected
    assert 0 < sum(expected) < 2_000
    entry = expected.index(1.0)
    assert built.evidence(bars, entry) == {
        "close": bars.close[entry],
        "rsi_14": strength[entry],
        "rsi_14_before": strength[entry - 1],
    }
    assert built.confidence(bars, entry) == pytest.approx(50.0 + strength[entry] - 30.0)


def test_a_leap_from_oversold_past_the_exit_is_no_entry() -> None:
    closes = [100.0 - step for step in range(20)] + [140.0] + [140.0 + step % 2 for step in range(10)]
    strength = rsi(np.array(closes), 14)
    assert strength[19] < 30.0
    assert strength[20] > 55.0
    assert not build("rsi_reversion").positions(written_bars(closes, closes)).any()


def test_with_exit_out_of_reach_reversion_waits_for_buyers_to_tire() -> None:
    bars, built = random_walk(2_000, seed=8), build("rsi_reversion", {"exit": 100})
    targets, strength = built.positions(bars), rsi(bars.close, 14)
    exits = [i for i in range(1, 2_000) if targets[i - 1] == 1.0 and targets[i] == 0.0]
    assert exits
    assert all(strength[i - 1] > 70.0 >= strength[i] for i in exits)
    assert all(built.confidence(bars, i) == min(95.0, 50.0 + 70.0 - strength[i]) for i in exits)


@every_template
def test_the_defaults_are_the_older_systems(name: str) -> None:
    built = build(name)
    assert (built.template.legacy_type, built.parameters) == {
        "ma_cross": ("SMA", {"fast": 20, "slow": 50}),
        "rsi_reversion": ("RSI", {"period": 14, "oversold": 30.0, "exit": 55.0, "overbought": 70.0}),
        "rule": ("RULE", {"rule": json.dumps(EXAMPLE, separators=(",", ":"))}),
        "bollinger_reversion": ("BOLLINGER_BANDS", {"period": 20, "deviations": 2.0, "exit": 0.0}),
        "macd": ("MACD", {"fast": 12, "slow": 26, "signal": 9}),
        "donchian_breakout": ("breakout", {"entry": 20, "exit": 10}),
        "volatility_breakout": ("volatility", {"period": 14, "ranges": 1.5, "exit": 20}),
        "momentum_rank": ("momentum", {"lookback": 50, "top": 1, "every": 10, "minimum": 0.0}),
        "btc_correlation": (
            "btc_correlation",
            {"window": 60, "correlation": 0.7, "release": 0.5, "momentum": 12, "lead": 0},
        ),
    }[name]
    assert built.template.name == name
    assert build(name, built.parameters) == built


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("ma_crss", {}, "template 'ma_crss' is unknown; the nearest is 'ma_cross' (known: ma_cross, rsi_reversion, "),
        ("", {}, "template '' is unknown; the nearest is "),
        ("ma_cross", {"fsat": 5}, "ma_cross: parameter 'fsat' is unknown; the nearest is 'fast' (known: fast, slow)"),
        ("ma_cross", {"fast": 1}, "ma_cross: fast 1 is outside 2..500; the nearest allowed is 2"),
        ("ma_cross", {"slow": 1001}, "ma_cross: slow 1001 is outside 3..1000; the nearest allowed is 1000"),
        ("ma_cross", {"fast": 50}, "ma_cross: fast 50 must be below slow 50"),
        ("ma_cross", {"fast": 1, "slow": 0}, "fast 1 is outside 2..500; the nearest allowed is 2; slow 0 is outside"),
        ("ma_cross", {"fast": 5.5}, "ma_cross: fast must be a whole number, not 5.5"),
        ("ma_cross", {"fast": True}, "ma_cross: fast must be a whole number, not True"),
        ("ma_cross", {"fast": "20"}, "ma_cross: fast must be a whole number, not '20'"),
        ("ma_cross", {"fast": None}, "ma_cross: fast must be a whole number, not None"),
        ("ma_cross", {"fast": float("nan")}, "ma_cross: fast must be a whole number, not nan"),
        ("rsi_reversion", {"exit": float("inf")}, "rsi_reversion: exit must be a number, not inf"),
        ("rsi_reversion", {"oversold": 45, "exit": 40}, "rsi_reversion: oversold 45 must be below exit 40"),
    ],
)
def test_what_cannot_be_built_is_refused_with_what_could_be(name: str, parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as refused:
        build(name, parameters)
    assert words in str(refused.value)


def test_whole_numbers_may_come_as_floats_out_of_json() -> None:
    assert build("ma_cross", {"fast": 10.0}).parameters == {"fast": 10, "slow": 50}
    assert type(build("ma_cross", {"fast": 10.0}).params.fast) is int


def test_parameters_cannot_be_made_wrong_by_going_round_the_registry() -> None:
    parameter_type = TEMPLATES["ma_cross"].parameter_type
    with pytest.raises(UsageError, match="fast 1 is outside"):
        parameter_type(fast=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CarelessParameters(Parameters):
    depth: int = 1


def test_a_parameter_without_a_range_is_a_mistake_of_its_author() -> None:
    with pytest.raises(TypeError, match=r"CarelessParameters\.depth has no Range"):
        ranges(CarelessParameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlwaysParameters(Parameters):
    bars: Annotated[int, Range(low=1, high=9)] = 1


class Always:
    name = "always"
    legacy_type = "custom"
    parameter_type = AlwaysParameters

    def warm_up(self, params: AlwaysParameters) -> int:
        return params.bars

    def positions(self, bars: Bars, params: AlwaysParameters) -> FloatArray:
        return (np.arange(len(bars)) >= params.bars).astype(np.float64)

    def evidence(self, bars: Bars, params: AlwaysParameters, i: int) -> dict[str, float]:
        return {"close": float(bars.close[i])}

    def confidence(self, bars: Bars, params: AlwaysParameters, i: int) -> float:
        return 100.0


def test_the_check_refuses_targets_that_do_not_fit_the_bars() -> None:
    with pytest.raises(ValueError, match="gave 4 targets for 5 bars"):
        find_look_ahead(lambda bars: np.zeros(max(len(bars) - 1, 0)), random_walk(5, seed=1), [5])


def test_a_template_of_ones_own_is_built_like_the_others() -> None:
    built = make(Always(), {"bars": 3})
    assert built.positions(random_walk(5, seed=1)).tolist() == [0.0, 0.0, 0.0, 1.0, 1.0]
    with pytest.raises(UsageError, match="always: bars 0 is outside"):
        make(Always(), {"bars": 0})
