"""Sealed months can never disagree with the rows, and what was known at a time can always be read again."""

import asyncio
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mastertrade.market_data_service import blocks
from mastertrade.market_data_service.bar_source import DatabaseBars
from mastertrade.market_data_service.blocks import QUERIES, read_candles, seal_month, seal_months
from mastertrade.market_data_service.candle_store import CandleStore
from mastertrade.market_data_service.source import CandleBatch
from mastertrade.quant.bars import Bars
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.market_seed import BTC, MINUTE, NOW, candle_at, minutes
from tests.postgres.test_candle_store import END, MARKET, MONTH_END, START, _some, opened

VALUES = ("open", "high", "low", "close", "volume")
MONTHS = (datetime(2024, 5, 1, tzinfo=UTC).date(), datetime(2024, 6, 1, tzinfo=UTC).date())


def assert_same(one: Bars, other: Bars) -> None:
    assert np.array_equal(one.time, other.time)
    for name in VALUES:
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


async def rows_only(database: PostgresManager, id: int) -> Bars:
    return await MARKET.candle_columns(database, id, 60, START, END)


async def test_a_sealed_month_and_the_live_tail_read_as_the_rows_do(database: PostgresManager) -> None:
    store, (id,) = await opened(database)
    bars = minutes(90_000, start=datetime(2024, 4, 20, tzinfo=UTC), without=[7, 20_000, 50_000])
    await store.load(id, bars)
    assert await seal_months(database) == 2  # June has not ended
    assert await seal_months(database) == 0
    assert_same(await read_candles(database, id, 60, START, END), bars)
    read = await DatabaseBars(database).read(id, 60, START, END)
    assert_same(read, bars)
    assert all(getattr(read, name).dtype == np.dtype("<f8") for name in VALUES)
    first, last = bars.time[5_000], bars.time[60_000]
    inside = await DatabaseBars(database).read(
        id, 60, datetime.fromtimestamp(first / 1000, UTC), datetime.fromtimestamp(last / 1000, UTC)
    )
    assert_same(inside, bars[5_000:60_000])


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(("load", "batch", "remove", "seal")),
            st.integers(0, 300),
            st.integers(1, 80),
            st.integers(0, 3),
        ),
        max_size=14,
    )
)
async def test_blocks_equal_the_rows_after_anything(
    database: PostgresManager, monkeypatch: pytest.MonkeyPatch, steps: list[tuple[str, int, int, int]]
) -> None:
    monkeypatch.setattr(blocks, "FEWEST_ROWS", 0)
    store, (id,) = await opened(database)
    await database.execute(
        "SELECT remove_candles(instrument_id, interval_s, $1, $2, false, $1) FROM series", START, END
    )
    for step, at, count, kind in steps:
        start = MONTH_END + (at - 150) * MINUTE
        if step == "load":
            await store.load(id, _some(start, count, kind))
        elif step == "batch":
            await MARKET.ensure_partitions(database, start, start)
            candles = (candle_at(_some(start, 1, kind), 0, id, BTC),)
            batch = CandleBatch(interval_s=60, open_time=start, candles=candles)
            await MARKET.store_batch(database, batch, at=start + 4 * MINUTE)
        elif step == "remove":
            await store.remove(id, 60, start, start + count * MINUTE)
        for month in MONTHS if step == "seal" else ():
            await seal_month(database, id, 60, month)
        assert_same(await read_candles(database, id, 60, START, END), await rows_only(database, id))


async def test_sealing_reading_and_revising_at_once_never_shows_another_number(database: PostgresManager) -> None:
    store, (id,) = await opened(database)
    await store.load(id, minutes(4_000))
    until = asyncio.get_running_loop().time() + 1.5
    seen: list[float] = []

    async def revise() -> None:
        version = 0
        while asyncio.get_running_loop().time() < until:
            version += 1
            bars = minutes(4_000)
            bars.volume[:] = float(version)
            await store.load(id, bars[1_000:1_050])
            # What has been committed is what a reader sees from now on, sealed or not.
            read = await read_candles(database, id, 60, START, END)
            assert set(read.volume[1_000:1_050]) == {float(version)}

    async def seal() -> None:
        while asyncio.get_running_loop().time() < until:
            await seal_month(database, id, 60, MONTHS[0])
            await asyncio.sleep(0.002)

    async def read() -> None:
        while asyncio.get_running_loop().time() < until:
            part = set((await read_candles(database, id, 60, START, END)).volume[1_000:1_050])
            if len(part) == 1:  # before the first revision the volumes differ from bar to bar
                seen.append(part.pop())

    async with asyncio.TaskGroup() as group:
        for work in (revise(), seal(), seal(), read()):
            group.create_task(work)
    assert seen == sorted(seen)
    assert len(set(seen)) > 3


async def test_a_partition_that_was_made_anew_has_no_sealed_past(database: PostgresManager) -> None:
    store, (id,) = await opened(database)
    await store.load(id, minutes(3_000))
    await seal_month(database, id, 60, MONTHS[0])
    await database.execute("ALTER TABLE candles DETACH PARTITION candles_2024_05")
    assert len(await read_candles(database, id, 60, START, END)) == 0


async def test_as_of_shows_what_was_known_then(database: PostgresManager) -> None:
    first, (id,) = await opened(database)
    original = minutes(5_000, without=[100])
    await first.load(id, original)
    at = NOW + timedelta(days=1)
    later = CandleStore(manager=database, clock=ReplayClock(at))
    changed = minutes(5_000)[:200]
    changed.close[50] += 0.25
    await later.load(id, changed, is_live=True)
    twice = CandleStore(manager=database, clock=ReplayClock(at + MINUTE))
    changed.close[50] += 0.25
    await twice.load(id, changed)
    await twice.remove(id, 60, MONTH_END - timedelta(days=40), MONTH_END - timedelta(days=28))
    await seal_month(database, id, 60, MONTHS[0])
    source = DatabaseBars(database)
    assert_same(await source.read(id, 60, START, END, as_of=at - MINUTE), original)
    middle = await source.read(id, 60, START, END, as_of=at)
    assert (len(middle), middle.close[50]) == (5_000, minutes(51).close[50] + 0.25)
    now = await source.read(id, 60, START, END)
    assert len(now) < 5_000
    watermark = await read_candles(database, id, 60, START, END, last_revision=0)
    assert_same(watermark, original)


async def test_a_read_of_pieces_opens_only_the_months_it_asks_for(database: PostgresManager) -> None:
    store, (id,) = await opened(database)
    await store.load(id, minutes(3))
    await database.fetchval("SELECT ensure_candle_partitions($1, $2)", datetime(2020, 1, 1, tzinfo=UTC), NOW)
    text, parameters = QUERIES.sql("candle_pieces")
    span = {"first": datetime(2024, 5, 1, tzinfo=UTC), "last": datetime(2024, 6, 1, tzinfo=UTC)}
    values = {"instrument_id": id, "interval_s": 60, **span, "fewest_rows": 2_000.0}
    plan = await database.fetch(f"EXPLAIN {text}", *(values[name] for name in parameters))
    opened_tables = {
        line.split(" on ")[1].split()[0] for line in (r["QUERY PLAN"] for r in plan) if " on candles_2" in line
    }
    assert opened_tables == {"candles_2024_05"}
