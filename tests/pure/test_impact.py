"""The square-root law of market impact, in numbers worked out by hand."""

import math

import numpy as np
import pytest

from mastertrade.quant.bars import Bars
from mastertrade.quant.impact import FEWEST_BARS, impact_per_root
from tests.pure.sample_bars import random_walk


def zigzag(count: int, *, interval_s: int, step: float, volume: float) -> Bars:
    """Closes that go up and down by the same factor, so that every squared log return is the same."""
    close = np.where(np.arange(count) % 2 == 0, 100.0, 100.0 * math.exp(step))
    return Bars(
        interval_s=interval_s, time=np.arange(count) * interval_s * 1000,
        open=close, high=close, low=close, close=close,
        volume=np.full(count, volume),
    )  # fmt: skip


def test_a_thousandth_of_the_days_volume_at_three_percent_a_day_costs_a_tenth_of_a_percent() -> None:
    # 24 bars an hour long: each moves by 3 %/√24, so the day by 3 %; each has 1,000/24 of the day's 1,000 units.
    bars = zigzag(60, interval_s=3_600, step=0.03 / math.sqrt(24), volume=1_000 / 24)
    found = impact_per_root(bars)
    assert found[-1] * math.sqrt(1.0) == pytest.approx(0.03 * math.sqrt(0.001), rel=1e-12)  # 0.0949 %


def test_nothing_is_known_before_twenty_bars_or_where_nobody_trades() -> None:
    bars = zigzag(40, interval_s=3_600, step=0.01, volume=5.0)
    found = impact_per_root(bars)
    assert (found[: FEWEST_BARS - 1] == 0.0).all()
    assert (found[FEWEST_BARS - 1 :] > 0.0).all()
    assert (impact_per_root(zigzag(40, interval_s=3_600, step=0.01, volume=0.0)) == 0.0).all()
    assert (impact_per_root(bars[:5]) == 0.0).all()


def test_only_the_day_before_counts_and_a_prefix_gives_the_same_bits() -> None:
    bars = random_walk(600, seed=4, interval_s=900)
    found = impact_per_root(bars)
    later = impact_per_root(bars[200:])
    assert later[-1] == pytest.approx(found[-1], rel=1e-9)
    assert impact_per_root(bars[:333]).tobytes() == found[:333].tobytes()
