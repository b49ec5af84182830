"""The doors of the candle store: idempotent, revisions kept, holes explained, and no way past them."""

import asyncio
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mastertrade.market_data_service.candle_store import CandleStore, Loaded, Outcome
from mastertrade.market_data_service.postgres_candles import CandlesPostgresDatabase
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase
from mastertrade.market_data_service.rules import listing
from mastertrade.market_data_service.source import CandleBatch
from mastertrade.quant.bars import Bars
from mastertrade.shared.clock import ReplayClock
from mastertrade.shared.errors import UsageError
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.market_seed import BTC, MINUTE, NOON, candle_at, minutes

LATER = NOON + timedelta(days=30)
MARKET = MarketDataPostgresDatabase()
DATABASE = CandlesPostgresDatabase()


async def opened(database: PostgresManager, *symbols: str, now: datetime = LATER) -> tuple[CandleStore, list[int]]:
    names = symbols or ("BTC/USDT",)
    await MARKET.add_instruments(database, [listing("binance", symbol) for symbol in names], at=NOON)
    ids = {one.symbol: one.id for one in await MARKET.instruments(database)}
    return CandleStore(manager=database, clock=ReplayClock(now)), [ids[symbol] for symbol in names]


async def catalogue_is_true(database: PostgresManager) -> None:
    """Catalogue, months and gaps say what the rows say."""
    rows = await database.fetch(
        """SELECT s.instrument_id, s.interval_s, s.rows, s.first_open_time, s.last_close_time, c.rows AS counted,
                  c.first, c.last, c.covered,
                  CASE WHEN s.rows = 0 THEN '{}'
                       ELSE tstzmultirange(tstzrange(s.first_open_time, s.last_close_time)) END
                  - coalesce((SELECT range_agg(tstzrange(g.starts, g.ends)) FROM gaps g
                     WHERE (g.instrument_id, g.interval_s) = (s.instrument_id, s.interval_s)), '{}') AS known,
                  (SELECT coalesce(sum(m.rows), 0) FROM candle_months m
                     WHERE (m.instrument_id, m.interval_s) = (s.instrument_id, s.interval_s)) AS by_month
             FROM series s CROSS JOIN LATERAL (
                  SELECT count(*) AS rows, min(open_time) AS first,
                         max(open_time) + make_interval(secs => s.interval_s) AS last,
                         coalesce(range_agg(tstzrange(open_time, open_time + make_interval(secs => s.interval_s))),
                                  '{}') AS covered
                    FROM candles k WHERE (k.instrument_id, k.interval_s) = (s.instrument_id, s.interval_s)) c"""
    )
    for row in rows:
        assert (row["rows"], row["by_month"]) == (row["counted"], row["counted"])
        assert (row["first_open_time"], row["last_close_time"]) == (row["first"], row["last"])
        assert row["known"] == row["covered"]


async def test_the_same_bars_twice_change_nothing(database: PostgresManager) -> None:
    store, (id,) = await opened(database)
    assert await store.load(id, minutes(100)) == Loaded(rows=100, new=100)
    before = await database.fetch("SELECT xmin::text, * FROM candles ORDER BY open_time")
    assert await store.load(id, minutes(100)) == Loaded(rows=100, unchanged=100)
    assert await database.fetch("SELECT xmin::text, * FROM candles ORDER BY open_time") == before
    assert await database.fetchval("SELECT count(*) FROM candle_revisions") == 0


async def test_bars_that_span_months_between_known_ones_find_their_partitions(database: PostgresManager) -> None:
    store, (id,) = await opened(database)
    for month in (1, 3):
        await store.load(id, minutes(1, start=NOON.replace(month=month)))
    days = (NOON.replace(month=3) - NOON.replace(month=1)).days
    span = minutes(days * 1440 + 1, start=NOON.replace(month=1))[:: 1440 * 7]
    assert (await store.load(id, span)).new == len(span) - 1


async def test_a_differing_bar_is_a_revision_that_keeps_the_old_values(database: PostgresManager) -> None:
    store, (id,) = await opened(database)
    await store.load(id, minutes(10))
    changed = minutes(10)
    changed.close[4], changed.high[4] = 107.0, 108.0
    assert await store.load(id, changed) == Loaded(rows=10, unchanged=9, revised=1)
    (row,) = await database.fetch("SELECT * FROM candle_revisions")
    assert (row["open_time"], row["known_at"]) == (NOON + 4 * MINUTE, LATER)
    assert (row["old_close"], row["new_close"], row["old_high"], row["new_high"]) == (104.0, 107.0, 105.0, 108.0)
    assert await store.load(id, changed) == Loaded(rows=10, unchanged=10)


async def test_only_live_bars_that_come_late_carry_the_moment_they_were_known(database: PostgresManager) -> None:
    store, (id,) = await opened(database, now=NOON + 10 * MINUTE)
    await store.load(id, minutes(3))
    await store.load(id, minutes(10)[3:], is_live=True)
    late = await database.fetch("SELECT open_time, known_at, old_close, new_close FROM candle_revisions ORDER BY 1")
    # Bar 7 closed at minute 8, two bars ago: in time. Bar 6 closed at minute 7.
    assert [(row["open_time"] - NOON) // MINUTE for row in late] == [3, 4, 5, 6]
    assert {(row["known_at"], row["old_close"]) for row in late} == {(NOON + 10 * MINUTE, None)}


async def test_a_batch_that_comes_late_carries_the_moment_too(database: PostgresManager) -> None:
    """By store_candle, the path of candles that do not simply follow the last one, and by the one for those that do."""
    _, (id,) = await opened(database)
    await MARKET.ensure_partitions(database, NOON, NOON)
    for place, delay in ((0, 3), (1, 4)):
        batch = CandleBatch(
            interval_s=60, open_time=NOON + place * MINUTE, candles=(candle_at(minutes(2), place, id, BTC),)
        )
        await MARKET.store_batch(database, batch, at=batch.open_time + delay * MINUTE)
    (row,) = await database.fetch("SELECT open_time, known_at FROM candle_revisions")
    assert (row["open_time"], row["known_at"]) == (NOON + MINUTE, NOON + 5 * MINUTE)
    await catalogue_is_true(database)


async def test_a_fill_is_stored_only_where_nothing_is_and_marked_until_the_venue_reports(
    database: PostgresManager,
) -> None:
    store, (id,) = await opened(database)
    await store.load(id, minutes(10, without=[4, 5]))
    invented = minutes(10, price=500.0)
    assert await store.load(id, invented, is_synthetic=True) == Loaded(rows=10, new=2, unchanged=8)
    assert await DATABASE.synthetic_stretches(database, id, 60) == [(NOON + 4 * MINUTE, NOON + 6 * MINUTE)]
    assert await store.load(id, minutes(5)) == Loaded(rows=5, unchanged=4, revised=1)
    assert await DATABASE.synthetic_stretches(database, id, 60) == [(NOON + 5 * MINUTE, NOON + 6 * MINUTE)]
    await catalogue_is_true(database)


async def test_every_hole_says_why_it_is_there(database: PostgresManager) -> None:
    store, (id,) = await opened(database)
    await store.load(id, minutes(60, without=[*range(5, 15), 20, 30, 40, 50]))

    async def asked(first: int, last: int, outcome: Outcome, error: str | None = None) -> None:
        await store.record_request(id, 60, NOON + first * MINUTE, NOON + last * MINUTE, outcome, error=error)

    assert {gap.reason for gap in await store.gaps()} == {"never requested"}
    await asked(0, 10, Outcome.FETCHED)
    await asked(12, 14, Outcome.FAILED, "429 from the venue")
    await asked(18, 22, Outcome.EMPTY)
    await asked(20, 21, Outcome.FETCHED)
    await asked(30, 31, Outcome.HALTED)
    await asked(38, 60, Outcome.FAILED)
    await asked(45, 55, Outcome.DELISTED)
    found = [
        ((gap.starts - NOON) // MINUTE, gap.missing, gap.reason, gap.is_confirmed) for gap in await store.gaps(id, 60)
    ]
    assert found == [
        (5, 5, "venue empty", False),
        (10, 2, "never requested", False),
        (12, 2, "failed", False),
        (14, 1, "never requested", False),
        (20, 1, "venue empty", True),
        (30, 1, "halted", True),
        (40, 1, "failed", False),
        (50, 1, "delisted", True),
    ]
    assert await MARKET.gap_totals(database, id, 60) == (5, 14)
    row = await DATABASE.coverage_of_requests(database, id, 60)
    assert row is not None
    assert row["last_error"] == "429 from the venue"


async def test_a_failed_request_beyond_the_ends_is_a_gap_until_it_is_answered(database: PostgresManager) -> None:
    store, (id,) = await opened(database)
    await store.load(id, minutes(10))
    await store.record_request(id, 60, NOON + 5 * MINUTE, NOON + 30 * MINUTE, Outcome.FAILED, error="timeout")
    (gap,) = await store.gaps()
    assert ((gap.starts - NOON) // MINUTE, gap.missing, gap.reason) == (10, 20, "failed")
    await store.load(id, minutes(20))
    (gap,) = await store.gaps()
    assert ((gap.starts - NOON) // MINUTE, gap.missing) == (20, 10)
    await store.record_request(id, 60, NOON, NOON + 30 * MINUTE, Outcome.FETCHED)
    assert await store.gaps() == []
    await catalogue_is_true(database)


async def test_a_resumed_download_asks_only_for_what_was_never_answered(database: PostgresManager) -> None:
    store, (id,) = await opened(database)
    await store.record_request(id, 60, NOON, NOON + 10 * MINUTE, Outcome.FETCHED)
    await store.record_request(id, 60, NOON + 20 * MINUTE, NOON + 30 * MINUTE, Outcome.EMPTY)
    await store.record_request(id, 60, NOON + 12 * MINUTE, NOON + 15 * MINUTE, Outcome.FAILED)
    rest = await store.unanswered(id, 60, NOON, NOON + 40 * MINUTE)
    assert [((start - NOON) // MINUTE, (end - NOON) // MINUTE) for start, end in rest] == [(10, 20), (30, 40)]


async def test_a_request_that_ends_before_it_begins_is_refused(database: PostgresManager) -> None:
    store, (id,) = await opened(database)
    with pytest.raises(Exception, match="the end must follow the start"):
        await store.record_request(id, 60, NOON, NOON, Outcome.FETCHED)


async def test_two_workers_never_hold_the_same_time(database: PostgresManager) -> None:
    store, (id, other) = await opened(database, "BTC/USDT", "ETH/USDT")
    first = await store.claim(id, 60, NOON, NOON + 10 * MINUTE)
    assert first is not None
    assert await store.claim(id, 60, NOON + 9 * MINUTE, NOON + 20 * MINUTE) is None
    assert await store.claim(id, 60, NOON + 10 * MINUTE, NOON + 20 * MINUTE) is not None
    assert await store.claim(id, 300, NOON, NOON + 10 * MINUTE) is not None
    assert await store.claim(other, 60, NOON, NOON + 10 * MINUTE) is not None
    assert await store.claim(id, 60, NOON, NOON + 10 * MINUTE, kind="funding") is not None
    assert await store.claim(id, 60, NOON, NOON + 10 * MINUTE, claim_id=first) == first
    await store.release(first)
    assert await store.claim(id, 60, NOON, NOON + 5 * MINUTE) is not None


async def test_the_span_of_a_worker_that_died_is_free_after_a_while(database: PostgresManager) -> None:
    store, (id,) = await opened(database)
    assert await store.claim(id, 60, NOON, NOON + MINUTE, for_s=5.0) is not None
    assert await store.claim(id, 60, NOON, NOON + MINUTE) is None
    later = CandleStore(manager=database, clock=ReplayClock(LATER + timedelta(seconds=6)))
    assert await later.claim(id, 60, NOON, NOON + MINUTE) is not None


async def test_removed_candles_leave_a_hole_and_stay_known(database: PostgresManager) -> None:
    store, (id,) = await opened(database)
    await store.load(id, minutes(30))
    assert await store.remove(id, 60, NOON + 10 * MINUTE, NOON + 12 * MINUTE) == 2
    await catalogue_is_true(database)
    assert await store.remove(id, 60, NOON - MINUTE, NOON + 5 * MINUTE) == 5
    assert await store.remove(id, 60, NOON + 12 * MINUTE, NOON + 90 * MINUTE) == 18
    await catalogue_is_true(database)
    assert [gap.missing for gap in await store.gaps()] == []
    assert await store.remove(id, 60, NOON, LATER) == 5
    await catalogue_is_true(database)
    assert await database.fetchval("SELECT count(*) FROM candle_revisions WHERE new_close IS NULL") == 30


async def test_nobody_writes_to_candles_past_the_door(database: PostgresManager) -> None:
    store, (id,) = await opened(database)
    await store.load(id, minutes(10))
    for table in ("candles", "candles_2024_05"):
        for statement in (
            f"INSERT INTO {table} SELECT instrument_id, 300, '2024-05-01', 1, 1, 1, 1, 0 FROM {table} LIMIT 1",
            f"UPDATE {table} SET close = close",
            f"DELETE FROM {table}",
            f"TRUNCATE {table}",
        ):
            with pytest.raises(Exception, match="past the door: catalogue"):  # refuse_direct_candle_write
                await database.execute(statement)
    async with database.acquire() as connection:
        with pytest.raises(Exception, match="past the door: catalogue"):
            await connection.copy_records_to_table("candles", records=[], columns=["instrument_id"])
    await database.execute("SELECT guard_candles('candles_2024_05')")  # twice is harmless


async def test_bars_out_of_order_are_refused(database: PostgresManager) -> None:
    store, (id,) = await opened(database)
    bars = minutes(10)
    bars.time[5] = bars.time[4]
    with pytest.raises(UsageError, match=r"bar 5 of 10 opens at 2024-05-01 12:04"):
        await store.load(id, bars)


async def test_a_series_counted_anew_is_what_it_was(database: PostgresManager) -> None:
    store, (id,) = await opened(database)
    await store.load(id, minutes(3_000, without=[3, 4, 2_000]))
    kept = ("series", "candle_months", "gaps")
    columns = {"series": "rows, first_open_time, last_close_time, last_close"}
    before = [await database.fetch(f"SELECT {columns.get(table, '*')} FROM {table}") for table in kept]
    assert await database.fetchval("SELECT recount_series($1, 60, $2)", id, LATER) == 2_997
    assert [await database.fetch(f"SELECT {columns.get(table, '*')} FROM {table}") for table in kept] == before


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("load"), st.integers(0, 300), st.integers(1, 80), st.integers(0, 3)),
        st.tuples(st.just("batch"), st.integers(0, 300), st.just(1), st.integers(0, 3)),
        st.tuples(st.just("remove"), st.integers(0, 300), st.integers(1, 80), st.just(0)),
        st.tuples(st.just("ask"), st.integers(0, 300), st.integers(1, 80), st.integers(0, 4)),
    ),
    max_size=12,
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
async def test_the_catalogue_is_true_after_anything(
    database: PostgresManager, steps: list[tuple[str, int, int, int]]
) -> None:
    store, (id,) = await opened(database)
    await database.execute(
        "SELECT remove_candles(instrument_id, interval_s, $1, $2, false, $1) FROM series", START, END
    )
    await database.execute("DELETE FROM gaps; DELETE FROM coverage_of_requests")
    for step, at, count, kind in steps:
        start = MONTH_END + (at - 150) * MINUTE
        if step == "load":
            await store.load(id, _some(start, count, kind))
        elif step == "batch":
            batch = CandleBatch(interval_s=60, open_time=start, candles=(candle_at(_some(start, 1, kind), 0, id, BTC),))
            await MARKET.ensure_partitions(database, start, start)
            await MARKET.store_batch(database, batch, at=start + 4 * MINUTE)
        elif step == "remove":
            await store.remove(id, 60, start, start + count * MINUTE)
        else:
            await store.record_request(id, 60, start, start + count * MINUTE, list(Outcome)[kind])
    await database.execute(
        "DELETE FROM gaps WHERE reason = 'failed' AND NOT EXISTS (SELECT FROM series s"
        " WHERE starts >= s.first_open_time AND ends <= s.last_close_time)"
    )
    await catalogue_is_true(database)


START, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)
MONTH_END = datetime(2024, 6, 1, tzinfo=UTC)


def _some(start: datetime, count: int, kind: int) -> Bars:
    """Bars with holes and prices that depend on ``kind``, so that loads contradict one another."""
    bars = minutes(count, start=start, price=100.0 + kind)
    keep = np.arange(count) % (kind + 2) != 1 if count > 1 else np.ones(1, dtype=bool)
    return Bars(
        interval_s=60,
        time=bars.time[keep],
        **{n: getattr(bars, n)[keep] for n in ("open", "high", "low", "close", "volume")},
    )


async def test_a_sealed_block_is_what_the_candles_are_and_goes_with_any_change(database: PostgresManager) -> None:
    """fill_candle_block writes it, forget_blocks deletes it: by load (open_candles, revise_candles, book_candles), by
    batch and by removal (shrink_series)."""
    store, (id,) = await opened(database)
    await store.load(id, minutes(1_000, without=[500]))
    seal = (
        "INSERT INTO candle_blocks SELECT $1, 60, '2024-05-01', 7, now(), '', '', '', '', '', '', 0"
        " ON CONFLICT (instrument_id, interval_s, month) DO UPDATE SET rows = 7, close = 'forged'"
    )
    for _ in range(2):
        await database.execute(seal, id)
        row = await database.fetchrow("SELECT * FROM candle_blocks")
        assert row is not None
        expected = minutes(1_000, without=[500])
        for column in ("open", "high", "low", "close", "volume"):
            assert np.array_equal(np.frombuffer(row[column], ">f8"), getattr(expected, column)), column
        assert row["rows"] == len(row["open_times"]) // 8 == 999
    changed = minutes(10)
    changed.close[3] = 103.25
    batch = CandleBatch(
        interval_s=60, open_time=NOON + 1_000 * MINUTE, candles=(candle_at(minutes(1_001), 1_000, id, BTC),)
    )
    for change, is_kept in (
        (store.load(id, minutes(10)), True),
        (store.load(id, changed), False),
        (store.load(id, minutes(1_000)[490:510]), False),
        (MARKET.store_batch(database, batch, at=LATER), False),
        (store.remove(id, 60, NOON, NOON + MINUTE), False),
    ):
        await database.execute(seal, id)
        await change
        assert await database.fetchval("SELECT count(*) FROM candle_blocks") == is_kept


async def test_gap_functions_join_and_cut_what_they_touch(database: PostgresManager) -> None:
    """change_gaps and cover_candles, called as the doors call them; claim_download refuses an empty span."""
    store, (id,) = await opened(database)
    await store.load(id, minutes(10, without=[3, 6]))
    change = "SELECT change_gaps($1, 60, tstzrange($2, $3), tstzmultirange(tstzrange($2, $3)), '{}')"
    await database.execute(change, id, NOON + 4 * MINUTE, NOON + 6 * MINUTE)
    assert [((gap.starts - NOON) // MINUTE, gap.missing) for gap in await store.gaps()] == [(3, 4)]
    cover = "SELECT cover_candles($1, 60, tstzmultirange(tstzrange($2, $3)), tstzrange($4, $5))"
    await database.execute(cover, id, NOON + 4 * MINUTE, NOON + 6 * MINUTE, NOON, NOON + 10 * MINUTE)
    assert [((gap.starts - NOON) // MINUTE, gap.missing) for gap in await store.gaps()] == [(3, 1), (6, 1)]
    with pytest.raises(Exception, match="download_claims_hold_some_time"):
        await store.claim(id, 60, NOON, NOON)


async def test_two_live_writers_of_the_same_markets_in_other_orders_never_lock_each_other_out(
    database: PostgresManager,
) -> None:
    """store_candles takes the locks of its series in one order, whatever order it was given; new series included."""
    names = [f"C{number}/USDT" for number in range(40)]
    _, ids = await opened(database, *names)
    await MARKET.ensure_partitions(database, NOON, NOON)

    async def write(order: list[int], first: int, count: int) -> None:
        for place in range(first, first + count):
            bars = minutes(60)
            candles = tuple(candle_at(bars, place, id, BTC) for id in order)
            at = NOON + (place + 1) * MINUTE
            await MARKET.store_batch(
                database, CandleBatch(interval_s=60, open_time=at - MINUTE, candles=candles), at=at
            )

    async with asyncio.TaskGroup() as group:
        for order in (ids, ids[::-1], ids[7:] + ids[:7]):
            group.create_task(write(order, 0, 15))
    await database.execute("ANALYZE series")
    async with asyncio.TaskGroup() as group:
        for order in (ids, ids[::-1], ids[7:] + ids[:7]):
            group.create_task(write(order, 15, 15))
    assert await database.fetchval("SELECT array_agg(DISTINCT rows) FROM series") == [30]
    await catalogue_is_true(database)
