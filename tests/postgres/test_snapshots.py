"""Snapshots pin what a result was computed from; their hash is the same on any machine."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mastertrade.market_data_service.bar_source import DatabaseBars
from mastertrade.market_data_service.blocks import seal_month
from mastertrade.market_data_service.candle_store import CandleStore
from mastertrade.market_data_service.catalogue import Selection, parse_selection
from mastertrade.market_data_service.exact_candles import exact_candles
from mastertrade.market_data_service.snapshots import SnapshotBars, Snapshots
from mastertrade.quant.bars import Bars
from mastertrade.quant.resample import resample
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.errors import NotFound, UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.market_seed import MINUTE, NOON, NOW, minutes
from tests.postgres.test_candle_blocks import assert_same
from tests.postgres.test_candle_store import opened

TWO_SERIES = "96b52e26e2082373787386b3b27582f0c80bf9a0ddfa313fd52314208d4f94bd"
LATER = NOW + timedelta(days=1)


def snapshots_of(database: PostgresManager, at: datetime = NOW) -> Snapshots:
    return Snapshots(manager=database, clock=ReplayClock(at))


async def test_the_hash_of_the_same_candles_is_the_same_on_any_machine(database: PostgresManager) -> None:
    store, (_, btc, eth) = await opened(database, "AAA/USDT", "BTC/USDT", "ETH/USDT")
    await store.load(btc, minutes(3_000, without=[7, 8]))
    silent = minutes(50, price=2.1)
    silent.volume[:] = 0.0
    silent.volume[3] = -0.0
    await store.load(eth, silent)
    await seal_month(database, btc, 60, NOON.date().replace(day=1))
    made = await snapshots_of(database).create(Selection(), note="a paper")
    assert (made.series, made.rows, made.starts, made.ends) == (2, 3_048, NOON, NOON + 3_000 * MINUTE)
    assert made.content_hash == TWO_SERIES
    again = await snapshots_of(database, LATER).create(Selection())
    assert again == made
    part = await snapshots_of(database).create(parse_selection(["BTC/USDT"]), end=NOON + 10 * MINUTE)
    assert (part.rows, part.content_hash == made.content_hash) == (8, False)


async def test_what_changes_after_a_snapshot_changes_nothing_in_it(database: PostgresManager) -> None:
    store, (btc,) = await opened(database)
    original = minutes(5_000, without=[100, 4_000])
    await store.load(btc, original)
    snapshots = snapshots_of(database)
    made = await snapshots.create(parse_selection(["BTC/USDT", "1m"]))
    pinned = await snapshots.series(made.id)
    later = CandleStore(manager=database, clock=ReplayClock(LATER))
    changed = minutes(5_200)
    changed.close[50] += 0.25
    await later.load(btc, changed)
    await later.remove(btc, 60, NOON + 200 * MINUTE, NOON + 300 * MINUTE)
    await later.load(btc, minutes(10, start=NOON - 10 * MINUTE))
    source = SnapshotBars(database, pinned)
    assert_same(await source.read(btc, 60, NOON - MINUTE, LATER), original)
    assert_same(await source.read(btc, 900, NOON, LATER), resample(original, 900))
    assert (await source.read(btc, 60, NOON, LATER, as_of=NOON + 30 * MINUTE)).time[-1] == original.time[29]
    assert len(await source.read(btc + 1, 60, NOON, LATER)) == 0
    assert [one.is_same async for one in snapshots.verify(made.id)] == [True]
    await database.execute(  # as only somebody who goes past the doors could
        "SET mastertrade.candle_door = 'open'; UPDATE candles SET close = high WHERE open_time = '2024-05-01 12:10+00';"
        " RESET mastertrade.candle_door"
    )
    assert [one.is_same async for one in snapshots.verify(made.id)] == [False]


async def test_a_snapshot_is_found_by_the_beginning_of_its_id_or_hash(database: PostgresManager) -> None:
    store, (btc,) = await opened(database)
    snapshots = snapshots_of(database)
    with pytest.raises(NotFound, match="no candles of any series"):
        await snapshots.create(Selection())
    await store.load(btc, minutes(10))
    with pytest.raises(UsageError, match="there are candles from"):
        await snapshots.create(Selection(), start=LATER)
    made = await snapshots.create(Selection())
    assert made.content_hash is not None
    assert await snapshots.one(str(made.id)[:10]) == await snapshots.one(made.content_hash[:8]) == made
    await snapshots.remove(made.id)
    assert await snapshots.find() == []
    with pytest.raises(NotFound, match="no snapshot whose id or hash begins with"):
        await snapshots.one(str(made.id))


async def test_a_snapshot_whose_maker_died_pins_nothing_for_ever(database: PostgresManager) -> None:
    store, (btc,) = await opened(database)
    await store.load(btc, minutes(10))
    await database.execute(
        "INSERT INTO snapshots (id, starts, ends, created_at) VALUES (gen_random_uuid(), $1, $2, $1)", NOON, NOW
    )
    assert [one.content_hash for one in await snapshots_of(database).find()] == [None]
    made = await snapshots_of(database).create(Selection())
    assert await snapshots_of(database).find() == [made]


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(minute=st.integers(-5, 400), interval_s=st.sampled_from((60, 300, 3_600)))
async def test_no_read_shows_a_bar_that_closed_after_the_moment_it_asks_for(
    database: PostgresManager, minute: int, interval_s: int
) -> None:
    store, (btc,) = await opened(database)
    bars = minutes(300, without=[17])
    await store.load(btc, bars)
    as_of = NOON + minute * MINUTE + timedelta(seconds=13)
    read = await DatabaseBars(database).read(btc, interval_s, NOON, NOW, as_of=as_of)
    closes = read.time + interval_s * 1000
    assert np.all(closes <= as_of.timestamp() * 1000)
    whole = resample(bars, interval_s)
    assert_same(read, whole[: int(np.sum(whole.time + interval_s * 1000 <= as_of.timestamp() * 1000))])


@given(
    number=st.integers(1, 10**15 - 1),
    places=st.integers(0, 12),
)
def test_a_float_gives_back_fifteen_digits_of_the_venue(number: int, places: int) -> None:
    told = Decimal(number).scaleb(-places)
    price = np.array([float(str(told))])
    bars = Bars(
        interval_s=60, time=np.array([0], dtype=np.int64), open=price, high=price, low=price, close=price, volume=price
    )
    (candle,) = exact_candles(bars)
    assert (candle.open, candle.close, candle.volume) == (told, told, told)
    assert candle.open_time == datetime(1970, 1, 1, tzinfo=UTC)
