"""Longer bars are kept, follow every change of their candles, and outlive them."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mastertrade.market_data_service.bar_source import DatabaseBars, Layer, plan
from mastertrade.market_data_service.candle_store import CandleStore
from mastertrade.market_data_service.catalogue import parse_selection
from mastertrade.market_data_service.rollups import Rollups
from mastertrade.quant.bars import Bars
from mastertrade.quant.resample import merge, resample
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.errors import UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.market_seed import MINUTE, NOON, NOW, minutes
from tests.postgres.test_candle_blocks import assert_same
from tests.postgres.test_candle_store import END, MONTH_END, START, opened

ROWS = "SELECT interval_s, open_time, open, high, low, close, volume, candles, is_partial FROM rollups ORDER BY 1, 2"
MONTHS = "SELECT interval_s, month, bars, partial_bars, candles FROM rollup_months ORDER BY 1, 2"
HOUR = 3_600


def rollups_of(database: PostgresManager) -> Rollups:
    return Rollups(manager=database, clock=ReplayClock(NOW))


def uneven(count: int, *, start: datetime = NOON, without: tuple[int, ...] = ()) -> Bars:
    """Volumes whose sum depends on the order of adding."""
    bars = minutes(count, start=start, without=without)
    bars.volume[:] = np.random.default_rng(3).exponential(10.0, len(bars))
    return bars


async def test_kept_bars_are_what_a_read_makes_and_partial_ones_are_marked(database: PostgresManager) -> None:
    store, (btc,) = await opened(database)
    bars = uneven(3_000, without=(130, 131))
    await store.load(btc, bars)
    rollups = rollups_of(database)
    await rollups.ask(parse_selection(["BTC/USDT", "1m"]), (300, HOUR))
    assert await rollups.follow() == 1
    merged, parts = merge(bars, HOUR)
    rows = [row for row in await database.fetch(ROWS) if row["interval_s"] == HOUR]
    assert [row["volume"] for row in rows] == merged.volume.tolist()
    assert [row["candles"] for row in rows] == parts.tolist()
    assert [index for index, row in enumerate(rows) if row["is_partial"]] == [2]
    (hourly,) = [one for one in await rollups.totals() if one.interval_s == HOUR]
    assert (hourly.bars, hourly.partial) == (50, 1)
    assert await rollups.follow() == 0


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 300), st.integers(1, 80), st.booleans()), max_size=6),
)
async def test_what_follows_the_changes_equals_what_is_built_anew(
    database: PostgresManager, steps: list[tuple[bool, int, int, bool]]
) -> None:
    """By store_rollup, and by forget_rollups where a month has lost its last candle."""
    store, (btc,) = await opened(database)
    await database.execute("SELECT remove_candles(instrument_id, interval_s, $1, $2, true, $1) FROM series", START, END)
    rollups = rollups_of(database)
    await store.load(btc, uneven(200, start=MONTH_END - 100 * MINUTE))
    await rollups.ask(parse_selection([]), (300, HOUR))
    for is_load, at, count, follows in steps:
        start = MONTH_END + (at - 150) * MINUTE
        if is_load:
            await store.load(btc, uneven(count, start=start))
        else:
            await store.remove(btc, 60, start, start + count * MINUTE)
        if follows:
            await rollups.follow()
    await rollups.follow()
    kept = await database.fetch(ROWS), await database.fetch(MONTHS)
    await database.execute("DELETE FROM rollups")
    await database.execute("DELETE FROM rollup_months")
    await rollups.follow()
    assert (await database.fetch(ROWS), await database.fetch(MONTHS)) == kept


async def test_a_read_goes_on_with_kept_bars_where_the_candles_are_gone(database: PostgresManager) -> None:
    store, (btc,) = await opened(database)
    bars = uneven(60 * 24 * 40, start=datetime(2024, 4, 20, tzinfo=UTC))
    await store.load(btc, bars)
    rollups = rollups_of(database)
    await rollups.ask(parse_selection([]), (HOUR,))
    await rollups.follow()
    may = datetime(2024, 5, 1, tzinfo=UTC)
    await database.execute("SELECT remove_candles($1, 60, $2, $3, false, $3)", btc, START, may)
    source = DatabaseBars(database)
    assert_same(await source.read(btc, HOUR, START, END), resample(bars, HOUR))
    assert (await source.read(btc, 14_400, START, END)).close.tolist() == resample(bars, 14_400).close.tolist()
    assert (await source.read(btc, 900, START, END)).time[0] == may.timestamp() * 1000
    assert (await source.read(btc, HOUR, START, END, as_of=may)).time[-1] == may.timestamp() * 1000 - 3_600_000


async def test_a_kept_bar_with_a_correction_of_later_is_not_what_was_known_earlier(database: PostgresManager) -> None:
    store, (btc,) = await opened(database)
    await store.load(btc, minutes(300))
    changed = minutes(300)
    changed.close[70] += 0.25
    await CandleStore(manager=database, clock=ReplayClock(NOW + MINUTE)).load(btc, changed)
    rollups = rollups_of(database)
    await rollups.ask(parse_selection([]), (HOUR,))
    await rollups.follow()
    await database.execute("SELECT remove_candles($1, 60, $2, $3, false, $3)", btc, START, END)
    await store.load(btc, minutes(10, start=END - timedelta(days=1)))
    source = DatabaseBars(database)
    assert len(await source.read(btc, HOUR, NOON, NOON + 300 * MINUTE)) == 5
    hours = (await source.read(btc, HOUR, NOON, NOON + 300 * MINUTE, as_of=NOW)).time - int(NOON.timestamp()) * 1000
    assert (hours // 3_600_000).tolist() == [0, 2, 3, 4]


async def test_coarser_candles_are_read_where_finer_ones_do_not_reach(database: PostgresManager) -> None:
    store, (btc,) = await opened(database)
    fine = minutes(600, start=NOON + 30 * MINUTE)
    coarse = resample(minutes(60 * 48, start=NOON - timedelta(days=1), price=500.0), HOUR)
    await store.load(btc, coarse)
    await store.load(btc, fine)
    read = await DatabaseBars(database).read(btc, HOUR, START, END)
    inside = (read.time >= fine.time[30]) & (read.time < fine.time[570])
    assert len(read) == 48
    assert_same(
        Bars(
            interval_s=HOUR, **{n: getattr(read, n)[inside] for n in ("time", "open", "high", "low", "close", "volume")}
        ),
        resample(fine, HOUR),
    )
    assert np.array_equal(read.close[~inside], coarse.close[~inside])


def test_each_layer_is_read_only_where_no_better_one_reaches() -> None:
    fine = Layer(interval_s=60, first_ms=7_000_000, last_ms=15_000_000)
    kept = Layer(interval_s=HOUR, first_ms=0, last_ms=20_000_000, rolled_from=60)
    assert plan([fine, kept], HOUR, 0, 36_000_000) == [
        (0, 7_200_000, kept),
        (7_200_000, 14_400_000, fine),
        (14_400_000, 18_000_000, kept),
    ]
    assert plan([fine], HOUR, 3_600_000, 3_600_000) == []


async def test_a_length_that_does_not_divide_a_day_is_refused(database: PostgresManager) -> None:
    with pytest.raises(UsageError, match="must divide a day"):
        await rollups_of(database).ask(parse_selection([]), (420,))
