"""Merging bars: against the obvious way of doing it, one bar at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastertrade.quant.bars import Bars
from mastertrade.quant.resample import ceil_to_grid, empty_bars, floor_to_grid, join, resample
from tests.pure.sample_bars import random_walk


def obvious(bars: Bars, interval_s: int) -> list[tuple[float, ...]]:
    step, need = interval_s * 1000, interval_s // bars.interval_s
    groups: dict[int, list[int]] = {}
    for place, time in enumerate(bars.time.tolist()):
        groups.setdefault(time // step * step, []).append(place)
    return [
        (
            start,
            bars.open[places[0]],
            max(bars.high[places]),
            min(bars.low[places]),
            bars.close[places[-1]],
            pytest.approx(sum(bars.volume[places])),
        )
        for start, places in groups.items()
        if len(places) == need
    ]


@given(st.integers(0, 300), st.integers(0, 50), st.sampled_from([60, 120, 300, 900, 3_600]))
def test_merged_bars_are_those_of_the_obvious_way(count: int, seed: int, interval_s: int) -> None:
    bars = random_walk(count, seed) if count else empty_bars(60)
    merged = resample(bars, interval_s)
    rows = zip(merged.time, merged.open, merged.high, merged.low, merged.close, merged.volume, strict=True)
    assert [tuple(row) for row in rows] == obvious(bars, interval_s)
    assert merged.interval_s == interval_s


@given(st.integers(1, 300), st.integers(0, 20), st.integers(0, 300))
def test_a_merged_bar_does_not_depend_on_what_follows_it(count: int, seed: int, cut: int) -> None:
    bars = random_walk(count, seed)
    whole, part = resample(bars, 300), resample(bars[:cut], 300)
    assert np.array_equal(part.close, whole.close[: len(part)])
    assert np.array_equal(part.volume, whole.volume[: len(part)])


def test_only_whole_multiples_can_be_merged() -> None:
    with pytest.raises(ValueError, match="bars of 60 s do not merge into bars of 90 s"):
        resample(random_walk(10, 1), 90)


@given(st.integers(-(10**15), 10**15), st.sampled_from([60, 900, 86_400]))
def test_the_grid_holds_every_time_between_two_of_its_lines(time_ms: int, interval_s: int) -> None:
    floor, ceiling = floor_to_grid(time_ms, interval_s), ceil_to_grid(time_ms, interval_s)
    assert floor <= time_ms <= ceiling
    assert ceiling - floor in (0, interval_s * 1000)
    assert floor % (interval_s * 1000) == 0


def test_stretches_join_only_in_the_order_of_time() -> None:
    bars = random_walk(50, 3, gaps=False)
    assert np.array_equal(join(bars[:20], bars[20:]).close, bars.close)
    assert join(bars, empty_bars(60)) is bars
    with pytest.raises(ValueError, match="the later bars begin at"):
        join(bars[:20], bars[19:])
    with pytest.raises(ValueError, match="different series"):
        join(bars, empty_bars(300))
