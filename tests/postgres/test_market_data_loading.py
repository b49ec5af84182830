"""History is stored once, completely or not at all, and the catalogue always says what is there."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from mastertrade.market_data_service.bar_source import DatabaseBars
from mastertrade.market_data_service.files import CandleFiles
from mastertrade.market_data_service.postgres_database import MarketDataPostgresDatabase
from mastertrade.quant.bars import Bars
from mastertrade.shared.errors import BadData
from mastertrade.shared.postgres_manager import PostgresManager
from tests.postgres.market_seed import (
    BTC,
    MINUTE,
    NOON,
    NOW,
    SmallMarket,
    csv_rows,
    minutes,
    rows_of,
    service,
    write_csv,
)

DATABASE = MarketDataPostgresDatabase()
TODAY = datetime.now(UTC)


async def load(database: PostgresManager, bars: Bars) -> tuple[int, int, int]:
    report = await service(database).load_history(SmallMarket({BTC: bars}), until=NOW)
    one = report.series[0]
    return one.new, one.unchanged, one.revised


async def test_loading_twice_stores_each_candle_once(database: PostgresManager) -> None:
    assert await load(database, minutes(100)) == (100, 0, 0)
    assert await load(database, minutes(100)) == (0, 100, 0)
    assert len(await rows_of(database)) == 100


async def test_an_overlapping_load_adds_only_what_is_missing(database: PostgresManager) -> None:
    await load(database, minutes(60, without=range(20, 30)))
    assert await load(database, minutes(80)) == (30, 50, 0)
    (series,) = await DATABASE.series(database)
    assert (series.rows, series.first_open_time, series.last_close_time) == (80, NOON, NOON + 80 * MINUTE)


async def test_a_load_never_removes_candles_it_does_not_bring(database: PostgresManager) -> None:
    await load(database, minutes(60))
    assert await load(database, minutes(60, without=range(10, 50))) == (0, 20, 0)
    assert len(await rows_of(database)) == 60


async def test_a_candle_with_other_numbers_replaces_the_stored_one_and_is_counted(database: PostgresManager) -> None:
    await load(database, minutes(10))
    changed = minutes(10)
    changed.high[3] += 5.0
    assert await load(database, changed) == (0, 9, 1)
    (series,) = await DATABASE.series(database)
    assert (series.rows, series.revised_rows) == (10, 1)
    assert (
        await database.fetchval("SELECT high FROM candles WHERE open_time = $1", NOON + 3 * MINUTE) == changed.high[3]
    )


async def test_the_catalogue_agrees_with_the_rows_after_any_order_of_loads(database: PostgresManager) -> None:
    dice = np.random.default_rng(5)
    for _ in range(12):
        start, count = int(dice.integers(0, 200)), int(dice.integers(1, 60))
        holes = dice.choice(count, size=count // 4, replace=False).tolist()
        await load(database, minutes(count, start=NOON + start * MINUTE, price=100.0 + start, without=holes))
        rows = await database.fetchrow(
            "SELECT count(*) AS rows, min(open_time) AS first, max(open_time) AS last,"
            " range_agg(tstzrange(open_time, open_time + interval '1 minute'))"
            " = (SELECT tstzmultirange(tstzrange(min(s.first_open_time), min(s.last_close_time)))"
            " - coalesce((SELECT range_agg(tstzrange(starts, ends)) FROM gaps), '{}') FROM series s) AS covered,"
            " count(*) = (SELECT sum(m.rows) FROM candle_months m) AS counted FROM candles"
        )
        (series,) = await DATABASE.series(database)
        assert rows is not None
        assert (series.rows, series.first_open_time, series.last_close_time - MINUTE) == (
            rows["rows"],
            rows["first"],
            rows["last"],
        )
        assert rows["covered"]
        assert rows["counted"]


async def test_gaps_are_the_stretches_without_candles(database: PostgresManager) -> None:
    await load(database, minutes(30, without=[5, 6, 20]))
    (series,) = await DATABASE.series(database)
    gaps = await DATABASE.gaps(database, series.instrument_id, 60, NOON - 2 * MINUTE, NOON + 31 * MINUTE)
    assert [(gap.start - NOON, gap.end - NOON, gap.missing) for gap in gaps] == [
        (-2 * MINUTE, 0 * MINUTE, 2),
        (5 * MINUTE, 7 * MINUTE, 2),
        (20 * MINUTE, 21 * MINUTE, 1),
        (30 * MINUTE, 31 * MINUTE, 1),
    ]
    assert await DATABASE.gap_totals(database, series.instrument_id, 60) == (2, 3)


async def test_gaps_are_found_across_days(database: PostgresManager) -> None:
    holes = [0, 719, 720, 721, 1_439, 1_440, 2_159, 2_160, 2_161]
    await load(database, minutes(4_000, without=holes))
    (series,) = await DATABASE.series(database)
    gaps = await DATABASE.gaps(database, series.instrument_id, 60, NOON, NOON + 4_000 * MINUTE)
    assert [((gap.start - NOON) // MINUTE, gap.missing) for gap in gaps] == [(0, 1), (719, 3), (1_439, 2), (2_159, 3)]
    inside = await DATABASE.gaps(database, series.instrument_id, 60, NOON + 720 * MINUTE, NOON + 1_440 * MINUTE)
    assert [((gap.start - NOON) // MINUTE, gap.missing) for gap in inside] == [(720, 2), (1_439, 1)]


async def test_a_series_nobody_loaded_is_one_gap(database: PostgresManager) -> None:
    (gap,) = await DATABASE.gaps(database, 4711, 60, NOON, NOON + timedelta(hours=1))
    assert gap.missing == 60


async def test_a_file_that_breaks_in_the_middle_leaves_nothing_behind(
    database: PostgresManager, tmp_path: Path
) -> None:
    folder = tmp_path / "binance_broken"
    write_csv(folder / "ADA_USDT-1m.csv.gz", csv_rows(minutes(1_000)))
    whole = write_csv(folder / "BTC_USDT-1m.csv.gz", csv_rows(minutes(90_000, start=NOON - timedelta(days=90))))
    whole.write_bytes(whole.read_bytes()[:-20_000])
    with pytest.raises(BadData, match=r"BTC_USDT-1m\.csv\.gz: cannot be read after row \d+: .*fetch the file again"):
        await service(database).load_history(CandleFiles(folder, now=NOW), until=NOW)
    assert len(await rows_of(database, "ADA/USDT")) == 1_000
    assert await rows_of(database) == []
    assert [series.symbol for series in await DATABASE.series(database)] == ["ADA/USDT"]


async def test_progress_ends_with_all_rows(database: PostgresManager) -> None:
    seen: list[tuple[int, int]] = []
    source = SmallMarket({BTC: minutes(50), ("binance", "ETH/USDT"): minutes(70)})
    await service(database).load_history(source, until=NOW, progress=lambda rows, total: seen.append((rows, total)))
    assert seen == [(50, 120), (120, 120), (120, 120)]


async def test_history_ends_with_the_last_candle_closed_by_then(database: PostgresManager) -> None:
    until = NOON + timedelta(minutes=10, seconds=30)
    report = await service(database).load_history(SmallMarket({BTC: minutes(60)}), until=until)
    assert report.rows == 10
    (series,) = await DATABASE.series(database)
    assert series.last_close_time == NOON + 10 * MINUTE


async def test_the_database_refuses_what_the_edge_would_have_refused(database: PostgresManager) -> None:
    await load(database, minutes(1))
    for column, value in (
        ("open", "'NaN'"),
        ("high", "'Infinity'"),
        ("low", "0"),
        ("close", "1e9"),
        ("volume", "-1"),
        ("volume", "'NaN'"),
        ("open_time", "open_time + interval '1 second'"),
        ("interval_s", "7"),
    ):
        with pytest.raises(Exception, match="candles_"):
            await database.execute(f"SET LOCAL mastertrade.candle_door = 'open'; UPDATE candles SET {column} = {value}")


async def test_partitions_are_made_once_for_every_month_between(database: PostgresManager) -> None:
    first, last = datetime(2023, 11, 30, 23, 59, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)
    made = "SELECT ensure_candle_partitions($1, $2)"
    assert await database.fetchval(made, first, last) == 4
    assert await database.fetchval(made, first, last) == 0
    with pytest.raises(Exception, match="at most 600 months"):
        await database.fetchval(made, datetime(1900, 1, 1, tzinfo=UTC), last)


async def test_the_last_close_is_the_last_one_known_at_a_time(database: PostgresManager) -> None:
    await load(database, minutes(10))
    id = (await DATABASE.series(database))[0].instrument_id
    close = "SELECT last_close($1, $2)"
    assert await database.fetchval(close, id, NOON + timedelta(seconds=59)) is None
    assert await database.fetchval(close, id, NOON + MINUTE) == 100.0
    assert await database.fetchval(close, id, NOON + timedelta(minutes=5, seconds=59)) == 104.0
    assert await database.fetchval(close, id, NOON + timedelta(days=6)) == 109.0
    assert await database.fetchval(close, id, NOON + timedelta(days=9)) is None
    last = await DATABASE.last_candle(database, id, as_of=NOON + 3 * MINUTE)
    assert last is not None
    assert (last.close, last.close_time, last.interval_s) == (102.0, NOON + 3 * MINUTE, 60)


async def test_the_catalogue_holds_the_last_close_whatever_is_loaded_when(database: PostgresManager) -> None:
    async def last() -> tuple[float | None, ...]:
        id = (await DATABASE.series(database))[0].instrument_id
        return tuple(
            [await database.fetchval("SELECT last_close($1, $2)", id, NOON + n * MINUTE) for n in (1, 10, 30, 60)]
        )

    await load(database, minutes(10, start=NOON + 20 * MINUTE, price=300.0))
    assert await last() == (None, None, 309.0, 309.0)
    await load(database, minutes(10, price=100.0))
    assert await last() == (100.0, 109.0, 309.0, 309.0)
    await load(database, minutes(10, start=NOON + 20 * MINUTE, price=500.0))
    assert await last() == (100.0, 109.0, 509.0, 509.0)


async def test_the_finest_of_the_latest_candles_is_the_last_close(database: PostgresManager) -> None:
    await load(database, minutes(10))
    id = (await DATABASE.series(database))[0].instrument_id
    store = (
        "SELECT store_candles(300, $2, ARRAY[$1::int], ARRAY[$3::float8], ARRAY[$3::float8], ARRAY[$3::float8],"
        " ARRAY[$3::float8], ARRAY[0.0::float8], $2)"
    )
    await database.execute(store, id, NOON, 1.0)
    await database.execute(store, id, NOON + 10 * MINUTE, 2.0)
    found = [
        await database.fetchval("SELECT last_close($1, $2)", id, NOON + n * MINUTE) for n in (4, 5, 6, 12, 15, 600)
    ]
    assert found == [103.0, 104.0, 105.0, 109.0, 2.0, 2.0]


async def test_fifteen_real_pairs_are_loaded_as_their_readme_counts_them(
    database: PostgresManager, real_candles: Path
) -> None:
    source = CandleFiles(real_candles, now=TODAY)
    report = await service(database).load_history(source, until=TODAY)
    by_symbol = {one.symbol: one for one in report.series}
    assert len(by_symbol) == 15
    assert by_symbol["BTC/USDT"].new == 43_079
    assert by_symbol["AVAX/USDT"].new == 44_434
    assert {(one.gaps, one.missing) for one in report.series} == {(1, 120)}
    assert report.refused.total == 0
    assert report.rows == 14 * 43_079 + 44_434
    series = {one.symbol: one for one in await DATABASE.series(database)}
    assert series["BTC/USDT"].first_open_time == datetime(2021, 9, 17, 22, 23, tzinfo=UTC)
    assert series["BTC/USDT"].last_close_time == datetime(2021, 10, 17, 22, 22, tzinfo=UTC)
    id = series["BTC/USDT"].instrument_id
    (gap,) = await DATABASE.gaps(
        database, id, 60, series["BTC/USDT"].first_open_time, series["BTC/USDT"].last_close_time
    )
    assert (gap.start, gap.end, gap.missing) == (
        datetime(2021, 9, 29, 7, 0, tzinfo=UTC),
        datetime(2021, 9, 29, 9, 0, tzinfo=UTC),
        120,
    )
    again = await service(database).load_history(source, until=TODAY)
    assert sum(one.unchanged for one in again.series) == report.rows


async def test_a_naturally_dirty_series_keeps_its_holes(database: PostgresManager, real_data: Path) -> None:
    source = CandleFiles(real_data / "dirty" / "UNITTEST_BTC-1m.feather", now=TODAY)
    report = await service(database).load_history(source, until=TODAY)
    (one,) = report.series
    assert (one.venue, one.symbol, one.new, one.gaps, one.missing) == ("dirty", "UNITTEST/BTC", 13_681, 538, 717)


async def test_five_exchanges_are_five_venues(database: PostgresManager, real_data: Path) -> None:
    source = CandleFiles(real_data / "cross_exchange" / "candles_1m_2023-03", now=TODAY)
    report = await service(database).load_history(source, until=TODAY)
    found = {(one.venue, one.symbol): (one.new, one.gaps, one.missing) for one in report.series}
    assert len(found) == 16
    assert found[("kraken", "BTC/USDT")] == (13_277, 3_568, 6_882)
    assert found[("coinbase", "BTC/USDT")] == (15_815, 2_817, 4_345)
    assert found[("binanceus", "BTC/USDC")] == (20_160, 0, 0)
    assert found[("cryptocom", "BTC/USDC")] == (20_093, 67, 67)


async def test_two_files_of_one_series_follow_each_other(database: PostgresManager, real_data: Path) -> None:
    source = CandleFiles(real_data / "ohlcv" / "binance_spot_1h", now=TODAY)
    report = await service(database).load_history(source, until=TODAY)
    (one,) = report.series
    assert (one.interval_s, one.new) == (3_600, 31_632 + 15_642)
    assert one.gaps == 23 + 2 + 1  # the third is April and May 2021, of which there is no file
    bars = await DatabaseBars(database).read(
        (await DATABASE.series(database))[0].instrument_id, 86_400, datetime(2009, 1, 1, tzinfo=UTC), TODAY, as_of=TODAY
    )
    assert len(bars) > 1_800
