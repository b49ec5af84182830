"""The laws of every indicator that has a name: no look-ahead, nothing before its warm-up, holes forgotten."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastertrade.quant.bars import Bars, FloatArray
from mastertrade.quant.columns import Columns
from mastertrade.quant.indicators.catalogue import CATALOGUE, PRICES, Indicator
from tests.pure.sample_bars import random_walk

PASSES_OVER_HOLES = {"obv", "session_vwap"}
"""Running totals: what is unknown is not added."""


def traded(count: int, seed: int) -> Bars:
    """A random walk with shadows and with a volume that differs from bar to bar."""
    bars, numbers = random_walk(count, seed), np.random.default_rng(seed)
    return replace(
        bars,
        high=bars.high * (1.0 + numbers.gamma(1.0, 0.003, count)),
        low=bars.low * (1.0 - numbers.gamma(1.0, 0.003, count)),
        volume=numbers.gamma(2.0, 10.0, count),
    )


def same(left: FloatArray, right: FloatArray) -> bool:
    return np.array_equal(left, right, equal_nan=True)


@st.composite
def arguments(draw: st.DrawFn, indicator: Indicator) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for parameter in indicator.parameters:
        if parameter.kind is int:
            given[parameter.name] = draw(st.integers(int(parameter.low), 25))
        else:
            given[parameter.name] = draw(st.floats(parameter.low, 5.0))
    return given | {name: draw(st.sampled_from(PRICES)) for name in indicator.of}


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 150), seed=st.integers(0, 2**32 - 1), data=st.data())
def test_a_prefix_gives_the_bits_of_the_whole_series_for_every_indicator(
    count: int, seed: int, data: st.DataObject
) -> None:
    bars, known = traded(count, seed), data.draw(st.integers(1, count))
    for indicator in CATALOGUE.values():
        chosen = data.draw(arguments(indicator), label=indicator.name)
        whole = indicator.compute(Columns(bars), chosen)
        prefix = indicator.compute(Columns(bars[:known]), chosen)
        for output, values in whole.items():
            assert same(prefix[output], values[:known]), (indicator.name, output)


@settings(max_examples=40, deadline=None)
@given(count=st.integers(0, 120), seed=st.integers(0, 2**32 - 1), data=st.data())
def test_every_indicator_has_no_value_before_its_warm_up_and_always_one_after(
    count: int, seed: int, data: st.DataObject
) -> None:
    bars = Columns(traded(count, seed))
    for indicator in CATALOGUE.values():
        chosen = data.draw(arguments(indicator), label=indicator.name)
        first = indicator.first(chosen)
        made = indicator.compute(bars, chosen)
        assert {len(values) for values in made.values()} == {count}
        known = np.all([np.isfinite(values) for values in made.values()], axis=0)
        assert not known[:first].any(), indicator.name
        assert known[first:].all(), indicator.name


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_hole_in_the_input_is_forgotten_after_the_warm_up(name: str) -> None:
    indicator, bars, hole = CATALOGUE[name], traded(1200, seed=5), 300
    whole = indicator.compute(Columns(bars))
    broken = {}
    for absurd in (np.nan, np.inf, -np.inf):
        columns = {price: getattr(bars, price).copy() for price in PRICES}
        for column in columns.values():
            column[hole] = absurd
        broken[absurd] = indicator.compute(Columns(replace(bars, **columns)))
    for output, values in broken[np.nan].items():
        assert all(same(made[output], values) for made in broken.values()), "one unknown is as another"
        assert same(values[:hole], whole[output][:hole])
        assert np.isfinite(values[hole + indicator.first() + 2 :]).all()
        if name not in PASSES_OVER_HOLES:
            reached = hole if "span" not in output else hole + 26
            assert np.isnan(values[reached]), "a value made of an unknown one is unknown"
        if name != "obv":
            assert values[-1] == pytest.approx(whole[output][-1], rel=1e-3), "long after, it is what it would have been"


@pytest.mark.parametrize("name", CATALOGUE)
def test_an_indicator_is_computed_once_and_shared_read_only(name: str) -> None:
    columns = Columns(traded(80, seed=6))
    first, second = CATALOGUE[name].compute(columns), CATALOGUE[name].compute(columns)
    for output, values in first.items():
        assert second[output] is values
        assert not values.flags.writeable


@pytest.mark.parametrize("name", CATALOGUE)
def test_long_series_keep_the_bits_of_their_prefixes(name: str) -> None:
    bars = traded(9_000, seed=7)
    whole = CATALOGUE[name].compute(Columns(bars))
    for known in (1, 19, 20, 21, 4_095, 4_096, 4_097, 8_193):
        for output, values in CATALOGUE[name].compute(Columns(bars[:known])).items():
            assert same(values, whole[output][:known])


def test_arguments_that_an_indicator_does_not_take_are_refused_with_what_it_takes() -> None:
    sma, bollinger = CATALOGUE["sma"], CATALOGUE["bollinger"]
    with pytest.raises(ValueError, match=r"sma: 'perod' is unknown; the nearest is 'period' \(known: period, of\)"):
        sma.arguments({"perod": 3})
    with pytest.raises(ValueError, match=r"sma: period 0 is outside 1..5000; the nearest allowed is 1"):
        sma.arguments({"period": 0})
    with pytest.raises(ValueError, match=r"sma: period must be a whole number, not 2.5"):
        sma.arguments({"period": 2.5})
    with pytest.raises(ValueError, match="bollinger: deviations must be a number, not nan"):
        bollinger.arguments({"deviations": float("nan")})
    with pytest.raises(ValueError, match="sma: bars have no column 'clsoe'; they have open, high, low, close, volume"):
        sma.arguments({"of": "clsoe"})
    assert bollinger.arguments({"period": 30.0}) == {"period": 30, "deviations": 2.0, "of": "close"}
