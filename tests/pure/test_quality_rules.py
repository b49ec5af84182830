"""The rules of quality over arrays: each fault is found where it is, however the bars are cut into chunks."""

from dataclasses import replace

import numpy as np
import pytest

from mastertrade.market_data_service.quality.rules import (
    APART,
    DEAD,
    FROZEN,
    FROZEN_BARS,
    GAP,
    LEAP,
    MOVED_WITHOUT_VOLUME,
    NO_VOLUME,
    NOT_ITS_TRADES,
    QUIET,
    Checks,
    Found,
    apart,
    score,
)
from mastertrade.quant.bars import Bars

MINUTE_MS = 60_000
START_MS = 1_700_000_040_000
ROWS = 2_000


def walking(seed: int = 3) -> Bars:
    close = 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.001, ROWS)))
    open_ = np.concatenate(([100.0], close[:-1]))
    return Bars(
        interval_s=60, time=START_MS + np.arange(ROWS) * MINUTE_MS, open=open_, high=np.maximum(open_, close) * 1.0001,
        low=np.minimum(open_, close) * 0.9999, close=close, volume=np.ones(ROWS),
    )  # fmt: skip


def flat(bars: Bars, first: int, count: int) -> Bars:
    """The bars, standing still from one on for a while."""
    columns = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close")}
    for column in columns.values():
        column[first : first + count] = bars.close[first - 1]
    return replace(bars, **columns)


def looked_at(bars: Bars, chunk: int = ROWS) -> dict[str, Found]:
    checks = Checks(bars.interval_s)
    for first in range(0, len(bars), chunk):
        checks.look(bars[first : first + chunk])
    return {one.rule.name: one for one in checks.end()}


@pytest.mark.parametrize("chunk", [ROWS, 64, 7])
def test_faults_are_found_where_they_are_in_chunks_of_any_size(chunk: int) -> None:
    bars = flat(walking(), 500, 2 * FROZEN_BARS)
    bars.volume[[510, 900, 901]] = 0.0
    columns = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close")}
    for name, column in columns.items():
        column[1_500 + (name == "open") :] *= 1.4
    found = looked_at(replace(bars, **columns), chunk)
    at = {one.rule: ((one.first_ms or 0) - START_MS) // MINUTE_MS for one in found.values()}
    assert at == {FROZEN: 500, NO_VOLUME: 510, MOVED_WITHOUT_VOLUME: 900, LEAP: 1_500}
    assert {one.rule: one.rows for one in found.values()} == {
        FROZEN: 2 * FROZEN_BARS, NO_VOLUME: 1, MOVED_WITHOUT_VOLUME: 2, LEAP: 1,
    }  # fmt: skip


def test_a_sound_market_has_no_findings_and_one_that_is_still_for_a_bar_less_than_counts_neither() -> None:
    assert looked_at(walking()) == {}
    assert looked_at(flat(walking(), 500, FROZEN_BARS - 1)) == {}


def test_standing_still_is_a_fault_of_markets_that_move_and_a_dead_one_never_does() -> None:
    bars = walking()
    quiet = bars
    for first in range(1, ROWS - 60, 40):
        quiet = flat(quiet, first, 12)
    quiet = flat(quiet, 1_000, FROZEN_BARS)
    dull = flat(bars, 1, ROWS - 1)
    assert list(looked_at(flat(bars, 700, 300))) == [FROZEN.name]
    assert list(looked_at(dull)) == [DEAD.name]
    half = bars
    for first in range(1, ROWS - 60, 40):
        half = flat(half, first, 25)
    assert list(looked_at(flat(half, 1_000, FROZEN_BARS))) == [QUIET.name]


def test_a_hole_ends_what_stands_still() -> None:
    bars = flat(walking(), 500, FROZEN_BARS + 4)
    kept = np.ones(ROWS, dtype=np.bool_)
    kept[500 + FROZEN_BARS // 2] = False
    holed = Bars(
        interval_s=60, time=bars.time[kept],
        **{name: getattr(bars, name)[kept] for name in ("open", "high", "low", "close", "volume")},
    )  # fmt: skip
    assert looked_at(holed) == {}


def test_a_price_is_apart_from_most_other_venues_and_a_dead_one_does_not_blacken_the_others() -> None:
    bars, near = walking(), walking()
    away = replace(bars, close=bars.close * (1 + 3 * APART))
    dead = replace(bars, close=np.full(ROWS, 1.0))
    assert apart(bars, [near, dead])[0] == []
    stretches, distance = apart(away, [near])
    assert [rows for _, _, rows in stretches] == [ROWS]
    assert distance == pytest.approx(3 * APART)
    assert len(apart(dead, [near, bars, away])[0]) == 1
    assert apart(bars, []) == ([], 0.0)
    # A single bar of a minute is not more than a minute.
    blip = bars.close.copy()
    blip[[100, 200, 201]] *= 2
    (found,) = apart(replace(bars, close=blip), [near])[0]
    assert found == (int(bars.time[200]), int(bars.time[201]), 2)


def test_the_score_is_the_share_of_bars_that_are_there_and_sound() -> None:
    assert score(100, []) == 100
    assert score(0, []) == 100
    assert score(75, [Found(rule=GAP, rows=25)]) == 75
    assert score(100, [Found(rule=NOT_ITS_TRADES, rows=5)]) == 50
    assert score(100, [Found(rule=NO_VOLUME, rows=90), Found(rule=LEAP, rows=3)]) == 100
    assert score(100, [Found(rule=DEAD, rows=100), Found(rule=NOT_ITS_TRADES, rows=100)]) == 0
